"""What does one see while a study runs? A bar with images a second and time left, on a terminal; else nothing."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ltbv.harness.bootstrap import Job
from ltbv.harness.events import (
    Event,
    FoundDamaged,
    Halved,
    HeldElsewhere,
    ImagesSeen,
    Predicted,
    StageBegun,
    TriedAgain,
)

VERBOSE = {StageBegun: "train {method}/{stage}, runs {runs}", Predicted: "done {method} run {run}"}
SAID_ONCE = {
    HeldElsewhere: "runs {runs} are in the hands of {holder}",
    TriedAgain: "{why}; runs {runs} are tried again",
    Halved: "runs {runs} did not fit into memory side by side; half of them are tried",
    FoundDamaged: "{path} was damaged and is trained again",
}


class Display:
    """Hears the events of a job. Silent when quiet or not on a terminal; a line an event when verbose."""

    def __init__(self, job: Job, *, quiet: bool, verbose: bool):
        self.job, self.quiet, self.verbose = job, quiet, verbose
        self.said: set[str] = set()
        self.console = Console(stderr=True, quiet=quiet)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}% {task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
        )

    def __enter__(self) -> "Display":
        for note in self.job.notes():
            self.console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
        self.bar.start()
        self.task = self.bar.add_task("training", total=self.job.images or 1, rate="")
        if not self.job.tasks:
            self.bar.update(self.task, visible=False)
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def tell(self, event: Event) -> None:
        """Show one event."""
        self.say_once(event)
        if isinstance(event, ImagesSeen):
            self.bar.advance(self.task, event.images)
            speed = self.bar.tasks[0].speed
            self.bar.update(self.task, rate=f"{speed:,.0f} images/s" if speed else "")
        elif self.verbose and (what := VERBOSE.get(type(event))):
            self.console.print(what.format(**vars(event)), highlight=False, markup=False)

    def say_once(self, event: Event) -> None:
        """What a person wants to hear even without --verbose: who else works here, what is tried again."""
        words = SAID_ONCE.get(type(event))
        if words and (said := words.format(**vars(event))) not in self.said:
            self.said.add(said)
            self.console.print(said, highlight=False, markup=False, soft_wrap=True)
