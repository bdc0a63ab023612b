"""Does docs/paper say what the files say that it names? References, sources, every number of its text and tables."""

import csv
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "docs" / "paper" / "paper.md"
TEXT = PAPER.read_text().split("---\n", 2)[2]
BIBLIOGRAPHY = PAPER.with_name("paper.bib").read_text()
FILE = re.compile(r"[\w./-]+/[\w.-]+\.\w+")
COMMENT = re.compile(r"<!--(.*?)-->", re.S)
NUMBER = re.compile(r"(?<![\w.,@-])[+-]?(\d[\d,]*\.\d+|\d[\d,]*|\.\d+)(?![\w-]|[.,]\d)")


def sources(comment: str) -> list[Path]:
    return [ROOT / name for name in FILE.findall(comment)]


def numbers(text: str) -> set[str]:
    """The numbers of a text without sign, comma and leading zero: "0.076" and "+.076" are one."""
    return {found.replace(",", "").lstrip("0") or "0" for found in NUMBER.findall(text)}


def unfounded(text: str) -> list[str]:
    """Numbers of the sentences that stand in no file which the comment behind them names."""
    found = []
    for paragraph in re.sub(r"`[^`]*`|\[@[^\]]*\]", "", text).split("\n\n"):
        if paragraph.lstrip().startswith(("|", ": ", "#")):
            continue
        said, *rest = COMMENT.split(paragraph)
        for comment, following in zip(rest[::2], rest[1::2], strict=True):
            known = set().union(*(numbers(source.read_text()) for source in sources(comment)))
            found += sorted(numbers(said) - known)
            said = following
        found += sorted(numbers(said))  # no comment follows
    return found


def rows(text: str) -> list[list[str]]:
    """The cells of the lines of tables, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {place - 1 for place, line in enumerate(lines) if set(line) <= set("|:- ")}
    return [
        [cell.strip().replace("\\", "") for cell in line.strip("|").split("|")]
        for place, line in enumerate(lines)
        if place not in heads and place - 1 not in heads
    ]


def table(head: str) -> list[list[str]]:
    """The rows of the paper's table whose head begins so."""
    (found,) = (part for part in TEXT.split("\n\n") if part.startswith(f"| {head} |"))
    return rows(found)


def published() -> list[list[str]]:
    report = (ROOT / "reports" / "figure1a" / "report.md").read_text()
    return rows(report.split("### Published beside measured", 1)[1].split("\n\n")[1])


def test_cited_and_listed_are_the_same():
    cited = set(re.findall(r"@([\w-]+)", TEXT))
    listed = re.findall(r"^@\w+\{([\w-]+),$", BIBLIOGRAPHY, re.M)
    assert cited == set(listed) and len(listed) == len(set(listed))


def test_named_files_are_there():
    named = [source for comment in COMMENT.findall(TEXT) for source in sources(comment)]
    assert len(named) > 10 and not [source for source in named if not source.is_file()]


def test_numbers_of_the_text_stand_in_the_files_named_behind_them():
    assert not unfounded(TEXT)


def test_a_number_that_no_file_has_would_be_seen():
    behind = "<!-- benchmarks/results/gpu.md -->"
    assert unfounded(f"ResNet-32 at 204,753 images, 23.49 times, of Figure 1a. {behind}") == []
    assert unfounded(f"ResNet-32 at 204,754 images, 24.4 times. {behind} Then 0.5 of it.") == ["204754", "24.4", ".5"]


def test_signs_of_the_published_figure():
    """Against CE, of the plug-in values; what is published as no difference is met by none. LDAM is LDAM-DRW there."""
    found = {(row[0], row[1]): [float(value) for value in row[2:8]] for row in published()}
    same = []
    for (method, split), values in found.items():
        if method not in ("CE", "LDAM"):
            gaps = [round(mine - ce, 3) for mine, ce in zip(values, found["CE", split], strict=True)]
            same += [paper * here > 0 for paper, here in zip(gaps[:3], gaps[3:], strict=True)]
    assert re.search(rf"Of the {len(same)} signs[^.]*, {sum(same)} are the published", TEXT)


def test_published_beside_measured_is_the_reports():
    mine = table("method in paper / here")
    assert mine == [row[:8] for row in published() if row[1] in ("all", "few")]


@pytest.mark.parametrize("split", ["all", "many", "medium", "few"])
def test_what_ride_changes_is_the_reports(split):
    with (ROOT / "reports" / "figure1a" / "tables" / "splits.csv").open() as lines:
        mine = [row for row in csv.DictReader(lines) if row["method"] == "ride" and row["group"] == split]
    found = {row["quantity"]: row for row in mine}
    cells = []
    for quantity, scale, digits in (("accuracy", 100, 1), ("bias", 1, 3), ("variance", 1, 3)):
        names = ("reference_difference", "difference_low", "difference_high")
        at, low, high = (f"{scale * float(found[quantity][name]):+.{digits}f}" for name in names)
        cells.append(f"{at} ({low} to {high})")
    assert [split, *cells] in table("RIDE minus CE")


def test_coverage_is_the_reports():
    text = (ROOT / "reports" / "coverage" / "README.md").read_text()
    apart = rows(text.split("### Worlds apart", 1)[1].split("Below 92 %:", 1)[0])
    assert table("R") == [row[:1] + row[2:] for row in apart]


def test_how_far_off_ten_runs_are_is_the_reports():
    """Of the methods, not their differences, under both schemes; `truth` has thousandths."""
    found = []
    for scheme in ("fresh", "subsample"):
        with (ROOT / "reports" / "truth" / f"{scheme}.csv").open() as lines:
            found += list(csv.DictReader(lines))

    def most(column: str, quantity: str) -> str:
        off = [float(row[column]) for row in found if row["quantity"] == quantity and " - " not in row["what"]]
        return f"{max(map(abs, off)) / 1000:.3f}".lstrip("0")

    text = " ".join(TEXT.split())
    bias, variance = (most("plug_in_off", quantity) for quantity in ("bias", "variance"))
    assert f"off by up to {bias} (bias) and {variance} (variance)" in text
    assert f"off by at most {most('corrected_off', 'bias')} and {most('corrected_off', 'variance')}" in text
    covered = [float(row["covered"]) for row in found if row["quantity"] in ("error", "bias", "variance")]
    assert f"covered {min(covered):g} to {max(covered):g} % of 200 studies" in text
