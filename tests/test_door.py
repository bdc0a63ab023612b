"""What goes wrong at the door is one line and exit 2: streams that cannot be written, names and numbers that cannot be.

Commands run as processes of their own where their standard streams matter.
"""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from ltbv import analyse
from ltbv.cli import main
from ltbv.data.policies import POLICIES
from ltbv.errors import Refusal
from ltbv.harness.bootstrap import prepare
from ltbv.harness.request import Request

LONG = "x" * 300  # bytes; a file system allows 255
NO_UTF8 = os.fsdecode(b"o\xff")
FULL = Path("/dev/full")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    """A directory with the predictions of two methods and their counts."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [*sys.path])
    labels, draw = np.repeat(np.arange(4), 10), np.random.default_rng(0)
    for name, right in (("ce", 0.6), ("mine", 0.8)):
        (here / name).mkdir()
        for run in range(5):
            preds = np.where(draw.random(40) < right, labels, draw.integers(0, 4, 40))
            np.savez(here / name / f"run{run}.npz", preds=preds, labels=labels)
    (here / "counts.txt").write_text("500\n150\n50\n5\n")
    return here


REPORT = ("report", "ce=ce", "mine=mine", "--train-counts", "counts.txt", "--output", "made")


def make_study(path: Path) -> Path:
    """CE, two runs."""
    job = prepare(Request.of(("ce",), 2, path, dataset="tiny-lt", executor="inline"))
    assert job.run(lambda event: None) == []
    return path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refused(*words: str) -> str:
    """The one line of a command that is refused and leaves everything as it was."""
    before = files(Path.cwd())
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1, result.output
    assert files(Path.cwd()) == before
    return result.stderr


def started(shell: str, **environment: str) -> subprocess.CompletedProcess:
    """`ltbv` as a process, its streams as the shell is told."""
    code = f'"{sys.executable}" -c "from ltbv.cli import main; main()" {shell}'
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, env=os.environ | environment)


# Streams

SAYING = ["--help", "--version", "run --help", "datasets", "status study"]


@pytest.fixture(scope="module")
def a_study(introduce, tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        introduce(patch)
        return make_study(tmp_path_factory.mktemp("streams") / "study")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("command", SAYING)
def test_standard_output_that_is_full_is_one_line(command, elsewhere, a_study):
    (elsewhere / "study").symlink_to(a_study)
    done = started(f"{command} >/dev/full")
    assert done.returncode == 2
    assert done.stderr == "ltbv: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("command", SAYING)
def test_standard_output_that_is_closed_is_one_line(command, elsewhere, a_study):
    (elsewhere / "study").symlink_to(a_study)
    done = started(f"{command} >&-")
    assert done.returncode == 2 and done.stderr == "ltbv: cannot write to standard output: Bad file descriptor\n"
    assert started(f"{command} >&- 2>&-").returncode == 2


def test_a_report_that_cannot_be_shown_is_written(elsewhere):
    done = started(f"{' '.join(REPORT)} >&-")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert (elsewhere / "made" / "report.md").exists() and (elsewhere / "made" / "report.json").exists()
    quiet = started(f"{' '.join(REPORT)} -q >&- <&- 2>&-")
    assert quiet.returncode == 0, "nothing was to be said"


def test_who_stops_reading_is_no_error_to_speak_of():
    done = started("datasets | true")
    assert done.stderr == ""


# Numbers


def finite_options() -> list[tuple[str, str]]:
    """Every option of every command that takes a number which is not whole."""
    return [
        (name, parameter.opts[0])
        for name, command in main.commands.items()
        for parameter in command.params
        if isinstance(parameter.type, click.types.FloatParamType) or parameter.type.name == "float"
    ]


def test_there_are_numbers_to_ask_for():
    found = set(finite_options())
    assert {("bootstrap", "--imbalance"), ("run", "--checkpoint-minutes"), ("report", "--margin")} <= found


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(("command", "option"), finite_options(), ids=" ".join)
def test_a_number_is_finite(command, option, value):
    asked = [*REPORT] if command == "report" else [command, *(["0"] if command == "run" else [])]
    assert f"{option[2:]} is {value}: give {option} a finite number" in refused(*asked, option, value)


@pytest.mark.parametrize("margin", [-0.01, 1.5, 5.0])
def test_a_margin_is_a_share(margin):
    assert f"margin is {margin:g}; it is a share" in refused(*REPORT, "--margin", str(margin))


@pytest.mark.parametrize("margin", [-0.01, 5, math.nan, math.inf])
def test_a_margin_is_a_share_in_python_too(margin):
    labels = np.arange(3)
    with pytest.raises(Refusal, match="margin is .*; it is a share"):
        analyse({"ce": np.stack([labels] * 2)}, labels, np.array([9, 5, 2]), margin=margin)


@pytest.mark.parametrize("value", [math.nan, -1.0])
def test_minutes_between_checkpoints_are_a_number(tiny_lt, tmp_path, value):
    with pytest.raises(Refusal, match="--checkpoint-minutes"):
        prepare(Request.of(("ce",), 2, tmp_path / "study", dataset="tiny-lt", checkpoint_minutes=value))


@pytest.mark.parametrize(
    "chunk", ["²", "٣", "1-²", "-1", "3-1", "", "-", "0-", "1_0", "0x1", " 1", "1\n", "0-99999999999999", "9" * 5000]
)
def test_a_chunk_is_runs_in_digits(chunk):
    assert "give a range of runs, such as 0-4" in refused("run", "--", chunk)


@pytest.mark.parametrize("option", ["--runs", "--head"])
def test_a_number_beyond_all_bounds_is_refused_at_once(option):
    assert "99999999999999999999" in refused("bootstrap", "--method", "ce", option, "9" * 20)


# What nobody would use


def test_a_directory_of_data_that_nothing_is_read_from_is_refused():
    assert "'glyphs-lt' reads no files, and not 'DATA': leave out --data-dir" in refused(
        "bootstrap", "--method", "ce", "--data-dir", "DATA"
    )
    assert "leave out --data-dir" in refused("datasets", "--preview", "sheet.png", "--data-dir", "DATA")


@pytest.mark.parametrize("option", ["--data-dir", "--dataset"])
def test_what_only_a_preview_uses_goes_with_a_preview(option):
    assert f"{option} cifar10-lt goes with --preview" in refused("datasets", option, "cifar10-lt")


def test_an_address_goes_with_ray():
    assert "--address auto is for --executor ray" in refused("bootstrap", "--method", "ce", "--address", "auto")


# Names


@pytest.mark.parametrize(
    "words",
    [
        ("bootstrap", "--method", "ce", "--study", LONG),
        ("status", LONG),
        ("report", LONG),
        ("report", "ce=ce", f"mine={LONG}", "--train-counts", "counts.txt"),
        ("report", "ce=ce", "--train-counts", LONG),
        (*REPORT[:-1], LONG),
        ("datasets", "--preview", f"{LONG}.png"),
    ],
    ids=lambda words: " ".join(words)[:30],
)
def test_a_name_that_is_too_long_is_one_line(words):
    assert "File name too long" in refused(*words)


def test_a_report_of_long_names_has_a_place_all_the_same(elsewhere):
    """Its directory is called after its methods: here eighty letters of four bytes each."""
    name = "𠀀" * 80
    result = CliRunner().invoke(main, ["report", f"{name}=mine", "--train-counts", "counts.txt", "-q"])
    assert result.exit_code == 0, result.output
    (made,) = (elsewhere / "reports").iterdir()
    assert (made / "report.json").exists() and name.startswith(made.name)


def test_a_method_whose_name_is_not_utf8_is_named_escaped(elsewhere):
    words = [*REPORT, f"{NO_UTF8}=mine", "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, (result.output, result.exception)
    assert [method["key"] for method in json.loads(result.stdout)["methods"]] == ["ce", "mine", "o\\udcff"]
    assert "two sources are called" in refused(*words, "o\\udcff=ce")


def test_paths_that_are_not_utf8_are_used_and_shown_escaped(elsewhere):
    os.rename("ce", NO_UTF8)
    (elsewhere / NO_UTF8 / os.fsdecode(b"note\xff.txt")).write_text("passed over")
    done = started(
        r"report ce=$'o\xff' mine=mine --train-counts counts.txt --output $'made\xff'", PYTHONIOENCODING="utf-8:strict"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert r"Report: made\udcff/report.html" in done.stdout and "passed over" in done.stdout
    assert "passed over" in (elsewhere / os.fsdecode(b"made\xff") / "report.md").read_text()


def test_a_study_whose_name_is_not_utf8_is_reported(tiny_lt, tmp_path):
    study = make_study(tmp_path / NO_UTF8)
    done = CliRunner().invoke(main, ["report", str(study), "--output", "made"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert (Path.cwd() / "made/report.html").exists()


# Places


def test_a_file_is_no_directory_for_a_report_and_that_is_said_first(monkeypatch):
    monkeypatch.setattr("ltbv.report.tables.build", lambda *args, **options: pytest.fail("nothing is worked out"))
    assert "Not a directory" in refused(*REPORT[:-1], "counts.txt")
    assert "Not a directory" in refused(*REPORT[:-1], "counts.txt/below")


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="no read-only place on this system")
def test_a_place_where_nothing_can_be_made_is_one_line():
    assert "cannot write" in refused(*REPORT[:-1], "/proc/made")


def test_what_is_no_file_is_not_replaced_by_one(elsewhere):
    os.mkfifo(elsewhere / "pipe.png")
    assert "no regular file" in refused("datasets", "--preview", "pipe.png")
    assert (elsewhere / "pipe.png").is_fifo()


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        (["bootstrap", "--method"], "ld", ["ldam", "ldam_drw"]),
        (["bootstrap", "--method"], "ce,tau", ["ce,tau_norm"]),
        (["run", "--scheme"], "s", ["subsample", "stratified_bootstrap", "seed_only"]),
        (["bootstrap", "--dataset"], "cifar", ["cifar10-lt", "cifar100-lt", "cifar"]),  # or a file that begins so
        (["methods"], "bb", ["bbn"]),
        ([], "boot", ["bootstrap"]),
        (["bootstrap", "--network"], "", ["torchvision:", "timm:", "cifar:"]),
        (["bootstrap", "--network"], "cifar:resnet11", ["cifar:resnet110"]),
        (["bootstrap", "--network"], "torchvision:resnet10", ["torchvision:resnet101"]),
        (["bootstrap", "--augmentation"], "", ["crop_flip", *POLICIES]),
        (["bootstrap", "--device"], "cu", ["cuda"]),
        (["features", "--device"], "c", ["cpu", "cuda"]),
    ],
)
def test_names_are_completed(words, incomplete, found):
    from click.shell_completion import BashComplete

    complete = BashComplete(main, {}, "ltbv", "_LTBV_COMPLETE")
    assert [one.value for one in complete.get_completions(words, incomplete)] == found


@pytest.fixture
def studies(tmp_path, monkeypatch):
    """Two in runs/, one elsewhere, and a directory that is none."""
    monkeypatch.chdir(tmp_path)
    for name in ("runs/glyphs-lt", "runs/slow", "mine/one"):
        for key in ("ce", "ride", "ride_3") if name == "runs/slow" else ("ce",):
            recipe = Path(name) / "predictions" / key / "recipe.json"
            recipe.parent.mkdir(parents=True, exist_ok=True)
            recipe.write_text(json.dumps({"key": key, "label": key, "order": 0, "stages": []}))
        (Path(name) / "study.json").write_text("{}")
    Path("runs/none").mkdir()


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        (["report"], "", ["", "runs/glyphs-lt", "runs/slow"]),
        (["status"], "runs/s", ["runs/s", "runs/slow"]),
        (["status"], "mine/", ["mine/", "mine/one"]),
        (["bootstrap", "--study"], "runs/", ["runs/", "runs/glyphs-lt", "runs/slow"]),
        (["report", "runs/slow", "--reference"], "r", ["ride", "ride_3"]),
        (["report", "runs/slow", "--method"], "ce,ri", ["ce,ride", "ce,ride_3"]),
        (["report", "--method"], "", ["ce"]),
        (["report", "ours=a.npz", "other=b.npz", "--reference"], "", ["ours", "other"]),
        (["report", "nowhere", "--reference"], "", []),
    ],
)
def test_studies_and_their_methods_are_completed(studies, words, incomplete, found):
    """The first of directories is what has been typed: the shell adds those that are no studies."""
    from click.shell_completion import BashComplete

    complete = BashComplete(main, {}, "ltbv", "_LTBV_COMPLETE")
    assert [one.value for one in complete.get_completions(words, incomplete)] == found


def test_files_are_completed_where_a_file_is_asked():
    from click.shell_completion import BashComplete

    (found,) = BashComplete(main, {}, "ltbv", "_LTBV_COMPLETE").get_completions(["bootstrap", "--events"], "gl")
    assert (found.type, found.value) == ("file", "gl")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(("incomplete", "shown"), [("", ["runs/glyphs-lt", "runs/slow"]), ("reports/", [])])
def test_bash_shows_studies_and_where_there_is_none_directories(studies, incomplete, shown):
    """By the script of click itself: what is typed last of the words that `ltbv` answers is what bash is left with."""
    from click.shell_completion import BashComplete

    del studies
    complete = BashComplete(main, {}, "ltbv", "_LTBV_COMPLETE")
    answer = "\n".join(map(complete.format_completion, complete.get_completions(["status"], incomplete)))
    script = f"{complete.source_template % complete.source_vars()}\ncompopt() {{ echo asked $2; }}\n"
    script += 'env() { echo "$ANSWER"; }\n_ltbv_completion ltbv; printf "%s\\n" "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=os.environ | {"ANSWER": answer})
    assert done.stdout.split("\n")[0] == "asked dirnames", done.stderr  # taken by bash where nothing else is shown
    assert sorted(filter(None, done.stdout.split("\n")[1:])) == shown
