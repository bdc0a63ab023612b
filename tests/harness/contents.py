"""What several tests ask of a study: what is in it, and whether something has come about."""

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
