"""How is a value kept as JSON, which a person can read?"""

import json
from pathlib import Path
from typing import Any

from ltbv.files.atomic import write_bytes
from ltbv.files.reading import check_regular, reading

LARGEST_JSON = 100_000_000  # bytes
DEEPEST = 100  # levels; what walks through a value calls itself for each, and how deep that goes depends on Python


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, readable by a person."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value of a JSON file of at most LARGEST_JSON bytes."""
    with reading(path, lambda why: f"cannot be read as JSON: {why}"):
        check_regular(path)
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, ltbv writes at most {LARGEST_JSON:,}")
        return parsed(path.read_bytes())


def parsed(text: str | bytes, **given: Any) -> Any:
    """The value of JSON that is at most DEEPEST levels deep, else `ValueError`; `given` is for `json.loads`."""
    found = json.loads(text, **given)
    level = [found]
    for _ in range(DEEPEST):
        inside = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [value for values in inside for value in values if isinstance(value, dict | list)]
        if not level:
            return found
    raise ValueError(f"it is more than {DEEPEST} levels deep")
