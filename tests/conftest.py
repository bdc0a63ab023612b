"""Fixtures named for what they are; golden numbers from tests/golden."""

import gc
import json
import os
import sys
import types
from dataclasses import replace
from pathlib import Path

# Before torch is imported anywhere: small networks are fastest on one thread, most of all on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
if not Path("/dev/nvidiactl").exists():  # kernels for a GPU are then interpreted
    os.environ.setdefault("TRITON_INTERPRET", "1")

import numpy as np
import pytest
from hypothesis import settings

from ltbv.data.catalogue import ENTRIES
from ltbv.data.dataset import Augmentation, Dataset, Images, indices_of, labels_of

settings.register_profile("busy", deadline=None)  # a busy machine is no fault
settings.load_profile("busy")

GOLDEN = Path(__file__).parent / "golden"
# Files of which each takes a worker half a minute or more. They are begun first, in this order: else one is begun when
# all others are done, and the other workers wait for it.
LONGEST = (
    "test_contract.py",
    "harness/test_ray.py",
    "report/test_figures.py",
    "methods/test_every_method.py",
    "engine/test_train.py",
    "harness/test_ranks.py",
    "harness/test_bootstrap.py",
    "models/test_cut.py",
    "harness/test_guests.py",
    "fuzz/test_readers.py",
    "harness/test_local.py",
    "test_door.py",
    "test_docs.py",
)


def pytest_collection_modifyitems(items):
    order = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish():
    """What is there by now stays: Python need not look through ten thousand tests for cycles again and again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish():
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Glyphs are drawn once for all tests, and not into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        if "LTBV_CACHE" not in os.environ:
            patch.setenv("LTBV_CACHE", str(tmp_path_factory.getbasetemp().parent / "ltbv-cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_power_cut():
    """Nobody waits for the disk: what a test wrote need not outlast the machine. Processes that it starts do wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def golden():
    """Read a golden file: golden("methods/ride_loss")."""
    return lambda name: json.loads((GOLDEN / f"{name}.json").read_text())


def make_tiny(
    classes: int = 5,
    side: int = 8,
    pool: int = 40,
    tests: int = 6,
    channels: int = 2,
    name: str = "tiny-lt",
    flip: bool = True,
) -> Dataset:
    """Noisy copies of one random picture a class: learnable, from numpy alone; two channels show a mixed-up axis."""
    draw = np.random.default_rng(classes)
    pictures = draw.integers(60, 200, (classes, 1, side, side, channels))

    def copies(number: int) -> np.ndarray:
        noise = draw.normal(0, 40, (classes, number, side, side, channels))
        return (pictures + noise).clip(0, 255).astype(np.uint8)

    stored, test = copies(pool), copies(tests)
    return Dataset(
        name=name,
        class_names=tuple("abcdefghij"[:classes]),
        pool_sizes=np.full(classes, pool),
        read=lambda ids: stored[labels_of(ids), indices_of(ids)],
        test=Images(test.reshape(-1, side, side, channels), np.repeat(np.arange(classes), tests)),
        mean=(0.5, 0.4, 0.6)[:channels],
        std=(0.25, 0.2, 0.3)[:channels],
        mirrors=flip,
        background=7,
    )


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    """Five classes of 8 x 8 images with two channels, 40 images a class in the pool, 6 in the test set."""
    return make_tiny()


@pytest.fixture(scope="session")
def larger() -> Dataset:
    """Another one in everything: seven classes of 12 x 12 images with three channels, never flipped."""
    return make_larger()


def make_larger() -> Dataset:
    return make_tiny(classes=7, side=12, channels=3, name="larger-lt", flip=False)


def introduced(patch: pytest.MonkeyPatch, *datasets: Dataset) -> tuple[Dataset, ...]:
    """Make these known as data sets that a study can ask for by name, with a protocol of two epochs."""
    from ltbv.engine.protocol import PROTOCOLS, Protocol
    from ltbv.models.resnet import Resnet

    small = Resnet(widths=(4, 8, 8), blocks=1)
    protocol = Protocol(
        epochs=2, batch=16, learning_rate=0.1, backbone=small, augmentation=Augmentation(pad=1, flip=True)
    )
    for dataset in datasets:
        entry = replace(
            ENTRIES["glyphs-lt"],
            name=dataset.name,
            num_classes=dataset.num_classes,
            pool=int(dataset.pool_sizes[0]),
            image_shape=tuple(dataset.image_shape),
            head=12,
            imbalance=4.0,
            endless=False,
            _load=lambda data_dir, dataset=dataset: dataset,
        )
        patch.setitem(ENTRIES, dataset.name, entry)
        patch.setitem(PROTOCOLS, dataset.image_shape[0], protocol)
    return datasets


@pytest.fixture(scope="session")
def introduce(tiny, larger):
    """Make `tiny` and `larger` known, with a `MonkeyPatch`."""
    return lambda patch: introduced(patch, tiny, larger)


@pytest.fixture
def undrawn(monkeypatch):
    """Figures of a report are made and not drawn: a file says which kind it would be, where nobody looks at it."""

    def savefig(figure, buffer, *, format, metadata):
        assert figure.axes and metadata
        buffer.write(b'<svg viewBox="0 0 9 9"/>' if format == "svg" else format.encode())

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)


@pytest.fixture
def tiny_lt(monkeypatch, introduce, tiny):
    """`tiny`, known by its name."""
    introduce(monkeypatch)
    return tiny


@pytest.fixture
def two_lt(monkeypatch):
    """One of two classes only, known by its name."""
    return introduced(monkeypatch, make_tiny(classes=2, name="two-lt"))[0]


@pytest.fixture
def another_lt(monkeypatch):
    """A data set like `tiny` but for what is asked, known by its name: another_lt(classes=2) is `another-lt`."""
    return lambda **asked: introduced(monkeypatch, make_tiny(**asked, name="another-lt"))[0]


@pytest.fixture
def own_methods(monkeypatch):
    """A module of one's own to put methods into: `own_methods.MINE = …` is then `--method own_methods:MINE`."""
    module = types.ModuleType("own_methods")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module
