"""What a study is stands in one place: do options, TOML, study.json and Python say the same?"""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ltbv.cli import main
from ltbv.data.catalogue import ENTRIES
from ltbv.engine.optimise import stage_rate
from ltbv.engine.protocol import GLYPHS, changed
from ltbv.errors import Refusal
from ltbv.harness.request import Means, Request
from ltbv.harness.study import resolve
from ltbv.methods import METHODS
from ltbv.optimisers import AdamW
from ltbv.options import kind, option
from ltbv.report import captions
from ltbv.report.study import read_study
from ltbv.schedules import highest, value
from ltbv.settings import Settings
from ltbv.store import Store, command

CHOSEN = Settings(
    *("tiny-lt", "fresh", 10, 5.0, "step", "torchvision:resnet18", 3, 8, 0.05, 1e-4, "sgd", "rand", 2, 4, "paper", 7),
    *(True, 6.0, 2.0),
)


def run(*words, config=None, folder=None):
    if config is not None:
        (folder / "study.toml").write_text(config)
        words = (*words, "--config", str(folder / "study.toml"))
    return CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)


def test_every_setting_is_an_option_and_comes_back_from_what_is_written():
    assert all(getattr(CHOSEN, one.name) != one.default for one in fields(Settings))
    words = command(Path("runs/x"), CHOSEN.said(), "ce", runs=2).split()
    shown = run("bootstrap", "--help").output
    for one in fields(Settings):
        said, of = words[words.index(option(one.name)) + 1], getattr(CHOSEN, one.name)
        assert of is True or type(of)(said) == of
        assert option(one.name) in shown
    assert Settings.read(json.loads(json.dumps(CHOSEN.said()))) == CHOSEN


def test_a_study_of_an_earlier_version_says_profile_otherwise():
    assert Settings.read({"dataset": "glyphs-lt", "kind": "step", "revision": 2}).profile == "step"


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"head": "many"}, "head is 'many': give --head a whole number"),
        ({"head": 3.5}, "head is 3.5"),
        ({"head": True}, "head is True"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: give --learning-rate a finite number"),
        ({"imbalance": 10**400}, "give --imbalance a finite number"),
        ({"seed": None}, "seed is None"),
        ({"dataset": 3}, "dataset is 3: give --dataset a text"),
        ({"batch": 1}, "batch 1: at least 2"),
        ({"weight_decay": -1.0}, "weight_decay -1.0: at least 0"),
        ({"learning_rate": 0.0}, "learning_rate 0.0: above 0; the protocol's highest is 0.1"),
        ({"optimiser": "adam"}, r"unknown optimiser 'adam' \(did you mean 'adamw'\?\)"),
        ({"augmentation": "randaugment"}, "unknown augmentation 'randaugment'"),
        ({"augmentation": "auto"}, r"unknown augmentation 'auto' .*auto\+cutout"),
        ({"optimiser": "adamw"}, "give --learning-rate too, for example 0.001"),
        ({"lr": 0.1}, r"unknown setting 'lr'"),
    ],
)
def test_what_is_no_setting_is_refused_by_name(chosen, words):
    with pytest.raises(Refusal, match=words):
        resolve(**{"dataset": "glyphs-lt"} | chosen)


def test_protocol_changes_only_where_asked():
    assert changed(GLYPHS, Settings()) == GLYPHS
    own = changed(GLYPHS, Settings(batch=32, weight_decay=0.0, learning_rate=0.05, epochs=10))
    assert (own.batch, own.weight_decay, own.epochs, own.optimiser) == (32, 0.0, 10, GLYPHS.optimiser)
    assert highest(own.learning_rate, 10) == pytest.approx(0.05)
    assert value(own.learning_rate, 9, 10) == pytest.approx(value(GLYPHS.learning_rate, 9, 10) / 2)


def test_another_rate_moves_a_stages_own_in_proportion():
    retrained = METHODS["crt"].stages[1]
    assert value(stage_rate(retrained, GLYPHS), 0, 2) == pytest.approx(0.1)
    assert value(stage_rate(retrained, changed(GLYPHS, Settings(learning_rate=0.02))), 0, 2) == pytest.approx(0.02)


def test_adamw_is_taken_with_a_rate():
    assert changed(GLYPHS, Settings(optimiser="adamw", learning_rate=0.001)).optimiser == AdamW()


def test_each_setting_makes_another_study():
    base = Settings("glyphs-lt")
    others = [replace(base, **{name: getattr(CHOSEN, name)}) for name in ("batch", "learning_rate", "weight_decay")]
    ce = METHODS["ce"]
    keys = {resolve(**one.said()).stage_key(ce, ce.stages[0]) for one in (base, *others)}
    assert len(keys) == 4


def test_a_toml_file_says_what_options_say(tiny_lt, tmp_path):
    said = 'method = ["ce", "tau_norm"]\nruns = 2\ndataset = "tiny-lt"\n'
    said += 'learning-rate = 0.05\nbatch = 8\nexecutor = "inline"\n'
    done = run("bootstrap", "--study", tmp_path / "s", "--epochs", 1, config=said, folder=tmp_path)
    assert done.exit_code == 0, done.output
    asked = Store(tmp_path / "s").study()["asked"]
    assert (asked["learning_rate"], asked["batch"], asked["epochs"]) == (0.05, 8, 1)
    assert Store(tmp_path / "s").methods() == ["ce", "tau_norm"]
    again = run("bootstrap", "--study", tmp_path / "s", "--batch", 16, "--epochs", 1, config=said, folder=tmp_path)
    assert again.exit_code == 2 and "batch: 8 there, 16 asked" in again.stderr


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("heads = 3", "unknown option in .* 'heads' .did you mean 'head'"),
        ("head = [3]", "has head = "),
        ("head = 2026-01-01", "has head = "),
        ("epochs = 1.9", "has epochs = 1.9, which is nothing for --epochs"),
        ("learning-rate = true", "has learning-rate = True, which is nothing for --learning-rate"),
        ("dataset = 3", "has dataset = 3"),
        ('force = "yes"', "has force = 'yes'"),
        ("head = ", "cannot be read as TOML"),
        ('head = "many"', "has head = 'many', which is nothing for --head"),
    ],
)
def test_a_toml_file_that_says_nonsense_is_refused(tmp_path, said, words):
    done = run("bootstrap", "--dry-run", config=said, folder=tmp_path)
    assert done.exit_code == 2
    assert re.search(words, done.stderr), done.stderr


def test_a_toml_file_that_is_not_there_is_refused(tmp_path):
    for path, why in ((tmp_path / "none.toml", "does not exist;"), (tmp_path, "cannot be read: ")):
        refused = run("bootstrap", "--config", path).stderr
        assert f"{path} {why}" in refused and "as TOML" not in refused


def test_settings_and_means_are_told_apart():
    asked = Request.of(["ce"], 2, "s", head=9, jobs=3)
    assert asked.settings == Settings(head=9) and asked.means == Means(jobs=3)


def test_what_the_protocol_says_anyway_makes_no_other_study():
    plain, ce = resolve(), METHODS["ce"]
    said = resolve(batch=64, learning_rate=0.1, weight_decay=5e-4, optimiser="sgd")
    assert resolve(augmentation="crop_flip") == plain
    assert said == plain and said.stage_key(ce, ce.stages[0]) == plain.stage_key(ce, ce.stages[0])
    assert resolve(weight_decay=0) == resolve(weight_decay=0.0) != plain


def test_the_command_of_a_study_is_the_study(tiny_lt, monkeypatch):
    monkeypatch.setitem(ENTRIES, "tiny-lt", replace(ENTRIES["tiny-lt"], pool=(40, 20, 7, 3, 2), profile="own"))
    for study in (resolve("tiny-lt", head=20), resolve(imbalance=100 / 3)):
        words = command(Path("s"), study.settings.said()).split()[2:-2]
        again = dict(zip((word[2:].replace("-", "_") for word in words[::2]), words[1::2], strict=True))
        kinds = {name: kind(Settings, name)(text) for name, text in again.items()}
        assert resolve(**kinds) == study


def test_an_augmentation_is_part_of_a_study_and_every_caption_and_the_outlook_name_it(tiny_lt, tmp_path):
    where = ("--method", "ce", "--dataset", "tiny-lt", "--runs", 2, "--epochs", 1, "--executor", "inline")
    ce, found = METHODS["ce"], {}
    for name in ("crop_flip", "rand", "auto+cutout"):
        study = resolve("tiny-lt", augmentation=name)
        found[name] = study.stage_key(ce, ce.stages[0])
        assert study.protocol.augmentation.strong == ("" if name == "crop_flip" else name)
    assert len(set(found.values())) == 3 and found["crop_flip"] == resolve("tiny-lt").stage_key(ce, ce.stages[0])
    here = (*where, "--study", tmp_path / "s", "--augmentation", "auto+cutout")
    assert "  augmentation auto+cutout\n" in run("bootstrap", *here, "--dry-run", folder=tmp_path).output
    done = run("bootstrap", *here, folder=tmp_path)
    assert done.exit_code == 0, done.output
    other = run("bootstrap", *where, "--study", tmp_path / "s", "--augmentation", "rand", folder=tmp_path)
    assert other.exit_code == 2 and "augmentation: 'auto+cutout' there, 'rand' asked" in other.stderr
    evidence = read_study(tmp_path / "s")
    for said in (captions.short(evidence), captions.provenance(evidence), captions.setting(evidence)[0]):
        assert "augmentation auto+cutout" in said
    with pytest.raises(Refusal, match="augmentation .*: under protocol paper each method has its authors'"):
        resolve("cifar100-lt", protocol="paper", augmentation="rand")
