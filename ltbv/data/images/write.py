"""How is a pool written? Once, by one command, in blocks that a kill does not lose; it has its name when it is whole.

Blocks are decoded by threads in the order of the plan, so the bytes do not depend on how many there are, on kills, or
on who began.
"""

import contextlib
import hashlib
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from ltbv.data.ahead import in_threads
from ltbv.data.images import pool
from ltbv.data.images.decode import DAMAGED, Bad, pixels, ready
from ltbv.data.images.items import Amiss
from ltbv.data.images.look import Tell, complaint, left_out, read
from ltbv.data.images.plan import Plan
from ltbv.data.images.recipe import OWN_SIZES, RULES, seen_side
from ltbv.data.strip import middle
from ltbv.errors import Refusal
from ltbv.files import read_json, refuse_if_closed, remove, write_arrays, write_bytes, write_json, writing

BLOCK, BLOCK_BYTES = 512, 2**26  # images, and their bytes, between two marks of what is done: at most
CHUNK = 2**19  # pixels that are summed at once
PATIENCE = 600.0  # seconds without a new block after which another command is no longer waited for
FORGOTTEN = 14 * 86_400.0  # seconds since a block was added
PROGRESS = "blocks.json"


def write(plan: Plan, where: Path, where_from: str, tell: Tell = lambda done, of: None, *, mend: bool = False) -> Path:
    """The pool of a plan at `where`; one that is there already is left as it is, another one is refused.

    where_from   what the images were found in, for refusals
    mend         one that is not whole is made anew, and what was decoded is not kept where files will not do
    """
    refuse_if_closed(where.parent)
    part = where.with_name(f".{where.name}-{plan.key}.part")
    with writing(where), contextlib.suppress(FileNotFoundError):  # the folder is made; too long a name is refused
        os.lstat(part)
    if not os.path.lexists(where):
        _check_space(plan, part)
    elif not mend:
        _is_there(plan, where)
    with _alone(where, part):
        if mend and os.path.lexists(where) and not pool.is_whole(where, plan.key):
            remove(where)
        if not _is_there(plan, where):
            _sweep(where, part)
            with writing(part):
                part.mkdir(exist_ok=True)
            try:
                made = _decoded(plan, part, tell)
            except BaseException:
                if not (part / PROGRESS).exists():  # no block was finished: nothing to go on with
                    remove(part)
                raise
            if made.holes and plan.recipe.bad == "refuse":
                if mend:
                    remove(part)
                raise complaint(where_from, _amiss(plan, made.holes), len(plan.files))
            _describe(plan, part, made)
            with writing(where):
                os.replace(part, where)
            remove(where / PROGRESS)
    return where


def _sweep(where: Path, part: Path) -> None:
    """Remove what was begun and never ended: of other images at this place, and beside it, what nobody touched long."""
    mine = f".{where.name}-"
    for old in where.parent.glob(".*-*.part"):
        with contextlib.suppress(OSError, Refusal):
            if (
                old == part
                or not re.fullmatch(r"\..*-[0-9a-f]{16}\.part", old.name)
                or not (old / pool.PIXELS).is_file()
            ):
                continue  # in hand, or nothing of ours
            if old.name.startswith(mine) or time.time() - old.stat().st_mtime > FORGOTTEN:
                remove(old)


def _is_there(plan: Plan, where: Path) -> bool:
    if not os.path.lexists(where):
        return False
    if not pool.is_pool(where):
        raise Refusal(f"{where} exists and is no pool of images; give another name")
    if (there := pool.open_pool(where)).key != plan.key:
        raise Refusal(f"{where} holds other images (key {there.key}, not {plan.key}); delete it or give another name")
    there.check()
    return True


@contextlib.contextmanager
def _alone(where: Path, part: Path) -> Iterator[None]:
    """Only one command writes a pool; the others wait as long as it gets on."""
    lock = FileLock(where.with_name(f".{where.name}.lock"))
    since, seen = time.monotonic(), 0.0
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            with contextlib.suppress(OSError):
                if (newest := (part / PROGRESS).stat().st_mtime) != seen:
                    since, seen = time.monotonic(), newest
            if time.monotonic() - since > PATIENCE:
                raise Refusal(
                    f"{where} is being made by another command, stuck for {PATIENCE / 60:.0f} minutes"
                ) from None
        except (OSError, NotImplementedError) as error:
            raise Refusal(f"cannot lock {lock.lock_file}: {error}; give another place with --write") from error
    try:
        yield
    finally:
        if pool.is_pool(where):  # whoever waits finds it made
            with contextlib.suppress(OSError):
                os.unlink(lock.lock_file)
        lock.release()


def _check_space(plan: Plan, part: Path) -> None:
    needed = int(plan.starts[-1])
    with contextlib.suppress(OSError):
        there = (part / pool.PIXELS).stat()
        needed -= min(needed, there.st_blocks * 512)
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        room = f"{part.parent} has {free:,} bytes free"
        raise Refusal(f"{room}, and the pool needs {needed:,}; give a smaller --side, or another disk with --write")


class Made(NamedTuple):
    """Checksums of all blocks, rows of files that will not do with their faults, rows that a camera turned."""

    checksums: list[int]
    holes: dict[int, str]
    turned: list[int]


def _blocks(plan: Plan) -> list[range]:
    """Rows of each block."""
    found, start, n = [], 0, len(plan.files)
    while start < n:
        most = int(np.searchsorted(plan.starts, plan.starts[start] + BLOCK_BYTES, "right")) - 1
        found.append(range(start, max(start + 1, min(start + BLOCK, most, n))))
        start = found[-1].stop
    return found


def _decoded(plan: Plan, part: Path, tell: Tell) -> Made:
    """Decode what is missing."""
    blocks = _blocks(plan)
    with writing(part / pool.PIXELS), ready(plan.recipe.max_pixels):
        descriptor = os.open(part / pool.PIXELS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.ftruncate(descriptor, int(plan.starts[-1]))
            done = _whole_blocks(plan, blocks, part, descriptor)
            for rows in blocks:
                if str(rows.start) not in done:
                    done[str(rows.start)] = _block(plan, rows, descriptor)
                    write_json(part / PROGRESS, done)
                tell(rows.stop, len(plan.files))
        finally:
            os.close(descriptor)
    every = [done[str(rows.start)] for rows in blocks]
    holes = {int(row): kind for block in every for row, kind in block["bad"].items()}
    return Made([block["crc32"] for block in every], holes, [row for block in every for row in block.get("turned", ())])


def _whole_blocks(plan: Plan, blocks: Sequence[range], part: Path, descriptor: int) -> dict[str, Any]:
    """Blocks that an earlier command finished and whose bytes are there."""
    try:
        said = read_json(part / PROGRESS) if (part / PROGRESS).exists() else {}
        return {
            str(rows.start): said[str(rows.start)]
            for rows in blocks
            if str(rows.start) in said and _is_whole(plan, rows, said[str(rows.start)], descriptor)
        }
    except (ValueError, TypeError, KeyError, AttributeError):  # a Refusal is a ValueError
        return {}


def _is_whole(plan: Plan, rows: range, block: dict[str, Any], descriptor: int) -> bool:
    first, behind = (int(plan.starts[row]) for row in (rows.start, rows.stop))
    marked = [*map(int, block["bad"]), *([] if plan.sizes is None else block["turned"])]
    fits = all(row in rows for row in marked) and all(isinstance(kind, str) for kind in block["bad"].values())
    return fits and zlib.crc32(os.pread(descriptor, behind - first, first)) == block["crc32"]


def _block(plan: Plan, rows: range, descriptor: int) -> dict[str, Any]:
    """Decode and write one block, and wait until the disk has it."""
    bad, turned, parts = {}, [], []

    def one(row: int) -> np.ndarray | Bad:
        try:
            data = read(plan.files[row])
            if hashlib.sha256(data).digest() != plan.digests[row]:
                raise Refusal(f"{plan.shown[row]} has changed since it was looked at; run the command again")
            return _pixels(plan, row, data)
        except Bad as fault:
            return fault

    for row, made in zip(rows, in_threads(one, rows), strict=True):
        if isinstance(made, Bad):
            bad[str(row)] = str(made)
            parts.append(bytes(plan.starts[row + 1] - plan.starts[row]))
            continue
        parts.append(made.tobytes())
        if plan.sizes is not None and made.shape[:2] != tuple(plan.sizes[row]):
            turned.append(row)
    content = b"".join(parts)
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written:], int(plan.starts[rows.start]) + written)
    os.fsync(descriptor)
    return {"crc32": zlib.crc32(content), "bad": bad, **({} if plan.sizes is None else {"turned": turned})}


def _pixels(plan: Plan, row: int, data: bytes) -> np.ndarray:
    """What the pool has of an image."""
    if plan.sizes is None:
        return pixels(data, plan.recipe, plan.channels)
    if plan.tests[row]:
        return middle(pixels(data, plan.recipe, plan.channels), seen_side(plan.recipe.side))
    found = pixels(data, plan.recipe, plan.channels, whole=True)
    if sorted(found.shape[:2]) != sorted(plan.sizes[row]):
        raise Bad(DAMAGED)  # no image of the size that its file says
    return found


def _amiss(plan: Plan, holes: dict[int, str]) -> list[Amiss]:
    """What was found to be amiss when it was decoded."""
    labels, tests = (plan.class_names[k] for k in plan.labels[sorted(holes)]), plan.tests[sorted(holes)]
    rows = zip(sorted(holes), labels, tests, strict=True)
    return [Amiss(plan.shown[row], label, holes[row], bool(test)) for row, label, test in rows]


def _describe(plan: Plan, part: Path, made: Made) -> None:
    """All files beside the pixels, pool.json last."""
    rows = np.array([row for row in range(len(plan.files)) if row not in made.holes], np.int64)
    labels, tests, classes = plan.labels[rows], plan.tests[rows], len(plan.class_names)
    train, test = (np.bincount(labels[tests == split], minlength=classes) for split in (False, True))
    if not train.all():
        name = plan.class_names[int(np.argmin(train))]
        raise Refusal(f"class {name!r} has no training image left when what will not do is left out")
    amiss = [*plan.amiss, *_amiss(plan, made.holes)]
    groups = {} if plan.groups is None else {"groups": plan.groups[rows]}
    index = {"rows": rows, "labels": labels, "tests": tests, **groups, **_places(plan, rows, made.turned)}
    write_arrays(part / pool.INDEX, index)
    listed = ((plan.shown[r], plan.class_names[k], "test" if t else "train", plan.digests[r].hex(), *map(str, group))
              for r, k, t, *group in zip(rows, labels, tests, *groups.values(), strict=True))  # fmt: skip
    write_bytes(part / pool.FILES, pool.table(("path", "class", "split", "sha256", *("group" for _ in groups)), listed))
    if amiss:
        write_bytes(part / pool.LEFT_OUT, pool.table(("path", "class", "why"), (one[:3] for one in amiss)))
    mean, std = _moments(plan, part, rows[~tests])
    notes = [note for note in plan.notes if note not in left_out(plan.amiss)]
    said = {
        "rules": RULES if plan.sizes is None else OWN_SIZES,
        "name": plan.name,
        "key": plan.key,
        "side": plan.recipe.side,
        "channels": plan.channels,
        "mirrors": plan.recipe.mirrors,
        **({"groups": True} if groups else {}),
        "class_names": list(plan.class_names),
        "train_counts": train.tolist(),
        "test_counts": test.tolist(),
        "mean": mean,
        "std": std,
        "rows": len(plan.files),
        **_cut(plan),
        "checksums": made.checksums,
        "notes": [*notes, *left_out(amiss)],
        "made_with": {name: version(name) for name in ("pillow", "numpy")},
    }
    write_json(part / pool.DESCRIPTION, said)


def _places(plan: Plan, rows: np.ndarray, turned: list[int]) -> dict[str, np.ndarray]:
    """Where images of their own sizes lie, and how high and wide they are."""
    if plan.sizes is None:
        return {}
    sizes = plan.sizes.copy()
    sizes[turned] = sizes[turned, ::-1]
    heights, widths = sizes[rows].T.astype(np.uint16)
    return {"starts": plan.starts[rows], "heights": heights, "widths": widths}


def _cut(plan: Plan) -> dict[str, Any]:
    """How pixels are cut into blocks: rows of each; or the first row and byte of each, and all bytes."""
    if plan.sizes is None:
        return {"block": min(BLOCK, BLOCK_BYTES // int(plan.starts[1]))}
    starts = [[rows.start, int(plan.starts[rows.start])] for rows in _blocks(plan)]
    return {"blocks": starts, "bytes": int(plan.starts[-1])}


def _moments(plan: Plan, part: Path, rows: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the training pixels by channel, in units of [0, 1]; exact sums, any order.

    Training images lie first, and what is left out among them is zero.
    """
    trained = int(plan.starts[np.count_nonzero(~plan.tests)])
    mapped = np.memmap(part / pool.PIXELS, np.uint8, "r", shape=(trained // plan.channels, plan.channels))
    first, second = (np.zeros(plan.channels, np.int64) for _ in range(2))
    for start in range(0, len(mapped), CHUNK):
        values = mapped[start : start + CHUNK].astype(np.int64)
        first += values.sum(0)
        second += (values**2).sum(0)
    n = int((plan.starts[rows + 1] - plan.starts[rows]).sum()) // plan.channels
    mean = first / n
    variance = np.maximum(second / n - mean**2, 0)
    return (mean / 255).tolist(), np.maximum(np.sqrt(variance) / 255, 1 / 255).tolist()
