"""Which images does a pool hold, in which order, and what is it called? By content: never by path, door or date.

Training images come first, then test images, by class and then by the digest of their bytes. The key is of all that
decides pixels and labels.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ltbv.data.images.apart import share_of_groups
from ltbv.data.images.decode import brought
from ltbv.data.images.items import (
    Amiss,
    Content,
    Found,
    Item,
    alike,
    check_numbers,
    check_paths,
    class_names,
    natural,
    some,
)
from ltbv.data.images.look import Tell, View, complaint, left_out, look
from ltbv.data.images.recipe import OWN_SIZES, RULES, Recipe, keeps_sizes, seen_side
from ltbv.errors import Refusal

LEAKED = "in the test set too"
LONGEST_NAME = 1000  # letters
DECIDES = ("side", "background", "mirrors")  # of the recipe; the others show in what is listed


@dataclass(frozen=True)
class Plan:
    """What `write` makes.

    files, shown   [n] to open or to ask for, and as the source calls them
    digests        [n] sha256 of their bytes
    labels, tests  [n] class, and is it of the test set
    groups         [n] numbers of the groups that images are of, as they come; None: each is one of its own
    sizes          [n, 2] height and width of each in the pool, as its file says, which a camera's turn swaps; None: all
                   are squares of `recipe.side`
    amiss          what is left out
    """

    name: str
    key: str
    recipe: Recipe
    channels: int
    class_names: tuple[str, ...]
    files: tuple[str | Content, ...]
    shown: tuple[str, ...]
    digests: tuple[bytes, ...]
    labels: np.ndarray
    tests: np.ndarray
    groups: np.ndarray | None
    sizes: np.ndarray | None
    amiss: tuple[Amiss, ...]
    notes: tuple[str, ...]

    def counts(self, *, test: bool) -> np.ndarray:
        """Images of each class, [C]."""
        return np.bincount(self.labels[self.tests == test], minlength=len(self.class_names))

    @cached_property
    def starts(self) -> np.ndarray:
        """First byte of each image in the pool, and behind the last: [n + 1] int64."""
        own = np.full(len(self.files), self.recipe.side**2) if self.sizes is None else self.sizes.prod(1)
        return np.concatenate([[0], np.cumsum(own * self.channels)]).astype(np.int64)


def plan(found: Found, recipe: Recipe, where: str, tell: Tell = lambda done, of: None) -> Plan:
    """Look at what was found, and settle the rest; what cannot be is refused before anything is written."""
    notes = [*found.notes, *check_paths(found.items, where, duplicates=recipe.duplicates)]
    if not found.items and not found.amiss:
        raise Refusal(f"{where} has no images")
    if found.classes is None:
        check_numbers([one.label for one in found.items if not one.test], where)
    found, empty = _without_empty(found, recipe, where)
    notes += empty
    view = look(found.items, recipe.max_pixels, tell)
    amiss = [*found.amiss, *view.amiss]
    if amiss and recipe.bad == "refuse":
        raise complaint(where, amiss, len(found.items) + len(found.amiss))
    notes += _without_lost(view.items, amiss, recipe, where)
    items, digests = _with_test(view, recipe, where)
    if recipe.bad != "refuse":
        items, digests, leaked = _without_leaks(items, digests)
        amiss += leaked
        notes += _without_lost(items, leaked, recipe, where)
    names = class_names(
        [one.label for one in items if not one.test],
        [one.label for one in items if one.test],
        where,
        drop_unseen=recipe.drop_unseen,
    )
    number = {name: k for k, name in enumerate(names)}
    rows = [(item.test, number[item.label], digest, item) for item, digest in zip(items, digests, strict=True)
            if item.label in number]  # fmt: skip
    if dropped := len(items) - len(rows):
        notes.append(f"{dropped} test images of classes without training images are left out")
    rows.sort(key=lambda row: (row[0], row[1], row[2], row[3].shown))
    if not any(row[0] for row in rows):
        raise Refusal(f"{where} has no test images; give --test, or --test-share 0.2 to set a share aside")
    _refuse_leaks([(row[2], row[3]) for row in rows], where)
    groups = _numbered([row[3] for row in rows], where)
    channels = recipe.channels or (1 if all(one.header and one.header.grey for one in view.seen) else 3)
    shown_names, sizes = _written(names, where), _own_sizes(rows, view, recipe)
    made = Plan(
        name=found.name,
        key=_key(RULES if sizes is None else OWN_SIZES, recipe, channels, shown_names, rows, amiss, groups),
        recipe=recipe,
        channels=channels,
        class_names=shown_names,
        files=tuple(row[3].file for row in rows),
        shown=tuple(row[3].shown for row in rows),
        digests=tuple(row[2] for row in rows),
        labels=np.array([row[1] for row in rows], np.int64),
        tests=np.array([row[0] for row in rows], bool),
        groups=groups,
        sizes=sizes,
        amiss=tuple(amiss),
        notes=(
            *notes,
            *_peculiar(view, recipe),
            *_doubtful(rows, names),
            *_told(rows, names, groups),
            *left_out(amiss),
        ),
    )
    return made


def _without_empty(found: Found, recipe: Recipe, where: str) -> tuple[Found, list[str]]:
    """Class folders without an image to train on are refused, or left out."""
    there = {one.label for one in found.items if not one.test} | {one.label for one in found.amiss if not one.test}
    empty = [name for name in found.classes or [] if name not in there]
    if not empty:
        return found, []
    if not recipe.drop_empty:
        raise Refusal(
            f"{where}: {len(empty)} class folders hold no image ({some(empty)}); --drop-empty leaves them out"
        )
    return found, [f"{len(empty)} class folders without images are left out ({some(empty)})"]


def _without_lost(items: Sequence[Item], amiss: Sequence[Amiss], recipe: Recipe, where: str) -> list[str]:
    """A class of which no training image will do is refused as an empty folder is, or left out with a note."""
    there = {one.label for one in items if not one.test}
    lost = sorted({one.label for one in amiss if not one.test} - there, key=natural)
    if lost and not recipe.drop_empty:
        more = f" ({len(lost)} have none: {some(lost)})" if len(lost) > 1 else ""
        raise Refusal(
            f"{where}: class {lost[0]!r} has no training image left when what will not do is left out{more}; mend some,"
            " or --drop-empty leaves the class out"
        )
    return [f"{len(lost)} classes are left out, of which no training image will do ({some(lost)})"] if lost else []


def _with_test(view: View, recipe: Recipe, where: str) -> tuple[list[Item], list[bytes]]:
    """The items with their digests, and where there is no test set, the share of each class that becomes it.

    That is the first by digest, which is as good as drawn and the same however files are named; copies of an image stay
    on one side.
    """
    digests = [seen.digest for seen in view.seen]
    if recipe.test_share is None:
        return view.items, digests
    if any(item.test for item in view.items):
        raise Refusal(f"{where} has a test set; leave out --test-share {recipe.test_share:g}")
    if any(item.group for item in view.items):
        chosen = set(share_of_groups(view.items, digests, recipe.test_share, where))
        return [item._replace(test=row in chosen) for row, item in enumerate(view.items)], digests
    by_class: dict[str, list[int]] = {}
    for row in sorted(range(len(digests)), key=digests.__getitem__):
        by_class.setdefault(view.items[row].label, []).append(row)
    chosen = set()
    for label, rows in by_class.items():
        wanted = max(1, round(recipe.test_share * len(rows)))
        while wanted < len(rows) and digests[rows[wanted - 1]] == digests[rows[wanted]]:
            wanted += 1
        if wanted >= len(rows):
            raise Refusal(
                f"{where}: class {label!r} has {len(rows)} image{'s' * (len(rows) > 1)}, too few to set"
                f" {recipe.test_share:g} of them aside and to train on one; give --test"
            )
        chosen |= set(rows[:wanted])
    return [item._replace(test=row in chosen) for row, item in enumerate(view.items)], digests


def _numbered(items: Sequence[Item], where: str) -> np.ndarray | None:
    """Numbers of groups, from 0 as they come; None where every image is one of its own. None lies in both parts."""
    trained = {item.group for item in items if not item.test and item.group}
    if torn := sorted({item.group for item in items if item.test} & trained, key=natural):
        raise Refusal(
            f"{where}: {len(torn)} groups have images in the training set and in the test set ({some(torn)}); move each"
            " to one, or give all as the training set with --test-share 0.2"
        )
    number: dict[object, int] = {}
    found = np.array([number.setdefault(item.group or k, len(number)) for k, item in enumerate(items)], np.int64)
    if len(number) == len(items):
        return None
    if len({group for group, item in zip(found.tolist(), items, strict=True) if item.test}) < 2:
        raise Refusal(f"{where}: all test images are of one group, which says nothing of others; give two or more")
    return found


def _told(rows: Sequence[tuple[bool, int, bytes, Item]], names: Sequence[str], groups: np.ndarray | None) -> list[str]:
    """What groups mean for results."""
    if groups is None:
        return []
    tests = np.array([row[0] for row in rows])
    training, testing = (len(np.unique(groups[tests == split])) for split in (False, True))
    notes = [
        f"images come in groups, {training:,} to train on and {testing:,} to test on: runs draw groups, and intervals"
        " are for new groups"
    ]
    of: dict[int, set[int]] = {}
    for (test, label, *_), group in zip(rows, groups.tolist(), strict=True):
        if not test:
            of.setdefault(label, set()).add(group)
    if single := [names[label] for label, own in of.items() if len(own) == 1]:
        notes.append(f"{_have(single)} one group of training images, which all runs see ({some(single)})")
    return notes


def _without_leaks(items: Sequence[Item], digests: Sequence[bytes]) -> tuple[list[Item], list[bytes], list[Amiss]]:
    """Without the training images whose bytes are in the test set too; and these."""
    tested = {digest for item, digest in zip(items, digests, strict=True) if item.test}
    leaks = [not item.test and digest in tested for item, digest in zip(items, digests, strict=True)]
    kept = [row for row, leak in enumerate(leaks) if not leak]
    amiss = [Amiss(item.shown, item.label, LEAKED) for item, leak in zip(items, leaks, strict=True) if leak]
    return [items[row] for row in kept], [digests[row] for row in kept], amiss


def _refuse_leaks(rows: Sequence[tuple[bytes, Item]], where: str) -> None:
    """The same bytes in the training set and in the test set."""
    trained = {digest: item for digest, item in rows if not item.test}
    leaks = [(trained[digest], item) for digest, item in rows if item.test and digest in trained]
    if leaks:
        pairs = some(f"{one.shown} = {other.shown}" for one, other in leaks)
        raise Refusal(
            f"{where}: {len(leaks)} test images are in the training set too, byte for byte ({pairs}); leave them out of"
            " one, as `ltbv images … --write POOL --bad skip` does of the training set, and lists them"
        )


def _own_sizes(rows: Sequence[tuple[bool, int, bytes, Item]], view: View, recipe: Recipe) -> np.ndarray | None:
    """`Plan.sizes`: of training images as they are, of test images what a network sees."""
    if not keeps_sizes(recipe.side):
        return None
    size_of = {seen.digest: seen.header.size for seen in view.seen if seen.header}
    found = np.array([brought(size_of[digest], recipe.side)[::-1] for _, _, digest, _ in rows], np.int64)
    tests = np.array([row[0] for row in rows])
    if (found[~tests] == recipe.side).all():
        return None
    found[tests] = seen_side(recipe.side)
    return found


def _key(
    rules: int,
    recipe: Recipe,
    channels: int,
    names: tuple[str, ...],
    rows: Iterable[tuple[bool, int, bytes, Item]],
    amiss: Iterable[Amiss],
    groups: np.ndarray | None,
) -> str:
    """16 hex digits; also of what is left out, so that a pool which says nothing of it is not taken for this one."""
    said = {name: value for name, value in asdict(recipe).items() if name in DECIDES}
    missing = sorted((_printable(one.label), one.kind, one.test) for one in amiss)
    digest = hashlib.sha256(json.dumps([rules, said, channels, names, missing], sort_keys=True).encode())
    for test, label, content, _ in rows:
        digest.update(bytes([test]) + label.to_bytes(4, "little") + content)
    if groups is not None:
        digest.update(b"groups" + groups.astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def _peculiar(view: View, recipe: Recipe) -> list[str]:
    """What was seen of files that do, counted."""
    small = sum(min(seen.header.size) < recipe.side for seen in view.seen if seen.header)
    notes = [f"{number} images {fact}" for fact, number in view.facts.most_common()]
    return [*notes, f"{small} images are smaller than {recipe.side} pixels, and enlarged"] if small else notes


def _doubtful(rows: Sequence[tuple[bool, int, bytes, Item]], names: Sequence[str]) -> list[str]:
    """What a reader of results should know of the classes."""
    notes = []
    train, test = (Counter(label for is_test, label, *_ in rows if is_test == split) for split in (False, True))
    twice = [b for a, b in pairwise(rows) if a[:3] == b[:3]]
    if twice:
        notes.append(f"{len(twice)} images are copies of others of their class ({some(b[3].shown for b in twice)})")
    labels: dict[tuple[bool, bytes], set[int]] = {}
    for is_test, label, digest, _ in rows:
        labels.setdefault((is_test, digest), set()).add(label)
    if torn := [digest for (_, digest), of in labels.items() if len(of) > 1]:
        paths = some(row[3].shown for row in rows if row[2] == torn[0])
        notes.append(f"{len(torn)} images are in several classes at once ({paths})")
    if single := [names[k] for k, n in train.items() if n == 1]:
        notes.append(f"{_have(single)} one training image, which all runs see ({some(single)})")
    if untested := [name for k, name in enumerate(names) if k not in test]:
        whom = "it" if len(untested) == 1 else "them"
        notes.append(f"{_have(untested)} no test image: no number speaks of {whom} ({some(untested)})")
    if close := alike(names):
        notes.append(f"{len(close)} class names differ only in how their letters are composed ({some(close)})")
    return notes


def _written(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Class names as they can be written anywhere, told apart."""
    found = tuple(_printable(name) for name in names)
    if long := [name for name in found if len(name) > LONGEST_NAME]:
        raise Refusal(f"{where}: a class name of {len(long[0]):,} letters, {long[0][:20]!r}…; at most {LONGEST_NAME}")
    if twice := [name for name, number in Counter(found).items() if number > 1]:
        raise Refusal(f"{where}: two classes would both be written {twice[0]!r}; rename one")
    return found


def _printable(name: str) -> str:
    """A class name as it can be written anywhere."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(r"\s", " ", "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


def _have(classes: Sequence[str]) -> str:
    return "1 class has" if len(classes) == 1 else f"{len(classes)} classes have"
