"""Are the numbers of the literature whole, and do they stand beside a study of the same data set only?"""

from dataclasses import replace

import pytest

from ltbv.methods import METHODS
from ltbv.report import published, tables, topics, write_report
from ltbv.report.evidence import GROUPS
from ltbv.report.study import read_study


def test_the_table_is_whole():
    everything = published.read()
    assert len(everything) > 250 and everything.value.between(0, 1).all()
    assert set(everything.group) == set(GROUPS) and set(everything.quantity) == {"accuracy", "bias", "variance"}
    settings = [*published.SETTINGS, "method", "group", "quantity"]
    assert not everything.duplicated(settings).any()
    figure = everything[everything.source.str.endswith("Figure 1a")]
    assert len(figure) == 5 * 4 * 3 and set(figure.runs) == {20}
    few = figure[(figure.key == "ride") & (figure.group == "few")].set_index("quantity").value
    assert few.to_dict() == {"accuracy": 0.201, "bias": 0.74, "variance": 0.52}
    jamal = everything[everything.source.str.startswith("Jamal") & (everything.dataset == "cifar10-lt")]
    row = jamal[(jamal.method == "Jamal, LDAM") & (jamal.imbalance == 200)]
    assert row.value.item() == pytest.approx(1 - 0.2277)


def test_each_row_stands_beside_the_method_that_it_is_of():
    everything = published.read()
    to_come = {"", "bbn", "oltr", "lfme"}
    assert set(everything.key) <= {*METHODS, *to_come}
    jamal = everything[everything.source.str.startswith("Jamal")]
    assert jamal.groupby("method").key.unique().map(list).to_dict() == {
        "CE": ["ce"],
        "CE*": ["ce"],
        "class-balanced CE": ["cb_ce"],
        "class-balanced fine-tuning": ["cb_finetuning"],
        "class-balanced fine-tuning*": ["cb_finetuning"],
        "L2RW": ["l2rw"],
        "L2RW*": ["l2rw"],
        "Meta-Weight-Net": ["meta_weight_net"],
        "focal": ["focal"],
        "class-balanced focal": ["cb_focal"],
        "LDAM": ["ldam"],
        "LDAM-DRW": ["ldam_drw"],
        **{f"Jamal, {loss}": [f"jamal_{loss.lower()}"] for loss in ("CE", "focal", "LDAM")},
    }
    routed = everything[everything.cost.isin(["64.8 MFLOPs", "4.36 GFLOPs", "4.51 GFLOPs"])]
    of_ride = routed[routed.method.str.startswith("RIDE")]
    assert {key.replace("_2", "").replace("_4", "") for key in of_ride.key} == {"ride_distil_routed"}


def test_what_is_starred_is_beside_their_own_run():
    of = published.read().set_index(["dataset", "imbalance", "method"]).value
    assert of["cifar100-lt", 100, "L2RW"] == pytest.approx(1 - 0.6110)
    assert of["cifar100-lt", 100, "L2RW*"] == pytest.approx(1 - 0.5977)
    assert of["cifar10-lt", 20, "class-balanced fine-tuning*"] == pytest.approx(1 - 0.1373)
    assert of["cifar10-lt", 1, "CE*"] == pytest.approx(1 - 0.0711)


def test_the_ablation_ends_in_the_rows_of_the_table():
    everything = published.read()
    steps = everything[everything.source == "RIDE, ICLR 2021, ablation"].set_index("key").value
    assert list(steps) == [0.42, 0.45, 0.466, 0.473, 0.47, 0.48, 0.491] and len(set(steps.index)) == 7
    table = everything[(everything.source == "RIDE, ICLR 2021, Table 1") & (everything.group == "all")]
    for key in ("ldam_drw", "ride_2_distil_routed", "ride_distil_routed", "ride_4_distil_routed"):
        assert table[table.key == key].value.item() == steps[key]


@pytest.fixture
def cifar(study):
    """A study that says that it is of CIFAR-100-LT."""
    evidence = read_study(study(ride="RIDE", runs=4))
    return replace(evidence, setting=replace(evidence.setting, dataset="cifar100-lt", imbalance=100.0, head=500))


def test_numbers_stand_side_by_side_with_the_differences_of_protocol(cifar):
    built = tables.build(cifar, published=True)
    sheets = [sheet for sheet in topics.printed(built, cifar) if sheet.asked]
    assert [sheet.title.split(", cifar")[0] for sheet in sheets] == [
        "Published: RIDE, ICLR 2021, Figure 1a",
        "Published: RIDE, ICLR 2021, Table 1",
        "Published: RIDE, ICLR 2021, ablation",
        "Published: Jamal et al., CVPR 2020",
    ]
    figure = sheets[0]
    assert "Runs: 20 published, 4 here." in figure.caption and "Images of the largest class: 300" in figure.caption
    assert "Imbalance" not in figure.caption and "Scheme" not in figure.caption
    row = next(r for r in figure.rows if (r[0].text, r[2].text, r[3].text) == ("RIDE + LDAM", "few", "variance"))
    ours = built.splits.set_index(["method", "group", "quantity"]).plug_in[("ride", "few", "variance")]
    assert [cell.text for cell in row[:5]] == ["RIDE + LDAM", "RIDE", "few", "variance", "0.520"]
    assert row[5].value == ours and row[6].value == pytest.approx(ours - 0.52)
    absent = next(r for r in figure.rows if r[0].text == "cRT")
    assert absent[1].text == "-" and absent[5].text == "-"
    assert "Scheme: one training set published, subsample here." in sheets[1].caption


def test_they_are_in_every_form_of_the_report(cifar, tmp_path):
    text = write_report(cifar, tmp_path / "out", published=True)
    assert "Published: RIDE, ICLR 2021, Figure 1a" in text and max(map(len, text.splitlines()[:-1])) <= 120
    for name in ("report.html", "report.md", "tables/published_1.tex"):
        assert "Figure 1a" in (tmp_path / "out" / name).read_text()


def test_another_data_set_or_imbalance_is_said_aloud(study, cifar, tmp_path):
    text = write_report(study(runs=2), tmp_path / "out", published=True)
    assert "! no published numbers for glyphs-lt; there are for: cifar10-lt, cifar100-lt" in text
    other = replace(cifar, setting=replace(cifar.setting, imbalance=30.0))
    (line,) = (line for line in tables.build(other, published=True).cautions if "no published" in line)
    assert "at imbalance 30.0; there are for: 1, 10, 20, 50, 100, 200." in line
