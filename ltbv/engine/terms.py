"""Under which terms is a stage trained? The common protocol's, or, under `paper`, those that its authors published.

The study's protocol stands; what a stage has otherwise is in its `Stage.terms`, so that it is in its key, and nothing
else is.
"""

from dataclasses import replace

from ltbv.engine.protocol import Protocol
from ltbv.errors import Refusal
from ltbv.methods.base import Method, Stage
from ltbv.methods.published import Terms, published_for
from ltbv.methods.registry import METHODS
from ltbv.schedules import Number, times


def stage_epochs(stage: Stage, protocol: Protocol) -> int:
    """How many epochs a stage lasts: as its terms say, or its share of the protocol's, at least one."""
    if stage.terms and stage.terms.epochs is not None:
        return stage.terms.epochs
    return max(1, round(stage.epochs * protocol.epochs))


def stage_rate(stage: Stage, protocol: Protocol) -> Number:
    """The learning rate of a stage: of its terms, its own in the protocol's proportion, or the protocol's."""
    if stage.terms and stage.terms.learning_rate is not None:
        return stage.terms.learning_rate
    return protocol.learning_rate if stage.learning_rate is None else times(stage.learning_rate, protocol.scale)


def stage_decay(stage: Stage, protocol: Protocol) -> float:
    """The weight decay of a stage: of its terms, its own, or the protocol's."""
    if stage.terms and stage.terms.weight_decay is not None:
        return stage.terms.weight_decay
    return protocol.weight_decay if stage.weight_decay is None else stage.weight_decay


def of_stage(stage: Stage, protocol: Protocol) -> Protocol:
    """The protocol with the batch, the optimiser and the augmentation of a stage."""
    terms = stage.terms or Terms()
    own = {name: getattr(terms, name) for name in ("batch", "optimiser", "augmentation")}
    return replace(protocol, **{name: value for name, value in own.items() if value is not None})


def usual(stage: Stage, protocol: Protocol) -> Terms:
    """What holds for a stage, all of it."""
    of = of_stage(stage, protocol)
    rate, decay = stage_rate(stage, protocol), stage_decay(stage, protocol)
    return Terms(stage_epochs(stage, protocol), of.batch, rate, decay, of.optimiser, of.augmentation)


def as_published(method: Method, dataset: str, protocol: Protocol) -> Method:
    """The method with each stage under the terms that its authors published, where these are not the protocol's.

    One of which none are known for the data set is refused, with those that have some.
    """
    found = published_for(dataset, method.published)
    if found is None:
        known = [key for key, other in METHODS.items() if published_for(dataset, other.published)]
        sets = sorted({name for other in METHODS.values() for one in other.published for name in one.datasets})
        there = f"there are some of: {', '.join(known)}" if known else f"there are some for: {', '.join(sets)}"
        raise Refusal(
            f"protocol paper: no settings of its authors are known of method {method.key!r} for {dataset}"
            f"{_why_not(method)}; {there}; or leave out --protocol paper"
        )
    stages = []
    for one in method.stages:
        bare = replace(one, terms=None)
        stages.append(replace(bare, terms=found.of(one.name).over(one.terms).beside(usual(bare, protocol))))
    return replace(method, stages=tuple(stages), published=(found,))


def _why_not(method: Method) -> str:
    """Why there is nothing for a data set, after a colon; empty where that is not known."""
    sets = sorted({name for one in method.published for name in one.datasets})
    why = f"its authors' are for {' and '.join(sets)}" if sets else method.unpublished
    return f": {why}" if why else ""
