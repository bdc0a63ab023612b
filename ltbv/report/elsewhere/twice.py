"""Does a file say a thing twice, and not alike? Predictions beside scores, right or wrong, the share that is right.

What is said twice is compared, and a caution says what is used and how often the other differs. Where the two agree no
more than chance has it, rows stand in two orders or are of two models, and that is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ltbv.errors import Refusal
from ltbv.report.elsewhere.roles import plain

RIGHT = ("correct", "is_correct", "correctly_classified", "hit", "hits", "right", "is_right")
SHARES = ("accuracy", "acc", "top1", "top_1", "top1_acc", "top1_accuracy", "test_acc", "test_accuracy")
NEAR = 0.006  # of a share that was rounded to percent


@dataclass(frozen=True)
class Claims:
    """What a file says of what can be worked out.

    right   name of a field -> (n,) 0 or 1: is the row's prediction right?
    shares  name of a field -> (n,) how many of a run are, 0 to 1 or in percent
    """

    right: dict[str, np.ndarray] = field(default_factory=dict)
    shares: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "Claims":
        """Those of the fields (n,) that are called so, and whose values can be that."""
        right, shares = {}, {}
        for name, values in arrays.items():
            numbers = _numbers(values)
            if plain(name) in RIGHT and np.isin(numbers, (0, 1)).all():
                right[name] = numbers == 1
            elif plain(name) in SHARES and ((numbers >= 0) & (numbers <= 100)).all():
                shares[name] = numbers
        return cls(right, shares)

    def check(self, found: np.ndarray, true: np.ndarray, run_of: np.ndarray, path: Path) -> list[str]:
        """What is claimed beside the truth: a line on each that differs. `found`, `true` (n,) are class ids."""
        lines, is_right = [], found == true
        for name, claimed in self.right.items():
            refuse_chance(claimed, is_right, f"{path}: {name!r} says right or wrong as label and prediction do")
            if differ := int((claimed != is_right).sum()):
                lines.append(
                    f"{path.name} has {name!r}, which label and prediction contradict in {differ:,} of {true.size:,}"
                    " rows; these two are used."
                )
        for name, claimed in self.shares.items():
            for run in range(int(run_of.max()) + 1):
                own = run_of == run
                if np.ptp(claimed[own]) > 0:
                    break  # of each row, whatever it is
                lines += _of_share(f"{path.name} has {name!r}", claimed[own][0], is_right[own], true[own])
        return lines


def _numbers(values: np.ndarray) -> np.ndarray:
    """(n,) float64, NaN for what is no number; yes and no are 1 and 0."""
    if values.dtype.kind not in "OUS":
        return values.astype(np.float64)
    words = pd.Series(values.astype(np.str_)).str.strip().str.lower().replace({"true": "1", "false": "0"})
    return pd.to_numeric(words, errors="coerce").to_numpy(np.float64)


def _of_share(what: str, claimed: float, is_right: np.ndarray, true: np.ndarray) -> list[str]:
    of_class = np.bincount(true, is_right) / np.maximum(1, np.bincount(true))
    mean, of_classes = is_right.mean(), of_class[np.unique(true)].mean()
    shares = (claimed, claimed / 100) if claimed > 1 else (claimed,)
    if any(abs(share - there) <= NEAR for share in shares for there in (mean, of_classes)):
        return []
    return [f"{what} {claimed:.4g}, but {mean:.1%} of its predictions are the label; these are used."]


def refuse_chance(one: np.ndarray, other: np.ndarray, what: str) -> None:
    """Refuses class ids (n,) that differ, and agree no more often than if one of them were shuffled.

    By chance sum_k p_k q_k of n agree, p and q the shares of class k on both sides; three standard errors are allowed.
    """
    size, differ = one.size, int((one != other).sum())
    classes = int(max(one.max(), other.max())) + 1
    p, q = (np.bincount(ids.astype(np.intp), minlength=classes) / size for ids in (one, other))
    chance = float((p * q).sum())
    if 10 * differ <= size or max(p.max(), q.max()) > 0.9:
        return  # few, or one of them is nearly constant, whatever the order
    if 1 - differ / size <= chance + 3 * np.sqrt(chance * (1 - chance) / size):
        raise Refusal(
            f"{what} in {size - differ:,} of {size:,} rows only, as if by chance ({chance:.0%}): these are in two"
            " orders, or of two models; take out what is not to be used"
        )
