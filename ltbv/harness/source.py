"""What does --dataset name? A data set, a file of features, or images of which a pool is made before a request is put
together.

Workers are given the pool, or files of features, by whole paths: they know nothing of directories, lists or DataFrames,
and may stand elsewhere.
"""

from collections.abc import Mapping
from typing import Any

from ltbv.data import backbones
from ltbv.data.images import sources
from ltbv.data.images.look import Tell
from ltbv.data.images.named import NAMED
from ltbv.data.images.recipe import Begin, Source
from ltbv.errors import Refusal
from ltbv.models.vision import placed
from ltbv.options import choices, option
from ltbv.settings import Settings


def settled(options: Mapping[str, Any], tell: Tell = sources.silent) -> tuple[dict[str, Any], str]:
    """The options without those of images, with the `dataset` that workers find; and the name of the data set.

    `features`, a path or several, stands in the place of a `dataset`.
    """
    rest = dict(options)
    if isinstance(network := rest.get("network"), str) and network:
        rest["network"] = placed(network)  # a worker may stand elsewhere
    of_backbone = rest.pop("features", None)
    of_images = {one.name: rest.pop(one.name, None) for one in (*choices(Source), *choices(Begin))}
    dataset = rest.pop("dataset", Settings.dataset)
    if of_backbone is not None:
        dataset = backbones.instead(of_backbone, dataset, Settings.dataset)
    if backbones.are_features(dataset):
        for name, value in of_images.items():
            if value is not None:
                raise Refusal(f"{option(name)} {value} is of images, and {dataset} holds features; leave it out")
        return {**rest, "dataset": backbones.placed(str(dataset))}, backbones.kept_as(str(dataset))
    if isinstance(dataset, str) and dataset in NAMED:  # whose pool needs no files any more
        of_images["data_dir"] = rest.pop("data_dir", None)
    dataset, name = sources.settled(dataset, of_images, tell)
    return {**rest, "dataset": dataset}, name
