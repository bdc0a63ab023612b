"""`--protocol paper`: is each method trained as its authors' settings say, and is nothing else moved?"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from stages import PROTOCOL, RUNS, fresh, sample
from tape import Recorder

import ltbv
from ltbv.cli import main
from ltbv.data.batches import Feed
from ltbv.data.dataset import Augmentation, Dataset, Images, indices_of, make_ids
from ltbv.data.readers import Crop, OnDevice
from ltbv.data.samplers import INSTANCE
from ltbv.engine.protocol import CIFAR
from ltbv.engine.replay import Replayed
from ltbv.engine.terms import of_stage, stage_decay, stage_epochs, stage_rate, usual
from ltbv.engine.train import train
from ltbv.errors import Refusal
from ltbv.harness.describe import explanation
from ltbv.harness.study import resolve
from ltbv.losses import cross_entropy
from ltbv.methods import METHODS
from ltbv.methods.base import Loss, Method, Stage
from ltbv.methods.decoupling import retrained
from ltbv.methods.published import USUAL, Published, Terms
from ltbv.methods.registry import HOMES
from ltbv.optimisers import SGD
from ltbv.report.study import read_study
from ltbv.schedules import Cosine, value
from ltbv.settings import Settings
from ltbv.store import Store, command

CPU = torch.device("cpu")
PAPER = {name: resolve(name, protocol="paper") for name in ("cifar10-lt", "cifar100-lt")}
COMMON = {name: resolve(name) for name in PAPER}


AT = (0, 4, 159, 160, 180)


def rates(stage, epochs=AT):
    return [value(stage_rate(stage, CIFAR), epoch, stage_epochs(stage, CIFAR)) for epoch in epochs]


# What the spec has: epochs, batch, decay, Nesterov, rotation, and the rate at epochs 0, 4, 159, 160, 180
CAO = (200, 128, 2e-4, False, 0.0, [0.02, 0.1, 0.1, 0.001, 0.00001])
RIDE = (200, 128, 5e-4, True, 15.0, [0.02, 0.1, 0.1, 0.001, 0.00001])
TRICKS = (200, 128, 2e-4, True, 0.0, [0.02, 0.1, 0.1, 0.001, 0.00001])
SHU = (100, 100, 5e-4, True, 0.0, [0.1, 0.1, 0.001, 0.001, 0.001])
JAMAL = (200, 100, 5e-4, True, 0.0, [0.1, 0.1, 0.1, 0.001, 0.00001])
ZHOU = (200, 128, 2e-4, True, 0.0, [0.1 / 3, 0.026 / 0.3, 0.001, 0.00001, 0.00001])
HONG = (200, 256, 5e-4, False, 0.0, [0.04, 0.2, 0.002, 0.00002, 0.00002])
PARK = (200, 128, 2e-4, False, 0.0, [0.02, 0.1, 0.001, 0.00001, 0.0000001])
LI = (200, 64, 2e-4, False, 0.0, [0.02, 0.1, 0.1, 0.01, 0.001])
SKILLS = (*RIDE[:5], [0.02, 0.1, 0.1, 0.01, 0.001])
SLOWER = (*RIDE[:5], [0.005, 0.025, 0.1, 0.001, 0.00001])
LI = (200, 64, 2e-4, False, 0.0, [0.02, 0.1, 0.1, 0.01, 0.001])
SUN = (200, 64, 5e-3, False, 0.0, [0.005 * (1 + np.cos(np.pi * epoch / 200)) for epoch in AT])
EXPECTED = {
    ("ce", "representation"): CAO,
    ("focal", "representation"): CAO,
    ("ldam", "representation"): CAO,
    ("ldam_drw", "representation"): CAO,
    ("cb_ce", "representation"): CAO,
    ("cb_focal", "representation"): CAO,
    ("crt", "representation"): TRICKS,
    ("tau_norm", "representation"): TRICKS,
    ("meta_weight_net", "representation"): SHU,
    ("jamal_ce", "representation"): JAMAL,
    ("jamal_focal", "representation"): JAMAL,
    ("jamal_ldam", "representation"): JAMAL,
    ("ce_with_dev", "representation"): CAO,
    ("bbn", "branches"): ZHOU,
    ("lade", "representation"): HONG,
    ("ib", "representation"): PARK,
    ("ib_focal", "representation"): PARK,
    ("cdt", "representation"): TRICKS,
    ("gcl", "representation"): LI,
    ("gcl_classifier", "representation"): LI,
    ("sade", "experts"): SKILLS,
    ("sade_tta", "experts"): SKILLS,
    ("balanced_softmax", "representation"): TRICKS,
    ("class_balanced", "representation"): TRICKS,
    ("square_root", "representation"): TRICKS,
    ("progressive", "representation"): TRICKS,
    ("vs_loss", "representation"): CAO,
    ("sam", "representation"): CAO,
    ("sam_drw", "representation"): CAO,
    ("los", "representation"): SUN,
    ("imb_sam", "representation"): (*SUN[:2], 1e-3, *SUN[3:]),
    ("weight_balancing", "representation"): (320, *SUN[1:5], [0.005 * (1 + np.cos(np.pi * e / 320)) for e in AT]),
    ("ride_ce", "experts"): RIDE,
    ("ride_focal", "experts"): RIDE,
    ("ride_tau_norm", "experts"): RIDE,
    ("ride", "experts"): RIDE,
    ("ride_4_routed", "experts"): RIDE,
    ("ride_distil", "teacher"): RIDE,
    ("ride_distil", "experts"): SLOWER,
}


@pytest.mark.parametrize(("key", "name"), EXPECTED)
def test_terms_are_those_of_the_authors(key, name):
    stage = PAPER["cifar100-lt"].form(METHODS[key]).stage(name)
    of = of_stage(stage, CIFAR)
    epochs, batch, decay, nesterov, rotation, rate = EXPECTED[key, name]
    assert (stage_epochs(stage, CIFAR), of.batch, stage_decay(stage, CIFAR)) == (epochs, batch, decay)
    assert (of.optimiser.nesterov, of.augmentation) == (nesterov, Augmentation(4, True, rotation))
    assert rates(stage) == pytest.approx(rate)


def test_later_stages_have_their_own():
    crt = PAPER["cifar10-lt"].form(METHODS["crt"]).stages[1]
    assert stage_epochs(crt, CIFAR) == 30 and stage_decay(crt, CIFAR) == 5e-4
    assert rates(crt, (0, 4, 9, 10, 20)) == pytest.approx([0.02, 0.1, 0.1, 0.01, 0.001])
    router = PAPER["cifar100-lt"].form(METHODS["ride_routed"]).stages[1]
    assert (stage_epochs(router, CIFAR), of_stage(router, CIFAR).batch) == (5, 512)
    assert rates(router, (0,)) == [0.01] and router.train == ("router",)
    for key, epochs, decay, rate in (("gcl_classifier", 30, 2e-4, 2e-3), ("los", 20, 0.0, 5e-4)):
        stage = PAPER["cifar100-lt"].form(METHODS[key]).stage("classifier")
        assert (stage_epochs(stage, CIFAR), of_stage(stage, CIFAR).batch) == (epochs, 64)
        assert (stage_decay(stage, CIFAR), rates(stage, (0, epochs // 2))) == (decay, pytest.approx([rate, rate / 2]))


@pytest.mark.parametrize(
    ("dataset", "epochs", "drops"),
    [("cifar10-lt", 1241, (20, 604, 926, 1128)), ("cifar100-lt", 1419, (22, 691, 1059, 1290))],
)
def test_logit_adjustment_is_trained_as_long_as_its_authors_train_each_data_set(dataset, epochs, drops):
    (stage,) = PAPER[dataset].form(METHODS["logit_adjustment"]).stages
    of, (warm, *drops) = of_stage(stage, CIFAR), drops
    assert (stage_epochs(stage, CIFAR), of.batch, stage_decay(stage, CIFAR)) == (epochs, 128, 2e-4)
    assert (of.optimiser.nesterov, of.augmentation) == (True, Augmentation(2, True))
    assert rates(stage, (0, warm - 1, warm)) == pytest.approx([0.1 / warm, 0.1, 0.1])
    before, after = (rates(stage, tuple(epoch - back for epoch in drops)) for back in (1, 0))
    assert before == pytest.approx([0.1, 0.01, 0.001]) and after == pytest.approx([0.01, 0.001, 0.0001])


@pytest.mark.parametrize("key", METHODS)
def test_each_method_has_settings_of_its_authors_or_says_why_it_has_none(key):
    """In one line, of the data set asked for: also where the authors have another set only."""
    method = METHODS[key]
    if HOMES[key].startswith("ltbv."):
        assert bool(method.published) != bool(method.unpublished)
    for dataset, study in PAPER.items():
        if sets := {name for one in method.published if dataset in one.datasets for name in one.datasets}:
            assert sets <= {*PAPER} and len(study.form(method).stages) == len(method.stages)
            continue
        with pytest.raises(Refusal, match=f"of method '{key}' for {dataset}: [a-zA-Z]") as refusal:
            study.form(method)
        assert "\n" not in str(refusal.value) and (method.published or method.unpublished in str(refusal.value))


def test_values_that_are_of_one_data_set_are_trained_as_published_on_that_one_only():
    """rho of SAM, the softening of MiSLAS, alpha of LADE: the authors have others for CIFAR-10-LT, or none."""
    for key in ("sam", "sam_drw", "mislas", "lade", "vs_loss"):
        with pytest.raises(Refusal, match="its authors' are for cifar100-lt; there are some of"):
            PAPER["cifar10-lt"].form(METHODS[key])


def test_a_script_for_one_data_set_is_not_taken_for_another():
    study = PAPER["cifar10-lt"]
    m2m, ce = (study.form(METHODS[key]) for key in ("m2m", "ce"))
    assert m2m.stages[1].terms == ce.stages[0].terms == m2m.stages[0].terms
    with pytest.raises(Refusal, match="known of method 'm2m' for cifar100-lt: its authors' are for cifar10-lt"):
        PAPER["cifar100-lt"].form(METHODS["m2m"])


def test_a_stage_says_only_what_differs_and_so_does_its_key():
    ride = METHODS["ride"]
    form = PAPER["cifar100-lt"].form(ride)
    assert form.stages[0].terms == Terms(augmentation=Augmentation(4, True, 15.0))
    paper, common = PAPER["cifar100-lt"], COMMON["cifar100-lt"]
    assert paper.stage_key(form, form.stages[0]) != common.stage_key(ride, ride.stages[0])
    assert paper.stage_key(ride, ride.stages[0]) == common.stage_key(ride, ride.stages[0]), "nothing but the terms"
    as_is = replace(ride, published=(Published("us", ("cifar100-lt",), usual(ride.stages[0], CIFAR)),))
    assert paper.form(as_is).stages == ride.stages


def test_terms_that_a_stage_has_itself_stay_where_nothing_else_is_published():
    own = Stage("s", Loss(cross_entropy), terms=Terms(epochs=3, batch=512))
    study = COMMON["cifar100-lt"]
    assert (stage_epochs(own, CIFAR), of_stage(own, CIFAR).batch) == (3, 512), "under the common protocol too"
    method = Method(
        "own", "Own", stages=(own,), published=(Published("us", ("cifar100-lt",), Terms(weight_decay=1e-4)),)
    )
    (form,) = PAPER["cifar100-lt"].form(method).stages
    assert form.terms == Terms(epochs=3, batch=512, weight_decay=1e-4) and study.form(method) is method
    as_common = replace(method, published=(Published("us", ("cifar100-lt",), Terms(200, 128)),))
    assert PAPER["cifar100-lt"].form(as_common).stages[0].terms is None


@pytest.mark.parametrize("terms", [{"epochs": 0}, {"batch": 1}])
def test_terms_that_train_nothing_are_refused(terms):
    with pytest.raises(Refusal, match=f"{next(iter(terms))} {next(iter(terms.values()))}; at least"):
        Terms(**terms)


def test_what_is_shared_under_paper_is_what_has_one_recipe():
    study = PAPER["cifar10-lt"]
    first = {
        key: study.stage_key(form := study.form(METHODS[key]), form.stages[0])
        for key in ("ce", "crt", "lws", "tau_norm")
    }
    assert first["crt"] == first["lws"] == first["tau_norm"] != first["ce"]


def test_a_method_without_published_settings_is_refused_with_those_that_have_some():
    for dataset, key, words in (
        (
            "cifar100-lt",
            "ncm",
            r"'ncm' for cifar100-lt: its authors have none for CIFAR; there are some of: ce, .*",
        ),
        (
            "cifar10-lt",
            "ride",
            r"'ride' for cifar10-lt: its authors' are for cifar100-lt; there are some of: ce, ",
        ),
        (
            "glyphs-lt",
            "ce",
            r"glyphs-lt: its authors' are for cifar10-lt and cifar100-lt; .* some for: .*; or leave out",
        ),
    ):
        with pytest.raises(Refusal, match=words) as refusal:
            resolve(dataset, protocol="paper").form(METHODS[key])
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"epochs": 20}, "epochs 20: under protocol paper each method has its authors'; leave out --epochs"),
        ({"learning_rate": 0.2}, "learning_rate 0.2.*leave out --learning-rate"),
        ({"network": "torchvision:resnet18"}, "leave out --network"),
        ({"protocol": "papers"}, r"unknown protocol 'papers' \(did you mean 'paper'\?\); there is: common, paper"),
    ],
)
def test_what_cannot_be_chosen_beside_it_is_refused(chosen, words):
    with pytest.raises(Refusal, match=words):
        resolve("cifar100-lt", **{"protocol": "paper", **chosen})


def test_the_common_protocol_is_the_same_named_or_not():
    assert resolve("cifar100-lt", protocol="common") == COMMON["cifar100-lt"]
    assert resolve("cifar100-lt", protocol="paper", epochs=200, batch=128) == PAPER["cifar100-lt"]


def test_the_command_that_a_study_prints_makes_it_again():
    asked = json.loads(json.dumps(PAPER["cifar10-lt"].asked()))
    assert isinstance(asked["protocol"], dict) and asked["protocol_name"] == "paper"
    assert resolve(**Settings.read(asked).said()) == PAPER["cifar10-lt"]
    assert "--protocol paper" in command("x", asked)
    assert Settings.read(COMMON["cifar10-lt"].asked()).protocol is None


def test_methods_tells_them():
    found = CliRunner().invoke(main, ["methods", "ride_routed"], catch_exceptions=False).output
    assert "under --protocol paper, on cifar100-lt, after the configurations of Wang et al. (RIDE, 2021):" in found
    assert "  experts: augmentation Augmentation(pad=4, flip=True, rotate=15.0)\n" in found
    assert "  router: epochs 5, batch 512, augmentation" in found
    none = explanation("ncm", "glyphs-lt")
    assert "nothing for --protocol paper: its authors have none for CIFAR\n" in none and "under --protocol" not in none
    assert "weight decay 0.0002, optimiser SGD(nesterov=False)" in explanation("ce", "glyphs-lt")


def test_methods_tells_what_is_published_of_data_that_it_does_not_know(own_methods):
    elsewhere = Published("their script", ("faces",), Terms(epochs=7, batch=16))
    stages = (Stage("representation", Loss(cross_entropy)),)
    own_methods.MINE = Method("mine", "Mine", stages=stages, published=(elsewhere,))
    found = explanation("own_methods:MINE", "glyphs-lt")
    assert "on faces, after their script:\n  representation: epochs 7, batch 16\n" in found


# A whole study under it


SLOW = Stage("representation", Loss(cross_entropy))
OURS = Published(
    "our own script", ("tiny-lt",), Terms(1, 8, 0.05, 1e-3, SGD(nesterov=False), Augmentation(1, True, 10.0))
)
SECOND = Terms(epochs=3, learning_rate=Cosine(0.2))


def test_a_study_trains_each_method_under_its_own_terms(tiny_lt, monkeypatch, tmp_path):
    """Its files say how many epochs there were, its report under which terms; the common study is another one."""
    two = replace(OURS, stages=(("classifier", SECOND),))
    plain = Published("a table", ("tiny-lt",), Terms(epochs=2))
    for method in (
        Method("slow", "Slow", stages=(SLOW,), published=(OURS,)),
        Method("two", "Two", stages=(SLOW, retrained(SLOW)), published=(two,)),
        Method("plain", "Plain", stages=(SLOW,), published=(plain,)),
    ):
        monkeypatch.setitem(METHODS, method.key, method)
    asked = {"dataset": "tiny-lt", "quiet": True, "reference": "slow"}
    ltbv.bootstrap(["slow", "two", "plain"], 2, tmp_path / "study", protocol="paper", **asked)
    store = Store(tmp_path / "study")
    stages = {key: [stage["key"] for stage in store.recipe(key)["stages"]] for key in ("slow", "two", "plain")}
    assert {key: [store_length(store, one) for one in of] for key, of in stages.items()} == {
        "slow": [1],
        "two": [1, 3],
        "plain": [2],
    }
    assert stages["slow"][0] == stages["two"][0] != stages["plain"][0], "what is trained alike is trained once"
    evidence = read_study(tmp_path / "study", reference="slow")
    (line,) = [line for line in evidence.setting.made if line.startswith("Protocol")]
    assert "Slow after our own script (representation: epochs 1, batch 8" in line
    assert "Plain after a table (as under the common protocol)" in line and evidence.setting.epochs is None
    with pytest.raises(Refusal, match="protocol_name: 'paper' there, None asked"):
        ltbv.bootstrap(["slow", "two", "plain"], 2, tmp_path / "study", **asked)


def store_length(store, key):
    with np.load(store.stage_file(key, 0)) as kept:
        return len(kept["loss_by_epoch"])


# Turned images


def picture(side=7):
    """One image; a Reader of it with a border of 2."""
    pixels = np.arange(side * side * 2, dtype=np.uint8).reshape(1, side, side, 2) + 1
    test, one = Images(pixels, np.zeros(1, int)), np.array([1])
    dataset = Dataset("one", ("a",), one, lambda ids: pixels[indices_of(ids)], test, (0.0,) * 2, (1 / 255,) * 2, True)
    return pixels[0], OnDevice(dataset, pixels, pad=2, device=CPU, dtype=torch.float64), dataset


def turned(reader, degrees, flip=False, at=(2, 2)):
    one = torch.zeros(1, 1, dtype=torch.long)
    degrees = degrees and torch.full((1, 1), float(degrees))
    found = reader.gather(one, Crop(one + at[0], one + at[1], one.bool() | flip, degrees))
    return found[0].permute(1, 2, 0).round().numpy().astype(np.uint8)


@pytest.mark.parametrize(("degrees", "quarters"), [(90, 1), (180, 2), (-90, 3), (360, 0)])
@pytest.mark.parametrize("flip", [False, True])
def test_quarters_of_a_turn_move_pixels_exactly(degrees, quarters, flip):
    pixels, reader, _ = picture()
    seen = np.ascontiguousarray(pixels[:, ::-1]) if flip else pixels
    found = turned(reader, degrees, flip)
    assert any((found == np.rot90(seen, turn)).all() for turn in {quarters, -quarters % 4})


def test_a_small_angle_keeps_the_middle_and_blackens_corners():
    pixels, reader, _ = picture(15)
    found = turned(reader, 15)
    assert (found[7, 7] == pixels[7, 7]).all() and (found[:2, :2] == 0).any()
    assert (turned(reader, 0.5)[3:-3, 3:-3] == pixels[3:-3, 3:-3]).all()
    shifted = turned(reader, 15, at=(0, 1))  # what lies around the crop does not come in
    assert not (shifted == found).all()


def test_an_image_is_turned_as_pillow_turns_it():
    """All but pixels at the very edge between two, of each angle."""
    image = pytest.importorskip("PIL.Image")
    pixels, reader, _ = picture(32)
    for degrees in (-15, -7.3, 3.1, 12.9):
        found = turned(reader, degrees)
        theirs = [np.asarray(image.fromarray(pixels[..., c]).rotate(s * degrees)) for c in (0,) for s in (1, -1)]
        assert max((found[..., 0] == one).mean() for one in theirs) > 0.98


def test_without_rotation_nothing_is_drawn_for_it():
    _, _, dataset = picture()
    ids = make_ids(np.zeros((2, 5), int), np.zeros((2, 5), int))

    def table(rotate):
        feed = Feed(dataset, ids, augmentation=Augmentation(2, True, rotate), device=CPU, dtype=torch.float64)
        (found,) = feed.tables(0, (0, 1), (0,), 0, 1, (INSTANCE,), batch=4)
        return found.columns, next(feed.epoch((found,), 4))[0].images

    (still, plain), (moving, other) = table(0.0), table(15.0)
    assert "degrees" not in still and moving["degrees"].abs().max() <= 15 and moving["degrees"].abs().max() > 1
    assert all(torch.equal(still[name], moving[name]) for name in still), "order, crops and flips are the same"
    assert plain.shape == other.shape and not torch.equal(plain, other)


def test_recorded_steps_turn_images_as_eager_ones(tiny):
    """As on a GPU, where a step is recorded once and repeated without Python."""
    stage = replace(SLOW, terms=Terms(epochs=2, batch=8, augmentation=Augmentation(1, True, 15.0)))
    ends = []
    for record in (None, Recorder()):
        network = fresh(stage, dtype=torch.float32)
        own = of_stage(stage, PROTOCOL)
        ids = np.stack([sample(run) for run in RUNS])
        feed = Feed(tiny, ids, augmentation=own.augmentation, device=CPU, dtype=torch.float32)
        with pytest.MonkeyPatch.context() as patch:
            if record:
                patch.setattr("ltbv.engine.train.drive", lambda *given, record=record: Replayed(*given, record))
            losses = train(stage, network, feed, PROTOCOL, seed=0, runs=RUNS).losses
        ends.append((losses.tobytes(), network.state_dict()))
    assert losses.shape == (3, 2) and ends[0][0] == ends[1][0]
    assert all(torch.equal(tensor, ends[1][1][name]) for name, tensor in ends[0][1].items())


def test_published_terms_name_everything_and_stages_that_there_are():
    """What one leaves open would be the common protocol's, Nesterov's momentum for one."""
    assert all(value is not None for value in vars(USUAL).values())
    ours = [method for key, method in METHODS.items() if HOMES[key].startswith("ltbv.")]
    for one in {published for method in ours for published in method.published}:
        terms = (one.terms, *(of for _, of in one.stages))
        assert all(value is not None for of in terms for value in vars(of).values()), one.source
        names = {stage.name for method in ours if one in method.published for stage in method.stages}
        assert {name for name, _ in one.stages} <= names, one.source
