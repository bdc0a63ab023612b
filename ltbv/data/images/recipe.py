"""What is made of an image file? Every choice that decides pixels, labels, or what may be left out."""

import re
from dataclasses import dataclass
from pathlib import Path

from ltbv.errors import Refusal
from ltbv.options import check, choice

RULES = 1  # of listing, order and decoding: another number is another pool
OWN_SIZES = 2  # the same, where training images keep their height and width
GROUP = "What of a path names the burst, patient, … that an image is one of; its first (…) where it has one."
MOST_PIXELS = 89_478_485  # of one image: where Pillow begins to warn of a bomb
SMALLEST, LARGEST = 8, 1024  # pixels a side
WHOLE = 64  # pixels a side up to which a network sees the whole image


def seen_side(side: int) -> int:
    """Pixels a side that a network sees of a pool's images: up to 64 all, of large ones 7/8 (224 of 256, as usual)."""
    return max(min(side, WHOLE), side * 7 // 8)


def keeps_sizes(side: int) -> bool:
    """Do training images keep their height and width? Where they are seen in boxes, from 75 pixels on."""
    return seen_side(side) > WHOLE


@dataclass(frozen=True)
class Source:
    """Where images lie, where --dataset is a directory or a list."""

    test: str | None = choice(None, "Test images, where --dataset is a directory or a list.", metavar="DIR|LIST")
    root: Path | None = choice(None, "What paths of a list or table are relative to. [where it lies]")


@dataclass(frozen=True)
class Begin:
    """What else one may say of images when a study is begun; the rest of a recipe is for `ltbv images`."""

    lists: Path | None = choice(None, "Of imagenet-lt, places-lt, …: the directory of their lists. [--data-dir]")
    side: int | None = choice(None, "Pixels a side of images from files. [32]")
    test_share: float | None = choice(None, "Share of each class that becomes the test set where there is none, 0-1.")
    group: str | None = choice(None, GROUP, metavar="REGEX")


@dataclass(frozen=True)
class Recipe:
    """The shorter side is brought to `side` pixels (bicubic), and the middle square is kept; of large
    training images all (`keeps_sizes`)."""

    side: int = choice(32, "Pixels a side, of what is not square the shorter.")
    test_share: float | None = choice(None, "Where there is no test set: the share of each class that becomes it, 0-1.")
    group: str | None = choice(None, GROUP, metavar="REGEX")
    channels: int | None = choice(None, "1 or 3. [1 where every image is grey, else 3]")
    background: int = choice(255, "Behind what is transparent, 0 (black) to 255 (white).")
    mirrors: bool = choice(True, "A mirrored image is one of the same class, as of photographs; of letters it is not.")
    bad: str = choice("refuse", "refuse, or skip: leave out files that will not do, and list them.")
    max_pixels: int = choice(MOST_PIXELS, "An image of more will not do: a small file may say that it is enormous.")
    duplicates: str = choice("refuse", "refuse, or keep: a path that is listed twice counts twice.")
    follow_links: bool = choice(False, "Follow links that lead out of the directory.")
    drop_empty: bool = choice(False, "Leave out class folders that hold no training image.")
    drop_unseen: bool = choice(False, "Leave out test images of classes that are in no training image.")

    def __post_init__(self) -> None:
        check(self)
        if not SMALLEST <= self.side <= LARGEST:
            raise Refusal(f"--side {self.side}: {SMALLEST} to {LARGEST} pixels")
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise Refusal(f"--test-share {self.test_share:g}: between 0 and 1, for example 0.2")
        if self.channels not in (None, 1, 3):
            raise Refusal(f"--channels {self.channels}: 1 (grey) or 3 (colours)")
        if self.max_pixels < 1:
            raise Refusal(f"--max-pixels {self.max_pixels}: at least 1, for example {MOST_PIXELS}")
        if not 0 <= self.background <= 255:
            raise Refusal(f"--background {self.background}: 0 (black) to 255 (white)")
        if self.group is not None:
            try:
                re.compile(self.group)
            except re.error as error:
                raise Refusal(f"--group {self.group}: no regular expression ({error})") from error
        for name, words in (("bad", ("refuse", "skip")), ("duplicates", ("refuse", "keep"))):
            if getattr(self, name) not in words:
                raise Refusal(f"--{name} {getattr(self, name)}: {' or '.join(words)}")
