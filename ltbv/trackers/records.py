"""What is in a file of events? Records, one a line; the last one may be half written, and more may come."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ltbv.errors import Refusal
from ltbv.harness.journal import FORMAT, read_record

Record = dict[str, Any]
PAUSE = 0.5  # seconds between two looks at a file that is followed


def records(path: Path, *, follow: bool = False) -> Iterator[Record]:
    """The records of a file; with `follow` those that are yet to come too, until every command in it has ended."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise Refusal(f"events {path}: {error.strerror}; give what ltbv bootstrap --events wrote") from error
    working, kept, any_yet = set[str](), b"", False
    with file:
        while True:
            kept += file.read()
            *lines, kept = kept.split(b"\n")
            for line in lines:
                if (record := _read(path, line)) is not None:
                    any_yet = True
                    if record["kind"] == "command_begun":
                        working.add(str(record["command"]))
                    elif record["kind"] == "command_ended":
                        working.discard(str(record["command"]))
                    yield record
            if not follow or (any_yet and not working):
                break
            time.sleep(PAUSE)
    if not any_yet:
        raise Refusal(f"events {path}: there is no event in it; give what ltbv bootstrap --events wrote")


def _read(path: Path, line: bytes) -> Record | None:
    """A record; None of a line that was cut off, as by a full disk, and of an empty one."""
    try:
        record = read_record(line) if line.strip() else None
    except ValueError:
        raise Refusal(f"events {path} has a line that is none: {line[:40].decode(errors='replace')!r}") from None
    if record is not None and record["format"] != FORMAT:
        raise Refusal(f"events {path} are of format {record['format']}, and {FORMAT} is read here; track with its ltbv")
    return record
