"""Development images: how many, of which run, what a method trained on them counts, and who is told of them."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ltbv.cli import main
from ltbv.data.dataset import labels_of
from ltbv.errors import Refusal
from ltbv.harness.describe import explanation
from ltbv.harness.study import resolve
from ltbv.harness.trainer import Trainer
from ltbv.methods import METHODS
from ltbv.report.study import read_study
from ltbv.store import Store

CPU = torch.device("cpu")
LOOKING = [key for key, method in METHODS.items() if method.development]
TRAINED_ON = ["ce_with_dev", "ce_drw_with_dev"]


def shop(path, runs=(0, 1, 2), dataset="tiny-lt", **asked) -> Trainer:
    study = resolve(dataset, **asked)
    return Trainer(study, Store(path), study.entry.load(None), runs, device=CPU)


def bootstrap(path, *words):
    told = ["bootstrap", "--study", path, "--dataset", "tiny-lt", "--executor", "inline", "--epochs", 1, *words]
    return CliRunner().invoke(main, list(map(str, told)), catch_exceptions=False)


def test_their_number_is_a_setting_of_the_methods_that_look_at_them_and_of_no_other():
    usual, more = resolve("glyphs-lt"), resolve("glyphs-lt", development=20)
    for method in METHODS.values():
        stages = zip(method.stages, more.form(method).stages, strict=True)
        same = [usual.stage_key(method, a) == more.stage_key(more.form(method), b) for a, b in stages]
        assert all(same) == (not method.development) and any(same) == all(same)
        assert more.form(method).title == method.title.replace("(10 dev)", "(20 dev)")
        assert ("(10 dev)" in method.title) == bool(method.development)


@pytest.mark.parametrize("number", [0, -3])
def test_none_of_them_is_refused(number):
    with pytest.raises(Refusal, match=f"development {number}: at least 1 image a class"):
        resolve("glyphs-lt", development=number)


@pytest.mark.parametrize("per_class", [2, 35])
@pytest.mark.parametrize("key", LOOKING)
def test_a_feed_has_them_apart_or_among_the_training_images(tiny_lt, tmp_path, key, per_class):
    """Of a pool of 40 a class: with 35 the larger classes of a sample give some up."""
    work = shop(tmp_path, development=per_class)
    method = work.study.form(METHODS[key])
    feed, counts = work.feed_of(method.stages[0]), work.study.counts
    given_up = np.maximum(0, per_class - (40 - counts))
    assert (feed.held_labels == np.repeat(np.arange(5), per_class)).all()
    assert (feed.counts == counts - given_up + (per_class if key in TRAINED_ON else 0)).all()
    for rows, held in zip(feed.rows, feed.held_rows, strict=True):
        assert len(np.intersect1d(rows, held)) == (5 * per_class if key in TRAINED_ON else 0)
        assert len(set(rows)) == len(rows)


@pytest.mark.parametrize("key", LOOKING)
def test_no_run_feels_the_development_images_of_another(tiny_lt, tmp_path, monkeypatch, key):
    method, trained = METHODS[key], []
    for other in (False, True):
        if other:
            own = Trainer._sample

            def swapped(work, run, stage, own=own):
                return own(work, run + 7 * (run == 1), stage)

            monkeypatch.setattr(Trainer, "_sample", swapped)
        trained.append(shop(tmp_path / str(other)).obtain(method, method.stages[0]).state_dict())
    for name, values in trained[0].items():
        one, two = (of[name].unflatten(0, (3, -1)) for of in trained)
        assert torch.equal(one[0], two[0]) and torch.equal(one[2], two[2]), name
        assert not torch.equal(one[1], two[1]) or not values.is_floating_point(), name


@pytest.mark.parametrize("key", LOOKING)
def test_two_classes_will_do(two_lt, tmp_path, key):
    work = shop(tmp_path, dataset="two-lt")
    logits = METHODS[key].predict(work.finished(METHODS[key]), work.test.block(slice(None), 3)).logits
    assert logits.shape == (3, 12, 2) and logits.isfinite().all()


def test_what_the_pool_cannot_give_is_refused_before_anything_is_written(tiny_lt, tmp_path):
    done = bootstrap(tmp_path / "s", "--method", "ce,l2rw", "--development", 40)
    assert done.exit_code == 2 and not (tmp_path / "s").exists()
    assert "class 0 has 40 images, 12 of them in run 0: too few to hold out 40 and to train on one" in done.stderr


def test_a_study_says_it_in_its_rows_and_refuses_another_number(tiny_lt, tmp_path):
    done = bootstrap(tmp_path / "s", "--method", "ce,l2rw,ce_with_dev", "--runs", 2, "--development", 4)
    assert done.exit_code == 0, done.output
    assert "L2RW (4 dev) 2 runs" in done.output
    evidence = read_study(tmp_path / "s")
    assert list(evidence.names.values()) == ["CE", "L2RW (4 dev)", "CE with dev (4 dev)"]
    (line,) = (note for note in evidence.setting.notes if "development" in note)
    assert line.startswith("L2RW (4 dev), CE with dev (4 dev): dev: ")
    assert not [note for note in read_study(tmp_path / "s", methods=("ce",)).setting.notes if "development" in note]
    again = bootstrap(tmp_path / "s", "--method", "l2rw", "--runs", 2)
    assert again.exit_code == 2 and "development: 4 there" in again.stderr


def test_a_number_that_no_method_asks_for_is_said_to_change_nothing(tiny_lt, tmp_path):
    for method, said in (("ce", True), ("ce,l2rw", False)):
        done = bootstrap(tmp_path / "s", "--method", method, "--development", 4, "--dry-run")
        assert ("--development 4 changes nothing: none of these methods looks at" in done.output) == said


def test_what_they_cost_is_told():
    study = resolve("glyphs-lt")
    plain, epochs = study.cost(METHODS["ce"])["training_images_times_macs"], study.protocol.epochs
    times = {key: study.cost(METHODS[key])["training_images_times_macs"] / plain for key in LOOKING}
    assert times["l2rw"] == pytest.approx(8 / 3) and times["meta_weight_net"] == pytest.approx(11 / 3)
    assert times["jamal_ce"] == pytest.approx((0.8 * epochs + 0.2 * epochs * 11 / 3) / epochs)
    assert times["ce_with_dev"] == pytest.approx((study.counts.sum() + 1000) / study.counts.sum())
    assert "3.7 times the work of one forward and backward pass, from epoch 17 on" in explanation(
        "jamal_ce", "glyphs-lt"
    )
    assert "the work of one forward" not in explanation("ce_with_dev", "glyphs-lt")
    assert "10 images of each class, and trained on" in explanation("ce_with_dev", "glyphs-lt")


def test_what_a_bootstrap_repeats_and_gives_up_is_trained_on_once(tiny_lt, tmp_path):
    work = shop(tmp_path, runs=(0,), scheme="stratified_bootstrap", development=38)
    sample, (left, held) = work.study.sample(0), work.study.held_out(0, 38)
    assert len(np.unique(sample)) < len(sample) and len(left) + len(np.intersect1d(sample, held)) < len(sample)
    feed = work.feed_of(work.study.form(METHODS["ce_with_dev"]).stages[0])
    assert len(feed.rows[0]) == len(left) + len(held) and not np.isin(left, held).any()
    assert (np.bincount(labels_of(held)) == 38).all() and len(np.unique(held)) == len(held)
