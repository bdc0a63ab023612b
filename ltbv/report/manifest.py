"""Which files of an earlier report are left over, and may they go? Only what a report wrote, and nobody has changed.

report.json names the files of its report with their digests. When a report is written over another one, files that the
earlier one wrote and this one does not are removed, unless they hold something else by now.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ltbv.errors import Refusal
from ltbv.files import read_json

MANIFEST = "report.json"
OURS = re.compile(r"(tables|figures)/\w+\.(csv|tex|md|png|pdf)|report\.(html|md)")  # no other name is ever removed


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """Path within the report -> SHA-256 of its content."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def left_over(output: Path, written: Iterable[str]) -> list[Path]:
    """Files that the report at `output` wrote, that are as it wrote them, and that are not `written` anew."""
    found = []
    for name, digest in _earlier(output).items():
        path = output / name
        if name in set(written) or not OURS.fullmatch(name) or path.is_symlink() or not path.is_file():
            continue
        if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            found.append(path)
    return found


def _earlier(output: Path) -> Mapping[str, str]:
    """What report.json says; nothing where there is none, or none of ours."""
    try:
        whole = read_json(output / MANIFEST)
    except Refusal:
        return {}
    files = whole.get("files") if isinstance(whole, dict) else None
    return files if isinstance(files, dict) else {}
