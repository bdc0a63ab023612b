"""Strong augmentation: operations are torchvision's to the bit, so are the policies, and images do not mix."""

import numpy as np
import pytest
import torch

from ltbv.data import policies
from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, make_ids
from ltbv.data.samplers import INSTANCE, Smote
from ltbv.data.strong import KINDS, Strong, cut_out, each_varied, operated, varied
from ltbv.models.vision import torchvision

AFFINE = {"ShearX": "shear_x", "ShearY": "shear_y", "TranslateX": "translate_x", "TranslateY": "translate_y"}
NAMES = {kind: "".join(word.title() for word in kind.split("_")) for kind in KINDS} | {"autocontrast": "AutoContrast"}
COLOURS = ("brightness", "color", "contrast", "sharpness")


@pytest.fixture(scope="module")
def auto():
    torchvision()
    from torchvision.transforms import autoaugment

    return autoaugment


def pictures(size=(32, 32), channels: int = 3, number: int = 6) -> torch.Tensor:
    """Noise, smooth ramps, and images of few values, [number, H, W, channels] uint8."""
    draw = np.random.default_rng(size[0])
    noise = draw.integers(256, size=(number, *size, channels))
    noise[1] = noise[1] // 3 + 60
    noise[2] = (np.arange(size[1])[None, :, None] * 7 + np.arange(channels) * 40) % 256
    noise[3] = 17
    noise[4] = noise[4] // 128 * 255
    return torch.as_tensor(noise.astype(np.uint8))


def theirs(auto, image: torch.Tensor, kind: str, magnitude: float) -> torch.Tensor:
    from torchvision.transforms import InterpolationMode

    found = auto._apply_op(image.permute(2, 0, 1), NAMES[kind], magnitude, InterpolationMode.NEAREST, None)
    return found.permute(1, 2, 0)


@pytest.mark.parametrize("kind", KINDS[:-1])
@pytest.mark.parametrize(("size", "channels"), [((32, 32), 3), ((24, 24), 1), ((9, 14), 3)])
def test_an_operation_is_torchvisions_to_the_bit(auto, kind, size, channels):
    images = pictures(size, channels)
    steps = {step / 9 for pair in policies.AUTO for name, _, step in pair if name == kind} | {9 / 30}  # that are drawn
    table = np.array([policies.amounts(share, size)[KINDS.index(kind)] for share in sorted(steps)])
    ways = (1, -1) if kind in policies.SIGNED else (1,)
    for way in ways:
        for magnitude in (way * table).tolist():
            amount = 1 + magnitude if kind in COLOURS else magnitude
            kinds = torch.full((len(images),), KINDS.index(kind))
            own = operated(images, kinds, torch.full((len(images),), amount, dtype=torch.float64))
            wanted = torch.stack([theirs(auto, image, kind, magnitude) for image in images])
            assert own.dtype == torch.uint8 and torch.equal(own, wanted), (kind, magnitude)


@pytest.mark.parametrize("policy", policies.POLICIES)
def test_each_image_of_a_batch_has_its_own_operations_as_if_alone(policy):
    images = pictures(number=8).unflatten(0, (4, 2))  # [B, R, H, W, channels]
    draw = np.random.default_rng(0)
    found = [policies.drawn(policy, 4, (32, 32), draw) for _ in range(2)]
    by = Strong(**{name: torch.as_tensor(np.stack([one[name] for one in found])) for name in found[0]})
    together = varied(images, by)
    for run in range(2):
        for place in range(4):
            alone = Strong(*(None if of is None else of[run : run + 1, place : place + 1] for of in by))
            single = varied(images[place : place + 1, run : run + 1], alone)
            assert torch.equal(single[0, 0], together[place, run])
            among = [KINDS[kind] for kind in alone.kinds.flatten().tolist()]
            only = each_varied(images[place : place + 1, run : run + 1], alone.images_first(), among)
            assert torch.equal(only[0, 0], together[place, run])


def test_a_square_of_half_the_height_is_black_and_clipped():
    images = torch.full((3, 8, 6, 2), 9, dtype=torch.uint8)
    found = cut_out(images, torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.99, 0.99]]).double())
    black = (found == 0).all(-1)
    assert [int(one.sum()) for one in black] == [16, 4, 9]
    assert black[0, 2:6, 1:5].all() and black[1, :2, :2].all() and black[2, 5:, 3:].all()
    assert (found[~black] == 9).all()


def test_the_policies_are_torchvisions(auto):
    wanted = auto.AutoAugment(auto.AutoAugmentPolicy.CIFAR10)
    own = tuple(tuple((NAMES[kind], chance, step) for kind, chance, step in pair) for pair in policies.AUTO)
    assert own == tuple(tuple((k, p, m or 0) for k, p, m in pair) for pair in wanted.policies)
    for space, share, step in (
        (auto.RandAugment()._augmentation_space(31, (24, 32)), 9 / 30, 9),
        *((wanted._augmentation_space(10, (24, 32)), step / 9, step) for step in range(10)),
    ):
        amounts = policies.amounts(share, (24, 32))
        for kind in KINDS:
            if NAMES[kind] in space:
                magnitudes, signed = space[NAMES[kind]]
                there = float(magnitudes[step] if magnitudes.ndim else 0.0)
                assert amounts[KINDS.index(kind)] == pytest.approx(there, rel=1e-6)
                assert signed == (kind in policies.SIGNED)
    assert set(auto.RandAugment()._augmentation_space(31, (24, 32))) == {NAMES[kind] for kind in KINDS[:14]}


TIMMS = {kind: f"{NAMES[kind]}Increasing" for kind in (*COLOURS, "posterize", "solarize")}
TIMMS |= {kind: f"{NAMES[kind]}Rel" for kind in ("translate_x", "translate_y")}


def test_the_amounts_of_m9_are_timms(monkeypatch):
    timms = pytest.importorskip("timm.data.auto_augment")
    monkeypatch.setattr(timms, "_randomly_negate", lambda value: value)
    (*operations,) = timms.rand_augment_transform("rand-m9-mstd0.5-inc1", {}).ops
    assert {(of.magnitude, of.magnitude_std, of.prob) for of in operations} == {(9, 0.5, 0.5)}
    found = {kind: of for kind in KINDS[1:] for of in operations if of.name == TIMMS.get(kind, NAMES[kind])}
    assert len(found) == len(operations) == 15
    for level in (0.0, 5.5, 8.13, 9.0, 9.77, 10.0):
        own = policies.amounts_of_m9(np.array([[level / 10]]), (24, 32))[0, 0]
        for kind, of in found.items():
            (theirs,) = of.level_fn(level, of.hparams) if of.level_fn else (0.0,)
            there = own[KINDS.index(kind)] * {"translate_x": 1 / 32, "translate_y": 1 / 24}.get(kind, 1)
            assert there + (kind in COLOURS) == pytest.approx(theirs, abs=1e-9), kind


@pytest.mark.parametrize("kind", ["posterize", "solarize", "solarize_add", "invert"])
def test_operations_at_the_amounts_of_m9_are_timms_to_the_bit(kind):
    timms = pytest.importorskip("timm.data.auto_augment")
    from PIL import Image

    for amount in {"posterize": (1, 2, 4), "solarize": (0, 26, 256), "solarize_add": (0, 99, 110)}.get(kind, (0,)):
        for image in pictures():
            told = () if kind == "invert" else (amount,)
            wanted = np.asarray(getattr(timms, kind)(Image.fromarray(image.numpy()), *told))
            own = operated(image, torch.tensor(KINDS.index(kind)), torch.tensor(float(amount)))
            np.testing.assert_array_equal(own.numpy(), wanted)


def test_where_no_bit_stays_an_image_is_black():
    """As Pillow had it before 13, which refuses it: timm draws it of 2 % of what it posterises."""
    assert not operated(pictures(), torch.full((6,), KINDS.index("posterize")), torch.zeros(6)).any()


@pytest.mark.parametrize("policy", policies.POLICIES)
def test_what_is_drawn_is_drawn_again_and_goes_either_way(policy):
    one, again, other = (policies.drawn(policy, 4000, (32, 32), np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert all((one[name] == again[name]).all() and (one[name] != other[name]).any() for name in one)
    kinds, amounts = one["kinds"], one["amounts"]
    turned = amounts[kinds == KINDS.index("rotate")]
    if not policy.startswith("rand_m9"):
        assert len(set(turned.tolist())) == 2 and turned.min() == -turned.max()
    assert turned.min() < 0 < turned.max() and abs(turned).max() <= 30
    for kind in COLOURS:
        found = amounts[kinds == KINDS.index(kind)]
        assert found.min() >= 0.1 - 1e-9 and found.max() <= 1.9 and found.min() < 1 < found.max()
    if policy == "rand":
        assert (np.bincount(kinds.flatten(), minlength=16) > 0).tolist() == [True] * 14 + [False] * 2
    if policy == "rand_m9":
        shares = np.bincount(kinds.flatten(), minlength=16) / kinds.size
        assert abs(shares[0] - 1 / 2) < 0.03 and abs(shares[1:] - 1 / 30).max() < 0.01
        assert (amounts[kinds == KINDS.index("posterize")].astype(int) != 4).all(), "strong at all times"


@pytest.mark.parametrize("policy", policies.POLICIES)
def test_a_feed_varies_training_images_by_run_and_epoch_and_leaves_all_else_as_it_is(tiny, policy):
    ids = np.stack([np.sort(make_ids(np.arange(30) % 5, np.arange(30) % 40)) for _ in range(2)])

    def feed(strong: str, samples=ids) -> Feed:
        varied_by = Augmentation(pad=1, flip=True, strong=strong)
        return Feed(tiny, samples, augmentation=varied_by, device=torch.device("cpu"), dtype=torch.float64)

    def epoch(strong: str, number: int = 0, runs=(0, 1), samplers=(INSTANCE,)):
        of = feed(strong, ids[: len(runs)])
        tables = of.tables(0, runs, (0,), number, 3, samplers, batch=16, draws=2)
        return [batch for (batch,) in of.epoch(tables, 16)]

    here, plain = epoch(policy), epoch("")
    for one, other in zip(here, plain, strict=True):
        assert torch.equal(one.positions, other.positions) and one.images.shape == other.images.shape
        assert not torch.equal(one.images, other.images) and one.images.isfinite().all() and not one.more
    assert all(torch.equal(one.images, again.images) for one, again in zip(here, epoch(policy), strict=True))
    assert not torch.equal(here[0].images, epoch(policy, 1)[0].images)
    alone = epoch(policy, runs=(1,))
    for one, single in zip(here, alone, strict=True):
        assert torch.equal(one.images.unflatten(1, (2, -1))[:, 1], single.images)
    for one, other in zip(feed(policy).plain(16), feed("").plain(16), strict=True):
        assert torch.equal(one.images, other.images), "answers are of images as they are"
    assert epoch(policy, samplers=(Smote(2),))[0].images.isfinite().all()
