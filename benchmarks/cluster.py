"""What does a cluster cost? A study on two Ray nodes of this machine, and by local worker processes, in the same run.

    python benchmarks/cluster.py [--rounds 2] [--runs 4] [--epochs 10]

Both have two processes of one thread, and start them anew each time: "images/s" counts that, "busy" counts from when
the first chunk is in hand, as the locks tell. Ways alternate; the best of the rounds is shown, and all of them, since a
shared machine is noisy. The nodes are `ray start` on loopback, with token authentication; they
see the study. `apart` is the same with a study that the nodes do not see: files go back through the driver.
"""

import argparse
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}

from ltbv.harness.bootstrap import prepare
from ltbv.harness.executors.cluster.exchange import Token
from ltbv.harness.request import Request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True)))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        start(stack, folder / "head", "--head", f"--port={address.partition(':')[2]}", "--include-dashboard=false")
        start(stack, folder / "node", f"--address={address}")
        ways = {"local": ("local", ""), "ray, 2 nodes": ("ray", address), "ray, apart": ("ray", address)}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for number in range(asked.rounds):
            for name, (executor, where) in ways.items():
                request = Request.of(
                    methods=("ce",),
                    runs=asked.runs,
                    epochs=asked.epochs,
                    store=folder / f"{name.replace(', ', '-').replace(' ', '-')}-{number}",
                    jobs=2,
                    executor=executor,
                    address=where,
                )
                with unseen() if name.endswith("apart") else contextlib.nullcontext():
                    found[name].append(measured(request))
    show(found)


def start(stack: contextlib.ExitStack, folder: Path, *asked: str) -> None:
    """A node of one core, until the stack is left."""
    folder.mkdir()
    program = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--node-ip-address=127.0.0.1"]
    fixed = ["--num-cpus=1", "--object-store-memory=200000000", f"--temp-dir={folder}", "--disable-usage-stats"]
    log = folder / "start.log"
    with log.open("wb") as output:
        node = subprocess.Popen([*program, *fixed, *asked], stdout=output, stderr=output, start_new_session=True)
    stack.callback(kill, node)
    end = time.monotonic() + 120
    while b"runtime started" not in log.read_bytes():
        if node.poll() is not None or time.monotonic() > end:
            sys.exit(log.read_text())
        time.sleep(0.1)


def kill(node: subprocess.Popen) -> None:
    """The processes of the node's session, and no others."""

    def is_of_it(stat: Path) -> bool:
        with contextlib.suppress(OSError):
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            return int(session) == node.pid and state != "Z"
        return False

    while left := [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if is_of_it(stat)]:
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
    node.wait()


@contextlib.contextmanager
def unseen():
    """Let nodes look for the study where it is not."""
    of_ray = sys.modules["ltbv.harness.executors.ray"]
    before = of_ray.token
    of_ray.token = lambda study: contextlib.nullcontext(Token("/nowhere", ""))
    try:
        yield
    finally:
        of_ray.token = before


def measured(request: Request) -> tuple[float, float]:
    """Images a second: from the command on, and from when the first chunk was in hand."""
    job = prepare(request)
    begun, over = [], threading.Event()

    def watch() -> None:
        while not begun and not over.is_set():
            if job.store.workers():
                begun.append(time.perf_counter())
            over.wait(0.02)

    job.open()
    watcher = threading.Thread(target=watch)
    before = time.perf_counter()
    watcher.start()
    try:
        if failures := job.run(lambda event: None):
            sys.exit("\n".join(failures))
    finally:
        over.set()
        watcher.join()
    after = time.perf_counter()
    return job.images / (after - before), job.images / (after - begun[0])


def show(found: dict[str, list[tuple[float, float]]]) -> None:
    import ray
    import torch

    print(f"torch {torch.__version__}, ray {ray.__version__}, {os.cpu_count()} cores\n")
    print(f"{'':<14} {'images/s':>9} {'/ local':>8} {'busy':>9} {'/ local':>8}   images/s of all rounds")
    all_told, busy = (max(pair[place] for pair in found["local"]) for place in (0, 1))
    for name, pairs in found.items():
        told, own = (max(pair[place] for pair in pairs) for place in (0, 1))
        rounds = " ".join(f"{pair[0]:,.0f}" for pair in pairs)
        print(f"{name:<14} {told:>9,.0f} {told / all_told:>8.2f} {own:>9,.0f} {own / busy:>8.2f}   {rounds}")


if __name__ == "__main__":
    main()
