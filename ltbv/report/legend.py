"""What must stand beside the grid so that it can be read? The same words in every form of the report."""

from collections.abc import Sequence

from ltbv.report.captions import MOST_NAMED, sizes
from ltbv.report.evidence import GROUPS, SHOWN, SPLITS, Evidence, ends
from ltbv.report.grid import Grid, GridCell
from ltbv.report.judgement import CLAIM, INTERVAL, OPEN, UNJUDGED
from ltbv.report.names import printable
from ltbv.report.sheet import WHY_DOUBTFUL
from ltbv.report.written import short

MARKS: dict[tuple[str, bool | None], str] = {  # (state, better)
    (CLAIM, True): "▸",
    (CLAIM, False): "◂",
    (INTERVAL, True): "▹",
    (INTERVAL, False): "◃",
}
PLAIN = {"▸": ">", "◂": "<", "▹": ")", "◃": "(", "±": "~", "†": "?", "─": "-", "…": "."}  # where an encoding lacks them
NEVER = "'all' is not among the nine claims of a method."
IN_ALL = {"all": "over all classes", **{split: f"in {split}" for split in SPLITS}}


def asides(groups: Sequence[str]) -> dict[str, str]:
    """The split that is the head of these groups, and that which is the tail: group -> which of the two."""
    return {split: end for split, end in zip(ends(groups), ("head", "tail"), strict=True) if split in groups}


def name(group: str, groups: Sequence[str]) -> str:
    """A group above its columns, and whether it is head or tail."""
    aside = asides(groups).get(group)
    return f"{group} ({aside})" if aside else group


def mark(cell: GridCell) -> str:
    """The mark of a cell; nothing where it is open, or of the reference."""
    if cell.state == UNJUDGED or (cell.why and cell.state != OPEN):
        return "†"
    return MARKS.get((cell.state, cell.better), "")


def said(cell: GridCell) -> str:
    """A cell's state in words, for those who do not see its mark."""
    if cell.state == UNJUDGED:
        return f"not judged: {cell.why}"
    side = "better" if cell.better else "worse"
    return {CLAIM: side, INTERVAL: f"{side}, no claim", OPEN: "open"}.get(cell.state, "")


def ranked(grid: Grid, *, halves: bool = False) -> str:
    """In what order methods stand; `halves` where the reference shows half its interval."""
    return f"{order(grid)}{on_top(grid)}{' with ± half its 95 % interval' * halves}."


def order(grid: Grid) -> str:
    group, quantity = grid.rank
    by = f"{quantity} {IN_ALL[group]}"
    return f"Kinds by their best member, methods by {by}" if len(grid.families) > 1 else f"Methods by {by}, best first"


def on_top(grid: Grid) -> str:
    return f"; {printable(grid.reference.label)}, the reference, on top"


def axes(grid: Grid) -> str:
    """Half the axis of each quantity; nothing where nothing is drawn."""
    shown = []
    for quantity, limit in grid.limits.items():
        if limit == limit:
            amount = f"{100 * limit:g} points" if quantity == "accuracy" else short(limit, "").rstrip("0")
            shown.append(f"{quantity} ±{amount}")
    return ", ".join(shown)


def unjudged(grid: Grid) -> list[str]:
    """Which cells are not judged, and why: a line for each reason. What the reference is not trusted in, no method is
    compared in."""
    lines = []
    for why, found in grid.unjudged.items():
        about: dict[str, list[str]] = {}
        for row, cells in found:
            about.setdefault(_cells(cells, grid.groups), []).append(printable(row.label))
        everywhere = _cells(found[0][1], grid.groups) if found[0][0] is grid.reference else ""
        parts = []
        for where, labels in about.items():
            whole = where == everywhere or len(labels) == len(grid.rows)
            more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
            parts.append(f"{'every method' if whole else ', '.join(labels[:MOST_NAMED]) + more}: {where}")
        line = "; ".join(parts)
        lines.append(f"{line[0].upper() if line.startswith('every method') else line[0]}{line[1:]}: {printable(why)}.")
    return lines


def doubtful(grid: Grid) -> str:
    """What must be said of a bias that no bias can be, if there is one."""
    return WHY_DOUBTFUL if any(cell.doubtful for row in grid.rows for cell in row.cells) else ""


def _cells(cells: Sequence[GridCell], all_groups: tuple[str, ...]) -> str:
    """'bias and variance in few', 'bias' where it is all groups."""
    groups_of: dict[tuple[str, ...], list[str]] = {}
    for quantity in SHOWN:
        if groups := tuple(group for group in GROUPS if any((group, quantity) == (c.group, c.quantity) for c in cells)):
            groups_of.setdefault(groups, []).append(quantity)
    return ", ".join(
        " and ".join(quantities) + ("" if groups == all_groups else f" in {', '.join(groups)}")
        for groups, quantities in groups_of.items()
    )


def classes(evidence: Evidence, group: str) -> str:
    """How many classes a group has, and of how many training images: '35 classes, 300 to 61 images'."""
    ids = evidence.groups[group]
    if not len(ids):
        return "no classes" if evidence.train_counts is not None else "not known"
    number = f"{len(ids)} class{'es' if len(ids) > 1 else ''}"
    if evidence.train_counts is None:
        return number
    counts = evidence.train_counts[ids]
    return number if group == "all" else f"{number}, {sizes(counts, ',')}"
