"""Small networks of torchvision's and timm's families x methods: each trains, two side by side as one by one, or is
refused in a line that says the cure."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, Dataset, Images, indices_of, labels_of, make_ids
from ltbv.engine.cost import check
from ltbv.engine.protocol import Protocol
from ltbv.engine.train import train
from ltbv.errors import Refusal
from ltbv.methods import METHODS
from ltbv.models.foreign import Foreign
from ltbv.models.stack import draw_run, run_state
from ltbv.models.vision import backbone, torchvision
from ltbv.seeds import generator

KEYS = ("ce", "ldam_drw", "ride")  # a linear head, one of cosines, experts
COUNTS, POOL, SIDE = (5, 3, 2), 8, 32
NARROW = r"cannot be made 0.75 times as wide; use Net\(width=1.0\), or torchvision:resnet18@layer3"
SWIN = "img_size=32,window_size=2,embed_dim=24,depths=(1,1,2,1)"
VIT = "img_size=32,patch_size=8,depth=2,proj_drop_rate=0.1"

# A network -> why RIDE is refused on it; '' where it trains.
NETWORKS = {
    "torchvision:shufflenet_v2_x0_5": NARROW,
    "torchvision:mobilenet_v3_small@features.10": NARROW,
    "torchvision:resnet18@layer4": "",
    "timm:test_resnet@layer3": "",
    "timm:test_convnext@stages.2": "",
    "timm:test_byobnet@stages.2": NARROW,
    "timm:test_efficientnet": NARROW,
    "timm:test_vit": NARROW,
    f"timm:vit_tiny_patch16_224,{VIT}": NARROW,
    "timm:test_nfnet@stages.2": NARROW,
    "timm:test_mambaout@stages.2": NARROW,
    "timm:regnetx_002@s3": NARROW,
    "timm:mixer_s32_224,img_size=64@blocks.6": NARROW,
    f"timm:swin_tiny_patch4_window7_224,{SWIN}@layers.2": "",
    f"timm:swinv2_tiny_window8_256,{SWIN}@layers.2": "",
}
SLOW = {"torchvision:resnet18@layer4": ("ride",), "torchvision:mobilenet_v3_small@features.10": ("ce", "ride")}
SLOW |= {"timm:regnetx_002@s3": ("ldam_drw", "ride"), "timm:mixer_s32_224,img_size=64@blocks.6": ("ce", "ride")}


@cache
def pictures(side: int) -> Dataset:
    """Three classes of noise."""
    draw = np.random.default_rng(0)
    stored = draw.integers(0, 256, (3, POOL, side, side, 3), dtype=np.uint8)
    return Dataset(
        name="pictures-lt",
        class_names=("a", "b", "c"),
        pool_sizes=np.full(3, POOL),
        read=lambda ids: stored[labels_of(ids), indices_of(ids)],
        test=Images(stored[:, 0], np.arange(3)),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        mirrors=True,
    )


def sample(run: int) -> np.ndarray:
    draw = np.random.default_rng(run)
    places = np.concatenate([draw.permutation(POOL)[:n] for n in COUNTS])
    return np.sort(make_ids(np.repeat(np.arange(3), COUNTS), places))


def of(name: str) -> Protocol:
    return Protocol(epochs=1, batch=5, learning_rate=0.01, backbone=backbone(name))


def trained(name: str, key: str, runs: tuple[int, ...], side: int):
    """The states of these runs, by run, and their losses [R, 1], after an epoch of two batches."""
    stage, data = METHODS[key].stages[0], pictures(side)
    protocol = of(name)
    network = stage.net.build(protocol.backbone, runs=len(runs), channels=3, classes=3, size=(side, side)).double()
    for place, run in enumerate(runs):
        draw_run(network, place, len(runs), generator(0, run, "init"))
    feed = Feed(
        data,
        np.stack([sample(run) for run in runs]),
        augmentation=Augmentation(flip=True),
        device=torch.device("cpu"),
        dtype=torch.float64,
    )
    history = train(stage, network, feed, protocol, seed=0, runs=runs)
    return [run_state(network, place, len(runs)) for place in range(len(runs))], history.losses


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in NETWORKS for key in SLOW.get(name, KEYS)])
def test_two_runs_side_by_side_are_two_runs_one_by_one(name, key):
    torchvision()
    if name.startswith("timm"):
        pytest.importorskip("timm")
    side = 64 if "img_size=64" in name else SIDE
    stage, protocol, shape = METHODS[key].stages[0], of(name), (side, side, 3)
    if key == "ride" and NETWORKS[name]:
        with pytest.raises(Refusal, match=NETWORKS[name]) as told:
            check(stage, protocol, shape, 3)
        assert "\n" not in str(told.value)
        return
    check(stage, protocol, shape, 3)
    both, losses = trained(name, key, (0, 1), side)
    assert np.isfinite(losses).all() and losses[0] != losses[1]
    for run in (0, 1):
        (alone,), own = trained(name, key, (run,), side)
        np.testing.assert_allclose(own[0], losses[run], rtol=1e-9)
        assert alone.keys() == both[run].keys()
        for tensor, values in alone.items():
            np.testing.assert_allclose(both[run][tensor], values, rtol=1e-7, atol=1e-9, err_msg=tensor)


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("timm:mixer_s32_224", (64, 64), "give --network timm:mixer_s32_224,img_size=64$"),
        (f"timm:vit_tiny_patch16_224,{VIT}", (24, 24), r"give --network timm:vit_.*,depth=2,img_size=24,patch_size=8"),
        ("timm:test_vit_relpos", (32, 48), r"give --network timm:test_vit_relpos,img_size=\(32,48\)$"),
        ("timm:test_maxvit", (32, 32), "give --network timm:test_maxvit,img_size=32$"),
        ("torchvision:squeezenet1_0", (32, 32), "no linear layer at its end to be replaced; resnet18 has"),
        ("torchvision:googlenet,init_weights=False", (64, 64), "a GoogLeNetOutputs in training.*aux_logits=False"),
    ],
)
def test_images_that_a_network_does_not_take_are_refused_with_what_does(name, size, words):
    """What is to be asked for in its place takes them."""
    torchvision()
    if name.startswith("timm"):
        pytest.importorskip("timm")
    stage = METHODS["ce"].stages[0]
    with pytest.raises(Refusal, match=words) as told:
        check(stage, of(name), (*size, 3), 3)
    assert "\n" not in str(told.value)
    _, given, cure = str(told.value).partition("; give --network ")
    if given:
        check(stage, of(cure), (*size, 3), 3)


@dataclass(frozen=True)
class Large(Foreign):
    """Somebody's network for images of 40 pixels and more."""

    source = "somebody"

    def whole(self):
        return nn.Sequential(nn.Conv2d(3, 4, 40), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))


def test_images_that_are_too_small_are_refused_with_a_size_that_is_taken():
    protocol = Protocol(epochs=1, batch=5, learning_rate=0.01, backbone=Large("large"))
    with pytest.raises(Refusal, match=r"images of 32 x 32: .*; it takes images of 64 x 64; give such, or another"):
        check(METHODS["ce"].stages[0], protocol, (32, 32, 3), 3)


class InTraining(nn.Module):
    """A second output in training, for which small images are too small."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.beside, self.fc = nn.Conv2d(3, 4, 70), nn.Linear(4, 4)

    def forward(self, x):
        said = self.fc(self.body(x))
        return (said, self.beside(x)) if self.training else said


@dataclass(frozen=True)
class Beside(Foreign):
    source = "somebody"

    def whole(self):
        return InTraining()


def test_what_fails_in_training_only_is_tried_with_larger_images():
    """Before: the error came through as it was."""
    with pytest.raises(Refusal, match="somebody:beside gives a tuple in training; it has to give a tensor"):
        Beside("beside").features(1.0)


@pytest.mark.parametrize(
    ("name", "cure"),
    [("timm:test_resnet", "timm:test_resnet@layer3"), ("timm:test_convnext@head", "timm:test_convnext@stages.2")],
)
def test_a_network_that_could_be_narrowed_elsewhere_says_where(name, cure):
    pytest.importorskip("timm")
    with pytest.raises(Refusal, match=f"cannot be made 0.75 times as wide; use .*, or .*{cure}, whose experts can"):
        METHODS["ride"].stages[0].net.build(backbone(name), runs=1, channels=3, classes=3)
