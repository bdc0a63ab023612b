"""Does a report take its earlier files away with it, and nothing of anybody else's?"""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ltbv.errors import Refusal
from ltbv.report import manifest, write_report
from ltbv.report.study import read_study

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def made(shared_study):
    """A report with every figure, drawn; and the same study without what most of them need."""
    recipes = {"ride": {"adds_to": "ce", "cost": {"macs": 3.0, "parameters": 1.0}}}
    path = shared_study({"ce": "CE", "ride": "RIDE"}, runs=2, points=2, recipes=recipes, routed={"ride": 2})
    write_report(path, path.with_name("out"))
    shutil.rmtree(path / "predictions" / "ride")
    return path, path.with_name("out")


@pytest.fixture
def out(made, tmp_path):
    """Both, to be reported there again."""
    study, output = (Path(shutil.copytree(of, tmp_path / of.name)) for of in made)
    return study, output


STALE = [f"figures/{name}.{kind}" for name in ("additions", "usage") for kind in ("png", "pdf", "csv")]
STALE += ["tables/experts.csv", "tables/experts.tex", "tables/cost.tex", "tables/costs.csv"]


def names(output) -> set[str]:
    return {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}


def test_what_the_earlier_report_wrote_is_removed(out, tmp_path):
    path, output = out
    assert set(STALE) <= names(output)
    write_report(path, output)
    write_report(path, tmp_path / "fresh")
    assert names(output) == names(tmp_path / "fresh")
    listed = json.loads((output / "report.json").read_text())["files"]
    assert names(output) == {*listed, "report.json"}


def test_what_somebody_else_put_there_stays(out):
    path, output = out
    own = {"notes.md": "mine", "figures/mine.png": "mine", "tables/experts.csv": "changed by hand"}
    for name, text in own.items():
        (output / name).write_text(text)
    write_report(path, output)
    assert {name: (output / name).read_text() for name in own} == own
    assert not (set(STALE) - set(own)) & names(output)


def test_a_manifest_that_names_other_files_removes_none(out, tmp_path):
    path, output = out
    whole = json.loads((output / "report.json").read_text())
    kept = {"notes.md": "a", "figures/sub/x.png": "b", "../beside.csv": "c"}
    (output / "figures/sub").mkdir()
    for name, text in kept.items():
        (output / name).write_text(text)
    from hashlib import sha256

    whole["files"] |= {name: sha256(text.encode()).hexdigest() for name, text in kept.items()}
    (output / "report.json").write_text(json.dumps(whole))
    write_report(path, output)
    assert all((output / name).read_text() == text for name, text in kept.items())


@pytest.mark.parametrize(
    "text", ["", "[]", '{"files": 3}', '{"files": {"tables/experts.csv": null}}', "no json", "[" * 100_000, "9" * 9000]
)
def test_without_a_manifest_nothing_is_removed(out, text):
    path, output = out
    (output / "report.json").write_text(text)
    write_report(path, output)
    assert set(STALE) <= names(output)


def caption(output) -> str:
    return next(
        line for line in (output / "report.md").read_text().splitlines() if "Holm's correction for nine" in line
    )


def test_a_study_that_grows_says_which_look_at_it_this_is(study, tmp_path):
    path, output = study(ride="RIDE", runs=9, points=2), tmp_path / "out"
    evidence = read_study(path)
    for runs in (4, 6, 6, 9):
        some = replace(evidence, methods=tuple(method.rows(range(runs)) for method in evidence.methods))
        write_report(some, output)
        looks = json.loads((output / "report.json").read_text())["setting"]["looks"]
        assert looks == [at for at in (4, 6, 9) if at <= runs]
        assert (f"This is look {len(looks)} at a study that grows" in caption(output)) == (len(looks) > 1)
    assert "(at 4, 6 and 9 runs)" in caption(output)
    write_report(path, tmp_path / "beside")
    assert "say how often it was read" in caption(tmp_path / "beside")
    told = json.loads((path / "study.json").read_text())
    (path / "study.json").write_text(json.dumps(told | {"identity": "0" * 32}))
    write_report(path, output)
    assert json.loads((output / "report.json").read_text())["setting"]["looks"] == [9], "another study, looked at once"


@pytest.mark.parametrize("looks", [None, "10", [10, "x"], [True], [-3], {"a": 1}, 7])
def test_looks_that_are_none_are_none(out, looks):
    path, output = out
    whole = json.loads((output / "report.json").read_text())
    whole["setting"]["looks"] = looks
    (output / "report.json").write_text(json.dumps(whole))
    assert manifest.looked(output, read_study(path)).setting.looks == (2,)


def test_a_link_is_left(out, tmp_path):
    path, output = out
    elsewhere = tmp_path / "elsewhere.csv"
    (output / "tables/experts.csv").rename(elsewhere)
    (output / "tables/experts.csv").symlink_to(elsewhere)
    write_report(path, output)
    assert elsewhere.exists() and (output / "tables/experts.csv").is_symlink()


def test_a_pipe_in_the_place_of_a_manifest_is_neither_waited_for_nor_replaced(out):
    path, output = out
    (output / "report.json").unlink()
    os.mkfifo(output / "report.json")
    before = names(output)
    with pytest.raises(Refusal, match="report.json: it exists and is no regular file"):
        write_report(path, output)
    assert (output / "report.json").is_fifo() and names(output) == before
