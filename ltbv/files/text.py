"""How is a value kept as JSON, which a person can read?"""

import json
from pathlib import Path
from typing import Any

from ltbv.files.atomic import write_bytes
from ltbv.files.reading import check_regular, reading

LARGEST_JSON = 100_000_000  # bytes


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, readable by a person."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value of a JSON file of at most LARGEST_JSON bytes."""
    with reading(path, lambda why: f"cannot be read as JSON: {why}"):
        check_regular(path)
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, ltbv writes at most {LARGEST_JSON:,}")
        return json.loads(path.read_bytes())
