"""What is asked? A study, resolved and checked before anything is written: data, profile, scheme, seed, protocol."""

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ltbv import __version__
from ltbv.data.catalogue import Entry, entry
from ltbv.data.dataset import Dataset, make_ids
from ltbv.data.development import hold_out
from ltbv.data.images.pool import called
from ltbv.data.profile import OWN, allowed_imbalance, long_tail_counts, own_counts
from ltbv.data.resample import check, draw
from ltbv.engine import REVISION
from ltbv.engine.cost import costs_by_experts, network_cost
from ltbv.engine.protocol import Protocol, changed, needed, protocol_for
from ltbv.engine.terms import as_published, stage_epochs
from ltbv.errors import Refusal, unknown
from ltbv.harness.keys import canonical, digest
from ltbv.methods.base import Method, Stage
from ltbv.models.foreign import Foreign
from ltbv.models.named import FILE, named
from ltbv.models.weights import Weights
from ltbv.optimisers import LBFGS
from ltbv.options import option, split
from ltbv.schedules import value
from ltbv.settings import COMMON, PAPER, Settings
from ltbv.stats.splits import splits

FULL_HEAD = 500  # images of the largest class of the data that the thresholds 100 and 20 were meant for


@dataclass(frozen=True)
class Drawing:
    """How many images runs have of each class, and how they are drawn: settings of these names, none of them open."""

    scheme: str
    head: int
    imbalance: float
    profile: str

    @classmethod
    def of(cls, settings: Settings) -> "Drawing":
        scheme, head, imbalance, profile = settings.scheme, settings.head, settings.imbalance, settings.profile
        assert scheme is not None and head is not None and imbalance is not None and profile is not None
        return cls(scheme, head, imbalance, profile)


@dataclass(frozen=True)
class Study:
    """Settings that are all filled in: they decide every number. Methods and runs may grow, these may not change.

    fingerprint   of the images themselves, once they are read
    """

    settings: Settings
    fingerprint: str = ""

    @property
    def entry(self) -> Entry:
        return entry(self.settings.dataset)

    @property
    def drawing(self) -> Drawing:
        return Drawing.of(self.settings)

    @property
    def counts(self) -> np.ndarray:
        """Nominal images of each class, [C]."""
        of = self.drawing
        if of.profile == OWN:
            return own_counts(self.entry.pool_sizes, of.head)
        counts = long_tail_counts(self.entry.num_classes, of.head, of.imbalance, of.profile)
        return np.minimum(counts, self.entry.pool_sizes) if self.settings.clip else counts

    @property
    def splits(self) -> dict[str, np.ndarray]:
        """Class ids of many, medium and few.

        By the nominal counts, thresholds 100 and 20 in proportion to a head of 500, that of the profile, which a class
        that has fewer images (`clip`) does not change; of data that are long-tailed themselves by the counts that they
        have, thresholds 100 and 20 as they stand. A threshold that is asked for holds as it stands.
        """
        of, own = self.settings, self.drawing.profile == OWN
        counts = self.entry.pool_sizes if own else self.counts
        share = 1 if own else self.drawing.head / FULL_HEAD
        many, few = (asked if asked is not None else usual * share for asked, usual in ((of.many, 100), (of.few, 20)))
        return splits(counts, many=many, few=few)

    @property
    def groups(self) -> Mapping[str, np.ndarray]:
        """What methods learn from: `splits`, or thirds of the classes by their nominal counts where fewer than two of
        the splits have classes. Read-only: all stages are told the same."""
        found = self.splits
        if sum(ids.size > 0 for ids in found.values()) < 2:
            thirds = np.array_split(np.argsort(-self.counts, kind="stable"), 3)
            found = {name: np.sort(ids) for name, ids in zip(found, thirds, strict=True)}
        for ids in found.values():
            ids.flags.writeable = False
        return MappingProxyType(found)

    @property
    def protocol(self) -> Protocol:
        return changed(usual_protocol(self.entry, self.settings), self.settings)

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the data, and of the weights that networks begin with."""
        said = list(self.entry.notes)
        if weights := self.weights:
            said.append(
                f"all runs begin with the weights of {weights.path.name} (sha256 {weights.digest}), but for heads and"
                " branches that are narrowed: what other first weights would change is not in the variance"
            )
        elif self.protocol.tunes:
            said.append(
                f"the protocol of {self.entry.name} is for weights that are trained already; give"
                f" --network {self.protocol.backbone}{FILE}FILE"
            )
        return said

    @property
    def weights(self) -> Weights | None:
        """What networks begin with, where that is in a file."""
        backbone = self.protocol.backbone
        return backbone.weights if isinstance(backbone, Foreign) else None

    def load(self, data_dir: Path | str | None = None) -> tuple["Study", Dataset]:
        """Read the data: the study of just these, and they."""
        dataset = self.entry.load(data_dir)
        return replace(self, fingerprint=fingerprint(dataset)), dataset

    def sample(self, run: int) -> np.ndarray:
        """Ids [n] of the images that a run sees."""
        source = self.entry
        return draw(
            self.drawing.scheme,
            self.counts,
            source.pool_sizes,
            seed=self.settings.seed,
            run=run,
            endless=source.endless,
            groups=source.groups,
        )

    def backbone_of(self, run: int) -> dict[str, Any]:
        """What a prediction file says of the backbone of a run: `backbone`, its number and content; nothing where there
        is one for all."""
        several = self.entry.backbones
        which = run % max(len(several), 1)
        return {"backbone": {"number": which, "content": several[which][1]}} if several else {}

    def held_out(self, run: int, per_class: int) -> tuple[np.ndarray, np.ndarray]:
        """The same less what it gives up, and `per_class` development images of each class (`data.development`)."""
        source, seed = self.entry, self.settings.seed
        return hold_out(self.sample(run), source.pool_sizes, per_class, seed=seed, run=run, groups=source.groups)

    def asked(self) -> dict[str, Any]:
        """What study.json compares."""
        protocol, said = canonical(self.protocol), self.settings.said()
        del protocol["epochs"]  # stands among the settings
        name = {"protocol_name": said.pop("protocol")} if "protocol" in said else {}
        own = {**said, **name, "dataset": self.entry.name}  # wherever it lies
        if network := own.get("network"):
            parts = named(network)
            own["network"] = str(parts._replace(weights=str(self.weights or parts.weights)))
        return {**own, "fingerprint": self.fingerprint, "protocol": protocol, "revision": REVISION}

    def form(self, method: Method) -> Method:
        """The method as this study trains it: with as many development images as are asked, and under protocol paper as
        its authors published it."""
        method = method.with_development(self.settings.development)
        if self.settings.protocol != PAPER:
            return method
        return as_published(method, self.settings.dataset, self.protocol)

    def data(self, dataset: Dataset) -> dict[str, Any]:
        """What a report wants to know of the data without reading them."""
        more: dict[str, Any] = {"notes": self.notes} if self.notes else {}
        if found := called(self.settings.dataset):
            more["found"] = found
        more |= {} if self.entry.backbone is None else {"backbone": self.entry.backbone}
        if several := self.entry.backbones:
            more["backbones"] = [dict(zip(("file", "content", "about"), one, strict=True)) for one in several]
        return more | {
            "class_names": list(dataset.class_names),
            "counts": self.counts.tolist(),
            "pool_sizes": np.asarray(self.entry.pool_sizes).tolist(),
            "splits": {name: ids.tolist() for name, ids in self.splits.items()},
        }

    def stage_key(self, method: Method, stage: Stage) -> str:
        """16 hex digits of all that can change the weights of a stage: study, chain of stages, revision; no device.

        Which protocol was asked is not among it, nor how many development images: stages say themselves what differs.
        """
        study = {name: value for name, value in self.asked().items() if name not in ("protocol_name", "development")}
        return digest({"study": study, "stage": _chain(method, stage)})

    def images(self, stage: Stage) -> int:
        """Nominal training images of a run in this stage, with the development images where they are trained on."""
        return int(self.counts.sum()) + stage.with_held * stage.held * len(self.counts)

    def epochs(self, stage: Stage) -> int:
        """Passes over the images; on the way to an optimum all count once."""
        return 1 if isinstance(self.protocol.optimiser, LBFGS) else stage_epochs(stage, self.protocol)

    def work(self, stage: Stage) -> float:
        """How many times the work of a plain step a step of this stage takes, in the mean over its epochs."""
        epochs = stage_epochs(stage, self.protocol)
        return sum(value(stage.objective.work(), epoch, epochs) for epoch in range(epochs)) / epochs

    def cost(self, method: Method) -> dict[str, Any]:
        """`engine.cost.network_cost` of the network that predicts, and what training takes.

        training_images_times_macs   images gone through, times multiply-adds of a forward pass, summed over the stages
                                     that the method stands on. A backward pass costs twice as much again, so a network
                                     that is only looked at (frozen but for its head, or a teacher) counts a third,
                                     and so do experts that stand still; steps with further passes count as often as
                                     `Objective.work` says. Not known where it goes to the optimum
        macs_by_experts              `costs_by_experts`, where a router chooses among them
        """
        last, of = method.stages[-1], (self.protocol.backbone, self.entry.image_shape, self.entry.num_classes)
        work = (
            {}
            if isinstance(self.protocol.optimiser, LBFGS)
            else {  # which goes as often as it must
                "training_images_times_macs": round(sum(self.macs(method, stage) for stage in method.needed()))
            }
        )
        routed = (
            {"macs_by_experts": [list(pair) for pair in costs_by_experts(last.net, *of)]} if last.net.chooses else {}
        )
        return {**network_cost(last.net, *of), **work, **routed}

    def macs(self, method: Method, stage: Stage) -> float:
        """`training_images_times_macs` of one stage of one run, as `cost` counts them."""
        of = self.protocol.backbone, self.entry.image_shape, self.entry.num_classes
        back = len(stage.experts) / stage.net.experts if stage.experts is not None else 1
        still = 1 - back if {"stem", "branches"} & set(stage.learning) else 1
        macs = (3 - 2 * still) / 3 * network_cost(stage.net, *of, apart=stage.objective.batch_each)["macs"]
        macs += sum(network_cost(method.stage(name).net, *of)["macs"] for name in stage.given) / 3
        return stage_epochs(stage, self.protocol) * self.images(stage) * self.work(stage) * macs

    def recipe(self, method: Method, order: int) -> dict[str, Any]:
        """recipe.json of a method: how to name it, and from which stages its predictions come."""
        last = method.stages[-1]
        whole = [self.stage_key(method, last), canonical(method.posthoc), canonical(method.predict)]
        published = {"published": _told(method)} if self.settings.protocol == PAPER else {}
        return {
            **published,
            "key": digest(whole),
            "label": method.title,
            "order": order,
            "cost": self.cost(method),
            "experts": last.net.experts,
            "adds_to": method.adds_to,
            "family": method.family,
            "kind": method.kind,
            **({"development": method.development} if method.development else {}),
            **({"sees_test": True} if method.sees_test else {}),
            "stages": [{"name": s.name, "key": self.stage_key(method, s)} for s in method.stages],
        }


def resolve(dataset: str = Settings.dataset, **chosen: Any) -> Study:
    """The study of these settings, by name."""
    (settings,) = split({"dataset": dataset, **chosen}, Settings)
    return filled_in(Settings(**settings))


def filled_in(asked: Settings) -> Study:
    """Fill in a data set's defaults and check every name and number; the first that will not do is refused."""
    source = entry(asked.dataset)
    usual = usual_protocol(source, asked)
    asked = replace(asked, protocol=_protocol(asked, usual))
    if asked.seed < 0:
        raise Refusal(f"seed {asked.seed}: must be 0 or larger")
    if asked.development is not None and asked.development < 1:
        raise Refusal(f"development {asked.development}: at least 1 image a class, or leave it out")
    own = {name: getattr(source, name) for name in ("scheme", "head", "imbalance", "profile")}
    own["epochs"] = usual.epochs
    if asked.profile is None and asked.imbalance is not None and source.profile == OWN:  # a tail is cut out of them
        own |= {"profile": "exp", "scheme": "subsample"}
    elif OWN in (asked.profile, source.profile if asked.profile is None else None):
        if asked.imbalance is not None:
            raise Refusal(f"imbalance {asked.imbalance:g}: data with their own profile have their own; leave it out")
        counts = own_counts(source.pool_sizes, asked.head)
        own |= {"head": int(counts.max()), "imbalance": float(counts.max() / max(counts.min(), 1))}
    settings = replace(asked, **{name: value for name, value in own.items() if getattr(asked, name) in (None, "")})
    if asked.imbalance is None and asked.head is not None and settings.profile != OWN:
        of = Drawing.of(settings)
        lowered = allowed_imbalance(source.num_classes, of.head, of.imbalance, of.profile)
        settings = replace(settings, imbalance=lowered)
    study = Study(needed(usual, settings))
    if settings.clip and settings.profile == OWN:
        raise Refusal("clip is of a profile that is cut out of the data; give --imbalance too, or leave it out")
    if settings.clip and source.endless:
        raise Refusal(
            f"clip is of data with a pool of their own, and {source.name} has as many as are asked; leave it out"
        )
    study.splits  # noqa: B018  (thresholds that cross are refused here)
    check(study.drawing.scheme, study.counts, source.pool_sizes, endless=source.endless)
    study.protocol  # noqa: B018  (what no protocol can have is refused here)
    return study


def usual_protocol(source: Entry, asked: Settings) -> Protocol:
    """The common protocol of a data set, before anything is chosen but the network."""
    return protocol_for(source.image_shape, source.name, asked.network)


OWN_TERMS = ("network", "epochs", "batch", "learning_rate", "weight_decay", "optimiser", "augmentation")


def _protocol(asked: Settings, common: Protocol) -> str | None:
    """paper, where nothing may be chosen that the common one does not say anyway; or None for that."""
    if asked.protocol in (None, COMMON):
        return None
    if asked.protocol != PAPER:
        raise unknown("protocol", asked.protocol, (COMMON, PAPER))
    chosen = needed(common, asked)
    for name in OWN_TERMS:
        if getattr(chosen, name) not in (None, "", common.epochs if name == "epochs" else None):
            said = f"{name} {getattr(asked, name)}: under protocol paper each method has its authors'"
            raise Refusal(f"{said}; leave out {option(name)}, or --protocol paper")
    return PAPER


def fingerprint(dataset: Dataset) -> str:
    """16 hex digits of the test set and of the first image of each class: another copy of the data in another order, or
    drawn by another font library, is another data set. Of images or features from files, of all that is in them."""
    if dataset.content:
        return dataset.content
    found = hashlib.sha256()
    first = make_ids(np.arange(dataset.num_classes), np.zeros(dataset.num_classes))
    for array in (dataset.test.pixels, dataset.test.labels.astype(np.int64), dataset.read(first)):
        found.update(np.ascontiguousarray(array).data)
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
    own["start"] = _chain(method, method.stage(stage.start)) if stage.start else None
    own["given"] = [_chain(method, method.stage(name)) for name in stage.given]
    return own


def _told(method: Method) -> dict[str, Any]:
    """Where a published method's terms come from, and what they change of each stage."""
    (found,) = method.published
    return {"source": found.source, "stages": {one.name: str(one.terms) if one.terms else "" for one in method.stages}}


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
