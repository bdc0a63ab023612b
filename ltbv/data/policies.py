"""Which strong operations does an image get? Drawn on the host, for every image of an epoch anew.

    rand          RandAugment (Cubuk et al., 2020, arXiv 1909.13719): two of 14 operations, each as likely, at 9 of 30
    rand_m9       timm's rand-m9-mstd0.5-inc1, which transformers are trained with: two of 15 operations, each done half
                  of the time, at an amount that is normal about 9 of 10 with deviation .5, stronger than 9 of 30
    …+erasing     either, and random erasing after it (`erasing`)
    auto+cutout   the policy that AutoAugment found for CIFAR-10 (Cubuk et al., 2019, arXiv 1805.09501): one of its 25
                  pairs, each operation with its own chance and amount; then a black square of half the image's height
                  (Cutout, DeVries and Taylor, 2017, arXiv 1708.04552)

Amounts are those of torchvision's transforms, of rand_m9 timm's (which interpolates what is moved, and fills in the
mean; here it is the nearest pixel, and black); what has a direction goes either way. All come after the crop and the
flip, which `crop_flip` has alone, and in place of the colours that are moved of large images.
"""

import numpy as np

from ltbv.data.erasing import drawn_holes
from ltbv.data.strong import KINDS

PLAIN = "crop_flip"
POLICIES = ("rand", "rand+erasing", "rand_m9", "rand_m9+erasing", "auto+cutout")
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
    """Of each of KINDS, [16], at a share of the largest amount; of what has none, 0. `size` is (H, W)."""
    height, width = size
    largest = {"shear_x": 0.3, "shear_y": 0.3, "rotate": 30.0}
    largest |= {"translate_x": 150 / 331 * width, "translate_y": 150 / 331 * height}
    found = np.array([share * largest.get(kind, 0.0) for kind in KINDS])
    found[_places(COLOURS)] = 0.9 * share
    found[KINDS.index("posterize")] = 8 - np.round(4 * share)
    found[KINDS.index("solarize")] = np.round(255 * (1 - share), 6)  # 170, and not a little above
    return found


def amounts_of_m9(shares: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same by timm's rules, of shares [...]: [..., 16]. At the largest, no bit stays and all is inverted."""
    height, width = size
    largest = {
        "shear_x": 0.3,
        "shear_y": 0.3,
        "rotate": 30.0,
        "translate_x": 0.45 * width,
        "translate_y": 0.45 * height,
    }
    largest |= dict.fromkeys(COLOURS, 0.9)
    found = shares[..., None] * np.array([largest.get(kind, 0.0) for kind in KINDS])
    found[..., KINDS.index("posterize")] = 4 - np.floor(4 * shares)
    found[..., KINDS.index("solarize")] = 256 - np.floor(256 * shares)
    found[..., KINDS.index("solarize_add")] = np.floor(110 * shares)
    return found


def drawn(policy: str, n: int, size: tuple[int, int], draw: np.random.Generator) -> dict[str, np.ndarray]:
    """`kinds` and `amounts` [n, 2] of n images of (H, W), `centres` [n, 2] where they get a black square, and `holes`
    [n, 4] and `fills` [n] where they are erased."""
    operations, _, last = policy.partition("+")
    kinds, found = {"rand": _rand, "rand_m9": _rand_m9, "auto": _auto}[operations](n, size, draw)
    found = np.where(np.isin(kinds, _places(SIGNED)), 2 * draw.integers(2, size=(n, 2)) - 1, 1) * found
    of = {"kinds": kinds, "amounts": np.where(np.isin(kinds, _places(COLOURS)), 1 + found, found)}
    if last == "erasing":
        return of | drawn_holes(n, size, draw)
    return of | {"centres": draw.random((n, 2))} if last else of


Drawn = tuple[np.ndarray, np.ndarray]  # kinds and amounts [n, 2], as if all went one way and colours began at 0


def _rand(n: int, size: tuple[int, int], draw: np.random.Generator) -> Drawn:
    kinds = draw.integers(KINDS.index("invert"), size=(n, 2))  # all before it
    return kinds, amounts(9 / 30, size)[kinds]


def _rand_m9(n: int, size: tuple[int, int], draw: np.random.Generator) -> Drawn:
    kinds = np.where(draw.random((n, 2)) < 0.5, draw.integers(1, len(KINDS), size=(n, 2)), 0)
    table = amounts_of_m9(draw.normal(9 / 10, 0.5 / 10, (n, 2)).clip(0, 1), size)
    return kinds, np.take_along_axis(table, kinds[..., None], 2)[..., 0]


def _auto(n: int, size: tuple[int, int], draw: np.random.Generator) -> Drawn:
    chosen = draw.integers(len(AUTO), size=n)
    places = np.array([[KINDS.index(kind) for kind, _, _ in pair] for pair in AUTO])
    chances, steps = (np.array([[one[of] for one in pair] for pair in AUTO]) for of in (1, 2))
    kinds = np.where(draw.random((n, 2)) < chances[chosen], places[chosen], 0)
    table = np.stack([amounts(of / 9, size) for of in range(10)])
    return kinds, table[steps[chosen].astype(int), kinds]


def _places(kinds: tuple[str, ...]) -> list[int]:
    return [KINDS.index(kind) for kind in kinds]
