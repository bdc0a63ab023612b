"""What must a reader know before trusting an estimate? Lines to print, and the biases that no claim is made of.

One judgement serves both: where `cautions` warns of the bias of a group, `no_bias_claim` names the group.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ltbv.stats.fallen import fallen_runs
from ltbv.stats.intervals import Estimate
from ltbv.stats.measured import FEWEST_RUNS
from ltbv.stats.record import OF_ONE_SET, Record
from ltbv.stats.splits import ClassIds

WIDE_BRACKET = 0.10
FEW_AGREE = 0.4
SHARED = 0.01  # of a class, beyond which it is said
RECOMMENDED = 10  # runs, of each backbone where there are several
RECOMMENDED_BACKBONES = 6


def no_bias_claim(runs: int, *sides: Sequence[Estimate]) -> dict[str, str]:
    """Groups whose difference in bias is no claim, whatever its p: group -> why.

    runs   that the difference rests on: with fewer than 10 the correction of the bias is not to be relied on anywhere,
           and no number of the study itself tells where it fails
    sides  `summarize` of the method and of its reference. In a group where the votes of either are near uniform (mean
           n1/R below .4), or where the bracket from variance_low to variance_high of either is wider than .10, very
           many points are near a tie, and a correction is off by more than its interval shows
    """
    uniform, wide = (list(dict.fromkeys(group for side in sides for group in of(side))) for of in (_uniform, _wide))
    found = dict.fromkeys(wide, f"a bracket of the variance is wider than {WIDE_BRACKET:.2f}")
    found |= dict.fromkeys(uniform, "votes are near uniform")
    if runs < RECOMMENDED:
        groups = dict.fromkeys(one.group for side in sides for one in side)
        found = dict.fromkeys(groups, f"{runs} run{'s are' if runs != 1 else ' is'} fewer than {RECOMMENDED}")
    return found


def cautions(record: Record, estimates: Sequence[Estimate], groups: Mapping[str, ClassIds] | None = None) -> list[str]:
    """What a reader of `summarize(record, groups)` must know: lines to print under a table, or none.

    Named are: too few runs; runs that predict alike; runs far worse than the others (`fallen_runs` of the groups, or of
    all classes); groups whose accuracy is not above chance; groups without an interval; groups whose votes are near
    uniform (mean n1/R below .4), where no correction can be trusted; groups whose bracket [V, V_loo] is wider than .10;
    clusters; what runs share of their training images; what the scheme leaves out.
    """
    runs = record.runs_each
    lines, where = [], "" if record.backbones is None else " of each backbone"
    if runs < FEWEST_RUNS:
        hardly = "" if runs == 1 else ", and hardly anything is known of the variance"
        lines.append(
            f"{runs} run{'s' * (runs != 1)}{where}: no intervals (they need {FEWEST_RUNS} runs; {RECOMMENDED} are"
            f" recommended){hardly}."
        )
    elif runs < RECOMMENDED:
        lines.append(
            f"{runs} runs{where}: the correction of the bias cannot be relied on below {RECOMMENDED} runs, and no"
            " claim is made of it."
        )
    if record.backbones is not None and record.draws < RECOMMENDED_BACKBONES:
        lines.append(
            f"{record.draws} backbones: intervals are for new backbones, and so few hardly show how these differ: they"
            f" are wide, and a difference is seldom a claim; {RECOMMENDED_BACKBONES} are recommended."
        )
    runs = len(record.predictions)
    if runs > 1 and (same := runs - len({row.tobytes() for row in record.predictions})):
        lines.append(f"{same} of {runs} runs predict what another one does at every test point: copies of one run?")
    if fallen := fallen_runs(record, groups or {"all": np.unique(record.labels)}):
        named = f"run {_enumerate([*fallen])} is" if len(fallen) == 1 else f"runs {_enumerate([*fallen])} are"
        lines.append(
            f"{named} far less accurate than the others, in {_enumerate(_union(fallen.values()))}: did training fail?"
            " If some of new runs fail so too, few runs cannot say how often, and the intervals of error and variance"
            " cover less than they say; a claim of these is made only where no likely share of such runs undoes it."
        )
    classes = _number_of_classes(record)
    if guessed := [e.group for e in estimates if e.quantity == "accuracy" and classes > 1 and e.low <= 1 / classes]:
        lines.append(
            f"accuracy is not above chance (1 of {classes} classes) by its interval in {_enumerate(guessed)}: bias and"
            " variance there are those of guesses, or of classes that are never predicted."
        )
    if record.runs_each >= FEWEST_RUNS and (lone := _without_interval(estimates)):
        lines.append(
            f"no interval in {_enumerate(lone)}: it is one class with one test point, which says nothing of how other"
            " images of the class differ."
        )
    uniform = _uniform(estimates)
    wide = [name for name in _wide(estimates) if name not in uniform]
    if uniform:
        lines.append(
            f"votes are near uniform in {_enumerate(uniform)}: read the variance as the bracket from"
            " variance_low to variance_high, and do not trust the corrected bias; no claim is made of it."
        )
    if wide:
        lines.append(
            f"the bracket from variance_low to variance_high is wider than {WIDE_BRACKET:.2f} in"
            f" {_enumerate(wide)}: the interval of the bias may miss there, and no claim is made of it; more runs would"
            " narrow it."
        )
    if record.clusters is not None:
        number = len(np.unique(record.clusters))
        lines.append(f"{record.labels.size} test points come in {number} clusters: intervals are for new clusters.")
    return [*lines, *_of_pool(record), *_of_scheme(record)]


def _number_of_classes(record: Record) -> int:
    """C: of the class counts; where they are not known, of the labels that are there or were predicted."""
    if record.train_counts is not None:
        return len(record.train_counts)
    return np.union1d(record.labels, record.predictions).size


def _union(lists: Iterable[list[str]]) -> list[str]:
    return list(dict.fromkeys(name for names in lists for name in names))


def _of_pool(record: Record) -> list[str]:
    """What it means that runs draw their images from one pool."""
    if record.shared is None or record.scheme in OF_ONE_SET or not np.nanmax(record.shared, initial=0) >= SHARED:
        return []
    most, mean = np.nanmax(record.shared), np.nanmean(record.shared)
    widened = record.widening() ** 0.5
    done = f"taken {widened:.2f} times as large" if np.isfinite(widened) else "not given"
    return [
        f"two runs share, in the mean of all pairs, up to {most:.0%} of the images of a class, {mean:.0%} on average"
        " over classes. What they share moves every split, the tail too, whose own images they hardly share: the"
        " variance reads too low everywhere, and nothing mends that. The spread over runs behind the intervals of error"
        f" and bias is {done} for it."
    ]


def _bracket(estimates: Sequence[Estimate]) -> dict[str, list[float]]:
    """Group -> variance_low, variance_high."""
    value = {(one.group, one.quantity): one.estimate for one in estimates}
    names = dict.fromkeys(one.group for one in estimates)
    return {name: [value.get((name, f"variance_{end}"), np.nan) for end in ("low", "high")] for name in names}


def _uniform(estimates: Sequence[Estimate]) -> list[str]:
    return [name for name, (low, _) in _bracket(estimates).items() if low > 1 - FEW_AGREE]


def _wide(estimates: Sequence[Estimate]) -> list[str]:
    return [name for name, (low, high) in _bracket(estimates).items() if high - low > WIDE_BRACKET]


def _without_interval(estimates: Sequence[Estimate]) -> list[str]:
    """Groups with an estimate of the variance and no interval: what takes an interval from all quantities alike."""
    known = (one for one in estimates if one.quantity == "variance" and np.isfinite(one.estimate))
    return [one.group for one in known if np.isnan(one.se)]


def _of_scheme(record: Record) -> list[str]:
    lines = []
    if record.scheme in OF_ONE_SET:
        lines.append(
            f"scheme {record.scheme}: the variance is that of {OF_ONE_SET[record.scheme]}; it is not that of new"
            " training sets, and neither are the bias and the intervals."
        )
    if record.scheme == "stratified_bootstrap" and record.train_counts is not None:
        fixed = np.flatnonzero(np.asarray(record.train_counts) == 1).tolist()
        if fixed:
            lines.append(
                f"one training image in class {_enumerate(fixed)}: drawn with replacement within the class it"
                " never varies, so its own sampling is not in the variance."
            )
    return lines


def _enumerate(names: Sequence[object]) -> str:
    shown = ", ".join(str(name) for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
