"""Does a study ever mix two, lose a file or wait for ever, whatever is done to it under way?

    python tests/faults/strangers.py [--rounds 10] [--seed 0] [--acts ...]

A study of seed 0 is begun, and at a seeded random moment something happens: its directory is moved away or deleted and
a study of seed 1 is made in its place; another command forces seed 1 upon it; command and workers are stopped, their
locks are made to look old, and another command forces; the workers are stopped and the command interrupted; stages
cannot be read for a while. Afterwards every file must be of the seed that study.json names, byte for byte what an
undisturbed study of it holds. Printed: rounds, files that are of another study, files lost, commands that did not end.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

sys.path.append(str(Path(__file__).parent))
from campaign import Case, descendants, done, files

from ltbv.harness.status import verify
from ltbv.store import Store

CASE = Case("local", "nobody")
PATIENCE = 60.0  # seconds in which a command has to end when it was interrupted or refused
OLD = 1000.0  # seconds


def start(study: Path, seed: int, *more: str) -> subprocess.Popen:
    """The command, of a seed, with two workers; it hears SIGINT wherever it was started from."""
    asked = [*CASE.command(study), "--seed", str(seed), "--jobs", "2", *more]
    listen = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    return subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **listen)


def finish(study: Path, seed: int, *more: str) -> int:
    command = start(study, seed, *more)
    command.communicate()
    return command.returncode


def replaced(study: Path, command: subprocess.Popen, remove: Callable[[Path], object]) -> None:
    """The directory goes, and a study of seed 1 takes its place."""
    remove(study)
    assert finish(study, 1) == 0


def moved(study: Path, command: subprocess.Popen) -> None:
    replaced(study, command, lambda path: path.rename(path.with_name(f"{path.name}-elsewhere")))


def deleted(study: Path, command: subprocess.Popen) -> None:
    replaced(study, command, lambda path: shutil.rmtree(path, ignore_errors=True))


def forced(study: Path, command: subprocess.Popen) -> None:
    """Refused while the first command lives, or it is the first that is refused."""
    finish(study, 1, "--force")


def frozen(study: Path, command: subprocess.Popen) -> None:
    """All processes are stopped for long, as on a suspended machine; then a command forces."""
    stopped = [*descendants(command.pid), command.pid]
    for process in stopped:
        _signal(process, signal.SIGSTOP)
    for lock in study.glob("locks/*.soft"):
        os.utime(lock, (time.time() - OLD,) * 2)
    try:
        finish(study, 1, "--force")
    finally:
        for process in stopped:
            _signal(process, signal.SIGCONT)


def interrupted(study: Path, command: subprocess.Popen) -> None:
    """Its workers say nothing any more."""
    for process in descendants(command.pid):
        _signal(process, signal.SIGSTOP)
    command.send_signal(signal.SIGINT)


def unreadable(study: Path, command: subprocess.Popen) -> None:
    """What is there of the stages cannot be opened until the command has ended."""
    aside = {}
    for path in study.glob("stages/*/r*.npz"):
        aside[path] = path.with_suffix(".kept")
        path.rename(aside[path])
        path.symlink_to(path.name)  # a loop: ELOOP, whoever asks
    try:
        command.wait(PATIENCE)
    finally:
        for path, kept in aside.items():
            path.unlink(missing_ok=True)
            kept.rename(path)


ACTS = {act.__name__: act for act in (moved, deleted, forced, frozen, interrupted, unreadable)}
LOCKS = {"frozen": "soft"}


@dataclass
class Round:
    """What became of a study: files of another one, files lost, commands that did not end, findings of verify."""

    mixed: int
    lost: int
    hung: int
    found: int


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def one(act: str, study: Path, moment: float, whole: dict[int, dict[str, bytes]]) -> Round:
    """Begin, disturb at `moment` seconds, let all commands end, then give the command of the study that stands."""
    with mock.patch.dict(os.environ, LTBV_LOCKS=LOCKS.get(act, "flock")):
        return _one(act, study, moment, whole)


def _one(act: str, study: Path, moment: float, whole: dict[int, dict[str, bytes]]) -> Round:
    command = start(study, 0)
    time.sleep(moment)
    there = done(study)
    ACTS[act](study, command)
    hung = 0
    try:
        command.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        hung = 1
        for process in [*descendants(command.pid), command.pid]:
            _signal(process, signal.SIGKILL)
        command.communicate()
    store = Store(study)
    seed = store.study()["asked"]["seed"] if store.exists else 0
    kept = done(study)
    mixed = _unlike(files(study), whole[seed])
    finish(study, seed)
    mixed += _unlike(files(study), whole[seed]) + len(whole[seed].keys() - files(study).keys())
    lost = len(there - kept) if seed == 0 and act not in ("moved", "deleted", "forced", "frozen") else 0
    return Round(mixed, lost, hung, len(verify(store)))


def _unlike(found: dict[str, bytes], whole: dict[str, bytes]) -> int:
    """Files that an undisturbed study does not hold; half-written ones and snapshots are not counted."""
    names = (name for name in found if not name.endswith(".part") and "/part-" not in name)
    return sum(found[name] != whole.get(name) for name in names)


def campaign(rounds: int, seed: int, acts: list[str], folder: Path) -> dict[str, list[Round]]:
    """`rounds` of each act."""
    draw, whole, seconds = random.Random(seed), {}, 0.0
    for own in (0, 1):
        began = time.monotonic()
        assert finish(folder / f"whole-{own}", own) == 0
        seconds = time.monotonic() - began
        whole[own] = files(folder / f"whole-{own}")
    return {
        act: [one(act, folder / f"{act}-{k}", draw.uniform(0.3, 1) * seconds, whole) for k in range(rounds)]
        for act in acts
    }


def table(found: dict[str, list[Round]]) -> str:
    lines = ["| under way | rounds | files of another study | files lost | did not end | found by verify |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for act, rounds in found.items():
        sums = (sum(getattr(one, name) for one in rounds) for name in ("mixed", "lost", "hung", "found"))
        lines.append(f"| {act} | {len(rounds)} | {' | '.join(map(str, sums))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--acts", nargs="+", choices=ACTS, default=list(ACTS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = campaign(arguments.rounds, arguments.seed, arguments.acts, Path(folder))
    print(table(found))
    sys.exit(any(one != Round(0, 0, 0, 0) for rounds in found.values() for one in rounds))


if __name__ == "__main__":
    main()
