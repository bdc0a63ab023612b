"""Is the page one file that shows everything, fetches nothing, and takes no name for markup? In a real browser too."""

import http.server
import re
import shutil
import subprocess
import threading
from html.parser import HTMLParser

import pytest

from ltbv.report import page, style, tables, topics, write_report
from ltbv.report.grid import grid
from ltbv.report.study import read_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)
EVIL = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "a & b's", "</style><script>alert(3)</script>"]


class Elements(HTMLParser):
    """The elements of a page, and the text of its table cells."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.open: list[list[str]] | None = None
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        self.elements.append((tag, of))
        if tag == "table":
            self.open = self.tables[of["id"]] = []
        elif tag == "tr" and self.open is not None:
            self.open.append([])
        elif tag in ("td", "th") and self.open is not None:
            self.open[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self.in_cell:
            self.open[-1][-1] += data

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def report(study, tmp_path):
    names = EVIL + [f"class {c}" for c in range(8)]
    write_report(study(ride="RIDE", mine=EVIL[0], class_names=names, runs=4, points=3), tmp_path / "out")
    return tmp_path / "out" / "report.html"


def test_every_name_stays_text(report):
    text = report.read_text()
    whole = Elements(text)
    assert len(whole.of("script")) == 1 and "alert" not in text.split("<script>")[1].split("</script>")[0]
    assert {row[1] for row in whole.tables["classes"][2:]} >= set(EVIL)
    assert all("onerror" not in attributes for _, attributes in whole.elements)


def test_nothing_is_fetched(report):
    text = report.read_text()
    whole = Elements(text)
    addresses = [of[name] for _, of in whole.elements for name in ("src", "href", "action", "data") if of.get(name)]
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"@import|url\(", text.split("<style>")[1].split("</style>")[0])
    (policy,) = (of["content"] for of in whole.of("meta") if "http-equiv" in of)
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy


def test_tables_are_tables(report):
    whole = Elements(report.read_text())
    assert {"splits", "plug_in", "claims", "identity", "hardest_negatives", "classes"} <= whole.tables.keys()
    assert all(of["scope"] in ("col", "colgroup", "row", "rowgroup") for of in whole.of("th"))
    assert len(whole.of("caption")) == len(whole.tables)
    assert all(of["alt"] and of["width"] and of["height"] for of in whole.of("img"))
    ids = [of["id"] for _, of in whole.elements if "id" in of]
    assert len(ids) == len(set(ids))
    linked = [of["href"][1:] for of in whole.of("a")]
    assert set(linked) <= set(ids)


def test_the_protocol_and_the_command_are_there(report):
    text = report.read_text()
    assert "ltbv bootstrap --method ce --method mine --method ride --runs 4 --dataset glyphs-lt" in text.replace(
        "--method ride --method mine", "--method mine --method ride"
    )
    assert (
        "Scheme subsample; two runs share" in text and "4 runs: the correction of the bias cannot be relied on" in text
    )


def test_a_bias_below_0_is_grey_and_says_why(study):
    evidence = read_study(study(ride="RIDE", runs=5))
    built = tables.build(evidence)
    rows = built.splits
    rows = rows.assign(estimate=rows.estimate.where(rows.quantity != "bias", -0.0123))
    built = built.instead(splits=rows)
    looks = style.looks(evidence.names)
    text = page.page(built, evidence, grid(built, evidence), topics.printed(built, evidence), [], looks)
    assert len(re.findall(r'class="doubtful"[^>]*>-0\.012\?', text)) == 2 * 4 and "which no bias is" in text


def test_a_table_too_long_for_a_page_is_named(study, monkeypatch):
    monkeypatch.setattr(page, "MOST_ROWS", 30)
    evidence = read_study(study(ride="RIDE", runs=4, points=2, num_classes=20))
    built = tables.build(evidence)
    looks = style.looks(evidence.names)
    text = page.page(built, evidence, grid(built, evidence), topics.printed(built, evidence), [], looks)
    assert "Every class: 40 rows, too many for a page; see tables/classes.csv" in text
    assert "classes" not in Elements(text).tables


def test_many_methods_are_counted_and_their_numbers_folded(study, tmp_path):
    few, many = ({f"m{i}": f"Method {i}" for i in range(n)} for n in (2, 9))
    for others, folded in ((few, 0), (many, 9)):
        path = study(runs=4, points=3, recipes={"m1": {"adds_to": "m0"}}, **others).rename(tmp_path / f"s{folded}")
        write_report(path, tmp_path / "out")
        text = (tmp_path / "out/report.html").read_text()
        whole = Elements(text)
        assert len(whole.of("details")) == len(whole.of("summary")) == folded + 2  # and two losses
        assert ("Runs R: 4 of each of 10 methods." in text) == bool(folded)
        alt = next(of["alt"] for of in whole.of("img") if of["alt"].startswith("Confusion flow"))
        assert alt.count("Method") <= 2  # the reference and the extremes, not all
        assert any(of["alt"].startswith("What a method brings on top of another") for of in whole.of("img"))
        assert "additions" in whole.tables


@pytest.fixture
def browse(report, tmp_path):
    """Open the page in Chromium, served from this machine: the DOM after scripts, and the paths that were asked for."""
    if not CHROMIUM:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *rest):
            super().__init__(*rest, directory=str(report.parent))

        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def open_page(fragment: str = "", page: str = "report.html", found: bool = False):
        address = f"http://127.0.0.1:{server.server_port}/{page}{fragment}"
        directory = f"--user-data-dir={tmp_path / 'browser'}"
        command = [CHROMIUM, *FLAGS, directory, "--dump-dom", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert "</html>" in done.stdout, done.stderr[-2000:]
        if found:  # numbers that a page of our own found out
            return map(float, re.search(r'<p id="found">([^<]+)</p>', done.stdout)[1].split())
        return Elements(done.stdout), asked

    yield open_page
    server.shutdown()
    server.server_close()


def test_a_browser_shows_it_and_fetches_nothing(browse):
    shown, asked = browse()
    assert asked == ["/report.html"]
    assert len(shown.of("script")) == 1
    assert {row[1] for row in shown.tables["classes"][2:]} >= set(EVIL)
    assert len(shown.of("select")) >= 2 and len([of for of in shown.of("input") if of.get("type") == "search"]) == 1


def test_a_browser_sorts_a_table(browse, report):
    before = [row[5] for row in Elements(report.read_text()).tables["classes"][2:]]
    shown, _ = browse("#classes!-6")
    after = [row[5] for row in shown.tables["classes"][2:]]
    assert sorted(before) == sorted(after) and before != after
    values = [float(text.split()[0]) for text in after]
    assert values == sorted(values, reverse=True)
    sorted_by = [of["aria-sort"] for of in shown.of("th") if "aria-sort" in of]
    assert sorted_by == ["descending", "descending"]  # of the grid, which is ranked, and of this table
    upwards, _ = browse("#classes!2")
    names = [row[1] for row in upwards.tables["classes"][2:]]
    assert names.index("class 0") < names.index("class 7")


PROBE = """<!doctype html><body style="margin:0">
<iframe id="page" src="report.html" width="{width}" height="900"></iframe><p id="found"></p>
<script>document.getElementById("page").onload = (event) => {{
const inner = event.target.contentDocument, box = inner.getElementById("grid").getBoundingClientRect();
document.getElementById("found").textContent = [box.top, box.bottom, inner.documentElement.scrollWidth].join(" ");
}}</script>"""


@pytest.mark.parametrize("width", [1400, 400])
def test_the_first_screen_holds_the_grid(browse, report, width):
    (report.parent / "probe.html").write_text(PROBE.format(width=width))
    top, bottom, wide = browse(page="probe.html", found=True)
    assert top > 0 and bottom <= 900, "without scrolling"
    assert wide <= width, "and nothing reaches beyond the right edge"


def test_the_grid_is_sorted_within_kinds_and_its_reference_stays(browse, report):
    names = [row[0] for row in Elements(report.read_text()).tables["grid"][2:]]
    shown, _ = browse("#grid!-13")
    assert names[0] == "CE" and [row[0] for row in shown.tables["grid"][2:]][0] == "CE"
    values = [float(re.match(r"[\d.]+", row[12])[0]) for row in shown.tables["grid"][3:]]
    assert values == sorted(values, reverse=True)
