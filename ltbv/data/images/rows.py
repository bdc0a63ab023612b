"""What do the rows of a source list? Its images, the test set apart; what is for validation is left out.

Paths are relative to the root, and stay inside it: a list from elsewhere opens no other file.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ltbv.data.images.folders import CIRCLE, NO_FILE, OUTSIDE, SPLITS
from ltbv.data.images.items import Amiss, Content, Found, Item
from ltbv.errors import Refusal

MISSING = "missing"


class Row(NamedTuple):
    """`where` it stands, for messages; a path, or a content that no path leads to; label; train, val, test or ''; what
    group of images it is of, or ''."""

    where: str
    file: str | Content
    label: str
    split: str = ""
    group: str = ""


def grouped(rows: Sequence[Row], groups: Sequence[Any] | None, where: object) -> list[Row]:
    """The rows with their groups, one for each; None: as they are."""
    if groups is None:
        return list(rows)
    if len(groups) != len(rows):
        raise Refusal(f"{len(groups)} groups, and {where} has {len(rows)} images; one for each")
    return [row._replace(group=group_of(group)) for row, group in zip(rows, groups, strict=True)]


def group_of(value: Any) -> str:
    """A group as text; '' where there is none."""
    text = "" if value is None else str(value).strip()
    return "" if text in ("nan", "NaT", "<NA>") else text


def found_of(rows: Sequence[Row], path: Path, root: Path | None, follow_links: bool, name: str | None = None) -> Found:
    """What rows of a source list; `path` is the source, in messages, and has the name where none is given."""
    if not rows:
        raise Refusal(f"{path} lists no images")
    if root is None:
        root = _common([row.file for row in rows if isinstance(row.file, str)], path)
    top = os.path.abspath(root)
    if not os.path.isdir(top):
        raise Refusal(f"--root {root} is no directory")
    splits = {row.split for row in rows}
    of_test = "test" if "test" in splits or "val" not in splits else "val"
    found, places = Found(_name(path, top) if name is None else name), Below(top, follow_links)
    held = 0
    for row in rows:
        test = row.split == of_test
        if row.split == "val" and not test:
            held += 1
            continue
        if isinstance(row.file, str):
            full = places.inside(row.file, row.where)
            item, fault = Item(full, os.path.relpath(full, top), row.label, test, row.group), places.fault(full)
        else:
            item, fault = Item(row.file, row.file.shown, row.label, test, row.group), row.file.seen.fault
        if fault:
            found.amiss.append(Amiss(item.shown, row.label, fault, item.test))
        else:
            found.items.append(item)
    if held:
        found.notes.append(f"{held} images of the split `val` are left out: nothing is trained on them")
    if of_test == "val":
        found.notes.append("there is no split `test`: `val` is the test set")
    missing = [one.shown for one in found.amiss if one.kind == MISSING]
    if 2 * len(missing) > len(rows):
        raise Refusal(
            f"{path}: {len(missing)} of {len(rows)} files do not exist; is --root right? The first is looked for at"
            f" {os.path.join(top, missing[0])}"
        )
    return found


def _name(path: Path, top: str) -> str:
    """train.csv in grocery/ is grocery."""
    stem = path.stem
    return os.path.basename(top) or "images" if not path.suffix or stem.lower() in SPLITS else stem


def _common(files: list[str], path: Path) -> Path:
    """The directory that holds all paths, where they are absolute."""
    absolute = [os.path.isabs(file) for file in files]
    if not any(absolute):
        return Path.cwd()
    if not all(absolute):
        raise Refusal(f"{path} holds absolute paths and others; give --root")
    return Path(os.path.commonpath([os.path.dirname(os.path.normpath(file)) for file in files]))


class Below:
    """Files below a root; the folders that hold them are looked at once."""

    def __init__(self, top: str, follow_links: bool):
        self.top, self.real, self.follow = top, os.path.realpath(top), follow_links
        self.folders: dict[str, str] = {}

    def inside(self, file: str, where: str) -> str:
        """The path to open, or a Refusal of one that leads out of the root."""
        full = os.path.normpath(os.path.join(self.top, file))
        if os.path.commonpath([self.top, full]) != self.top and not self._is_below(os.path.realpath(full)):
            raise Refusal(f"{where}: {file} is outside {self.top}; give --root, a directory that holds all images")
        return full

    def fault(self, full: str) -> str:
        """What keeps a file from being opened; empty where nothing does."""
        folder = os.path.dirname(full)
        if folder not in self.folders:
            self.folders[folder] = "" if self._is_below(os.path.realpath(folder)) or self.follow else OUTSIDE
        if self.folders[folder]:
            return self.folders[folder]
        try:
            seen = os.lstat(full)
            if stat.S_ISLNK(seen.st_mode):
                target = os.path.realpath(full)
                if os.path.islink(target):
                    return CIRCLE
                if not self._is_below(target) and not self.follow:
                    return OUTSIDE
                seen = os.stat(full)
        except (FileNotFoundError, NotADirectoryError):
            return MISSING
        except (OSError, ValueError):
            return "not readable"
        return "" if stat.S_ISREG(seen.st_mode) else NO_FILE

    def _is_below(self, path: str) -> bool:
        return os.path.commonpath([self.real, path]) == self.real
