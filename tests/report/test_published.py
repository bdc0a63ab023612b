"""Are the numbers of the literature whole, and do they stand beside a study of the same data set only?"""

from dataclasses import replace

import pytest

from ltbv.methods import METHODS
from ltbv.report import published, tables, topics, write_report
from ltbv.report.evidence import GROUPS
from ltbv.report.study import read_study
from ltbv.report.topics.published import network


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
    assert {key for keys in everything.key for key in keys.split(" ")} <= {*METHODS, ""}
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


BEST = "best epoch on the test set"
PICKED = {
    BEST,
    "best epoch on a tenth of the test set",
    "best epoch and tau on the test set",
    "tau on the test set",
    "best epoch on validation data",
    "last epoch",
}
OF_CUI = {"CE", "class-balanced CE", "focal", "class-balanced focal"}
LARGE = {"inaturalist2017", "inaturalist2018", "imagenet-lt", "places-lt"}


def may_be_open(row, column):
    """What nobody released is not known: all else each row says itself."""
    source, method, of_cifar = row.source, row.method, row.dataset not in LARGE
    if source == "Jamal et al., CVPR 2020":
        if column == "network":
            return not of_cifar
        own = method.startswith("Jamal, ") or method in ("LDAM", "LDAM-DRW")
        said = {"epochs": own or method in OF_CUI, "selected": own or method == "Meta-Weight-Net"}
        return not (of_cifar and said[column])
    if column == "network":
        return False
    if source == "RIDE, ICLR 2021, Table 3":
        return not method.startswith("RIDE") and (column, method) != ("selected", "tau-norm")
    return source == "RIDE, ICLR 2021, Figure 1a" or "DisAlign" in source or method in ("OLTR", "LFME")


@pytest.mark.parametrize("column", ["network", "epochs", "selected"])
def test_each_row_says_its_network_its_epochs_and_how_it_was_picked(column):
    everything = published.read()
    for row in everything.itertuples():
        assert (getattr(row, column) == "") == may_be_open(row, column), (row.source, row.method, column)
    assert everything.network.str.fullmatch(r"(ResNe[X]?t-(32|34|50))?").all()
    assert everything.epochs.str.fullmatch(r"(\d{2,3}( \+ \d{2})?)?").all()
    assert set(everything.selected) == {*PICKED, ""}
    assert not everything.source.str.contains("epoch").any(), "said once, in its own column"


def test_what_is_longer_larger_or_looked_up_on_the_test_set_is_marked():
    everything = published.read()
    cifar = everything[everything.dataset.isin(["cifar10-lt", "cifar100-lt"])]
    assert set(cifar[cifar.epochs == "400"].key) == {"mixup", "remix"}
    larger = cifar[cifar.network != "ResNet-32"]
    assert set(larger.network) == {"ResNet-34"} and set(larger.key) == {"", "imb_sam", "weight_balancing"}
    assert set(larger.source) == {"Imbalanced SAM repository", "Weight balancing notebooks"}
    tau = everything[everything.selected.str.contains("tau")]
    assert set(tau.method) == {"tau-norm", "CE, weight decay 5e-3, tau-norm 1.9, bias kept"}
    of = tau[tau.epochs == "320"].set_index("group").value
    assert of.to_dict() == {"all": 0.526, "many": 0.741, "medium": 0.488, "few": 0.32}


def test_rows_of_bag_of_tricks_are_one_less_the_errors_of_its_gallery():
    """In percent, CIFAR-10 and CIFAR-100 at imbalance 100, then at 50."""
    everything = published.read()
    rows = everything[everything.source.str.startswith("Zhang et al. (Bag of Tricks)")]
    of = rows[rows.key != ""].set_index(["key", "dataset", "imbalance"]).value
    for key, errors in {
        "ce": (29.64, 61.68, 25.19, 56.15),
        "balanced_softmax": (22.46, 57.01, 18.89, 53.45),
        "cdt": (22.90, 60.41, 18.19, 55.17),
        "class_balanced": (27.55, 64.76, 21.92, 60.54),
        "square_root": (28.58, 63.21, 22.32, 58.87),
        "progressive": (28.02, 60.96, 21.43, 56.88),
        "mixup": (25.94, 59.18, 21.33, 54.08),
        "remix": (26.57, 58.61, 20.74, 54.30),
        "tau_norm": (27.30, 59.04, 20.22, 54.31),
        "crt": (25.01, 59.74, 19.83, 54.64),
        "lws": (27.37, 59.84, 21.34, 54.79),
    }.items():
        found = [of[key, dataset, at] for at in (100, 50) for dataset in ("cifar10-lt", "cifar100-lt")]
        assert found == pytest.approx([1 - error / 100 for error in errors], abs=5.1e-4), key


def test_what_sets_a_number_apart_is_said_in_its_source():
    of = published.read().set_index("method")
    for method, key, value, said in (
        ("IB", "ib", 0.408, "repository"),
        ("LADE", "lade", 0.505, "one run"),
        ("SADE", "sade sade_tta", 0.498, "images turned by up to 15 degrees"),
    ):
        row = of.loc[method]
        assert (row.key, row.value, row.selected) == (key, value, BEST) and said in row.source
    assert of.loc["DisAlign"].set_index("group").value.to_dict() == {
        "all": 0.524,
        "many": 0.614,
        "medium": 0.505,
        "few": 0.337,
    }


@pytest.fixture
def cifar(study):
    """A study that says that it is of CIFAR-100-LT, in the shape of the published Figure 1a."""
    evidence = read_study(study(ride="RIDE", ldam_drw="LDAM-DRW", runs=4))
    of = {"dataset": "cifar100-lt", "imbalance": 100.0, "head": 300, "protocol": RESNET_32}
    return replace(evidence, setting=replace(evidence.setting, **of))


RESNET_32 = {"backbone": {"is": "ltbv.models.resnet:Resnet", "widths": [16, 32, 64], "blocks": 5, "shared": 1}}


def asked(evidence, published):
    built = tables.build(evidence, published=published)
    return built, [sheet for sheet in topics.printed(built, evidence) if sheet.asked]


def test_published_and_measured_stand_side_by_side_in_one_table(cifar):
    built, (sheet,) = asked(cifar, True)
    assert sheet.title == "Published beside measured: RIDE, ICLR 2021, Figure 1a, cifar100-lt"
    assert len(sheet.rows) == 5 * len(GROUPS)
    row = next(row for row in sheet.rows if (row[0].text, row[1].text) == ("RIDE + LDAM / RIDE", "few"))
    ours = built.splits.set_index(["method", "group", "quantity"]).plug_in.sort_index().loc["ride", "few"]
    assert [cell.text for cell in row[1:5]] == ["few", "20.1", "0.74", "0.52"]
    assert [cell.value for cell in row[5:8]] == list(ours[["accuracy", "bias", "variance"]])
    assert row[10].value == pytest.approx(ours["variance"] - 0.52)
    absent = next(row for row in sheet.rows if row[0].text == "cRT")
    assert absent[2].text != "-" and absent[5].text == absent[8].text == "-"


def test_of_what_a_paper_leaves_open_each_that_was_measured_has_its_rows(study):
    evidence = read_study(study(ride="RIDE", ldam="LDAM", ldam_drw="LDAM-DRW", runs=4))
    of = {"dataset": "cifar100-lt", "imbalance": 100.0, "head": 300, "protocol": RESNET_32}
    built, (sheet,) = asked(replace(evidence, setting=replace(evidence.setting, **of)), True)
    rows = [row for row in sheet.rows if row[0].text.split(" / ")[0] == "LDAM"]
    assert [(row[0].text, row[1].text) for row in rows] == [
        (name, group) for name in ("LDAM", "LDAM / LDAM-DRW") for group in GROUPS
    ]
    ours = built.splits.set_index(["method", "group", "quantity"]).plug_in
    assert [row[5].value for row in rows] == [
        ours[key, group, "accuracy"] for key in ("ldam", "ldam_drw") for group in GROUPS
    ]
    assert {row[2].value for row in rows[:1]} == {row[2].value for row in rows[4:5]}, "what is published is the same"
    assert "Beside LDAM stand LDAM and LDAM-DRW: the paper leaves open which it is." in sheet.caption


def test_the_words_are_those_of_a_person(cifar):
    _, (sheet,) = asked(cifar, True)
    assert "The paper has 20 runs of each method, here there are 4." in sheet.caption
    assert "Beside LDAM stands LDAM-DRW: the paper leaves open which it is." in sheet.caption
    assert "{" not in sheet.caption and "network" not in sheet.caption and "scheme" not in sheet.caption
    unknown = replace(cifar, setting=replace(cifar.setting, protocol={}))
    _, (sheet,) = asked(unknown, True)
    assert "The paper trains ResNet-32; which network was trained here is not known." in sheet.caption


def test_another_protocol_is_shown_where_it_is_asked_for_by_name(cifar):
    built, _ = asked(cifar, True)
    (line,) = (line for line in built.cautions if "another protocol" in line)
    assert "RIDE, ICLR 2021, Table 1 (500 images of the largest class, here 300)" in line
    assert line.endswith("--published cifar100-lt shows them.")
    built, sheets = asked(cifar, "cifar100-lt")
    assert not any("another protocol" in line for line in built.cautions)
    titles = [sheet.title.split(": ", 1)[1].split(", cifar")[0] for sheet in sheets]
    assert titles[:6] == [
        "RIDE, ICLR 2021, Figure 1a",
        "RIDE, ICLR 2021, Table 1",
        "RIDE, ICLR 2021, ablation",
        "Jamal et al., CVPR 2020",
        "Zhang et al. (Bag of Tricks), AAAI 2021, repository",
        "Zhang et al. (SADE), NeurIPS 2022, README, images turned by up to 15 degrees",
    ]
    assert "MiSLAS repository" in titles[6:]
    assert "The paper has 500 images of the largest class, here 300." in sheets[1].caption
    assert "The paper has one training set, here the scheme is subsample." in sheets[1].caption
    here = f"; here {cifar.setting.epochs}. How its numbers were picked: {BEST}"
    others = ", not known (OLTR; LFME)"
    tenth = ", best epoch on a tenth of the test set (M2m); here the last epoch answers."
    assert f"Epochs in the paper: 200{others}{here}{others}{tenth}" in sheets[1].caption
    assert f"Epochs in the paper: 200, 200 + 30 (cRT; LWS), 400 (mixup; Remix){here}" in sheets[4].caption
    under_paper = replace(cifar, setting=replace(cifar.setting, epochs=None))
    assert (
        "Epochs in the paper: not known. How its numbers were picked: not known;"
        in asked(under_paper, True)[1][0].caption
    )
    assert len(sheets[1].columns) == 2 + 3 + 1 and sheets[1].columns[-1].name == "cost in paper"
    built, sheets = asked(cifar, "cifar10-lt")
    assert not sheets and "published numbers of cifar10-lt stand beside no study of cifar100-lt." in built.cautions


@pytest.mark.parametrize(
    ("backbone", "called"),
    [
        (RESNET_32["backbone"], "ResNet-32"),
        ({"widths": [8, 16, 32], "blocks": 1}, "ResNet-8, 0.5 times as wide"),
        ({"is": "ltbv.models.vision:TorchvisionBackbone", "name": "resnet18"}, "torchvision resnet18"),
        ({"is": "mine:Net"}, ""),
        (None, ""),
    ],
)
def test_a_network_is_called_as_papers_call_it(cifar, backbone, called):
    assert network({"backbone": backbone}) == called
    other = replace(cifar, setting=replace(cifar.setting, protocol={"backbone": backbone}))
    built, sheets = asked(other, True)
    assert len(sheets) == (called in ("", "ResNet-32"))
    assert any(f"ResNet-32, here {called}" in line for line in built.cautions) == (not sheets)


@pytest.mark.usefixtures("undrawn")
def test_they_are_in_every_form_of_the_report(cifar, tmp_path):
    text = write_report(cifar, tmp_path / "out", published="cifar100-lt")
    assert "RIDE, ICLR 2021, Figure 1a" in text and max(map(len, text.splitlines()[:-1])) <= 120
    table = text[text.index("Published beside measured") : text.index("Accuracy in percent; bias")]
    assert "RIDE + LDAM / RIDE  " in table and "…" not in table  # whole names, whole heads
    for name in ("report.html", "report.md", "tables/published_1.tex"):
        assert "Figure 1a" in (tmp_path / "out" / name).read_text()


@pytest.mark.usefixtures("undrawn")
def test_another_data_set_or_imbalance_is_said_aloud(study, cifar, tmp_path):
    text = write_report(study(runs=2), tmp_path / "out", published=True)
    assert "! no published numbers for glyphs-lt; there are for: cifar10-lt, cifar100-lt" in text
    other = replace(cifar, setting=replace(cifar.setting, imbalance=30.0))
    (line,) = (line for line in tables.build(other, published=True).cautions if "no published" in line)
    assert "at imbalance 30.0; there are for: 1, 10, 20, 50, 100, 200." in line
