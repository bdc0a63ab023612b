"""Which methods can be trained on frozen features? Those of which a head learns, or a part that stands on its features.

A loss, a sampler or a head is the same on features as on images. Experts differ by layers of their own, which frozen
features have none of; parts on maps have no maps; and a method that makes images, or moves features, would do nothing.
"""

from ltbv.engine.optimum import why_none
from ltbv.engine.protocol import Protocol
from ltbv.errors import Refusal
from ltbv.methods.base import Method, Stage
from ltbv.methods.registry import METHODS
from ltbv.models.given import Given
from ltbv.optimisers import LBFGS


def check_on_features(method: Method, protocol: Protocol) -> None:
    """Refuse a method that would not be itself on frozen features; with images there is nothing to refuse."""
    if isinstance(protocol.backbone, Given) and (why := why_not(method)):
        there = ", ".join(key for key, other in METHODS.items() if not why_not(other))
        raise Refusal(f"method {method.key!r}: {why}, and on features only a head learns; there is: {there}")
    if isinstance(protocol.optimiser, LBFGS) and (why := next(filter(None, map(why_none, method.stages)), "")):
        there = ", ".join(key for key, other in METHODS.items() if not any(map(why_none, other.stages)))
        raise Refusal(f"method {method.key!r}: {why}, and lbfgs goes to an optimum; there is: {there}")


def why_not(method: Method) -> str:
    """What keeps a method from frozen features; '' where nothing does."""
    return next(filter(None, map(_of_stage, method.stages)), "")


def _of_stage(stage: Stage) -> str:
    net = stage.net
    if net.experts > 1:
        return f"its {net.experts} experts need layers of their own"
    if net.width not in (None, 1):
        return f"its network is {net.width:g} times as wide"
    if maps := [part.name for part in net.parts if part.at == "maps"]:
        return f"its part {maps[0]!r} stands on maps"
    if not {*stage.learning} - {"stem", "branches"}:
        return f"its stage {stage.name!r} trains layers of a backbone"
    if stage.objective.beyond_head:
        return f"it {stage.objective.beyond_head}"
    return ""
