"""Where does a file of a run come from? It says so itself: of which stage, run and seed it is, and how it was trained.

    stage file        stage, run, seed; `from`: the weights that it stands on, by stage; `trained`: a setup
    prediction file   method (key of its recipe), run, seed, stages; `weights`: the weights that predicted, by stage;
                      `trained` (the last stage) and `predicted`: setups

A setup is what rounding depends on: the runs of the stack, threads, device, precision, versions. Weights are named by a
digest of their values, so that it can be told whether predictions are those of the weights that are kept.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ltbv.errors import one_line
from ltbv.files import parsed

FIELD = "provenance"
WHO = {"method": "recipe", "stage": "stage", "run": "run", "seed": "seed", "stages": "stages"}  # what is compared


def sealed(arrays: dict[str, np.ndarray], said: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays with what is said of them, as JSON in an array of bytes."""
    return {**arrays, FIELD: np.array(json.dumps(said, sort_keys=True).encode())}


def said(arrays: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """What a file says of itself; None where it says nothing that `sealed` would have written."""
    value = arrays.get(FIELD)
    if value is None or value.dtype.kind != "S" or value.ndim:
        return None
    try:
        found = parsed(value.item())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """16 hex digits of the weights of a stage: names, types, shapes, values; not of what is said of them."""
    found = hashlib.sha256()
    for name in sorted(arrays.keys() - {FIELD}):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype.str} {arrays[name].shape}\n".encode())
        found.update(array.data)
    return found.hexdigest()[:16]


def stranger(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """In what a file is not the expected one: "run 3, not run 0"; empty where it is."""
    differing = [name for name in WHO if name in expected and found.get(name) != expected[name]]
    return " and ".join(f"{WHO[name]} {_short(found.get(name))}, not {_short(expected[name])}" for name in differing)


def of_prediction(recipe: Mapping[str, Any], seed: int, run: int) -> dict[str, Any]:
    """What a prediction file of a method has to say of itself."""
    return {
        "method": recipe["key"],
        "stages": [stage["key"] for stage in recipe["stages"]],
        "run": run,
        "seed": seed,
    }


def _short(value: Any) -> str:
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return shown if len(shown) <= 80 else f"{shown[:76]} …"


# what a reader should know


def mixtures(methods: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[str]:
    """A line on whatever a study mixes; what each prediction file says of itself, by label of the method and run."""
    setups = _setups(methods)
    mixed = [
        f"{what}: {'; '.join(f'{how} ({_few(labels)})' for how, labels in ways.items())}"
        for what, ways in sorted(setups.items())
        if len(ways) > 1
    ]
    lines = []
    if mixed:
        lines.append(
            f"not all runs were made alike ({'. '.join(mixed)}): the same seed rounds otherwise there, and training"
            " may amplify it until such runs differ as if they had other seeds."
        )
    return [one_line(line) for line in lines + _apart(methods)]


def made(methods: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[str]:
    """A line on how all runs were made, for a caption; nothing of what is not known or not alike."""
    alike = {what: next(iter(ways)) for what, ways in _setups(methods).items() if len(ways) == 1}
    if not {"runs in a stack", "device"} <= alike.keys():
        return []
    threads = ", one thread" if alike.get("threads") == "1" else ""
    side = alike["runs in a stack"]
    stacks = "one at a time" if side == "1" else f"in stacks of up to {side} runs"
    return [
        one_line(
            f"Trained {stacks} on {alike['device']}{threads}: predictions are"
            " equal to the last bit over the number of processes, not over stack sizes."
        )
    ]


def _setups(methods: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> dict[str, dict[str, list[str]]]:
    """what -> how -> labels of the methods that were made so."""
    setups: dict[str, dict[str, list[str]]] = {}
    for label, runs in methods.items():
        for what, how in _ways(runs):
            labels = setups.setdefault(what, {}).setdefault(how, [])
            labels += [label] * (label not in labels)
    return setups


def _ways(runs: Mapping[int, Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """(what, how) of the setups of a method's runs. Where a command ended, the last stack may have fewer
    runs than the others: it begins where one of the usual size would."""
    stacks: set[tuple[int, ...]] = set()
    for of_run in runs.values():
        for act in ("trained", "predicted"):
            setup = of_run.get(act)
            if not isinstance(setup, dict):
                continue
            if isinstance(together := setup.get("runs"), list) and all(type(run) is int for run in together):
                stacks.add(tuple(together))
            for what in ("threads", "device", "dtype"):
                yield what, _short(setup.get(what))
            yield "processes", _short(setup.get("processes", 1))
            versions = setup.get("versions")
            versions = [f"{k} {v}" for k, v in versions.items()] if isinstance(versions, dict) else None
            yield "versions", _short(versions)
    usual = max(map(len, stacks), default=0)
    ended = {stack for stack in stacks if stack and min(stack) > 0 and min(stack) % usual == 0}
    sizes = {len(stack) for stack in stacks if len(stack) == usual or stack not in ended}
    yield from (("runs in a stack", str(size)) for size in sorted(sizes))


def _apart(methods: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[str]:
    """Methods that stand on one stage, but on other weights of it in the same run."""
    found: dict[tuple[str, int], dict[str, list[str]]] = {}
    for label, runs in methods.items():
        for run, of_run in runs.items():
            weights = of_run.get("weights")
            for stage, digest in weights.items() if isinstance(weights, dict) else ():
                found.setdefault((stage, run), {}).setdefault(str(digest), []).append(label)
    apart = {key: weights for key, weights in found.items() if len(weights) > 1}
    if not apart:
        return []
    labels = list(dict.fromkeys(label for weights in apart.values() for own in weights.values() for label in own))
    numbers = sorted({run for _, run in apart})
    return [
        f"{_few(labels)} stand on one stage, but in run {_few(map(str, numbers))} on other weights of it: these"
        " differences are not paired."
    ]


def _few(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
