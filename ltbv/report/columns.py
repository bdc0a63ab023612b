"""What is in each CSV of a report, and what does each column mean? `tables/NAME.csv` and `figures/NAME.csv`.

Columns are those that the code makes tables with; the reference of the documentation is written from here.
"""

from dataclasses import dataclass

from ltbv import stats
from ltbv.report import claims, rows
from ltbv.report.topics import (
    additions,
    backbones,
    confusion_flow,
    cost,
    every_class,
    hardest_negatives,
    lost_classes,
    training,
)


@dataclass(frozen=True)
class Table:
    """
    rows        what a row is, and when there are any
    columns     in their order
    quantities  what stands in the column `quantity`, with its meaning
    """

    rows: str
    columns: tuple[str, ...]
    quantities: tuple[str, ...] = ()


SHOWN = ("accuracy", "bias", "variance")
GRID = ("method", "group", "quantity", *rows.COLUMNS[3:6], *rows.DIFFERENCE[:3], "state", "why")
PROFILE = ("group", "class_name", "split", "train_count", "pool_size", "shared")
PROBABILITY = tuple(f"{loss}{part}" for loss in ("brier", "cross_entropy") for part in ("", "_bias", "_variance"))

TABLES = {
    "splits": Table(
        "a method, a group of classes (all, many, medium, few) and a quantity",
        rows.COLUMNS,
        ("error", *SHOWN, "variance_low", "variance_high", "unbiased_variance", "biased_variance", "hits")
        + ("kw_bias", "kw_variance"),
    ),
    "classes": Table("a method, a class and a quantity", (*rows.COLUMNS, "class_name", "split", "train_count"), SHOWN),
    "claims": Table(
        "one of the nine claims of a method, {error, bias, variance} x {many, medium, few}, against the reference",
        claims.COLUMNS,
        claims.QUANTITIES,
    ),
    "grid": Table("a cell of the grid at the top of a report", GRID, SHOWN),
    "hardest_negatives": Table(
        "a method, a group and what is said of the scores of hardest negatives; where probabilities are known",
        rows.COLUMNS,
        ("mean", "share_above_true", "quantile_Q", "distance_to_reference"),
    ),
    "gaps": Table(
        "a method and a quantity of its hardest negatives: few minus many", rows.COLUMNS, ("mean", "share_above_true")
    ),
    "flows": Table("a method, the split of the true class and that of its hardest negative", confusion_flow.FLOW),
    "pairs": Table(
        f"a method and one of the {confusion_flow.TOP} pairs of a class of few and a wrong class that cost it most",
        confusion_flow.PAIRS,
    ),
    "costs": Table(
        "a method whose network's cost is known", ("method", *cost.COLUMNS, *(f"{one}_ratio" for one in cost.COLUMNS))
    ),
    "experts": Table("a method with a router and a group", rows.COLUMNS, ("experts_used",)),
    "usage": Table(
        "a method with a router, a group and a number of experts", (*rows.COLUMNS, "experts"), ("experts_used_K",)
    ),
    "routed_costs": Table(
        "a method with a router, a group and a cost",
        (*rows.COLUMNS, "full", "share"),
        ("routed_macs", "routed_macs_with_norm"),
    ),
    "additions": Table("a method, the one that it is built on, a group and a quantity", additions.COLUMNS, SHOWN),
    "families": Table(
        "a method of a family whose members differ in their number of experts, a group and a quantity",
        ("family", "experts", *rows.COLUMNS),
        SHOWN,
    ),
    "lost_classes": Table("a method of a study in which some run's sample lost a class", tuple(lost_classes.COLUMNS)),
    "training": Table("a stage and a run, of studies whose stage files are there", tuple(training.STAGES)),
    "other_scores": Table(
        "a method, a group and a score of other papers",
        (*rows.COLUMNS, "varies"),
        ("micro_accuracy", "accuracy_training", "accuracy_forward_K", "accuracy_backward_K", "macro_f1")
        + ("geometric_mean", "worst_class", "wins", "top_K_accuracy", "calibration_error", "overconfidence", "brier"),
    ),
    "probability_losses": Table(
        "a method whose logits are kept, a group and a part of a loss", rows.COLUMNS, PROBABILITY
    ),
    "backbones": Table(
        "a method, a group and a part of the variance; where runs stand on several backbones",
        rows.COLUMNS,
        tuple(backbones.SHOWN),
    ),
    "diversity": Table(
        "a method with the logits of each expert, a group and a part of its cross-entropy",
        rows.COLUMNS,
        stats.EXPERT_PARTS,
    ),
}
FIGURES = {
    "differences": Table("a mark: those of tables/grid.csv", GRID, SHOWN),
    "bias_variance": Table("a mark", (*rows.COLUMNS, "state", "why"), SHOWN),
    "by_class": Table("a method, a bin of classes of like size and a quantity", tuple(every_class.OF_BIN), SHOWN),
    "counts": Table("a class, most training images first", PROFILE),
    "hardest_negatives": Table("a bin of a histogram", hardest_negatives.HISTOGRAM),
    "flow": Table("as tables/flows.csv", confusion_flow.FLOW),
    "usage": Table("as tables/usage.csv", (*rows.COLUMNS, "experts"), ("experts_used_K",)),
    "additions": Table("as tables/additions.csv", additions.COLUMNS, SHOWN),
    "experts": Table("as tables/families.csv", ("family", "experts", *rows.COLUMNS), SHOWN),
    "training": Table("a stage, a run and an epoch", tuple(training.CURVES)),
}

MEANINGS = {
    "method": "key of the method",
    "group": "all, many, medium, few; of a single class, its id",
    "quantity": "what was measured, see below the table",
    "estimate": "corrected for the number of runs; mean over classes",
    "low": "lower end of the 95 % interval for new training runs and new test images",
    "high": "its upper end",
    "plug_in": "uncorrected, as published tables have it: compare at equal numbers of runs only",
    "reference_difference": "method minus reference, corrected and paired by run; empty for the reference",
    "difference_low": "lower end of the interval of that difference",
    "difference_high": "its upper end",
    "p": "two-sided p of the difference, before Holm's correction",
    "runs": "number of runs",
    "points": "test points of the group",
    "class_name": "name of the class",
    "split": "many, medium or few",
    "train_count": "training images of the class in one run",
    "difference": "method minus reference, corrected and paired by run",
    "p_holm": "p after Holm's correction for the nine claims of the method",
    "holds": "lower or higher where the claim holds, else empty",
    "no_claim": "why nothing is claimed whatever p is, else empty",
    "detectable": "the smallest true difference that four of five such studies find",
    "pairing_gain": "standard error of the difference if runs were not paired, over that of the paired one",
    "low_fallen": "how far down the interval reaches if more or fewer runs fell out; empty where none did",
    "high_fallen": "how far up",
    "sign_flip_p": "p of the exact sign-flip test; empty where it was not done, and for the bias",
    "sign_flip_p_holm": "that after Holm's correction",
    "state": "what may be said: reference, unjudged, claim, interval or open",
    "why": "the caution that stands at the number, else empty",
    "true": "split of the true class",
    "negative": "split of its hardest negative",
    "true_name": "its name",
    "negative_name": "its name",
    "negative_split": "its split",
    "mass": "mean probability that test points of the true class lose to it, where it is their hardest negative",
    "expected": "that if all wrong classes were equally likely",
    "ratio": "mass over expected",
    "parameters": "numbers that the network learns",
    "macs": "multiply-adds of one image, all experts asked",
    "macs_with_norm": "those and the ones of batch norm",
    "training_images_times_macs": "multiply-adds of one image times images seen in training, all stages",
    "parameters_ratio": "times the reference's",
    "macs_ratio": "times the reference's",
    "macs_with_norm_ratio": "times the reference's",
    "training_images_times_macs_ratio": "times the reference's",
    "experts": "number of experts",
    "full": "what it costs to ask all experts",
    "share": "estimate over full",
    "base": "key of the method that it is built on",
    "base_estimate": "estimate of that method",
    "base_low": "lower end of its interval",
    "base_high": "upper end",
    "family": "what the methods have in common",
    "unseen": "predictions of a class that the run's sample had no image of",
    "predictions": "all predictions of those runs",
    "stage": "name of the stage",
    "methods": "keys of all methods that stand on it",
    "run": "number of the run, from 0",
    "epochs": "number of epochs",
    "epoch": "from 1",
    "first_loss": "mean loss of the first epoch",
    "last_loss": "mean loss of the last epoch",
    "last_accuracy": "training accuracy of the last epoch, 0-1",
    "loss_moved": "what the loss moved in the last tenth of the epochs, as a share of all that it fell",
    "accuracy_moved": "what training accuracy rose in the last tenth of the epochs, 0-1",
    "collapsed": "how the run shows that its training collapsed, else empty",
    "varies": "what the interval is for: runs and points, or runs",
    "loss": "mean loss of the epoch",
    "accuracy": "training accuracy of the epoch, 0-1",
    "first": "place of the bin's first class in the order by training images",
    "last": "place of its last class",
    "pool_size": "images of the class that runs draw from",
    "shared": "share of the class's images that two runs have in common, 0-1",
    "left": "lower edge of the bin",
    "right": "upper edge",
    "density": "share of scores in the bin, over its width",
}
IN_TABLE = {  # where a word means something else than elsewhere
    ("pairs", "true"): "id of the true class",
    ("pairs", "negative"): "id of the wrong class",
    ("pairs", "low"): "lower end of the 95 % interval of mass, for new training runs",
    ("training", "state"): "of the stage, from all its runs: whether it had settled by its last epoch",
    ("families", "reference_difference"): "method minus reference; 0 for the reference",
    ("additions", "difference"): "method minus base, corrected and paired by run",
}
QUANTITIES = {
    "error": "how often a run is wrong, 0-1",
    "accuracy": "1 - error",
    "bias": "what remains wrong when the runs vote, 0-1",
    "variance": "how often a run departs from the vote, 0-1",
    "variance_low": "plug-in variance: the variance lies between this, in expectation, and the next",
    "variance_high": "departures from the vote of the other runs",
    "unbiased_variance": "the part of the variance that adds to the error: departures where the vote is right",
    "biased_variance": "departures where the vote is wrong",
    "hits": "right answers where the vote is wrong: error = bias + unbiased_variance - hits, in plug_in",
    "kw_bias": "squared bias of Kohavi and Wolpert",
    "kw_variance": "variance of Kohavi and Wolpert",
    "mean": "mean score of the hardest negative",
    "share_above_true": "how often the hardest negative has a higher score than the true class",
    "quantile_Q": "a quantile of that score, over runs and points; without interval",
    "distance_to_reference": "how far its distribution lies from the reference's; without interval",
    "experts_used": "mean number of experts asked",
    "experts_used_K": "share of test points for which exactly K were asked",
    "routed_macs": "multiply-adds spent on a test point",
    "routed_macs_with_norm": "with those of batch norm",
    "micro_accuracy": "mean over test points instead of classes",
    "accuracy_training": "accuracy under the class frequencies of the training set",
    "accuracy_forward_K": "under a long tail of imbalance K in the training set's order",
    "accuracy_backward_K": "under one in the reverse order",
    "macro_f1": "mean of the F1 scores of the classes",
    "geometric_mean": "geometric mean of the classes' accuracies",
    "worst_class": "accuracy of the worst class",
    "wins": "how often a run is more accurate than one of the reference",
    "top_K_accuracy": "how often the true class is among the K most likely",
    "calibration_error": "squared calibration error, less what chance adds",
    "overconfidence": "mean confidence minus accuracy",
    "brier": "Brier score",
    "brier_bias": "Brier score of the mean probabilities",
    "brier_variance": "mean squared distance of a run's probabilities from their mean",
    "cross_entropy": "cross-entropy, in nats",
    "cross_entropy_bias": "cross-entropy of the mean logits of all runs",
    "cross_entropy_variance": "mean Kullback-Leibler divergence of a run from these",
    "expert_bias": "of a single expert, in nats",
    "expert_variance": "of a single expert, in nats",
    "bias_over_backbones": "error - variance_over_backbones: a bias for new backbones, of Kohavi and Wolpert's parts",
    "variance_over_backbones": "half the chance that two heads on different backbones differ",
    "backbone_variance": "the part of it that the backbone makes",
    "head_variance": "half the chance that two heads on one backbone differ",
    "diversity": "what averaging the experts' logits gains: loss = expert_bias + expert_variance - diversity",
    "ensemble_loss": "cross-entropy of the mean of the experts' logits, in nats",
}


def meaning(table: str, column: str) -> str:
    """What a column of a table means."""
    return IN_TABLE.get((table, column)) or MEANINGS[column]
