"""Does a killed study end as one that was never killed? Workers and drivers are killed at seeded random moments.

    python tests/faults/campaign.py [--kills 100] [--seed 0] [--executors inline local]

A small study is made once without interruption. Then again and again, each time in a new directory: the command is
started, killed with SIGKILL at a moment drawn from the time it takes (the driver, or one of its workers), and given
again until it succeeds. Printed: kills, runs lost (done before the kill, gone after), files that differ, seconds to
recover beside the seconds of an uninterrupted study.
"""

import argparse
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

METHODS = ("ce", "tau_norm")
SHAPE = ["--runs", "4", "--head", "20", "--imbalance", "10", "--epochs", "2", "--stack", "2"]
UNEQUAL = ("study.json", "logs", "locks", "progress", "failures")  # say when, where and by whom


@dataclass(frozen=True)
class Case:
    """Who is killed: `driver` or a `worker` of an executor."""

    executor: str
    victim: str

    def command(self, study: Path) -> list[str]:
        methods = [word for method in METHODS for word in ("--method", method)]
        how = ["--executor", self.executor, "--checkpoint-minutes", "0"]
        return [sys.executable, "-m", "ltbv.cli", "bootstrap", *methods, *SHAPE, *how, "--study", str(study), "-q"]


CASES = {
    "inline": (Case("inline", "driver"),),
    "local": (Case("local", "driver"), Case("local", "worker")),
    "ray": (Case("ray", "driver"), Case("ray", "worker")),
}


@dataclass(frozen=True)
class Kill:
    """What became of one killed study."""

    case: Case
    moment: float
    lost: int
    differ: int
    recovery: float
    failed: bool = False


def files(study: Path) -> dict[str, bytes]:
    """Content by name, of all that must be equal."""
    found = (path for path in sorted(study.rglob("*")) if path.is_file())
    named = {str(path.relative_to(study)): path for path in found}
    return {name: path.read_bytes() for name, path in named.items() if name.split("/")[0] not in UNEQUAL}


def done(study: Path) -> set[str]:
    return {str(path.relative_to(study)) for path in study.glob("predictions/*/r*.npz")}


def descendants(process: int) -> list[int]:
    """Processes below one, the deepest last."""
    found, parents = [], {process}
    while parents:
        below = set()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(parent) in parents and state != "Z":
                below.add(int(stat.parent.name))
        found += sorted(below)
        parents = below
    return found


def start(case: Case, study: Path) -> subprocess.Popen:
    return subprocess.Popen(case.command(study), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def uninterrupted(case: Case, study: Path) -> float:
    """Make the study; seconds it took."""
    began = time.monotonic()
    driver = start(case, study)
    _, said = driver.communicate()
    assert driver.returncode == 0, said
    return time.monotonic() - began


def kill_once(case: Case, study: Path, moment: float, draw: random.Random, whole: dict[str, bytes]) -> Kill:
    """Kill at `moment` seconds, give the command again until it succeeds, compare."""
    driver = start(case, study)
    try:
        driver.wait(moment)
    except subprocess.TimeoutExpired:
        workers = descendants(driver.pid)
        victim = draw.choice(workers) if case.victim == "worker" and workers else driver.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    before = done(study)
    began = time.monotonic()
    driver.communicate()
    for _ in range(4):
        if driver.returncode == 0:
            break
        driver = start(case, study)
        driver.communicate()
    after = files(study)
    differ = sum(after.get(name) != whole.get(name) for name in after.keys() | whole.keys())
    lost = len(before - done(study))
    return Kill(case, moment, lost, differ, time.monotonic() - began, failed=driver.returncode != 0)


def campaign(kills: int, seed: int, executors: list[str], folder: Path) -> list[tuple[Case, float, list[Kill]]]:
    """`kills` kills shared out among the cases; of each its seconds without a kill, and what became of the killed."""
    cases = [case for executor in executors for case in CASES[executor]]
    draw = random.Random(seed)
    found, whole = [], {}
    for place, case in enumerate(cases):
        study = folder / f"whole-{place}"
        seconds = uninterrupted(case, study)
        whole = whole or files(study)
        assert files(study) == whole, f"{case} makes other files than {cases[0]}"
        share = kills // len(cases) + (place < kills % len(cases))
        moments = [draw.uniform(0, seconds) for _ in range(share)]
        found.append(
            (case, seconds, [kill_once(case, folder / f"{place}-{k}", m, draw, whole) for k, m in enumerate(moments)])
        )
    return found


def table(found: list[tuple[Case, float, list[Kill]]]) -> str:
    lines = [
        "| executor | killed | kills | runs lost | files differing | not recovered | seconds to recover, median (most)"
        " | seconds without a kill |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case, seconds, kills in found:
        spent = [kill.recovery for kill in kills] or [0.0]
        lost, differ, failed = (sum(getattr(kill, name) for kill in kills) for name in ("lost", "differ", "failed"))
        lines.append(
            f"| {case.executor} | {case.victim} | {len(kills)} | {lost} | {differ} | {failed}"
            f" | {statistics.median(spent):.1f} ({max(spent):.1f}) | {seconds:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executors", nargs="+", choices=CASES, default=["inline", "local"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = campaign(arguments.kills, arguments.seed, arguments.executors, Path(folder))
    print(table(found))
    if any(kill.lost or kill.differ or kill.failed for _, _, kills in found for kill in kills):
        sys.exit(1)


if __name__ == "__main__":
    main()
