"""The study directory: what is there is done; other settings are refused by name; force throws away all of it."""

import contextlib
import json
import os
import shutil

import numpy as np
import pytest

from ltbv.errors import Refusal
from ltbv.files import write_arrays
from ltbv.store import Store, spans

ASKED = {"dataset": "tiny-lt", "seed": 0, "protocol": {"epochs": 2}}
STAGE = "0123456789abcdef"
RECIPE = {"key": "aa", "label": "CE", "order": 0, "stages": [{"name": "representation", "key": STAGE}]}


@pytest.fixture
def store(tmp_path) -> Store:
    """A study of two methods with two runs each, and a stage."""
    store = Store(tmp_path / "study")
    store.open(ASKED, {"counts": [3, 1]}, {"commit": "x"})
    store.write_samples(np.arange(6).reshape(2, 3))
    store.write_test_labels(np.array([0, 1, 1]))
    for method in ("ce", "ride"):
        store.open_method(method, {**RECIPE, "label": method.upper(), "order": int(method == "ce")})
        for run in range(2):
            write_arrays(store.prediction_file(method, run), {"label": np.array([run, 1, 1])})
    write_arrays(store.stage_file(STAGE, 0), {"weight": np.ones(2)})
    return store


def everything(path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def test_what_is_there_is_what_is_done(store):
    assert store.exists and store.study()["asked"] == ASKED and store.study()["data"] == {"counts": [3, 1]}
    assert store.methods() == ["ride", "ce"], "by the order of their recipes"
    assert store.runs("ce") == [0, 1] and store.missing("ce", range(4)) == [2, 3]
    assert store.has_stage(STAGE, [0]) and not store.has_stage(STAGE, [0, 1]) and not store.has_stage("s2", [0])
    assert store.predictions("ce").tolist() == [[0, 1, 1], [1, 1, 1]]
    assert store.predictions("ce", runs=[1]).tolist() == [[1, 1, 1]]
    assert store.test_labels().tolist() == [0, 1, 1] and store.samples().shape == (2, 3)


def test_a_thousand_runs_are_in_order(store):
    for run in (10, 999, 1000):
        write_arrays(store.prediction_file("ce", run), {"label": np.zeros(3)})
    assert store.runs("ce") == [0, 1, 10, 999, 1000]


def test_half_written_and_foreign_files_are_no_runs(store):
    directory = store.prediction_file("ce", 0).parent
    for name in (".r007.npz.abc.part", "r007.npz.bak", "rx.npz", "notes.txt"):
        (directory / name).write_bytes(b"half")
    assert store.runs("ce") == [0, 1] and store.missing("ce", [7]) == [7]
    (store.path / "predictions" / "empty").mkdir()
    assert store.methods() == ["ride", "ce"]


def test_the_same_settings_go_on_and_change_nothing(store):
    before = everything(store.path)
    store.open(ASKED, {"counts": [3, 1]}, {"commit": "another, not compared"})
    store.open_method("ce", {**RECIPE, "label": "CE", "order": 1})
    assert everything(store.path) == before


def test_what_is_said_of_a_method_may_change_and_what_it_made_stays(store):
    before = everything(store.path)
    store.open_method("ce", {**RECIPE, "label": "Cross-entropy", "order": 5})
    after = everything(store.path)
    assert {name for name in before if before[name] != after[name]} == {"predictions/ce/recipe.json"}
    assert store.recipe("ce")["label"] == "Cross-entropy" and store.methods() == ["ride", "ce"]


def test_other_settings_are_refused_with_the_names_of_the_fields(store):
    before = everything(store.path)
    with pytest.raises(Refusal) as refusal:
        store.open({**ASKED, "seed": 3, "protocol": {"epochs": 9}, "new": 1}, {}, {})
    words = str(refusal.value)
    assert "seed: 0 there, 3 asked" in words and "protocol" in words and "new" in words and "dataset" not in words
    assert "--force" in words and "--study" in words and "\n" not in words
    assert everything(store.path) == before


def test_force_discards_all_that_other_settings_made(store):
    store.open({**ASKED, "seed": 3}, {"counts": [2, 1]}, {}, force=True)
    assert store.study()["asked"]["seed"] == 3 and store.study()["data"] == {"counts": [2, 1]}
    assert list(everything(store.path)) == ["study.json"], "samples and test labels were of the other settings too"
    store.write_samples(np.arange(6, 12).reshape(2, 3))
    assert store.samples().tolist() == [[6, 7, 8], [9, 10, 11]]


def test_force_with_the_same_settings_keeps_the_other_methods(store):
    store.open(ASKED, {}, {}, force=True)
    store.open_method("ce", RECIPE, force=True)
    assert store.methods() == ["ride"] and store.missing("ce", [0, 1]) == [0, 1]
    assert not store.has_stage(STAGE, [0])


def test_another_recipe_under_the_same_key_is_refused(store):
    before = everything(store.path)
    with pytest.raises(Refusal, match="another recipe.*'ce'.*--force"):
        store.open_method("ce", {**RECIPE, "key": "bb"})
    assert everything(store.path) == before
    store.open_method("ce", {**RECIPE, "key": "bb"}, force=True)
    assert store.recipe("ce")["key"] == "bb" and store.runs("ce") == []


class Killed(BaseException):
    """The process ends here."""


def test_force_killed_at_any_file_never_leaves_old_predictions_to_a_new_recipe(tmp_path, monkeypatch):
    """Old files are deleted one by one; at whatever point that ends, nothing old may pass for the new recipe's."""
    unlink = os.unlink
    for moment in range(8):
        store = Store(tmp_path / str(moment))
        store.open(ASKED, {}, {})
        store.open_method("ce", RECIPE)
        for run in range(4):
            write_arrays(store.prediction_file("ce", run), {"label": np.zeros(3)})
        left = iter(range(moment))

        def dying(*args, left=left, **kwargs):
            if next(left, None) is None:
                raise Killed
            return unlink(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", dying)
            with contextlib.suppress(Killed):
                store.open_method("ce", {**RECIPE, "key": "bb"}, force=True)
        try:
            store.open_method("ce", {**RECIPE, "key": "bb"})
        except Refusal:
            continue  # the old recipe still stands, and says so
        assert store.runs("ce") == [], f"killed before deleting file {moment}"


@pytest.mark.parametrize("part", ["stages", "predictions", f"stages/{STAGE}", "samples.npz"])
def test_force_empties_a_part_that_lies_elsewhere_and_leaves_the_link(store, tmp_path, part):
    """On a larger disk, say; what does not belong to the study stays where it is."""
    place, link = tmp_path / "large", store.path / part
    link.rename(place)
    link.symlink_to(place)
    (tmp_path / "beside").write_text("another's")
    store.open({**ASKED, "seed": 3}, {}, {}, force=True)
    assert store.recipes() == [] and not store.has_stage(STAGE, [0]) and store.runs_asked() == 0
    assert (tmp_path / "beside").exists() and (part == "samples.npz" or part.count("/") or link.is_symlink())
    store.open_method("ce", RECIPE)
    store.write(store.stage_file(STAGE, 0), {"weight": np.ones(2)})
    assert store.has_stage(STAGE, [0])


def test_what_cannot_be_deleted_is_refused_in_a_line(store, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(Refusal, match="cannot remove .*: Permission denied") as refusal:
        store.open({**ASKED, "seed": 3}, {}, {}, force=True)
    assert "\n" not in str(refusal.value) and store.study()["asked"] == ASKED


def test_a_directory_that_is_no_study_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(Refusal, match="exists and is not a study"):
        Store(tmp_path).open(ASKED, {}, {})
    with pytest.raises(Refusal, match="exists and is not a study"):
        Store(tmp_path).open(ASKED, {}, {}, force=True)
    with pytest.raises(Refusal, match="not a study"):
        Store(tmp_path / "thesis.tex").open(ASKED, {}, {})
    assert list(everything(tmp_path)) == ["thesis.tex"]


def test_an_empty_directory_and_one_where_the_first_write_was_killed_become_a_study(tmp_path):
    (tmp_path / ".study.json.abc.part").write_text("{")
    Store(tmp_path).open(ASKED, {}, {})
    assert Store(tmp_path).exists


def test_a_study_that_is_not_there_names_the_command_that_makes_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where there is no other
    with pytest.raises(Refusal, match=r"is not a study.*ltbv bootstrap --study"):
        Store(tmp_path / "runs" / "mine").study()


def test_a_study_that_is_elsewhere_is_named(tmp_path, monkeypatch):
    """A slip of the pen, the name of the data in place of the study's, another study than the default."""
    monkeypatch.chdir(tmp_path)
    for name in ("photographs", "dino"):
        Store(f"runs/{name}").open(ASKED, {}, {})
    (tmp_path / "photographs" / "train").mkdir(parents=True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    for asked, said in {
        "runs/photograph": "did you mean runs/photographs?",
        "photographs": "did you mean runs/photographs?",
        "runs/glyphs-lt": "there is: runs/dino, runs/photographs",
        "thesis": "there is: runs/dino, runs/photographs",
    }.items():
        with pytest.raises(Refusal) as refused:
            Store(asked).study()
        assert str(refused.value) == f"{asked} is not a study: no study.json; {said}"
    shutil.rmtree("runs")
    with pytest.raises(Refusal, match="make one with: ltbv bootstrap$"):  # not there, where something else lies
        Store("thesis").study()


def test_runs_are_named_as_people_write_them():
    assert [spans(runs) for runs in ([3], [0, 1, 2], [0, 1, 4, 6, 7])] == ["3", "0-2", "0-1, 4, 6-7"]


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 99}', "{}", "null"])
def test_a_study_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(Refusal, match="study.json"):
        Store(tmp_path).study()
    with pytest.raises(Refusal, match="study.json"):
        Store(tmp_path).open(ASKED, {}, {})


def test_samples_grow_with_the_runs_and_never_shrink(store):
    store.write_samples(np.arange(3).reshape(1, 3))
    assert len(store.samples()) == 2
    store.write_samples(np.arange(9).reshape(3, 3))
    assert len(store.samples()) == 3


def test_study_json_is_for_people_too(store):
    text = (store.path / "study.json").read_text()
    assert text.endswith("\n") and len(text.splitlines()) > 5 and json.loads(text)["format"] == 1
