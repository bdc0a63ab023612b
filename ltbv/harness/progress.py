"""How much of a job is done, and how long does the rest take? Counted from events, by stage and run.

The measure is work: images gone through, times the multiply-adds that one takes (`Study.macs`), so that a method of
three experts counts as what it is. A stage that methods share counts once; one that nobody wants any more, because all
who stand on it have failed, not at all; one that was trained by somebody else is done without having taken time.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ltbv.harness.events import EpochEnded, Event, Failed, ImagesSeen, Predicted, StageBegun, StageEnded
from ltbv.harness.plan import Predicting, Task, Training
from ltbv.harness.study import Study
from ltbv.methods.base import Method
from ltbv.optimisers import LBFGS

SOONEST = 1.0  # seconds after which a pace is believed

Place = tuple[str, int]  # key of a stage, run


@dataclass
class Part:
    """A stage of a run that is to be trained: its work and images, and which share of it is done."""

    work: float
    images: int
    share: float = 0.0


class Progress:
    """Hears the events of those who do the missing `tasks` of `methods`.

    parts     what is to be trained; what is not wanted any more is taken out
    started   when the first stage began, by `clock`, seconds since 1970; NaN before
    found     work that is done and was not seen to be done, by an earlier command or another one
    """

    def __init__(
        self,
        study: Study,
        tasks: Sequence[Task],
        methods: Iterable[Method],
        clock: Callable[[], float] = time.time,
    ):
        self.clock, self.found = clock, 0.0
        self.made, self.started = clock(), float("nan")
        self.parts: dict[Place, Part] = {}
        for training in (task for task in tasks if isinstance(task, Training)):
            each = training.images(study) // len(training.runs)
            optimum = isinstance(study.protocol.optimiser, LBFGS)
            work = each if optimum else study.macs(training.method, training.stage)
            self.parts |= {(training.key, run): Part(work, each) for run in training.runs}
        self.stages = {
            method.key: tuple(study.stage_key(method, stage) for stage in method.needed()) for method in methods
        }
        self.wanted: dict[Place, set[str]] = {place: set() for place in self.parts}
        for task in (task for task in tasks if isinstance(task, Predicting)):
            for place in self._below(task.method.key, task.runs):
                self.wanted[place].add(task.method.key)

    def hear(self, event: Event) -> None:
        """Count."""
        if isinstance(event, StageBegun):
            if math.isnan(self.started):
                self.started = min(max(self.made, event.time), self.clock())
            for part in self._of(event.stage_key, event.runs):
                part.share = 0.0  # one that was begun before is begun anew
        elif isinstance(event, ImagesSeen):
            for part in self._of(event.stage_key, event.runs):
                part.share = min(1.0, part.share + event.images / len(event.runs) / max(part.images, 1))
        elif isinstance(event, EpochEnded):
            for part in self._of(event.stage_key, event.runs):
                self._find(part, (event.epoch - 1) / event.epochs)
                part.share = event.epoch / event.epochs
        elif isinstance(event, StageEnded):
            for part in self._of(event.stage_key, event.runs):
                part.share = 1.0
        elif isinstance(event, Predicted):
            for place in self._below(event.method, (event.run,)):
                self._find(self.parts[place], 1.0)
        elif isinstance(event, Failed):
            for method in event.methods:
                for place in self._below(method, event.runs):
                    self.wanted[place].discard(method)
                    if not self.wanted[place] and self.parts[place].share < 1:
                        del self.parts[place]

    def _of(self, key: str, runs: tuple[int, ...]) -> list[Part]:
        return [self.parts[key, run] for run in runs if (key, run) in self.parts]

    def _below(self, method: str, runs: tuple[int, ...]) -> list[Place]:
        return [(key, run) for key in self.stages.get(method, ()) for run in runs if (key, run) in self.parts]

    def _find(self, part: Part, share: float) -> None:
        """So much of it is done at least: what was not seen to be done took no time of ours."""
        if share > part.share + 1e-9:
            self.found += (share - part.share) * part.work
            part.share = share

    @property
    def share(self) -> float:
        """Of the work, 0 to 1."""
        whole = sum(part.work for part in self.parts.values())
        return sum(part.share * part.work for part in self.parts.values()) / whole if whole else 1.0

    @property
    def images(self) -> tuple[int, int]:
        """Images gone through, of how many."""
        parts = self.parts.values()
        return round(sum(part.share * part.images for part in parts)), sum(part.images for part in parts)

    def told(self) -> dict[str, float | None]:
        """Images gone through, of how many; share of the work; seconds left: for `pulse`."""
        images, of = self.images
        return {"images": images, "of": of, "share": self.share, "left": self.left}

    @property
    def left(self) -> float | None:
        """Seconds, at the pace since the first stage began; None while that is not known."""
        done = sum(part.share * part.work for part in self.parts.values())
        seconds, earned = self.clock() - self.started, done - self.found
        if not seconds >= SOONEST or earned <= 0:
            return None
        return (sum(part.work for part in self.parts.values()) - done) * seconds / earned
