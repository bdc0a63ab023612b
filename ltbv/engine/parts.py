"""Which methods can be trained on images that are seen in parts, a box of each at a time? Those that need none whole.

A loss, a head, experts or a partner image are the same on boxes. Neighbours by their pixels are of whole images, and
two views of a test image, which is seen whole, would be one.
"""

from ltbv.engine.protocol import Protocol
from ltbv.engine.terms import of_stage
from ltbv.errors import Refusal
from ltbv.methods.base import Method


def check_on_parts(method: Method, protocol: Protocol, data: str) -> None:
    """Refuse a method that needs whole images of the data set `data`, which are seen in boxes."""
    boxed = [stage for stage in method.stages if of_stage(stage, protocol).augmentation.boxes]
    if any(sampler.whole for stage in boxed for sampler in stage.sampler):
        why = f"seeks neighbours by their pixels, and images of {data}"
    elif method.sees_test and method.stages[-1] in boxed:
        why = f"looks at crops of test images, and those of {data}"
    else:
        return
    raise Refusal(f"method {method.key!r} {why} are seen in boxes; give smaller images (--side 64), or leave it out")
