"""What several tests ask of a study: what is in it, which processes work on it, and has something come about?"""

import time
from collections.abc import Callable
from pathlib import Path

HOW_IT_WENT = ("study.json", "logs/", "locks/", "failures/", "progress/")


def everything(study: Path, parts: str = "") -> dict[str, bytes]:
    """Content by name, but for what tells when and how it was made, by whom, and what failed on the way."""
    found = {str(path.relative_to(study)): path for path in sorted(study.rglob("*")) if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if name.startswith(parts) and not name.startswith(HOW_IT_WENT)
    }


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def children(parent: int) -> set[int]:
    """Processes whose parent this is, the dead that nobody has waited for left out."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            found.add(int(stat.parent.name))
    return found


def workers_of(parent: int) -> set[int]:
    """Those of its children that are worker processes: a library may ask another program for a moment."""
    found = set()
    for child in children(parent):
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"ltbv.harness.worker" in words:
            found.add(child)
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
