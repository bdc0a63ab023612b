"""Which images does a list name? `path label` lines, a CSV or DataFrame with a header, or paths and labels in memory.

Paths are relative to the root, and stay inside it: a list from elsewhere opens no other file.
"""

import csv
import io
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbv.data.images.folders import CIRCLE, NO_FILE, OUTSIDE, SPLITS
from ltbv.data.images.items import Amiss, Found, Item, label_of, some
from ltbv.errors import Refusal, words_of

MISSING = "missing"
LARGEST_LIST = 2**30  # bytes
ROLES = {  # of a column, by names without case, blanks and dashes; the first that is there
    "path": ("path", "file", "filename", "filepath", "image", "imagepath", "img", "imagefile"),
    "label": ("label", "class", "classid", "category", "categoryid", "classname", "target"),
    "split": ("split", "subset", "partition"),
    "group": ("group", "groups"),
}
Row = tuple[str, str, str, str]  # where it stands, path, label, split


def read_list(path: Path, root: Path | None = None, *, follow_links: bool = False) -> Found:
    """Lines of a path, a blank or tab, and a label: the last word is the label, so paths may have blanks."""
    rows: list[Row] = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        words = line.rstrip("\r").rsplit(None, 1)
        if not words:
            continue
        where = f"{path}, line {number}"
        if len(words) < 2:
            raise Refusal(f"{where}: {line.strip()!r}; a path, a blank, and a label")
        rows.append((where, words[0], label_of(words[1], where), ""))
    if rows and all(path.endswith(",") for _, path, _, _ in rows):
        raise Refusal(f"{path} separates by commas; give it a header with path and label, and the name .csv")
    return _found(rows, path, path.parent if root is None else root, follow_links)


def read_csv(path: Path, root: Path | None = None, *, follow_links: bool = False) -> Found:
    """A table with a header: columns path and label, by these names or others that say so, and split if there is one;
    separated by comma, semicolon, tab or bar."""
    if path.suffix.lower() == ".parquet":
        import pandas

        try:
            return read_frame(pandas.read_parquet(path), root or path.parent, path, follow_links=follow_links)
        except ImportError as error:
            raise Refusal(f'{path} needs pyarrow: pip install "ltbv[parquet]"') from error
        except (OSError, ValueError) as error:
            raise Refusal(f"cannot read {path}: {words_of(error)}") from error
    text = _text(path)
    header = text.partition("\n")[0]
    separator = max(",;\t|", key=header.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns: dict[str, list[Any]] = {}
    numbers: list[int] = []
    try:
        names = next(lines, [])
        columns = {name: [] for name in names}
        if len(columns) < len(names):
            raise Refusal(f"{path} has a column twice: {some(name for name, n in Counter(names).items() if n > 1)}")
        for line in lines:
            if not line:
                continue
            if len(line) != len(names):
                raise Refusal(f"{path}, line {lines.line_num}: {len(line)} fields, and the header has {len(names)}")
            numbers.append(lines.line_num)
            for column, value in zip(columns.values(), line, strict=True):
                column.append(value)
    except csv.Error as error:
        raise Refusal(f"{path}, line {lines.line_num}: {error}") from error
    return _of_columns(columns, path, root or path.parent, follow_links, [f"line {n}" for n in numbers])


def read_coco(path: Path, root: Path | None = None, *, follow_links: bool = False) -> Found:
    """Annotations as COCO and iNaturalist have them: images by id and file_name, annotations by image_id, category_id.

    Labels are the ids of categories where these are 0 to C - 1, else their names.
    """
    try:
        said = json.loads(_text(path))
        files = {image["id"]: image["file_name"] for image in said["images"]}
        names = {one["id"]: one["name"] for one in said.get("categories", ())}
        labels: dict[Any, set[Any]] = {image: set() for image in files}
        for one in said["annotations"]:
            labels[one["image_id"]].add(one["category_id"])
        known = set(names) | {label for of in labels.values() for label in of}
        numbered = known == set(range(len(known)))
        several = [files[image] for image, of in labels.items() if len(of) != 1]
        named = {} if numbered else {label: names[label] for label in known}
    except Refusal:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        asked = "images (id, file_name) and annotations (image_id, category_id)"
        raise Refusal(f"{path} has no {asked} that fit together: {words_of(error)}") from error
    if several:
        raise Refusal(f"{path}: {len(several)} images have no category, or several ({some(several)}); one for each")
    order = sorted(files, key=str)
    columns = {"path": [files[image] for image in order], "label": [_only(labels[image], named) for image in order]}
    return _of_columns(columns, path, root or path.parent, follow_links, [f"image {image}" for image in order])


def _only(labels: set[Any], names: Mapping[Any, Any]) -> Any:
    (label,) = labels
    return names.get(label, label)


def read_frame(frame: Any, root: Path | None, path: Path | None = None, *, follow_links: bool = False) -> Found:
    """The same of a DataFrame."""
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    where = [f"row {k}" for k in range(len(frame))]
    return _of_columns(columns, path or Path("the DataFrame"), root, follow_links, where)


def read_pairs(paths: Iterable[Any], labels: Iterable[Any], root: Path | None, *, follow_links: bool = False) -> Found:
    """Paths [n] and labels [n]."""
    try:
        files, wanted = [os.fspath(path) for path in paths], list(labels)
    except TypeError as error:
        raise Refusal(f"images as a tuple are (paths, labels), one label for each path: {words_of(error)}") from error
    if len(files) != len(wanted):
        raise Refusal(f"{len(files)} paths and {len(wanted)} labels; one label for each path")
    where = [f"path {k}" for k in range(len(files))]
    return _of_columns({"path": files, "label": wanted}, Path("the paths"), root, follow_links, where)


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Refusal(f"{path} is no regular file; give a list of path and label, or a directory")
        if os.path.getsize(path) > LARGEST_LIST:
            raise Refusal(f"{path} has {os.path.getsize(path):,} bytes; a list has at most {LARGEST_LIST:,}")
        content = path.read_bytes()
    except OSError as error:
        raise Refusal(f"cannot read {path}: {error.strerror}") from error
    if b"\0" in content:
        raise Refusal(f"{path} is no text; give a directory, a list of path and label, a .csv, or a pool")
    return content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _of_columns(
    columns: Mapping[str, Sequence[Any]], path: Path, root: Path | None, follow_links: bool, where: Sequence[str]
) -> Found:
    plain = {re.sub("[ _-]", "", name).lower(): name for name in columns}
    chosen = {
        role: plain[names[0]] for role, known in ROLES.items() if (names := [name for name in known if name in plain])
    }
    for role in ("path", "label"):
        if role not in chosen:
            raise Refusal(f"{path} has no column {role!r}; it has {some(columns, 10)}: name one of them {role}")
    splits = columns[chosen["split"]] if "split" in chosen else [""] * len(where)
    rows: list[Row] = []
    for place, file, label, split in zip(where, columns[chosen["path"]], columns[chosen["label"]], splits, strict=True):
        here = f"{path}, {place}"
        if not isinstance(file, (str, os.PathLike)) or not str(file):
            raise Refusal(f"{here} has no path")
        if split and SPLITS.get(str(split).lower()) is None:
            raise Refusal(f"{here} has the split {split!r}; train, val or test")
        rows.append((here, os.fspath(file), label_of(label, here), SPLITS[str(split).lower()] if split else ""))
    found = _found(rows, path, root, follow_links)
    if "group" in chosen:
        found.notes.append("the column `group` is not used: each image is drawn by itself")
    more = [name for name in (*ROLES["path"], *ROLES["label"]) if name in plain and plain[name] not in chosen.values()]
    if more:
        named = f"{chosen['path']!r} and {chosen['label']!r}"
        found.notes.append(f"{named} are path and label; {some(plain[name] for name in more)} is not read")
    return found


def _found(rows: list[Row], path: Path, root: Path | None, follow_links: bool) -> Found:
    if not rows:
        raise Refusal(f"{path} lists no images")
    if root is None:
        root = _common([row[1] for row in rows], path)
    top = os.path.abspath(root)
    if not os.path.isdir(top):
        raise Refusal(f"--root {root} is no directory")
    splits = {split for *_, split in rows}
    of_test = "test" if "test" in splits or "val" not in splits else "val"
    found, places = Found(_name(path, top)), _Places(top, follow_links)
    held = 0
    for where, file, label, split in rows:
        if split == "val" and of_test == "test":
            held += 1
            continue
        full = places.inside(file, where)
        item = Item(full, os.path.relpath(full, top), label, split == of_test)
        if fault := places.fault(full):
            found.amiss.append(Amiss(item.shown, label, fault, item.test))
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


class _Places:
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
