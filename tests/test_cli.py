"""The door: quick help, one clear line for whatever cannot be done, nothing written then."""

import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ltbv.cli import bootstrap, main

TINY = ["--dataset", "tiny-lt", "--executor", "inline", "--runs", "2"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An empty directory to stand in."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def run(*words: str):
    return CliRunner().invoke(main, list(words))


def refused(result, *words: str) -> None:
    """Exit 2, one line on standard error, nothing else, nothing written."""
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1, result.output
    for word in words:
        assert word in result.stderr
    assert not list(Path.cwd().iterdir())


def written() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path.cwd().rglob("*") if path.is_file()}


def test_help_of_every_command_imports_neither_torch_nor_numpy():
    code = """
import sys
from ltbv.cli import bootstrap, main
for words in [], *([name] for name in main.commands):
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert end.code == 0
    heavy = {"torch", "numpy", "pandas", "matplotlib", "rich"} & set(sys.modules)
    assert not heavy, (words, heavy)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Bias and variance" in done.stdout


@pytest.mark.parametrize("command", main.commands)
def test_every_command_has_help_with_a_first_line_that_says_what_for(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert main.commands[command].get_short_help_str().strip()


def test_the_version():
    import ltbv

    said = run("--version").output
    found = re.fullmatch(r"ltbv (\S+), torch (\S+) on (.+), Python (\S+)\n", said)
    assert found and found[1] == ltbv.__version__ and found[4] == platform.python_version()


def test_the_version_does_not_wait_for_torch_where_there_is_no_gpu(monkeypatch):
    """torch is an absent module here: importing it would fail."""
    from ltbv import door

    monkeypatch.setattr(door, "GPUS", ("/nowhere",))
    monkeypatch.setitem(sys.modules, "torch", None)
    assert " on cpu, " in run("--version").output


def test_the_version_is_said_without_torch(monkeypatch):
    from importlib import metadata

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    assert "no torch (reports only)" in run("--version").output


def test_methods_and_datasets_are_listed():
    from ltbv.data.catalogue import ENTRIES
    from ltbv.data.resample import SCHEMES
    from ltbv.methods import METHODS

    shown = run("methods").output
    assert all(method.key in shown and method.label in shown for method in METHODS.values())
    shown = run("datasets").output
    assert all(name in shown for name in (*ENTRIES, *SCHEMES))


# Bad input: one clear line, exit 2, nothing written


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--method", "rid"], ["unknown method 'rid'", "did you mean 'ride'", "there is: balanced_softmax, bbn"]),
        (["--method", "ce", "--method", "taunorm"], ["did you mean 'tau_norm'"]),
        (["--method", "no_such:METHOD"], ["no_such", "package.module:name"]),
        (["--method", ":METHOD"], ["package.module:name"]),
        (["--method", "json:loads"], ["not a Method"]),
        (["--dataset", "cifar100"], ["unknown dataset 'cifar100'", "did you mean 'cifar100-lt'"]),
        (["--scheme", "bootstap"], ["unknown scheme 'bootstap'", "did you mean 'bootstrap'", "subsample"]),
        (["--profile", "expp"], ["did you mean 'exp'"]),
        (["--runs", "0"], ["--runs 0"]),
        (["--runs", "-5"], ["--runs -5"]),
        (["--head", "501"], ["501", "500"]),
        (["--head", "0"], ["head is 0"]),
        (["--imbalance", "0.5"], ["imbalance is 0.5"]),
        (["--imbalance", "nan"], ["imbalance is nan"]),
        (["--imbalance", "1000"], ["empty"]),
        (["--epochs", "0"], ["epochs 0"]),
        (["--seed", "-1"], ["seed -1"]),
        (["--jobs", "0"], ["--jobs 0"]),
        (["--stack", "-1"], ["--stack -1"]),
        (["--device", "gpu"], ["device 'gpu'", "cpu"]),
        (["--executor", "slurm"], ["unknown executor 'slurm'", "local"]),
        (["--dataset", "cifar10-lt"], ["--data-dir"]),
        (["--dataset", "cifar10-lt", "--data-dir", "nowhere"], ["nowhere", "cifar-10-batches-py"]),
        (["--dataset", "cifar10-lt", "--scheme", "fresh"], ["endless"]),
        (["--network", "resnet18"], ["torchvision:resnet18"]),
        (["--network", "torchvision:resnet81"], ["resnet18"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_one_clear_line(asked, words):
    refused(run("bootstrap", *asked), *words)


@pytest.mark.parametrize("asked", [["--runs", "many"], ["--head", "1.5"], ["--no-such-option"], ["--method"]])
def test_what_cannot_be_understood_is_clicks_usage_error(asked):
    result = run("bootstrap", *asked)
    assert result.exit_code == 2 and "Error: " in result.stderr and not list(Path.cwd().iterdir())


def test_a_directory_of_data_that_is_damaged_is_one_line(tmp_path):
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"):
        (tmp_path / "data" / "cifar-10-batches-py" / name).write_bytes(b"\x80\x04]")
    refused(run("bootstrap", "--dataset", "cifar10-lt", "--data-dir", str(tmp_path / "data")), "data_batch_1")


@pytest.mark.parametrize("place", ["/dev/null/study", "/proc/study"])
def test_a_place_that_cannot_be_written_is_one_line(tiny_lt, place):
    del tiny_lt
    if not Path(place).parent.exists():
        pytest.skip("no such place on this system")
    refused(run("bootstrap", *TINY, "--study", place), place)


def test_a_full_disk_is_one_line(tiny_lt, monkeypatch):
    import errno

    del tiny_lt

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    result = run("bootstrap", *TINY, "--study", "study")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert "No space left on device" in result.stderr and written() == {}


def test_a_directory_of_something_else_is_left_alone(tiny_lt):
    del tiny_lt
    Path("study").mkdir()
    Path("study/thesis.tex").write_text("years of work")
    result = run("bootstrap", *TINY, "--study", "study", "--force")
    assert result.exit_code == 2 and "not a study" in result.stderr and len(result.stderr.splitlines()) == 1
    assert list(written()) == [str(Path.cwd() / "study/thesis.tex")]


def test_other_settings_are_one_line_with_the_names_of_the_fields(tiny_lt):
    del tiny_lt
    assert run("bootstrap", *TINY, "--method", "ce", "--study", "study", "-q").exit_code == 0
    before = written()
    result = run("bootstrap", *TINY, "--method", "ce", "--study", "study", "--seed", "1", "--head", "10")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert "seed: 0 there, 1 asked" in result.stderr and "head: 12 there, 10 asked" in result.stderr
    assert "--force" in result.stderr and written() == before


def test_a_method_whose_file_is_broken_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "broken_file.py").write_text("METHOD = (\n")
    monkeypatch.syspath_prepend(tmp_path)
    refused(run("bootstrap", "--method", "broken_file:METHOD"), "broken_file")


@pytest.mark.parametrize("command", ["status", "report"])
def test_what_wants_a_study_says_which_command_makes_one(command):
    refused(run(command, "nowhere"), "nowhere", "ltbv bootstrap")


# What a study prints


def test_bootstrap_writes_the_study_and_says_what_to_do_next(tiny_lt):
    del tiny_lt
    result = run("bootstrap", *TINY, "--method", "ce")
    assert result.exit_code == 0, result.output
    assert Path("runs/tiny-lt/predictions/ce/r001.npz").exists()
    assert "CE 2 runs" in result.stdout and "ltbv report runs/tiny-lt" in result.stdout
    assert "CE" in run("status", "runs/tiny-lt").stdout and "2 runs" in run("status", "runs/tiny-lt").stdout


def test_bootstrap_without_ce_says_before_it_trains_what_is_compared(tiny_lt):
    del tiny_lt
    result = run("bootstrap", *TINY, "--method", "tau_norm")
    assert result.exit_code == 0, result.output
    assert "this study has no CE: its report compares with tau_norm" in result.stderr.splitlines()[0]
    assert "no CE" not in run("bootstrap", *TINY, "--method", "ce").stderr


def test_a_second_bootstrap_does_nothing(tiny_lt):
    del tiny_lt
    run("bootstrap", *TINY, "--method", "ce")
    before = {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")}
    result = run("bootstrap", *TINY, "--method", "ce")
    assert result.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")} == before


def test_a_dry_run_has_a_line_for_a_stage_however_many_stacks_it_is(tiny_lt):
    del tiny_lt

    def trained(*asked):
        return re.findall(
            r"train (\w+/\w+, runs? .*), \d+ epochs: ", run("bootstrap", *TINY, *asked, "--dry-run").stdout
        )

    asked = ("--method", "ce", "--method", "ride", "--runs", "3")
    for stack, side in {"1": " one at a time", "2": " in 2 stacks", "3": ""}.items():
        assert trained(*asked, "--stack", stack) == [
            f"ce/representation, runs 0-2{side}",
            f"ride/experts, runs 0-2{side}",
        ]
    run("bootstrap", *TINY, "--method", "ce", "-q")
    assert "ce/representation, run 2" in trained(*asked)  # those of ride come first, which run 0 lacks too


@pytest.mark.parametrize("asked", [[], ["--force"], ["--method", "crt", "--method", "ride"], ["--runs", "7"]])
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tiny_lt, asked):
    del tiny_lt
    result = run("bootstrap", *TINY, *asked, "--dry-run")
    assert result.exit_code == 0 and written() == {} and not list(Path.cwd().iterdir())
    assert "tiny-lt" in result.stdout and "MB" in result.stdout and " s" in result.stdout
    assert re.search(r"training by method: \w+ (under 0\.1|\d+(\.\d+)?) s, .*together .* s\n", result.stdout)
    (start,) = re.findall("to start: ltbv (.*)", result.stdout)
    assert run(*shlex.split(start), "--dry-run", "--json").stdout == (
        run("bootstrap", *TINY, *asked, "--dry-run", "--json").stdout
    )
    run("bootstrap", *TINY, "--method", "ce", "-q")
    before = written()
    result = run("bootstrap", *TINY, *asked, "--dry-run")
    assert result.exit_code == 0 and written() == before


def test_a_list_of_commands_cannot_discard(tiny_lt):
    result = run("bootstrap", *TINY, "--force", "--dry-run", "--json")
    assert result.exit_code == 2 and "delete the study first" in result.stderr


def test_a_dry_run_of_a_finished_study_says_that_nothing_is_missing(tiny_lt):
    del tiny_lt
    run("bootstrap", *TINY, "--method", "ce", "-q")
    assert "nothing" in run("bootstrap", *TINY, "--method", "ce", "--dry-run").stdout


def test_quiet_says_nothing_and_verbose_a_line_for_every_stage_and_run(tiny_lt):
    del tiny_lt
    result = run("bootstrap", *TINY, "--method", "ce", "-q")
    assert (result.exit_code, result.output) == (0, "")
    result = run("bootstrap", *TINY, "--method", "ldam", "-v")
    assert result.exit_code == 0
    assert "ldam/representation" in result.stderr and result.stderr.count("done ldam run") == 2


def test_off_a_terminal_there_is_no_bar(tiny_lt):
    del tiny_lt
    result = run("bootstrap", *TINY, "--method", "ce")
    assert "\x1b" not in result.output and "%" not in result.stdout


def test_without_methods_it_is_cross_entropy_and_ride(tiny_lt):
    del tiny_lt
    assert run("bootstrap", *TINY, "-q").exit_code == 0
    assert sorted(path.name for path in Path("runs/tiny-lt/predictions").iterdir()) == ["ce", "ride"]


def test_demo_is_the_default_bootstrap_and_its_report(monkeypatch):
    from ltbv.errors import Refusal

    asked = []

    def prepare(request):
        asked.append(request)
        raise Refusal("that is enough")

    monkeypatch.setattr("ltbv.harness.bootstrap.prepare", prepare)
    assert run("demo").exit_code == run("bootstrap").exit_code == 2
    assert asked[0] == asked[1] and asked[0].runs == 10 and asked[0].methods == ("ce", "ride")


@pytest.mark.usefixtures("undrawn")
def test_a_demo_may_have_a_study_of_its_own(tiny_lt, monkeypatch):
    run("bootstrap", *TINY, "--study", "runs/own", "-q")
    asked = []
    monkeypatch.setattr(bootstrap, "callback", lambda **options: asked.append(options["study"]))
    assert run("demo", "--study", "runs/own").exit_code == 0
    assert asked == [Path("runs/own")] and Path("reports/own/report.md").exists()


def test_methods_may_stand_in_one_word(tiny_lt):
    assert run("bootstrap", *TINY, "--method", "ce,tau_norm", "-q").exit_code == 0
    assert sorted(path.name for path in Path("runs/tiny-lt/predictions").iterdir()) == ["ce", "tau_norm"]
    assert "did you mean 'ce'?" in run("bootstrap", *TINY, "--method", "CE").stderr


def test_interrupted_by_hand_it_says_that_the_same_command_goes_on(tiny_lt, monkeypatch):
    del tiny_lt

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("ltbv.harness.trainer.train", interrupted)
    result = run("bootstrap", *TINY)
    assert result.exit_code == 130 and "same command" in result.stderr


def test_a_small_head_lowers_the_imbalance_and_says_so():
    said = run("bootstrap", "--head", "40", "--dry-run")
    assert said.exit_code == 0 and "the imbalance is 40, not 50: more a head of 40 does not allow" in said.output
    assert "the imbalance is" not in run("bootstrap", "--head", "60", "--dry-run").output
    asked = run("bootstrap", "--head", "40", "--imbalance", "50", "--dry-run")
    assert asked.exit_code == 2 and "choose an imbalance below 40" in asked.output
