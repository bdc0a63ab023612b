"""Are test points that belong together read from a file, and do all intervals know of them?"""

import numpy as np
import pytest

from ltbv import analyse, stats
from ltbv.errors import Refusal
from ltbv.report import tables
from ltbv.report.elsewhere import read_elsewhere

CLASSES, CLIPS, FRAMES = 3, 4, 5
POINTS = CLASSES * CLIPS * FRAMES
LABELS = np.repeat(np.arange(CLASSES), CLIPS * FRAMES)
CLUSTERS = np.arange(POINTS) // FRAMES
COUNTS = np.array([300, 50, 5])


def logits(seed):
    """Of frames that are nearly alike within a clip."""
    draw = np.random.default_rng(seed)
    of_clip = np.random.default_rng(0).normal(0, 2, (CLASSES * CLIPS, CLASSES))
    return of_clip[CLUSTERS] + draw.normal(0, 0.5, (POINTS, CLASSES)) + np.eye(CLASSES)[LABELS]


@pytest.fixture
def sources(tmp_path):
    """Two methods of five runs, and the training images; with ids: sources(ids)."""

    def make(ids=None):
        for m, key in enumerate(("ce", "mine")):
            (tmp_path / key).mkdir()
            for run in range(5):
                given = {} if ids is None else {"sample_id": np.array(ids)}
                np.savez(tmp_path / key / f"run{run}.npz", logits=logits(10 * m + run), labels=LABELS, **given)
        (tmp_path / "counts.txt").write_text("\n".join(map(str, COUNTS)))
        return {key: tmp_path / key for key in ("ce", "mine")}, tmp_path / "counts.txt"

    return make


def written(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_line_a_test_point(sources, tmp_path):
    named, counts = sources()
    file = written(tmp_path / "clips.txt", [f"clip{c}" for c in CLUSTERS])
    evidence = read_elsewhere(named, counts, clusters=file)
    found, alone = tables.build(evidence), tables.build(read_elsewhere(named, counts))
    at_hand = analyse(
        {key: np.stack([logits(10 * m + run) for run in range(5)]) for m, key in enumerate(named)},
        LABELS,
        COUNTS,
        clusters=CLUSTERS,
    ).tables
    for of in ("splits", "classes", "hardest_negatives", "gaps"):
        ours, in_memory, before = (getattr(one, of) for one in (found, at_hand, alone))
        np.testing.assert_allclose(ours.low, in_memory.low)
        wider = (ours.high - ours.low) / (before.high - before.low)
        shown = ours.quantity.isin(["accuracy", "mean"]) & np.isfinite(wider)
        assert shown.any() and (wider[shown] > 1.2).all(), of
    by_hand = stats.Record(evidence.methods[0].predictions, LABELS, clusters=CLUSTERS)
    (low,) = (one.low for one in stats.summarize(by_hand, {"all": range(3)}) if one.quantity == "accuracy")
    (row,) = found.splits.query("method == 'ce' and group == 'all' and quantity == 'accuracy'").itertuples()
    assert row.low == low
    assert "60 test points come in 12 clusters: intervals are for new clusters." in found.cautions


@pytest.mark.parametrize("between", [" ", ",", "\t"])
def test_matched_by_id(sources, tmp_path, between):
    ids = [f"image{i}" for i in range(POINTS)]
    named, counts = sources(ids)
    order = np.random.default_rng(0).permutation(POINTS)
    file = written(tmp_path / "clips.csv", [f"{ids[i]}{between}patient{CLUSTERS[i]}" for i in order])
    found = read_elsewhere(named, counts, clusters=file).clusters
    assert (found[:, None] == found).tolist() == (CLUSTERS[:, None] == CLUSTERS).tolist()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a"] * (POINTS - 1), "has 59 clusters, but there are 60 test points"),
        (["a"] * POINTS, "has one cluster, 'a', for all test points"),
        (["x a"] * POINTS, "has the line 'x a': give one cluster a line, or 'id cluster' where predictions have ids"),
    ],
)
def test_refusals(sources, tmp_path, lines, message):
    named, counts = sources()
    with pytest.raises(Refusal, match=message):
        read_elsewhere(named, counts, clusters=written(tmp_path / "clips.txt", lines))


def test_ids_that_are_not_those_of_the_predictions(sources, tmp_path):
    named, counts = sources([f"image{i}" for i in range(POINTS)])
    lines = [f"image{i + 1} clip{i // 5}" for i in range(POINTS)]
    with pytest.raises(Refusal, match="clips.txt has 1 samples that .* has not, such as 'image60'"):
        read_elsewhere(named, counts, clusters=written(tmp_path / "clips.txt", lines))
