"""Which data sets are there, and what is asked of each unless one says otherwise?

An entry says enough to check a request (head, imbalance, scheme) before a single image is read; `load` reads them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ltbv.data import cifar, features, glyphs, resample
from ltbv.data.dataset import Dataset
from ltbv.data.profile import OWN, long_tail_counts
from ltbv.errors import Refusal, unknown


@dataclass(frozen=True)
class Entry:
    """A data set by name: what it holds, its default long-tailed profile, and how to get it.

    pool             images of each class to draw from, or of every class
    head, imbalance, profile, scheme   the default profile and resampling scheme
    endless          ids beyond the pool can be read too (images are made, not stored)
    load             the data directory (of no meaning where `needs_data_dir` is False) -> Dataset
    backbone         of features: what made them, '' where that is not said; None where images are images
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
    backbone: str | None = None

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
        counts = long_tail_counts(
            self.num_classes,
            self.head if head is None else head,
            self.imbalance if imbalance is None else imbalance,
            self.profile if profile is None else profile,
        )
        resample.check(self.scheme if scheme is None else scheme, counts, self.pool_sizes, endless=self.endless)
        return counts

    def load(self, data_dir: str | Path | None = None) -> Dataset:
        """The data set in memory."""
        if self.needs_data_dir and data_dir is None:
            raise Refusal(f"data set {self.name!r} is read from files; give their directory with --data-dir")
        if not self.needs_data_dir and data_dir is not None:
            raise Refusal(f"data set {self.name!r} reads no files, and not {str(data_dir)!r}: leave out --data-dir")
        return self._load(Path() if data_dir is None else Path(data_dir))


def _glyphs(data_dir: Path) -> Dataset:
    del data_dir  # drawn, not read
    return glyphs.load()


ENTRIES = {
    found.name: found
    for found in (
        Entry(
            name="glyphs-lt",
            description="100 characters (digits, Latin, Greek, Cyrillic) in matplotlib's fonts; nothing to download",
            num_classes=100,
            pool=glyphs.POOL_SIZE,
            image_shape=(glyphs.SIDE, glyphs.SIDE, 1),
            head=100,
            imbalance=50.0,
            profile="exp",
            scheme="subsample",
            needs_data_dir=False,
            endless=True,
            _load=_glyphs,
        ),
        *(
            Entry(
                name=archive.name,
                description=f"{archive.title} made long-tailed, from the original python archive in --data-dir",
                num_classes=archive.num_classes,
                pool=archive.pool_size,
                image_shape=(32, 32, 3),
                head=archive.pool_size,
                imbalance=100.0,
                profile="exp",
                scheme="subsample",
                needs_data_dir=True,
                endless=False,
                _load=archive.load,
            )
            for archive in (cifar.CIFAR10, cifar.CIFAR100)
        ),
    )
}


def _of_features(path: Path) -> Entry:
    """Features of a file: as long-tailed as they are, resampled as they are."""
    found = features.open_features(path)
    largest, smallest = found.pool_sizes.max(), found.pool_sizes.min()
    return Entry(
        name=path.name,
        description=f"features of {path}",
        num_classes=len(found.class_names),
        pool=tuple(found.pool_sizes.tolist()),
        image_shape=(1, 1, found.width),
        head=int(largest),
        imbalance=float(largest / smallest),
        profile=OWN,
        scheme="stratified_bootstrap",
        needs_data_dir=False,
        endless=False,
        _load=lambda data_dir: found.dataset(),
        backbone=found.about,
    )


def entry(name: str) -> Entry:
    """The entry of that name; or of a file of features, by its path."""
    if name not in ENTRIES and name.endswith(features.SUFFIX):
        return _of_features(Path(name))
    if name not in ENTRIES:
        raise unknown("dataset", name, ENTRIES)
    return ENTRIES[name]
