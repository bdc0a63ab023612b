"""What are the bytes of an image that a program gives: a picture of Pillow, an array, a tensor?

Such an image has no file, so it is written as one, without loss and always the same: PPM or PGM, or TIFF where a mode
has more than colours. Its digest is of that, and so another than that of the file which it once came from.
"""

import io
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ltbv.data.images.decode import DAMAGED, Bad, too_many
from ltbv.data.images.items import Content, Seen
from ltbv.data.images.look import seen_of
from ltbv.errors import Refusal

if TYPE_CHECKING:
    from PIL import Image

WANTED = "a picture of Pillow, or uint8 as (H, W, channels) array or (channels, H, W) tensor"
CURE = "give the images before the transform"
CHANNELS = (1, 3, 4)  # grey, colours, and whether they are transparent
IN_A_TIFF = frozenset(("1", "LA", "RGBA", "CMYK", "YCbCr", "LAB", "I", "F", "I;16", "I;16B", "I;16L"))


def content_of(shown: str, give: Callable[[], bytes], first: bytes | Bad, most: int) -> Content:
    """An image by the bytes that it had when it was `first` asked for, which may not do."""
    if isinstance(first, Bad):
        return Content(shown, give, Seen(b"", None, str(first)))
    try:
        return Content(shown, give, seen_of(first, most))
    except Bad as bad:
        return Content(shown, give, Seen(b"", None, str(bad)))


def encoded(image: Any, where: str) -> bytes:
    """The bytes of a file that holds this image; `Bad` where it is damaged, a Refusal of what is no image of 8 bits."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        image = _of_array(image, where)
    try:
        image = _plain(image)
    except Image.DecompressionBombError as error:
        raise Bad(too_many()) from error
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, EOFError, ArithmeticError, LookupError) as error:
        raise Bad(DAMAGED) from error
    file = io.BytesIO()
    image.save(file, "PPM" if image.mode in ("L", "RGB") else "TIFF")
    return file.getvalue()


def _of_array(value: Any, where: str) -> "Image.Image":
    from PIL import Image

    torch = sys.modules.get("torch")
    if torch and isinstance(value, torch.Tensor):
        array, shape = value.detach().cpu().numpy(), tuple(value.shape)
        if array.ndim == 3:
            array = array.transpose(1, 2, 0)
    elif isinstance(value, np.ndarray):
        array, shape = value, value.shape
    else:
        raise Refusal(f"{where} is a {type(value).__name__}; wanted is {WANTED}")
    said = f"{where} is {array.dtype} of shape {shape}"
    if array.dtype != np.uint8:
        raise Refusal(f"{said}; {CURE}: {WANTED}")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or not array.size or array.shape[2] not in CHANNELS:
        raise Refusal(f"{said}; wanted is {WANTED}, with 1, 3 or 4 channels")
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array))


def _plain(image: "Image.Image") -> "Image.Image":
    """The picture itself, turned as its camera said, in a mode that a file holds as it is."""
    from PIL import ImageOps

    image.load()
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in IN_A_TIFF | {"L", "RGB"}:
        image = image.convert("RGB")
    image = image.copy()
    image.info = {}
    return image
