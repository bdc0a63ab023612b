"""Features of a frozen backbone: what a file has to hold, what is made of it, and what is refused in one line."""

import re
import shutil

import numpy as np
import pytest
import torch

from ltbv.data.batches import Feed
from ltbv.data.catalogue import entry
from ltbv.data.dataset import Augmentation, indices_of, labels_of, make_ids
from ltbv.data.features import open_features
from ltbv.errors import Refusal
from ltbv.harness.study import resolve

CLASSES, WIDTH = 4, 6


def arrays() -> dict[str, np.ndarray]:
    """Rows that are told apart by their values, classes mixed up in the file."""
    draw = np.random.default_rng(1)
    labels = draw.permutation(np.repeat(np.arange(CLASSES), (9, 6, 4, 3)))
    test = np.tile(np.arange(CLASSES), 5)
    scales = np.array([1.0, 100.0, 0.01, 1.0, 5.0, 0.0])  # one says nothing
    return {
        "train": draw.normal(3, 1, (len(labels), WIDTH)) * scales,
        "train_labels": labels,
        "test": draw.normal(3, 1, (len(test), WIDTH)) * scales,
        "test_labels": test,
    }


@pytest.fixture
def file(tmp_path):
    """Write a file of features with some arrays otherwise; None leaves one out."""

    def write(name="net.npz", save=np.savez, **otherwise):
        said = {key: value for key, value in {**arrays(), **otherwise}.items() if value is not None}
        save(tmp_path / name, **said)
        return tmp_path / name

    return write


def test_rows_are_found_by_class_in_the_order_of_the_file(file):
    given, found = arrays(), entry(str(file()))
    dataset = found.load()
    assert (found.head, found.profile, found.scheme, found.num_classes) == (9, "own", "stratified_bootstrap", CLASSES)
    assert found.pool_sizes.tolist() == [9, 6, 4, 3] and dataset.image_shape == (1, 1, WIDTH)
    ids = make_ids([2, 0, 2], [1, 8, 0])
    assert labels_of(ids).tolist() == [2, 0, 2] and indices_of(ids).tolist() == [1, 8, 0]
    rows = [np.flatnonzero(given["train_labels"] == k)[i] for k, i in ((2, 1), (0, 8), (2, 0))]
    np.testing.assert_array_equal(dataset.read(ids)[:, 0, 0], given["train"][rows].astype(np.float32))
    np.testing.assert_array_equal(dataset.test.labels, given["test_labels"])


def test_a_network_sees_them_normalised_by_the_whole_training_set(file):
    dataset = entry(str(file())).load()
    ids = make_ids(np.repeat(np.arange(CLASSES), (9, 6, 4, 3)), np.concatenate([np.arange(n) for n in (9, 6, 4, 3)]))
    feed = Feed(
        dataset,
        np.stack([ids, ids[::-1]]),
        augmentation=Augmentation(pad=2, flip=True),
        device=torch.device("cpu"),
        dtype=torch.float64,
    )
    (batch,) = feed.plain(100)
    seen = batch.images.view(22, 2, WIDTH).numpy()
    np.testing.assert_array_equal(seen[:, 0], seen[::-1, 1])
    live = seen[:, 0, :5]
    np.testing.assert_allclose(live.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose((live**2).sum(1).mean(), 64 * 5 / 6, rtol=1e-5)
    np.testing.assert_allclose(live.std(0), live.std(), rtol=1e-5)
    assert not seen[:, :, 5].any()


def test_what_a_study_is_follows_from_the_content_and_not_from_where_it_lies(file, tmp_path):
    path = file(about=np.array("a net"), train_ids=np.arange(22), save=np.savez_compressed)
    study, _ = resolve(str(path)).load()
    (tmp_path / "moved").mkdir()
    moved, _ = resolve(str(shutil.copy(path, tmp_path / "moved" / "net.npz"))).load()
    again, _ = resolve(str(file("moved/net.npz"))).load()  # what only tells of them changes nothing
    assert study.asked() == moved.asked() == again.asked() and study.asked()["dataset"] == "net.npz"
    for name in arrays():
        other = arrays()[name].copy()
        other[[0, -1]] = other[[-1, 0]] if "labels" in name else other[[0, -1]] + 1e-3
        changed, _ = resolve(str(file("moved/net.npz", **{name: other}))).load()
        assert changed.fingerprint != study.fingerprint, name
    named, _ = resolve(str(file("moved/net.npz", class_names=np.array(list("abcd"))))).load()
    assert named.fingerprint != study.fingerprint


def test_a_long_tail_is_cut_where_one_is_asked_for(file):
    assert resolve(str(file())).counts.tolist() == [9, 6, 4, 3]
    cut = resolve(str(file()), head=6, imbalance=3.0)
    assert cut.counts.tolist() == [6, 4, 2, 2] and cut.settings.scheme == "subsample"
    assert resolve(str(file()), head=3).counts.tolist() == [3, 2, 1, 1]
    with pytest.raises(Refusal, match="class 3 needs 7 images but its pool has 3; ask for a smaller head"):
        resolve(str(file()), imbalance=1.2)
    with pytest.raises(Refusal, match="features have a backbone already; leave out --network"):
        resolve(str(file()), network="torchvision:resnet18")


def with_value(name, place, value, dtype=None):
    values = arrays()[name].astype(dtype) if dtype else arrays()[name]
    values[place] = value
    return {name: values}


BAD = [
    ({"train": None}, "it has no train"),
    ({"test_labels": None}, "it has no test_labels"),
    ({"train": np.array([{}])}, "Python objects, which are never unpickled"),
    ({"train": np.zeros((22, 6, 1))}, r"train is of shape \(22, 6, 1\) .*give numbers of shape \(rows, features\)"),
    ({"train": np.zeros((22, 0))}, r"train is of shape \(22, 0\)"),
    ({"train": np.full((22, 6), "1")}, "train is of shape .* type <U1"),
    ({"test": np.zeros((20, 5))}, "train has 6 features and test 5"),
    (with_value("train", (3, 1), np.nan), "train row 3 holds nan"),
    (with_value("test", (0, 0), 1e300), r"test row 0 holds 1e\+300"),
    ({"train_labels": np.zeros(22)}, "train_labels is .*float64; give one whole number a row"),
    ({"test_labels": np.zeros(3, int)}, "test_labels has 3 for 20 rows"),
    (with_value("train_labels", 2, -1), "train_labels row 2 is -1"),
    (with_value("train_labels", 2, 2**40), "train_labels row 2 is 1099511627776"),
    (with_value("test_labels", 0, 2**63, np.uint64), "test_labels row 0 is 9223372036854775808"),
    ({"train_labels": np.arange(22) % 3}, "class 3 has no row in train"),
    ({"test_labels": np.arange(20) % 3}, "class 3 has no row in test"),
    ({"class_names": np.array(list("abcde"))}, "class 4 has no row in train"),
    ({"class_names": np.array(list("abc"))}, "class_names has 3 names, and a label is 3"),
    ({"class_names": np.array(list("abca"))}, "'a' twice"),
    ({"class_names": np.array(["a", "", "c", "d"])}, "class_names holds ''"),
    ({"class_names": np.arange(4)}, "class_names is .*give texts"),
    ({"train_labels": np.zeros(22, int), "test_labels": np.zeros(20, int)}, "there is one class"),
    ({"train_ids": np.arange(21)}, "train_ids has 21 for 22 rows"),
    ({"test_ids": np.arange(20.0)}, "test_ids is .*float64"),
    ({"train_ids": np.r_[np.arange(21), 5]}, "train_ids has '5' 2 times"),
    ({"train_ids": np.arange(22), "test_ids": np.arange(21, 41)}, "'21' is in train_ids and in test_ids"),
    ({"about": np.array(["a", "b"])}, "about is .*give one text"),
    ({"about": np.array("x" * 501)}, "about has 501 characters"),
]


@pytest.mark.parametrize(("otherwise", "words"), BAD, ids=[words[:40] for _, words in BAD])
def test_what_will_not_do_is_refused_in_a_line_that_names_the_file(file, otherwise, words):
    path = file(**otherwise)
    with pytest.raises(Refusal, match=words) as refused:
        open_features(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"net.npz: No such file or directory; give an .npz with train, train_labels"):
        open_features(tmp_path / "net.npz")
    (tmp_path / "net.npz").write_bytes(b"PK nothing")
    with pytest.raises(Refusal, match="is not a whole .npz of plain arrays"):
        open_features(tmp_path / "net.npz")
    with pytest.raises(Refusal, match="it is no regular file"):
        (tmp_path / "dir.npz").mkdir()
        open_features(tmp_path / "dir.npz")


def test_a_file_that_is_written_again_is_read_again(file):
    (before,) = open_features(file())
    (after,) = open_features(file(test=arrays()["test"] + 1))
    assert after.content != before.content
    assert re.fullmatch("[0-9a-f]{16}", after.content)


def test_rows_that_come_in_groups_are_drawn_in_groups_and_are_clusters(file):
    """The rows of a class are in two or three groups; a run of as many rows has whole ones."""
    given = arrays()
    within = np.array([np.sum(given["train_labels"][:i] == label) for i, label in enumerate(given["train_labels"])])
    names = np.array([f"{label}{place // 3}" for label, place in zip(given["train_labels"], within, strict=True)])
    of_test = np.array([f"t{row // 4}" for row in range(20)])
    grouped = {"train_groups": names, "test_groups": of_test}
    study = resolve(str(file(**grouped)))
    dataset = study.entry.load()
    assert study.entry.groups is not None and dataset.clusters is not None
    assert dataset.clusters.tolist() == (np.arange(20) // 4).tolist()
    for run in range(20):
        ids = study.sample(run)
        own = indices_of(ids[labels_of(ids) == 0]) // 3  # nine rows in three groups: three draws of whole ones
        assert all(times % 3 == 0 for times in np.bincount(own))
    plain = resolve(str(file("plain.npz")))
    assert plain.entry.load().content != dataset.content and plain.entry.groups is None


@pytest.mark.parametrize(
    ("otherwise", "line"),
    [
        ({"train_groups": np.arange(22)}, "there are train_groups and no test_groups; give both, or neither"),
        ({"test_groups": np.arange(20)}, "there are test_groups and no train_groups; give both, or neither"),
        (
            {"train_groups": np.arange(22), "test_groups": np.arange(21, 41)},
            "'21' is in train_groups and in test_groups (1 are)",
        ),
        ({"train_groups": np.arange(21), "test_groups": np.arange(30, 50)}, "train_groups has 21 for 22 rows"),
        (
            {"train_groups": np.ones(22), "test_groups": np.arange(30, 50)},
            "train_groups is of shape (22,) and type float64",
        ),
    ],
)
def test_groups_that_will_not_do_are_one_line(file, otherwise, line):
    with pytest.raises(Refusal, match=re.escape(line)):
        open_features(file(**otherwise))


def test_backbones_of_other_groups_are_of_other_images(file):
    groups = {"train_groups": np.arange(22), "test_groups": np.arange(30, 50)}
    one, other = file("a.npz", **groups), file("b.npz", train=arrays()["train"] + 1)
    with pytest.raises(Refusal, match="differ in train_groups; give files of the same groups, or of none"):
        resolve(f"{one},{other}")
