"""A network from elsewhere, cut in two: is it still what it was, and do experts share its front?"""

import importlib
import sys
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from ltbv.engine.cost import check, network_cost
from ltbv.engine.protocol import GLYPHS, changed
from ltbv.errors import Refusal
from ltbv.harness.keys import canonical
from ltbv.harness.study import resolve
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Stage
from ltbv.models import vision
from ltbv.models.cut import halves, headless, last_linear
from ltbv.models.experts import Net
from ltbv.models.foreign import Foreign
from ltbv.models.parts import COSINE
from ltbv.models.stack import draw_run
from ltbv.models.vision import TorchvisionBackbone, backbone
from ltbv.seeds import generator
from ltbv.settings import Settings

RIDE = METHODS["ride"].stages[0]


class Small(nn.Module):
    """Somebody's classifier: a chain, but for what stands before its last child."""

    def __init__(self, end: str = "flatten"):
        super().__init__()
        self.end = end
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.Dropout(0.3), nn.Conv2d(8, 8, 3), nn.ReLU())
        if end == "flatten":
            self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = self.body(self.stem(x))
        if self.end == "flatten":
            return self.fc(self.pool(x).flatten(1))
        if self.end == "twice":
            return self.fc((x + x * x).mean((2, 3)))
        if self.end == "in training":
            return self.fc((x + x if self.training else x).mean((2, 3)))
        return self.fc(x.relu().mean((2, 3)) if self.end == "relu, mean" else x.mean((2, 3)))


@dataclass(frozen=True)
class Somebodys(Foreign):
    source = "somebody"

    def whole(self):
        return Small(self.name)


def stack(net: Net, of: Foreign, runs: int = 1, channels: int = 3) -> torch.nn.Module:
    network = net.build(of, runs=runs, channels=channels, classes=5).double()
    for run in range(runs):
        draw_run(network, run, runs, generator(0, run, "init"))
    return network


def images(runs: int = 1, n: int = 4, channels: int = 3, side: int = 16) -> torch.Tensor:
    return torch.randn(n, runs * channels, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("end", ["flatten", "mean", "relu, mean"])
@pytest.mark.parametrize("at", ["stem", "body", "body.1", "fc"])
def test_both_halves_say_what_the_whole_says(end, at):
    network = headless(Small(end), "fc").double().eval()
    x = images()
    expected = network(x)
    of = Somebodys(end, at)
    assert of.features(1.0) == 8
    for experts, channels in ((1, 3), (3, 3), (2, 1)):
        cut = stack(Net(experts=experts, width=1.0), of, channels=channels).eval()
        assert cut(images(channels=channels)).logits.shape == (1, experts, 4, 5)
    front, back = halves(network, at, last_linear(Small(end), "it"), end)
    assert torch.equal(back(front(x)), expected)


@pytest.mark.parametrize("end", ["twice", "in training"])
def test_a_network_that_is_no_chain_is_refused(end):
    """Also one that differs in training only."""
    with pytest.raises(Refusal, match=f"somebody:{end} cannot be cut at body.*torchvision:resnet18@layer3") as refusal:
        Net().build(Somebodys(end, "body"), runs=1, channels=3, classes=5)
    assert "\n" not in str(refusal.value)


def test_a_place_that_is_none_names_the_nearest_and_all():
    with pytest.raises(Refusal, match=r"place to cut torchvision:resnet18 'layer5' \(did you mean 'layer4'\?\)"):
        RIDE.net.build(TorchvisionBackbone("resnet18", "layer5"), runs=1, channels=3, classes=5)


def test_cutting_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    Somebodys("mean", "body").features(1.0)
    stack(Net(experts=2, width=1.0), Somebodys("mean", "body.2"))
    assert torch.equal(before, torch.get_rng_state())


def test_experts_share_the_front_and_every_gradient_arrives():
    """R = 2, E = 3: of each run one front, of each expert one back; two batches, one image, one channel."""
    network = stack(Net(experts=3, width=1.0), Somebodys("flatten", "body"), runs=2).train()
    assert len(network.stem.members) == 2 and len(network.branches.members) == 6
    output = network(images(runs=2))
    assert output.logits.shape == (2, 3, 4, 5) and output.features.shape == (2, 3, 4, 8)
    output.logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    network.zero_grad()
    network(images(runs=2)).logits[1, 2].square().sum().backward()  # one expert's: its run's front, its own back
    moved = {
        f"{part} {place}"
        for part in ("stem", "branches")
        for place, member in enumerate(getattr(network, part).members)
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in member.parameters())
    }
    assert moved == {"stem 1", "branches 5"}
    assert network.eval()(images(runs=2, n=1)).logits.shape == (2, 3, 1, 5)


def test_a_stack_of_cut_networks_is_each_of_them_alone():
    both = stack(Net(experts=2, width=1.0), Somebodys("mean", "body"), runs=2).eval()
    x = images(runs=2)
    for run in range(2):
        alone = Net(experts=2, width=1.0).build(Somebodys("mean", "body"), runs=1, channels=3, classes=5).double()
        draw_run(alone, 0, 1, generator(0, run, "init"))
        own = alone.eval()(x[:, 3 * run : 3 * run + 3])
        torch.testing.assert_close(own.logits[0], both(x).logits[run], rtol=1e-12, atol=1e-12)
        maps = both.stem_of(run)(x[:, 3 * run : 3 * run + 3])
        torch.testing.assert_close(both.expert_of(run, 1)(maps).logits[0, 0], own.logits[0, 1])
    assert not torch.equal(both(x).logits[0, 0], both(x).logits[0, 1]), "experts begin differently"


# Parameters, multiply-adds and those with batch norm of RIDE's networks for ImageNet-LT, counted in the authors' own:
# layer3, layer4 and a cosine head are an expert's own, three quarters as wide.
LARGE = {
    ("resnet50", 3): (43_677_248, 5_770_432_512, 5_799_622_400),
    ("resnext50_32x4d", 3): (42_889_024, 6_050_113_536, 6_088_322_560),
}


@pytest.mark.parametrize(("name", "experts"), LARGE)
def test_experts_of_residual_networks_are_as_wide_as_rides(name, experts):
    net = Net(experts=experts, width=0.75, head=COSINE)
    found = network_cost(net, TorchvisionBackbone(name, "layer3"), (224, 224, 3), 1000)
    assert tuple(found.values()) == LARGE[name, experts]


def test_uncut_or_whole_the_network_costs_the_same():
    plain, cut = (network_cost(Net(), TorchvisionBackbone("resnet18", at), (32, 32, 3), 10) for at in ("", "layer4"))
    assert plain == cut
    wide = network_cost(Net(width=4 / 3), TorchvisionBackbone("resnet18", "layer4"), (32, 32, 3), 10)
    assert wide["parameters"] > plain["parameters"] and wide["macs"] > plain["macs"]


@pytest.mark.parametrize("name", ["resnet18@layer4.1", "resnet18@avgpool", "mobilenet_v3_small@features.4"])
def test_what_cannot_be_made_narrower_is_refused_with_a_cure(name):
    of = backbone(f"torchvision:{name}")
    with pytest.raises(Refusal, match=r"cannot be made 0.75 times as wide; use Net\(width=1.0\), or torchvision:"):
        RIDE.net.build(of, runs=1, channels=3, classes=5)


def test_the_name_says_where_to_cut():
    assert backbone("torchvision:resnet18@layer3") == TorchvisionBackbone("resnet18", "layer3")
    assert str(backbone("torchvision:resnet18@layer3")) == "torchvision:resnet18@layer3"
    assert "cut" not in canonical(TorchvisionBackbone("resnet18")), "networks that are whole keep their keys"
    for wrong in ("resnet18", "torchvision:", "torchvision:resnet18@", ":resnet18"):
        with pytest.raises(
            Refusal, match="give torchvision:NAME, timm:NAME, cifar:resnet20 or package.module:function"
        ):
            backbone(wrong)


NET = """
from torch import nn
def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear({width}, 9))
nothing = 3
def text(): return "a network"
"""


@pytest.fixture
def own_network(tmp_path, monkeypatch):
    """Write `own_network.py`, as it would be in the directory where one works; written again, it is imported again."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(content: str) -> None:
        (tmp_path / "own_network.py").write_text(content)
        sys.modules.pop("own_network", None)
        importlib.invalidate_caches()

    yield write
    sys.modules.pop("own_network", None)


def test_a_network_of_ones_own_is_cut_by_its_name(own_network, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    own_network(NET.format(width=4))
    of = backbone("own_network:small@2")
    assert str(of) == "own_network:small@2" and of == backbone("own_network:small@2")
    output = stack(Net(experts=2, width=1.0), of, runs=2).eval()(images(runs=2))
    assert output.logits.shape == (2, 2, 4, 5) and output.features.shape == (2, 2, 4, 4)
    known = canonical(of)
    assert (known["name"], known["cut"]) == ("small", "2") and known["make"].startswith("own_network:small@")
    own_network(NET.format(width=4).replace("ReLU", "Tanh"))
    assert canonical(backbone("own_network:small@2"))["make"] != known["make"], "what it is made of is in the key"


FLAT = """
from torch import nn
def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 2, 3), nn.Flatten()), nn.Linear({features}, 9))
"""


@pytest.mark.parametrize("name", ["own_network:small", "own_network:small@1"])
@pytest.mark.parametrize("side", [9, 32])
def test_a_network_for_images_of_one_size_is_taken_for_these_and_for_no_others(own_network, side, name):
    """It is tried with one of these sides, and not with the other."""
    features = 2 * (side - 4) ** 2
    own_network(FLAT.format(features=features))
    images, protocol = torch.zeros(2, 6, side, side).double(), changed(GLYPHS, Settings(network=name))
    check(METHODS["ce"].stages[0], protocol, (side, side, 3), 5)
    assert stack(Net(), protocol.backbone, runs=2)(images).features.shape == (2, 1, 2, features)
    for other in (side - 1, side + 1):
        with pytest.raises(Refusal, match=f"takes {features} features, and there are {2 * (other - 4) ** 2}"):
            check(METHODS["ce"].stages[0], protocol, (other, other, 3), 5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "own_network:large",
            r"cannot be imported \(AttributeError: .*'large'\); give torchvision:NAME, timm",
        ),
        ("no_such_network:small", r"'no_such_network:small' cannot be imported \(ModuleNotFoundError"),
        ("own_network:nothing", "is a int; give a function that makes a torch.nn.Module"),
        ("own_network:text", "own_network:text made a str; it has to make a torch.nn.Module"),
    ],
)
def test_what_makes_no_network_is_refused(own_network, name, words):
    own_network(NET.format(width=4))
    with pytest.raises(Refusal, match=words) as refusal:
        backbone(name).features(1.0)
    assert "\n" not in str(refusal.value)


def test_ride_takes_a_cut_network_by_its_name_on_the_command_line():
    """Images of one channel, 18 x 18; and the study's cost counts its experts."""
    network = Settings(network="torchvision:resnet18@layer3")
    for key in ("ce", "ride"):
        check(METHODS[key].stages[0], changed(GLYPHS, network), (18, 18, 1), 100)
    study = resolve(network="torchvision:resnet18@layer3")
    ce, ride = (study.cost(METHODS[key]) for key in ("ce", "ride"))
    assert ride["parameters"] > 1.5 * ce["parameters"] and ride["macs"] > ce["macs"]


def test_a_network_whose_making_reads_numbers_is_checked_too():
    """regnet computes its widths with tensors: where there are only shapes (a check, a count) it cannot."""
    for name in ("torchvision:regnet_y_400mf", "torchvision:regnet_y_400mf@trunk_output.block3"):
        check(Stage("s", Loss(cross_entropy)), changed(GLYPHS, Settings(network=name)), (32, 32, 3), 10)
        assert network_cost(Net(), backbone(name), (32, 32, 3), 10)["parameters"] > 3_000_000


def test_timm_that_is_not_there_is_said(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(vision, "import_module", missing)
    with pytest.raises(Refusal, match=r"cannot be imported \(No module named 'timm'\); pip install 'ltbv\[vision\]'"):
        backbone("timm:resnet18@layer3")


def test_a_network_of_timm_is_cut_as_any_other():
    vision.torchvision()  # which timm imports, perhaps beside a CPU-only torch
    pytest.importorskip("timm")
    for name, features in (("timm:resnet18@layer3", 512), ("timm:convnext_atto@stages.2", 320)):
        network = stack(Net(experts=2, width=1.0), backbone(name))
        assert network.eval()(images(side=64)).features.shape == (1, 2, 4, features)
    with pytest.raises(Refusal, match="unknown timm network 'resnet81'"):
        backbone("timm:resnet81")


@pytest.mark.parametrize("name", ["resnet50", "resnext50_32x4d"])
def test_residual_networks_of_timm_are_narrowed_as_ride_does(name):
    pytest.importorskip("timm")
    net = Net(experts=3, width=0.75, head=COSINE)
    found = network_cost(net, backbone(f"timm:{name}@layer3"), (224, 224, 3), 1000)
    assert (found["parameters"], found["macs"]) == LARGE[name, 3][:2]


@pytest.mark.parametrize(
    ("name", "features"),
    [("resnet10t@layer3", 384), ("convnext_atto@stages.2", 240), ("pvt_v2_b0@stages.2", 192)],
)
def test_families_of_timm_are_narrowed_behind_the_cut(name, features):
    pytest.importorskip("timm")
    network = stack(Net(experts=2, width=0.75), backbone(f"timm:{name}")).eval()
    found = network(images(side=64))
    assert found.features.shape == (1, 2, 4, features) and not torch.equal(found.logits[0, 0], found.logits[0, 1])


SWIN_EXPERT = 96 * 2 * (4 * 288 + 8) + 1_152  # merge (with its norm) and last norm, which the authors' experts share


@pytest.mark.parametrize(
    ("experts", "classes", "parameters", "macs"),
    [(1, 8142, 20_767_674, 3_227_983_488), (2, 1000, 31_888_050, 4_856_357_376), (4, 1000, 62_356_386, 8_121_332_736)],
)
def test_swin_is_narrowed_as_ride_does_but_for_what_each_expert_has_for_itself(experts, classes, parameters, macs):
    """Numbers counted in the authors' RIDE-Swin, where one merge before the branches and one norm after them serve all
    experts; here each has its own, 14 x 14 x 768 x 288 multiply-adds."""
    pytest.importorskip("timm")
    net = Net(experts=experts, width=0.75, head=COSINE)
    found = network_cost(net, backbone("timm:swin_tiny_patch4_window7_224@layers.2"), (224, 224, 3), classes)
    more = experts - 1
    assert found["parameters"] == parameters + more * SWIN_EXPERT
    assert found["macs"] == macs + more * 14 * 14 * 768 * 288


@pytest.mark.parametrize("name", ["regnetx_002@s3", "densenet121@features.denseblock3", "resnet18@global_pool"])
def test_what_timm_cannot_narrow_is_refused_with_a_cure(name):
    pytest.importorskip("timm")
    with pytest.raises(Refusal, match=r"cannot be made 0.75 times as wide; use Net\(width=1.0\), or|cannot be cut at"):
        RIDE.net.build(backbone(f"timm:{name}"), runs=1, channels=3, classes=5)


class Hostile(nn.Module):
    """Somebody's network that a head cannot end, each in its own way."""

    def __init__(self, how: str):
        super().__init__()
        self.how, self.asked = how, 0
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(4, 4)
        if how == "unused":
            self.projection = nn.Linear(4, 4)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.asked += 1
        if self.how == "writes":
            x.sub_(0.5)
        features = self.body(x) * (self.asked if self.how == "counts" else 1)
        said = self.fc(features)
        if self.how == "in training" and self.training:
            return said, features
        return {"logits": said} if self.how == "dict" else said.softmax(1) if self.how == "softmax" else said


@dataclass(frozen=True)
class Hostiles(Foreign):
    source = "somebody"

    def whole(self):
        return Hostile(self.name)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("dict", "gives a dict in evaluation; it has to give a tensor"),
        ("in training", "gives a tuple in training; it has to give a tensor"),
        ("softmax", r"does not end in its last linear layer \(fc\), in evaluation"),
        ("unused", r"does not end in its last linear layer \(projection\)"),
        ("writes", "writes into the images"),
        ("counts", "says another thing of the same images each time"),
    ],
)
def test_a_network_that_a_head_cannot_end_is_refused_in_a_line(how, words):
    with pytest.raises(Refusal, match=f"somebody:{how} {words}") as told:
        Net().build(Hostiles(how), runs=1, channels=3, classes=5)
    assert "\n" not in str(told.value)


def test_one_with_a_whole_number_among_its_buffers_is_taken():
    assert stack(Net(), Hostiles("kind"), runs=2).eval()(images(runs=2)).logits.shape == (2, 1, 4, 5)


class Tied(nn.Module):
    """Two layers of one weight, which a cut between them would part."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.second.weight = self.first.weight
        self.pool, self.flat, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(self.flat(self.pool(self.second(self.first(x)))))


@dataclass(frozen=True)
class Ties(Foreign):
    source = "somebody"

    def whole(self):
        return Tied()


def test_weights_that_both_halves_share_are_not_parted():
    assert stack(Net(experts=2, width=1.0), Ties("tied", "pool")).eval()(images()).logits.shape == (1, 2, 4, 5)
    with pytest.raises(Refusal, match="somebody:tied cannot be cut at second: 0.weight is on both sides"):
        Net(experts=2, width=1.0).build(Ties("tied", "second"), runs=1, channels=3, classes=5)


def test_a_loss_falls_through_a_cut_network(tiny):
    """Twenty plain steps on one batch, both experts."""
    network = stack(Net(experts=2, width=1.0), Somebodys("mean", "body")).train()
    labels, x = torch.tensor([[0, 1, 2, 3]]), images()
    stage, losses = Stage("s", Loss(cross_entropy)), []
    for _ in range(20):
        network.zero_grad()
        counts = torch.ones(1, 5, dtype=torch.long)
        logits = network(x).logits
        loss = sum(stage.objective.loss(logits[0, e], labels[0], counts[0]).mean() for e in range(2))
        losses.append(loss.item())
        loss.backward()
        with torch.no_grad():
            for p in network.parameters():
                p -= 0.05 * p.grad
    assert losses[-1] < losses[0]
