"""A small set of photographs: folders of PNG files, three classes of 9, 5 and 3 training images."""

from pathlib import Path

import numpy as np
import pytest
from photographs import COUNTS, picture, save


@pytest.fixture
def photographs(tmp_path, monkeypatch) -> Path:
    """The directory; pools that are made on the way lie in a cache of this test's own."""
    monkeypatch.setenv("LTBV_CACHE", str(tmp_path / "cache"))
    draw, top = np.random.default_rng(3), tmp_path / "photographs"
    for shade, (name, number) in zip((60, 128, 200), COUNTS.items(), strict=True):
        for split, n in (("train", number), ("test", 2)):
            for k in range(n):
                save(top / split / name / f"{k}.png", picture(draw, shade=shade))
    return top
