"""Which of the nine claims of a method hold? They are judged in `report.claims`, and what may be said of each number
of the grid in `report.judgement`; here claims are laid out."""

from ltbv.report import captions, spoken
from ltbv.report import claims as of_claims
from ltbv.report.claims import ALPHA
from ltbv.report.evidence import GROUPS, Evidence
from ltbv.report.judgement import UNJUDGED, judged
from ltbv.report.measured import Measured
from ltbv.report.questions import TRUST
from ltbv.report.sheet import BETTER, METHOD, SPLIT, UNCLEAR, WORSE, Cell, Column, Sheet, number, word
from ltbv.report.topic import Finding, Tables, Topic
from ltbv.report.verdict import OF_CLAIMS, OF_EXACT, OF_UNSEEN
from ltbv.stats.doubts import RECOMMENDED


def measure(measured: Measured) -> Finding:
    """`claims`: see `report.claims`; `grid`: see `report.judgement`."""
    evidence, estimates = measured.evidence, measured.estimates
    flips = of_claims.flips(evidence, measured.records, wanted=measured.flipped)
    doubts = of_claims.barred(estimates, evidence)
    claims = of_claims.claims(measured.differences, flips, estimates, evidence, doubts)
    return Finding({"claims": claims, "grid": judged(measured.by_split, claims, doubts, evidence)})


def sheet(tables: Tables, evidence: Evidence) -> Sheet:
    """The nine claims of each method."""
    names = evidence.names
    lines = []
    for row in tables.claims[tables.claims["group"].isin(evidence.present)].itertuples():
        mark = {"lower": BETTER, "higher": WORSE, "": UNCLEAR}[row.holds]
        ends = (row.low, row.high) if row.low == row.low else (None, None)
        claim = row.holds or ("not made" if row.no_claim and row.p_holm <= ALPHA else "open")
        lines.append(
            (
                word(names[row.method]),
                word(row.quantity),
                word(row.group, GROUPS.index(row.group)),
                Cell(row.difference, sign="+", low=ends[0], high=ends[1], mark=mark),
                Cell(claim, mark=mark),
                Cell(row.p_holm, "p"),
                Cell(row.sign_flip_p_holm, "p"),
                number(row.detectable),
                number(row.pairing_gain, digits=1),
            )
        )
    return Sheet(
        "claims",
        "The nine claims of each method",
        f"Differences from {evidence.reference.label}, corrected, with their intervals; p after Holm's correction for"
        " nine claims, from t, and from the exact sign-flip test of whether the methods differ at all on these test"
        " images: where that was done, a claim of error or variance needs both. No claim is made of a bias with fewer"
        f" than {RECOMMENDED} runs, or where the votes of one side are near uniform or near a tie."
        f" {captions.looks(evidence)} Detectable: the true difference that"
        " four of five such studies find, before Holm's correction. Pairing: standard error without"
        f" pairing over that with it. {captions.short(evidence)}",
        (
            METHOD,
            Column("quantity", numeric=False, filtered=True),
            SPLIT,
            Column("difference (interval)"),
            Column("claim", numeric=False, filtered=True),
            Column("p (Holm)"),
            Column("p exact (Holm)"),
            Column("detectable"),
            Column("pairing"),
        ),
        tuple(lines),
    )


def in_words(tables: Tables, evidence: Evidence) -> Sheet:
    """Which claims hold, whether the exact test agrees, and what could not be seen."""
    del evidence
    return spoken.sheet(tables, "in_words", "The claims in words", OF_CLAIMS, OF_EXACT, OF_UNSEEN)


def answer(tables: Tables, evidence: Evidence) -> str:
    """Runs, methods that are not judged somewhere, and how many cautions there are."""
    numbers = sorted({len(evidence.paired_runs(method)) for method in evidence.methods[1:]})
    runs = sorted({len(method.runs) for method in evidence.methods})
    least, most = (numbers or runs)[0], (numbers or runs)[-1]
    parts = [f"{least if least == most else f'{least} to {most}'} {'paired ' * bool(numbers)}run{'s' * (most != 1)}"]
    partly = tables.grid.loc[tables.grid["state"] == UNJUDGED, "method"].nunique()
    parts += [f"{partly} of {len(tables.verdicts)} methods partly not judged"] if partly else []
    if tables.claims["p_holm"].notna().any():
        parts.append(f"claims corrected for the nine of a method, {(tables.claims['holds'] != '').sum()} hold")
    elif numbers:
        parts.append("nothing can be claimed")
    number = len(tables.cautions)
    parts.append(f"{number} caution{'s' * (number != 1)}" if number else "no cautions")
    return f"{'; '.join(parts)}."


TOPIC = Topic(measure, sheets={"claims": (in_words, sheet)}, always=True, question=TRUST, answer=answer)
