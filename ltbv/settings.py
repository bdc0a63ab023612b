"""What is a study? `Settings`: every choice that decides its numbers, written down once.

Options of `ltbv bootstrap`, names in a TOML file (`--config`), study.json, the check of an existing directory,
`status`, `ltbv.bootstrap` and the captions of a report all derive from it. What a data set and its protocol settle
themselves is filled in by `harness.study`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ltbv.options import check, choice, kind

OLDER = {"kind": "profile"}  # names in the study.json of earlier versions
COMMON, PAPER = "common", "paper"  # protocols
OPTIMUM = "lbfgs"  # the optimiser that has no epochs


@dataclass(frozen=True)
class Settings:
    """None (or no network): what the data set, or the protocol, has."""

    dataset: str = choice(
        "glyphs-lt", "A name (`ltbv datasets`), or a directory or list of images.", metavar="NAME|DIR"
    )
    scheme: str | None = choice(None, "How runs resample: subsample, fresh, stratified_bootstrap, …", metavar="NAME")
    head: int | None = choice(None, "Training images of the largest class.")
    imbalance: float | None = choice(None, "Largest over smallest class.")
    profile: str | None = choice(None, "exp, step, or own: as the data are.", metavar="KIND")
    network: str = choice(
        "",
        "Instead of the protocol's own; cifar:resnet20, …",
        metavar="torchvision:NAME[,KEY=VALUE][@CHILD][+weights=FILE]",
    )
    epochs: int | None = choice(None, "Passes over the images. This and the next five are the protocol's unless given.")
    batch: int | None = choice(None, "Images a step.")
    learning_rate: float | None = choice(None, "Highest of the schedule; stages with their own keep the proportion.")
    weight_decay: float | None = choice(None, "Of all that learns, but where a method has its own.")
    optimiser: str | None = choice(None, "sgd or adamw; on features lbfgs, to the optimum.", metavar="NAME")
    augmentation: str | None = choice(
        None, "crop_flip, or after that rand, rand_m9, either with +erasing, or auto+cutout.", metavar="NAME"
    )
    micro_batch: int | None = choice(
        None, "Images that a network is asked of at once, where memory is short; batch norm then sees so many. [all]"
    )
    seed: int = choice(0, "Of every random draw of the study.")
    protocol: str | None = choice(None, "common, or paper: each method as its authors trained it.", metavar="NAME")
    development: int | None = choice(None, "Development images a class, where a method looks at such. [its own: 10]")
    clip: bool | None = choice(None, "Of --head and --imbalance: a class that has fewer images has all of its own.")
    many: float | None = choice(None, "Classes of more training images are many. [100, in proportion]")
    few: float | None = choice(None, "Classes of fewer training images are few. [20, in proportion]")

    def __post_init__(self) -> None:
        check(self)
        if self.clip is False:  # as if it was not said
            object.__setattr__(self, "clip", None)
        for one in fields(self):
            if kind(Settings, one.name) is float and (value := getattr(self, one.name)) is not None:
                object.__setattr__(self, one.name, float(value))  # 1 and 1.0 are one setting

    def said(self) -> dict[str, Any]:
        """The settings that are settled, by name: what study.json has of them."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) not in (None, "")}

    @classmethod
    def read(cls, asked: Mapping[str, Any]) -> "Settings":
        """Those of a study.json, which holds more beside them; a value of another type is refused."""
        named = {OLDER.get(name, name): value for name, value in asked.items()}
        if isinstance(named.get("protocol"), dict):  # what the common one says; which one was asked stands beside it
            named["protocol"] = named.get("protocol_name")
        return cls(**{one.name: named[one.name] for one in fields(cls) if one.name in named})
