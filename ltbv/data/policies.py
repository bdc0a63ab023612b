"""Which strong operations does an image get? Drawn on the host, for every image of an epoch anew.

    rand          RandAugment (Cubuk et al., 2020, arXiv 1909.13719): two of 14 operations, each as likely, at 9 of 30
    rand+erasing  the same, and random erasing after it (`erasing`)
    auto+cutout   the policy that AutoAugment found for CIFAR-10 (Cubuk et al., 2019, arXiv 1805.09501): one of its 25
                  pairs, each operation with its own chance and amount; then a black square of half the image's height
                  (Cutout, DeVries and Taylor, 2017, arXiv 1708.04552)

Amounts are those of torchvision's transforms; what has a direction goes either way. All come after the crop and the
flip, which `crop_flip` has alone, and in place of the colours that are moved of large images.
"""

import numpy as np

from ltbv.data.erasing import drawn_holes
from ltbv.data.strong import KINDS

PLAIN = "crop_flip"
POLICIES = ("rand", "rand+erasing", "auto+cutout")
AUGMENTATIONS = (PLAIN, *POLICIES)
SIGNED, COLOURS = KINDS[1:10], KINDS[6:10]  # what may go either way; what is a change from 1

# Pairs of (operation, its chance, its amount from 0 to 9), the policy for CIFAR-10 of the paper.
AUTO = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("color", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 0)),
)


def amounts(share: float, size: tuple[int, int]) -> np.ndarray:
    """Of each of KINDS, [15], at a share of the largest amount; of what has none, 0. `size` is (H, W)."""
    height, width = size
    largest = {"shear_x": 0.3, "shear_y": 0.3, "rotate": 30.0}
    largest |= {"translate_x": 150 / 331 * width, "translate_y": 150 / 331 * height}
    found = np.array([share * largest.get(kind, 0.0) for kind in KINDS])
    found[_places(COLOURS)] = 0.9 * share
    found[KINDS.index("posterize")] = 8 - np.round(4 * share)
    found[KINDS.index("solarize")] = np.round(255 * (1 - share), 6)  # 170, and not a little above
    return found


def drawn(policy: str, n: int, size: tuple[int, int], draw: np.random.Generator) -> dict[str, np.ndarray]:
    """`kinds` and `amounts` [n, 2] of n images of (H, W), `centres` [n, 2] where they get a black square, and `holes`
    [n, 4] and `fills` [n] where they are erased."""
    operations, _, last = policy.partition("+")
    if operations == "rand":
        kinds = draw.integers(len(KINDS) - 1, size=(n, 2))  # all but the last, invert
        table, step = amounts(9 / 30, size)[None], np.zeros((n, 2), int)
    else:
        chosen = draw.integers(len(AUTO), size=n)
        places = np.array([[KINDS.index(kind) for kind, _, _ in pair] for pair in AUTO])
        chances, steps = (np.array([[one[of] for one in pair] for pair in AUTO]) for of in (1, 2))
        kinds = np.where(draw.random((n, 2)) < chances[chosen], places[chosen], 0)
        table, step = np.stack([amounts(of / 9, size) for of in range(10)]), steps[chosen].astype(int)
    signs = np.where(np.isin(kinds, _places(SIGNED)), 2 * draw.integers(2, size=(n, 2)) - 1, 1)
    found = signs * table[step, kinds]
    of = {"kinds": kinds, "amounts": np.where(np.isin(kinds, _places(COLOURS)), 1 + found, found)}
    if last == "erasing":
        return of | drawn_holes(n, size, draw)
    return of | {"centres": draw.random((n, 2))} if last else of


def _places(kinds: tuple[str, ...]) -> list[int]:
    return [KINDS.index(kind) for kind in kinds]
