"""A probe: heads on features of a frozen backbone, from the file to the report; what is no head is refused."""

import shlex

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import ltbv
from ltbv.cli import main
from ltbv.engine.probe import why_not
from ltbv.errors import Refusal
from ltbv.files import read_arrays
from ltbv.harness.study import resolve
from ltbv.harness.trainer import Trainer
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Method, Stage, Sum
from ltbv.methods.range_loss import RangeObjective
from ltbv.report import captions
from ltbv.report.study import read_study
from ltbv.store import Store

CLASSES, WIDTH = 5, 12
COUNTS = (40, 24, 14, 8, 5)
ON_A_HEAD = [key for key, method in METHODS.items() if not why_not(method)]
QUICK = {"executor": "inline", "quiet": True, "epochs": 3, "batch": 32}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Five noisy classes, long-tailed, in a file."""
    draw = np.random.default_rng(0)
    centres = draw.normal(0, 1, (CLASSES, WIDTH))

    def rows(labels):
        return (centres[labels] + draw.normal(size=(len(labels), WIDTH))).astype(np.float32)

    labels, test = np.repeat(np.arange(CLASSES), COUNTS), np.repeat(np.arange(CLASSES), 8)
    path = tmp_path_factory.mktemp("features") / "net.npz"
    about = np.array("ResNet-50 of somebody, trained on other images")
    np.savez(path, train=rows(labels), train_labels=labels, test=rows(test), test_labels=test, about=about)
    return path


@pytest.mark.parametrize("key", ["ce", "balanced_softmax", "class_balanced", "smote", "crt", "lws", "ncm", "ldam_drw"])
def test_three_runs_side_by_side_are_the_three_by_themselves(file, tmp_path, key):
    """In float64: same rows, same order of batches, same weights at the end."""
    study, dataset = resolve(str(file), epochs=4, batch=32).load()
    method, asked = METHODS[key], {"device": torch.device("cpu"), "dtype": torch.float64}
    stack = Trainer(study, Store(tmp_path / "a"), dataset, (0, 1, 2), **asked)
    stack.store.open(study.asked(), study.data(dataset), {})
    whole = stack.finished(method)(stack.test.block(slice(0, 40), 3)).logits
    for run in range(3):
        alone = Trainer(study, Store(tmp_path / f"b{run}"), dataset, (run,), **asked)
        alone.store.open(study.asked(), study.data(dataset), {})
        own = alone.finished(method)(alone.test.block(slice(0, 40), 1)).logits
        torch.testing.assert_close(whole[run], own[0], rtol=1e-9, atol=1e-9)
    assert (whole[0] - whole[1]).abs().max() > 1e-3


def test_runs_have_their_own_rows_and_their_own_order_of_batches(file, tmp_path):
    study, dataset = resolve(str(file), scheme="seed_only", batch=32).load()
    trainer = Trainer(study, Store(tmp_path / "a"), dataset, (0, 1), device=torch.device("cpu"))
    stage = METHODS["ce"].stages[0]
    (table,) = trainer.feed_of(stage).tables(0, (0, 1), (0,), 0, 1, stage.sampler, batch=32)
    one, other = table.columns["positions"]
    assert not torch.equal(one, other) and torch.equal(one.sort().values, other.sort().values)
    resampled, _ = resolve(str(file)).load()
    first, second = (resampled.sample(run) for run in (0, 1))
    assert not np.array_equal(first, second)
    assert (np.bincount(first >> 32) == COUNTS).all()


@pytest.mark.usefixtures("undrawn")
def test_a_whole_probe_from_the_file_to_the_report(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = ltbv.bootstrap(["ce", "balanced_softmax", "tau_norm"], 3, features=file, **QUICK | {"epochs": 30})
    assert Store("runs/net").runs("tau_norm") == [0, 1, 2]
    splits = found.all.query("method == 'ce' and quantity == 'accuracy' and group == 'all'")
    assert splits["estimate"].item() > 1 / CLASSES + 0.2
    evidence = read_study(tmp_path / "runs" / "net")
    given = "variance of the head, given this backbone"
    assert given in captions.short(evidence) and given in captions.provenance(evidence)
    assert "somebody" in " ".join(captions.setting(evidence))
    ltbv_report = CliRunner().invoke(main, ["report", "runs/net", "--output", "out"])
    assert ltbv_report.exit_code == 0, ltbv_report.output
    captioned = (tmp_path / "out" / "report.md").read_text()
    assert captioned.count("given this backbone") > 5
    again = shlex.split(evidence.setting.commands[0])
    assert again[again.index("--dataset") + 1] == "net.npz"
    more = ltbv.bootstrap("ce", 4, features=str(file), **QUICK | {"epochs": 30})  # the same study goes on
    assert len(more.evidence.methods[0].runs) == 4


def test_images_say_nothing_of_a_backbone(tiny_lt, tmp_path):
    del tiny_lt
    ltbv.bootstrap("ce", 2, tmp_path / "study", dataset="tiny-lt", executor="inline", quiet=True, epochs=1)
    evidence = read_study(tmp_path / "study")
    assert evidence.setting.backbone is None and "backbone" not in captions.short(evidence)
    assert "backbone" not in " ".join((*captions.setting(evidence), captions.provenance(evidence)))


def test_every_method_that_is_not_refused_is_trained(file, tmp_path):
    ltbv.bootstrap(ON_A_HEAD, 2, tmp_path, features=file, development=2, **QUICK)
    for key in ON_A_HEAD:
        logits = read_arrays(Store(tmp_path).prediction_file(METHODS[key].key, 1), ("logits",))["logits"]
        assert np.isfinite(logits).all() and logits.std() > 0, key


REFUSED = {
    "ride": "its 3 experts need layers of their own",
    "ride_tau_norm": "its 3 experts need layers of their own",
    "ce_ensemble": "its 3 experts",
    "lfme": "its 3 experts",
    "bbn": "its 2 experts",
    "ce_wide": "its network is 1.33",
    "oltr": "its part 'attention' stands on maps",
    "m2m": "it makes images",
    "range_loss": "it moves features",
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_no_head_is_refused_with_why_and_with_what_would_do(file, tmp_path, key):
    with pytest.raises(
        Refusal, match=f"method '{key}': {REFUSED[key]}.*only a head learns; there is: ce, focal,"
    ) as why:
        ltbv.bootstrap(["ce", key], 2, tmp_path / "study", features=file, **QUICK)
    assert "\n" not in str(why.value) and not (tmp_path / "study").exists()


def test_methods_of_ones_own_are_known_by_what_they_do():
    def method(**stage):
        return Method("mine", "Mine", stages=(Stage("one", **{"objective": Loss(cross_entropy)} | stage),))

    assert why_not(method()) == "" and why_not(method(train=("heads",))) == ""
    assert why_not(method(train=("stem", "branches"))) == "its stage 'one' trains layers of a backbone"
    assert why_not(method(objective=Sum((Loss(cross_entropy), RangeObjective())))) == "it moves features"
    assert why_not(method(objective=Sum((Loss(cross_entropy),)))) == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--features", "x.npy"], "features x.npy: give an .npz with the arrays train, train_labels"),
        (["--features", "x.npz"], "/x.npz: No such file or directory"),
        (["--features", "x.npz", "--dataset", "cifar10-lt"], "give --features or --dataset, not both"),
        (["--features", "FILE", "--data-dir", "x"], "reads no files, and not 'x': leave out --data-dir"),
        (["--features", "FILE", "--protocol", "paper"], "no settings of its authors are known of method 'ce' for"),
        (["--features", "FILE", "--scheme", "fresh"], "scheme 'fresh' needs an endless pool"),
        (["--features", "FILE", "--profile", "own", "--imbalance", "5"], "data with their own profile have their own"),
    ],
)
def test_options_that_go_with_features_are_checked(file, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    words = [str(file) if word == "FILE" else word for word in words]
    done = CliRunner().invoke(main, ["bootstrap", "--method", "ce", "--runs", "2", *words])
    assert done.exit_code == 2 and said in done.output and "\n" not in done.output.strip()
    assert not list(tmp_path.iterdir())


def test_workers_read_the_file_too(file, tmp_path):
    asked = ["bootstrap", "--features", str(file), "--method", "ce", "--runs", "2", "--epochs", "1"]
    asked += ["--study", str(tmp_path / "study")]
    outlook = CliRunner().invoke(main, [*asked, "--dry-run"])
    assert outlook.exit_code == 0 and f"--dataset {file}" in outlook.output, outlook.output
    done = CliRunner().invoke(main, [*asked, "--jobs", "1", "-q"])
    assert done.exit_code == 0, done.output
    assert Store(tmp_path / "study").runs("ce") == [0, 1]
    assert "nothing is missing" in CliRunner().invoke(main, [*asked, "--dry-run"]).output


def test_other_commands_take_such_a_file_or_say_why_not(file, tmp_path):
    listed = CliRunner().invoke(main, ["methods", "--dataset", str(file)])
    assert listed.exit_code == 0, listed.output
    lines = {line.split()[0]: line for line in listed.output.splitlines() if line.strip()}
    assert "65" in lines["ce"].split() and "not on features: its 3 experts need" in lines["ride"]  # 12 x 5 and 5
    told = CliRunner().invoke(main, ["methods", "balanced_softmax", "--dataset", str(file)])
    assert told.exit_code == 0 and "65 parameters, 60 multiply-adds" in told.output, told.output
    refused = CliRunner().invoke(main, ["methods", "m2m", "--dataset", str(file)])
    assert refused.exit_code == 2 and "method 'm2m': it makes images" in refused.output
    drawn = CliRunner().invoke(main, ["datasets", "--preview", str(tmp_path / "x.png"), "--dataset", str(file)])
    assert drawn.exit_code == 2 and "net.npz holds features, which cannot be drawn" in drawn.output
    assert not list(tmp_path.iterdir())
