"""Which test points belong together: frames of a clip, images of a patient? A file says it."""

from pathlib import Path

import numpy as np

from ltbv.errors import Refusal
from ltbv.report.elsewhere.points import Points
from ltbv.report.elsewhere.texts import read_text


def read_clusters(path: Path, points: Points) -> np.ndarray:
    """The cluster of each test point (N,), numbers from 0.

    Text, a line a test point: the name of its cluster, in the order of the points; or, where predictions have ids,
    `id cluster` with a blank, a comma or a tab between, in any order.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if len(lines) != points.labels.size:
        raise Refusal(f"{path} has {len(lines)} clusters, but there are {points.labels.size} test points: one a line")
    pairs = [line.replace(",", " ").replace("\t", " ").rsplit(maxsplit=1) for line in lines]
    if points.ids is not None and all(len(pair) == 2 for pair in pairs):
        ids, names = (np.array(column) for column in zip(*pairs, strict=True))
        at = points.place(ids, None, ids.size, str(path))
        names = names[np.argsort(at)]
    elif any(len(pair) != 1 for pair in pairs):
        raise Refusal(
            f"{path} has the line {lines[0]!r}: give one cluster a line, or 'id cluster' where predictions have ids"
        )
    else:
        names = np.array([name for (name,) in pairs])
    numbers = np.unique(names, return_inverse=True)[1]
    if numbers.max() == 0:
        raise Refusal(f"{path} has one cluster, {str(names[0])!r}, for all test points; give two or more")
    return numbers
