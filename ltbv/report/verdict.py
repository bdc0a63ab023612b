"""What do the numbers say of a method, in words? Every sentence is built from the tables; nothing is written by hand.

Five answers for each method but the reference: which way bias and variance went, the tail, the head, the exact test,
and what the study was too small to see. All rest on the claims: what is no claim, or may be none because a caution
stands at it (`no_claim`), is neither a headline nor an answer of yes or no.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ltbv.errors import Refusal
from ltbv.options import expect
from ltbv.report.claims import ALPHA, QUANTITIES
from ltbv.report.evidence import SPLITS, Evidence
from ltbv.stats.record import OF_ONE_SET

MARGIN = 0.01  # of accuracy: how much worse the head may be and still count as kept
YES, NO, OPEN, SAID = "yes", "no", "open", ""
UNTOLD = "It cannot be said"  # how an open answer begins where nothing is known, rather than nothing shown
# What an answer is about.
OF_CLAIMS, OF_TAIL, OF_HEAD, OF_EXACT, OF_UNSEEN = "claims", "tail", "head", "exact", "unseen"


@dataclass(frozen=True)
class Answer:
    """`answer` is yes, no, open (the numbers cannot say) or, where none fits, empty; `text` gives the numbers;
    `about` is OF_CLAIMS, OF_TAIL, …"""

    question: str
    answer: str
    text: str
    about: str


@dataclass(frozen=True)
class Verdict:
    """`headline` is a sentence for those who read one only. `tail` (is it better?) and `head` (is it kept?) are
    answers: yes, no or open."""

    method: str
    label: str
    headline: str
    answers: tuple[Answer, ...] = field(repr=False)
    tail: str = OPEN
    head: str = OPEN

    def __str__(self) -> str:
        return self.headline

    @property
    def said(self) -> dict[str, Answer]:
        """Answers by what they are about."""
        return {answer.about: answer for answer in self.answers}


def check_margin(margin: float) -> None:
    """Refuse what is no share of accuracy."""
    expect("margin", margin, float)
    if not 0 <= margin <= 1:  # NaN is neither
        raise Refusal(f"margin is {margin:g}; it is a share of accuracy from 0 to 1, such as 0.01 for one point of 100")


def verdicts(evidence: Evidence, splits: pd.DataFrame, claims: pd.DataFrame, margin: float) -> tuple[Verdict, ...]:
    """A verdict for each method but the reference, from the tables `splits` and `claims`."""
    accuracy = splits[splits["quantity"] == "accuracy"].set_index(["method", "group"])
    return tuple(
        _verdict(evidence, method.key, method.label, accuracy, claims[claims["method"] == method.key], margin)
        for method in evidence.methods[1:]
    )


def _verdict(
    evidence: Evidence, key: str, label: str, accuracy: pd.DataFrame, own: pd.DataFrame, margin: float
) -> Verdict:
    reference = evidence.reference.label
    if evidence.train_counts is None:
        why = "Training images are not known, so that no class is many, medium or few"
        return Verdict(
            key,
            label,
            f"{why}: nothing is claimed.",
            (Answer(f"Which claims hold against {reference}?", OPEN, f"{why}.", OF_CLAIMS),),
        )
    of_error = own[own["quantity"] == "error"].set_index("group")
    there = {split: evidence.points(split) > 0 for split in SPLITS}
    first, last = evidence.ends
    tail = _tail(accuracy.loc[(key, last)], _claim(of_error, last), last, there[last])
    head = _head(accuracy.loc[(key, first)], _claim(of_error, first), first, margin, there[first])
    answers = [_lowers(own, reference), tail, head]
    if own["sign_flip_p_holm"].notna().any():
        answers.append(_exact(own))
    if (missed := _unseen(own)) is not None:
        answers.append(missed)
    headline = _headline(own, reference, tail, head, there[first], there[last])
    if evidence.setting.scheme in OF_ONE_SET and any(answer.answer in (YES, NO) for answer in (tail, head)):
        headline = f"Of this one training set: {headline[0].lower()}{headline[1:]}"
    return Verdict(key, label, headline, tuple(answers), tail.answer, head.answer)


def _claim(of_error: pd.DataFrame, split: str) -> pd.Series | None:
    """The claim of the error in a split, if there is one to be tested."""
    known = split in of_error.index and np.isfinite(of_error.loc[split, "p_holm"])
    return of_error.loc[split] if known else None


def _headline(own: pd.DataFrame, reference: str, tail: Answer, head: Answer, any_head: bool, any_tail: bool) -> str:
    if own.empty or own["p_holm"].isna().all():
        return f"Too few runs to compare it with {reference}."
    the, a = ("the head", "a head") if any_tail else ("many-shot accuracy",) * 2  # without a tail there is no head
    tails = {YES: "a better tail", NO: "a worse tail", OPEN: "a tail that may not have changed"}
    heads = {YES: f"{the} kept", NO: f"{the} worse", OPEN: f"{a} that may be worse"}
    if tail.text.startswith(UNTOLD):
        tails[OPEN] = "a tail that cannot be judged" if any_tail else "no few-shot classes"
    if head.text.startswith(UNTOLD):
        heads[OPEN] = f"{a} that cannot be judged" if any_head else "no many-shot classes"
    found = _by_direction(own[(own["holds"] != "") & own["quantity"].isin(("bias", "variance"))])
    moved = f"{found[0].upper()}{found[1:]}" if found else "No change of bias or variance is shown"
    return f"{moved}; {tails[tail.answer]}, {heads[head.answer]}."


def _lowers(own: pd.DataFrame, reference: str) -> Answer:
    question = f"Which claims hold against {reference}?"
    if own.empty or own["p_holm"].isna().all():
        return Answer(question, OPEN, "None can be tested with so few runs.", OF_CLAIMS)
    holding = own[own["holds"] != ""]
    judged = own[own["no_claim"] == ""]
    only = judged[(judged["holds"] == "") & ((judged["low"] > 0) | (judged["high"] < 0))]
    rest = "" if only.empty else f" An interval excludes 0 and is no claim: {_by_direction(only)}."
    number = judged["p_holm"].notna().sum()
    text = f"{len(holding)} of {number} after Holm's correction" if number else "None can be judged"
    barred = own[(own["no_claim"] != "") & own["difference"].notna()]
    for why, of in barred.groupby("no_claim", sort=False):
        rest += f" No claim is made of {listed(_places(of))}: {why}."
    if holding.empty:
        return Answer(question, OPEN, f"{text}.{rest}", OF_CLAIMS)
    return Answer(question, SAID, f"{text}: {_by_direction(holding)}.{rest}", OF_CLAIMS)


def _by_direction(claims: pd.DataFrame) -> str:
    """'lower variance in many and few; higher bias in many', of these claims, whether they hold or not."""
    parts = []
    for direction, sign in (("lower", -1), ("higher", 1)):
        if named := _places(claims[claims["difference"] * sign > 0]):
            parts.append(f"{direction} {', '.join(named)}")
    return "; ".join(parts)


def _places(claims: pd.DataFrame) -> list[str]:
    """'variance in many and few', of each quantity that has some."""
    there = set(zip(claims["quantity"], claims["group"], strict=True))
    splits = {quantity: [split for split in SPLITS if (quantity, split) in there] for quantity in QUANTITIES}
    return [f"{quantity} in {listed(of)}" for quantity, of in splits.items() if of]


def _tail(few: pd.Series, claim: pd.Series | None, split: str, there: bool) -> Answer:
    """What the claim of the error in the tail, `split`, is, in accuracy; `there` says whether it has test points."""
    question = "Is the tail better?"
    if not there:
        return Answer(question, OPEN, f"{UNTOLD}: there are no {split}-shot test images.", OF_TAIL)
    if claim is None or not np.isfinite(few["difference_low"]):
        return Answer(question, OPEN, f"{UNTOLD}: no interval of the {split}-shot accuracy.", OF_TAIL)
    text = f"{split}-shot accuracy {_points(few)}"
    if claim["no_claim"]:
        return Answer(question, OPEN, f"{UNTOLD}: {text}, but {claim['no_claim']}.", OF_TAIL)
    if claim["holds"] == "lower":
        return Answer(question, YES, f"Yes: {text}.", OF_TAIL)
    if claim["holds"] == "higher":
        return Answer(question, NO, f"No, worse: {text}.", OF_TAIL)
    within = few["difference_low"] <= 0 <= few["difference_high"]
    return Answer(
        question, OPEN, f"Not shown: {text}, {'and 0 lies within' if within else 'which is no claim'}.", OF_TAIL
    )


def _head(many: pd.Series, claim: pd.Series | None, split: str, margin: float, there: bool) -> Answer:
    """Kept where the interval says so; worse where it says so and the claim of the error in the head, `split`, does."""
    allowed = f"{100 * margin:g} {'point' if margin == 0.01 else 'points'}"
    question = f"Is the head kept, not worse by more than {allowed}?"
    if not there:
        return Answer(question, OPEN, f"{UNTOLD}: there are no {split}-shot test images.", OF_HEAD)
    if claim is None or not np.isfinite(many["difference_low"]):
        return Answer(question, OPEN, f"{UNTOLD}: no interval of the {split}-shot accuracy.", OF_HEAD)
    text = f"{split}-shot accuracy {_points(many)}"
    if claim["no_claim"]:
        return Answer(question, OPEN, f"{UNTOLD}: {text}, but {claim['no_claim']}.", OF_HEAD)
    low, high = many["difference_low"], many["difference_high"]
    why = f"which reaches below -{allowed}"
    if np.isfinite(claim["high_fallen"]):  # of the error, whatever share of runs falls
        low, high = min(low, -claim["high_fallen"]), max(high, -claim["low_fallen"])
        why = "which may lie to either side of it if more runs fell, or none"
    if low >= -margin:
        return Answer(question, YES, f"Yes: {text}.", OF_HEAD)
    if high >= -margin:
        return Answer(question, OPEN, f"Not shown: {text}, {why}.", OF_HEAD)
    if claim["holds"] == "higher":
        return Answer(question, NO, f"No: {text}.", OF_HEAD)
    return Answer(question, OPEN, f"Not shown: {text}, which is no claim.", OF_HEAD)


def _exact(own: pd.DataFrame) -> Answer:
    question = "Does the exact sign-flip test agree?"
    told = own[(own["p_holm"] <= ALPHA) & own["sign_flip_p_holm"].notna() & (own["no_claim"] == "")]
    if told.empty:
        return Answer(question, OPEN, "There is no claim of error or variance for it to confirm.", OF_EXACT)
    differing = told[told["sign_flip_p_holm"] > ALPHA]
    if differing.empty:
        return Answer(
            question,
            YES,
            f"Yes, the two differ on these test images: in all {len(told)} claims of error and variance.",
            OF_EXACT,
        )
    return Answer(
        question, NO, f"Not everywhere: it leaves open {_by_direction(differing)}, which is no claim then.", OF_EXACT
    )


def _unseen(own: pd.DataFrame) -> Answer | None:
    """Of the claims left open: how large a true difference could have gone unseen?"""
    missed = own[(own["holds"] == "") & (own["no_claim"] == "") & own["detectable"].notna()]
    if missed.empty:
        return None
    sizes: dict[str, list[str]] = {quantity: [] for quantity in QUANTITIES}
    for quantity, group, size in zip(missed["quantity"], missed["group"], missed["detectable"], strict=True):
        sizes[quantity].append(f"{size:.3f} in {group}")
    found = [f"{quantity} {', '.join(of)}" for quantity, of in sizes.items() if of]
    text = f"At least one such study of five misses true differences below these: {'; '.join(found)}."
    return Answer("What could the study not have seen?", SAID, text, OF_UNSEEN)


def _points(row: pd.Series) -> str:
    low, high = 100 * row["difference_low"], 100 * row["difference_high"]
    return f"{100 * row['reference_difference']:+.1f} points ({low:+.1f} to {high:+.1f})"


def listed(words: Iterable[str]) -> str:
    """'a, b and c'."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
