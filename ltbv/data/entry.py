"""What is known of a data set before it is read? Enough to check a request; `load` reads the images."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ltbv.data import resample
from ltbv.data.dataset import Dataset
from ltbv.data.profile import OWN, long_tail_counts, own_counts
from ltbv.errors import Refusal


@dataclass(frozen=True)
class Entry:
    """A data set by name: what it holds, its default long-tailed profile, and how to get it.

    pool             images of each class to draw from, or of every class
    head, imbalance, profile, scheme   the default profile and resampling scheme
    endless          ids beyond the pool can be read too (images are made, not stored)
    notes            what a reader of results must know of these data
    backbone         of features: what made them (the first), '' where that is not said; None where images are images
    backbones        of features of several backbones: name of the file, content, and what made it, of each
    groups           [sum of pool] which images of the pool belong together, by class and index; None: none do
    load             the data directory (of no meaning where `needs_data_dir` is False) -> Dataset
    """

    name: str
    description: str
    num_classes: int
    pool: int | tuple[int, ...]
    image_shape: tuple[int, int, int]
    head: int
    imbalance: float
    profile: str
    scheme: str
    needs_data_dir: bool
    endless: bool
    _load: Callable[[Path], Dataset] = field(repr=False)
    notes: tuple[str, ...] = ()
    backbone: str | None = None
    backbones: tuple[tuple[str, str, str], ...] = ()
    groups: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def pool_sizes(self) -> np.ndarray:
        """Images of each class in the pool, [C] int64."""
        return np.full(self.num_classes, self.pool) if isinstance(self.pool, int) else np.array(self.pool)

    def counts(
        self,
        head: int | None = None,
        imbalance: float | None = None,
        profile: str | None = None,
        scheme: str | None = None,
    ) -> np.ndarray:
        """Training counts [C] of a profile, checked against the pool under the scheme; None: this entry's default."""
        kind = self.profile if profile is None else profile
        if kind == OWN:
            counts = own_counts(self.pool_sizes, head)
        else:
            head = self.head if head is None else head
            imbalance = self.imbalance if imbalance is None else imbalance
            counts = long_tail_counts(self.num_classes, head, imbalance, kind)
        resample.check(self.scheme if scheme is None else scheme, counts, self.pool_sizes, endless=self.endless)
        return counts

    def load(self, data_dir: str | Path | None = None) -> Dataset:
        """The data set in memory."""
        if self.needs_data_dir and data_dir is None:
            raise Refusal(f"data set {self.name!r} is read from files; give their directory with --data-dir")
        if not self.needs_data_dir and data_dir is not None:
            raise Refusal(f"data set {self.name!r} reads no files, and not {str(data_dir)!r}: leave out --data-dir")
        return self._load(Path() if data_dir is None else Path(data_dir))
