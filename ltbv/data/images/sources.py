"""From what a user names to a pool: a directory, a list, a table, a Dataset, paths and labels, a pool, or a name.

The same images with the same labels are the same pool, whatever they came through.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import NoneType
from typing import Any

from ltbv.data.catalogue import ENTRIES, entry
from ltbv.data.images.folders import read_folder
from ltbv.data.images.hugging_face import is_hugging_face, read_hugging_face
from ltbv.data.images.items import Content, Found, Item, some
from ltbv.data.images.look import Tell
from ltbv.data.images.named import NAMED, Named
from ltbv.data.images.plan import Plan, plan
from ltbv.data.images.pool import CURE, DESCRIPTION, Pool, folder, is_pool, is_remnant, is_whole, kept, open_pool
from ltbv.data.images.recipe import OWN_SIZES, RULES, Recipe, keeps_sizes
from ltbv.data.images.tables import read_coco, read_csv, read_frame, read_list, read_pairs
from ltbv.data.images.torch_datasets import is_torch, read_torch
from ltbv.data.images.write import write
from ltbv.errors import Refusal
from ltbv.files import read_json, write_json
from ltbv.options import expect, split

TABLES = (".csv", ".tsv", ".parquet")


def silent(done: int, of: int) -> None:
    """Tells nobody how far it is."""


def images(
    train: Any,
    test: Any = None,
    *,
    root: Path | str | None = None,
    groups: Any = None,
    name: str | None = None,
    write_to: Path | str | None = None,
    tell: Tell = silent,
    **choices: Any,
) -> Pool:
    """A pool of the images of a directory, a list, a table, or paths and labels: decoded once, found again by content.

    train     a directory (train/CLASS/… and test/CLASS/…, or CLASS/…), a list of `path label` lines, a .csv, .tsv or
              .parquet with columns path and label, a DataFrame, a torch Dataset of (image, label) before a transform, a
              Dataset or DatasetDict of Hugging Face, (paths, labels), or a pool
    test      the same for the test set, where `train` has none
    root      what paths of lists and tables are relative to; None: where the list lies
    groups    of images that are not independent: a regular expression on their paths, as --group, or one name for each
              image of `train` (where `test` is given, a pair of these) that is a DataFrame, (paths, labels) or Dataset
    name      of the data set; None: that of the directory or list
    write_to  directory of the pool; None: under LTBV_CACHE
    choices   of `Recipe`: side=32, test_share=None, bad="refuse", …

    Example: `ltbv.bootstrap(["ce", "ride"], dataset=ltbv.images("photographs", test_share=0.2))`.
    """
    expect("root", root, Path, NoneType)
    expect("write_to", write_to, Path, NoneType)
    expect("name", name, str, NoneType)
    if not callable(tell):
        raise Refusal(f"tell is {tell!r}: give a function of two numbers, how many are done of how many")
    if isinstance(groups, str):
        groups, choices = None, choices | {"group": groups}
    recipe = _recipe(choices)
    if isinstance(train, (str, os.PathLike)) and is_pool(Path(train)):
        listed = None if groups is None else "of each image"
        beside = {"test": test, "root": root, "groups": listed, "name": name, "write_to": write_to}
        _refuse_beside(train, beside | choices)
        return open_pool(Path(train))
    where = _shown(train)
    found = read(train, test, root, recipe, name, tell, groups)
    if write_to is not None:
        return made(plan(found, recipe, where, tell), Path(write_to), where, tell)
    return _kept(found, recipe, where, name, tell)


def _kept(found: Found, recipe: Recipe, where: str, name: str | None, tell: Tell) -> Pool:
    """The pool of what was found, among those that are made on the way."""
    note = folder() / "seen" / f"{_state(found, recipe)}.json"
    if known := _known(note, name and found.name):
        return known
    planned = plan(found, recipe, where, tell)
    pool = _of_key(planned.key, name and found.name)
    if pool is None:
        place = folder() / f"{found.name}-{planned.key}.pool"
        pool = open_pool(write(planned, place, where, tell, mend=True))
    with contextlib.suppress(Refusal):  # only time is lost
        write_json(note, {"key": planned.key})
    return pool


def settled(dataset: Any, beside: dict[str, Any], tell: Tell = silent) -> tuple[str, str]:
    """What `Settings.dataset` is to be, and the name of the data set; a pool is made where it must be.

    beside   what was said of images beside it (test, root, side, …), by name
    """
    beside = {key: value for key, value in beside.items() if value is not None}
    is_text = isinstance(dataset, str)
    if is_text and dataset in NAMED and (beside or not kept(dataset)):
        pool = _published(NAMED[dataset], tell, **beside)
        return str(pool.path), pool.name
    if "lists" in beside:
        raise Refusal(f"--lists {beside['lists']} goes with {', '.join(NAMED)}, and not with {_shown(dataset)}")
    if is_text and dataset in ENTRIES:
        _refuse_beside(dataset, beside)
        return dataset, dataset
    if is_text and not os.path.exists(dataset):
        known = entry(dataset)
        _refuse_beside(dataset, beside)
        return (str(kept(dataset)[0]) if kept(dataset) else dataset), known.name
    pool = images(dataset, tell=tell, **beside)
    return str(pool.path), pool.name


def _published(
    named: Named,
    tell: Tell,
    *,
    data_dir: Path | str | None = None,
    lists: Path | str | None = None,
    test: Any = None,
    root: Any = None,
    **choices: Any,
) -> Pool:
    """The pool of a set that is known by its name; where its lists hold something else, the pool has a note."""
    for option, value in (("--test", test), ("--root", root)):
        if value is not None:
            raise Refusal(f"{option} {value}: {named.name} has its own; leave it out, or give its list as --dataset")
    if data_dir is None:
        raise Refusal(f"{named.name} is read from files: give --data-dir, the directory that its lists are relative to")
    recipe, place = _recipe(choices), Path(data_dir)
    train, tested = named.lists(place if lists is None else Path(lists))
    found = read(train, tested, place, recipe, named.name)
    found.notes += named.differences(found)
    return _kept(found, recipe, str(train), named.name, tell)


def _recipe(choices: dict[str, Any]) -> Recipe:
    """By name; None is as if it was not said."""
    (known,) = split(choices, Recipe)
    return Recipe(**{key: value for key, value in known.items() if value is not None})


def made(planned: Plan, where: Path, of: str, tell: Tell = silent) -> Pool:
    """The pool of a plan in a directory."""
    return open_pool(write(planned, where, of, tell))


def read(
    train: Any,
    test: Any,
    root: Path | str | None,
    recipe: Recipe,
    name: str | None = None,
    tell: Tell = silent,
    groups: Any = None,
) -> Found:
    """All that is listed, training and test images."""
    place, of_test = None if root is None else Path(root), None
    if groups is not None and test is not None:
        if not isinstance(groups, (tuple, list)) or len(groups) != 2:
            raise Refusal("groups with test are a pair: those of the training images, and those of the test images")
        groups, of_test = groups
    found = _read(train, place, recipe, tell, groups)
    if test is not None:
        other = _read(test, place, recipe, tell, of_test)
        own = sum(item.test for item in found.items)
        if own:
            found.notes.append(f"the {own} test images of {_shown(train)} are left out, as others were given")
        chosen = [item for item in other.items if item.test] or other.items
        items = [item for item in found.items if not item.test] + [item._replace(test=True) for item in chosen]
        notes = [*found.notes, *(note for note in other.notes if note not in found.notes)]
        found = replace(found, items=items, amiss=found.amiss + other.amiss, notes=notes)
    if recipe.group is not None:
        found = replace(found, items=_grouped(found.items, recipe.group, _shown(train)))
    return replace(found, name=_safe(found.name if name is None else name))


def _grouped(items: list[Item], pattern: str, where: str) -> list[Item]:
    """The items with the group that a regular expression finds in their paths."""
    if any(item.group for item in items):
        raise Refusal(f"{where} says the group of each image; leave out --group {pattern}")
    matches = [re.search(pattern, item.shown) for item in items]
    if lost := [item.shown for item, match in zip(items, matches, strict=True) if match is None]:
        raise Refusal(f"--group {pattern} is in none of {len(lost):,} of {len(items):,} paths ({some(lost)})")
    return [
        item._replace(group=(match.group(1) if match.re.groups else match.group()) or "")
        for item, match in zip(items, matches, strict=True)
        if match
    ]


def _read(source: Any, root: Path | None, recipe: Recipe, tell: Tell, groups: Sequence[Any] | None) -> Found:
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not os.path.exists(path):
            raise Refusal(f"{path} does not exist; give a directory of images, a list of path and label, or a pool")
        if is_remnant(path):
            raise Refusal(f"{path} is no whole pool: it has no {DESCRIPTION}; {CURE}")
        if is_pool(path):
            raise Refusal(f"{path} is a pool, which has its test set; give the directory or list that it was made of")
        if groups is not None:
            raise Refusal(f"groups as a list are of a DataFrame, (paths, labels) or Dataset; for {path} give a pattern")
        if path.is_dir():
            if root is not None:
                raise Refusal(f"--root {root} goes with a list or table; {path} is a directory")
            return read_folder(path, follow_links=recipe.follow_links)
        suffix = path.suffix.lower()
        reader = read_csv if suffix in TABLES else read_coco if suffix == ".json" else read_list
        return reader(path, root, follow_links=recipe.follow_links)
    if is_hugging_face(source):
        if root is not None:
            raise Refusal(f"--root {root} goes with a list or table; {_shown(source)} has its own images")
        return read_hugging_face(source, tell, recipe=recipe, groups=groups)
    if is_torch(source):
        return read_torch(source, root, tell, recipe=recipe, groups=groups)
    if (pandas := sys.modules.get("pandas")) and isinstance(source, pandas.DataFrame):
        return read_frame(source, root, follow_links=recipe.follow_links, groups=groups)
    if isinstance(source, tuple) and len(source) == 2 and not any(isinstance(one, str) for one in source):
        return read_pairs(*source, root, follow_links=recipe.follow_links, groups=groups)
    raise Refusal(
        f"images of a {type(source).__name__}: give a directory, a list, a .csv, a DataFrame with columns path and"
        " label, a Dataset of torch or of Hugging Face, or (paths, labels)"
    )


def _shown(source: Any) -> str:
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else f"the {type(source).__name__}"


def _safe(name: str) -> str:
    """A name that can be one of a directory, and that no other data set has."""
    text = re.sub(r"[^\w.-]+", "_", name.encode("utf-8", "replace").decode()).strip("._-")[:60] or "images"
    return f"{text}-images" if text in ENTRIES else text


def _refuse_beside(dataset: Any, beside: dict[str, Any]) -> None:
    for key, value in beside.items():
        if value is not None:
            raise Refusal(
                f"--{key.replace('_', '-')} {value} is for images that are read from a directory or list, and"
                f" {os.fspath(dataset)} is none: leave it out"
            )


def _state(found: Found, recipe: Recipe) -> str:
    """Changes when a file, a label or a choice does: 16 hex digits of paths, sizes and times, not of bytes."""
    rules = OWN_SIZES if keeps_sizes(recipe.side) else RULES
    digest = hashlib.sha256(json.dumps([rules, asdict(recipe), found.classes, found.notes, found.amiss]).encode())
    for item in found.items:
        name, state = _state_of(item.file)
        digest.update(json.dumps([name, item.label, item.test, state, item.group]).encode())
    return digest.hexdigest()[:16]


def _state_of(file: str | Content) -> tuple[str, str]:
    if not isinstance(file, str):
        return "", file.seen.digest.hex()
    try:
        seen = os.stat(file)
    except OSError:
        return file, "?"
    return file, f"{seen.st_size} {seen.st_mtime_ns}"


def _known(note: Path, name: str | None) -> Pool | None:
    """The pool that was made of just these files."""
    try:
        return _of_key(str(read_json(note)["key"]), name)
    except (ValueError, TypeError, KeyError, OSError):  # a Refusal is a ValueError
        return None


def _of_key(key: str, name: str | None) -> Pool | None:
    """A whole pool with this key among those that were made on the way; of this name, where one was asked for."""
    for path in sorted(folder().glob(f"{glob_of(name)}-{key}.pool")):
        if is_whole(path, key):
            return open_pool(path)
    return None


def glob_of(name: str | None) -> str:
    """Matches one name, or any."""
    return "*" if name is None else re.sub(r"([*?[])", r"[\1]", name)
