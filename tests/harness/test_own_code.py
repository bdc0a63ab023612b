"""A method of one's own that is wrong: one line that names the function, what it gave and what was wanted, and where
the traceback lies. The method beside it is done."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from ltbv.data.samplers import Instance, Order, Sampler
from ltbv.errors import Refusal
from ltbv.harness.bootstrap import prepare
from ltbv.harness.events import Event
from ltbv.harness.request import Request
from ltbv.losses import cross_entropy
from ltbv.methods.base import Answer, Loss, Method, Net, Objective, OutputObjective, Stage, Sum
from ltbv.methods.imb_sam import TailAscent
from ltbv.methods.partnered import Blend, Partnered
from ltbv.methods.sam import SharpnessAware
from ltbv.models.parts import Head, Part
from ltbv.models.stack import Layer, Linear
from ltbv.schedules import Step
from ltbv.store import Store


def right(logits, labels, counts):
    return cross_entropy(logits, labels)


def a_mean(logits, labels, counts):
    return right(logits, labels, counts).mean()


def a_column(logits, labels, counts):
    return right(logits, labels, counts)[:, None]


def all_classes(logits, labels, counts):
    return torch.log_softmax(logits, -1)


def a_number(logits, labels, counts):
    return 1.0


def nothing(logits, labels, counts):
    right(logits, labels, counts)


def a_tuple(logits, labels, counts):
    return right(logits, labels, counts), labels


def double(logits, labels, counts):
    return right(logits.double(), labels, counts)


def whole_numbers(logits, labels, counts):
    return logits.argmax(-1) - labels


def detached(logits, labels, counts):
    return right(logits, labels, counts).detach()


def constant(logits, labels, counts):
    return torch.ones(len(labels))


def on_another_device(logits, labels, counts):
    return right(logits, labels, counts).to("meta")


def not_a_number(logits, labels, counts):
    return right(logits, labels, counts) * float("nan")


def divides_by_nothing(logits, labels, counts):
    return right(logits, labels, counts) / (logits - logits).sum(-1)


def fails(logits, labels, counts):
    raise RuntimeError("of two\nlines")


def lacks_a_field(logits, labels, counts):
    return right(logits, labels, counts) * {"weight": 1}["margin"]


def lacks_an_attribute(logits, labels, counts):
    return right(logits, labels, counts.per_class)


def takes_too_little(logits, labels):
    return cross_entropy(logits, labels)


def takes_an_item(logits, labels, counts):
    return right(logits, labels, counts) * logits.mean().item()


def branches(logits, labels, counts):
    return right(logits, labels, counts) * (2 if logits.mean() > 0 else 1)


def goes_by_numpy(logits, labels, counts):
    return torch.as_tensor(np.log(logits.detach().numpy()))


def draws(logits, labels, counts):
    return right(logits, labels, counts) * torch.rand(len(labels))


def seeds(logits, labels, counts):
    torch.manual_seed(0)
    return right(logits, labels, counts)


def seeds_numpy(logits, labels, counts):
    np.random.seed(0)  # noqa: NPY002
    return right(logits, labels, counts)


def moves_logits(logits, labels, counts):
    logits += 1
    return right(logits, labels, counts)


def moves_labels(logits, labels, counts):
    labels.mul_(0)
    return right(logits, labels, counts)


def moves_counts(logits, labels, counts):
    counts.add_(1)
    return right(logits, labels, counts)


@dataclass(frozen=True)
class OfRun(OutputObjective):
    how: str

    def of_run(self, output, labels, counts, now, given=()):
        each = cross_entropy(output.logits.mean(0), labels)
        return {
            "each image": lambda: each,
            "in a list": lambda: each.mean()[None],
            "a number": lambda: 1.0,
            "right": lambda: each.mean(),
            "detached": lambda: output.features.detach().mean(),
            "hidden": lambda: output.margins,
            "moves": lambda: output.logits.mul_(2).mean(),
            "regroups": lambda: each.mean() * now.groups["many"].sort(),
            "forgets": lambda: each.mean() * len(now.groups.pop("few")),
        }[self.how]()


@dataclass(frozen=True)
class Whole(Objective):
    how: str

    def __call__(self, network, batches, given, now):
        labels = batches[0].labels
        logits = network(batches[0].images).logits.mean(1)  # [R, B, C]
        each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        each = each.view(labels.shape)
        return {
            "one for all": lambda: each.mean(),
            "each image": lambda: each,
            "turned": lambda: each.T,
            "column": lambda: each.mean(1)[:, None],
            "nothing": lambda: None,
            "a pair": lambda: (each.mean(1), each),
            "double": lambda: each.mean(1).double(),
            "hits": lambda: (logits.argmax(-1) == labels).sum(1),
            "detached": lambda: each.mean(1).detach(),
            "an item": lambda: torch.tensor([each.mean().item()] * len(each)),
            "draws": lambda: each.mean(1) * torch.rand(()),
            "images": lambda: each.mean(1) + 0 * batches[0].images.mul_(2).mean(),
            "a second batch": lambda: batches[1],
        }[self.how]()


@dataclass(frozen=True)
class Remembers(OutputObjective):
    def each_epoch(self, network, feed, given, now):
        return torch.zeros(3)

    def of_run(self, output, labels, counts, now, given=()):
        return output.logits.mean()


@dataclass(frozen=True)
class Ordered(Sampler):
    order_of: Callable

    def order(self, turn):
        return self.order_of(turn, np.arange(len(turn.labels)))


@dataclass(frozen=True)
class Cropped(Instance):
    def compose(self, images, more, look):
        return images[..., 1:]


@dataclass(frozen=True)
class TooWide(Head):
    def build(self, shape):
        return Linear(shape.copies, shape.features, shape.classes + 1)


@dataclass(frozen=True)
class Paired(Ordered):
    def compose(self, images, more, look):
        return look(more["partners"])


@dataclass(frozen=True)
class Mixed(Instance):
    def compose(self, images, more, look):
        return images * torch.rand(())


@dataclass(frozen=True)
class FromGiven(OutputObjective):
    def from_given(self, feed, given, now):
        return {"noise": torch.rand(3)}

    def of_run(self, output, labels, counts, now, given=()):
        return output.logits.mean()


@dataclass(frozen=True)
class Between(OutputObjective):
    """What is done to counts or labels between steps."""

    hook: str
    how: Callable

    def from_given(self, feed, given, now):
        if self.hook == "from_given":
            self.how(feed, now)
        return {"tail": now.counts < 3}

    def each_epoch(self, network, feed, given, now):
        if self.hook == "each_epoch":
            self.how(feed, now)
        return {}

    def of_run(self, output, labels, counts, now, given=()):
        if self.hook == "of_run":
            self.how(None, now)
        return cross_entropy(output.logits.mean(0), labels, counts).mean()


@dataclass(frozen=True)
class Blends(Blend):
    how: str

    def __call__(self, pairs, draws, now):
        shares = torch.full(pairs.own.shape, 0.7)
        return {
            "one": lambda: (pairs.images, shares[:, :1]),
            "whole": lambda: (pairs.images, shares.long()),
            "images": lambda: (pairs.images[:1], shares),
            "alone": lambda: pairs.images,
            "draws": lambda: (pairs.images, shares * torch.rand(())),
        }[self.how]()


def blended(how):
    return stage(Partnered(RIGHT, Blends(how)))


class Forgetting(Layer):
    def __init__(self):
        super().__init__()
        self.copies = 0

    def draw(self, copy, generator):
        del copy, generator

    def forward(self, features):
        return torch.nn.functional.dropout(features, 0.5, self.training)


@dataclass(frozen=True)
class Forgets(Part):
    name = "forgets"
    at = "features"

    def build(self, shape):
        return Forgetting()


RIGHT = Loss(right)


def stage(objective=RIGHT, **more):
    return Stage("all", objective, **more)


def loss(function):
    return stage(Loss(function))


def sampled(order_of):
    return stage(sampler=(Ordered(order_of),))


def paired(partners_of):
    return stage(sampler=(Paired(order_of=lambda turn, all: Order(all, {"partners": partners_of(all)})),))


def of_the_first(seen):
    """Something more of the first run of an epoch, and nothing of the next."""
    return lambda turn, all: Order(
        all, {"near": all} if len(seen) % 2 == 0 and not seen.append(0) else seen.clear() or {}
    )


HERE = re.escape(f"{__name__}:")
AT = r", line \d+ of test_own_code.py: "
WRONG = {
    "mean": (
        loss(a_mean),
        rf"the loss {HERE}a_mean gave float32 of shape \(\); .*, \[B\], here .* \(16,\)",
    ),
    "column": (loss(a_column), rf"the loss {HERE}a_column gave float32 of shape \(16, 1\)"),
    "classes": (loss(all_classes), rf"the loss {HERE}all_classes gave float32 of shape \(16, 5\)"),
    "number": (loss(a_number), rf"the loss {HERE}a_number gave a float; it has to give a tensor"),
    "None": (loss(nothing), rf"the loss {HERE}nothing gave a NoneType; it has to give a tensor"),
    "tuple": (loss(a_tuple), rf"the loss {HERE}a_tuple gave a tuple; it has to give a tensor"),
    "float64": (loss(double), rf"the loss {HERE}double gave float64 of .*here float32 of shape \(16,\)"),
    "integers": (loss(whole_numbers), rf"the loss {HERE}whole_numbers gave int64 of .*here float32"),
    "detached": (loss(detached), rf"the loss {HERE}detached gave what no weight .* has a part in"),
    "constant": (loss(constant), rf"the loss {HERE}constant gave what no weight .* has a part in"),
    "device": (loss(on_another_device), rf"{HERE}on_another_device gave float32 of shape \(16,\) on meta; .* on cpu"),
    "NaN": (loss(not_a_number), rf"diverged: in stage 'all' the loss {HERE}not_a_number is nan from epoch 1 of 2 on"),
    "1 / 0": (loss(divides_by_nothing), rf"the loss {HERE}divides_by_nothing is (nan|inf) from epoch 1 of 2 on"),
    "raises": (loss(fails), rf"{HERE}fails{AT}RuntimeError: of two lines"),
    "field": (loss(lacks_a_field), rf"{HERE}lacks_a_field{AT}KeyError: 'margin'"),
    "attribute": (loss(lacks_an_attribute), rf"{HERE}lacks_an_attribute{AT}AttributeError: .*'per_class'"),
    "arguments": (loss(takes_too_little), r"TypeError: takes_too_little\(\) takes 2 positional arguments"),
    "item": (loss(takes_an_item), rf"{HERE}takes_an_item{AT}RuntimeError: .*\.item\(\)"),
    "branch": (loss(branches), rf"{HERE}branches{AT}RuntimeError: .*control flow"),
    "numpy": (loss(goes_by_numpy), rf"{HERE}goes_by_numpy{AT}RuntimeError"),
    "draw": (loss(draws), rf"{HERE}draws{AT}RuntimeError: .*random"),
    "seed": (loss(seeds), rf"the loss {HERE}seeds draws from a generator of the host, or seeds it: .* torch has"),
    "numpy's seed": (loss(seeds_numpy), rf"the loss {HERE}seeds_numpy draws from .* numpy has"),
    "logits": (
        loss(moves_logits),
        rf"{HERE}moves_logits{AT}RuntimeError: .*inplace",
    ),
    "labels": (
        loss(moves_labels),
        rf"the loss {HERE}moves_labels changes in place the labels .*int64 .* \(2, 16",
    ),
    "counts": (loss(moves_counts), rf"the loss {HERE}moves_counts changes in place the counts .*int64 of shape \(2, 5"),
    "of a sum": (stage(Sum((Loss(right), Loss(a_mean)))), rf"the loss {HERE}a_mean gave float32 of shape \(\)"),
    "of an ascent": (stage(SharpnessAware(Loss(a_mean), 0.1)), rf"the loss {HERE}a_mean gave float32 of shape \(\)"),
    "of an image, mean": (stage(TailAscent(a_mean)), rf"the loss {HERE}a_mean gave float32 of shape \(\); .*\(16,\)"),
    "of an image, column": (stage(TailAscent(a_column)), rf"the loss {HERE}a_column gave float32 of shape \(16, 1\)"),
    "part, draws": (stage(net=Net(parts=(Forgets(),))), rf"the loss {HERE}right or the part {HERE}Forgets draws from"),
    "from_given, draws": (stage(FromGiven()), rf"from_given of {HERE}FromGiven draws from a generator of the host"),
    "compose, draws": (stage(sampler=(Mixed(),)), rf"the loss .* or compose of the sampler {HERE}Mixed draws from"),
    "counts, from_given": (
        stage(Between("from_given", lambda feed, now: now.counts.mul_(2))),
        rf"from_given of {HERE}Between changes in place the counts",
    ),
    "counts, each_epoch": (
        stage(Between("each_epoch", lambda feed, now: now.counts.mul_(2))),
        rf"each_epoch of {HERE}Between changes in place the counts",
    ),
    "memory, each_epoch": (
        stage(Between("each_epoch", lambda feed, now: now.memory["tail"].logical_not_())),
        rf"each_epoch of {HERE}Between changes in place the memory of tail",
    ),
    "memory, in a step": (
        stage(Between("of_run", lambda feed, now: now.memory["tail"].logical_not_())),
        rf"{HERE}Between of {HERE}<lambda> changes in place the memory of tail",
    ),
    "blend, one share": (blended("one"), rf"the blend {HERE}Blends gave float32 of shape \(2, 1\); .* \(2, 16\)"),
    "blend, whole": (blended("whole"), rf"the blend {HERE}Blends gave int64 of shape \(2, 16\)"),
    "blend, images": (blended("images"), rf"the blend {HERE}Blends gave float32 of shape \(1, 4, 8, 8\)"),
    "blend, alone": (blended("alone"), rf"the blend {HERE}Blends gave a Tensor; it has to give images and"),
    "blend, draws": (blended("draws"), rf"Partnered of the loss {HERE}right and {HERE}Blends draws from"),
    "sampler, labels": (
        sampled(lambda turn, all: turn.draw.shuffle(turn.labels)),
        rf"{HERE}Ordered.order{AT}ValueError: .*read-only",
    ),
    "of_run, images": (
        stage(OfRun("each image")),
        rf"of_run of {HERE}OfRun gave .* \(16,\); .* a scalar",
    ),
    "of_run, list": (stage(OfRun("in a list")), rf"of_run of {HERE}OfRun gave float32 of shape \(1,\)"),
    "of_run, number": (stage(OfRun("a number")), rf"of_run of {HERE}OfRun gave a float"),
    "of_run, detached": (stage(OfRun("detached")), rf"of_run of {HERE}OfRun gave what no weight"),
    "of_run, moved": (stage(OfRun("moves")), rf"of_run of {HERE}OfRun changes in place the logits .* \(2, 1, 16, 5\)"),
    "of_run, groups": (stage(OfRun("regroups")), rf"{HERE}OfRun.of_run{AT}ValueError: .*read-only"),
    "of_run, a group": (stage(OfRun("forgets")), rf"{HERE}OfRun.of_run{AT}AttributeError: .*mappingproxy"),
    "of_run, field": (stage(OfRun("hidden")), rf"{HERE}OfRun.of_run{AT}AttributeError: .*'margins'"),
    "objective, one": (stage(Whole("one for all")), rf"{HERE}Whole gave float32 of shape \(\); .*\[R\], here .*\(2,\)"),
    "objective, images": (stage(Whole("each image")), rf"{HERE}Whole gave float32 of shape \(2, 16\)"),
    "objective, turned": (stage(Whole("turned")), rf"{HERE}Whole gave float32 of shape \(16, 2\)"),
    "objective, column": (stage(Whole("column")), rf"{HERE}Whole gave float32 of shape \(2, 1\)"),
    "objective, None": (stage(Whole("nothing")), rf"{HERE}Whole gave a NoneType"),
    "objective, pair": (stage(Whole("a pair")), rf"{HERE}Whole gave a tuple"),
    "objective, hits": (stage(Whole("hits")), rf"{HERE}Whole gave int64 of shape \(2,\); .* here float32"),
    "objective, detached": (stage(Whole("detached")), rf"{HERE}Whole gave what no weight"),
    "objective, item": (stage(Whole("an item")), rf"{HERE}Whole gave what no weight"),
    "objective, draws": (stage(Whole("draws")), rf"{HERE}Whole draws from a generator of the host"),
    "objective, images moved": (stage(Whole("images")), rf"{HERE}Whole changes in place the images"),
    "objective, batches": (stage(Whole("a second batch")), rf"{HERE}Whole.__call__.*{AT}IndexError"),
    "memory": (stage(Remembers()), rf"each_epoch of {HERE}Remembers gave a Tensor; it has to give a dict"),
    "sampler, short": (
        sampled(lambda turn, all: Order(all[:5])),
        rf"{HERE}Ordered gave int64 of shape \(5,\)",
    ),
    "sampler, long": (
        sampled(lambda turn, all: Order(np.tile(all, 2))),
        rf"{HERE}Ordered gave .* here shape \(",
    ),
    "sampler, beyond": (
        sampled(lambda turn, all: Order(all + 1)),
        rf"{HERE}Ordered .*, from 1 to (\d+); .* of \1 im",
    ),
    "sampler, below": (sampled(lambda turn, all: Order(all - 1)), rf"{HERE}Ordered gave .*, from -1 to"),
    "sampler, floats": (sampled(lambda turn, all: Order(all * 1.0)), rf"{HERE}Ordered gave float64 .* integers"),
    "sampler, array": (sampled(lambda turn, all: all), rf"{HERE}Ordered gave a ndarray; it has to give an Order"),
    "sampler, more": (sampled(lambda turn, all: Order(all, {"near": all[1:]})), rf"{HERE}Ordered gave 'near' of shape"),
    "partners, beyond": (paired(lambda all: all + 1), rf"{HERE}Paired gave partners, from 1 to (\d+); .* of \1 images"),
    "partners, below": (paired(lambda all: all - 1), rf"{HERE}Paired gave partners, from -1 to"),
    "partners, floats": (paired(lambda all: all / 2), rf"{HERE}Paired gave partners, float64; positions are integers"),
    "sampler, more of some": (
        sampled(of_the_first([])),
        rf"{HERE}Ordered gave 'near' for some runs and not for others",
    ),
    "sampler, draws": (
        sampled(lambda turn, all: Order(np.random.permutation(all))),  # noqa: NPY002
        rf"the sampler {HERE}Ordered draws from a generator of the host",
    ),
    "sampler, images": (stage(sampler=(Cropped(),)), rf"compose of the sampler {HERE}Cropped gave float32 of shape"),
}


def job(store, executor="inline", runs=2):
    asked = ("own_methods:MINE", "ce")
    return prepare(Request.of(methods=asked, runs=runs, store=store, dataset="tiny-lt", executor=executor, stack=runs))


@pytest.mark.parametrize("case", WRONG)
def test_it_fails_in_one_line_and_the_others_are_done(tiny_lt, tmp_path, own_methods, case):
    own_methods.MINE = Method("mine", "Mine", stages=(WRONG[case][0],))
    lines = job(tmp_path).run(lambda event: None)
    assert lines and all("\n" not in line and re.search(WRONG[case][1], line) for line in lines), lines
    assert lines[0].startswith("mine, run 0, 1: ") or [line[:12] for line in lines] == ["mine, run 0:", "mine, run 1:"]
    assert all(line.endswith("; its traceback was printed") != ("diverged" in line) for line in lines)
    assert Store(tmp_path).runs("ce") == [0, 1] and Store(tmp_path).runs("mine") == []


def a_tensor(network, images):
    return network(images).logits.mean(1)


def of_four(network, images):
    return Answer(network(images).logits.mean(1)[..., :4])


def of_experts(network, images):
    return Answer(network(images).logits)


def draws_to_answer(network, images):
    return Answer(network(images).logits.mean(1) * torch.rand(()))


def turned(network, images):
    logits = network(images).logits
    return Answer(logits.mean(1), expert_logits=logits.transpose(0, 1))


def used_by_all(network, images):
    return Answer(network(images).logits.mean(1), torch.ones(images.shape[0]))


def draws_after(network, feed):
    torch.rand(3)


def raises_after(network, feed):
    raise KeyError("bias")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"predict": a_tensor}, rf"the rule {HERE}a_tensor gave a Tensor; it has to give an Answer"),
        (
            {"predict": of_experts},
            rf"the rule {HERE}of_experts gave logits .* \(2, 1, 30, 5\); .*\(2, 30, 5\)",
        ),
        (
            {"predict": of_four},
            rf"the rule {HERE}of_four gave logits of shape \(2, 30, 4\); .*\(2, 30, 5\)",
        ),
        ({"predict": draws_to_answer}, rf"the rule {HERE}draws_to_answer draws from a generator of the host"),
        (
            {"predict": turned},
            rf"the rule {HERE}turned gave float32 of shape \(1, 2, 30, 5\); .* here .* \(2, 2, 30, 5\)",
        ),
        ({"predict": used_by_all}, rf"the rule {HERE}used_by_all gave float32 of shape \(30,\); .* \(2, 30\)"),
        ({"posthoc": draws_after}, rf"posthoc {HERE}draws_after draws from a generator of the host"),
        ({"posthoc": raises_after}, rf"{HERE}raises_after{AT}KeyError: 'bias'"),
    ],
)
def test_so_does_what_follows_the_stages(tiny_lt, tmp_path, own_methods, more, words):
    own_methods.MINE = Method("mine", "Mine", stages=(stage(),), **more)
    (line,) = job(tmp_path).run(lambda event: None)
    assert line.startswith("mine, run 0, 1: ") and re.search(words, line), line
    assert Store(tmp_path).runs("ce") == [0, 1]


def test_a_head_of_another_number_of_classes_is_refused_before_anything_is_trained(tiny_lt, tmp_path, own_methods):
    own_methods.MINE = Method("mine", "Mine", stages=(stage(net=Net(head=TooWide())),))
    words = rf"stage 'all': {HERE}TooWide gave logits of shape \(1, 1, 2, 6\) .* 5 classes"
    with pytest.raises(Refusal, match=words):
        job(tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_loss_that_is_lost_late_says_when(tiny_lt, tmp_path, own_methods):
    """From the second epoch on, and again, from the files that were kept, when the same command tries again."""
    late = Loss(right, beta=Step(0, 0.9, at=0.5), by="batch")
    own_methods.MINE = Method(
        "mine",
        "Mine",
        stages=(
            stage(
                Sum((late, Late())),
            ),
        ),
    )
    for _ in range(2):
        lines = job(tmp_path).run(lambda event: None)
        assert [line[:12] for line in lines] == ["mine, run 0:", "mine, run 1:"]
        assert all("is nan from epoch 2 of 2 on, and logits of 30 test images are not finite" in line for line in lines)


@dataclass(frozen=True)
class Late(OutputObjective):
    def of_run(self, output, labels, counts, now, given=()):
        return output.logits.mean() * (float("nan") if now.epoch else 0.0)


def no_labels(feed, *_):
    feed.labels[:], feed.counts[:], feed.rows[:] = 0, 1, 0


@pytest.mark.parametrize(
    ("made", "more"),
    [
        (stage(Between("from_given", no_labels)), {}),
        (stage(), {"posthoc": lambda network, feed: no_labels(feed)}),
    ],
)
def test_what_a_method_does_to_its_feed_no_other_method_learns_of(tiny_lt, tmp_path, own_methods, made, more):
    own_methods.MINE = Method("mine", "Mine", stages=(made,), **more)
    assert job(tmp_path / "beside").run(lambda event: None) == []
    own_methods.MINE = Method("mine", "Mine", stages=(stage(),))
    assert job(tmp_path / "alone").run(lambda event: None) == []
    said = [Store(tmp_path / name).prediction_file("ce", 0) for name in ("beside", "alone")]
    one, other = (np.load(file)["logits"] for file in said)
    assert (one == other).all()


@pytest.mark.parametrize(
    "made",
    [
        stage(OfRun("right")),
        stage(Whole("double")),
        sampled(lambda turn, all: Order(all.astype(np.uint16))),
        sampled(lambda turn, all: Order(all.tolist())),
        paired(lambda all: all[::-1].astype(np.int32)),
    ],
)
def test_what_is_right_is_trained(tiny_lt, tmp_path, own_methods, made):
    """A sum in twice the precision too, which loses nothing; and whole numbers of any size."""
    own_methods.MINE = Method("mine", "Mine", stages=(made,))
    told: list[Event] = []
    assert job(tmp_path).run(told.append) == []


MINE = """
    from ltbv import Method, Stage
    from ltbv.methods.base import Loss


    def margins(logits, labels, counts):
        return logits[:, 0] * {}["margin"]


    def column(logits, labels, counts):
        return logits[:, :1]


    MINE = Method("mine", "Mine", stages=(Stage("all", Loss(margins)),))
    COLUMN = Method("column", "Column", stages=(Stage("all", Loss(column)),))
"""


def test_the_command_names_the_log_where_the_traceback_lies(tmp_path):
    """Workers write logs, and the command says which; the failed are told by `status` too, and the exit code is 1."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(MINE))
    shape = ["--runs", "1", "--head", "20", "--imbalance", "10", "--epochs", "1", "--jobs", "1", "-q"]
    asked = ["bootstrap", "--method", "mine:MINE,mine:COLUMN,ce", *shape, "--study", "study"]
    program = [sys.executable, "-m", "ltbv.cli", *asked]
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), *sys.path[1:]])
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    lines = done.stderr.splitlines()
    log = "study/logs/runs-0.log"
    assert done.returncode == 1, lines
    assert lines == [
        f"ltbv: mine, run 0: mine:margins, line 7 of mine.py: KeyError: 'margin'; traceback: {log}",
        "ltbv: column, run 0: the loss mine:column gave float32 of shape (64, 1); it has to give a number an image,"
        f" [B], here float32 of shape (64,); traceback: {log}",
    ]
    assert "Traceback" in (tmp_path / log).read_text() and "margins" in (tmp_path / log).read_text()
    assert Store(tmp_path / "study").runs("ce") == [0]
    assert log in Store(tmp_path / "study").failures("mine")[0]


def test_a_dry_run_says_whose_function_failed(tmp_path):
    """As the run says it, in a line; there is no log, since nothing is written."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(MINE))
    asked = ["bootstrap", "--method", "mine:MINE", "--runs", "1", "--head", "20", "--dry-run", "--study", "study"]
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), *sys.path[1:]])
    environment = {**os.environ, "PYTHONPATH": path}
    program = [sys.executable, "-m", "ltbv.cli", *asked]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (2, "ltbv: mine: mine:margins, line 7 of mine.py: KeyError: 'margin'\n")
    assert not (tmp_path / "study").exists()
