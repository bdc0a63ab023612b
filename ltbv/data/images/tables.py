"""Which images does a list name? `path label` lines, a CSV or DataFrame with a header, or paths and labels in memory.

Paths are relative to the root, and stay inside it (`rows`).
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

from ltbv.data.images.folders import SPLITS
from ltbv.data.images.items import Found, label_of, some
from ltbv.data.images.rows import Row, found_of, grouped
from ltbv.errors import Refusal, absent, words_of

LARGEST_LIST = 2**30  # bytes
ROLES = {  # of a column, by names without case, blanks and dashes; the first that is there
    "path": ("path", "file", "filename", "filepath", "image", "imagepath", "img", "imagefile"),
    "label": ("label", "class", "classid", "category", "categoryid", "classname", "target"),
    "split": ("split", "subset", "partition"),
    "group": ("group", "groups"),
}


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
        rows.append(Row(where, words[0], label_of(words[1], where)))
    if rows and all(str(row.file).endswith(",") for row in rows):
        raise Refusal(f"{path} separates by commas; give it a header with path and label, and the name .csv")
    return found_of(rows, path, path.parent if root is None else root, follow_links)


def read_csv(path: Path, root: Path | None = None, *, follow_links: bool = False) -> Found:
    """A table with a header: columns path and label, by these names or others that say so, and split if there is one;
    separated by comma, semicolon, tab or bar."""
    if path.suffix.lower() == ".parquet":
        import pandas

        try:
            return read_frame(pandas.read_parquet(path), root or path.parent, path, follow_links=follow_links)
        except ImportError as error:
            raise absent(f"pyarrow, for {path},", error, "parquet") from error
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


def read_frame(
    frame: Any,
    root: Path | None,
    path: Path | None = None,
    *,
    follow_links: bool = False,
    groups: Sequence[Any] | None = None,
) -> Found:
    """The same of a DataFrame; `groups`, one a row, are as a column of that name."""
    columns = {str(name): frame[name].tolist() for name in frame.columns} | _column(groups, "the DataFrame", len(frame))
    where = [f"row {k}" for k in range(len(frame))]
    return _of_columns(columns, path or Path("the DataFrame"), root, follow_links, where)


def _column(groups: Sequence[Any] | None, where: str, n: int) -> dict[str, Sequence[Any]]:
    if groups is not None and len(groups) != n:
        raise Refusal(f"{len(groups)} groups, and {where} has {n} images; one for each")
    return {} if groups is None else {"group": groups}


def read_pairs(
    paths: Iterable[Any],
    labels: Iterable[Any],
    root: Path | None,
    *,
    follow_links: bool = False,
    groups: Sequence[Any] | None = None,
) -> Found:
    """Paths [n] and labels [n]."""
    try:
        files, wanted = [os.fspath(path) for path in paths], list(labels)
    except TypeError as error:
        raise Refusal(f"images as a tuple are (paths, labels), one label for each path: {words_of(error)}") from error
    if len(files) != len(wanted):
        raise Refusal(f"{len(files)} paths and {len(wanted)} labels; one label for each path")
    where = [f"path {k}" for k in range(len(files))]
    columns = {"path": files, "label": wanted} | _column(groups, "the tuple", len(files))
    return _of_columns(columns, Path("the paths"), root, follow_links, where)


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
        of = SPLITS[str(split).lower()] if split else ""
        rows.append(Row(here, os.fspath(file), label_of(label, here), of))
    if "group" in chosen:
        rows = grouped(rows, columns[chosen["group"]], path)
    found = found_of(rows, path, root, follow_links)
    more = [name for name in (*ROLES["path"], *ROLES["label"]) if name in plain and plain[name] not in chosen.values()]
    if more:
        named = f"{chosen['path']!r} and {chosen['label']!r}"
        found.notes.append(f"{named} are path and label; {some(plain[name] for name in more)} is not read")
    return found
