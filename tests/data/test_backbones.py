"""Features of several backbones: the same images, row for row, each run through one of them."""

import numpy as np
import pytest

from ltbv.data.backbones import instead, open_backbones
from ltbv.data.catalogue import entry
from ltbv.data.dataset import make_ids
from ltbv.errors import Refusal

COUNTS = (9, 6, 4)


@pytest.fixture
def file(tmp_path):
    """Write the features of a backbone; `otherwise` changes arrays."""

    def write(name, seed, **otherwise):
        draw = np.random.default_rng(seed)
        labels, test = np.repeat(np.arange(3), COUNTS), np.tile(np.arange(3), 4)
        arrays = {"train": draw.normal(seed, 1, (19, 5)), "train_labels": labels, "train_ids": np.arange(19)}
        arrays |= {"test": draw.normal(seed, 1, (12, 5)), "test_labels": test, "test_ids": np.arange(19, 31)}
        np.savez(tmp_path / name, **{key: of for key, of in {**arrays, **otherwise}.items() if of is not None})
        return str(tmp_path / name)

    return write


def test_a_run_sees_its_images_through_its_backbone(file):
    paths = [file(f"{name}.npz", seed) for seed, name in enumerate("abc")]
    found = entry(",".join(paths))
    dataset, alone = found.load(), [entry(path).load() for path in paths]
    assert found.name == "a.npz,b.npz,c.npz" and [name for name, *_ in found.backbones] == ["a.npz", "b.npz", "c.npz"]
    assert dataset.backbones == 3 and [dataset.backbone_of(run) for run in range(5)] == [0, 1, 2, 0, 1]
    ids = make_ids([0, 2, 1, 0], [8, 3, 0, 8])
    for run in range(5):
        own = alone[run % 3]
        expected = (own.read(ids)[:, 0, 0] - own.mean) / own.std
        np.testing.assert_allclose(dataset.read(dataset.seen(ids, run))[:, 0, 0], expected, rtol=1e-5, atol=1e-6)
        expected = (own.test.pixels[:, 0, 0] - own.mean) / own.std
        np.testing.assert_allclose(dataset.tests[run % 3, :, 0, 0], expected, rtol=1e-5, atol=1e-6)


def test_one_backbone_is_as_it_was(file):
    dataset = entry(file("a.npz", 0)).load()
    ids = make_ids([0, 2], [8, 3])
    assert dataset.backbones == 1 and entry(file("a.npz", 0)).backbones == ()
    np.testing.assert_array_equal(dataset.seen(ids, 7), ids)


DIFFER = [
    ({"test_labels": np.repeat(np.arange(3), 4)}, "labels of test rows"),
    ({"test_ids": np.arange(20, 32)}, "test_ids"),
    ({"train_ids": np.r_[1, 0, 2:19]}, "train_ids"),
    ({"train_labels": np.repeat(np.arange(3), (8, 7, 4))}, "rows of each class in train"),
    ({"class_names": np.array(["x", "y", "z"])}, "class_names"),
    ({"train": np.ones((19, 4)), "test": np.ones((12, 4))}, "number of features"),
]


@pytest.mark.parametrize(("otherwise", "what"), DIFFER, ids=[what for _, what in DIFFER])
def test_backbones_of_other_images_are_refused(file, otherwise, what):
    with pytest.raises(Refusal, match=f"b.npz and .*a.npz differ in {what}; give files of"):
        open_backbones(f"{file('a.npz', 0)},{file('b.npz', 1, **otherwise)}")


def test_what_one_file_does_not_say_is_not_compared(file):
    assert len(open_backbones(f"{file('a.npz', 0)},{file('b.npz', 1, train_ids=None, test_ids=None)}")) == 2


def test_a_backbone_that_comes_twice_is_refused(file):
    with pytest.raises(Refusal, match="are the same; give each backbone once"):
        open_backbones(f"{file('a.npz', 0)},{file('b.npz', 0)}")


def test_how_several_are_asked_for():
    assert instead(["a.npz", "b.npz"], "glyphs-lt", "glyphs-lt") == "a.npz,b.npz"
    assert instead("a.npz,b.npz", "glyphs-lt", "glyphs-lt") == "a.npz,b.npz"
    for wrong, words in (
        ([], "features nothing"),
        (["a.npz", "b.npy"], "features b.npy: give an .npz"),
        (3, "features 3"),
    ):
        with pytest.raises(Refusal, match=words):
            instead(wrong, "glyphs-lt", "glyphs-lt")
    with pytest.raises(Refusal, match="looks like two"):
        instead(["a.npz,b.npz", "c.npz"], "glyphs-lt", "glyphs-lt")
