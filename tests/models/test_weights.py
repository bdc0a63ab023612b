"""Networks that begin with the weights of a file: which they take, which they refuse, and what is still drawn."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ltbv.errors import Refusal
from ltbv.harness.keys import canonical
from ltbv.harness.study import resolve
from ltbv.methods import METHODS
from ltbv.models.experts import Net
from ltbv.models.stack import draw_run
from ltbv.models.vision import backbone, placed, torchvision
from ltbv.seeds import generator

NAME = "torchvision:resnet18@layer3"


@pytest.fixture(scope="module")
def state():
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(5)
        network = torchvision().models.resnet18(num_classes=7)  # another head than that of 1,000 classes
    return {name: of.clone() for name, of in network.state_dict().items()}


@pytest.fixture
def file(state, tmp_path) -> Path:
    torch.save(state, tmp_path / "kept.pth")
    return tmp_path / "kept.pth"


def drawn(net: Net, name: str, runs: int = 2) -> nn.Module:
    network = net.build(backbone(name), runs=runs, channels=3, classes=4, size=(32, 32))
    for run in range(runs):
        draw_run(network, run, runs, generator(0, run, "init"))
    return network


def members(loop: nn.Module) -> list[dict[str, torch.Tensor]]:
    return [dict(member.named_parameters()) for member in loop.members]


def test_every_run_begins_with_the_weights_and_heads_are_drawn(file, state):
    network = drawn(Net(), f"{NAME}+weights={file}")
    for one in members(network.stem):
        assert torch.equal(next(iter(one.values())), state["conv1.weight"])
    firsts = [next(iter(one.values())) for one in members(network.branches)]
    assert all(torch.equal(first, state["layer3.0.conv1.weight"]) for first in firsts)
    heads = network.heads.weight.detach().reshape(2, -1)
    assert not torch.equal(heads[0], heads[1])
    plain = drawn(Net(), NAME)
    assert not torch.equal(next(plain.stem.parameters()), next(network.stem.parameters()))


def test_experts_that_are_narrowed_begin_apart_and_their_stem_is_the_files(file, state):
    network = drawn(METHODS["ride"].stages[0].net, f"{NAME}+weights={file}", runs=1)
    (stem,) = members(network.stem)
    assert torch.equal(next(iter(stem.values())), state["conv1.weight"])
    firsts = [next(iter(one.values())) for one in members(network.branches)]
    assert len(firsts) == 3 and {tuple(first.shape) for first in firsts} == {(192, 128, 3, 3)}
    assert not any(torch.equal(firsts[a], firsts[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_whatever_holds_the_same_weights_gives_the_same_network(file, state, tmp_path):
    torch.save({"state_dict": {f"module.{name}": of for name, of in state.items()}, "epoch": 3}, tmp_path / "other.pt")
    files = [file, tmp_path / "other.pt"]
    try:
        from safetensors.torch import save_file
    except ImportError:
        pass
    else:
        save_file(state, tmp_path / "kept.safetensors")
        files.append(tmp_path / "kept.safetensors")
    for one in files:
        network = drawn(Net(), f"{NAME}+weights={one}", runs=1)
        parts = {**members(network.stem)[0], **members(network.branches)[0]}
        assert sum(of.numel() for of in parts.values()) == sum(
            of.numel() for name, of in state.items() if name.endswith(("weight", "bias")) and not name.startswith("fc")
        )
        assert torch.equal(members(network.stem)[0]["0.weight"], state["conv1.weight"])


def test_a_study_is_known_by_what_the_file_holds_and_not_by_where_it_lies(file, tiny_lt, tmp_path):
    del tiny_lt
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "weights.pth"
    copy.write_bytes(file.read_bytes())
    one, same, plain = (resolve(network=NAME + more) for more in (f"+weights={file}", f"+weights={copy}", ""))
    ce = METHODS["ce"]
    keys = [study.stage_key(ce, ce.stages[0]) for study in (one, same, plain)]
    assert keys[0] == keys[1] != keys[2] and one.asked() == same.asked()
    assert str(tmp_path) not in str(one.asked()) and "+weights=sha256:" in one.asked()["network"]
    (note,) = one.notes
    assert note.startswith("all runs begin with the weights of kept.pth (sha256 ") and plain.notes == []
    assert "weights" not in canonical(backbone(NAME))
    with pytest.raises(Refusal, match="give the file whose sha256 begins so"):
        resolve(network=one.asked()["network"])


def test_a_relative_path_is_made_whole():
    assert placed("torchvision:resnet18+weights=w.pt") == f"torchvision:resnet18+weights={Path('w.pt').absolute()}"
    assert placed(NAME) == NAME and placed(f"{NAME}+weights=sha256:ab") == f"{NAME}+weights=sha256:ab"


def changed(state, **to):
    return {name: of for name, of in {**state, **to}.items() if of is not None}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda s: changed(s, **{"bn1.bias": None}), "lacks bn1.bias: they are weights of another network"),
        (lambda s: changed(s, extra=torch.ones(1)), "has, and the network has not, extra: they are weights of another"),
        (
            lambda s: changed(s, **{"conv1.weight": torch.ones(64, 3, 3, 3)}),
            r"other shapes than the network: conv1.weight \(64, 3, 3, 3\), not \(64, 3, 7, 7\)",
        ),
        (
            lambda s: {name: of.numpy() for name, of in s.items()},
            "holds more than weights, or is damaged .*safe",
        ),
        (lambda s: [1, 2], "holds no tensors by name"),
        (lambda s: {}, "holds no tensors by name"),
        (
            lambda s: changed(s, **{"bn1.weight": s["bn1.weight"] * float("nan")}),
            "NaN or infinity in bn1.weight: .*earlier",
        ),
        (lambda s: changed(s, **{"bn1.bias": s["bn1.bias"] + float("inf")}), "NaN or infinity in bn1.bias"),
        (
            lambda s: changed(s, **{"bn1.bias": s["bn1.bias"].long()}),
            "other types than the network: bn1.bias int64, not float32",
        ),
        (lambda s: changed(s, **{"bn1.bias": s["bn1.bias"].to(torch.complex64)}), "holds bn1.bias, a tensor complex64"),
        (lambda s: changed(s, **{"fc.weight": s["fc.weight"].to_sparse()}), "holds fc.weight, a tensor sparse_coo"),
        (lambda s: changed(s, **{"bn1.bias": s["bn1.bias"].to("meta")}), "holds bn1.bias, a tensor without values"),
    ],
)
def test_what_is_not_this_networks_is_refused(state, tmp_path, make, words):
    torch.save(make(state), tmp_path / "other.pth")
    with pytest.raises(Refusal, match=words) as told:
        backbone(f"{NAME}+weights={tmp_path / 'other.pth'}")
    assert len(str(told.value)) < 600


def test_what_would_run_is_never_run(tmp_path):
    class Canary:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    for name, content in (
        ("a.pth", pickle.dumps({"w": Canary()})),
        ("b.pth", b"no weights"),
        ("c.safetensors", b"12345678x"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Refusal, match="holds more than weights, or is damaged|pip install"):
            backbone(f"{NAME}+weights={tmp_path / name}")
    torch.save({"w": Canary()}, tmp_path / "d.pth")
    with pytest.raises(Refusal, match="holds more than weights"):
        backbone(f"{NAME}+weights={tmp_path / 'd.pth'}")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(Refusal, match="there is no such file"):
        backbone(f"{NAME}+weights={tmp_path / 'none.pth'}")


def test_heads_of_many_runs_differ_by_seed_alone(file):
    one, again = (drawn(Net(), f"{NAME}+weights={file}").heads.weight.detach().numpy() for _ in range(2))
    np.testing.assert_array_equal(one, again)
