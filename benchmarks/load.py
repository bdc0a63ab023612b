"""Does a study of thousands of runs stay quick to look at? Seconds and megabytes of the commands that scan it.

    python benchmarks/load.py [--runs 100 2000]

A study of tiny runs, made of hard links to the files of a single one: `ltbv status`, `ltbv status --json`, a
`ltbv bootstrap --dry-run --json` that finds everything done, and one that finds the last ten runs missing. Each in a
process of its own; the imports are in the time (a line of their own says how much).
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHAPE = ["--method", "ce", "--method", "tau_norm", "--head", "20", "--imbalance", "10", "--epochs", "1"]


def measured(*words: str) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds, peak megabytes of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    code = "import resource, runpy, sys; sys.argv[0] = 'ltbv'\ntry: runpy.run_module('ltbv.cli', run_name='__main__')\n"
    code += "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu, int(done.stderr.split()[-1]) / 1024


def grown(study: Path, runs: int) -> list[str]:
    """A study of so many runs at `study`; the options that ask for it."""
    asked = [*SHAPE, "--study", str(study)]
    measured("bootstrap", *asked, "--runs", "1", "-q")
    for first in [*study.glob("predictions/*/r000.npz"), *study.glob("stages/*/r000.npz")]:
        for run in range(1, runs):
            os.link(first, first.with_name(f"r{run:03d}.npz"))
    return asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 2000])
    arguments = parser.parse_args()
    print("| runs | command | seconds | CPU seconds | MB |\n| --- | --- | --- | --- | --- |")
    for runs in arguments.runs:
        with tempfile.TemporaryDirectory() as folder:
            study = Path(folder) / "study"
            asked = grown(study, runs)
            cases = {
                "status": ("status", str(study)),
                "status --json": ("status", str(study), "--json"),
                "bootstrap --dry-run --json, all done": (
                    "bootstrap",
                    *asked,
                    "--runs",
                    str(runs),
                    "--dry-run",
                    "--json",
                ),
                "bootstrap --dry-run --json, 10 missing": (
                    *("bootstrap", *asked, "--runs", str(runs + 10), "--dry-run", "--json"),
                ),
                "bootstrap, all done": ("bootstrap", *asked, "--runs", str(runs), "-q"),
            }
            for name, words in cases.items():
                wall, cpu, memory = measured(*words)
                print(f"| {runs} | {name} | {wall:.1f} | {cpu:.1f} | {memory:.0f} |")


if __name__ == "__main__":
    main()
