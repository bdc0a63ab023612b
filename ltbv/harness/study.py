"""What is asked? A study, resolved and checked before anything is written: data, profile, scheme, seed, protocol."""

import hashlib
import platform
import subprocess
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ltbv import __version__
from ltbv.data.catalogue import Entry, entry
from ltbv.data.dataset import Dataset, make_ids
from ltbv.data.profile import long_tail_counts
from ltbv.data.resample import check, draw
from ltbv.engine import REVISION
from ltbv.engine.cost import costs_by_experts, network_cost
from ltbv.engine.protocol import PROTOCOLS, Protocol
from ltbv.engine.train import stage_epochs
from ltbv.errors import Refusal
from ltbv.harness.keys import canonical, digest
from ltbv.methods.base import Method, Stage
from ltbv.models.vision import TorchvisionBackbone
from ltbv.stats.splits import scaled


@dataclass(frozen=True)
class Study:
    """The settings that decide every number. Methods and the number of runs may grow; these may not change."""

    dataset: str
    scheme: str
    head: int
    imbalance: float
    kind: str
    seed: int
    epochs: int
    network: str = ""  # "" is the protocol's own
    fingerprint: str = ""  # of the images themselves, once they are read

    @property
    def entry(self) -> Entry:
        return entry(self.dataset)

    @property
    def counts(self) -> np.ndarray:
        """Nominal images of each class, [C]."""
        return long_tail_counts(self.entry.num_classes, self.head, self.imbalance, self.kind)

    @property
    def splits(self) -> dict[str, np.ndarray]:
        """Class ids of many, medium and few, by the nominal counts (thresholds 100 and 20 at a head of 500)."""
        return scaled(self.counts)

    @property
    def protocol(self) -> Protocol:
        protocol = replace(PROTOCOLS[self.dataset], epochs=self.epochs)
        return replace(protocol, backbone=_backbone(self.network), stack=1) if self.network else protocol

    def load(self, data_dir: Path | str | None = None) -> tuple["Study", Dataset]:
        """Read the data: the study of just these, and they."""
        dataset = self.entry.load(data_dir)
        return replace(self, fingerprint=fingerprint(dataset)), dataset

    def sample(self, run: int) -> np.ndarray:
        """Ids [n] of the images that a run sees."""
        return draw(
            self.scheme, self.counts, self.entry.pool_sizes, seed=self.seed, run=run, endless=self.entry.endless
        )

    def asked(self) -> dict[str, Any]:
        """What study.json compares."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        protocol = canonical(self.protocol)
        del protocol["epochs"]  # stands among the study's own fields
        return {**own, "protocol": protocol, "revision": REVISION}

    def data(self, dataset: Dataset) -> dict[str, Any]:
        """What a report wants to know of the data without reading them."""
        return {
            "class_names": list(dataset.class_names),
            "counts": self.counts.tolist(),
            "pool_sizes": np.asarray(self.entry.pool_sizes).tolist(),
            "splits": {name: ids.tolist() for name, ids in self.splits.items()},
        }

    def stage_key(self, method: Method, stage: Stage) -> str:
        """16 hex digits of all that can change the weights of a stage: study, chain of stages, revision; no device."""
        return digest({"study": self.asked(), "stage": _chain(method, stage)})

    def cost(self, method: Method) -> dict[str, Any]:
        """`engine.cost.network_cost` of the network that predicts, and what training takes.

        training_images_times_macs   images gone through, times multiply-adds of a forward pass, summed over the stages
                                     that the method stands on. A backward pass costs twice as much again, so a network
                                     that is only looked at (frozen but for its head, or a teacher) counts a third
        macs_by_experts              `costs_by_experts`, where a router chooses among them
        """
        last, of = method.stages[-1], (self.protocol.backbone, self.entry.image_shape, self.entry.num_classes)
        work = 0.0
        for stage in method.needed():
            body = 1 if {"stem", "branches"} & set(stage.train) else 1 / 3
            macs = body * network_cost(stage.net, *of)["macs"]
            macs += sum(network_cost(method.stage(name).net, *of)["macs"] for name in stage.given) / 3
            work += stage_epochs(stage, self.protocol) * int(self.counts.sum()) * macs
        routed = (
            {"macs_by_experts": [list(pair) for pair in costs_by_experts(last.net, *of)]} if last.net.router else {}
        )
        return {**network_cost(last.net, *of), "training_images_times_macs": round(work), **routed}

    def recipe(self, method: Method, order: int) -> dict[str, Any]:
        """recipe.json of a method: how to name it, and from which stages its predictions come."""
        last = method.stages[-1]
        whole = [self.stage_key(method, last), canonical(method.posthoc), canonical(method.predict)]
        return {
            "key": digest(whole),
            "label": method.label,
            "order": order,
            "cost": self.cost(method),
            "experts": last.net.experts,
            "adds_to": method.adds_to,
            "family": method.family,
            "kind": method.kind,
            "stages": [{"name": s.name, "key": self.stage_key(method, s)} for s in method.stages],
        }


def resolve(
    dataset: str = "glyphs-lt",
    scheme: str | None = None,
    head: int | None = None,
    imbalance: float | None = None,
    kind: str | None = None,
    seed: int = 0,
    epochs: int | None = None,
    network: str = "",
) -> Study:
    """Fill in a data set's defaults and check every name and number; the first that will not do is refused."""
    found = entry(dataset)
    if seed < 0:
        raise Refusal(f"seed {seed}: must be 0 or larger")
    epochs = PROTOCOLS[dataset].epochs if epochs is None else epochs
    if epochs < 1:
        raise Refusal(f"epochs {epochs}: at least 1")
    study = Study(
        dataset,
        scheme or found.scheme,
        found.head if head is None else head,
        float(found.imbalance if imbalance is None else imbalance),
        kind or found.kind,
        seed,
        epochs,
        network,
    )
    check(study.scheme, study.counts, found.pool_sizes, endless=found.endless)
    study.protocol  # noqa: B018  (a network that does not exist is refused here)
    return study


def _backbone(name: str) -> TorchvisionBackbone:
    source, _, model = name.partition(":")
    if source != "torchvision" or not model:
        raise Refusal(f"network {name!r}: give torchvision:NAME, for example torchvision:resnet18, or leave it out")
    return TorchvisionBackbone(model)


def fingerprint(dataset: Dataset) -> str:
    """16 hex digits of the test set and of the first image of each class: another copy of the data in another order, or
    drawn by another font library, is another data set."""
    found = hashlib.sha256()
    first = make_ids(np.arange(dataset.num_classes), np.zeros(dataset.num_classes))
    for array in (dataset.test.pixels, dataset.test.labels.astype(np.int64), dataset.read(first)):
        found.update(np.ascontiguousarray(array))
    return found.hexdigest()[:16]


def made_with() -> dict[str, Any]:
    """Versions, machine and commit: recorded, never compared."""
    others = {name: version(name) for name in ("torch", "numpy", "scipy")}
    return {
        "versions": {"python": platform.python_version(), "ltbv": __version__, **others},
        "machine": f"{platform.system()} {platform.machine()}",
        "commit": _commit(),
    }


def _chain(method: Method, stage: Stage) -> Any:
    """A stage with the stages that it stands on in the place of their names."""
    own = canonical(stage)
    del own["name"]  # what it is called changes nothing
    if own["weight_decay"] is None:  # the protocol's, which is part of the key already
        del own["weight_decay"]
    own["position"] = method.stages.index(stage)
    own["start"] = _chain(method, method.stage(stage.start)) if stage.start else None
    own["given"] = [_chain(method, method.stage(name)) for name in stage.given]
    return own


def _commit() -> str | None:
    """The commit of the checkout that ltbv runs from, None where it is not run from one."""
    try:
        top = Path(__file__).resolve().parents[2]
        if not (top / ".git").exists():
            return None
        done = subprocess.run(["git", "-C", str(top), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
        return done.stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
