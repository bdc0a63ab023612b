"""Is what predicts what is kept, and is it found where a file is not what its place says?"""

import json
import re
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ltbv.cli import main
from ltbv.engine.predict import predict
from ltbv.engine.protocol import PROTOCOLS
from ltbv.errors import Refusal
from ltbv.files import read_arrays, write_arrays
from ltbv.harness.bootstrap import prepare
from ltbv.harness.request import Request
from ltbv.harness.status import verify
from ltbv.harness.trainer import Trainer, one_thread
from ltbv.methods import METHODS
from ltbv.report.study import read_study
from ltbv.store import Store, provenance


def bootstrap(store: Path, methods=("ce",), runs=2, **asked) -> None:
    asked = {"dataset": "tiny-lt", "executor": "inline", **asked}
    assert prepare(Request.of(methods=methods, runs=runs, store=store, **asked)).run(lambda event: None) == []


def kinds(store: Path) -> set[str]:
    return {finding.kind for finding in verify(Store(store))}


def notes(store: Path) -> str:
    return " ".join(read_study(store).setting.notes)


@pytest.fixture
def study(tiny_lt, tmp_path) -> Path:
    bootstrap(tmp_path / "study", ("ce", "tau_norm"))
    return tmp_path / "study"


# A grown study


@pytest.mark.parametrize(("first", "then"), [(1, 4), (2, 5), (3, 4), (1, 2)])
@pytest.mark.parametrize("method", ["tau_norm", "crt"])
def test_a_grown_study_predicts_from_the_weights_that_it_keeps(tiny_lt, tmp_path, first, then, method):
    """The stages of the first command are kept; what the second adds to the same runs stands on just these.

    The kept weights are moved far from what is trained again, as rounding moves them in a longer training.
    """
    bootstrap(tmp_path, runs=first, stack=first)
    for path in tmp_path.glob("stages/*/r*.npz"):
        arrays = read_arrays(path)
        write_arrays(path, arrays | {name: -arrays[name] for name in ("heads.weight", "heads.bias", "stem.0.0.weight")})
    for path in tmp_path.glob("predictions/ce/r*.npz"):
        path.unlink()
    stages = {path: path.read_bytes() for path in tmp_path.glob("stages/*/*.npz")}
    bootstrap(tmp_path, (method,), runs=then, stack=then)
    assert all(path.read_bytes() == content for path, content in stages.items()), "kept"
    assert kinds(tmp_path) == set()
    store, own = Store(tmp_path), METHODS[method]
    study = prepare(Request.of(methods=("ce",), runs=1, store=tmp_path, dataset="tiny-lt")).study
    for run in range(then):
        assert store.has_stage(study.stage_key(own, own.stages[-1]), [run])
        with one_thread(torch.device("cpu")):
            shop = Trainer(study, store, tiny_lt, (run,), device=torch.device("cpu"))
            logits, *_ = predict(shop.finished(own), shop.test, own.predict)
        found = read_arrays(store.prediction_file(method, run))
        np.testing.assert_allclose(found["logits"], logits[0], atol=0.02, rtol=0.01)


def test_a_stage_that_is_trained_again_beside_a_damaged_one_stays_what_it_was(study):
    """One of two files of a stack is damaged: the other goes on as it was kept, the damaged one is set aside."""
    (stage,) = {path.parent for path in study.glob("stages/*/r000.npz")}
    bootstrap(study, runs=4, stack=4)
    (stage / "r002.npz").write_bytes(b"PK")
    kept = {path.name: path.read_bytes() for path in stage.glob("r*.npz") if path.name != "r002.npz"}
    bootstrap(study, ("tau_norm",), runs=4, stack=2)
    assert {name: (stage / name).read_bytes() for name in kept} == kept
    assert (stage / "r002.npz.damaged").read_bytes() == b"PK" and (stage / "r002.npz").exists()


# Where files come from


def test_files_say_where_they_come_from_and_how_they_were_made(study):
    store = Store(study)
    recipe = store.recipe("tau_norm")
    said = provenance.said(read_arrays(store.prediction_file("tau_norm", 1)))
    assert (said["method"], said["run"], said["seed"]) == (recipe["key"], 1, 0)
    assert said["stages"] == [stage["key"] for stage in recipe["stages"]]
    stage = read_arrays(store.stage_file(said["stages"][-1], 1))
    assert said["weights"] == {said["stages"][-1]: provenance.digest_of(stage)}
    for setup in (said["trained"], said["predicted"], provenance.said(stage)["trained"]):
        assert setup["runs"] == [1] and setup["threads"] == 1 and setup["dtype"] == "float32"
        assert setup["device"].startswith("cpu ") and setup["versions"]["torch"] == version("torch")


def copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def elsewhere(study: Path, path: Path, **asked) -> None:
    """The same file of a study with other settings."""
    bootstrap(study.parent / "other", ("ce", "tau_norm"), **asked)
    copy(study.parent / "other" / path.relative_to(study), path)


FOREIGN = {
    "of another run": (lambda s, p: copy(p.with_name("r001.npz"), p), "run 1, not 0"),
    "of another seed": (lambda s, p: elsewhere(s, p, seed=3), "seed 3, not 0"),
    "of another length": (lambda s, p: elsewhere(s, p, epochs=1), "recipe"),
    "of another method": (lambda s, p: copy(s / "predictions" / "tau_norm" / p.name, p), "recipe"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_prediction_file_that_is_another_one_is_found(study, kind):
    put, words = FOREIGN[kind]
    path = Store(study).prediction_file("ce", 0)
    put(study, path)
    told = CliRunner().invoke(main, ["status", str(study), "--verify"])
    assert told.exit_code == 1 and f"run 0 of ce ({path}) is foreign: " in told.stdout and words in told.stdout
    assert "every file is whole" not in told.stdout and path.exists()
    with pytest.raises(
        Refusal, match=f"{path} is another file than its name says: .*{words}.*ltbv bootstrap"
    ) as refusal:
        read_study(study)
    assert "\n" not in str(refusal.value)
    found = json.loads(CliRunner().invoke(main, ["status", str(study), "--verify", "--json"]).stdout)
    assert len(found["foreign"]) == 1 and found["damaged"] == found["unread"] == []


def test_a_stage_file_that_is_another_one_is_found_and_not_used(study):
    (path,) = study.glob("stages/*/r000.npz")
    copy(path.with_name("r001.npz"), path)
    assert {(one.kind, "run 1, not 0" in one.line) for one in verify(Store(study))} >= {("foreign", True)}
    asked = Request.of(methods=("crt",), runs=2, store=study, dataset="tiny-lt", executor="inline")
    (failure,) = prepare(asked).run(lambda event: None)
    assert f"{path} is another file than its name says (run 1, not 0)" in failure and path.exists()


def test_a_stage_of_other_weights_than_those_that_predicted_is_found(study):
    """Adopted from a study that trained the same in another stack: same stage, run and seed, other rounding."""
    (path,) = study.glob("stages/*/r000.npz")
    arrays = read_arrays(path)
    arrays["heads.weight"] = np.nextafter(arrays["heads.weight"], np.float32(9))
    write_arrays(path, arrays)
    lines = [one.line for one in verify(Store(study))]
    assert len(lines) == 2 and all("made with other weights of stage" in line for line in lines)
    Store(study).prediction_file("tau_norm", 0).unlink()
    bootstrap(study, ("tau_norm",))
    assert "CE, tau-norm stand on one stage, but in run 0 on other weights of it" in notes(study)


def test_a_file_that_does_not_say_where_it_comes_from_is_found(study):
    path = Store(study).prediction_file("ce", 0)
    arrays = read_arrays(path)
    del arrays["provenance"]
    write_arrays(path, arrays)
    assert kinds(study) == {"foreign"}
    assert "1 prediction files do not say where they come from (the first: run 0 of CE)" in notes(study)


# What a study mixes


def test_a_study_of_one_command_is_not_told_to_be_mixed(tiny_lt, tmp_path):
    for runs in (1, 2, 5):  # of five, the last stack has fewer
        bootstrap(tmp_path / str(runs), ("ce", "ride"), runs=runs, stack=2)
        assert "made alike" not in notes(tmp_path / str(runs))


MIXED = {
    "between methods": ({"stack": 1}, {"methods": ("ride",), "stack": 2}, r"runs in a stack: 1 \(CE\); 2 \(RIDE.*\)"),
    "between runs": ({"stack": 1}, {"runs": 4, "stack": 2}, r"runs in a stack: 1 \(CE\); 2 \(CE\)"),
    "a smaller one after": ({"stack": 2}, {"runs": 4, "stack": 1}, r"runs in a stack: 1 \(CE\); 2 \(CE\)"),
}


@pytest.mark.parametrize("case", MIXED)
def test_a_study_that_mixes_stacks_is_told(tiny_lt, tmp_path, case):
    first, then, words = MIXED[case]
    bootstrap(tmp_path, **first)
    bootstrap(tmp_path, **then)
    assert kinds(tmp_path) == set(), "mixed, but nothing is foreign"
    found = notes(tmp_path)
    assert re.search(f"not all runs were made alike .*{words}", found), found


def test_other_threads_devices_and_versions_are_told():
    alike = {"runs": [0], "threads": 1, "device": "cpu AVX2", "dtype": "float32", "versions": {"torch": "1"}}
    for name, other in {"threads": 4, "device": "H100", "dtype": "float64", "versions": {"torch": "2"}}.items():
        runs = {"ce": {0: {"trained": alike}}, "ride": {0: {"trained": alike | {name: other}}}}
        (line,) = provenance.mixtures(runs)
        assert name in line and "(ce)" in line and "(ride)" in line
    assert provenance.mixtures({"ce": {0: {"trained": alike}}, "ride": {0: {"trained": alike}}}) == []
    assert provenance.mixtures({"ce": {0: {"trained": 7, "weights": []}, 1: {"predicted": {"runs": "all"}}}}) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_a_chunk_is_trained_by_one_thread_on_a_cpu(tiny_lt, tmp_path, threads):
    """Whoever trains it, and gives the process its threads back."""
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(threads)
    try:
        job = prepare(Request.of(methods=("ce",), runs=1, store=tmp_path, dataset="tiny-lt", executor="inline"))
        job.run(lambda event: seen.append(torch.get_num_threads()))
        assert set(seen) == {1} and torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    said = provenance.said(read_arrays(Store(tmp_path).prediction_file("ce", 0)))
    assert said["trained"]["threads"] == said["predicted"]["threads"] == 1


# Studies of before


def old(study: Path) -> Path:
    """As ltbv wrote it before studies had an identity and files said where they come from."""
    told = json.loads((study / "study.json").read_text())
    del told["identity"]
    (study / "study.json").write_text(json.dumps(told))
    for path in study.glob("*/*/r*.npz"):
        write_arrays(path, {name: array for name, array in read_arrays(path).items() if name != "provenance"})
    return study


def test_a_study_without_an_identity_is_reported_with_a_caution_and_not_gone_on_with(study):
    asked = Request.of(methods=("ce",), runs=2, store=old(study), dataset="tiny-lt", executor="inline")
    assert "gave studies no identity" in notes(study) and verify(Store(study)) == []
    assert prepare(asked).run(lambda event: None) == [], "nothing is missing"
    words = (
        r"can be reported, not gone on with; start a new one: ltbv bootstrap --method ce --runs 3 .* --study .*-new$"
    )
    with pytest.raises(Refusal, match=words):
        prepare(replace(asked, runs=3))
    with pytest.raises(Refusal, match="no identity"):
        prepare(replace(asked, methods=("crt",)))
    assert prepare(replace(asked, means=replace(asked.means, force=True))).run(lambda event: None) == []
    assert Store(study).known_as() and Store(study).methods() == ["ce"] and kinds(study) == set()


GROWN = {  # the runs asked in turn, options of the first, and the stack of each run, by its file
    "4, then 8": ([4, 8], {}, [2, 2, 2, 2, 2, 2, 2, 2]),
    "1, then 4": ([1, 4], {}, [1, 1, 1, 1]),
    "5, then 8": ([5, 8], {}, [3, 3, 3, 2, 2, 3, 2, 2]),
    "as asked, then 7": ([3, 7], {"stack": 3}, [3, 3, 3, 3, 3, 3, 1]),
    "thrice": ([2, 3, 6], {"stack": 2}, [2, 2, 1, 2, 2, 2]),
}


@pytest.fixture
def stacked(tiny_lt, monkeypatch):
    """The data set, with a protocol of stacks of up to five runs."""
    monkeypatch.setitem(PROTOCOLS, 8, replace(PROTOCOLS[8], stack=5))


@pytest.mark.parametrize("case", GROWN)
def test_a_study_that_grows_keeps_the_stacks_that_it_began_with(stacked, tmp_path, case):
    asked, first, sizes = GROWN[case]
    for at, runs in enumerate(asked):
        bootstrap(tmp_path, ("ce", "ride"), runs=runs, **(first if at == 0 else {}))
    for method in ("ce", "ride"):
        files = [Store(tmp_path).prediction_file(method, run) for run in range(asked[-1])]
        assert [len(provenance.said(read_arrays(path))["trained"]["runs"]) for path in files] == sizes
    assert "made alike" not in notes(tmp_path) and kinds(tmp_path) == set()


def test_so_does_one_that_methods_join_and_what_is_asked_is_done(stacked, tmp_path):
    bootstrap(tmp_path, runs=1)
    grown = Request.of(methods=("ride",), runs=4, store=tmp_path, dataset="tiny-lt", executor="inline")
    job = prepare(grown)
    assert [chunk.runs for chunk in job.chunks] == [(0,), (1,), (2,), (3,)]
    assert any("in stacks of 1, as this study began, so that all round alike; --stack 2 is" in n for n in job.notes())
    job = prepare(replace(grown, means=replace(grown.means, stack=4)))
    assert [chunk.runs for chunk in job.chunks] == [(0, 1, 2, 3)] and not any("as this study" in n for n in job.notes())
    assert [chunk.runs for chunk in prepare(replace(grown, means=replace(grown.means, force=True))).chunks] == [
        (0, 1),
        (2, 3),
    ]


@pytest.mark.parametrize("what", ["only stages", "damaged", "it does not say"])
def test_the_stack_is_told_by_whatever_file_says_it(stacked, tmp_path, what):
    bootstrap(tmp_path, ("ce", "ride"), runs=4)
    first = Store(tmp_path).prediction_file("ce", 0)
    if what == "only stages":
        for path in tmp_path.glob("predictions/*/r*.npz"):
            path.unlink()
    elif what == "damaged":
        first.write_bytes(b"PK and no more")
    else:
        arrays = read_arrays(first)
        del arrays["provenance"]
        write_arrays(first, arrays)
    job = prepare(Request.of(methods=("ce",), runs=9, store=tmp_path, dataset="tiny-lt", executor="inline"))
    assert {len(chunk.runs) for chunk in job.chunks} <= {1, 2}


def test_a_last_stack_that_was_done_first_does_not_tell_the_size_of_all(stacked, tmp_path):
    """An interrupted study is finished by the stacks that it was planned in."""
    asked = Request.of(methods=("ce",), runs=3, store=tmp_path, dataset="tiny-lt", executor="inline")
    assert [chunk.runs for chunk in prepare(asked).chunks] == [(0, 1), (2,)]
    prepare(asked).open()
    assert prepare(replace(asked, only=(2,))).run(lambda event: None) == [] and Store(tmp_path).runs("ce") == [2]
    assert [chunk.runs for chunk in prepare(asked).chunks] == [(0, 1)]
