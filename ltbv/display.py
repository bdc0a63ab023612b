"""What does one see while a study runs? What is trained, elapsed, left; where no terminal is, a line now and then."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ltbv.harness.bootstrap import Job
from ltbv.harness.events import (
    EpochEnded,
    Event,
    Failed,
    FoundDamaged,
    Halved,
    HeldElsewhere,
    Predicted,
    StageBegun,
    StageEnded,
    TriedAgain,
    Unwritten,
)
from ltbv.harness.leaving import is_leaving
from ltbv.store import span

VERBOSE = {StageBegun: "train {method}/{stage}, runs {runs}", Predicted: "done {method} run {run}"}
SAID_ONCE = {
    HeldElsewhere: "runs {runs} are in the hands of {holder}",
    TriedAgain: "{why}; runs {runs} are tried again",
    Halved: "runs {runs} did not fit into memory side by side; half of them are tried",
    FoundDamaged: "{path} was damaged and is trained again",
}
LEAVING = "told to end (SIGTERM): what is trained is kept at the end of its epoch; Ctrl-C does not wait for it"
LOST = "events cannot be told to {to} ({why}): some are missing there; the study goes on"
SHOWN = 4  # stages that are trained at a time, on a terminal
EVERY, SOONEST = 30.0, 10.0  # seconds between two lines elsewhere; at the end of a stage


class Display:
    """Hears the events of a job. A context; nothing but LOST when quiet, a line an event when verbose."""

    def __init__(self, job: Job, *, quiet: bool, verbose: bool, clock: Callable[[], float] = time.time):
        self.job, self.quiet, self.verbose, self.clock = job, quiet, verbose, clock
        self.said: set[str] = set()
        self.console = Console(stderr=True, quiet=quiet)
        self.moves = self.console.is_terminal and not self.console.is_dumb_terminal
        self.progress = job.progress(clock)
        self.training: dict[tuple[str, tuple[int, ...]], tuple[str, int, int]] = {}  # what, epochs done, of how many
        self.begun = self.last = clock()
        self.live = Live(get_renderable=self.shown, console=self.console, transient=True, refresh_per_second=4)

    def __enter__(self) -> "Display":
        for note in self.job.notes():
            self._print(f"note: {note}")
        if self.moves and not self.quiet and self.job.tasks:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def tell(self, event: Event) -> None:
        """Show one event."""
        self.progress.hear(event)
        self._follow(event)
        self.say_once(event)
        if is_leaving() and LEAVING not in self.said:
            self.said.add(LEAVING)
            self._print(LEAVING)
        if self.verbose and (what := VERBOSE.get(type(event))):
            self._print(what.format(**_words(event)))
        elif not self.moves and self.clock() - self.last > (SOONEST if isinstance(event, StageEnded) else EVERY):
            self.last = self.clock()
            self._print("; ".join([self.summary(), *self.stages()]))

    def _follow(self, event: Event) -> None:
        """Keep who is at which epoch."""
        if isinstance(event, StageBegun | EpochEnded):
            done = event.epoch if isinstance(event, EpochEnded) else 0
            of = f"{event.method}/{event.stage}", done, event.epochs
            self.training[event.stage_key, event.runs] = of
        elif isinstance(event, StageEnded):
            self.training.pop((event.stage_key, event.runs), None)
        elif isinstance(event, Failed | TriedAgain | Halved):  # it may have been at any of its stages
            self.training = {at: of for at, of in self.training.items() if not set(at[1]) & set(event.runs)}

    def say_once(self, event: Event) -> None:
        """What a person wants to hear even without --verbose: who else works here, what is tried again."""
        if isinstance(event, Unwritten):
            Console(stderr=True).print(LOST.format(**vars(event)), highlight=False, markup=False, soft_wrap=True)
        words = SAID_ONCE.get(type(event))
        if words and (said := words.format(**_words(event))) not in self.said:
            self.said.add(said)
            self._print(said)

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    # words

    def summary(self) -> str:
        """42 %, 1:03 elapsed, 1:20 left."""
        left = self.progress.left
        to_go = "time left not known yet" if left is None else f"{clock_time(left)} left"
        return f"{self.progress.share:.0%}, {clock_time(self.clock() - self.begun)} elapsed, {to_go}"

    def stages(self) -> list[str]:
        """What is trained now: ce/representation runs 0-4, epoch 3 of 30."""
        at_work = sorted(self.training.items(), key=lambda one: one[0][1])
        found = [
            f"{what} {'run' if len(runs) == 1 else 'runs'} {span(runs)}, epoch {min(done + 1, epochs)} of {epochs}"
            for (_, runs), (what, done, epochs) in at_work[:SHOWN]
        ]
        return [*found, *([f"and {len(at_work) - SHOWN} more"] if len(at_work) > SHOWN else [])]

    def shown(self) -> Group:
        """A bar with its numbers, and a line for each stage in hand; cut where the terminal is narrow."""
        row = Table.grid(padding=(0, 1))
        row.add_column(no_wrap=True)
        row.add_column(no_wrap=True)
        width = max(4, min(40, self.console.width - 50))
        row.add_row(ProgressBar(total=1.0, completed=self.progress.share, width=width), Text(self.summary()))
        lines = (Text(f"  {line}", no_wrap=True, overflow="ellipsis") for line in self.stages())
        return Group(row, *lines)


def _words(event: Event) -> dict[str, Any]:
    """What an event says, by name; runs as 0-4."""
    said = vars(event)
    return said | ({"runs": span(said["runs"])} if "runs" in said else {})


def clock_time(seconds: float) -> str:
    """3:05, or 1:02:07; days count as hours."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
