"""Groups of images: by a column, a pattern or a list; never in both parts; part of the key; clusters of a report."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from photographs import picture, save
from test_doors import as_frame

from ltbv.cli import main
from ltbv.data.images.sources import images
from ltbv.errors import Refusal
from ltbv.harness.study import resolve
from ltbv.report.study import read_study

PATTERN = r"(burst\d+)"


@pytest.fixture
def bursts(tmp_path, monkeypatch):
    """Two classes; 6 and 4 bursts of three frames to train on, 3 of two to test on."""
    monkeypatch.setenv("LTBV_CACHE", str(tmp_path / "cache"))
    draw, top, burst = np.random.default_rng(5), tmp_path / "bursts", 0
    for name, shade, number in (("ant", 60, 6), ("bee", 200, 4)):
        for split, bursts, frames in (("train", number, 3), ("test", 3, 2)):
            for _ in range(bursts):
                burst += 1
                for k in range(frames):
                    save(top / split / name / f"burst{burst}-{k}.png", picture(draw, shade=shade))
    return top


def frame_of(top):
    table = as_frame(top, None)["train"]
    return table.assign(group=table["path"].str.extract(PATTERN, expand=False))


def test_a_column_a_pattern_and_a_list_are_the_same_pool_and_another_than_without(bursts, tmp_path):
    pool = images(bursts, groups=PATTERN)
    table = frame_of(bursts)
    table.to_csv(bursts / "index.csv", index=False)
    renamed = table.assign(group="x" + table["group"])
    for asked in (
        {"train": bursts, "group": PATTERN},
        {"train": bursts / "index.csv"},
        {"train": renamed, "root": bursts},
        {"train": table.drop(columns="group"), "root": bursts, "groups": table["group"]},
    ):
        assert images(**asked).key == pool.key
    assert images(bursts).key != pool.key and not images(bursts).grouped and pool.grouped
    assert len((pool.path / "files.csv").read_text().splitlines()[0].split(",")) == 5
    pool.verify()


def test_pairs_and_datasets_take_a_group_for_each_image(bursts):
    torch = pytest.importorskip("torch")
    table = frame_of(bursts)

    def of(split):
        rows = table[table["split"] == split]
        return ([bursts / path for path in rows["path"]], rows["label"]), list(rows["group"])

    (train, groups), (test, of_test) = of("train"), of("test")
    assert images(train, test, groups=(groups, of_test)).key == images(bursts, groups=PATTERN).key
    with pytest.raises(Refusal, match="29 groups, and the tuple has 30 images; one for each"):
        images(train, test, groups=(groups[:-1], of_test))
    with pytest.raises(Refusal, match="groups with test are a pair"):
        images(train, test, groups=groups)
    pixels = torch.tensor(np.stack([picture(np.random.default_rng(k)) for k in range(12)])).permute(0, 3, 1, 2)
    data = torch.utils.data.TensorDataset(pixels, torch.arange(12) % 2)
    pool = images(data, test_share=0.3, groups=np.arange(12) // 2 % 4)
    assert pool.grouped and pool.index["groups"].max() == 3
    with pytest.raises(Refusal, match="groups as a list are of a DataFrame, .paths, labels. or Dataset; for .*bursts"):
        images(bursts, groups=[1, 2])


def test_an_image_without_a_group_is_one_of_its_own_and_groups_of_one_image_are_none(bursts):
    table = frame_of(bursts)
    own = table.assign(group=[f"g{k}" for k in range(len(table))])
    assert images(own, root=bursts).key == images(bursts).key
    table.loc[table["split"] == "test", "group"] = None
    pool = images(table, root=bursts)
    assert len(np.unique(pool.index["groups"])) == 10 + 12


def test_a_group_in_both_parts_is_refused_and_three_are_named(bursts):
    table = frame_of(bursts)
    table.loc[table["split"] == "test", "group"] = [f"burst{k}" for k in (1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 30, 30)]
    with pytest.raises(Refusal, match=r"5 groups have images in the .* test set \(burst1, burst2, burst3, …\); move"):
        images(table, root=bursts)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"groups": r"(burst"}, r"--group \(burst: no regular expression"),
        ({"groups": r"owl\d+"}, r"--group owl\\d\+ is in none of 42 of 42 paths \(test/ant/burst.*, …\)"),
        ({"groups": r"burst\d+-1"}, "is in none of"),
        ({"groups": 3}, "groups as a list are of"),
    ],
)
def test_a_pattern_that_does_not_find_a_group_is_refused(asked, message, bursts):
    with pytest.raises(Refusal, match=message):
        images(bursts, **asked)


def test_a_pattern_beside_a_column_is_refused(bursts):
    with pytest.raises(Refusal, match="the DataFrame says the group of each image; leave out --group burst"):
        images(frame_of(bursts), root=bursts, groups=r"burst\d")


def test_a_test_set_of_one_group_says_nothing_of_others(bursts):
    table = frame_of(bursts)
    table.loc[table["split"] == "test", "group"] = "z"
    with pytest.raises(Refusal, match="all test images are of one group"):
        images(table, root=bursts)


@pytest.mark.parametrize("share", [0.2, 0.34, 0.5, 0.8])
def test_whole_groups_are_set_aside(share, bursts):
    pool = images(bursts / "train", test_share=share, groups=PATTERN)
    groups, tests, labels = (pool.index[name] for name in ("groups", "tests", "labels"))
    assert not set(groups[tests]) & set(groups[~tests])
    for k, n in enumerate((18, 12)):
        assert abs((labels[tests] == k).sum() - share * n) <= 3 / 2  # to half a group


def test_a_class_with_too_few_groups_is_refused_or_named(bursts):
    for path in bursts.glob("train/bee/*"):
        path.rename(path.with_name(f"burst99-{path.name.replace('burst', '')}"))
    assert "1 class has one group of training images, which all runs see (bee)" in images(bursts, groups=PATTERN).notes
    with pytest.raises(Refusal, match="class 'bee' has 1 group of images, too few to set 0.3 of them aside"):
        images(bursts / "train", test_share=0.3, groups=PATTERN)


@pytest.mark.usefixtures("undrawn")
def test_a_study_draws_groups_and_its_report_has_clusters(bursts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ("--method", "ce", "--runs", "2", "--epochs", "1", "--executor", "inline", "--side", "16", "-q")
    done = CliRunner().invoke(main, ["bootstrap", "--dataset", "bursts", "--group", PATTERN, *asked])
    assert done.exit_code == 0, done.stderr
    found = read_study(tmp_path / "runs" / "bursts", None)
    assert np.bincount(found.clusters).tolist() == [2] * 6 and len(found.labels) == 12
    reported = CliRunner().invoke(main, ["report", "runs/bursts", "-q"])
    assert reported.exit_code == 0, reported.stderr
    text = (tmp_path / "reports" / "bursts" / "report.md").read_text()
    assert "12 test points come in 6 clusters: intervals are for new clusters." in text
    assert "images come in groups, 10 to train on and 6 to test on: runs draw groups" in text
    study = resolve(str(images(bursts, groups=PATTERN, side=16).path))
    for run in range(4):
        ids, groups = study.sample(run), study.entry.groups
        times = np.bincount((ids >> 32) * 18 + (ids & 0xFFFF), minlength=30)
        assert len(ids) == 30 and all(len(set(times[groups == group])) == 1 for group in set(groups))


def test_a_damaged_list_of_groups_is_refused(bursts, tmp_path):
    from ltbv.data.images import pool as pools

    pool = images(bursts, groups=PATTERN, write_to=tmp_path / "mine.pool")
    arrays = dict(np.load(pool.path / pools.INDEX))
    np.savez(pool.path / pools.INDEX, **{**arrays, "groups": arrays["groups"][:-1]})
    with pytest.raises(Refusal, match="index.npz does not fit pool.json"):
        pools._read(pool.path, pools.read_json(pool.path / pools.DESCRIPTION)).index  # noqa: B018


def test_a_pool_has_its_groups(bursts):
    pool = images(bursts, groups=PATTERN)
    for groups in (np.arange(42), PATTERN):
        with pytest.raises(Refusal, match="--group.* is for images that are read from a directory or list") as refused:
            images(pool.path, groups=groups)
        assert "\n" not in str(refused.value)


def test_cells_of_a_table_may_be_empty():
    from ltbv.data.images.rows import group_of

    assert [group_of(value) for value in (None, float("nan"), pd.NA, "", " a ", 3)] == ["", "", "", "", "a", "3"]
