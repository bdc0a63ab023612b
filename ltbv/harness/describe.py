"""Which methods are there, and what does one do? For `ltbv methods`: a table of all, or one with all its settings."""

from dataclasses import fields, is_dataclass
from typing import Any

from ltbv.data.catalogue import ENTRIES
from ltbv.engine.probe import check_on_features, why_not
from ltbv.engine.protocol import Protocol
from ltbv.engine.terms import as_published, stage_epochs, stage_rate
from ltbv.errors import Refusal
from ltbv.harness.study import resolve
from ltbv.later import says_nothing
from ltbv.methods import METHODS, find
from ltbv.methods.base import Method, Stage
from ltbv.methods.registry import brought, hidden
from ltbv.models.given import Given
from ltbv.schedules import value

COLUMNS = ("key", "method", "stages", "parameters", "asking", "training", "paper")


def listing(dataset: str) -> list[tuple[str, ...]]:
    """COLUMNS of every method. Asking (multiply-adds for one image) and training (for all) are multiples of the first.

    Methods that other packages bring come last, by name; one that cannot be imported, or not be trained on features,
    says why.
    """
    study = resolve(dataset)
    rows, first, of_heads = [], None, isinstance(study.protocol.backbone, Given)
    for name in dict.fromkeys((*METHODS, *brought())):
        try:
            method = find(name)
        except Refusal as refusal:
            rows.append((name, str(refusal), *[""] * (len(COLUMNS) - 2)))
            continue
        if of_heads and (why := why_not(method)):
            rows.append((name, f"not on features: {why}", *[""] * (len(COLUMNS) - 2)))
            continue
        cost = study.cost(method)
        first = first or cost
        asking, training = (cost[what] / first[what] for what in ("macs", "training_images_times_macs"))
        rows.append(
            (
                name,
                method.title,
                str(len(method.needed())),
                f"{cost['parameters']:,}",
                f"{asking:.2f}x",
                f"{training:.2f}x",
                method.paper,
            )
        )
    for name, values in hidden().items():
        said = f"another package brings a method of this name too: give it as {values}"
        rows.append((name, said, *[""] * (len(COLUMNS) - 2)))
    return rows


def explanation(name: str, dataset: str) -> str:
    """One method: what it is, its stages with every setting, its cost, and what its file says of it."""
    method, study = find(name), resolve(dataset)
    check_on_features(method, study.protocol)
    cost = study.cost(method)
    lines = [*filter(None, (f"{method.title} ({method.key})", method.summary, method.paper)), ""]
    for number, stage in enumerate(method.needed(), 1):
        lines += [f"stage {number}: {stage.name}", *(f"  {line}" for line in _stage(stage, study.protocol)), ""]
    lines += _published(method)
    if method.posthoc:
        lines += [f"then, without training: {_shown(method.posthoc)}"]
    lines += [
        f"answers by: {_shown(method.predict)}",
        f"cost on {dataset}: {cost['parameters']:,} parameters, {cost['macs']:,} multiply-adds an image"
        f" ({cost['macs_with_norm']:,} with batch norm as papers count)",
    ]
    if by_experts := cost.get("macs_by_experts"):
        each = ", ".join(f"{macs:,} for {asked}" for asked, (macs, _) in enumerate(by_experts, 1))
        lines += [f"multiply-adds by number of experts asked: {each}"]
    if shared := _shares(method):
        lines += [f"its first stage is trained once with: {', '.join(shared)}"]
    return "\n".join([*lines, "", method.about.strip()]).strip()


def _stage(stage: Stage, protocol: Protocol) -> list[str]:
    """A line for each thing that is settled about a stage."""
    held = ", and trained on" if stage.with_held else ", development images, or as --development says"
    found = {
        "minimises": _shown(stage.objective),
        "network": _shown(stage.net),
        "starts from": stage.start,
        "drawn anew": ", ".join(stage.reset),
        "learns": ", ".join(part for part in stage.net.names if part in stage.learning),
        "experts": _experts(stage),
        "images by": ", ".join(_shown(sampler) for sampler in stage.sampler),
        "consults": ", ".join(stage.given),
        "epochs": f"{stage_epochs(stage, protocol)}, the protocol has {protocol.epochs}",
        "learning rate": _shown(stage_rate(stage, protocol)),
        "weight decay": None if stage.weight_decay is None else _shown(stage.weight_decay),
        "of their own": ", ".join(f"{part} by {_shown(rule)}" for part, rule in stage.own),
        "step first": ", ".join(stage.first),
        "held out": f"{stage.held} images of each class{held}" if stage.held else None,
        "a step takes": _work(stage, stage_epochs(stage, protocol)),
        "draws' salt": stage.salt,
        "terms": str(stage.terms or ""),
    }
    return [f"{what:<14} {value}" for what, value in found.items() if value]


def _published(method: Method) -> list[str]:
    """What changes under protocol paper, for each data set; or why it refuses the method."""
    lines = [f"nothing for --protocol paper: {method.unpublished}", ""] if method.unpublished else []
    for one in method.published:
        lines += [f"under --protocol paper, on {' and '.join(one.datasets)}, after {one.source}:"]
        known = one.datasets[0] in ENTRIES  # of another one, no common protocol says what changes: all is told
        form = as_published(method, one.datasets[0], resolve(one.datasets[0]).protocol) if known else method
        for stage in form.needed():
            terms = stage.terms if known else one.of(stage.name)
            lines.append(f"  {stage.name}: {terms or 'as under the common protocol'}")
        lines.append("")
    return lines


def _experts(stage: Stage) -> str | None:
    """Which experts learn, where not all do."""
    return None if stage.experts is None else f"{', '.join(map(str, stage.experts))} learn, the others stand still"


def _work(stage: Stage, epochs: int) -> str | None:
    """How much more than a plain step of one batch a step takes, where it does; networks consulted count as alike."""
    each = [value(stage.objective.work(), epoch, epochs) for epoch in range(epochs)]
    if max(each) == 1:
        return None
    late = f", from epoch {each.index(max(each)) + 1} on" if min(each) < max(each) else ""
    most = max(each) * (1 + len(stage.given) / 3)
    return f"{most:.2g} times the work of one forward and backward pass{late}"


def _shares(method: Method) -> list[str]:
    """Keys of the methods whose first stage is the same."""
    return [key for key, other in METHODS.items() if key != method.key and other.stages[0] == method.stages[0]]


def _shown(value: Any) -> str:
    """A value of the vocabulary as it is written: Loss(cross_entropy, beta=Step(0, 0.9999, at=0.8))."""
    if is_dataclass(value) and not isinstance(value, type):
        told = [(f.name, getattr(value, f.name)) for f in fields(value) if not says_nothing(f, getattr(value, f.name))]
        inside = ", ".join(f"{name}={_shown(of)}" for name, of in told)
        return f"{type(value).__name__}({inside})"
    if isinstance(value, tuple):
        return f"({', '.join(_shown(one) for one in value)}{',' * (len(value) == 1)})"
    return getattr(value, "__name__", None) or (f"{value:g}" if isinstance(value, float) else repr(value))
