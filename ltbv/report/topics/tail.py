"""Does it help the tail? What the claim of the error in the tail says of each method, as its verdict has it."""

from ltbv.report import spoken
from ltbv.report.evidence import Evidence
from ltbv.report.questions import ALONE, NO_SPLITS, TAIL
from ltbv.report.sheet import Sheet
from ltbv.report.topic import Tables, Topic, nothing_new
from ltbv.report.verdict import NO, OF_TAIL, OPEN, YES


def answer(tables: Tables, evidence: Evidence) -> str:
    """How many are better, worse and open, and which gain most."""
    if evidence.train_counts is None:
        return NO_SPLITS
    if len(tables.verdicts) < 2:
        return tables.verdicts[0].said[OF_TAIL].text if tables.verdicts else ALONE
    of, number = spoken.by_answer(tables, "tail"), len(tables.verdicts)
    parts = [f"{len(of[YES])} of {number} better" if of[YES] else f"None of {number} is shown to be better"]
    parts += [f"{len(of[NO])} worse"] * bool(of[NO]) + [f"{len(of[OPEN])} open"] * bool(of[OPEN])
    return f"{', '.join(parts)}{spoken.leading(tables.splits, of[YES], evidence.ends[1], 'lead')}."


def sheet(tables: Tables, evidence: Evidence) -> Sheet:
    del evidence
    return spoken.sheet(tables, "tail", "Is the tail better?", OF_TAIL)


TOPIC = Topic(nothing_new, sheets={"claims": (sheet,)}, question=TAIL, answer=answer)
