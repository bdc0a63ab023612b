"""How is a file written so that it is whole or absent? Another name, flush, fsync, rename last."""

import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ltbv.errors import Refusal


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` at `path`; a reader sees the old file, or none, or the whole new one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise Refusal(f"cannot write {path}: {error.strerror or error}; finished files are kept") from error


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, readable by a person."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An uncompressed .npz; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz, never unpickled."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise Refusal(
            f"{path} is not a whole .npz of plain arrays ({error}); delete it and run the command again"
        ) from error
    except Exception as error:  # zipfile.BadZipFile, zlib.error: what a damaged archive raises is not one class
        raise Refusal(f"{path} is damaged ({error}); delete it and run the command again") from error


def read_json(path: Path) -> Any:
    """The value of a JSON file."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Refusal(f"{path} cannot be read as JSON: {error}") from error
