"""+pretrained: from a cache, by a download that is not one, and what a machine without a net says."""

from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch

from ltbv.errors import Refusal
from ltbv.harness.study import resolve
from ltbv.models import pretrained, vision
from ltbv.models.frozen import frozen
from ltbv.models.vision import backbone, placed, torchvision

NAME = "torchvision:resnet18@layer3"


@pytest.fixture(scope="module")
def state():
    with torch.random.fork_rng(devices=[]):
        return torchvision().models.resnet18().state_dict()


@pytest.fixture
def asked(monkeypatch, tmp_path, state):
    """What was downloaded, and into where; there is no Hugging Face."""
    urls = []

    def download(url, path, hash_prefix=None, progress=True):
        urls.append((url, hash_prefix))
        torch.save(state, path)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(pretrained, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    return urls


def test_it_is_downloaded_once_and_known_by_its_content(asked, tmp_path, tiny_lt):
    del tiny_lt
    one = backbone(f"{NAME}+pretrained")
    file = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    assert asked == [("https://download.pytorch.org/models/resnet18-f37072fd.pth", "f37072fd")] and file.is_file()
    assert backbone(f"{NAME}+pretrained=IMAGENET1K_V1") == one == backbone(f"{NAME}+weights={file}") and len(asked) == 1
    assert placed(f"{NAME}+pretrained") == f"{NAME}+weights={file}"
    told = [resolve(network=NAME + more).asked() for more in ("+pretrained", f"+weights={file}")]
    assert told[0] == told[1] and "sha256:" in told[0]["network"]


def test_without_a_net_a_line_says_what_is_wanted(asked, monkeypatch, tmp_path):
    def none(*args, **named):
        raise URLError("no net")

    monkeypatch.setattr(torch.hub, "download_url_to_file", none)
    for name, file in (
        ("torchvision:resnet18", "resnet18-f37072fd.pth"),
        ("timm:resnet18", "resnet18_a1_0-d63eafa0.pth"),
    ):
        if name.startswith("timm"):
            pytest.importorskip("timm")
        with pytest.raises(
            Refusal, match=rf"wants {file}, which is not in .*no net.*{name}@layer3\+weights={file}"
        ) as told:
            backbone(f"{name}@layer3+pretrained")
        assert "\n" not in str(told.value) and len(str(told.value)) < 600
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_tags_that_there_are_not_are_told_with_those_that_there_are(asked):
    with pytest.raises(Refusal, match="unknown weights of torchvision:resnet18 'V9'.*IMAGENET1K_V1"):
        backbone(f"{NAME}+pretrained=V9")
    assert asked == []


def test_a_network_of_ones_own_has_none():
    with pytest.raises(Refusal, match="has no weights to be downloaded; give .*weights=FILE"):
        backbone("torch.nn:Identity+pretrained")


def test_what_hugging_faces_cache_has_is_taken_without_a_net(asked, monkeypatch, tmp_path, state):
    pytest.importorskip("timm")
    with torch.random.fork_rng(devices=[]):
        torch.save(vision._timm().create_model("resnet10t").state_dict(), tmp_path / "kept.bin")
    kept = {("timm/resnet10t.c3_in1k", "model.safetensors"): None}
    kept["timm/resnet10t.c3_in1k", "pytorch_model.bin"] = str(tmp_path / "kept.bin")
    hub = SimpleNamespace(try_to_load_from_cache=lambda repository, name: kept[repository, name])
    monkeypatch.setattr(pretrained, "import_module", lambda name: hub)
    found = backbone("timm:resnet10t+pretrained")
    assert found.weights.path == Path(tmp_path / "kept.bin") and asked == []
    assert frozen("timm:resnet10t+pretrained").name == "timm:resnet10t+weights=kept.bin"


def test_embeddings_of_places_are_brought_to_the_size_of_images(tmp_path):
    timm = pytest.importorskip("timm") and vision._timm()
    with torch.random.fork_rng(devices=[]):
        state = timm.create_model("vit_tiny_patch16_224").state_dict()
    torch.save(state, tmp_path / "vit.pt")
    found = backbone(f"timm:vit_tiny_patch16_224,img_size=64+weights={tmp_path / 'vit.pt'}").made()
    assert found.pos_embed.shape == (1, 17, 192)
    assert torch.equal(found.blocks[3].mlp.fc1.weight, state["blocks.3.mlp.fc1.weight"])
