"""Where does a file wait until it is whole? Beside its place, with the rights that any new file would get."""

import os
import secrets
from pathlib import Path


def beside(path: Path) -> tuple[int, Path]:
    """A new file `.NAME.….part` in the directory of `path`: descriptor, open for writing, and name; its mode is what
    the umask leaves of 0666. (`tempfile.mkstemp` lets nobody else read, whatever the umask says.)"""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), temporary
        except FileExistsError:
            continue
