"""Small photographs, made here."""

from pathlib import Path

import numpy as np

COUNTS = {"ant": 9, "bee": 5, "cat 10": 3}


def picture(draw: np.random.Generator, height: int = 24, width: int = 20, shade: int = 128) -> np.ndarray:
    noise = draw.normal(0, 40, (height, width, 3))
    return (shade + noise).clip(0, 255).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **more) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **more)
    return path
