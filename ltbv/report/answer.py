"""What does the report answer, in two sentences? Built from the verdicts and the grid; no word that is not a rule."""

from ltbv.report.evidence import SPLITS, Evidence
from ltbv.report.grid import Grid, GridCell, GridRow
from ltbv.report.judgement import CLAIM, UNJUDGED
from ltbv.report.names import printable
from ltbv.report.tables import Tables
from ltbv.report.training import MOVING
from ltbv.report.verdict import NO, OPEN, YES, listed
from ltbv.stats.record import OF_ONE_SET

PARTS = ("bias", "variance")
MIDDLE = SPLITS[1]
MOST_KEEPERS = 3  # that are named


def answer(tables: Tables, grid: Grid, evidence: Evidence) -> tuple[str, str]:
    """Do methods beat the reference in the tail, and keep the head? And where do bias and variance fall, and had
    training settled?

    The second is empty where there is nothing to say.
    """
    first, why = _answer(tables, grid, evidence)
    return first, " ".join(filter(None, [why, _unsettled(tables)]))


def _unsettled(tables: Tables) -> str:
    """That longer training may turn the answer, where that is so; `topics.training` cautions of it."""
    stages = tables.training.drop_duplicates(["method", "stage"])
    moving = int((stages["state"] == MOVING).sum())
    if not moving:
        return ""
    where = f" in {moving} of {len(stages)} stages" if len(stages) > 1 else ""
    return f"Training had not settled{where}: longer training may change this."


def _answer(tables: Tables, grid: Grid, evidence: Evidence) -> tuple[str, str]:
    verdicts = {verdict.method: verdict for verdict in tables.verdicts}
    reference = printable(evidence.reference.label)
    if not verdicts:
        return f"Only {reference} was measured: there is nothing to compare it with.", ""
    if evidence.train_counts is None:
        return tables.verdicts[0].headline, ""
    if all(verdict.headline.startswith("Too few runs") for verdict in tables.verdicts):
        return f"There are too few runs to compare with {reference}.", ""
    head, tail = evidence.ends
    if not evidence.points(tail):
        there = [split for split in SPLITS if split in evidence.present]
        of = f"All test images are of {there[0]}-shot classes" if there else "No test image is of a known split"
        said = f"{of}, so there is no tail to compare with that of {reference}"
        return f"{said}: other thresholds, many and few, make one.", _why(grid, tables, "")
    beating = [row for row in grid.others if verdicts[row.key].tail == YES]
    if len(verdicts) == 1:
        (verdict,) = verdicts.values()
        said = _of_one(printable(verdict.label), reference, verdict.tail, verdict.head)
    elif not beating:
        said = f"None of {len(verdicts)} methods is shown to beat {reference} in the tail"
    else:
        who = f"{_all(len(verdicts)).capitalize()} methods beat" if len(beating) == len(verdicts) else ""
        who = who or f"{len(beating)} of {len(verdicts)} methods{_named(beating)} beat{'s' * (len(beating) == 1)}"
        heads = {row.key: verdicts[row.key].head for row in beating}
        said = f"{who} {reference} in the tail; {_keepers(beating, heads)}"
    said += "; the head is medium here" * (head == MIDDLE) + "; the tail is medium here" * (tail == MIDDLE)
    if evidence.setting.scheme in OF_ONE_SET:
        first = said if len(verdicts) == 1 else said[0].lower() + said[1:]  # of one, it begins with a name
        said = f"Of this one training set: {first}"
    return f"{said}.", _why(grid, tables, tail)


def _of_one(label: str, reference: str, tail: str, head: str) -> str:
    tails = {
        YES: f"{label} beats {reference} in the tail",
        NO: f"{label} is worse than {reference} in the tail",
        OPEN: f"{label} is not shown to beat {reference} in the tail",
    }
    heads = {YES: "it keeps the head", NO: "it loses in the head", OPEN: "whether it keeps the head is open"}
    return f"{tails[tail]}; {heads[head]}"


def _named(rows: list[GridRow]) -> str:
    """', A and B,' of few methods; nothing of many."""
    return f", {listed(printable(row.label) for row in rows)}," if len(rows) <= MOST_KEEPERS else ""


def _keepers(beating: list[GridRow], heads: dict[str, str]) -> str:
    """Which of those that are better in the tail keep the head; 'is shown to' where it is open for others."""
    keeping = [row for row in beating if heads[row.key] == YES]
    open_too = any(head == OPEN for head in heads.values())
    one = "is shown to keep" if open_too else "keeps"
    if not keeping:
        if len(beating) == 1:
            return "whether it keeps the head is open" if open_too else "it loses in the head"
        return f"{'neither' if len(beating) == 2 else 'none of them'} {one} the head"
    if len(keeping) == len(beating):
        who = "both" if len(keeping) == 2 else "all of them"
        return "it keeps the head" if len(keeping) == 1 else f"{who} keep the head"
    if len(keeping) == 1:
        return f"only {printable(keeping[0].label)} {one} the head"
    if len(keeping) <= MOST_KEEPERS:
        return f"{listed(printable(row.label) for row in keeping)} also keep the head"
    return f"{len(keeping)} also keep the head, best {_best(keeping)}"


def _all(number: int) -> str:
    return "both" if number == 2 else f"all {number}"


def _best(rows: list[GridRow]) -> str:
    """By accuracy over all classes, however the grid is ranked."""
    return printable(max(rows, key=lambda row: row.at("all", "accuracy").estimate).label)


def _why(grid: Grid, tables: Tables, tail: str) -> str:
    """Of how many methods bias and variance fall in the tail, a split or empty; of one method, its headline."""
    others = grid.others
    if len(others) == 1:
        return tables.verdicts[0].headline
    if tail and all(_falls(row.at(tail, quantity)) for row in others for quantity in PARTS):
        return f"In the tail, bias and variance fall with {_all(len(others))} methods."
    before = f"{_in_the_tail(others, tail)}; variance" if tail else "Variance"
    falling = [row for row in others if any(_falls(row.at(split, "variance")) for split in SPLITS)]
    if not falling:
        return f"{before} is shown to fall nowhere."
    if len(falling) == 1:
        return f"{before} falls anywhere only with {printable(falling[0].label)}."
    some = _all(len(others)) if len(falling) == len(others) else f"{len(falling)} of all {len(others)}"
    return f"{before} falls in some split with {some}."


def _in_the_tail(others: tuple[GridRow, ...], tail: str) -> str:
    cells = {quantity: [row.at(tail, quantity) for row in others] for quantity in PARTS}
    judged = {quantity: sum(cell.state != UNJUDGED for cell in own) for quantity, own in cells.items()}
    falls = {quantity: sum(map(_falls, own)) for quantity, own in cells.items()}
    if judged["bias"] == judged["variance"] > 0:
        number = judged["bias"]
        judgeable = f"the {number} methods that can be judged" if number > 1 else "the one that can be judged"
        whole = "the two" if number == 2 else f"all {number}"
        of = whole if number == len(others) else judgeable
        return f"In the tail, bias falls with {falls['bias']} and variance with {falls['variance']} of {of}"
    some = [quantity for quantity, number in judged.items() if number]
    if len(some) == len(judged):
        (b, of_b), (v, of_v) = ((falls[quantity], judged[quantity]) for quantity in ("bias", "variance"))
        return f"In the tail, bias falls with {b} of {of_b} and variance with {v} of {of_v} that can be judged"
    if not some:
        return "In the tail, neither bias nor variance can be judged"
    (one,), (other,) = some, set(judged) - set(some)
    methods = f"{judged[one]} method{'s' * (judged[one] > 1)}"
    return f"In the tail, {one} falls with {falls[one]} of {methods}, and {other} can be judged for none"


def _falls(cell: GridCell) -> bool:
    return cell.state == CLAIM and bool(cell.better)
