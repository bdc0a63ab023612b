"""How did the R runs vote on a test point, and how would any subset of them have voted?

A run votes with the label it predicts. Every quantity of the zero-one loss depends on a point's votes alone, and every
correction and interval asks for the same quantity without some runs. So each distinct label of a point keeps the *set*
of runs that voted for it, as bits of 32-bit words: the votes within any subset of runs are then one `and` and one
bit count a label. No table of points x classes exists, so memory does not grow with the number of classes.

Axes: R runs, N test points (n of them in a block), K distinct labels among the votes of a point (at most R),
W words of 32 runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ltbv.errors import Refusal, unknown
from ltbv.stats.keyed import keyed, matched, plain

TIES = ("fractional", "lowest")
WORD = 32
BLOCK = 32_768  # points handled at once: the rows of a block stay in the processor's cache


def blocks(points: int, size: int = BLOCK) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover `points` test points."""
    return (slice(start, min(start + size, points)) for start in range(0, points, size))


def check_labels(labels: np.ndarray, num_classes: int | None = None) -> np.ndarray:
    """`labels` as an array (N,) of class ids, intp, or a Refusal that says what is wrong with them."""
    labels = plain(labels, "labels")
    _refuse_no_ids("labels", labels)
    if labels.ndim != 1 or labels.size == 0:
        raise Refusal(f"labels must be one class id for each test point, (N,) with N > 0; got shape {labels.shape}")
    if num_classes is not None and labels.max() >= num_classes:
        raise Refusal(
            f"labels go up to {labels.max()}, but there are {num_classes} classes: give ids 0 to {num_classes - 1}"
        )
    return labels.astype(np.intp, copy=False)  # what is counted with them must not overflow


def check_predictions(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`predictions` (R, N) and `labels` (N,) as integer arrays, or a Refusal that says what is wrong with them.

    Test points of tables are matched by their index: the order is that of the labels.
    """
    labels, (points,) = keyed(labels, "labels", 1)
    labels = check_labels(labels)
    predictions, (_, own) = keyed(predictions, "predictions", 2)
    _refuse_no_ids("predictions", predictions)
    if predictions.ndim != 2 or predictions.shape[0] == 0:
        raise Refusal(
            f"predictions must be (R, N), one row for each run; got shape {predictions.shape}"
            " (a single run is predictions[None])"
        )
    if predictions.shape[1] != labels.size:
        raise Refusal(
            f"predictions are for {predictions.shape[1]} test points and labels for {labels.size};"
            " give predictions as (runs, points)"
        )
    return matched(predictions, 1, own, points, "predictions", "labels"), labels


def check_ties(ties: str) -> None:
    """Refuses a tie rule that labels alone cannot decide."""
    if ties == "prob":
        raise Refusal(
            "ties 'prob' needs probabilities; here only labels are known, so give 'fractional' or 'lowest'"
            " (zero_one takes ties='prob' with probabilities=)"
        )
    if ties not in TIES:
        raise unknown("tie rule", ties, TIES)


def _refuse_no_ids(name: str, values: np.ndarray) -> None:
    if values.dtype.kind not in "iu":
        raise Refusal(
            f"{name} must be integer class ids; got {values.dtype}. Take the argmax over classes, or convert"
            " with .astype(int) if they are whole numbers"
        )
    if values.size and values.min() < 0:
        raise Refusal(f"{name} must be class ids from 0; the lowest is {values.min()}")
    if values.size and values.max() > np.iinfo(np.intp).max:
        raise Refusal(f"{name} must be class ids; {values.max()} is none")


def subset_words(runs: np.ndarray, total: int) -> np.ndarray:
    """The bits of a subset of runs, (W,) uint32; `total` is R. Example: runs 0 and 2 of 3 are the word 0b101."""
    member = np.zeros(-(-total // WORD) * WORD, np.uint32)
    member[np.asarray(runs, int)] = 1
    return (member.reshape(-1, WORD) << np.arange(WORD, dtype=np.uint32)).sum(1, dtype=np.uint32)


@dataclass(frozen=True)
class Ballots:
    """The votes of R runs on n points, as sets of runs.

    voters  (W, K, n) uint32  bit r of row k is set if run r voted for the k-th distinct label of the point
    labels  (K, n)            that label; rows at and beyond a point's number of distinct labels are padding
    true    (W, n) uint32     the runs that voted for the true label
    below   (K, n) bool       the label is a lower class id than the true one
    reach   (K,) int          points are ordered so that row k matters for the first reach[k] points only
    order   (n,) int          position, in the block given to `of`, of each point
    size    R
    """

    voters: np.ndarray
    labels: np.ndarray
    true: np.ndarray
    below: np.ndarray
    reach: np.ndarray
    order: np.ndarray
    size: int

    @classmethod
    def of(cls, predictions: np.ndarray, labels: np.ndarray) -> "Ballots":
        """Sorts the votes of `predictions` (R, n) on points with true `labels` (n,)."""
        runs, points = predictions.shape
        words = [slice(start, min(start + WORD, runs)) for start in range(0, runs, WORD)]
        bits = np.uint32(1) << (np.arange(runs, dtype=np.uint32) % np.uint32(WORD))[:, None]

        def voters_of(agree: np.ndarray) -> np.ndarray:
            return np.stack([np.bitwise_or.reduce(np.where(agree[word], bits[word], np.uint32(0))) for word in words])

        # One round a distinct label: the first run not yet counted names it. Points drop out when all runs are counted.
        here = np.arange(points)
        votes, uncounted = predictions, np.ones((runs, points), bool)
        rows, names = [], []
        distinct = np.zeros(points, np.intp)
        while here.size:
            name = votes[uncounted.argmax(0), np.arange(here.size)]
            agree = votes == name
            rows.append((here, voters_of(agree)))
            names.append(name)
            distinct[here] += 1
            uncounted &= ~agree
            left = np.flatnonzero(uncounted.any(0))
            here, votes, uncounted = here[left], votes[:, left], uncounted[:, left]

        order = np.argsort(-distinct, kind="stable")
        place = np.empty(points, np.intp)
        place[order] = np.arange(points)
        voters = np.zeros((len(words), len(rows), points), np.uint32)
        label_rows = np.zeros((len(rows), points), predictions.dtype)
        for k, ((here, words_here), name) in enumerate(zip(rows, names, strict=True)):
            voters[:, k, place[here]] = words_here
            label_rows[k, place[here]] = name
        true = voters_of(predictions == labels)[:, order]
        reach = np.array([here.size for here, _ in rows])
        return cls(voters, label_rows, true, label_rows < labels[order], reach, order, runs)

    def at(self, chosen: np.ndarray) -> "Ballots":
        """The same ballots on some of the points; `chosen` are ascending indices into this object's own order."""
        reach = np.searchsorted(chosen, self.reach)
        rows = int(np.count_nonzero(reach))
        return Ballots(
            self.voters[:, :rows, chosen],
            self.labels[:rows, chosen],
            self.true[:, chosen],
            self.below[:rows, chosen],
            reach[:rows],
            self.order[chosen],
            self.size,
        )

    def kinds(self) -> tuple["Ballots", np.ndarray]:
        """One point of each kind, and the kind of each point (n,). Points are of a kind if as many runs are right and
        the runs split into as many votes: then whatever is a mean over *all* subsets of some size is the same, unless
        ties go by class id. For at most 12 runs."""
        everyone = subset_words(np.arange(self.size), self.size)
        votes = np.zeros(self.labels.shape, np.uint8)
        for k, reach in enumerate(self.reach):
            votes[k, :reach] = self._count(self.voters[:, k, :reach], everyone)
        key = self.true_votes(everyone).astype(np.uint64)
        for row in np.sort(votes, axis=0):
            key = key * np.uint64(self.size + 1) + row
        _, first, kind = np.unique(key, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        return self.at(first[order]), place[kind]

    def true_votes(self, subset: np.ndarray) -> np.ndarray:
        """Votes for the true label within a subset of runs (see `subset_words`): (n,)."""
        return self._count(self.true, subset)

    def main_weight_true(self, subset: np.ndarray, ties: str) -> np.ndarray:
        """Weight of the true label in the main prediction of a subset of runs, w_y (n,) float64: see `zero_one`."""
        true = self.true_votes(subset)
        beaten = true == 0
        level = np.zeros_like(true)  # labels with exactly as many votes as the true one, itself included
        for k, reach in enumerate(self.reach):
            votes = self._count(self.voters[:, k, :reach], subset)
            rival = true[:reach]
            beaten[:reach] |= votes > rival
            if ties == "lowest":
                beaten[:reach] |= (votes == rival) & self.below[k, :reach]
            else:
                level[:reach] += votes == rival
        won = ~beaten
        if ties == "lowest":
            return won.astype(np.float64)
        return np.divide(won, level, out=np.zeros(won.size), where=won)

    def tally(self, subset: np.ndarray) -> "Tally":
        """The vote levels within a subset of runs."""
        votes = [self._count(self.voters[:, k, :reach], subset) for k, reach in enumerate(self.reach)]
        first = votes[0].copy()
        for row in votes[1:]:
            np.maximum(first[: row.size], row, out=first[: row.size])
        leaders, runners_up = np.zeros_like(first), np.zeros_like(first)
        squares = np.zeros(first.size, np.uint32)
        for row in votes:
            best = first[: row.size]
            leaders[: row.size] += row == best
            runners_up[: row.size] += (row + row.dtype.type(1) == best) & (row > 0)
            wide = row.astype(np.uint32)
            squares[: row.size] += wide * wide
        return Tally(first, leaders, runners_up, squares)

    def _count(self, voters: np.ndarray, subset: np.ndarray) -> np.ndarray:
        """Bits of `voters` (W, n) within the subset (W,): (n,), uint8 as long as R fits."""
        counts = (np.bitwise_count(word & bits) for word, bits in zip(voters, subset, strict=True))
        if self.size > 255:
            counts = (count.astype(np.uint16) for count in counts)
        return reduce(np.add, counts)


@dataclass(frozen=True)
class Tally:
    """Vote levels at n points, within a subset of runs.

    first       (n,) n1, the votes of the leading label
    leaders     (n,) t, how many labels have n1 votes
    runners_up  (n,) s, how many labels have n1 - 1 > 0 votes
    squares     (n,) sum of n_k^2 over labels: the ordered pairs of runs that agree, a run with itself included
    """

    first: np.ndarray
    leaders: np.ndarray
    runners_up: np.ndarray
    squares: np.ndarray

    def variance(self, runs: int) -> np.ndarray:
        """V = 1 - n1/R (n,), for a subset of `runs` runs."""
        return 1.0 - self.first / runs

    def variance_loo(self, runs: int) -> np.ndarray:
        """V_loo = V + (n1/R) kappa (n,): see `zero_one`. NaN for a single run."""
        if runs < 2:
            return np.full(self.first.shape, np.nan)
        # 1 where tied; where one label leads by one vote over s others, it ties with them without its own vote.
        kappa = np.where(self.leaders > 1, 1.0, self.runners_up / (self.runners_up + 1.0))
        return self.variance(runs) + self.first / runs * kappa

    def half_disagreement(self, runs: int) -> np.ndarray:
        """Half the share of pairs of runs that differ (n,): Kohavi and Wolpert's unbiased variance. NaN for one run."""
        if runs < 2:
            return np.full(self.first.shape, np.nan)
        return (runs**2 - self.squares.astype(np.float64)) / (2 * runs * (runs - 1))
