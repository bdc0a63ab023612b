"""What did an earlier report leave in the same place? Files that are left over, and how often the study was read.

report.json names the files of its report with their digests. When a report is written over another one, files that the
earlier one wrote and this one does not are removed, unless they hold something else by now.

It also says at how many runs its study was reported. Looks are counted where reports are written, and not in the study:
a report writes nothing into what it reads, a study may be read-only or a copy, and what it says depends on no file that
nobody sees. So reports of one study at two places do not know of each other.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ltbv.errors import Refusal
from ltbv.files import read_json
from ltbv.report.evidence import Evidence

MANIFEST = "report.json"
OURS = re.compile(r"(tables|figures)/\w+\.(csv|tex|md|png|pdf)|report\.(html|md)")  # no other name is ever removed


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """Path within the report -> SHA-256 of its content."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def left_over(output: Path, written: Iterable[str]) -> list[Path]:
    """Files that the report at `output` wrote, that are as it wrote them, and that are not `written` anew."""
    found = []
    for name, digest in _map(_earlier(output), "files").items():
        path = output / name
        if name in set(written) or not OURS.fullmatch(name) or path.is_symlink() or not path.is_file():
            continue
        if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            found.append(path)
    return found


def looked(output: Path, evidence: Evidence) -> Evidence:
    """The evidence with `Setting.looks`: those of the report at `output`, if it is of the same study, and this one,
    where the study has more runs than at any of them. To write a report again is no further look."""
    of, earlier = evidence.setting, _map(_earlier(output), "setting")
    looks = earlier.get("looks") if of.study is not None and earlier.get("study") == of.study else []
    if not isinstance(looks, list) or not all(type(runs) is int and runs > 0 for runs in looks):
        looks = []
    runs = max(len(method.runs) for method in evidence.methods)
    looks = [*looks, *([runs] if runs > max(looks, default=0) else [])]
    return replace(evidence, setting=replace(of, looks=tuple(looks)))


def _earlier(output: Path) -> Any:
    """What report.json holds; nothing where there is none."""
    try:
        return read_json(output / MANIFEST)
    except Refusal:
        return {}


def _map(whole: Any, name: str) -> Mapping[str, Any]:
    """One of its maps; empty where it is none of ours."""
    found = whole.get(name) if isinstance(whole, dict) else None
    return found if isinstance(found, dict) else {}
