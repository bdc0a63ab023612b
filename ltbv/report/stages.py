"""How did training go? Read from the stage files of a study, without their weights.

Who deletes these files to save room loses the curves only: a line says so once, and nothing is refused.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from ltbv.errors import reason
from ltbv.files import Damaged, read_arrays
from ltbv.report.evidence import TrainedStage
from ltbv.report.names import shortened
from ltbv.store import Store, provenance

LOSS, ACCURACY = "loss_by_epoch", "accuracy_by_epoch"  # files of before have no accuracy
MOST_EPOCHS = 10**6
NAME_LETTERS = 40


def read_stages(
    store: Store, runs: Mapping[str, Iterable[int]], seed: int
) -> tuple[dict[str, TrainedStage], tuple[str, ...]]:
    """By key, the stages on which methods stand, each once; and lines on what is not known.

    runs   by method, the numbers of its runs
    """
    names: dict[str, str] = {}
    wanted: dict[str, set[int]] = {}
    for method, numbers in runs.items():
        for stage in store.recipe(method)["stages"]:
            names.setdefault(stage["key"], shortened(str(stage.get("name", "?")), NAME_LETTERS))
            wanted.setdefault(stage["key"], set()).update(numbers)
    found, silent, wrong = {}, 0, []
    for key, numbers in wanted.items():
        curves: dict[int, np.ndarray] = {}
        for run in sorted(numbers):
            try:
                of_run = _read(store, key, run, seed)
            except ValueError as error:
                wrong.append(f"{_named(store, key, run)}: {_cause(error)}")
                continue
            if of_run is None:
                silent += 1
            else:
                curves[run] = of_run
        usual = Counter(of_run.shape[1] for of_run in curves.values()).most_common(1)
        for run in [run for run, of_run in curves.items() if of_run.shape[1] != usual[0][0]]:
            epochs = curves.pop(run).shape[1]
            wrong.append(f"{_named(store, key, run)}: it has {epochs} epochs, most of the stage {usual[0][0]}")
        if curves:
            loss, accuracy = np.stack([*curves.values()], axis=1)
            found[key] = TrainedStage(names[key], tuple(curves), loss, accuracy)
    return found, tuple(_untold(silent, wrong, sum(map(len, wanted.values()))))


def _read(store: Store, key: str, run: int, seed: int) -> np.ndarray | None:
    """Loss and accuracy (2, epochs) of a run; None where there is no file, or none that says them."""
    path = store.stage_file(key, run)
    if not path.exists():
        return None
    fields = read_arrays(path, (), optional=(LOSS, ACCURACY, provenance.FIELD))
    said = provenance.said(fields)
    if said and (strange := provenance.stranger(said, {"stage": key, "run": run, "seed": seed})):
        raise ValueError(f"it is another file than its name says ({strange})")
    if LOSS not in fields:
        return None
    loss = fields[LOSS]
    if loss.ndim != 1 or loss.dtype.kind != "f" or not 0 < loss.size <= MOST_EPOCHS:
        raise ValueError(f"{LOSS} is of shape {loss.shape} and type {loss.dtype}")
    accuracy = fields.get(ACCURACY, np.full(loss.shape, np.nan))
    if accuracy.shape != loss.shape or accuracy.dtype.kind != "f" or (accuracy < 0).any() or (accuracy > 1).any():
        raise ValueError(f"{ACCURACY} is not a share for each epoch")
    return np.stack([loss, accuracy]).astype(float)


def _named(store: Store, key: str, run: int) -> str:
    return store.stage_file(key, run).relative_to(store.path).as_posix()


def _cause(error: ValueError) -> str:
    return reason(error.__cause__ or error) if isinstance(error, Damaged) else str(error)


def _untold(silent: int, wrong: list[str], number: int) -> Iterable[str]:
    if silent:
        known, who = (f"{number - silent}", "the others") if silent < number else ("none", "they")
        yield (
            f"training curves are known from {known} of {number} stage files; {who} are not there, or say nothing of"
            " them."
        )
    if wrong:
        yield f"training curves: {len(wrong)} of {number} stage files could not be used (the first: {wrong[0]})."
