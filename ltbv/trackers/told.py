"""How do events become runs of a tracker? One for each method and run; a stage that methods share is in each of them.

Tags are STAGE/loss and STAGE/accuracy (share of training images that were right), by epoch; at the end accuracy/all,
accuracy/many, … of the predictions, means over classes of the shares that are right.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.study import read_study
from ltbv.trackers.records import Record


@dataclass(frozen=True)
class Place:
    """Which run: the study's directory, the method's key, the number of the run."""

    study: str
    method: str
    run: int

    @property
    def name(self) -> str:
        """Of the study, without where it lies."""
        return Path(self.study).name


class Tracker(Protocol):
    """What is told. `settings` are those of the study, by name."""

    def scalar(self, place: Place, settings: Mapping[str, Any], tag: str, value: float, step: int, at: str) -> None:
        """One value of a run, at an ISO 8601 time."""

    def end(self, place: Place, settings: Mapping[str, Any], accuracies: Mapping[str, float]) -> None:
        """What came of a run; nothing more is told of it."""


class Told:
    """Tells trackers what records say, each value once, whatever is told again."""

    def __init__(self, trackers: Iterable[Tracker]):
        self.trackers = tuple(trackers)
        self.settings: dict[str, dict[str, Any]] = {}
        self.stands: dict[tuple[str, str], dict[tuple[str, str], None]] = {}  # (study, stage key) -> (method, stage)
        self.epochs: list[Record] = []
        self.told: set[tuple[Place, str, int]] = set()

    def hear(self, record: Record) -> None:
        """One record, in the order of the file."""
        study = str(record["study"])
        if record["kind"] == "command_begun":
            self.settings.setdefault(study, record["settings"])
            for method, of in record["methods"].items():
                for stage, key in of["stages"].items():
                    self.stands.setdefault((study, key), {})[method, stage] = None
            for known in self.epochs:  # a stage may have been trained before a method was asked that stands on it
                self._tell(known)
        elif record["kind"] == "epoch_ended":
            self.epochs.append(record)
            self._tell(record)

    def _tell(self, record: Record) -> None:
        study = str(record["study"])
        for method, stage in self.stands.get((study, record["stage_key"]), ()):
            for place, run in enumerate(record["runs"]):
                for what in ("loss", "accuracy"):
                    at, tag = Place(study, method, run), f"{stage}/{what}"
                    value, known = record[what][place], (at, tag, record["epoch"])
                    if value is None or known in self.told:
                        continue
                    self.told.add(known)
                    for tracker in self.trackers:
                        tracker.scalar(at, self.settings[study], tag, value, record["epoch"], record["time"])

    def end(self, say: Callable[[str], None]) -> None:
        """Accuracies of the runs of each study that is where it was."""
        for study, settings in self.settings.items():
            try:
                found = accuracies(Path(study))
            except Refusal as refusal:
                say(f"no accuracies of {study}: {refusal}")
                found = {}
            places = {place for place, *_ in self.told if place.study == study}
            for place in sorted(places, key=lambda place: (place.method, place.run)):
                for tracker in self.trackers:
                    tracker.end(place, settings, found.get((place.method, place.run), {}))


def accuracies(study: Path) -> dict[tuple[str, int], dict[str, float]]:
    """By method and run: the mean over the classes of 'all' and of each split of the share of its test images that are
    right, 0 to 1."""
    evidence = read_study(study)
    counts = np.bincount(evidence.labels, minlength=len(evidence.class_names))
    groups = {name: ids[counts[ids] > 0] for name, ids in evidence.groups.items()}
    found = {}
    for method in evidence.methods:
        for run, predictions in zip(method.runs, method.predictions, strict=True):
            right = np.bincount(evidence.labels, predictions == evidence.labels, minlength=len(counts))
            shares = right / np.maximum(counts, 1)
            found[method.key, run] = {name: float(shares[ids].mean()) for name, ids in groups.items() if ids.size}
    return found
