"""Devices and costs: what is asked for and does not exist is refused with what would have worked."""

import pytest
import torch

from ltbv.engine.cost import seconds_per_image, stored_bytes
from ltbv.engine.device import choose, precision
from ltbv.engine.protocol import GLYPHS, protocol_for
from ltbv.errors import Refusal
from ltbv.methods import METHODS


def test_cpu_is_cpu_and_auto_is_what_there_is():
    assert choose("cpu") == torch.device("cpu")
    assert choose("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(Refusal, match="--device cpu"):
        choose("cuda")


@pytest.mark.parametrize("name", ["gpu", "tpu", "", "cpu:x"])
def test_a_device_that_does_not_exist_is_refused_with_those_that_do(name):
    with pytest.raises(Refusal, match="auto.*cpu.*cuda"):
        choose(name)


def test_on_the_cpu_nothing_is_rounded():
    with precision(torch.device("cpu"), torch.float32):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_stage_can_be_timed_and_weighed(method):
    for stage in method.stages:
        given = tuple(method.stage(name) for name in stage.given)
        assert 0 < seconds_per_image(stage, GLYPHS, 1, (16, 16, 1), 4, "cpu", tries=1, given=given) < 1
        assert stored_bytes(stage, GLYPHS, (16, 16, 1), 4) > 10_000


def test_every_data_set_has_a_protocol():
    from ltbv.data.catalogue import ENTRIES

    assert all(protocol_for(entry.image_shape) for entry in ENTRIES.values())
