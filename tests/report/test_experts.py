"""Do the tables of additions, families and routers say what `ltbv.stats` and a count by hand say?"""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest

from ltbv import stats
from ltbv.report import experts, style, tables, topics
from ltbv.report.evidence import GROUPS
from ltbv.report.study import read_study

MACS = [[10.0, 11.0], [18.0, 20.0], [26.0, 29.0]]
COST = {"parameters": 5.0, "macs": 25.0, "macs_with_norm": 28.0, "training_images_times_macs": 1e6}
RECIPES = {
    "ride2": {"family": "ride", "experts": 2},
    "ride": {"family": "ride", "experts": 3, "adds_to": "ce"},
    "router": {"adds_to": "ride", "experts": 3, "cost": COST | {"macs_by_experts": MACS}},
    "lost": {"adds_to": "nowhere", "family": "alone", "experts": 3},
}
LABELS = {
    "ride2": "RIDE (2 experts)",
    "ride": "RIDE (3 experts)",
    "router": "RIDE (3 experts) + router",
    "lost": "Lost",
}


@pytest.fixture(scope="module")
def built(shared_study):
    path = shared_study({"ce": "CE"} | LABELS, runs=5, points=8, recipes=RECIPES, routed={"router": 3})
    evidence = read_study(path)
    return evidence, tables.build(evidence)


def of(evidence, key):
    return next(method for method in evidence.methods if method.key == key)


def test_an_addition_is_compared_with_what_it_is_built_on(built):
    evidence, found = built
    assert list(dict.fromkeys(zip(found.additions.base, found.additions.method, strict=True))) == [
        ("ce", "ride"),
        ("ride", "router"),
    ]
    shared = evidence.setting.shared
    pair = (stats.Record(of(evidence, key).predictions, evidence.labels, shared=shared) for key in ("router", "ride"))
    by_hand = {(d.group, d.quantity): d for d in stats.compare(*pair, evidence.groups)}
    splits = found.splits.set_index(["method", "group", "quantity"])
    for row in found.additions[found.additions.base == "ride"].itertuples():
        d = by_hand[row.group, row.quantity]
        np.testing.assert_allclose(
            (row.difference, row.difference_low, row.difference_high, row.p), (d.estimate, d.low, d.high, d.p)
        )
        base, own = (splits.loc[(key, row.group, row.quantity)] for key in ("ride", "router"))
        assert (row.base_estimate, row.base_low, row.base_high) == (base.estimate, base.low, base.high)
        assert (row.estimate, row.low, row.high, row.runs) == (own.estimate, own.low, own.high, 5)


def test_an_addition_without_common_runs_has_no_difference(study):
    runs = {"ce": range(4), "ride": range(4, 8)}
    found = tables.build(read_study(study(ride="RIDE", runs=runs, recipes={"ride": {"adds_to": "ce"}})))
    assert found.additions.difference.isna().all() and found.additions.estimate.notna().all()


def test_a_family_has_two_numbers_of_experts_or_more(built):
    evidence, found = built
    assert set(found.families.family) == {"ride"}
    assert found.families.drop_duplicates("method")[["method", "experts"]].values.tolist() == [
        ["ride2", 2],
        ["ride", 3],
    ]
    splits = found.splits.set_index(["method", "group", "quantity"])
    for row in found.families.itertuples():
        same = splits.loc[(row.method, row.group, row.quantity)]
        assert (row.reference_difference, row.difference_low) == (same.reference_difference, same.difference_low)


def test_what_a_recipe_leaves_empty_is_not_known(study):
    recipes = {key: {"family": "", "adds_to": "", "experts": number} for number, key in enumerate(("ce", "ride"), 1)}
    evidence = read_study(study(ride="RIDE", runs=2, recipes=recipes))
    assert {(method.family, method.adds_to) for method in evidence.methods} == {(None, None)}
    found = tables.build(evidence)
    assert found.families.empty and found.additions.empty


def test_the_reference_of_a_family_differs_from_itself_by_nothing(study):
    recipes = {"ce": {"family": "ride", "experts": 1}, "ride": {"family": "ride", "experts": 3}}
    found = tables.build(read_study(study(ride="RIDE", runs=4, recipes=recipes))).families
    assert found[found.method == "ce"].reference_difference.eq(0).all() and found.experts.tolist()[0] == 1


def test_usage_and_routed_cost_by_hand(built):
    evidence, found = built
    used = of(evidence, "router").experts_used
    macs = np.array(MACS)

    def class_mean(values, group):
        return np.mean([values[:, evidence.labels == c].mean() for c in evidence.groups[group]])

    usage = found.usage.set_index(["group", "experts"]).estimate
    routed = found.routed_costs.set_index(["group", "quantity"])
    for group in GROUPS:
        for number in (1, 2, 3):
            assert usage[group, number] == pytest.approx(class_mean(used == number, group))
        assert sum(usage[group, number] for number in (1, 2, 3)) == pytest.approx(1)
        for at, name in enumerate(("macs", "macs_with_norm")):
            row = routed.loc[(group, f"routed_{name}")]
            assert row.estimate == pytest.approx(class_mean(macs[used - 1, at], group))
            assert row.full == COST[name] and row.share == pytest.approx(row.estimate / COST[name])
            assert row.low <= row.estimate <= row.high
    assert not set(found.splits.quantity) & {*found.usage.quantity, *found.routed_costs.quantity, "experts_used"}


def test_an_expert_that_is_never_asked_has_a_share_of_0(built):
    evidence, _ = built
    routed = replace(of(evidence, "router"), experts_used=np.ones_like(of(evidence, "router").experts_used))
    usage = tables.build(replace(evidence, methods=(evidence.reference, routed))).usage
    assert usage.groupby("experts").estimate.first().tolist() == [1, 0, 0]


@pytest.mark.parametrize("cost", [None, COST, COST | {"macs_by_experts": MACS[:1]}])
def test_routed_cost_needs_the_cost_of_every_number_of_experts(study, cost):
    path = study(ride="RIDE", runs=2, recipes={"ride": {"cost": cost}}, routed={"ride": 3})
    evidence = read_study(path)
    found = tables.build(evidence)
    assert found.routed_costs.empty and len(found.usage) == 3 * len(GROUPS)
    assert "routed_cost" not in {sheet.key for sheet in topics.printed(found, evidence)}


def test_sheets_say_what_the_tables_say(built):
    evidence, found = built
    of_key = {sheet.key: sheet for sheet in topics.printed(found, evidence)}
    macs, with_norm = of_key["routed_cost"].rows
    assert [cell.text for cell in macs[:3]] == ["RIDE (3 experts) + router", "MACs", "25"]
    spent = found.routed_costs.set_index(["group", "quantity"]).loc[("few", "routed_macs_with_norm")]
    assert with_norm[-1].text == f"{spent.estimate:.0f} ({spent.share:.2f}x)"
    shares = found.usage.set_index(["group", "experts"]).estimate
    assert of_key["usage"].rows[0][2].text.startswith(f"{100 * shares['all', 1]:.1f} ± ")
    brought = found.additions.set_index(["base", "method", "group", "quantity"]).difference
    first = of_key["additions"].rows[0]
    assert [cell.text for cell in first[:3]] == ["RIDE (3 experts)", "CE", "all"]
    assert first[5].text.rstrip("*") == f"{100 * brought['ce', 'ride', 'all', 'accuracy']:+.1f}"
    assert {"additions", "families", "usage", "routed_costs"} <= found.tidy.keys()


def test_figures_show_the_tables(built):
    evidence, found = built
    looks = style.looks(evidence.names)
    with style.house_style():
        families, usage = experts.families(found.families, looks), experts.usage(found.usage, looks)
        additions = experts.additions(found.additions, looks)
    rows = found.families[found.families.quantity == "accuracy"]
    for group, panel in zip(GROUPS, families.axes, strict=True):
        own = rows[rows.group == group]
        line = next(line for line in panel.lines if len(line.get_xdata()) == 2 and line.get_marker() == "None")
        if line.get_ydata()[0] == line.get_ydata()[1] == 0:
            line = panel.lines[1]
        assert line.get_xdata().tolist() == [2, 3]
        np.testing.assert_allclose(line.get_ydata(), 100 * own.reference_difference)
    bars = [patch.get_width() for patch in usage.axes[0].patches]
    shares = found.usage.sort_values(["experts", "group"], key=lambda of: of.map(lambda v: (*GROUPS, 1, 2, 3).index(v)))
    np.testing.assert_allclose(bars, shares.estimate)
    accuracy = found.additions[(found.additions.quantity == "accuracy") & (found.additions.group == "few")]
    drawn = [100 * value for row in accuracy.itertuples() for value in (row.base_estimate, row.estimate)]
    points = [line.get_xdata()[0] for line in additions.axes[3].lines if line.get_marker() != "None"]  # no guides
    np.testing.assert_allclose(points, drawn)
    words = [text.get_text() for text in additions.axes[3].findobj(matplotlib.text.Text)]
    assert all(f"{100 * value:+.1f}" in " ".join(words) for value in accuracy.difference if abs(value) > 1e-3)


def test_experts_used_below_one_is_refused(study):
    from ltbv.errors import Refusal
    from ltbv.files import read_arrays, write_arrays
    from ltbv.store import Store

    path = study(ride="RIDE", runs=2, routed={"ride": 3})
    file = Store(path).prediction_file("ride", 1)
    arrays = read_arrays(file)
    write_arrays(file, arrays | {"experts_used": np.zeros_like(arrays["experts_used"])})
    with pytest.raises(Refusal, match="has experts_used 0, but a router asks one expert or more"):
        read_study(path)
