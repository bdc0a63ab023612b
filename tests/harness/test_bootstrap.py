"""A whole study in this process, five classes of 8 x 8 images: what is missing is made, what is there is left."""

import errno
import os
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from contents import everything

from ltbv.engine.predict import record
from ltbv.engine.protocol import PROTOCOLS
from ltbv.errors import Refusal
from ltbv.files import read_arrays
from ltbv.harness.bootstrap import prepare
from ltbv.harness.events import Event, ImagesSeen, StageBegun
from ltbv.harness.outlook import outlook, prediction_bytes
from ltbv.harness.request import Request
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Method, OutputObjective, Stage, mean
from ltbv.methods.routing import ROUTED
from ltbv.report.study import read_study
from ltbv.schedules import Step
from ltbv.store import Store

ALL = tuple(METHODS)


def request(store: Path, methods=("ce",), runs=3, **asked) -> Request:
    return Request.of(methods, runs, store, **{"dataset": "tiny-lt", "executor": "inline"} | asked)


def bootstrap(store: Path, *args, **asked) -> tuple[list[str], list[dict]]:
    """Failures and events."""
    events: list[Event] = []
    return prepare(request(store, *args, **asked)).run(events.append), events


def trained(events: list[Event]) -> list[str]:
    return [f"{event.method}/{event.stage}" for event in events if isinstance(event, StageBegun)]


@pytest.fixture(scope="module")
def finished(introduce, tmp_path_factory) -> Path:
    """Every method, three runs, never interrupted."""
    path = tmp_path_factory.mktemp("finished") / "study"
    with pytest.MonkeyPatch.context() as patch:
        introduce(patch)
        assert bootstrap(path, ALL)[0] == []
    return path


@pytest.fixture(scope="module")
def elsewhere(introduce, tmp_path_factory) -> tuple[Path, list[Event], int, int]:
    """The same elsewhere; what was heard, how many images were announced, and how many are when it is done."""
    path, events = tmp_path_factory.mktemp("elsewhere") / "study", []
    with pytest.MonkeyPatch.context() as patch:
        introduce(patch)
        job = prepare(request(path, ALL))
        assert job.run(events.append) == []
        return path, events, job.images, prepare(request(path, ALL)).images


@pytest.fixture
def study(finished, tiny_lt, tmp_path) -> Path:
    """A copy of the finished study."""
    return shutil.copytree(finished, tmp_path / "study")


# What is written


def test_every_method_and_run_has_predictions_of_the_whole_test_set(study, tiny):
    store = Store(study)
    assert sorted(store.methods()) == sorted(ALL)
    for method in ALL:
        assert store.runs(method) == [0, 1, 2]
        assert store.recipe(method)["label"] == METHODS[method].title
        for run in range(3):
            kept = read_arrays(store.prediction_file(method, run))
            asked = kept.get("experts_used")
            each = kept.get("expert_logits")
            direct = record(kept["logits"].astype(np.float32), tiny.test.labels, asked, expert_logits=each)
            net = METHODS[method].stages[-1].net
            experts = 1 if net.head.joint else net.experts
            assert (each is not None) == (experts > 1 and METHODS[method].predict is mean)
            if each is not None:
                assert each.shape == (experts, *kept["logits"].shape)
                np.testing.assert_allclose(each.mean(0, dtype=float), kept["logits"], atol=0.02)
            assert (asked is not None) == (METHODS[method].predict is ROUTED)
            assert kept.keys() == direct.keys() | {"provenance"} and kept["logits"].shape == (len(tiny.test.labels), 5)
            np.testing.assert_allclose(kept["p_true"], direct["p_true"], atol=0.02)
            blurred = (kept["logits"] == kept["logits"].max(1, keepdims=True)).sum(
                1
            ) > 1  # float16 ties what nearly does
            assert (kept["label"] == direct["label"])[~blurred].all() and not blurred.all()
    assert (store.test_labels() == tiny.test.labels).all()
    assert not list(study.rglob("*.part"))


def test_samples_are_what_the_study_says(study, tiny_lt):
    del tiny_lt
    store = Store(study)
    job = prepare(request(study))
    assert (store.samples() == np.stack([job.study.sample(run) for run in range(3)])).all()
    described = store.study()["data"]
    assert described["counts"] == np.bincount(store.samples()[0] >> 32, minlength=5).tolist()
    assert sorted(k for ids in described["splits"].values() for k in ids) == list(range(5))


def test_methods_learn_something(tiny_lt, tmp_path, monkeypatch):
    """Four runs together: what one run learns in so few steps may depend on how the processor rounds.

    Seeds 0 to 11 give 0.67 to 0.86, single runs 0.53 to 0.93: on one thread and two, with AVX2 and without.
    """
    decaying = replace(PROTOCOLS[8], learning_rate=Step(0.05, 0.005, at=0.7))
    monkeypatch.setitem(PROTOCOLS, 8, decaying)
    bootstrap(tmp_path / "study", ("ce",), runs=4, epochs=15, head=40, imbalance=1.0)
    store = Store(tmp_path / "study")
    assert (store.predictions("ce") == store.test_labels()).mean() > 0.5  # chance is 0.2


def test_a_stage_that_three_methods_share_is_trained_once(tiny_lt, tmp_path):
    failures, events = bootstrap(tmp_path / "study", ("ce", "tau_norm", "crt"), runs=2, stack=2)
    assert failures == [] and trained(events) == ["ce/representation", "crt/classifier"]
    job = prepare(request(tmp_path / "other", ("ce", "tau_norm", "crt"), runs=2, stack=2))
    assert [(task.method.key, task.stage.name) for task in job.trainings] == [
        ("ce", "representation"),
        ("crt", "classifier"),
    ]


def test_progress_adds_up_to_what_was_announced(elsewhere):
    _, events, announced, left = elsewhere
    assert sum(event.images for event in events if isinstance(event, ImagesSeen)) == announced > left == 0


@pytest.mark.parametrize(("runs", "stack"), [(1, None), (2, None), (3, None), (10, None), (11, None), (7, 3), (2, 9)])
def test_chunks_hold_every_run_once_in_order(tiny_lt, tmp_path, runs, stack):
    job = prepare(request(tmp_path / "study", ("ce", "ride"), runs=runs, stack=stack))
    assert [run for chunk in job.chunks for run in chunk.runs] == list(range(runs))
    assert all(chunk.methods == ("ce", "ride") for chunk in job.chunks)
    assert stack is None or max(len(chunk.runs) for chunk in job.chunks) <= stack
    assert stack or runs == 1 or len(job.chunks) >= 2, "two cores have work"


@pytest.mark.parametrize(
    ("runs", "largest", "workers", "sizes"),
    [(20, 40, 1, [20]), (50, 40, 1, [25, 25]), (20, 40, 4, [5] * 4), (10, 3, 1, [3, 3, 3, 1]), (3, 40, 8, [1] * 3)],
)
def test_on_gpus_stacks_are_as_few_and_as_even_as_can_be(monkeypatch, tiny_lt, tmp_path, runs, largest, workers, sizes):
    monkeypatch.setattr("ltbv.harness.bootstrap.choose", lambda name: torch.device("cuda"))
    monkeypatch.setattr("ltbv.harness.bootstrap.count", lambda device: workers)
    monkeypatch.setattr("ltbv.harness.bootstrap.most_runs", lambda *arguments: largest)
    job = prepare(request(tmp_path / "study", ("ce",), runs=runs, executor="local"))
    assert [len(chunk.runs) for chunk in job.chunks] == sizes and job.jobs == min(workers, len(sizes))
    asked = prepare(request(tmp_path / "study", ("ce",), runs=runs, stack=2))
    assert max(len(chunk.runs) for chunk in asked.chunks) == min(2, runs), "as asked"


# Again


def test_the_same_command_again_does_nothing(study):
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in study.rglob("*") if p.is_file()}
    failures, events = bootstrap(study, ALL)
    assert failures == [] and events == []
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in study.rglob("*") if p.is_file()} == before


def test_the_same_command_elsewhere_gives_the_same_bytes(finished, elsewhere):
    assert everything(elsewhere[0]) == everything(finished)


def test_another_seed_gives_other_predictions(study, tmp_path):
    bootstrap(tmp_path / "other", ("ce",), seed=1)
    ours, other = everything(study, "predictions/ce/r"), everything(tmp_path / "other", "predictions/ce/r")
    assert ours.keys() == other.keys() and all(ours[name] != other[name] for name in ours)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_files_are_lost_the_same_command_makes_the_same_again(study, seed):
    """A seeded handful of files of stages, predictions, samples and labels goes, once most of them; all come back
    equal."""
    whole = everything(study)
    draw = random.Random(seed)
    names = sorted(name for name in whole if not name.endswith("recipe.json"))
    for name in draw.sample(names, draw.randint(1, len(names) // 10) if seed else len(names) * 3 // 4):
        (study / name).unlink()
    lost_predictions = any(name.startswith("predictions") for name in whole.keys() - everything(study).keys())
    failures, _ = bootstrap(study, ALL)
    assert failures == []
    found = everything(study)
    for name in whole:
        needed = name.startswith("predictions") or (name.endswith("s.npz") and lost_predictions)
        assert name in found or not needed, name
        assert name not in found or found[name] == whole[name], name


def test_predictions_are_made_from_kept_stages_without_training(study):
    whole = everything(study)
    for method in ALL:
        for path in (study / "predictions" / method).glob("r*.npz"):
            path.unlink()
    failures, events = bootstrap(study, ALL)
    assert failures == [] and trained(events) == [] and everything(study) == whole


def test_methods_asked_one_by_one_are_those_asked_together(study, tmp_path):
    for method in reversed(ALL):
        bootstrap(tmp_path / "apart", (method,))
    assert everything(tmp_path / "apart") == everything(study)


def test_more_runs_extend_a_study(tiny_lt, tmp_path):
    bootstrap(tmp_path / "study", ("ce",), runs=2, stack=2)
    before = everything(tmp_path / "study", "predictions")
    bootstrap(tmp_path / "study", ("ce",), runs=4, stack=2)
    store = Store(tmp_path / "study")
    assert store.runs("ce") == [0, 1, 2, 3] and len(store.samples()) == 4
    assert before.items() <= everything(tmp_path / "study", "predictions").items()
    bootstrap(tmp_path / "study", ("ce",), runs=1)
    assert store.runs("ce") == [0, 1, 2, 3] and len(store.samples()) == 4


# Refusals


def test_other_settings_in_the_same_directory_are_refused_by_name(study):
    before = everything(study)
    with pytest.raises(Refusal, match="other settings.*seed: 0 there, 1 asked"):
        bootstrap(study, ("ce",), seed=1)
    with pytest.raises(Refusal, match="head: 12 there, 10 asked"):
        bootstrap(study, ("ce",), head=10)
    assert everything(study) == before


def test_what_would_be_refused_is_refused_when_it_is_checked(study):
    """A dry run says what the run would say."""
    with pytest.raises(Refusal, match="other settings"):
        prepare(request(study, ("ce",), seed=1))


def test_force_makes_a_study_of_other_settings_anew(study, tmp_path):
    bootstrap(study, ("ce",), seed=1, force=True)
    bootstrap(tmp_path / "fresh", ("ce",), seed=1)
    assert everything(study) == everything(tmp_path / "fresh")


def test_force_with_the_same_settings_trains_the_asked_methods_again(study):
    whole = everything(study)
    failures, events = bootstrap(study, ("ride",), force=True)
    assert failures == [] and trained(events) and set(trained(events)) == {"ride/experts"}
    assert everything(study) == whole


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"runs": 0}, "--runs 0"),
        ({"runs": -1}, "--runs -1"),
        ({"jobs": 0}, "--jobs 0"),
        ({"stack": 0}, "--stack 0"),
        ({"methods": ("rid",)}, "did you mean 'ride'"),
        ({"methods": ("ce", "cee")}, "unknown method 'cee'"),
        ({"head": 41}, "its pool has 40"),
        ({"scheme": "fresh"}, "endless"),
        ({"imbalance": 0.9}, "imbalance"),
        ({"device": "quantum"}, "device"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_written(tiny_lt, tmp_path, asked, words):
    with pytest.raises(Refusal, match=words) as refusal:
        bootstrap(tmp_path / "study", **asked)
    assert "\n" not in str(refusal.value) and not (tmp_path / "study").exists()


def test_an_executor_that_does_not_exist_is_refused(tiny_lt, tmp_path):
    with pytest.raises(Refusal, match="unknown executor 'lokal'.*did you mean 'local'"):
        prepare(request(tmp_path / "study", executor="lokal"))


def test_two_methods_with_one_key_are_refused_before_anything_is_written(tiny_lt, tmp_path, own_methods):
    own_methods.ONE, own_methods.TWO = (replace(METHODS[key], key="mine", label="Mine") for key in ("ce", "ldam"))
    with pytest.raises(Refusal, match="mine"):
        bootstrap(tmp_path / "study", ("own_methods:ONE", "own_methods:TWO"))
    assert not (tmp_path / "study").exists()


def test_a_method_of_ones_own_does_not_pass_for_a_known_one(tiny_lt, tmp_path, own_methods):
    """Everything is compared with `ce`: another method under that key would be taken for the reference."""
    own_methods.MINE = replace(METHODS["ldam"], key="ce", label="CE")
    with pytest.raises(Refusal, match="'ce'"):
        bootstrap(tmp_path / "study", ("own_methods:MINE",))
    assert not (tmp_path / "study").exists()


def test_a_method_that_only_this_process_knows_is_for_no_worker(tiny_lt, tmp_path, monkeypatch):
    monkeypatch.setattr("ltbv.methods.registry.METHODS", METHODS | {"here": replace(METHODS["ce"], key="here")})
    prepare(request(tmp_path / "study", ("here",)))
    with pytest.raises(Refusal, match="method 'here' is known in this process only.* package.module:name"):
        prepare(request(tmp_path / "study", ("here",), executor="local"))


def test_a_known_method_by_its_long_name_is_the_same(study):
    whole = everything(study)
    failures, events = bootstrap(study, ("ltbv.methods.baseline:CE", "ce"))
    assert failures == [] and events == [] and everything(study) == whole


@pytest.mark.parametrize("key", ["../elsewhere", "a/b", "", "a\nb", ".", "é", "k" * 101])
def test_a_key_that_is_no_name_for_a_directory_is_refused(tiny_lt, tmp_path, own_methods, key):
    with pytest.raises(Refusal, match="key"):
        own_methods.MINE = replace(METHODS["ce"], key=key, label="Own")
        bootstrap(tmp_path / "study", ("own_methods:MINE",))
    assert not list(tmp_path.iterdir())


def test_a_recipe_without_a_description_is_refused_before_anything_is_written(tiny_lt, tmp_path, own_methods):
    own_methods.MINE = replace(METHODS["ce"], key="mine", posthoc=torch.nn.Identity())
    with pytest.raises(Refusal, match="no stable description"):
        bootstrap(tmp_path / "study", ("own_methods:MINE",))
    assert not (tmp_path / "study").exists()


# What goes wrong


@dataclass(frozen=True)
class Diverges(OutputObjective):
    """Cross-entropy, infinite in the run whose counts are these."""

    counts: tuple[int, ...]

    def of_run(self, output, labels, counts, now, given=()):
        del now, given
        loss = cross_entropy(output.logits.mean(0), labels).mean()
        return torch.where((counts == torch.tensor(self.counts)).all(), float("inf"), 1.0) * loss


def test_a_run_that_diverges_fails_alone_and_says_so(tiny_lt, tmp_path, own_methods):
    """Under `bootstrap` runs have counts of their own, by which the method knows run 1."""
    asked = {"runs": 3, "stack": 3, "scheme": "bootstrap", "head": 20}
    counts = np.bincount(prepare(request(tmp_path / "none", **asked)).samples[1] >> 32, minlength=5)
    own_methods.MINE = Method("mine", "Mine", stages=(Stage("all", Diverges(tuple(counts.tolist()))),))
    for _ in range(2):  # the second time it says so again
        failures, _ = bootstrap(tmp_path / "study", ("own_methods:MINE", "ce"), **asked)
        assert len(failures) == 1 and "\n" not in failures[0]
        assert "mine" in failures[0] and "1" in failures[0] and "diverged" in failures[0]
        store = Store(tmp_path / "study")
        assert store.runs("mine") == [0, 2] and store.runs("ce") == [0, 1, 2]


def test_a_shared_stage_of_which_a_run_diverged_is_trained_once(tiny_lt, tmp_path, own_methods):
    """It would diverge again: its weights are kept as those of the others are."""
    asked = {"runs": 2, "stack": 2, "scheme": "bootstrap", "head": 20}
    counts = np.bincount(prepare(request(tmp_path / "none", **asked)).samples[1] >> 32, minlength=5)
    shared = Stage("all", Diverges(tuple(counts.tolist())))
    for key in ("one", "other"):
        second = Stage("head", shared.objective, start="all", train=("heads",))
        setattr(own_methods, key.upper(), Method(key, key, stages=(shared, second)))
    names, heard = ("own_methods:ONE", "own_methods:OTHER"), []
    for _ in range(2):
        failures, events = bootstrap(tmp_path / "study", names, **asked)
        assert len(failures) == 2 and all("diverged" in line for line in failures)
        heard += trained(events)
    assert heard == ["one/all", "one/head"]
    assert Store(tmp_path / "study").runs("one") == Store(tmp_path / "study").runs("other") == [0]


def test_a_damaged_stage_is_named_and_mended_by_deleting_it(study):
    whole = everything(study)
    damaged = next((study / "stages").glob("*/r000.npz"))
    damaged.write_bytes(damaged.read_bytes()[:1000])
    shutil.rmtree(study / "predictions" / "ce")
    shutil.rmtree(study / "predictions" / "ride")
    failures: list[str] = []
    try:
        failures, _ = bootstrap(study, ALL)
    except Refusal as refusal:
        failures = [str(refusal)]
    if failures:  # the one that stands on the damaged file
        assert str(damaged) in failures[0] and "delete it" in failures[0]
        damaged.unlink()
        assert bootstrap(study, ALL)[0] == []
    assert everything(study, "predictions") == {n: c for n, c in whole.items() if n.startswith("predictions")}


def test_a_full_disk_ends_in_one_line_and_the_same_command_goes_on(tiny_lt, tmp_path, monkeypatch, study):
    """Space for a seeded number of files, then none; then space again."""
    real = os.fsync
    for space in (0, 1, 3, 6, 11):
        left = iter(range(2 * space))  # a file is synced, then its directory

        def full(descriptor, left=left):
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        target = tmp_path / f"space{space}"
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            try:
                failures, _ = bootstrap(target, ("ce", "tau_norm"))
            except Refusal as refusal:
                failures = [str(refusal)]
        assert failures and "No space left on device" in failures[0] and "\n" not in failures[0]
        assert not list(target.rglob("*.part"))
        assert bootstrap(target, ("ce", "tau_norm"))[0] == []
        assert everything(target, "predictions/ce/") == everything(study, "predictions/ce/")


# Notes and outlook


def test_notes_speak_of_lost_classes_and_shared_images(tiny_lt, tmp_path):
    assert prepare(request(tmp_path / "a", runs=3, head=8, imbalance=2.0)).notes() == []
    (shared,) = prepare(request(tmp_path / "b", runs=3, head=40)).notes()
    assert (
        "up to 100% of a class's images (one of 40;" in shared and "the variance reads too low in every split" in shared
    )
    assert f"  note: {shared}" in outlook(prepare(request(tmp_path / "b", runs=3, head=40)))
    lost = prepare(request(tmp_path / "c", runs=8, head=12, imbalance=12.0, scheme="bootstrap")).notes()
    assert any("classes without images" in note for note in lost)


def test_a_note_says_how_many_stages_methods_share(tiny_lt, tmp_path):
    asked = {"runs": 3, "head": 8, "imbalance": 2.0}
    (shared,) = prepare(request(tmp_path / "a", ("ce", "tau_norm", "crt"), **asked)).notes()
    assert "3 methods stand on 4 stages, 2 of them different" in shared
    assert prepare(request(tmp_path / "b", ("ce", "focal"), **asked)).notes() == []


def test_logits_are_left_out_where_they_are_not_wanted_and_all_else_is_the_same(tiny_lt, tmp_path):
    for name, kept in (("with", True), ("without", False)):
        assert bootstrap(tmp_path / name, ("ce",), keep_logits=kept)[0] == []
    one, other = (read_arrays(Store(tmp_path / name).prediction_file("ce", 0)) for name in ("with", "without"))
    assert one.keys() - other.keys() == {"logits"}
    assert all((one[name] == other[name]).all() for name in ("label", "p_true", "p_negative", "lse", "sum_p2"))
    assert read_study(tmp_path / "without").reference.runs == (0, 1, 2)


def test_logits_of_experts_are_left_out_where_they_are_not_wanted(tiny_lt, tmp_path, monkeypatch):
    """The settings, and with them all keys, are the same."""
    monkeypatch.setattr("ltbv.engine.predict.MOST_EXPERT_LOGITS", 0)
    for name, asked in (("with", True), ("without", None)):
        chosen = {"keep_expert_logits": asked, "runs": 1}
        assert bootstrap(tmp_path / name, ("ce_ensemble",), **chosen)[0] == []
    one, other = (Store(tmp_path / name) for name in ("with", "without"))
    kept, less = (read_arrays(of.prediction_file("ce_ensemble", 0)) for of in (one, other))
    assert kept.keys() - less.keys() == {"expert_logits"} and kept["expert_logits"].shape == (3, *kept["logits"].shape)
    assert all((kept[name] == less[name]).all() for name in less if name != "provenance")
    assert one.recipe("ce_ensemble") == other.recipe("ce_ensemble")
    with pytest.raises(Refusal, match="--keep-expert-logits is asked, and --no-keep-logits too"):
        request(tmp_path, keep_expert_logits=True, keep_logits=False)


def test_the_outlook_counts_the_logits_that_are_kept(tmp_path, tiny_lt):
    def size(method="ce_ensemble", **chosen):
        job = prepare(request(tmp_path / "new", (method,), **chosen))
        return prediction_bytes(METHODS[method], job, tiny_lt.num_classes)

    without, alone, each = (size(**chosen) for chosen in ({"keep_logits": False}, {"keep_expert_logits": False}, {}))
    of_logits = len(tiny_lt.test.labels) * tiny_lt.num_classes * 2
    assert [alone - without, each - alone] == [of_logits, 3 * of_logits]
    assert size("ride_routed") == size("ce", keep_expert_logits=True) == alone


def test_loss_by_epoch_is_kept_with_the_weights(study):
    for path in (study / "stages").glob("*/r*.npz"):
        losses = read_arrays(path)["loss_by_epoch"]
        assert losses.ndim == 1 and np.isfinite(losses).all()
