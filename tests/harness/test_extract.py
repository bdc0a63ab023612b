"""`ltbv features`: what a backbone says of a data set, in a file that heads can be trained on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from ltbv.cli import main
from ltbv.data.catalogue import entry
from ltbv.data.features import open_features
from ltbv.errors import Refusal
from ltbv.harness import extract
from ltbv.harness.extract import Asked, write_features
from ltbv.models.frozen import digest, frozen

CPU = torch.device("cpu")


class Small(nn.Module):
    """Eight features, a norm that knows training from evaluation, and a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.fixture
def name(monkeypatch):
    """The words that name the network of this file."""
    return f"{__name__}:Small"


def by_hand(dataset, pixels):
    images = torch.as_tensor(np.array(pixels)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(of)[:, None, None] for of in (dataset.mean, dataset.std))
    images = (images - mean) / std
    with torch.no_grad():
        return Small().eval().body(images).numpy()


def test_rows_are_those_of_the_images(tiny_lt, tmp_path, name):
    dataset = entry("tiny-lt").load()
    text = write_features(dataset, frozen(name), tmp_path / "f.npz", Asked(batch=7, trained_on="nothing"), device=CPU)
    (found,) = open_features(tmp_path / "f.npz")
    assert found.width == 8 and found.about == text and "trained on nothing" in text and "evaluation mode" in text
    np.testing.assert_array_equal(found.pool_sizes, dataset.pool_sizes)
    np.testing.assert_array_equal(found.labels, dataset.test.labels)
    assert found.class_names == dataset.class_names and len(set(found.train_ids)) == len(found.train)
    np.testing.assert_allclose(found.test, by_hand(dataset, dataset.test.pixels), atol=1e-5)
    ids = extract._ids(dataset)[[0, 5, -1]]
    np.testing.assert_allclose(found.train[found.rows(ids)], by_hand(dataset, dataset.read(ids)), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


def test_what_was_interrupted_goes_on_and_gives_the_same_bytes(tiny_lt, tmp_path, name, monkeypatch):
    dataset, of, asked = entry("tiny-lt").load(), frozen(name), Asked(batch=7)
    write_features(dataset, of, tmp_path / "whole.npz", asked, device=CPU)
    monkeypatch.setattr(extract, "NOTED", 2)
    seen = []

    def stop(done, whole):
        seen.append(done)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(dataset, of, tmp_path / "f.npz", asked, device=CPU, tell=stop)
    assert not (tmp_path / "f.npz").exists()
    again = []
    write_features(dataset, of, tmp_path / "f.npz", asked, device=CPU, tell=lambda done, whole: again.append(done))
    assert again[0] == 5 * 7  # four blocks were noted
    assert (tmp_path / "f.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_another_network_begins_anew(tiny_lt, tmp_path, name):
    dataset = entry("tiny-lt").load()

    def stop(done, whole):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(dataset, frozen(name), tmp_path / "f.npz", Asked(batch=7, side=8), device=CPU, tell=stop)
    write_features(dataset, frozen(name), tmp_path / "f.npz", Asked(batch=7), device=CPU)
    (found,) = open_features(tmp_path / "f.npz")
    np.testing.assert_allclose(found.test, by_hand(dataset, dataset.test.pixels), atol=1e-5)


def test_weights_come_from_a_file_and_are_named_by_their_content(tmp_path, name):
    other = Small()
    nn.init.ones_(other.body[0].weight)
    torch.save({"state_dict": other.state_dict()}, tmp_path / "w.pt")
    found = frozen(f"{name}+weights={tmp_path / 'w.pt'}")
    assert found.name == f"{name}+weights=w.pt" and found.weights != frozen(name).weights
    assert (found.module.body[0].weight == 1).all() and not found.module.training
    assert digest(other.state_dict()) == digest(Small().state_dict() | {"body.0.weight": other.body[0].weight})


def test_what_will_not_do_is_refused(tiny_lt, tmp_path, name):
    torch.save({"body.0.weight": torch.zeros(3)}, tmp_path / "w.pt")
    with pytest.raises(Refusal, match="w.pt lacks body.*: they are weights of another network"):
        frozen(f"{name}+weights={tmp_path / 'w.pt'}")
    (tmp_path / "x.pt").write_bytes(b"nothing")
    with pytest.raises(Refusal, match="x.pt holds more than weights, or is damaged"):
        frozen(f"{name}+weights={tmp_path / 'x.pt'}")
    with pytest.raises(Refusal, match=r"has no weights but drawn ones; give torchvision:resnet18\+weights=FILE"):
        frozen("torchvision:resnet18")
    with pytest.raises(Refusal, match="names no file"):
        frozen("torchvision:resnet18+weights=")
    with pytest.raises(Refusal, match="features are an .npz"):
        write_features(entry("tiny-lt").load(), frozen(name), tmp_path / "f.npy", Asked(), device=CPU)
    with pytest.raises(Refusal, match="does not take images of 2 x 2 x 2 .*try --pixels 224"):
        write_features(entry("tiny-lt").load(), frozen(name), tmp_path / "f.npz", Asked(side=2), device=CPU)
    with pytest.raises(Refusal, match="precision 'half'"):
        Asked(precision="half")


def test_the_command_and_a_probe_on_what_it_wrote(tiny_lt, tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["features", "--backbone", name, "--dataset", "tiny-lt", "--write", "f.npz", "--precision", "bfloat16"]
    done = CliRunner().invoke(main, [*words, "--device", "cpu"])
    assert done.exit_code == 0 and "wrote f.npz" in done.output and "bfloat16 on cpu" in done.output, done.output
    words = ["bootstrap", "--features", "f.npz", "--method", "ce", "--runs", "2", "--epochs", "1", "--jobs", "1"]
    done = CliRunner().invoke(main, [*words, "-q"])
    assert done.exit_code == 0, done.output


def test_training_images_that_are_stored_larger_are_seen_as_test_images_are(tiny_lt, tmp_path, name):
    """Their middles: else train and test features would be of other images."""
    dataset = entry("tiny-lt").load()

    def larger(ids):
        return np.pad(dataset.read(ids), ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=255)

    for path, of in (("plain.npz", dataset), ("larger.npz", replace(dataset, read=larger))):
        write_features(of, frozen(name), tmp_path / path, Asked(batch=7), device=CPU)
    (plain,), (other,) = open_features(tmp_path / "plain.npz"), open_features(tmp_path / "larger.npz")
    np.testing.assert_array_equal(np.array(plain.train), np.array(other.train))


def test_groups_of_images_are_groups_of_their_features(tiny_lt, tmp_path, name):
    dataset = entry("tiny-lt").load()
    clusters = np.arange(len(dataset.test.labels)) // 3
    groups = np.arange(dataset.pool_sizes.sum()) // 4
    grouped = replace(dataset, clusters=clusters)
    write_features(grouped, frozen(name), tmp_path / "f.npz", Asked(), device=CPU, groups=groups)
    (found,) = open_features(tmp_path / "f.npz")
    for numbers, given in ((found.groups, groups), (found.clusters, clusters)):
        _, as_given = np.unique(given, return_inverse=True)
        assert len(np.unique(np.stack([numbers, as_given]), axis=1).T) == len(np.unique(given)) == numbers.max() + 1
