"""Which images does a directory hold? DIR/train/CLASS/… and DIR/test/CLASS/…, or DIR/CLASS/….

The class is the first folder below the split, however deep the file lies. Nothing is opened but what might be an image
under an unusual name.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ltbv.data.images.items import Amiss, Found, Item, natural, some
from ltbv.errors import Refusal

SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
}
SUFFIXES = {f".{name}" for name in ("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "webp", "bmp", "dib", "gif")}
SUFFIXES |= {f".{name}" for name in ("tif", "tiff", "ppm", "pgm", "pbm", "pnm")}
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
LITTER = frozenset(("Thumbs.db", "desktop.ini", "__MACOSX"))

OUTSIDE = "links that lead out of the directory (--follow-links)"
CIRCLE = "links in a circle"
BROKEN = "links to nothing"
NO_FILE = "no regular files"
CLOSED = "not readable"


def read_folder(top: Path, *, follow_links: bool = False) -> Found:
    """Every image below a directory, sorted by path; its test images where it has a folder of them."""
    top = Path(os.path.abspath(top))
    found, walk = Found(top.name or "images"), _Walk(str(top), follow_links)
    parts = _parts(walk, str(top))
    if "train" not in parts.values():
        _read_classes(walk, str(top), found, test=False)
    else:
        tests = [name for split in ("test", "val") for name, of in parts.items() if of == split]
        of_test = [name for name in tests if parts[name] == parts[tests[0]]]
        for name in (name for name, of in parts.items() if of == "train"):
            _read_classes(walk, os.path.join(top, name), found, test=False)
        for name in of_test:
            _read_classes(walk, os.path.join(top, name), found, test=True)
        if tests and parts[tests[0]] == "val":
            found.notes.append(f"there is no folder `test`: `{tests[0]}` is the test set")
        if held := [name for name in tests if name not in of_test]:
            found.notes.append(f"the folder {some(held)} is left out, neither trained on nor tested on")
        if others := [name for name in walk.folders(str(top)) if name not in parts]:
            found.notes.append(f"{len(others)} folders beside `train` are left out: {some(others)}")
    if walk.others:
        kinds = some((f"{n} {suffix or 'without a suffix'}" for suffix, n in walk.others.most_common()), 4)
        found.notes.append(f"{walk.others.total()} other files are left out: {kinds}")
    found.amiss += walk.amiss
    found.items.sort(key=lambda item: item.shown)
    return found


def _parts(walk: "_Walk", top: str) -> dict[str, str]:
    """Folders that are splits, by name; none where a class happens to be called so."""
    parts = {name: SPLITS[name.lower()] for name in walk.folders(top) if name.lower() in SPLITS}
    return parts if "train" in parts.values() else {}


def _read_classes(walk: "_Walk", place: str, found: Found, *, test: bool) -> None:
    if os.path.islink(place) and (fault := walk.fault_of_link(os.path.realpath(place))):
        raise Refusal(f"{place}: {fault}")
    names, walk.test = walk.folders(place), test
    if not names:
        raise Refusal(f"{place} has no class folders; images lie in {place}/CLASS/, or give a list of path and label")
    if not test:
        found.classes = [*(found.classes or []), *names]
    for name in names:
        for path in walk.files(os.path.join(place, name), name):
            found.items.append(Item(path, os.path.relpath(path, walk.top), name, test))
    walk.count_beside(place)


class _Walk:
    """Goes through folders, following links within `top`; remembers what it met that is no image."""

    def __init__(self, top: str, follow_links: bool):
        self.top, self.real, self.follow = top, os.path.realpath(top), follow_links
        self.test = False  # is it among test images
        self.amiss: list[Amiss] = []
        self.others: Counter[str] = Counter()

    def folders(self, place: str) -> list[str]:
        """Names of the folders in one, in their natural order."""
        try:
            with os.scandir(place) as entries:
                found = [entry.name for entry in entries if not _is_litter(entry.name) and entry.is_dir()]
        except OSError as error:
            raise Refusal(f"cannot read the directory {place}: {error.strerror}") from error
        return sorted(found, key=natural)

    def count_beside(self, place: str) -> None:
        """Files that lie beside class folders belong to no class."""
        with os.scandir(place) as entries:
            for entry in entries:
                if not _is_litter(entry.name) and not entry.is_dir():
                    self.others[os.path.splitext(entry.name)[1].lower()] += 1

    def files(self, place: str, label: str, inside: tuple[str, ...] = ()) -> Iterator[str]:
        """Paths of what is to be read as an image, below one folder."""
        here = os.path.realpath(place)
        if os.path.islink(place) and (fault := self.fault_of_link(here)):
            self._note(place, label, fault)
            return
        if here in inside:
            self._note(place, label, CIRCLE)
            return
        try:
            with os.scandir(place) as entries:
                every = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            self._note(place, label, CLOSED)
            return
        for entry in every:
            if _is_litter(entry.name):
                continue
            try:
                if entry.is_dir():
                    yield from self.files(entry.path, label, (*inside, here))
                elif self._is_image(entry, label):
                    yield entry.path
            except OSError:
                self._note(entry.path, label, CLOSED)

    def _is_image(self, entry: os.DirEntry[str], label: str) -> bool:
        if entry.is_symlink() and (fault := self.fault_of_link(os.path.realpath(entry.path))):
            self._note(entry.path, label, fault)
            return False
        if not stat.S_ISREG(entry.stat().st_mode):
            self._note(entry.path, label, NO_FILE)
            return False
        suffix = os.path.splitext(entry.name)[1].lower()
        if suffix in SUFFIXES or _looks_like_an_image(entry.path):
            return True
        self.others[suffix] += 1
        return False

    def fault_of_link(self, target: str) -> str:
        """What keeps a link from being followed; empty where nothing does."""
        if os.path.islink(target):  # realpath gives up within a circle
            return CIRCLE
        if not os.path.exists(target):
            return BROKEN
        inside = os.path.commonpath([self.real, target]) == self.real
        return "" if inside or self.follow else OUTSIDE

    def _note(self, path: str, label: str, kind: str) -> None:
        self.amiss.append(Amiss(os.path.relpath(path, self.top), label, kind, self.test))


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in LITTER


def _looks_like_an_image(path: str) -> bool:
    with open(path, "rb") as file:
        start = file.read(12)
    return start.startswith(SIGNATURES) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")
