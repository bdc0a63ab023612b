"""What does it cost the head? Whether its accuracy is kept, within the margin, as each verdict has it."""

from ltbv.report import spoken
from ltbv.report.evidence import Evidence
from ltbv.report.questions import ALONE, HEAD, NO_SPLITS
from ltbv.report.sheet import Sheet
from ltbv.report.topic import Tables, Topic, nothing_new
from ltbv.report.verdict import NO, OF_HEAD, OPEN, YES, Verdict


def answer(tables: Tables, evidence: Evidence) -> str:
    """With how many it is kept, open and worse, and which lose most."""
    if evidence.train_counts is None:
        return NO_SPLITS
    if len(tables.verdicts) < 2:
        return _of_one(tables.verdicts[0]) if tables.verdicts else ALONE
    of = spoken.by_answer(tables, "head")
    parts = [f"Kept by {len(of[YES]) or 'none'} of {len(tables.verdicts)}"]
    parts += [f"open with {len(of[OPEN])}"] * bool(of[OPEN]) + [f"worse with {len(of[NO])}"] * bool(of[NO])
    return f"{', '.join(parts)}{spoken.leading(tables.splits, of[NO], evidence.ends[0], 'cost most')}."


def _of_one(verdict: Verdict) -> str:
    """The verdict's answer, in words that answer this question."""
    _, numbers = verdict.said[OF_HEAD].text.split(": ", 1)
    said = {YES: "It is kept", NO: "It is worse", OPEN: "Open"}[verdict.head]
    return f"{said}: {numbers}"


def sheet(tables: Tables, evidence: Evidence) -> Sheet:
    del evidence
    asked = [verdict.said[OF_HEAD].question for verdict in tables.verdicts if OF_HEAD in verdict.said]
    return spoken.sheet(tables, "head", next(iter(asked), "Is the head kept?"), OF_HEAD)


TOPIC = Topic(nothing_new, sheets={"claims": (sheet,)}, question=HEAD, answer=answer)
