"""The sheet is a PNG of the asked-for data set."""

import numpy as np
import pytest

from ltbv.data import preview
from ltbv.data.dataset import Dataset, Images, indices_of, labels_of


def stripes(num_classes, channels):
    """A data set whose images are flat: class and index say how bright."""

    def read(ids):
        grey = (labels_of(ids) * 20 + indices_of(ids)).astype(np.uint8)
        return np.broadcast_to(grey[:, None, None, None], (len(ids), 8, 8, channels))

    return Dataset(
        name="stripes",
        class_names=tuple(f"class_{k}" for k in range(num_classes)),
        pool_sizes=np.full(num_classes, 5),
        read=read,
        test=Images(np.zeros((1, 8, 8, channels), np.uint8), np.zeros(1, np.int64)),
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
        mirrors=False,
    )


@pytest.mark.parametrize(("num_classes", "channels"), [(2, 1), (3, 3), (40, 3)])
def test_a_sheet_is_drawn_for_few_and_many_classes_grey_and_colour(num_classes, channels):
    drawn = preview.sheet(stripes(num_classes, channels), np.arange(num_classes, 0, -1))
    assert drawn.startswith(b"\x89PNG")
