"""The sheet is a PNG of the asked-for data set, or one line that says why not."""

import numpy as np
import pytest

from ltbv.data import preview
from ltbv.data.dataset import Dataset, Images, indices_of, labels_of
from ltbv.errors import Refusal


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
        pad=1,
        flip=False,
    )


@pytest.mark.parametrize(("num_classes", "channels"), [(2, 1), (3, 3), (40, 3)])
def test_a_sheet_is_written_for_few_and_many_classes_grey_and_colour(tmp_path, num_classes, channels):
    path = tmp_path / "sheet.anything"
    preview.sheet(stripes(num_classes, channels), path, np.arange(num_classes, 0, -1))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(Refusal, match="cannot write the preview .*: No such file or directory"):
        preview.sheet(stripes(2, 1), tmp_path / "nowhere" / "sheet.png", np.array([2, 1]))
