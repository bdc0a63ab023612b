"""What is asked: defaults filled in, nonsense refused with what would have worked, keys that mean something."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from ltbv.data.catalogue import ENTRIES
from ltbv.data.samplers import CLASS_BALANCED
from ltbv.errors import Refusal
from ltbv.harness.study import canonical, fingerprint, resolve
from ltbv.losses import cross_entropy, focal
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Method, Stage
from ltbv.models.parts import COSINE
from ltbv.schedules import Step
from ltbv.settings import Settings


def test_defaults_are_those_of_the_data_set():
    study = resolve()
    assert study.settings == Settings(
        dataset="glyphs-lt", scheme="subsample", head=100, imbalance=50.0, profile="exp", epochs=20, seed=0
    )
    assert study.protocol.epochs == 20
    assert study.counts[0] == 100 and study.counts[-1] == 2 and len(study.counts) == 100
    assert sum(map(len, study.splits.values())) == 100 and all(map(len, study.splits.values()))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"dataset": "glyph-lt"}, r"unknown dataset 'glyph-lt' \(did you mean 'glyphs-lt'\?\); there is: cifar10-lt"),
        ({"dataset": "cifar-100-lt"}, "did you mean 'cifar100-lt'"),
        ({"scheme": "subsampel"}, r"unknown scheme 'subsampel' \(did you mean 'subsample'\?\); there is: bootstrap"),
        ({"profile": "expo"}, "did you mean 'exp'"),
        ({"head": 501}, "class 0 needs 501 images but its pool has 500"),
        ({"dataset": "cifar100-lt", "head": 501}, "its pool has 500"),
        ({"dataset": "cifar10-lt", "scheme": "fresh"}, "endless pool"),
        ({"head": 0}, "head is 0"),
        ({"head": -3}, "head is -3"),
        ({"imbalance": 0.5}, "imbalance is 0.5"),
        ({"imbalance": 0.0}, "imbalance is 0"),
        ({"imbalance": float("nan")}, "imbalance is nan"),
        ({"imbalance": float("inf")}, "imbalance is inf"),
        ({"head": 10, "imbalance": 20}, "empty"),
        ({"seed": -1}, "seed -1"),
        ({"epochs": 0}, "epochs 0"),
        ({"scheme": "fresh", "head": 1_500_000_000}, "head"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(asked, words):
    with pytest.raises(Refusal, match=words) as refusal:
        study = resolve(**asked)
        study.sample(0)
    assert "\n" not in str(refusal.value)


def test_a_scheme_beyond_the_pool_may_have_a_larger_head():
    assert resolve(scheme="fresh", head=600).sample(0).shape == (resolve(scheme="fresh", head=600).counts.sum(),)


def test_samples_are_of_the_run_alone_and_have_the_counts(tiny_lt):
    study = resolve("tiny-lt")
    assert (study.sample(3) == resolve("tiny-lt").sample(3)).all()
    assert (study.sample(3) != study.sample(4)).any()
    assert (study.sample(3) != resolve("tiny-lt", seed=1).sample(3)).any()
    for run in range(3):
        assert (np.bincount(study.sample(run) >> 32, minlength=5) == study.counts).all()


def test_data_with_a_profile_of_their_own_have_their_own_counts_and_thresholds(tiny_lt, monkeypatch):
    natural = replace(ENTRIES["tiny-lt"], pool=(300, 120, 60, 19, 2), profile="own", scheme="stratified_bootstrap")
    monkeypatch.setitem(ENTRIES, "tiny-lt", natural)
    whole, part = resolve("tiny-lt", head=300), resolve("tiny-lt", head=30, scheme="subsample")
    assert whole.counts.tolist() == [300, 120, 60, 19, 2] and part.counts.tolist() == [30, 12, 6, 1, 1]
    assert (whole.settings.head, whole.settings.imbalance) == (300, 150.0)
    for study in (whole, part, resolve("tiny-lt")):
        assert {name: ids.tolist() for name, ids in study.splits.items()} == {
            "many": [0, 1],
            "medium": [2],
            "few": [3, 4],
        }
    with pytest.raises(Refusal, match="imbalance 10: data with their own profile have their own; leave it out"):
        resolve("tiny-lt", profile="own", imbalance=10)
    cut = resolve("tiny-lt", head=100, imbalance=50)  # a tail is cut out of them
    assert (cut.settings.profile, cut.settings.scheme) == ("exp", "subsample")
    assert cut.counts.tolist() == [100, 37, 14, 5, 2]


# Keys


def key(method: Method, study=None, stage: int = -1) -> str:
    return (study or resolve()).stage_key(method, method.stages[stage])


def test_methods_that_share_a_stage_share_its_key_and_no_others():
    assert key(METHODS["ce"]) == key(METHODS["tau_norm"]) == key(METHODS["crt"], stage=0)
    sharing = {"ce": ["tau_norm", "ncm", "logit_adjustment"], "ride_ce": ["ride_tau_norm"]}
    sharing["sade"] = ["sade_tta", "sade_tta_forward", "sade_tta_backward"]
    last = {name: key(method) for name, method in METHODS.items()}
    for name, others in sharing.items():
        assert {last.pop(other) for other in others} == {last[name]}
    assert len(set(last.values())) == len(last), "no two of the others"


@pytest.mark.parametrize(
    "changed",
    [
        {"objective": Loss(focal)},
        {"objective": Loss(cross_entropy, beta=Step(0.0, 0.99, at=0.8))},
        {"epochs": 0.5},
        {"learning_rate": 0.05},
        {"sampler": (CLASS_BALANCED,)},
        {"train": ("heads",)},
        {"net": replace(METHODS["ce"].stages[0].net, head=COSINE)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_whatever_changes_a_stage_changes_its_key(changed):
    stage = replace(METHODS["ce"].stages[0], **changed)
    assert key(Method("ce", "CE", stages=(stage,))) != key(METHODS["ce"])


def test_whatever_changes_an_earlier_stage_changes_the_key_of_what_stands_on_it():
    crt = METHODS["crt"]
    longer = replace(crt, stages=(replace(crt.stages[0], epochs=2.0), crt.stages[1]))
    assert key(longer) != key(crt)


def test_names_and_labels_change_no_key():
    ce = METHODS["ce"]
    renamed = replace(ce, label="Cross-entropy", summary="", stages=(replace(ce.stages[0], name="first"),))
    assert key(renamed) == key(ce)


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"head": 90}, {"imbalance": 20.0}, {"profile": "step"}, {"epochs": 3}]
)
def test_whatever_changes_the_study_changes_every_key(changed):
    assert key(METHODS["ce"], resolve(**changed)) != key(METHODS["ce"])


def test_other_images_are_another_study(tiny):
    assert fingerprint(tiny) == fingerprint(replace(tiny))
    test = replace(tiny.test, pixels=255 - tiny.test.pixels)
    swapped = replace(tiny.test, labels=tiny.test.labels[::-1])
    others = [
        replace(tiny, test=test),
        replace(tiny, test=swapped),
        replace(tiny, read=lambda ids: tiny.read(ids) // 2),
    ]
    assert len({fingerprint(tiny), *map(fingerprint, others)}) == 4


def own_loss(logits, labels, counts):
    del counts
    return cross_entropy(logits, labels)


def test_foreign_code_is_known_by_its_source():
    described = canonical(own_loss)
    assert described.startswith(f"{own_loss.__module__}:own_loss@")
    assert canonical(cross_entropy) == "ltbv.losses:cross_entropy"


def test_what_has_no_stable_description_is_refused():
    with pytest.raises(Refusal, match="no stable description"):
        key(Method("mine", "Mine", stages=(Stage("all", Loss(partial(focal, gamma=2.0))),)))
    with pytest.raises(Refusal, match="no stable description"):
        canonical(object())
