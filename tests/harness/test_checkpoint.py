"""A stage that was interrupted goes on in the middle and ends with the same weights, to the last bit."""

import errno
import os

import numpy as np
import pytest
import torch
from torch import nn

from ltbv import files
from ltbv.engine.snapshot import restore, take_snapshot
from ltbv.harness.events import FoundDamaged, ImagesSeen
from ltbv.harness.study import resolve
from ltbv.harness.trainer import Trainer
from ltbv.methods import METHODS
from ltbv.models.loop import Loop
from ltbv.store import Store

RUNS = (0, 1)
EPOCHS = 5


class PowerCut(Exception):
    pass


def workshop(dataset, path, tell=lambda event: None) -> Trainer:
    """Keeps a snapshot after every epoch."""
    return Trainer(
        resolve("tiny-lt", epochs=EPOCHS),
        Store(path),
        dataset,
        RUNS,
        device=torch.device("cpu"),
        tell=tell,
        dtype=torch.float64,
        checkpoint_minutes=0.0,
    )


def cut_after(images: int):
    """A listener that raises once so many images were trained on."""
    seen = []

    def tell(event: dict) -> None:
        if isinstance(event, ImagesSeen):
            seen.append(event.images)
            if sum(seen) > images:
                raise PowerCut

    return tell, seen


@pytest.mark.parametrize("key", ["ce", "ride_distil", "crt", "smote"])
def test_an_interrupted_stage_ends_as_one_that_was_not(key, tiny_lt, tmp_path):
    method = METHODS[key]
    whole = workshop(tiny_lt, tmp_path / "whole").obtain(method, method.stages[-1]).state_dict()
    n = int(resolve("tiny-lt").counts.sum()) * len(RUNS)
    tell, seen = cut_after(3 * n + n // 2)
    with pytest.raises(PowerCut):
        workshop(tiny_lt, tmp_path / "cut", tell).obtain(method, method.stages[0])
    assert len(list((tmp_path / "cut").rglob("part-*.npz"))) == 1
    tell, seen = cut_after(10**9)
    found = workshop(tiny_lt, tmp_path / "cut", tell).obtain(method, method.stages[-1]).state_dict()
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    assert not list((tmp_path / "cut").rglob("part-*.npz"))
    full = sum(max(1, round(stage.epochs * EPOCHS)) * n for stage in method.needed())
    assert sum(seen) == full - 3 * n, "the three epochs that were kept are not trained again"


def test_a_damaged_snapshot_is_not_used(tiny_lt, tmp_path):
    method = METHODS["ce"]
    shop = workshop(tiny_lt, tmp_path)
    path = shop.store.checkpoint_file(shop.study.stage_key(method, method.stages[0]), RUNS)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04 half a file")
    found = shop.obtain(method, method.stages[0]).state_dict()
    whole = workshop(tiny_lt, tmp_path / "whole").obtain(method, method.stages[0]).state_dict()
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_a_snapshot_that_cannot_be_written_costs_no_training(tiny_lt, tmp_path, monkeypatch, capfd):
    """The disk is full between the epochs, and has room again at the end."""
    method, real = METHODS["ce"], files.write_bytes

    def full(path, content, **asked) -> None:
        with files.writing(path):
            if path.name.startswith("part-"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, content, **asked)

    monkeypatch.setattr("ltbv.store.directory.write_bytes", full)
    found = workshop(tiny_lt, tmp_path / "full").obtain(method, method.stages[0]).state_dict()
    assert capfd.readouterr().out.count("no snapshot: cannot write") == EPOCHS - 1
    whole = workshop(tiny_lt, tmp_path / "whole").obtain(method, method.stages[0]).state_dict()
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_a_damaged_stage_is_trained_again(tiny_lt, tmp_path):
    method, events = METHODS["ce"], []
    whole = workshop(tiny_lt, tmp_path).obtain(method, method.stages[0]).state_dict()
    (path,) = tmp_path.rglob("r001.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = workshop(tiny_lt, tmp_path, events.append).obtain(method, method.stages[0]).state_dict()
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    assert [event.path for event in events if isinstance(event, FoundDamaged)] == [str(path)]


def test_what_foreign_modules_draw_goes_on_where_it_was():
    """Dropout after a snapshot forgets what it would have forgotten without it."""
    images = torch.ones(4, 2, 3, 3)
    network = Loop(2, lambda: nn.Sequential(nn.Flatten(), nn.Linear(9, 5), nn.Dropout(0.5)), colour=False)
    for copy in range(2):
        network.draw(copy, np.random.default_rng(copy))
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(images).sum().backward()
    optimiser.step()
    kept = take_snapshot(network, [optimiser], np.zeros((2, 2, 1)))
    expected = [network(images) for _ in range(3)]
    optimiser.step()
    restore(kept, network, [optimiser], runs=2, epochs=2)
    assert all(torch.equal(network(images), one) for one in expected)
