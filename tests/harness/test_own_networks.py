"""A network of one's own that is wrong is refused in a line before anything is written; one that is unusual trains."""

import os
import random
import re
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, make_ids
from ltbv.engine.protocol import Protocol
from ltbv.engine.train import train
from ltbv.errors import Refusal
from ltbv.harness.bootstrap import prepare
from ltbv.harness.events import FoundDamaged
from ltbv.harness.request import Request
from ltbv.methods import METHODS
from ltbv.models.experts import Net
from ltbv.models.stack import draw_run, run_state
from ltbv.models.vision import backbone
from ltbv.seeds import generator
from ltbv.store import Store


class Plain(nn.Module):
    """Right as it is; what is wrong is said of images, features or logits, or set by `setting`."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(4, 4)
        self.setting()

    def setting(self):
        pass

    def images(self, x):
        return x

    def features(self, x):
        return x

    def logits(self, x):
        return x

    def forward(self, x):
        return self.logits(self.fc(self.features(self.body(self.images(x)))))


def of(setting=None, forward=None, **methods):
    """`Plain`, but for these methods."""
    written = {"setting": setting, "forward": forward, **methods}
    return type("Made", (Plain,), {name: method for name, method in written.items() if method})


def setting(**attributes):
    """After `Plain` is made, by name: what a function gives of it."""

    def sets(self):
        for name, value in attributes.items():
            setattr(self, name, value(self))

    return sets


def first(layer):
    def sets(self):
        self.body[0] = layer()

    return of(sets)


def buffer(value, persistent=True):
    return of(
        lambda self: self.register_buffer("mask", value(), persistent=persistent),
        features=lambda self, x: x * self.mask.real,
    )


def in_training(features):
    return of(features=lambda self, x: features(self, x) if self.training else x)


def does(action):
    """Before it gives its features."""
    return of(features=lambda self, x: (action(self), x)[1])


def raises(error):
    def features(self, x):
        raise error

    return features


def makes(action):
    """A function that does something first."""

    def make():
        action()
        return Plain()

    return make


ONE = Plain()


def with_body_of_one():
    made = Plain()
    made.body = ONE.body
    return made


MADE = []


def wider_each_time():
    MADE.append(0)
    made = Plain()
    made.fc = nn.Linear(4, 3 + len(MADE))
    return made


def weights_of(draw):
    def make():
        made = Plain()
        made.body[0].weight.data = draw((4, 3, 3, 3))
        return made

    return make


def remembers(self, x):
    self.steps = getattr(self, "steps", 0) + 1
    return x * self.steps


def of_flat(side):
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.fc = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Flatten()), nn.Linear(2 * side**2, 4)

        def forward(self, x):
            return self.fc(self.body(x))

    return Flat


def hooked():
    made = Plain()
    made.fc.register_forward_hook(lambda module, given, found: found.softmax(1))
    return made


def wants(width):
    return Plain()


def forgets_by(generator):
    return of(
        lambda self: setattr(self, "draws", generator()),
        features=lambda self, x: x * torch.as_tensor(self.draws.random(4) > 0.5, dtype=x.dtype) if self.training else x,
    )


class NoForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)


def repeats(self, x):
    torch.manual_seed(0)
    return nn.functional.dropout(x, 0.5, self.training)


AT = r", line \d+ of test_own_networks.py"
LOOKS = "says another thing of an image where others stand beside it, in evaluation too"
NOT_ALL = "is not all in its state_dict"
AGAIN = "says another thing in training, of the same images with the same weights and seed"
WRONG = {
    # making it
    "no function": (3, "is a int; give a function that makes a torch.nn.Module"),
    "an argument": (wants, r"cannot be made \(TypeError: .*'width'\); let it make .* without arguments, or give them"),
    "text": (lambda: "a network", "made a str; it has to make a torch.nn.Module"),
    "a class": (lambda: Plain, "made a type; it has to make a torch.nn.Module"),
    "a pair": (lambda: (Plain(), 3), "made a tuple; it has to make a torch.nn.Module"),
    "nothing": (lambda: None, "made a NoneType; it has to make a torch.nn.Module"),
    "raises": (lambda: [][1], rf"cannot be made \(IndexError: list index out of range{AT}\)"),
    "a type error": (lambda: len(3), rf"cannot be made \(TypeError: object of type 'int' has no len\(\){AT}\)"),
    "exits": (lambda: sys.exit("of its own will"), r"cannot be made \(SystemExit: of its own will"),
    "leaves": (lambda: os._exit(3), r"cannot be made \(SystemExit: os._exit\(3\) was called"),
    "asks": (makes(lambda: input("width? ")), r"cannot be made \(EOFError"),
    "the same": (lambda: ONE, "has the same module each time that it is made"),
    "the same body": (with_body_of_one, "has the same body each time that it is made"),
    "wider each time": (wider_each_time, r"is made otherwise each time: fc\.\w+ is \(\d+.*\) and then \(\d+"),
    "numpy's weights": (
        weights_of(lambda shape: torch.as_tensor(np.random.randn(*shape)).float()),  # noqa: NPY002
        "draws from the generator that numpy has for all, when it is made",
    ),
    "Python's draw": (makes(random.random), "draws from the generator that Python has for all, when it is made"),
    "other weights": (
        weights_of(lambda shape: torch.as_tensor(np.random.default_rng().normal(size=shape)).float()),
        r"is made with other numbers each time \(body.0.weight\)",
    ),
    "a seed": (makes(lambda: torch.manual_seed(0)), "seeds torch's generator when it is made, so that all runs"),
    "in parallel": (lambda: nn.DataParallel(Plain()), "made a DataParallel; give the network itself, .* its .module"),
    "compiled": (lambda: torch.compile(Plain()), "made a OptimizedModule; give the network itself"),
    # what it holds
    "no linear layer": (of(setting(fc=lambda self: nn.Identity())), "has no linear layer at its end to be replaced"),
    "lazy": (first(lambda: nn.LazyConv2d(4, 3)), r"has a lazy layer, whose weights .* \(body.0.weight\)"),
    "lazy head": (of(setting(fc=lambda self: nn.LazyLinear(4))), r"has a lazy layer, whose weights .* \(fc.weight\)"),
    "complex": (
        of(setting(w=lambda self: nn.Parameter(torch.ones(4) + 0j)), features=lambda self, x: (x * self.w).real),
        r"has complex numbers \(w\)",
    ),
    "complex buffer": (buffer(lambda: torch.ones(4) + 0j), r"has complex numbers \(mask\)"),
    "a dict in its state": (
        of(get_extra_state=lambda self: {"a": 1}),
        r"has a dict in its state_dict \(_extra_state\)",
    ),
    "not kept": (buffer(lambda: torch.randn(4), persistent=False), NOT_ALL),
    "an attribute": (of(setting(w=lambda self: torch.randn(4)), features=lambda self, x: x * self.w), NOT_ALL),
    "in a list": (of(setting(w=lambda self: [nn.Linear(4, 4)]), features=lambda self, x: self.w[0](x)), NOT_ALL),
    "a hook on its end": (hooked, r"has a hook on its last linear layer \(fc\)"),
    "made when asked": (
        does(lambda self: hasattr(self, "w") or setattr(self, "w", nn.Parameter(torch.ones(4)))),
        r"makes weights when it is asked \(w\)",
    ),
    # what it says
    "gives a pair": (of(logits=lambda self, x: (x, x)), "gives a tuple in evaluation; it has to give a tensor"),
    "gives a dict": (of(logits=lambda self, x: {"logits": x}), "gives a dict in evaluation"),
    "gives nothing": (of(logits=lambda self, x: None), "gives a NoneType in evaluation"),
    "a pair in training": (of(logits=lambda self, x: (x, x) if self.training else x), "gives a tuple in training"),
    "no batch": (of(features=lambda self, x: x.mean(0)), r"features float32 of shape \(4,\) of 2 images in evaluation"),
    "one of the batch": (of(features=lambda self, x: x[:1]), r"gives features float32 of shape \(1, 4\) of 2 images"),
    "twice the batch": (of(features=lambda self, x: x.repeat(2, 1)), r"gives features float32 of shape \(4, 4\)"),
    "tokens": (of(features=lambda self, x: x[:, None].expand(-1, 3, -1)), r"of shape \(2, 3, 4\) of 2 images"),
    "maps": (of(features=lambda self, x: x[:, None, None].expand(-1, 3, 2, -1)), r"of shape \(2, 3, 2, 4\) of 2"),
    "squeezed": (of(features=lambda self, x: x.squeeze()), r"features float32 of shape \(4,\) of 1 images in eval"),
    "double": (
        of(forward=lambda self, x: self.fc.double()(self.body(x).double())),
        r"features float64 of shape \(2, 4\) .*; they have to be float32 of shape \(2, 4\), a row for each image",
    ),
    "half": (of(forward=lambda self, x: self.fc.half()(self.body(x).half())), r"features float16 of shape \(2, 4\)"),
    "classes": (of(logits=lambda self, x: x.argmax(1)), r"gives logits int64 of shape \(2,\) of 2 images"),
    "on another device": (of(logits=lambda self, x: x.to("meta")), r"logits float32 of shape \(2, 4\) on meta"),
    "NaN": (of(features=lambda self, x: x * float("nan")), "gives NaN or infinity of images between 0 and 1"),
    "infinity": (of(features=lambda self, x: x / 0), "gives NaN or infinity"),
    "softmax": (of(logits=lambda self, x: x.softmax(1)), r"does not end in its last linear layer \(fc\)"),
    "detached": (of(features=lambda self, x: x.detach()), "gives features in training that no weight .* detached"),
    "no gradient": (of(forward=torch.no_grad()(Plain.forward)), "gives features in training that no weight"),
    "no more gradients": (
        does(lambda self: torch.set_grad_enabled(False)),
        "switches gradients off for all, in training",
    ),
    "into its images": (of(images=lambda self, x: x.mul_(2)), "writes into the images that it is given, in evaluation"),
    "into them, in training": (
        of(images=lambda self, x: x.mul_(2) if self.training else x),
        "writes into the images that it is given, in training",
    ),
    "another size": (of_flat(13), "takes 338 features, and there are 288 of images of this size"),
    "grey": (first(lambda: nn.Conv2d(1, 4, 3)), rf"raises of images \[2, 3, 12, 12\], in .* 1 channels.*{AT}"),
    "two arguments": (of(forward=lambda self, x, y: x), "raises of images .* in evaluation: TypeError: .*'y'"),
    "no forward": (NoForward, "raises of images .*: NotImplementedError"),
    "too small": (first(lambda: nn.Conv2d(3, 4, 40)), "raises of images .* it takes images of 64 x 64; give such"),
    # when it says it
    "raises in training": (in_training(raises(KeyError("aux"))), rf"raises of .*, in training: KeyError: 'aux'{AT}"),
    "exits when asked": (of(features=raises(SystemExit(7))), rf"raises of .*, in evaluation: SystemExit: 7{AT}"),
    "leaves when asked": (does(lambda self: os._exit(7)), r"raises of .*: SystemExit: os._exit\(7\) was called"),
    "without end": (does(lambda self: self.forward(torch.zeros(2, 3, 12, 12))), "raises of .*: RecursionError"),
    # what it depends on
    "counts": (of(features=remembers), "says another thing of the same images each time, in evaluation too"),
    "counts in training": (in_training(remembers), AGAIN),
    "moments of the batch": (
        of(
            setting(norm=lambda self: nn.BatchNorm1d(4, track_running_stats=False)),
            features=lambda self, x: self.norm(x),
        ),
        f"({LOOKS}|raises of images .1, 3, 12, 12., in evaluation: ValueError)",
    ),
    "contrast": (of(features=lambda self, x: x - x.mean(0, keepdim=True)), LOOKS),
    "numpy forgets": (
        in_training(lambda self, x: x * float(np.random.rand() > 0.5)),  # noqa: NPY002
        "draws from the generator that numpy has for all, in training; draw from torch's own",
    ),
    "Python forgets": (in_training(lambda self, x: x * random.random()), "draws from the generator that Python has"),
    "its own forgets": (forgets_by(lambda: np.random.default_rng(0)), AGAIN),
    "a seed when asked": (of(features=repeats), "seeds torch's generator for all, in evaluation"),
}


@pytest.fixture
def own_networks(monkeypatch, larger, introduce):
    """Give a network the name own_networks:MADE, and a study on images of 12 x 12 the chance to be of it."""
    introduce(monkeypatch)
    module = types.ModuleType("own_networks")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def job(store, network="own_networks:MADE", methods=("ce",), stack=2):
    return prepare(
        Request.of(
            methods=methods,
            runs=2,
            store=store,
            dataset="larger-lt",
            executor="inline",
            stack=stack,
            network=network,
        )
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize("case", WRONG)
def test_it_is_refused_in_a_line_before_anything_is_written(own_networks, tmp_path, case):
    own_networks.MADE, words = WRONG[case]
    before = torch.get_rng_state(), random.getstate(), torch.is_grad_enabled()
    with pytest.raises(Refusal, match=words) as told:
        job(tmp_path / "study")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "study").exists()
    assert torch.equal(before[0], torch.get_rng_state()) and before[1:] == (random.getstate(), torch.is_grad_enabled())


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        ("bdy", r"unknown place to cut .* 'bdy' \(did you mean 'body'\?\); there is: body, body.0, .*, fc"),
        ("body.4", r"'body.4' \(did you mean 'body.3'\?\)"),
        ("body.0.weight", r"unknown place to cut"),
    ],
)
def test_a_place_to_cut_that_is_none_names_the_nearest(own_networks, tmp_path, cut, words):
    own_networks.MADE = Plain
    with pytest.raises(Refusal, match=words):
        job(tmp_path / "study", f"own_networks:MADE@{cut}")
    assert not (tmp_path / "study").exists()


def frozen():
    made = Plain()
    made.body[0].weight.requires_grad_(False)
    return made


class Tied(Plain):
    def setting(self):
        self.body.insert(0, nn.Conv2d(3, 3, 3, padding=1))
        self.body.insert(0, nn.Conv2d(3, 3, 3, padding=1))
        self.body[1].weight = self.body[0].weight


def with_hook():
    made = Plain()
    made.body[0].register_forward_hook(lambda module, given, found: found * 2)
    return made


class Decorated(Plain):
    @torch.no_grad()
    def setting(self):
        self.body[0].weight.mul_(2)


UNUSUAL = {
    "plain": Plain,
    "frozen": frozen,
    "tied": Tied,
    "decorated": Decorated,
    "hook": with_hook,
    "branches on numbers": of(features=lambda self, x: x * 2 if x.mean() > 0 else x),
    "reads an item": of(features=lambda self, x: x * x.detach().abs().max().item()),
    "goes by numpy": of(features=lambda self, x: x + torch.as_tensor(np.sin(x.detach().numpy()))),
    "of halves": lambda: Plain().half(),
    "of doubles": lambda: Plain().double(),
    "truths": buffer(lambda: torch.tensor([True, True, False, True])),
    "bytes": buffer(lambda: torch.ones(4, dtype=torch.uint8)),
    "a constant that is not kept": buffer(lambda: torch.arange(4.0), persistent=False),
    "train gives nothing": of(train=lambda self, mode=True: (nn.Module.train(self, mode), None)[1]),
    "norm of weights": first(lambda: parametrizations.weight_norm(nn.Conv2d(3, 4, 3))),
    "spectral norm": first(lambda: parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))),
    "norm before": first(lambda: torch.nn.utils.spectral_norm(nn.Conv2d(3, 4, 3))),
    "norm of each": first(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4))),
    "norm of vectors": of(setting(norm=lambda self: nn.BatchNorm1d(4)), features=lambda self, x: self.norm(x)),
    "forgets": of(features=lambda self, x: nn.functional.dropout(x, 0.5, self.training)),
    "asked twice": of(forward=lambda self, x: self.fc(checkpoint(self.body, x, use_reentrant=False))),
    "unused": of(setting(unused=lambda self: nn.Conv2d(3, 3, 1), fc=lambda self: nn.Linear(4, 4))),
    "of one size": of_flat(12),
    "prints": does(lambda self: print("hello")),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_one_that_is_unusual_is_trained_and_its_files_are_read_again(own_networks, tmp_path, case):
    """A second method stands on the stage that was kept."""
    own_networks.MADE, said = UNUSUAL[case], []
    for methods in (("ce",), ("ce", "tau_norm")):
        assert job(tmp_path, methods=methods).run(said.append) == []
    assert not [event for event in said if isinstance(event, FoundDamaged)]
    assert Store(tmp_path).runs("tau_norm") == [0, 1]


def trained(dataset, backbone, runs):
    """The states of these runs, in float64."""
    stage = METHODS["ce"].stages[0]
    protocol = Protocol(epochs=2, batch=16, learning_rate=0.1, backbone=backbone)
    network = stage.net.build(backbone, runs=len(runs), channels=3, classes=7, size=(12, 12)).double()
    for place, run in enumerate(runs):
        draw_run(network, place, len(runs), generator(0, run, "init"))
    ids = np.stack([np.sort(np.random.default_rng(run).choice(ALL, 40, replace=False)) for run in runs])
    feed = Feed(dataset, ids, augmentation=Augmentation(flip=True), device=torch.device("cpu"), dtype=torch.float64)
    train(stage, network, feed, protocol, seed=0, runs=runs)
    return [run_state(network, place, len(runs)) for place in range(len(runs))]


ALL = make_ids(np.repeat(np.arange(7), 20), np.tile(np.arange(20), 7))


@pytest.mark.parametrize("case", UNUSUAL)
def test_two_runs_side_by_side_are_two_runs_one_by_one(own_networks, larger, case):
    own_networks.MADE = UNUSUAL[case]
    of = backbone("own_networks:MADE")
    both = trained(larger, of, (0, 1))
    for run in (0, 1):
        (alone,) = trained(larger, of, (run,))
        assert alone.keys() == both[run].keys()
        for name, values in alone.items():
            np.testing.assert_allclose(both[run][name], values, rtol=1e-7, atol=1e-9, err_msg=name)


def test_what_its_maker_froze_stays_as_it_was_drawn(own_networks, larger):
    """Before: it learnt like all others."""
    own_networks.MADE = frozen
    of = backbone("own_networks:MADE")
    drawn = of.whole().state_dict()
    before = Net().build(of, runs=1, channels=3, classes=7).double()
    draw_run(before, 0, 1, generator(0, 0, "init"))
    (after,) = trained(larger, of, (0,))
    then = run_state(before, 0, 1)
    same = {name.partition(".")[2]: np.array_equal(then[name], after[name]) for name in then if "branches" in name}
    assert same == {name: name == "body.0.weight" for name in drawn if name.startswith("body")}


MINE = """
    import sys
    from torch import nn


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            print("asked")
            features = self.body(x)
            if features.shape[0] > 4:
                raise ValueError("too many")
            return self.fc(features)


    def exits():
        sys.exit(0)
"""


def test_on_the_command_line_what_it_prints_and_raises_is_where_it_belongs(tmp_path):
    """Answers of `--json` are JSON; the code is 2; what is raised in training only is told with its log, code 1."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(MINE))
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), *sys.path[1:]])

    def command(*asked):
        shape = ["--runs", "1", "--head", "20", "--imbalance", "10", "--epochs", "1", "--jobs", "1", "--study", "study"]
        program = [sys.executable, "-m", "ltbv.cli", "bootstrap", "--method", "ce", *shape, *asked]
        own = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, env=own)

    refused = command("--network", "mine:exits")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.fullmatch(
        r"ltbv: network mine:exits cannot be made \(SystemExit: 0, line 21 of mine.py\)\n", refused.stderr
    )
    assert not (tmp_path / "study").exists()
    planned = command("--network", "mine:Net", "--dry-run", "--json")
    assert planned.returncode == 0 and planned.stdout.startswith("{") and "asked" in planned.stderr
    failed = command("--network", "mine:Net", "-q")
    log = "study/logs/runs-0.log"
    (line,) = [line for line in failed.stderr.splitlines() if line != "asked"]
    assert failed.returncode == 1
    assert line == f"ltbv: ce, run 0: mine:Net.forward, line 16 of mine.py: ValueError: too many; traceback: {log}"
    assert "Traceback" in (tmp_path / log).read_text()
