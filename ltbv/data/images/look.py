"""What is in the files? Each is read once: a digest of its bytes, its header, and what is amiss, before anything is
written."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from ltbv.data.ahead import in_threads
from ltbv.data.images.decode import Bad, header, ready
from ltbv.data.images.items import Amiss, Content, Item, Seen, some
from ltbv.errors import Refusal

LARGEST_FILE = 2**30  # bytes
TOO_LARGE = f"larger than {LARGEST_FILE:,} bytes"
Tell = Callable[[int, int], None]  # done, of how many


class View(NamedTuple):
    """Items that will do, and what was seen of each; those that will not; how many have which peculiarity."""

    items: list[Item]
    seen: list[Seen]
    amiss: list[Amiss]
    facts: Counter[str]


def read(file: str | Content) -> bytes:
    """The bytes of a regular file or of a content, or `Bad`. A disk that does not answer is refused: no fault of the
    file."""
    return _read(file) if isinstance(file, str) else file.read()


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for a writer
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Bad("no regular files")
            if status.st_size > LARGEST_FILE:
                raise Bad(TOO_LARGE)
            return file.read(status.st_size + 1)  # sets as much aside; one that grows is found to have changed
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise Bad("missing") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.ELOOP):
            raise Bad("not readable") from error
        raise Refusal(f"cannot read {path}: {error.strerror}; try again") from error


def look(items: Sequence[Item], most: int, tell: Tell) -> View:
    """Look at every item, in their order; one of more than `most` pixels will not do."""
    view = View([], [], [], Counter())
    with ready(most):  # Pillow decodes without holding the interpreter
        every = in_threads(partial(_look, most), (item.file for item in items))
        for done, (item, seen) in enumerate(zip(items, every, strict=True), 1):
            if seen.fault:
                view.amiss.append(Amiss(item.shown, item.label, seen.fault, item.test))
            else:
                assert seen.header is not None
                view.items.append(item)
                view.seen.append(seen)
                view.facts.update(seen.header.facts)
            tell(done, len(items))
    return view


def _look(most: int, file: str | Content) -> Seen:
    if not isinstance(file, str):
        return file.seen
    try:
        return seen_of(read(file), most)
    except Bad as bad:
        return Seen(b"", None, str(bad))


def seen_of(data: bytes, most: int) -> Seen:
    """What the bytes of an image are, or `Bad`."""
    return Seen(sha256(data).digest(), header(data, most), "")


def complaint(where: str, amiss: Sequence[Amiss], of: int) -> Refusal:
    """The refusal of files that will not do: kinds, each with a number and three examples."""
    kinds = tally(amiss)
    parts = [
        f"{number} {kind} ({some(one.shown for one in amiss if one.kind == kind)})" for kind, number in kinds.items()
    ]
    large = "; --max-pixels allows larger ones" if any(kind.startswith("of more than") for kind in kinds) else ""
    return Refusal(
        f"{where}: {len(amiss):,} of {of:,} files will not do: {'; '.join(parts)}. Mend or remove them; `ltbv images"
        f" … --write POOL --bad skip` leaves them out and lists them{large}"
    )


def tally(amiss: Iterable[Amiss]) -> dict[str, int]:
    """kind -> how many, the most frequent first."""
    return dict(Counter(one.kind for one in amiss).most_common())


def left_out(amiss: Sequence[Amiss]) -> list[str]:
    """A note of what was skipped; nothing where nothing was."""
    if not amiss:
        return []
    kinds = ", ".join(f"{number} {kind}" for kind, number in tally(amiss).items())
    most = Counter(one.label for one in amiss).most_common(1)[0][1]
    return [f"{len(amiss)} files that will not do are left out, at most {most} of a class: {kinds}"]
