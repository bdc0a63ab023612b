"""What do the images look like? A sheet with one row a class, from the largest class to the smallest."""

import io

import numpy as np

from ltbv.data.catalogue import entry
from ltbv.data.dataset import Dataset, are_vectors, make_ids
from ltbv.errors import Refusal

ROWS = 12
COLUMNS = 16


def sheet(dataset: Dataset, counts: np.ndarray | None = None) -> bytes:
    """A PNG of the first pool images of classes spread evenly over the tail.

    counts [C] training images of each class, written beside its row; None means the default profile of the catalogue.
    """
    if are_vectors(dataset.image_shape):
        raise Refusal(f"{dataset.name} holds features, which cannot be drawn; give a data set of images")

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = entry(dataset.name).counts() if counts is None else np.asarray(counts)
    classes = np.unique(np.linspace(0, dataset.num_classes - 1, ROWS).round().astype(int))
    shown = min(COLUMNS, int(dataset.pool_sizes[classes].min()))
    ids = make_ids(np.repeat(classes, shown), np.tile(np.arange(shown), len(classes)))
    height, width, _ = dataset.image_shape
    pixels = dataset.read(ids)
    top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
    pixels = pixels[:, top : top + height, left : left + width].reshape(len(classes), shown, *dataset.image_shape)

    gap = max(1, height // 16)
    mosaic = np.full((len(classes) * (height + gap) - gap, shown * (width + gap) - gap, 3), 255, np.uint8)
    for row in range(len(classes)):
        for column in range(shown):
            top, left = row * (height + gap), column * (width + gap)
            mosaic[top : top + height, left : left + width] = pixels[row, column]

    figure = Figure(figsize=(9.6, 0.5 * len(classes) + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(mosaic, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks(
        np.arange(len(classes)) * (height + gap) + (height - 1) / 2,
        [f"{dataset.class_names[k].replace('_', ' ')} {counts[k]:>5}" for k in classes],
        fontfamily="monospace",
        fontsize=10,
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(
        f"{dataset.name}: {len(classes)} of {dataset.num_classes} classes, with the number of training images of each\n"
        f"({counts.sum():,} in all, {counts.max():,} to {counts.min():,}); {shown} images of the pool a row",
        loc="left",
        fontsize=11,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
