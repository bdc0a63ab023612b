"""What does an image of glyphs-lt look like? One character, 16 x 16 grey, in a random font, pose, contrast and noise.

An image is a pure function of (seed, class, index), so the pool has no end. Look-alikes are part of it on purpose (0
and O, l and I and 1, rho and p, Lambda and A, c and C in another size): they are the hard negatives. Characters that
are one drawing under two names (Greek Alpha and Latin A) would be label noise and are left out.

    index 0 ... 499              the pool
    index 500 ... 1,999,999,999  fresh images
    index 2,000,000,000 ...      the test set
"""

import dataclasses
import math
from dataclasses import dataclass
from functools import cache as remember
from typing import TYPE_CHECKING

import numpy as np

from ltbv.data import cache
from ltbv.data.dataset import CLASS_SHIFT, Dataset, Images, indices_of, labels_of, make_ids
from ltbv.data.resample import FRESH_END

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

VERSION = 1  # raise it when any pixel changes on purpose
SEED = 2021
POOL_SIZE = 500  # images a class
TEST_SIZE = 50  # images a class
TEST_START = FRESH_END

SIDE = 16  # pixels
CAPITAL = 10.5  # height of H in pixels at scale 1, in every font
LARGEST = 14.0  # width and height of a glyph in pixels at scale 1 are at most this

DIGITS = "0123456789"
LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
GREEK = "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξπρσψω"
CYRILLIC = "БДЖИЛЦЧШЫЭЮЯ"
ALPHABET = DIGITS + LATIN + GREEK + CYRILLIC

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),  # digits and Latin only
)


@dataclass(frozen=True)
class Difficulty:
    """How far an image may stray from the plain character; ranges are uniform.

    noise             standard deviation of the pixel noise, in units of black to white
    rotation_degrees  turned by up to this, either way
    shear             slanted by up to this (horizontal shift a unit of height), either way
    shift             moved by up to this many pixels, either way, in x and in y
    scale_low, _high  size, 1 being a capital of 10.5 pixels
    contrast_low, _high  paper minus ink, in units of black to white; the paper is anywhere that leaves room for the ink
    inversion         half of the images are light ink on dark paper
    """

    noise: float = 0.09
    rotation_degrees: float = 13.0
    shear: float = 0.15
    shift: float = 1.25
    scale_low: float = 0.85
    scale_high: float = 1.15
    contrast_low: float = 0.35
    contrast_high: float = 0.85
    inversion: bool = False

    @property
    def background(self) -> int:
        """The mean paper level, 0-255."""
        contrast = (self.contrast_low + self.contrast_high) / 2
        return 128 if self.inversion else round(255 * (1 + contrast) / 2)


DEFAULT = Difficulty()

# Random numbers are the generator's raw 64 bits, which numpy promises never to change; its distributions it may.
_BLOCK = 50  # consecutive images of a class that share one generator
_POSE = 10  # raw numbers before the noise: font, turn, shear, dx, dy, scale, contrast, paper, inversion, one spare
_RAW = _POSE + SIDE * SIDE
_CHUNK = 64  # blocks in memory at a time: 3,200 images, about 60 MB

_OUTLINE = 160  # pixels an em, the size in which outlines are filled
_FINE = 4  # template samples a pixel
_MARGIN = 2  # pixels of empty paper around a template, so that coordinates outside clip to paper
_CANVAS = int(LARGEST + 2 * _MARGIN) * _FINE


def class_names() -> tuple[str, ...]:
    """The characters in the order of the classes: shuffled once for all, so that look-alikes fall into many splits."""
    raw = np.random.PCG64(np.random.SeedSequence(SEED, spawn_key=(len(ALPHABET),))).random_raw(len(ALPHABET))
    return tuple(ALPHABET[k] for k in np.argsort(raw, kind="stable"))


def load(difficulty: Difficulty = DEFAULT, seed: int = SEED) -> Dataset:
    """glyphs-lt: pool and test set rendered or read from the cache, images beyond the pool rendered when asked for."""
    names = class_names()
    num_classes, per_class = len(names), POOL_SIZE + TEST_SIZE
    recipe = {"version": VERSION, "seed": seed, "difficulty": dataclasses.asdict(difficulty), "renderer": _renderer()}
    recipe |= {"classes": names, "fonts": FONTS, "sizes": (SIDE, CAPITAL, LARGEST, _OUTLINE, _FINE), "from": TEST_START}
    shapes = {"pool": (num_classes, POOL_SIZE, SIDE, SIDE, 1), "test": (num_classes, TEST_SIZE, SIDE, SIDE, 1)}

    def make() -> cache.Arrays:
        labels = np.repeat(np.arange(num_classes), per_class)
        indices = np.tile(np.r_[0:POOL_SIZE, TEST_START : TEST_START + TEST_SIZE], num_classes)
        pixels = render(labels, indices, difficulty, seed).reshape(num_classes, per_class, SIDE, SIDE, 1)
        return {"pool": pixels[:, :POOL_SIZE], "test": pixels[:, POOL_SIZE:]}

    stored = cache.load_or_make("glyphs-lt", recipe, shapes, make)
    pool = stored["pool"]

    def read(ids: np.ndarray) -> np.ndarray:
        labels, indices = labels_of(ids), indices_of(ids)
        fresh = indices >= pool.shape[1]
        pixels = pool[labels, np.where(fresh, 0, indices)]
        if fresh.any():
            pixels[fresh] = render(labels[fresh], indices[fresh], difficulty, seed)
        return pixels

    return Dataset(
        name="glyphs-lt",
        class_names=names,
        pool_sizes=np.full(num_classes, POOL_SIZE),
        read=read,
        test=Images(
            pixels=stored["test"].reshape(-1, SIDE, SIDE, 1), labels=np.repeat(np.arange(num_classes), TEST_SIZE)
        ),
        mean=(round(float(pool.mean()) / 255, 4),),
        std=(round(float(pool.std(dtype=np.float64)) / 255, 4),),
        mirrors=False,
        background=difficulty.background,
    )


def render(labels: np.ndarray, indices: np.ndarray, difficulty: Difficulty = DEFAULT, seed: int = SEED) -> np.ndarray:
    """Pixels [n, 16, 16, 1] uint8 of the images `indices` [n] of the classes `labels` [n].

    The pixels of an image do not depend on what else is asked for, nor on the order.
    """
    ids = make_ids(labels, indices)
    pixels = np.empty((len(ids), SIDE, SIDE, 1), np.uint8)
    blocks, block_of = np.unique(make_ids(labels_of(ids), indices_of(ids) // _BLOCK), return_inverse=True)
    by_block = np.argsort(block_of, kind="stable")
    ends = np.searchsorted(block_of[by_block], np.arange(0, len(blocks) + _CHUNK, _CHUNK))
    for chunk, (start, end) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        wanted = by_block[start:end]
        first = chunk * _CHUNK
        raw = np.stack([_raw_of_block(seed, block) for block in blocks[first : first + _CHUNK]])
        raw = raw[block_of[wanted] - first, indices_of(ids[wanted]) % _BLOCK]
        pixels[wanted] = _draw(labels_of(ids[wanted]), raw, difficulty)
    return pixels


def _raw_of_block(seed: int, block: int) -> np.ndarray:
    """[_BLOCK, _RAW] uint64 of one block, given as (class << 32) | (index // _BLOCK)."""
    key = (int(block) >> CLASS_SHIFT, int(block) & ((1 << CLASS_SHIFT) - 1))
    return np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)).random_raw(_BLOCK * _RAW).reshape(_BLOCK, _RAW)


def _draw(labels: np.ndarray, raw: np.ndarray, difficulty: Difficulty) -> np.ndarray:
    """Pixels [n, 16, 16, 1] uint8 from labels [n] and raw random numbers [n, _RAW].

    Only + - * / touch the numbers, each correctly rounded, so every machine gives the same pixels.
    """
    uniform = (raw[:, :_POSE] >> np.uint64(11)) * 2.0**-53  # [n, _POSE] in [0, 1)
    either_way = 2 * uniform - 1

    # An angle by the tangent of its half: cosine and sine follow without a call to the maths library.
    tangent = math.tan(math.radians(difficulty.rotation_degrees) / 2) * either_way[:, 1]
    cosine, sine = (1 - tangent**2) / (1 + tangent**2), 2 * tangent / (1 + tangent**2)
    shear = difficulty.shear * either_way[:, 2]
    dx, dy = difficulty.shift * either_way[:, 3], difficulty.shift * either_way[:, 4]
    scale = difficulty.scale_low + (difficulty.scale_high - difficulty.scale_low) * uniform[:, 5]

    # From a pixel back to the template: unshift, turn back, unslant, unscale, in template samples from its centre.
    along = (np.arange(SIDE) - (SIDE - 1) / 2)[None]
    x, y = (along - dx[:, None])[:, None, :], (along - dy[:, None])[:, :, None]  # [n, 1, SIDE], [n, SIDE, 1]
    fine = _FINE / scale
    u = (fine * (cosine - shear * sine))[:, None, None] * x + (fine * (sine + shear * cosine))[:, None, None] * y
    v = (fine * -sine)[:, None, None] * x + (fine * cosine)[:, None, None] * y

    samples, first, number = _templates()
    template = first[labels] + (uniform[:, 0] * number[labels]).astype(np.int64)
    coverage = _bilinear(samples, template, u, v)  # 0-255, [n, SIDE, SIDE]

    contrast = difficulty.contrast_low + (difficulty.contrast_high - difficulty.contrast_low) * uniform[:, 6]
    paper = contrast + (1 - contrast) * uniform[:, 7]
    step = -contrast / 255
    if difficulty.inversion:
        inverted = uniform[:, 8] < 0.5
        paper, step = np.where(inverted, 1 - paper, paper), np.where(inverted, -step, step)
    grey = paper.astype(np.float32)[:, None, None] + step.astype(np.float32)[:, None, None] * coverage
    grey += np.float32(difficulty.noise) * _nearly_normal(raw[:, _POSE:]).reshape(-1, SIDE, SIDE)
    return (np.clip(grey, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)[..., None]


def _nearly_normal(raw: np.ndarray) -> np.ndarray:
    """Mean 0, standard deviation 1, within +-3.46: the sum of the four 16-bit uniforms of each raw number."""
    quarters = np.ascontiguousarray(raw).view(np.uint16).reshape(*raw.shape, 4)
    total = quarters[..., 0].astype(np.int32) + quarters[..., 1] + quarters[..., 2] + quarters[..., 3]
    return (total.astype(np.float32) - np.float32(2 * 65535)) * np.float32(math.sqrt(3) / 65536)


def _bilinear(samples: np.ndarray, template: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Values [n, SIDE, SIDE] float32, 0-255, of templates [n] at (u, v) samples from their centre; outside is paper."""
    centre, last = (_CANVAS - 1) / 2, _CANVAS - 1.001
    u, v = np.clip(u + centre, 0, last), np.clip(v + centre, 0, last)
    column, row = u.astype(np.int32), v.astype(np.int32)
    right, down = (u - column).astype(np.float32), (v - row).astype(np.float32)
    at = template.astype(np.int32)[:, None, None] * (_CANVAS * _CANVAS) + row * _CANVAS + column
    above = samples[at] * (1 - right) + samples[at + 1] * right
    below = samples[at + _CANVAS] * (1 - right) + samples[at + _CANVAS + 1] * right
    return above * (1 - down) + below * down


@remember
def _templates() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All glyphs, drawn once: samples (flat uint8), and for each class the first template [C] and how many it has [C].

    A template is `_FINE` times finer than the image and already averaged over the area of a pixel, so that reading it
    at 16 x 16 points does not alias.
    """
    drawn = [[glyph for font in FONTS if (glyph := draw_glyph(font, name)) is not None] for name in class_names()]
    number = np.array([len(glyphs) for glyphs in drawn])
    return np.stack([glyph for glyphs in drawn for glyph in glyphs]).ravel(), np.cumsum(number) - number, number


def draw_glyph(font: str, character: str) -> np.ndarray | None:
    """Ink [72, 72] uint8, four samples a pixel, each the mean over a pixel's area, centred by the glyph's extent.

    None where the font lacks the character. The outline is filled unhinted and at one whole size, where versions of
    FreeType agree; at other sizes some of them round.
    """
    from matplotlib.ft2font import LoadFlags

    face, capital = _face(font)
    if ord(character) not in face.get_charmap():
        return None
    face.set_text(character, 0.0, flags=LoadFlags.NO_HINTING)
    face.draw_glyphs_to_bitmap(antialiased=True)
    ink = np.array(face.get_image(), np.float64)
    down, across = (
        np.flatnonzero(ink.max(axis) > 127)[[0, -1]] + (0, 1) for axis in (1, 0)
    )  # where it begins and ends
    largest = max(down[1] - down[0], across[1] - across[0])
    pixel = max(capital / CAPITAL, largest / LARGEST)  # the side of an image's pixel, in pixels of `ink`
    return np.rint(_averaged(_averaged(ink, down.mean(), pixel).T, across.mean(), pixel).T).astype(np.uint8)


def _averaged(ink: np.ndarray, centre: float, pixel: float) -> np.ndarray:
    """Rows [_CANVAS, width], `pixel / _FINE` apart around `centre`, each the mean of `pixel` rows of `ink`."""
    # Sums of the rows before each edge: whole numbers, so exact.
    below = np.vstack([np.zeros_like(ink[:1]), ink.cumsum(0)])

    def sum_up_to(edges: np.ndarray) -> np.ndarray:
        edges = np.clip(edges, 0, len(ink))
        row = np.minimum(edges.astype(int), len(ink) - 1)
        return below[row] + (edges - row)[:, None] * ink[row]

    middles = centre + (np.arange(_CANVAS) - (_CANVAS - 1) / 2) * (pixel / _FINE)
    return (sum_up_to(middles + pixel / 2) - sum_up_to(middles - pixel / 2)) / pixel


@remember
def _face(font: str) -> "tuple[FT2Font, float]":
    """The opened font at the size it is drawn in, and the height of its H in pixels of that size."""
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font, LoadFlags

    face = FT2Font(f"{get_data_path()}/fonts/ttf/{font}.ttf")
    face.set_size(_OUTLINE, 72)
    box = face.load_char(ord("H"), flags=LoadFlags.NO_HINTING).bbox  # in 64ths of a pixel
    return face, (box[3] - box[1]) / 64


def _renderer() -> dict[str, str]:
    """What draws the templates: the fonts come with matplotlib, their outlines are filled by its FreeType."""
    import matplotlib
    from matplotlib import ft2font

    return {"matplotlib": matplotlib.__version__, "freetype": ft2font.__freetype_version__}
