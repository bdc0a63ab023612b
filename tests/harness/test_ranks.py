"""`torchrun -m ltbv run`: one study, written once; what cannot be shared is refused, and whoever is left alone ends."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ltbv.files import read_arrays
from ltbv.store import Store, provenance

TORCHRUN = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SMALL = ["--head", "8", "--imbalance", "4", "--epochs", "1"]
SECONDS = 200  # of patience


def run(start: list[str], study: Path, *asked: str) -> subprocess.CompletedProcess:
    """`ltbv run 0` so started, in the folder of the study."""
    command = [*start, "-m", "ltbv", "run", "0", "--study", str(study), *SMALL, *asked]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=study.parent)


def state(study: Path) -> dict[str, np.ndarray]:
    (path,) = study.glob("stages/*/r000.npz")
    return read_arrays(path)


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    study = tmp_path_factory.mktemp("torchrun") / "study"
    done = run(TORCHRUN, study, "--method", "cb_ce")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("CB-CE 1 run.") == 1, "others tell nothing"
    return study


def test_two_processes_write_what_one_does(together, tmp_path):
    """In float32, after a dozen steps: much nearer to it than training went."""
    assert run([sys.executable], tmp_path / "alone", "--method", "cb_ce").returncode == 0
    ours, alone = state(together), state(tmp_path / "alone")
    assert set(ours) == set(alone)
    np.testing.assert_allclose(ours["loss_by_epoch"], alone["loss_by_epoch"], rtol=1e-3)
    for name in (name for name in alone if alone[name].dtype.kind == "f"):
        np.testing.assert_allclose(ours[name], alone[name], rtol=0, atol=0.02, err_msg=name)
    for arrays, processes in ((ours, 2), (alone, None)):
        assert provenance.said(arrays)["trained"].get("processes") == processes
    assert Store(together).runs("cb_ce") == [0]


def test_what_is_done_is_not_done_again(together):
    before = {path: path.stat().st_mtime_ns for path in together.rglob("*.npz")}
    done = run(TORCHRUN, together, "--method", "cb_ce")
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in together.rglob("*.npz")} == before


def test_a_method_that_cannot_be_shared_is_refused_before_anything_is_written(tmp_path):
    done = run(TORCHRUN, tmp_path / "study", "--method", "ce,bbn")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if "by several processes" in line]
    assert len(said) == 1 and "method 'bbn'" in said[0] and "without torchrun" in said[0]
    assert not (tmp_path / "study").exists()


MINE = """
import os
import signal
import torch
from ltbv import Method, Stage
from ltbv.methods.base import Loss

def ends(logits, labels, counts):
    if os.environ["RANK"] in os.environ["ENDING"]:
        END
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")

MINE = Method("mine", "Mine", stages=(Stage("representation", Loss(ends)),))
"""


KILLED, RAISES = "os.kill(os.getpid(), signal.SIGKILL)", "raise ValueError('no more')"


@pytest.mark.parametrize(("end", "who"), [(KILLED, "0"), (KILLED, "1"), (RAISES, "0"), (RAISES, "0 1")])
def test_a_process_that_ends_in_the_middle_ends_the_others(tmp_path, monkeypatch, end, who):
    """None waits for it, and the same command does what is missing."""
    monkeypatch.setenv("ENDING", who)
    (tmp_path / "mine.py").write_text(MINE.replace("END\n", f"{end}\n"))
    done = run(TORCHRUN, tmp_path / "study", "--method", "mine:MINE")
    assert done.returncode != 0
    assert not list(tmp_path.rglob("r000.npz"))
    if (end, who) == (RAISES, "0"):  # else it may be ended before it has spoken
        assert re.search("mine, run 0: mine:.* of mine.py: ValueError: no more", done.stderr)
    if (end, who) == (KILLED, "1"):
        monkeypatch.setenv("ENDING", "")
        again = run(TORCHRUN, tmp_path / "study", "--method", "mine:MINE")
        assert again.returncode == 0 and Store(tmp_path / "study").runs("mine") == [0], again.stderr
