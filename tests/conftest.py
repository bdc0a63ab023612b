"""Fixtures named for what they are; golden numbers from tests/golden."""

import json
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported anywhere

import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden():
    """Read a golden file: golden("methods/ride_loss")."""
    return lambda name: json.loads((GOLDEN / f"{name}.json").read_text())
