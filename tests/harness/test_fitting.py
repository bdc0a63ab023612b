"""What does not fit into memory is refused before anything is written, with what would; a dry run says it too."""

import pytest

from ltbv.engine import room as of_engine
from ltbv.engine.room import Room
from ltbv.errors import Refusal
from ltbv.harness import fitting
from ltbv.harness.bootstrap import Job, prepare
from ltbv.harness.outlook import outlook
from ltbv.harness.request import Request


@pytest.fixture
def free(monkeypatch):
    """Pretend that so much is free."""

    def pretend(together: float, each: float = float("inf")) -> None:
        for where in (fitting, of_engine):
            monkeypatch.setattr(where, "room", lambda: Room(together, each))

    return pretend


def job(store, **asked) -> Job:
    return prepare(
        Request.of(("ce", "ride"), 4, store, **{"dataset": "tiny-lt", "stack": 2, "jobs": 2, "batch": 32} | asked)
    )


def least(of: Job, runs: int = 2) -> int:
    """Of the stage that takes most."""
    return max(fitting._least(of.study, training, runs) for training in of.trainings)


def test_what_fits_is_not_spoken_of(tiny_lt, tmp_path, free):
    of = job(tmp_path / "s")
    free(2 * least(of))
    assert of.too_large() == ""


@pytest.mark.parametrize(
    ("share", "cure"),
    [
        (1.6, "--jobs 1 or --stack 1 or --micro-batch 8"),  # of what a process takes
        (0.9, "--jobs 1, --stack 1, --micro-batch 16"),
        (0.3, "--jobs 1, --stack 1, --micro-batch 8"),
        (0.01, "a smaller --batch, or a smaller network"),
    ],
)
def test_what_would_fit_is_named_each_by_itself(tiny_lt, tmp_path, free, share, cure):
    of = job(tmp_path / "s")
    free(share * least(of))
    with pytest.raises(Refusal) as refused:
        of.run(lambda event: None)
    said = str(refused.value)
    assert (
        said.startswith("ride/experts: a step of 32 images of 2 runs side by side takes at least ") and "\n" not in said
    )
    assert " MB, in each of 2 processes, and " in said and said.endswith(f"give {cure}"), said
    assert not (tmp_path / "s").exists()


def test_no_step_has_more_images_than_an_epoch(tiny_lt, tmp_path, free):
    of = job(tmp_path / "s", batch=10**9)
    free(1000.0)
    n = int(of.study.counts.sum())
    assert f"a step of {n} images of 2 runs" in of.too_large()


def test_a_limit_of_each_process_is_not_cured_by_fewer(tiny_lt, tmp_path, free):
    of = job(tmp_path / "s")
    free(1e12, 0.9 * least(of))
    assert of.too_large().endswith("give --stack 1 or --micro-batch 8")


def test_what_is_named_fits_then(tiny_lt, tmp_path, free):
    free(0.3 * least(job(tmp_path / "s")))
    assert job(tmp_path / "s", jobs=1, stack=1, micro_batch=8).too_large() == ""


def test_a_dry_run_says_so_and_times_what_fits(tiny_lt, tmp_path, free):
    of = job(tmp_path / "s")
    free(0.3 * least(of))
    lines = outlook(of).splitlines()
    assert any(line.startswith("  does not fit: ride/experts: a step of 32 images") for line in lines)
    assert any("together" in line for line in lines)


def test_other_machines_have_other_memory(tiny_lt, tmp_path, free):
    free(10.0)
    assert job(tmp_path / "s", executor="ray").too_large() == ""
