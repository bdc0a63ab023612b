"""Does any input make a reader do more than read or refuse it in a line? Coverage-guided search, a process a reader.

    python tests/fuzz/campaign.py [--seconds 60] [--target NAME …] [--keep DIR]

The seconds are shared by the targets. Each starts from small whole files and goes where new lines of ltbv, zipfile,
tarfile, pickle or numpy's header reader are reached (atheris, `pip install -e .[fuzz]`; without it, damage is
drawn at random). What is a crash: see `oracle`. Inputs that crash are kept in DIR, one for each place; the exit code
is 1 where there are any.
"""

import argparse
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"})

LONGEST = 1 << 16  # bytes of an input
FOLLOWED = ["ltbv", "zipfile", "tarfile", "pickle", "json", "numpy.lib._format_impl"]
COLUMNS = ("target", "inputs", "accepted", "refused", "crashes", "edges", "longest ms")


class Tally:
    """What became of the inputs of one target; written to a file now and then, since a process may end anyhow."""

    def __init__(self, target, keep: Path, seconds: float):
        self.target, self.keep, self.end = target, keep, time.time() + seconds
        self.written = 0.0
        self.found = {"inputs": 0, "accepted": 0, "refused": 0, "longest": 0.0, "faults": {}}

    def one(self, content: bytes) -> None:
        """Feed one input."""
        import oracle

        start, found = time.process_time(), self.found
        try:
            found["accepted" if self.target.feed(content) == "read" else "refused"] += 1
        except oracle.Fault as fault:
            if fault.signature not in found["faults"]:
                name = f"{self.target.name}-{len(found['faults'])}.bin"
                (self.keep / name).write_bytes(content)
                found["faults"][fault.signature] = [str(fault)[:300], name]
        found["inputs"] += 1
        found["longest"] = max(found["longest"], time.process_time() - start)
        now = time.time()
        if now > self.end or now - self.written > 1:
            (self.keep / f"{self.target.name}.json").write_text(json.dumps(found))
            self.written = now

    @property
    def over(self) -> bool:
        return time.time() > self.end


def child(name: str, seconds: float, keep: Path) -> None:
    """Search in this process, guided where atheris is there."""
    with contextlib.suppress(ImportError):
        import atheris

        with atheris.instrument_imports(include=FOLLOWED):
            import targets
        guided(atheris, targets.TARGETS[name], seconds, keep)
    import mutations
    import targets

    target, draw = targets.TARGETS[name], random.Random(0)
    corpus = target.seeds()
    tally = Tally(target, keep, seconds)
    for content in corpus:
        tally.one(content)
    while not tally.over:
        tally.one(mutations.randomly(draw.choice(corpus), draw, LONGEST))


def guided(atheris, target, seconds: float, keep: Path) -> None:
    """libFuzzer's loop, which never comes back."""
    import mutations

    corpus = keep / f"corpus-{target.name}"
    corpus.mkdir(exist_ok=True)
    for at, content in enumerate(target.seeds()):
        (corpus / f"seed{at}").write_bytes(content)
    _ = target.folder  # made, and all imported, before the clock starts
    tally = Tally(target, keep, seconds)

    def one(content: bytes) -> None:
        tally.one(content)
        if tally.over:
            sys.stderr.flush()
            os._exit(0)

    def mutate(content: bytes, longest: int, seed: int) -> bytes:
        draw = random.Random(seed)
        return mutations.randomly(content, draw, longest) if draw.random() < 0.4 else atheris.Mutate(content, longest)

    options = [f"-max_len={LONGEST}", "-timeout=60", "-rss_limit_mb=4096", "-len_control=0", "-reload=0"]
    options += [
        f"-artifact_prefix={keep}/{target.name}-",
        "-report_slow_units=60",
        f"-max_total_time={int(seconds) + 60}",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()


def searched(name: str, seconds: float, keep: Path) -> dict:
    """What a child of this process found out about a target."""
    log = keep / f"{name}.log"
    command = [sys.executable, __file__, "--child", name, "--seconds", str(seconds), "--keep", str(keep)]
    # the child may end anyhow, so that its folders are ours to remove
    with log.open("w") as file, tempfile.TemporaryDirectory(prefix="ltbv-fuzz-") as folder:
        environment = {**os.environ, "TMPDIR": folder}
        try:
            ended = subprocess.run(
                command, stdout=file, stderr=file, env=environment, timeout=4 * seconds + 180
            ).returncode
        except subprocess.TimeoutExpired:
            ended = "no end"
    written = keep / f"{name}.json"
    found = json.loads(written.read_text()) if written.exists() else {}
    found = {"inputs": 0, "accepted": 0, "refused": 0, "longest": 0.0, "faults": {}} | found
    if ended:
        found["faults"][f"the process ended with {ended}"] = [log.read_text(errors="replace")[-300:], log.name]
    edges = re.findall(r"\bcov: (\d+)", log.read_text(errors="replace"))
    return found | {"edges": int(edges[-1]) if edges else None}


def table(found: dict[str, dict]) -> str:
    """A line a target, and one for all."""
    rows = [COLUMNS]
    for name, of in found.items():
        numbers = [of["inputs"], of["accepted"], of["refused"], len(of["faults"])]
        edges = "-" if of["edges"] is None else f"{of['edges']:,}"
        rows.append((name, *(f"{number:,}" for number in numbers), edges, f"{1000 * of['longest']:.0f}"))
    totals = [sum(of[key] for of in found.values()) for key in ("inputs", "accepted", "refused")]
    crashes = sum(len(of["faults"]) for of in found.values())
    longest = max(of["longest"] for of in found.values())
    rows.append(("all", *(f"{number:,}" for number in (*totals, crashes)), "", f"{1000 * longest:.0f}"))
    widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of all targets together")
    parser.add_argument("--target", action="append", metavar="NAME", help="only this one; again for more")
    parser.add_argument("--keep", type=Path, help="where inputs that crash are kept")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    if options.child:
        child(options.child, options.seconds, options.keep)
        return 0
    import targets

    names = options.target or list(targets.TARGETS)
    if unknown := [name for name in names if name not in targets.TARGETS]:
        parser.error(f"no target {unknown[0]!r}; there is: {', '.join(targets.TARGETS)}")
    keep = options.keep or Path(tempfile.mkdtemp(prefix="ltbv-fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    keep = keep.resolve()
    if subprocess.run([sys.executable, "-c", "import atheris"], capture_output=True).returncode:
        print("atheris is not there (pip install -e .[fuzz]): inputs are drawn at random, without guidance")
    found = {}
    for name in names:
        found[name] = searched(name, options.seconds / len(names), keep)
        for what, where in found[name]["faults"].values():
            print(f"{name}: {what!r}, kept in {keep / where}", flush=True)
    print(table(found))
    return int(any(of["faults"] for of in found.values()))


if __name__ == "__main__":
    sys.exit(main())
