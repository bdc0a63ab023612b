"""Does docs/which.md say of the methods what the reports say that it names? And the page of intervals of coverage?"""

import csv
import re
from collections import defaultdict
from pathlib import Path

import pytest

from ltbv.methods import METHODS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "which.md").read_text()
INTERVALS = (ROOT / "docs" / "explanation" / "intervals.md").read_text()
GLYPHS = ("all-methods", "recent", "development")  # one study: CE of the three is the same
OPEN = " (open)"


def accuracies(report: str) -> dict[str, dict[str, tuple[float, str]]]:
    """By method and split: points of accuracy that it has more than CE, and where a claim puts it, if one does."""
    found: dict = defaultdict(dict)
    with (ROOT / "reports" / report / "tables" / "claims.csv").open() as file:
        for row in csv.DictReader(file):
            if row["quantity"] == "error":
                claimed = {"lower": "better", "higher": "worse", "": ""}[row["holds"]]
                found[row["method"]][row["group"]] = (-100 * float(row["difference"]), claimed)
    return dict(found)


def cells(head: str) -> dict[str, list[str]]:
    """The rows of the table whose head begins so, by their first cell."""
    (lines,) = (part.splitlines() for part in PAGE.split("\n\n") if part.startswith(head))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {first: rest for first, *rest in rows}


def of_kind(kind: str) -> list[str]:
    """The page's row on the methods of a kind, from the reports."""
    measured = {key: row for report in GLYPHS for key, row in accuracies(report).items() if METHODS[key].kind == kind}
    ranges = []
    for split in ("few", "many"):
        low, *_, high = sorted(row[split][0] for row in measured.values())
        ranges.append(f"{low:+.1f} to {high:+.1f}")
    keys = [key for key in METHODS if key in measured]
    gain = [key for key in keys if measured[key]["few"][1] == "better" and measured[key]["many"][1] != "worse"]
    return [*(", ".join(f"`{key}`" for key in some) or "none" for some in (keys, gain)), *ranges]


def test_the_three_reports_on_glyphs_have_one_reference():
    heads = {re.search(r"^\| CE \|.*$", (ROOT / "reports" / one / "report.md").read_text(), re.M)[0] for one in GLYPHS}
    assert len(heads) == 1
    shared = [set(accuracies(one)) for one in GLYPHS]
    for key in (shared[0] & shared[1]) | (shared[0] & shared[2]) | (shared[1] & shared[2]):
        told = {str(accuracies(one)[key]) for one in GLYPHS if key in accuracies(one)}
        assert len(told) == 1, key


@pytest.mark.parametrize("kind", sorted({method.kind for method in METHODS.values()} - {""}))
def test_a_kind_of_methods_is_told_as_the_reports_have_it(kind):
    keys, gain, few, many = of_kind(kind)
    assert cells("| kind |")[kind] == [few, many, gain, keys]


def test_the_page_has_every_method_and_says_which_were_not_measured():
    named = set(re.findall(r"`([a-z]\w*)`", PAGE.split("## Every method")[1]))
    assert set(METHODS) - {"ce"} <= named
    absent = PAGE.split("- In no report:")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", absent)) == set(METHODS) - {"ce"} - {
        key for one in GLYPHS for key in accuracies(one)
    }


@pytest.mark.parametrize(
    ("name", "key"), [("cRT", "crt"), ("tau-norm (tau = 1)", "tau_norm"), ("LDAM-DRW", "ldam_drw")]
    + [("RIDE, three experts", "ride")],
)  # fmt: skip
def test_what_was_found_elsewhere_is_what_the_reports_found(name, key):
    reports = [accuracies(one)[key] for one in ("figure1a", "published-shape-subsample")]
    for split, cell in zip(("few", "many"), cells("| | few |")[name][:2], strict=True):
        told = re.findall(rf"(?<!\w)([+-][\d.]+)({re.escape(OPEN)})?", cell)
        assert len(told) == 2
        for (number, is_open), report in zip(told, reports, strict=True):
            difference, claimed = report[split]
            assert float(number) == round(difference, len(number.partition(".")[2])), (number, difference)
            assert bool(is_open) == (not claimed)


def test_what_is_said_of_groceries_is_claimed_there():
    (said,) = (part.replace("\n", " ") for part in PAGE.split("\n\n") if part.startswith("On photographs of 43"))
    found = accuracies("grocery")
    assert not any(row["few"][1] for row in found.values())
    medium = {key: found[key]["medium"] for key in ("ride", "ldam_drw", "balanced_softmax")}
    assert {claimed for _, claimed in medium.values()} == {"better"}
    assert re.findall(r"\+[\d.]+", said) == [f"{difference:+.1f}" for difference, _ in medium.values()]
    lost, claimed = found["balanced_softmax"]["many"]
    assert f"loses {-lost:.1f} in many" in said and claimed == "worse"


def test_the_page_of_intervals_says_how_far_they_fail_where_runs_collapse():
    (said,) = re.findall(r"^- \*\*Runs that collapse\.\*\*.*?(?=^- )", INTERVALS, re.M | re.S)
    with (ROOT / "reports" / "coverage" / "coverage.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["world"] == "collapse" and row["coverage_percent"] != "nan"]

    def worst_and_best(quantity: str, fewest: int) -> str:
        own = [row for row in rows if row["quantity"] == quantity and int(row["runs"]) >= fewest]
        covered = [float(row["coverage_percent"]) for row in own]
        return f"{min(covered):.0f} to {max(covered):.0f} %"

    told = re.findall(r"\d+ to \d+ %", said)
    assert told == [worst_and_best(quantity, fewest) for fewest in (10, 5) for quantity in ("error", "variance")]
