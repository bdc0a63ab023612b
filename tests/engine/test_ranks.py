"""Several processes that train one stack together end where one does; what they cannot share is refused."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from one_of_several import NAMES, stage_of, states
from torch import nn

from ltbv.engine.ranks import check
from ltbv.errors import Refusal
from ltbv.methods import METHODS
from ltbv.methods.base import Stage

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
SCRIPT = Path(__file__).parent / "one_of_several.py"
SECONDS = 120  # of patience


class Another(nn.BatchNorm2d):
    """One that another package would have."""


def together(folder: Path, world: int) -> dict[str, np.ndarray]:
    """What `world` processes make of all stages."""
    last = [str(folder / "meeting"), str(folder / "found.npz")]
    command = [sys.executable, "-W", "ignore", str(SCRIPT)]
    processes = [
        subprocess.Popen([*command, str(rank), str(world), *last], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for rank in range(world)
    ]
    try:
        for process in processes:
            said, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, said.decode(errors="replace")
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    with np.load(folder / "found.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def alone() -> dict[str, np.ndarray]:
    """What one process makes of all stages."""
    return {key: of for name in NAMES for key, of in states(name).items()}


@pytest.mark.parametrize("world", [2, 3])
def test_several_processes_end_where_one_does(tmp_path, world, alone):
    """To 1e-10 in float64, after ten steps; the last batch of an epoch has two images, so of three one has none."""
    found = together(tmp_path, world)
    assert set(found) == set(alone)
    for key, values in alone.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-10, atol=1e-10, err_msg=key)


@pytest.mark.parametrize("key", ["meta_weight_net", "bbn", "l2rw", "m2m", "gcl"])
def test_an_objective_that_asks_for_more_than_outputs_is_refused(key):
    (stage,) = (stage for stage in METHODS[key].stages if is_refused(stage))
    name = type(stage.objective).__name__
    with pytest.raises(Refusal, match=f"cannot be trained by several processes: its objective {name} asks for more"):
        check(stage)


def test_the_methods_that_the_page_names_are_refused():
    named = PAGE.read_text().partition("several batches), such as")[2].partition(", and RIDE with routing")[0]
    keys = [*re.findall(r"\w+", named), *(key for key in METHODS if key.endswith("_routed"))]
    assert len(keys) > 10 and all(any(map(is_refused, METHODS[key].stages)) for key in keys)


def is_refused(stage: Stage) -> bool:
    try:
        check(stage)
    except Refusal:
        return True
    return False


@pytest.mark.parametrize(
    ("layer", "said"),
    [(nn.Dropout(0.1), r"Dropout\(0.1\) of its network draws"), (Another(2), "batch norm of another")],
)
def test_a_network_that_would_differ_by_process_is_refused(layer, said):
    check(stage_of("ce"), nn.Sequential(nn.Dropout(0.0), nn.BatchNorm2d(2)))
    with pytest.raises(Refusal, match=said):
        check(stage_of("ce"), nn.Sequential(layer))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shared_is_not_refused(name):
    check(stage_of(name))
