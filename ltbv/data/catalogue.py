"""Which data sets are there, and what is asked of each unless one says otherwise?

Those that have a name, and pools that were made of image files.
"""

import os
from difflib import get_close_matches
from pathlib import Path

from ltbv.data import backbones, cifar, glyphs
from ltbv.data.dataset import Dataset
from ltbv.data.entry import Entry
from ltbv.data.images import pool
from ltbv.data.images.items import some
from ltbv.data.images.named import NAMED
from ltbv.data.profile import OWN
from ltbv.errors import Refusal, unknown

__all__ = ["ENTRIES", "NAMED", "Entry", "entry"]


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


def _of_features(dataset: str) -> Entry:
    """Features of a file, or of one file each of several backbones: as long-tailed as they are, resampled as they
    are."""
    of_all = backbones.open_backbones(dataset)
    found, *others = of_all
    largest, smallest = found.pool_sizes.max(), found.pool_sizes.min()
    return Entry(
        name=backbones.names_of(of_all),
        description=f"features of {dataset}",
        num_classes=len(found.class_names),
        pool=tuple(found.pool_sizes.tolist()),
        image_shape=(1, 1, found.width),
        head=int(largest),
        imbalance=float(largest / smallest),
        profile=OWN,
        scheme="stratified_bootstrap",
        needs_data_dir=False,
        endless=False,
        _load=lambda data_dir: backbones.joined(of_all),
        backbone=found.about,
        groups=found.groups,
        backbones=tuple((one.path.name, one.content, one.about) for one in of_all) if others else (),
    )


def entry(name: str) -> Entry:
    """The entry of that name, of a file of features by its path, or of a pool of images by its path, or by its name
    where it was made on the way."""
    if name in ENTRIES:
        return ENTRIES[name]
    if backbones.are_features(name):
        return _of_features(name)
    if pool.is_pool(Path(name)):
        return pool.open_pool(Path(name)).entry()
    kept = pool.kept(name)
    if len(kept) > 1:
        raise Refusal(f"there are {len(kept)} pools of images called {name!r}; give one by its path: {some(kept)}")
    if kept:
        return pool.open_pool(kept[0]).entry()
    if os.path.sep in name:
        raise Refusal(f"--dataset {name} " + ("is no pool of images" if os.path.exists(name) else "does not exist"))
    if name in NAMED:
        raise Refusal(f"{name} is read from files: give --data-dir to `ltbv bootstrap`, which makes a pool of them")
    said = str(unknown("dataset", name, {*ENTRIES, *NAMED}))
    if os.path.lexists(name):
        raise Refusal(said)
    raise Refusal(f"{said}; nor is there a directory, list or pool of that name in {os.getcwd()}{_beside(name)}")


def _beside(name: str) -> str:
    """What stands here under nearly that name."""
    near = get_close_matches(name, os.listdir(), n=1, cutoff=0.8)
    return f" (did you mean {near[0]!r}?)" if near else ""
