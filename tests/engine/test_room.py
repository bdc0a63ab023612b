"""How much memory is free, as Linux says it? Is what a step is said to take at the least less than it takes?"""

import gc
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ltbv.data.batches import Feed
from ltbv.engine import room as module
from ltbv.engine.cost import build, noise, seconds_per_image
from ltbv.engine.opening import Opened
from ltbv.engine.protocol import GLYPHS, Protocol
from ltbv.engine.room import largest_part, room, step_bytes, timed
from ltbv.errors import Refusal
from ltbv.methods import METHODS
from ltbv.models.resnet import Resnet

KB = 1024
SMALL = Protocol(epochs=2, batch=64, learning_rate=0.1, backbone=Resnet(widths=(4, 8, 8), blocks=1))
SHAPE = (16, 16, 3)


def machine(at: Path, **files: str) -> tuple[Path, Path]:
    """Pretended /proc and /sys/fs/cgroup; of a file's name, __ is / and _ is a dot."""
    (at / "proc").mkdir(parents=True)
    (at / "proc" / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:  700 kB\nSwapFree: 50 kB\n")
    for name, text in files.items():
        path = at / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return at / "proc", at / "groups"


def test_of_the_machine_and_of_every_group_the_least_is_free(tmp_path):
    assert room(*machine(tmp_path / "bare")).shared == 750 * KB
    inside = {
        "proc__self__cgroup": "0::/job/step\n",
        "groups__job__memoryDOTmax": f"{600 * KB}\n",
        "groups__job__memoryDOTcurrent": f"{300 * KB}\n",
        "groups__job__memoryDOTstat": f"anon 5\ninactive_file {100 * KB}\n",
        "groups__job__step__memoryDOTmax": "max\n",
        "groups__job__step__memoryDOTcurrent": "7\n",
    }
    assert room(*machine(tmp_path / "second", **inside)).shared == 400 * KB
    inside = {
        "proc__self__cgroup": "5:cpu,cpuacct:/c\n4:memory:/job\n",
        "groups__memory__job__memoryDOTlimit_in_bytes": f"{500 * KB}",
        "groups__memory__job__memoryDOTusage_in_bytes": f"{600 * KB}",
        "groups__memory__memoryDOTlimit_in_bytes": "9223372036854771712",
        "groups__memory__memoryDOTusage_in_bytes": "1",
    }
    assert room(*machine(tmp_path / "first", **inside)).shared == 0
    assert room(tmp_path / "no", tmp_path / "no").shared == float("inf")


def test_a_limit_of_the_process_is_its_own(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    proc, groups = machine(tmp_path, proc__self__status="Name: x\nVmSize:  100 kB\n")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (300 * KB, -1))
    assert room(proc, groups) == (750 * KB, 200 * KB)


@pytest.mark.parametrize("key", ["ce", "ride"])
def test_what_is_counted_is_no_more_than_a_step_really_keeps(key):
    """All tensors that live when the loss is there, before its gradient, and the gradients then."""
    stage, runs = METHODS[key].stages[0], 2
    dataset, ids = noise(SHAPE, 5, runs, SMALL.batch)
    network = build(stage, SMALL, runs, SHAPE, 5)
    feed = Feed(
        dataset, ids, ids[:, :0], augmentation=SMALL.augmentation, device=torch.device("cpu"), dtype=torch.float32
    )
    opened = Opened(stage, network, feed, SMALL, groups={})
    (batches,) = feed.epoch(opened.tables(0, (0, 1), (0,), 0), SMALL.batch)
    gc.collect()
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        stage.losses(network, batches, (), opened.moment(0))
    weights = sum(parameter.nbytes for parameter in network.parameters())
    really, counted = sum(kept.values()) + 2 * weights, step_bytes(stage, SMALL, runs, SHAPE, 5)
    assert 0.5 * really < counted <= 1.1 * really


def test_it_grows_with_images_and_runs_and_parts_take_less():
    stage = METHODS["ce"].stages[0]
    once = step_bytes(stage, SMALL, 1, SHAPE, 5)
    assert step_bytes(stage, SMALL, 3, SHAPE, 5) == 3 * once
    assert 1.5 * once < step_bytes(stage, replace(SMALL, batch=128), 1, SHAPE, 5) < 2 * once
    assert step_bytes(stage, replace(SMALL, micro_batch=2), 1, SHAPE, 5) < once / 4
    part = largest_part(stage, SMALL, 1, SHAPE, 5, once)
    assert part in (16, 32) and step_bytes(stage, replace(SMALL, micro_batch=part), 1, SHAPE, 5) <= once / 2
    assert largest_part(stage, SMALL, 1, SHAPE, 5, 1000) is None
    assert largest_part(METHODS["meta_weight_net"].stages[0], SMALL, 1, SHAPE, 5, once) is None


def test_a_step_that_is_timed_is_short_and_fits(monkeypatch):
    """As it trains where that is short; else of fewer images, as many as half of what is free holds."""
    stage = METHODS["ce"].stages[0]
    assert timed(stage, GLYPHS, 5, (16, 16, 1), 40) is stage
    many = timed(stage, replace(SMALL, batch=10**8), 1, SHAPE, 5).terms.batch
    assert 16 <= many < 10**8
    small = step_bytes(stage, replace(SMALL, batch=8), 1, SHAPE, 5)
    monkeypatch.setattr(module, "room", lambda: module.Room(2.1 * small, float("inf")))
    few = timed(stage, SMALL, 1, SHAPE, 5)
    assert few.terms.batch == 8 and 0 < seconds_per_image(few, SMALL, 1, SHAPE, 5, "cpu", tries=1) < 1
    monkeypatch.setattr(module, "room", lambda: module.Room(float("inf"), 10.0))
    with pytest.raises(Refusal, match=r"stage 'representation': a step of 2 images takes .* MB, 0.0 MB are free"):
        timed(stage, SMALL, 1, SHAPE, 5)
