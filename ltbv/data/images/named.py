"""Which published long-tailed sets are read from files by their names? Their lists, and what these must hold.

The images are downloaded by the user (they are not ours to give); the lists are those of OLTR (Liu et al., CVPR 2019)
and of Decoupling (Kang et al., ICLR 2020), or for iNaturalist the JSON of its makers.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ltbv.data.images.items import Found
from ltbv.errors import Refusal


@dataclass(frozen=True)
class Named:
    """A set by its name.

    train, test   names that its lists go by, the usual one first
    classes, training, testing, largest, smallest   what they hold; None where that is not known
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    classes: int
    training: int
    testing: int | None = None
    largest: int | None = None
    smallest: int | None = None

    def lists(self, folder: Path) -> tuple[Path, Path]:
        """Its training and its test list in a directory."""
        return self._one(folder, self.train), self._one(folder, self.test)

    def _one(self, folder: Path, names: Sequence[str]) -> Path:
        for name in names:
            if (folder / name).is_file():
                return folder / name
        raise Refusal(f"{self.name}: {folder} has no {' or '.join(names)}; give --lists, the directory of its lists")

    def differences(self, found: Found) -> list[str]:
        """A note where lists are not those that were published."""
        listed = [(item.label, item.test) for item in found.items]
        listed += [(one.label, one.test) for one in found.amiss]
        counts = Counter(label for label, test in listed if not test)
        held = {
            "classes": (self.classes, len(counts)),
            "training images": (self.training, counts.total()),
            "test images": (self.testing, sum(test for _, test in listed)),
            "images of the largest class": (self.largest, max(counts.values(), default=0)),
            "images of the smallest class": (self.smallest, min(counts.values(), default=0)),
        }
        other = [f"{n:,} {what} and not {wanted:,}" for what, (wanted, n) in held.items() if wanted not in (None, n)]
        return [f"these lists are not those of {self.name}: {', '.join(other)}"] if other else []


NAMED = {
    one.name: one
    for one in (
        Named("imagenet-lt", ("ImageNet_LT_train.txt",), ("ImageNet_LT_test.txt",), 1000, 115_846, 50_000, 1280, 5),
        Named("places-lt", ("Places_LT_train.txt",), ("Places_LT_test.txt",), 365, 62_500, 36_500, 4980, 5),
        Named(
            "inaturalist2018",
            ("iNaturalist18_train.txt", "train2018.json"),
            ("iNaturalist18_val.txt", "val2018.json"),
            8142,
            437_513,
            24_426,
            1000,
            2,
        ),
        Named(
            "inaturalist2017",
            ("iNaturalist17_train.txt", "train2017.json"),
            ("iNaturalist17_val.txt", "val2017.json"),
            5089,
            579_184,
        ),
    )
}
