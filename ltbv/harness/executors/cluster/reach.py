"""How is a Ray cluster reached, or one of this machine alone started? In bounded time, or with a refusal."""

import contextlib
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from types import ModuleType

from ltbv.errors import Refusal, absent
from ltbv.harness.work import Order

CONNECT = 30.0  # seconds in which a cluster has to answer
OBJECTS = 100_000_000  # bytes of the object store of an instance started here, where results are files

# Not asked in this process: Ray ends the process, or never answers, where the other side is not what it expects.
PROBE = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
    print("ADDRESS", ray.get_runtime_context().gcs_address, flush=True)
except BaseException as error:
    print("ERROR", type(error).__name__ + ":", " ".join(str(error).split())[:300], flush=True)
"""


def library() -> ModuleType:
    """Ray, told to keep quiet."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray as library
    except ImportError as error:
        raise absent("Ray, for --executor ray,", error, "ray") from error
    return library


@contextlib.contextmanager
def connected(library: ModuleType, order: Order) -> Iterator[None]:
    """Connected to a cluster; a program that is connected already stays so."""
    if library.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    with contextlib.ExitStack() as stack:
        if order.address:
            library.init(address=reached(order.address), **quiet)
        else:
            if not any(name.startswith("RAY_AUTH_") for name in os.environ):
                os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # else Ray writes one into the home directory
            # Names of sockets in it must stay short.
            kept = tempfile.TemporaryDirectory(prefix="ltbv-", dir="/tmp", ignore_cleanup_errors=True)
            library.init(
                address="local",  # never a cluster that happens to be there
                num_cpus=order.jobs,
                num_gpus=order.devices if order.device == "cuda" else 0,
                include_dashboard=False,
                object_store_memory=OBJECTS,
                _temp_dir=stack.enter_context(kept),
                **quiet,
            )
        stack.callback(library.shutdown)
        yield


def reached(address: str) -> str:
    """HOST:PORT of the cluster's head, or a refusal in bounded time."""
    found = re.fullmatch(r"auto|(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):(\d{1,5})", address)
    if not found:
        raise Refusal(f"--address {address!r}: give auto, or HOST:PORT of the head, on a machine of the cluster")
    if found[1]:
        try:
            socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise Refusal(f"no Ray cluster at {address}: {getattr(error, 'strerror', None) or error}") from None
    asked = [sys.executable, "-P", "-c", PROBE, address]
    said = f"no answer within {CONNECT:.0f} s"
    with subprocess.Popen(
        asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as probe:
        clock = threading.Timer(CONNECT, probe.kill)
        clock.start()
        try:
            for line in probe.stdout or ():
                if line.startswith("ADDRESS "):
                    return line.split()[1]
                if "InvalidAuthToken" in line:
                    said = "its token is another one; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as its nodes have them"
                    break
                if line.startswith("ERROR "):
                    said = line.removeprefix("ERROR ").strip()
        finally:
            clock.cancel()
            probe.kill()
    raise Refusal(f"no Ray cluster at {address}: {said}")
