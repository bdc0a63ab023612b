"""How does a file become pixels? Read by content, never by suffix; decoded whole or not at all; nothing clipped.

Pillow alone would drop what is transparent, clip 16 bits at 255 and only warn of an image of 100 million pixels.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ltbv.data.images.recipe import MOST_PIXELS, Recipe
from ltbv.data.strip import middle

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")  # none that runs another program
SHORTEST, LONGEST_RATIO = 8, 20  # pixels of a side, and longer over shorter side
GREY = frozenset(("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"))
SIXTEEN = frozenset(("I;16", "I;16B", "I;16L", "I;16N"))

EMPTY = "empty"
NO_IMAGE = "no images that can be read (JPEG, PNG, WebP, BMP, GIF, TIFF, PPM)"
DAMAGED = "cut short or damaged"
TOO_SMALL = f"with a side below {SHORTEST} pixels"
TOO_LONG = f"longer than {LONGEST_RATIO} to 1"
NO_RANGE = "of 32-bit values, whose range is not known"
NO_COLOUR = "in a colour space that cannot be converted"


def too_many(most: int = MOST_PIXELS) -> str:
    """The kind of fault of an image of more pixels than that."""
    return f"of more than {most:,} pixels"


class Bad(Exception):
    """A file that will not do; says the kind of fault."""


class Header(NamedTuple):
    """What a file says of itself: width and height as stored, and facts that are counted."""

    size: tuple[int, int]
    grey: bool
    facts: tuple[str, ...]


@contextlib.contextmanager
def ready(most: int = MOST_PIXELS) -> Iterator[None]:
    """Pillow ready for threads and for images of `most` pixels, and without its warnings, which are of what is looked
    at here anyway.

    All are of the whole process: plug-ins that two threads load at once are missing from one.
    """
    from PIL import Image

    Image.init()
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = max(before or 0, most)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def header(data: bytes, most: int = MOST_PIXELS) -> Header:
    """Looks at the start of a file; `Bad` where it will not do whatever follows."""
    image = _opened(data, most)
    shorter, longer = sorted(image.size)
    if shorter < SHORTEST:
        raise Bad(TOO_SMALL)
    if longer > LONGEST_RATIO * shorter:
        raise Bad(TOO_LONG)
    if image.mode in ("I", "F"):
        raise Bad(NO_RANGE)
    facts = {
        "have a colour profile, which is not used": "icc_profile" in image.info,
        "have several frames, of which the first is taken": bool(getattr(image, "is_animated", False)),
        "can be transparent, and are laid on the background": image.has_transparency_data,
        "have 16 bits a channel, scaled to 8": image.mode in SIXTEEN,
    }
    return Header(image.size, image.mode in GREY, tuple(name for name, holds in facts.items() if holds))


def brought(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height of an image whose shorter side becomes `side`."""
    width, height = (max(side, round(side * length / min(size))) for length in size)
    return width, height


def pixels(data: bytes, recipe: Recipe, channels: int, *, whole: bool = False) -> np.ndarray:
    """Pixels [side, side, channels] uint8 of a file, its middle; all that there is, where `whole`; or `Bad`."""
    from PIL import Image, ImageOps

    image = _opened(data, recipe.max_pixels)
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, EOFError, ArithmeticError, LookupError) as error:
        raise Bad(DAMAGED) from error
    try:
        image = _plain(image, "L" if channels == 1 else "RGB", recipe.background)
    except (ValueError, KeyError, OSError) as error:
        raise Bad(NO_COLOUR) from error
    image = image.resize(brought(image.size, recipe.side), Image.Resampling.BICUBIC, reducing_gap=3.0)
    found = np.asarray(image, np.uint8).reshape(image.height, image.width, channels)
    return found if whole else middle(found, recipe.side)


def _opened(data: bytes, most: int) -> "Image.Image":
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise Bad(EMPTY)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise Bad(NO_IMAGE) from error
    except Image.DecompressionBombError as error:
        raise Bad(too_many(most)) from error
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, EOFError, ArithmeticError, LookupError) as error:
        raise Bad(DAMAGED) from error
    if image.width * image.height > most:
        raise Bad(too_many(most))
    return image


def _plain(image: "Image.Image", mode: str, background: int) -> "Image.Image":
    """The image in a mode without alpha: 16 bits scaled by 257, what is transparent laid on the background."""
    from PIL import Image

    if image.mode in SIXTEEN:
        wide, clear = np.asarray(image).astype(np.uint32), image.info.get("transparency")
        narrow = ((wide + 128) // 257).astype(np.uint8)
        image = Image.fromarray(narrow if clear is None else np.where(wide == clear, np.uint8(background), narrow))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (background,) * 3 + (255,))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)
