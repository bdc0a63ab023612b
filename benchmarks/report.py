"""How long does a report take, how much memory, and does it import torch? `ltbv report` as a user runs it.

    python benchmarks/report.py [--rounds 3] [--seed 0] [--only study|logits]
    python benchmarks/report.py --against 40041a2 [--rounds 3]

study    a study directory: 10,000 test points x 20 runs x 100 classes x 6 methods; promised: under 5 s
logits   `ltbv report ce=DIR mine=DIR --train-counts FILE`: float16 logits of 50,000 points x 1,000 classes x 20 runs of
         each of two methods, one .npy file a run (4 GB on disk); promised: under 60 s and 1 GB

Inputs are drawn from the seed into a temporary directory. Every round is a process of its own with one thread; printed
are its seconds (wall, and CPU: user and system), its peak memory, and whether torch was imported. Medians over rounds,
after one that is not counted: it compiles Python's files, as the first report after an installation does.

--against REVISION: the study with five methods, by this code and by that of an earlier revision (checked out into a
temporary directory), in turns; printed is the ratio of their processor seconds, promised to be 1.3 at most against
40041a2. Both read one directory, which has no training curves, as none had then.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import ltbv
from ltbv import stats
from ltbv.data.dataset import make_ids
from ltbv.data.profile import long_tail_counts
from ltbv.files import write_arrays
from ltbv.store import Store

HERE = Path(__file__).resolve().parents[1]
RUNS = 20
METHODS = {"ce": "CE", "tau_norm": "tau-norm", "crt": "cRT", "ldam": "LDAM", "ldam_drw": "LDAM-DRW", "ride": "RIDE"}
CHILD = """
import os, resource, sys
sys.argv = ["ltbv", *sys.argv[1:]]
from ltbv.cli import main
try:
    main(standalone_mode=False)
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    import ltbv
    assert os.path.dirname(ltbv.__file__).startswith(os.environ["PYTHONPATH"]), ltbv.__file__
    print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, int("torch" in sys.modules), file=sys.stderr)
"""


def make_study(path: Path, seed: int, points: int = 100, classes: int = 100, methods: int = 6) -> list[str]:
    """A study directory as `ltbv bootstrap` writes it, `points` test points a class; arguments of `ltbv report`."""
    draw = np.random.default_rng(np.random.SeedSequence((seed, 0)))
    counts = long_tail_counts(classes, 500, 100)
    store = Store(path)
    asked = {"dataset": "synthetic", "scheme": "subsample", "head": 500, "imbalance": 100.0, "kind": "exp"}
    asked |= {"epochs": 1, "seed": seed, "protocol": {}}
    splits = {name: ids.tolist() for name, ids in stats.splits(counts).items()}
    names = [f"class {c}" for c in range(classes)]
    store.open(asked, {"class_names": names, "counts": counts.tolist(), "splits": splits}, made_with={})
    images = [np.concatenate([draw.choice(500, n, replace=False) for n in counts]) for _ in range(RUNS)]
    store.write_samples(np.stack([make_ids(np.repeat(np.arange(classes), counts), of_run) for of_run in images]))
    labels = np.repeat(np.arange(classes), points)
    store.write_test_labels(labels)
    taste = draw.gumbel(size=(labels.size, classes)).astype(np.float32)
    at = np.arange(labels.size)
    for order, (key, label) in enumerate([*METHODS.items()][:methods]):
        store.open_method(key, {"key": key, "label": label, "order": order, "stages": []})
        for run in range(RUNS):
            logits = taste + (1.8 - 0.1 * order) * draw.standard_normal(taste.shape, np.float32)
            logits[at, labels] += np.linspace(5, 0.5 + 0.3 * order, classes, dtype=np.float32)[labels]
            p = np.exp(logits - logits.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            others = p.copy()
            others[at, labels] = -1
            negative = others.argmax(1)
            fields = {"label": p.argmax(1).astype(np.uint16), "p_true": p[at, labels]}
            fields |= {"negative": negative.astype(np.uint16), "p_negative": p[at, negative]}
            write_arrays(store.prediction_file(key, run), fields | {"logits": logits.astype(np.float16)})
    return ["report", str(path)]


def make_logits(path: Path, seed: int, points: int = 50, classes: int = 1000) -> list[str]:
    """Files of logits (N, C), `points` test points a class; arguments of `ltbv report`."""
    draw = np.random.default_rng(np.random.SeedSequence((seed, 1)))
    labels = np.repeat(np.arange(classes), points)
    at = np.arange(labels.size)
    weakest = {"ce": 2, "mine": 3}  # strength of the true class in the tail
    for name in weakest:
        (path / name).mkdir(parents=True)
    for run in range(RUNS):
        noise = draw.standard_normal((labels.size, classes), np.float32)
        for name, weak in weakest.items():
            logits = noise.astype(np.float16)
            logits[at, labels] += np.linspace(5, weak, classes)[labels].astype(np.float16)
            np.save(path / name / f"run{run}.npy", logits)
            noise = np.roll(noise, 1, axis=1)
    np.save(path / "labels.npy", labels)
    (path / "counts.json").write_text(json.dumps(long_tail_counts(classes, 1280, 256).tolist()))
    sources = [f"{name}={path / name}" for name in weakest]
    return ["report", *sources, "--train-counts", str(path / "counts.json"), "--labels", str(path / "labels.npy")]


CASES = {"study": make_study, "logits": make_logits}


def measure(arguments: list[str], output: Path, code: Path = HERE) -> dict[str, float]:
    """One `ltbv report` in a process of its own, by the checkout `code`."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment |= {"PYTHONPATH": str(code), "PYTHONPYCACHEPREFIX": str(output.parent / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-P", "-c", CHILD, *arguments, "--output", str(output)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(done.stderr)
    cpu, megabytes, torch = map(float, done.stderr.split()[-3:])
    return {"wall": wall, "cpu": cpu, "megabytes": megabytes, "torch": torch}


def against(revision: str, rounds: int, seed: int) -> None:
    """Print how many times the processor seconds of a revision a report takes."""
    with tempfile.TemporaryDirectory() as name:
        earlier, study = Path(name) / "earlier", Path(name) / "study"
        earlier.mkdir()
        git = subprocess.run(["git", "-C", HERE, "archive", revision, "ltbv"], capture_output=True)
        if git.returncode:
            raise SystemExit(git.stderr.decode())
        subprocess.run(["tar", "-x", "-C", earlier], input=git.stdout, check=True)
        arguments = make_study(study, seed, methods=5)
        of: dict[str, list[float]] = {"now": [], revision: []}
        for turn in range(-1, rounds):
            for which, code in sorted({"now": HERE, revision: earlier}.items(), reverse=turn % 2 == 0):
                seconds = measure(arguments, Path(name) / f"report-{which}", code)["cpu"]
                of[which] += [seconds] if turn >= 0 else []
    for which, seconds in of.items():
        print(f"{which:8} {statistics.median(seconds):.2f} CPU seconds ({min(seconds):.2f}-{max(seconds):.2f})")
    pairs = [now / then for now, then in zip(of["now"], of[revision], strict=True)]
    print(f"ratio    {statistics.median(pairs):.2f} ({min(pairs):.2f}-{max(pairs):.2f}), median of {rounds} pairs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--against", metavar="REVISION")
    options = parser.parse_args()
    print(f"ltbv {ltbv.__version__}, Python {platform.python_version()}, {platform.machine()}, n = {options.rounds}")
    if options.against:
        return against(options.against, options.rounds, options.seed)
    print(f"{'case':8}{'seconds (min-max)':>22}{'CPU seconds (min-max)':>26}{'peak MB':>10}{'torch':>8}")
    for case in [options.only] if options.only else CASES:
        with tempfile.TemporaryDirectory() as name:
            arguments = CASES[case](Path(name) / case, options.seed)
            _, *rounds = (measure(arguments, Path(name) / "report") for _ in range(1 + options.rounds))
        of = {key: [one[key] for one in rounds] for key in rounds[0]}
        wall, cpu = (
            f"{statistics.median(of[key]):.2f} ({min(of[key]):.2f}-{max(of[key]):.2f})" for key in ("wall", "cpu")
        )
        print(f"{case:8}{wall:>22}{cpu:>26}{max(of['megabytes']):>10.0f}{'yes' if any(of['torch']) else 'no':>8}")


if __name__ == "__main__":
    main()
