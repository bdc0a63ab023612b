"""Do all methods answer as before a change? Digests of their logits on two small data sets, to the bit, on a CPU.

    python tests/digests.py before.json            # at the revision before
    python tests/digests.py after.json before.json # after the change: what differs is named, and the exit code is 1

Bits depend on the processor and the libraries too: make both files on one machine.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from conftest import introduced, make_larger, make_tiny

from ltbv.harness.study import resolve
from ltbv.harness.trainer import Trainer, one_thread
from ltbv.methods import METHODS
from ltbv.store import Store

CPU = torch.device("cpu")


def digests(folder: Path) -> dict[str, str]:
    """Of every method, after two epochs of three runs at once: data set/method -> sha256."""
    found = {}
    with pytest.MonkeyPatch.context() as patch, one_thread(CPU), torch.no_grad():
        for dataset in introduced(patch, make_tiny(), make_larger()):
            shop = Trainer(resolve(dataset.name), Store(folder / dataset.name), dataset, (0, 1, 2), device=CPU)
            for key, method in METHODS.items():
                with torch.enable_grad():
                    network = shop.finished(method)
                parts = shop.rule(method, network)(network, shop.test.block(slice(None), 3))[:2]
                content = b"".join(part.numpy().tobytes() for part in parts if part is not None)
                found[f"{dataset.name}/{key}"] = hashlib.sha256(content).hexdigest()
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = digests(Path(folder))
    Path(sys.argv[1]).write_text(json.dumps(found, indent=1, sort_keys=True))
    before = json.loads(Path(sys.argv[2]).read_text()) if len(sys.argv) > 2 else found
    differing = sorted(name for name in found.keys() | before.keys() if found.get(name) != before.get(name))
    print(f"{len(found)} answers", *(f"{name} differs" for name in differing), sep="\n")
    sys.exit(bool(differing))
