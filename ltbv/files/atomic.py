"""How is a file written so that a reader sees the old one, or none, or the whole new one?

Under another name beside its place, flushed, fsynced, renamed last, the directory fsynced too.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from ltbv.errors import Refusal


def write_bytes(
    path: Path, content: bytes, *, confirm: Callable[[], None] = lambda: None, durable: bool = True
) -> None:
    """Put `content` at `path`; a reader sees the old file, or none, or the whole new one. See `write_together`."""
    write_together({path: content}, confirm=confirm, durable=durable)


def write_together(
    files: Mapping[Path, bytes],
    gone: Iterable[Path] = (),
    *,
    confirm: Callable[[], None] = lambda: None,
    durable: bool = True,
) -> None:
    """All of several files, or none: the first gets its name when the last is on the disk.

    gone      are deleted before the last file gets its name, which may be a list of what there is
    confirm   is asked last, when only the names are missing; what it raises leaves everything as it was
    durable   wait for the disk: after a power cut too, the files are whole. Not for notes that nobody needs then
    """
    waiting: dict[Path, Path] = {}
    new = {folder for path in files for folder in path.parents if not os.path.exists(folder)}
    try:
        for path, content in files.items():
            with writing(path):
                waiting[path] = _written_beside(path, content, durable)
        confirm()
        for path, temporary in list(waiting.items()):
            with writing(path):
                if len(waiting) == 1:
                    for other in gone:
                        other.unlink(missing_ok=True)
                os.replace(temporary, path)
                del waiting[path]
        for path in {path.parent: path for path in files}.values() if durable else ():
            with writing(path):
                _sync(path.parent)
    except BaseException:
        for temporary in waiting.values():
            temporary.unlink(missing_ok=True)
        for folder in sorted(new, key=lambda folder: len(folder.parts), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _written_beside(path: Path, content: bytes, durable: bool) -> Path:
    """The name under which `content` waits to become `path`."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it exists and is no regular file")
    descriptor, temporary = beside(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def beside(path: Path) -> tuple[int, Path]:
    """A new file `.NAME.….part` in the directory of `path`: descriptor, open for writing, and name; its mode is what
    the umask leaves of 0666. (`tempfile.mkstemp` lets nobody else read, whatever the umask says.)"""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), temporary
        except FileExistsError:
            continue


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_if_closed(folder: Path) -> None:
    """Refuse a folder in which nothing can be made, before the work is done whose result would go there."""
    for place in (folder, *folder.absolute().parents):
        try:
            if not place.is_dir() and os.path.lexists(place):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if place.is_dir() and not os.access(place, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "it is read-only, or not yours to write to")
        except OSError as error:
            raise Refusal(f"cannot write into {folder}: {error.strerror or error}") from error
        if place.is_dir():
            return


@contextlib.contextmanager
def writing(path: Path, act: str = "write") -> Iterator[None]:
    """What the system refuses is refused in one line. For `write` there is a folder, and no empty one is left."""
    new = False
    try:
        if act == "write":
            new = not path.parent.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if new:
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        raise Refusal(f"cannot {act} {path}: {error.strerror or error}; finished files are kept") from error


def set_aside(path: Path) -> None:
    """What is damaged is kept beside its place, which is free then; another process may have done so."""
    with writing(path, "set aside"), contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(f"{path.name}.damaged"))


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it. Of a link to a folder the content goes, and the link stays:
    somebody wants it elsewhere."""
    with writing(path, "remove"):
        if path.is_symlink() and path.is_dir():
            for inside in path.iterdir():
                remove(inside)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
