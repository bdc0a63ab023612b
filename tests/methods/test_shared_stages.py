"""Which trainings do all methods need? The table by hand, and that what is shared has one key and is trained once."""

import pytest

from ltbv.harness.bootstrap import prepare
from ltbv.harness.events import Event, StageBegun
from ltbv.harness.request import Request
from ltbv.harness.study import resolve
from ltbv.methods import METHODS

# Stages of the methods that share or have several, by a name for what is trained: the same name, the same training.
# Every other method has one stage, its own.
BY_HAND = {
    "ce": "ce",
    "tau_norm": "ce",
    "ncm": "ce",
    "logit_adjustment": "ce",
    "crt": "ce ce-heads",
    "crt_decay": "ce ce-heads-decayed",
    "lws": "ce ce-scales",
    "cb_finetuning": "ce ce-finetuned",
    "m2m": "ce translated",
    "oltr": "ce ce-memory",
    "los": "ce ce-oversmoothed",
    "disalign": "ce ce-alignment",
    "sade": "skills",
    "sade_tta": "skills",
    "sade_tta_forward": "skills",
    "sade_tta_backward": "skills",
    "gcl": "clouded",
    "gcl_classifier": "clouded clouded-heads",
    "ride_2": "two",
    "ride_2_routed": "two two-router",
    "ride": "three",
    "ride_routed": "three three-router",
    "ride_4": "four",
    "ride_4_routed": "four four-router",
    "ride_6": "six",
    "ride_2_distil": "six student-of-two",
    "ride_2_distil_routed": "six student-of-two student-of-two-router",
    "ride_distil": "six student",
    "ride_distil_routed": "six student student-router",
    "ride_4_distil": "six student-of-four",
    "ride_4_distil_routed": "six student-of-four student-of-four-router",
    "ride_ce": "on-ce",
    "ride_tau_norm": "on-ce",
    "ride_crt": "on-ce on-ce-heads",
    "ride_lws": "on-ce on-ce-scales",
    "lfme": "of-groups taught",
    "weight_balancing": "decayed decayed-short",
    "mixup": "mixed",
    "mislas": "mixed mixed-softened",
}


@pytest.fixture(scope="module")
def keys() -> dict[str, list[str]]:
    """The keys of each method's stages."""
    study = resolve()
    return {key: [study.stage_key(method, stage) for stage in method.stages] for key, method in METHODS.items()}


def test_methods_share_the_stages_that_they_share_by_hand_and_no_others(keys):
    named = {key: BY_HAND.get(key, key).split() for key in METHODS}
    assert {key: len(found) for key, found in keys.items()} == {key: len(names) for key, names in named.items()}
    pairs = {(name, k) for key in keys for name, k in zip(named[key], keys[key], strict=True)}
    names, found = {name for name, _ in pairs}, {k for _, k in pairs}
    assert len(pairs) == len(names) == len(found), sorted(pairs)


BRINGS = {"tau_norm": 0, "ncm": 0, "logit_adjustment": 0, "ride_tau_norm": 0, "lfme": 2, "weight_balancing": 2}
BRINGS |= dict.fromkeys(("sade_tta", "sade_tta_forward", "sade_tta_backward"), 0)  # trainings; others one
DIFFERENT = sum(BRINGS.get(key, 1) for key in METHODS)


def test_all_methods_bring_one_training_but_for_a_few(keys):
    seen: set[str] = set()
    for key in sorted(METHODS, key=lambda key: (len(keys[key]), BRINGS.get(key, 1) == 0)):
        assert len(set(keys[key]) - seen) == BRINGS.get(key, 1), key
        seen |= set(keys[key])
    assert len(seen) == DIFFERENT
    several = sum(len(words.split()) - 1 for words in BY_HAND.values())
    assert sum(map(len, keys.values())) == len(METHODS) + several


def test_every_stage_of_a_method_is_needed():
    assert all(method.needed() == list(method.stages) for method in METHODS.values())


def test_a_study_of_all_methods_trains_each_different_stage_once(tiny_lt, tmp_path, keys):
    request = Request.of(methods=tuple(METHODS), runs=1, store=tmp_path / "study", dataset="tiny-lt", executor="inline")
    events: list[Event] = []
    assert prepare(request).run(events.append) == []
    trained = [(event.method, event.stage) for event in events if isinstance(event, StageBegun)]
    assert len(trained) == DIFFERENT
    first = {}
    for key, method in METHODS.items():
        for stage, k in zip(method.stages, keys[key], strict=True):
            first.setdefault(k, (key, stage.name))
    assert sorted(trained) == sorted(first.values()), "by the first method that has it"
