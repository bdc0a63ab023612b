"""What one sees while a study runs: on a terminal of any width, in a log, and with --quiet."""

import io

import pytest
from rich.console import Console

from ltbv import display
from ltbv.display import Display, clock_time
from ltbv.harness.bootstrap import Job, prepare
from ltbv.harness.events import EpochEnded, Failed, HeldElsewhere, ImagesSeen, StageBegun, StageEnded, Unwritten
from ltbv.harness.request import Request


@pytest.fixture
def job(tiny_lt, tmp_path) -> Job:
    asked = {"dataset": "tiny-lt", "executor": "inline", "stack": 2, "epochs": 30}
    return prepare(Request.of(("ce", "ldam"), 2, tmp_path / "study", **asked))


@pytest.fixture
def seen(monkeypatch) -> io.StringIO:
    """What consoles write, which are no terminal unless FORCE_COLOR says so."""
    found = io.StringIO()
    monkeypatch.setattr(display, "Console", lambda **how: Console(file=found, quiet=how.get("quiet", False)))
    return found


def told(job: Job, **at):
    training = job.trainings[0]
    of = training.method.key, training.stage.name, training.runs, training.key
    return of, StageBegun(*of, 30, "cpu", **at), [EpochEnded(*of, n, 30, (1.0, 1.0), (0.5, 0.5)) for n in range(1, 31)]


def test_in_a_log_a_line_now_and_then_names_stage_runs_and_epoch(job, seen, monkeypatch):
    now = [1000.0]
    of, begun, epochs = told(job, time=now[0])
    with Display(job, quiet=False, verbose=False, clock=lambda: now[0]) as shown:
        seen.truncate(0)
        shown.tell(begun)
        for epoch in epochs:
            now[0] += 3
            shown.tell(ImagesSeen(1, of[3], of[2]))
            shown.tell(epoch)
        shown.tell(StageEnded(*of, 90.0))
    lines = seen.getvalue().replace("\0", "").splitlines()
    assert len(lines) == 3, "every 30 seconds, and at the end of the stage, 24 seconds later"
    assert lines[0].startswith("17%, 0:33 elapsed, ") and lines[0].endswith(
        "; ce/representation runs 0-1, epoch 11 of 30"
    )
    assert lines[-1] == "50%, 1:30 elapsed, 1:30 left"


def test_runs_are_told_as_ranges(job, seen):
    with Display(job, quiet=False, verbose=True) as shown:
        seen.truncate(0)
        shown.tell(HeldElsewhere((0, 1, 2), "process 7 on here"))
        shown.tell(told(job)[1])
    lines = seen.getvalue().replace("\0", "").splitlines()
    assert lines == ["runs 0-2 are in the hands of process 7 on here", "train ce/representation, runs 0-1"]


def test_the_end_of_a_stage_is_a_line_if_the_last_one_is_a_while_ago(job, seen):
    now = [1000.0]
    of, begun, epochs = told(job)
    with Display(job, quiet=False, verbose=False, clock=lambda: now[0]) as shown:
        seen.truncate(0)
        for wait, event in ((5, begun), (5, epochs[-1]), (5, StageEnded(*of, 15.0)), (5, StageEnded(*of, 20.0))):
            now[0] += wait
            shown.tell(event)
    (line,) = seen.getvalue().replace("\0", "").splitlines()
    assert line.startswith("50%, 0:15 elapsed")


def test_quiet_is_silent_but_for_events_that_are_lost(job, seen):
    now = [1000.0]
    of, begun, epochs = told(job)
    with Display(job, quiet=True, verbose=False, clock=lambda: now[0]) as shown:
        for event in (begun, *epochs, StageEnded(*of, 9.0)):
            now[0] += 60
            shown.tell(event)
        assert seen.getvalue() == ""
        shown.tell(Unwritten("e.jsonl", "No space left on device"))
    assert seen.getvalue() == (
        "events cannot be told to e.jsonl (No space left on device): some are missing there; the study goes on\n"
    )


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_terminal_of_any_width_shows_a_bar_and_a_line_for_each_stage_in_hand(job, monkeypatch, width):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, no_color=True)
    monkeypatch.setattr(display, "Console", lambda **how: console)
    of, begun, epochs = told(job)
    shown = Display(job, quiet=False, verbose=False)
    for event in (begun, *epochs[:12]):
        shown.tell(event)
    screen.truncate(0)
    console.print(shown.shown())
    lines = screen.getvalue().replace("\0", "").splitlines()
    assert len(lines) == 2 and all(len(line) <= width for line in lines)
    assert "20%" in lines[0] and ("ce/representation runs 0-1, epoch 13 of 30" in lines[1] or width < 60)
    shown.tell(Failed(("ce",), of[2], "boom"))
    assert shown.stages() == []


def test_a_dumb_terminal_is_told_lines(job, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(display, "Console", lambda **how: Console(file=io.StringIO(), force_terminal=True))
    assert not Display(job, quiet=False, verbose=False).moves


def test_times_are_read_at_a_glance():
    assert [clock_time(s) for s in (0, 5.4, 65, 3599.6, 3725, 90061)] == [
        "0:00",
        "0:05",
        "1:05",
        "1:00:00",
        "1:02:05",
        "25:01:01",
    ]
