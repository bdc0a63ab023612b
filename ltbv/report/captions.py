"""What must stand beside a table so that it can be read? How the runs came about, and what an interval means."""

from collections.abc import Collection

import numpy as np

from ltbv.report.evidence import SPLITS, Evidence
from ltbv.report.names import printable
from ltbv.report.rows import LEVEL

MOST_NAMED = 8  # methods in a sentence


def setting(evidence: Evidence) -> list[str]:
    """Data, classes, scheme with what two runs share, runs: a sentence or two each."""
    of, counts = evidence.setting, evidence.train_counts
    images = "training images not known" if counts is None else f"{int(counts.sum()):,} training images a run"
    present = {name: ids for name in SPLITS if len(ids := evidence.splits[name])}
    shape = {"head": of.head, "imbalance": of.imbalance and f"{of.imbalance:g}"}
    said = ", ".join(f"{name} {value}" for name, value in shape.items() if value is not None)
    parts = [
        f"{len(evidence.class_names)} classes",
        images + (f" ({said})" if said else ""),
        f"{evidence.labels.size:,} test points",
        *([f"{of.epochs} epochs"] if of.epochs is not None else []),
        *([f"seed {of.seed}"] if of.seed is not None else []),
        *_augmented(evidence),
    ]
    shares = {name: of.shared[ids][np.isfinite(of.shared[ids])] for name, ids in present.items()}
    means = [f"{values.mean():.1%} in {name}" for name, values in shares.items() if values.size]
    overlap = ""
    if means:
        most = f"{np.nanmax(of.shared):.1%} of the class that they share most of, {', '.join(means)}"
        overlap = f"; two runs share, in the mean of all pairs, {most}"
    return [
        f"{printable(of.dataset)}: {', '.join(parts)}.",
        *classes(evidence),
        f"Scheme {printable(of.scheme)}{overlap}.",
        *_given(evidence),
        *of.made,
        f"Runs R: {_runs(evidence)}.",
    ]


def _augmented(evidence: Evidence) -> list[str]:
    """The augmentation, where it is not the protocol's own, and micro-batches, which batch norm sees."""
    name, parts = evidence.setting.augmentation, evidence.setting.protocol.get("micro_batch")
    said = [f"augmentation {printable(name)}"] if name else []
    return said + ([f"micro-batches of {parts} images"] if isinstance(parts, int) else [])


GIVEN = "variance of the head, given this backbone"


def given(evidence: Evidence) -> str:
    """Whose variance it is, where heads were trained on features; else nothing."""
    of = evidence.setting
    if len(of.backbones) > 1:
        return f"variance of the head, given its backbone, mean over {len(of.backbones)} backbones"
    return "" if of.backbone is None else GIVEN


def _given(evidence: Evidence) -> list[str]:
    """What made the features, and what their variance leaves out; nothing where networks were trained."""
    if (about := evidence.setting.backbone) is None:
        return []
    if number := len(several := evidence.setting.backbones):
        named = list(dict.fromkeys(filter(None, map(printable, several))))
        who = f" ({'; '.join(named[:MOST_NAMED])}{' …' if len(named) > MOST_NAMED else ''})" if named else ""
        return [
            f"Features of {number} frozen backbones{who}; run r is on backbone r mod {number}. Error, bias and variance"
            f" are those of the {given(evidence).removeprefix('variance of the ')}; their intervals are for new"
            " backbones of this kind. What a new backbone adds to the variance is in the table of backbone and head"
            " alone."
        ]
    who = f" ({printable(about)})" if about else ""
    return [
        f"Features of one frozen backbone{who}, the same in all runs: every variance is the {GIVEN}; what the backbone"
        " varies by is not in it, and counts as bias."
    ]


def sizes(counts: Collection[float], thousands: str = "") -> str:
    """From the most to the fewest images of some classes: '300 to 61 images'; where these are one number, '1 image'."""
    most, fewest = int(max(counts)), int(min(counts))
    least = f" to {fewest:{thousands}}" if fewest < most else ""
    return f"{most:{thousands}}{least} image{'s' * (most != 1)}"


def classes(evidence: Evidence) -> list[str]:
    """How many classes are many, medium and few, and of how many training images; nothing where that is not known."""
    if (counts := evidence.train_counts) is None:
        return []
    present = ((name, ids) for name in SPLITS if len(ids := evidence.splits[name]))
    splits = [f"{name} {len(ids)} ({sizes(counts[ids])})" for name, ids in present]
    return [f"Classes: {', '.join(splits)}."] if splits else []


def _runs(evidence: Evidence) -> str:
    """Of each method; of many methods, those with one number of runs together."""
    if len(evidence.methods) <= MOST_NAMED:
        return ", ".join(f"{printable(method.label)} {len(method.runs)}" for method in evidence.methods)
    by_runs: dict[int, list[str]] = {}
    for method in evidence.methods:
        by_runs.setdefault(len(method.runs), []).append(printable(method.label))
    if len(by_runs) == 1:
        return f"{next(iter(by_runs))} of each of {len(evidence.methods)} methods"
    return "; ".join(f"{runs} of {', '.join(labels)}" for runs, labels in sorted(by_runs.items(), reverse=True))


SCHEMES = {  # what a run is trained on
    "subsample": "subsample",
    "fresh": "fresh draw",
    "stratified_bootstrap": "bootstrap resample of one training set, class by class,",
    "bootstrap": "bootstrap resample of one training set",
}


def provenance(evidence: Evidence) -> str:
    """Where the numbers come from, in one sentence."""
    of, counts = evidence.setting, evidence.train_counts
    runs = sorted({len(method.runs) for method in evidence.methods})
    many = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    number = len(evidence.methods)
    who = f"{many} run{'s' * (runs[-1] > 1)} of " + (f"each of {number} methods" if number > 1 else methods(evidence))
    images = "training images not known"
    if counts is not None:
        images = f"{int(counts.sum()):,} images ({counts.max():,} to {counts.min():,} a class)"
    if of.scheme in SCHEMES:
        trained = f"each on its own {SCHEMES[of.scheme]} of {images}"
    else:
        trained = f"scheme {printable(of.scheme)}, {images}"
    parts = [f"{who}, {trained}" + (f", {of.epochs} epoch{'s' * (of.epochs != 1)}" if of.epochs is not None else "")]
    parts += [*_augmented(evidence), f"{evidence.labels.size:,} test images"]
    shares: list[str] = []
    for split in (SPLITS[0], SPLITS[-1]):
        known = of.shared[evidence.splits[split]]
        if np.isfinite(known).any():
            shares.append(f"{100 * np.nanmean(known):.2g} %{'' if shares else ' of a class'} in {split}")
    parts += [f"two runs share {', '.join(shares)}"] if shares and of.scheme in SCHEMES else []
    parts += filter(None, [given(evidence)])
    return f"{printable(of.dataset)}: {'; '.join(parts)}."


def methods(evidence: Evidence) -> str:
    """Their names, or how many they are."""
    names = evidence.names.values()
    return ", ".join(map(printable, names)) if len(names) <= MOST_NAMED else f"{len(names)} methods"


def short(evidence: Evidence) -> str:
    """The setting within a line, for the caption of every table and figure."""
    of = evidence.setting
    runs = sorted({len(method.runs) for method in evidence.methods})
    many = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    finite = of.shared[np.isfinite(of.shared)]
    ends = f"{finite.min():.1%} to {finite.max():.1%}" if finite.size else ""
    shared = f", two runs share in the mean {ends} of a class" if ends else ""
    counts, images = evidence.train_counts, "training images not known"
    if counts is not None:
        images = f"{counts.max()} to {counts.min()} training images a class"
    whose = "".join(f"; {said}" for said in [*_augmented(evidence), given(evidence)] if said)
    return (
        f"{printable(of.dataset)}, scheme {printable(of.scheme)}, {images}{shared}, R = {many},"
        f" N = {evidence.labels.size:,}{whose}."
    )


HALF = f"± half the {LEVEL:.0%} interval, for new training runs and new test images"
INTERVAL = f"{HALF}, which may reach below 0 or above 1, where no share is"
INTERVAL_OF_LOSS = f"{HALF}, which may reach below 0, where no loss is"


def looks(evidence: Evidence) -> str:
    """How often the study was read, as far as is known, and what that costs: see `stats.compare`."""
    of = evidence.setting.looks
    known = "where two methods do not differ, at most 2.7 % of simulated studies have a claim"
    if len(of) < 2:
        return (
            "Nothing is corrected for reading a study again after it has grown: say how often it was read"
            f" ({known} at 10, 15 or 20 runs)."
        )
    *most, last = map(str, of)
    return (
        f"This is look {len(of)} at a study that grows (at {', '.join(most)} and {last} runs), and nothing is corrected"
        f" for that: say so ({known} at any of three looks, at 10, 15 and 20 runs;"
        f" {'more or closer looks were' if len(of) > 3 else 'others were'} not simulated)."
    )


def paired(evidence: Evidence) -> str:
    """What a difference is and what its star means."""
    reference = printable(evidence.reference.label)
    return f"Differences from {reference} are paired by run; * where the interval excludes 0"
