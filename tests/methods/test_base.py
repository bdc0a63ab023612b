"""The vocabulary: how methods are found, and which recipes are refused."""

import sys
from dataclasses import FrozenInstanceError, replace
from importlib.metadata import EntryPoint

import pytest
import torch

import ltbv
from ltbv.data.batches import Batch
from ltbv.data.samplers import Held, Instance
from ltbv.errors import Refusal
from ltbv.losses import cross_entropy, effective_number
from ltbv.methods import METHODS, find, register
from ltbv.methods.base import Answer, Loss, Method, Moment, OutputObjective, Stage, mean
from ltbv.methods.decoupling import Scales
from ltbv.methods.objective import right
from ltbv.methods.registry import HOMES, is_importable
from ltbv.methods.router import Routing
from ltbv.models.experts import Net, Output
from ltbv.models.parts import COSINE
from ltbv.optimisers import SGD
from ltbv.schedules import Step


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of one's own on the path, `own_methods`, with a method and something that is none."""
    (tmp_path / "own_methods.py").write_text(
        "from ltbv.methods.base import Loss, Method, Stage\n"
        "from ltbv.losses import focal\n"
        "FOCAL = Method('my_focal', 'My focal', stages=(Stage('all', Loss(focal)),))\n"
        "def not_a_method(): pass\n"
    )
    (tmp_path / "broken_methods.py").write_text("def (:\n")
    (tmp_path / "raising_methods.py").write_text("raise RuntimeError('no such file: weights.pt')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("own_methods", "broken_methods", "raising_methods"):
        sys.modules.pop(name, None)


def test_a_key_finds_its_method():
    assert all(find(key) is method and method.key == key for key, method in METHODS.items())
    assert {"ce", "ldam", "ldam_drw", "tau_norm", "crt", "ride"} <= set(METHODS)


def test_every_method_says_what_it_is():
    labels = [method.label for method in METHODS.values()]
    assert len(set(labels)) == len(labels)
    assert all(method.summary and "\n" not in method.summary for method in METHODS.values())
    without_one = {"ce", "ce_wide", "oversampling", "undersampling", "ce_with_dev", "ce_drw_with_dev"}
    assert {key for key, method in METHODS.items() if not method.paper} == without_one
    assert all(method.about.strip() and method.adds_to in ("", *METHODS) for method in METHODS.values())


def test_an_unknown_key_names_the_nearest_and_all():
    with pytest.raises(
        Refusal, match=r"unknown method 'ldam_drv' \(did you mean 'ldam_drw'\?\); there is: .*, ce, .*, crt, .*"
    ):
        find("ldam_drv")


def test_a_method_of_ones_own_is_found_by_its_path(own):
    assert find("own_methods:FOCAL").label == "My focal"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_methods:FOCL", "FOCL"),
        ("own_methods:not_a_method", "is a function, not a Method"),
        ("no_such_module:FOCAL", "no_such_module"),
        ("own_methods:", "package.module:name"),
        (":FOCAL", "package.module:name"),
        (".own_methods:FOCAL", "package.module:name"),
        ("broken_methods:FOCAL", "broken_methods"),
        ("raising_methods:FOCAL", "no such file: weights.pt"),
    ],
)
def test_what_cannot_be_found_is_refused_in_one_line(own, name, words):
    with pytest.raises(Refusal) as refusal:
        find(name)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_method_is_a_value():
    ce = METHODS["ce"]
    assert replace(ce) == ce and hash(replace(ce)) == hash(ce)
    with pytest.raises(FrozenInstanceError):
        ce.key = "other"


def test_a_taken_key_and_a_stage_that_does_not_exist_are_refused(monkeypatch):
    monkeypatch.setattr("ltbv.methods.registry.METHODS", dict(METHODS))
    with pytest.raises(Refusal, match="'ce' is taken by 'CE'"):
        register(Method("ce", "Another", stages=(Stage("all", Loss(cross_entropy), epochs=2.0),)))
    register(METHODS["ce"])  # the same again is nothing new
    with pytest.raises(Refusal, match="no stage 'first'; it has: second"):
        register(Method("mine", "Mine", stages=(Stage("second", Loss(cross_entropy), start="first"),)))
    with pytest.raises(Refusal, match="no stage 'teacher'"):
        register(Method("mine", "Mine", stages=(Stage("second", Loss(cross_entropy), given=("teacher",)),)))


def test_a_module_may_register_its_own_key_again_and_no_other_module(monkeypatch):
    monkeypatch.setattr("ltbv.methods.registry.METHODS", dict(METHODS))
    monkeypatch.setattr("ltbv.methods.registry.HOMES", dict(HOMES))
    cell = """
def loss(logits, labels, counts):
    return cross_entropy(logits, labels)

MINE = register(Method("mine", "Mine", stages=(Stage("all", Loss(loss)),)))
"""
    names = {"register": register, "Method": Method, "Stage": Stage, "Loss": Loss, "cross_entropy": cross_entropy}
    first, second = ({**names, "__name__": "__main__"} for _ in range(2))
    exec(cell, first)
    exec(cell, second)
    assert find("mine") is second["MINE"] is not first["MINE"]
    with pytest.raises(Refusal, match="'mine' is taken by 'Mine'"):
        exec(cell, {**names, "__name__": "another"})
    assert is_importable("ce") and is_importable("package.module:mine") and not is_importable("mine")


# Recipes that make no sense

FIRST = Stage("first", Loss(cross_entropy))


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ((), r"method 'mine' has stages \(\); give a tuple of one Stage or more"),
        (FIRST, "method 'mine' has stages Stage.*; give a tuple of one Stage or more"),
        ((FIRST, FIRST), "has two stages of one name: first, first; give each its own"),
        ((replace(FIRST, reset=("heads",)),), "draws heads anew; that takes a stage to start from"),
        (
            (FIRST, replace(FIRST, name="second", start="first", reset=("scales",))),
            "unknown part in stage 'second' of method 'mine' 'scales'.*; there is: branches, heads, stem",
        ),
        ((replace(FIRST, sampler=Instance()),), r"has the sampler Instance\(\); give a tuple of one Sampler or more"),
        ((replace(FIRST, sampler=()),), r"has the sampler \(\); give a tuple"),
        ((replace(FIRST, start="first"),), "stage 'first' stands on 'first', which is not before it"),
        ((replace(FIRST, given=("second",)), Stage("second", Loss(cross_entropy))), "'second', which is not before it"),
        ((replace(FIRST, train=("head",)),), r"unknown part in stage 'first' of method 'mine' 'head' \(did you mean"),
        ((replace(FIRST, reset=("body",)),), "unknown part in stage 'first' of method 'mine' 'body'"),
        ((replace(FIRST, train=("router",)),), "unknown part in stage 'first' of method 'mine' 'router'"),
        ((replace(FIRST, own=(("scales", SGD()),)),), "unknown part in stage 'first' of method 'mine' 'scales'"),
        ((replace(FIRST, train=()),), "stage 'first' trains nothing; "),
        ((replace(FIRST, first=("stem", "branches", "heads")),), "steps stem, branches, heads first; name some of"),
        ((replace(FIRST, train=("heads",), first=("stem",)),), "steps stem first; name some of the parts that learn"),
        ((replace(FIRST, sampler=(Instance(), Held())),), "holds out 0 images a class; give held=10"),
        ((replace(FIRST, held=-1),), "holds out -1 images a class"),
        ((replace(FIRST, sampler=("class_balanced",)),), r"the sampler 'class_balanced'; give a Sampler, such as"),
        ((replace(FIRST, sampler=(Instance,)),), "give a Sampler, such as Instance()"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_in_one_line(stages, words):
    with pytest.raises(Refusal, match=words) as refusal:
        Method("mine", "Mine", stages=stages)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        (Net(), Net(), True),
        (Net(), Net(parts=(Scales(),)), True),
        (Net(experts=2), Net(experts=2, parts=(Routing(3),)), True),
        (Net(experts=2, parts=(Scales(),)), Net(experts=2, parts=(Scales(), Routing(3))), True),
        (Net(parts=(Scales(),)), Net(), False),  # what the earlier stage learnt would be thrown away
        (Net(experts=2, parts=(Routing(3),)), Net(experts=2), False),
        (Net(), Net(experts=2), False),
        (Net(experts=2), Net(experts=2, width=1.0), False),
        (Net(), Net(head=COSINE), False),
        (Net(experts=2), Net(experts=2, apart=True), False),
    ],
)
def test_a_stage_starts_from_a_network_like_its_own_or_with_less(before, after, allowed):
    stages = replace(FIRST, net=before), Stage("second", Loss(cross_entropy), net=after, start="first")
    if allowed:
        assert Method("mine", "Mine", stages=stages).needed() == list(stages)
    else:
        with pytest.raises(Refusal, match="'second' starts from 'first', whose network is another one: Net") as refusal:
            Method("mine", "Mine", stages=stages)
        assert "\n" not in str(refusal.value)


def test_what_a_stage_stands_on_comes_before_it_and_once():
    second = replace(FIRST, name="second", start="first")
    third = replace(FIRST, name="third", given=("second", "first"))
    aside = replace(FIRST, name="aside", epochs=0.5)
    method = Method("mine", "Mine", stages=(FIRST, second, aside, third))
    assert method.needed() == [FIRST, second, third] and method.needed(aside) == [aside]


# Making a method known


@pytest.fixture
def known(monkeypatch) -> dict[str, Method]:
    """The table of methods, to be changed for the while of a test."""
    table = dict(METHODS)
    monkeypatch.setattr("ltbv.methods.registry.METHODS", table)
    return table


def test_register_decorates_a_function_that_makes_a_method(known):
    @register
    def mine() -> Method:
        return Method("mine", "Mine", stages=(FIRST,))

    assert isinstance(mine, Method) and known["mine"] is mine and find("mine") is mine


def test_register_refuses_what_makes_no_method(known):
    with pytest.raises(Refusal, match="register was given a str; give a Method, or a function that makes one"):

        @register
        def mine():
            return "ce"

    assert known == METHODS


def test_a_method_of_an_installed_package_is_found_by_its_entry_point(own, monkeypatch):
    point = EntryPoint(name="theirs", value="own_methods:FOCAL", group="ltbv.methods")
    wrong = EntryPoint(name="wrong", value="own_methods:not_a_method", group="ltbv.methods")
    monkeypatch.setattr("ltbv.methods.registry.brought", lambda: {"theirs": point, "wrong": wrong})
    assert find("theirs").label == "My focal"
    with pytest.raises(Refusal, match="'wrong' is a function, not a Method"):
        find("wrong")
    with pytest.raises(Refusal, match=r"unknown method 'their' \(did you mean 'theirs'\?\); there is: .*ce, .*theirs"):
        find("their")


def test_a_packages_method_does_not_pass_for_a_known_one(own, monkeypatch):
    point = EntryPoint(name="ce", value="own_methods:FOCAL", group="ltbv.methods")
    monkeypatch.setattr("ltbv.methods.registry.brought", lambda: {"ce": point})
    assert find("ce") is METHODS["ce"]


def test_packages_are_not_imported_until_their_method_is_asked_for(own, monkeypatch):
    point = EntryPoint(name="raising", value="raising_methods:FOCAL", group="ltbv.methods")
    monkeypatch.setattr("ltbv.methods.registry.brought", lambda: {"raising": point})
    assert find("ce") is METHODS["ce"]
    with pytest.raises(Refusal, match="no such file: weights.pt"):
        find("raising")


# What is minimised, and who answers


@pytest.mark.parametrize("by", ["weights", "batch"])
@pytest.mark.parametrize("experts", [1, 2, 3])
def test_a_loss_adds_up_those_of_the_experts_weighted_when_its_schedule_says_so(experts, by):
    draw = torch.Generator().manual_seed(2)
    logits = torch.randn(experts, 6, 4, generator=draw, dtype=torch.float64)
    labels, counts = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([30, 9, 3, 1])
    deferred = Loss(cross_entropy, beta=Step(0.0, 0.99, at=0.5), by=by)
    for epoch, beta in ((0, 0.0), (4, 0.0), (5, 0.99), (9, 0.99)):
        ours = deferred.of_run(Output(logits, logits), labels, counts, Moment(epoch, 10, counts))
        weight = effective_number(counts, beta)[labels]
        divisor = weight.sum() if by == "weights" else 6
        expected = sum((weight * cross_entropy(z, labels)).sum() / divisor for z in logits)
        torch.testing.assert_close(ours, expected)


def test_a_divisor_that_does_not_exist_is_refused():
    with pytest.raises(
        Refusal, match=r"divisor of a loss 'weight' \(did you mean 'weights'\?\); there is: batch, weights"
    ):
        Loss(cross_entropy, by="weight")


class Seen(OutputObjective):
    """Keeps nothing: its loss of a run is a number that tells what it was handed."""

    def of_run(self, output, labels, counts, now, given=()):
        others = sum((i + 2) * other.logits.sum() + other.features.sum() for i, other in enumerate(given))
        return output.logits.sum() + 10 * labels.sum() + 100 * counts.sum() + others


def test_an_objective_of_outputs_is_handed_each_runs_own_and_what_given_networks_say_without_gradient():
    draw = torch.Generator().manual_seed(0)
    outputs = [
        Output(
            *(torch.randn(3, 2, 4, size, generator=draw, dtype=torch.float64, requires_grad=True) for size in (5, 6))
        )
        for _ in range(3)
    ]
    batch = Batch(torch.zeros(4, 3), torch.arange(12).reshape(3, 4) % 5)
    now = Moment(0, 1, torch.tensor([[1, 2], [3, 4], [5, 6]]))
    network, *given = ((lambda images, output=output: Output(*(part * 1 for part in output))) for output in outputs)
    losses, right = Seen()(network, (batch,), tuple(given), now)
    assert torch.equal(right, (outputs[0].logits.mean(1).argmax(-1) == batch.labels).sum(1))
    for run in range(3):
        own, one, two = (Output(*(part[run] for part in output)) for output in outputs)
        expected = Seen().of_run(own, batch.labels[run], now.counts[run], now, (one, two))
        torch.testing.assert_close(losses[run], expected)
    losses[1].backward()
    assert [int(output.logits.grad is not None) for output in outputs] == [1, 0, 0]
    assert (outputs[0].logits.grad[1] == 1).all() and (outputs[0].logits.grad[[0, 2]] == 0).all()


def test_the_mean_of_the_experts_logits_answers():
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    answer = mean(lambda images: Output(logits, logits), torch.zeros(4))
    assert isinstance(answer, Answer) and answer.experts_used is None
    torch.testing.assert_close(answer.logits, (logits[:, 0] + logits[:, 1] + logits[:, 2]) / 3)


def test_the_package_gives_the_vocabulary():
    assert ltbv.Method is Method and ltbv.Stage is Stage and ltbv.register is register
    with pytest.raises(AttributeError, match="it has: .*Method"):
        ltbv.no_such_name  # noqa: B018


def test_a_network_that_says_nothing_has_no_image_right():
    """Its logits are all equal: whatever class comes first is no answer."""
    logits, labels = torch.zeros(2, 1, 3, 4), torch.tensor([[0, 1, 2], [0, 0, 0]])
    assert right(logits, labels).tolist() == [0, 0]
    logits[1, 0, :, 0] = 1.0
    assert right(logits, labels).tolist() == [0, 3]
    assert right(torch.full((1, 1, 3, 4), torch.nan), labels[:1]).tolist() == [0]


def test_the_mean_of_the_experts_answers():
    logits = torch.tensor([[3.0, 0.0], [-1.0, 1.0]]).view(1, 2, 1, 2)
    assert right(logits, torch.tensor([[0]])).tolist() == [1] and right(logits, torch.tensor([[1]])).tolist() == [0]
