"""How far is each method from the reference, and how surely? The figure of the grid: nothing is measured here."""

from ltbv.report.evidence import HIGHER_IS_BETTER, SHOWN, SPLITS, Evidence
from ltbv.report.grid import axes
from ltbv.report.judgement import CLAIM, UNJUDGED
from ltbv.report.questions import WHY
from ltbv.report.topic import Drawing, Looks, Tables, Topic, nothing_new


def draw(tables: Tables, evidence: Evidence, looks: Looks) -> Drawing | None:
    """Nothing where no difference has an interval: of one method, or a run or two."""
    from ltbv.report import differences, lines

    shown = tables.grid[tables.grid["group"].isin(SPLITS) & tables.grid["reference_difference"].notna()]
    if not shown["difference_low"].notna().any():
        return None
    draws = differences.many if lines.are_many(looks) else differences.by_split
    reference = evidence.reference.label
    return Drawing(
        "differences",
        draws(shown, looks, axes(tables.grid)),
        shown,
        f"How far from {reference}, and how surely: paired differences, 95 % intervals; right of the line is better."
        " A filled mark is a claim, a hollow one an interval that excludes 0; grey is open, a grey cross not judged.",
        f"{_finding(tables, evidence)} The numbers are in the table of accuracy, bias and variance by split.",
    )


def _finding(tables: Tables, evidence: Evidence) -> str:
    """Which claims hold, and of how many methods."""
    of = tables.grid[tables.grid["group"].isin(SPLITS) & (tables.grid["method"] != evidence.reference.key)]
    sides: dict[bool, list[str]] = {True: [], False: []}
    for quantity in SHOWN:
        for split in SPLITS:
            own = of[(of["quantity"] == quantity) & (of["group"] == split) & (of["state"] == CLAIM)]
            better = (own["reference_difference"] > 0) == (quantity in HIGHER_IS_BETTER)
            for side, count in ((True, better.sum()), (False, (~better).sum())):
                sides[side] += [f"{quantity} in {split} ({count})"] * bool(count)
    number = len(evidence.methods) - 1
    who = f"{number} methods" if number > 1 else evidence.methods[1].label
    said = [f"{word}: {', '.join(sides[side]) or 'nothing'}." for side, word in ((True, "Better"), (False, "Worse"))]
    unjudged = (of["state"] == UNJUDGED).sum()
    return f"Claims of {who} against {evidence.reference.label}. {' '.join(said)} Not judged: {unjudged} of {len(of)}."


TOPIC = Topic(nothing_new, figures={"grid": draw}, question=WHY, leads=True)
