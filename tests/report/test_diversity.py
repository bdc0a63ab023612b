"""Bias, variance and diversity of experts in the report: what is read, what is said, and where it is silent."""

import re
from dataclasses import replace

import numpy as np
import pytest

from ltbv import stats
from ltbv.errors import Refusal
from ltbv.files import read_arrays, write_arrays
from ltbv.report import tables, topics
from ltbv.report.rows import COLUMNS
from ltbv.report.sheet import UNCLEAR
from ltbv.report.study import read_study
from ltbv.store import Store

METHODS = {"ce": "CE", "ride": "RIDE", "ce_ensemble": "CE ensemble", "ride_routed": "routed"}
EXPERTS = {"ce": 1, "ride": 3, "ce_ensemble": 2, "ride_routed": 3}
RECIPES = {key: {"experts": number} for key, number in EXPERTS.items()}


def rewrite(path, key, run, change):
    """One prediction file with what `change` makes of its arrays."""
    file = Store(path).prediction_file(key, run)
    write_arrays(file, change(read_arrays(file)))


def with_experts(path, keys=("ride", "ce_ensemble")):
    """The study with logits of each expert beside their mean, as networks of several experts write them."""
    for key in keys:
        for run in Store(path).runs(key):
            draw = np.random.default_rng([run, EXPERTS[key]])

            def add(arrays, key=key, draw=draw):
                apart = draw.normal(size=(EXPERTS[key], *arrays["logits"].shape))
                each = arrays["logits"] + apart - apart.mean(0)
                return arrays | {"expert_logits": each.astype(np.float16)}

            rewrite(path, key, run, add)
    return path


@pytest.fixture(scope="module")
def evidence(shared_study):
    runs = dict.fromkeys(METHODS, range(6)) | {"ride": range(2, 8)}
    return read_study(with_experts(shared_study(METHODS, runs=runs, recipes=RECIPES, routed={"ride_routed": 3})))


@pytest.fixture(scope="module")
def built(evidence):
    return tables.build(evidence)


def test_rows_are_of_methods_with_logits_of_experts_and_of_the_reference(evidence, built):
    of = built.diversity
    assert list(of) == list(COLUMNS) and not of.duplicated(["method", "group", "quantity"]).any()
    assert list(dict.fromkeys(of.method)) == ["ce", "ride", "ce_ensemble"], "never of routed answers"
    whole = of.pivot_table("estimate", ["method", "group"], "quantity")
    loss, bias, variance, diversity = (whole[name] for name in stats.EXPERT_PARTS)
    np.testing.assert_allclose(loss, bias + variance - diversity, atol=1e-10)
    assert (diversity.loc["ce"] == 0).all() and (diversity.drop("ce") > 0.1).all()
    other = built.probability_losses.pivot_table("estimate", ["method", "group"], "quantity")
    np.testing.assert_allclose(whole.loc["ce"].expert_variance, other.loc["ce"].cross_entropy_variance)
    np.testing.assert_allclose(loss.loc["ride"], other.loc["ride"].cross_entropy, atol=2e-3)  # rounded to float16


def test_numbers_are_those_of_the_statistics(evidence, built):
    ce, ride = evidence.methods[:2]
    few = np.isin(evidence.labels, evidence.groups["few"])
    labels = evidence.labels[few]
    each = ride.expert_logits(ride.runs).astype(float)[:, :, few]
    alone = ce.logits(ce.runs).astype(float)[:, None, few]
    found = stats.diversity(each, labels)
    own, theirs = (stats.diversity(of, labels) for of in (each[:4], alone[2:]))  # runs that both have
    rows = built.diversity[(built.diversity.method == "ride") & (built.diversity.group == "few")]
    rows = rows.set_index("quantity")
    for name, part in zip(stats.EXPERT_PARTS, ("loss", "bias", "variance", "diversity"), strict=True):
        row = rows.loc[name]
        assert row.estimate == pytest.approx(getattr(found, part).mean(), abs=1e-5)  # classes have as many points
        apart = getattr(own, part).mean() - getattr(theirs, part).mean()
        assert row.reference_difference == pytest.approx(apart, abs=1e-5)
        assert row.low < row.estimate < row.high and row.difference_low < apart < row.difference_high
        assert row.runs == 6 and row.points == few.sum()


def test_the_sheet_says_what_averaging_gains(evidence, built):
    (sheet,) = (sheet for sheet in topics.printed(built, evidence) if sheet.key == "diversity")
    assert len(sheet.rows) == 12 and {len(row) for row in sheet.rows} == {len(sheet.columns)} == {10}
    assert "may reach below 0, where no loss is" in sheet.caption and "above 1" not in sheet.caption
    gains = built.diversity[(built.diversity.group == "all") & (built.diversity.quantity == "diversity")]
    by = gains.set_index("method").estimate
    low, high = sorted(("ride", "ce_ensemble"), key=by.get)
    wanted = " to ".join(f"{by[key]:.3f} ({METHODS[key]})" for key in (low, high))
    assert sheet.answer.startswith(f"Averaging takes {wanted} off the cross-entropy of one expert over all classes.")
    assert re.search(r"One expert against CE, of 2 methods, by the interval: bias is lower in \d, higher", sheet.answer)
    marks = [row[-1].mark for row in sheet.rows if row[-1].value is not None]
    assert marks == [UNCLEAR] * 8 and all(row[-1].star for row in sheet.rows[4:]), "more is neither better nor worse"


def test_without_logits_of_experts_the_topic_is_silent(study):
    """Files of before have none; and where some runs lack them, so does the method."""
    path = study(runs=4, ride="RIDE", recipes={key: RECIPES[key] for key in ("ce", "ride")})
    built = tables.build(read_study(path))
    assert built.diversity.empty and "diversity" not in built.tidy
    with_experts(path, ["ride"])
    assert "diversity" in tables.build(read_study(path)).tidy
    rewrite(path, "ride", 2, lambda arrays: {name: of for name, of in arrays.items() if name != "expert_logits"})
    assert tables.build(read_study(path)).diversity.empty


def test_without_a_reference_to_compare_with_experts_stand_alone(evidence):
    routed_first = evidence.of("ride_routed")
    built = tables.build(routed_first)
    assert set(built.diversity.method) == {"ride", "ce_ensemble"}
    assert built.diversity.reference_difference.isna().all()
    (sheet,) = (one for one in topics.printed(built, routed_first) if one.key == "diversity")
    assert sheet.answer.endswith("over all classes.")


def test_experts_may_be_the_reference(evidence):
    of = tables.build(evidence.of("ce_ensemble")).diversity
    assert list(dict.fromkeys(of.method)) == ["ce_ensemble", "ride"]
    assert of[of.method == "ride"].reference_difference.notna().all()


def test_what_is_not_finite_or_too_much_is_said(evidence, monkeypatch):
    ride = evidence.methods[1]
    broken = ride.expert_logits(ride.runs)
    broken[0, 0, 3, 1] = np.inf
    methods = (evidence.methods[0], replace(ride, expert_logits=lambda runs: broken), evidence.methods[2])
    built = tables.build(replace(evidence, methods=methods))
    assert set(built.diversity.method) == {"ce", "ce_ensemble"}
    assert "RIDE: a logit of an expert is not finite" in "\n".join(built.cautions)
    size = 6 * evidence.labels.size * len(evidence.class_names)
    monkeypatch.setattr("ltbv.report.topics.diversity.MOST_LOGITS", 2 * size)
    built = tables.build(evidence)
    assert set(built.diversity.method) == {"ce", "ce_ensemble"}
    assert f"RIDE: there are more than {2 * size:,} logits of its experts" in "\n".join(built.cautions)


@pytest.mark.parametrize("shape", [(1, 120, 12), (3, 119, 12), (3, 120, 11), (120, 12), (3, 120, 12, 1)])
def test_logits_of_another_shape_are_refused(study, shape):
    path = study(runs=1, ride="RIDE")
    rewrite(path, "ride", 0, lambda arrays: arrays | {"expert_logits": np.zeros(shape, np.float16)})
    with pytest.raises(Refusal, match=r"r000.npz has expert_logits of shape .*or more, each with \(120, 12\); delete"):
        read_study(path)


def test_logits_that_are_no_numbers_are_refused(study):
    path = study(runs=1, ride="RIDE")
    rewrite(path, "ride", 0, lambda arrays: arrays | {"expert_logits": np.zeros((2, 120, 12), int)})
    with pytest.raises(Refusal, match="predictions/ride has expert_logits of type int64"):
        tables.build(read_study(path))


def test_one_run_has_a_gain_and_no_parts(study):
    path = with_experts(study(runs=1, ride="RIDE", recipes={key: RECIPES[key] for key in ("ce", "ride")}), ["ride"])
    of = tables.build(read_study(path)).diversity.set_index(["method", "group", "quantity"]).estimate
    assert of["ride", "all", "diversity"] > 0 and np.isnan(of["ride", "all", "expert_bias"])
