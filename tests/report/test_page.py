"""Is the page one file that shows everything, fetches nothing, and takes no name for markup? In a real browser too."""

import http.server
import re
import shutil
import subprocess
import threading
from html.parser import HTMLParser

import pytest

from ltbv.report import page, tables, topics, write_report
from ltbv.report.grid import grid
from ltbv.report.questions import QUESTIONS
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


@pytest.fixture(scope="module")
def report(shared_study):
    names = EVIL + [f"class {c}" for c in range(8)]
    methods = {"ce": "CE", "ride": "RIDE", "mine": EVIL[0]}
    path = shared_study(methods, class_names=names, runs=4, points=3)
    write_report(path, path.with_name("out"))
    return path.with_name("out") / "report.html"


@pytest.fixture
def on_the_page(monkeypatch):
    """Figures are drawn for the page alone, and not for a paper too."""
    monkeypatch.setattr("ltbv.report.style.rendered", lambda figure, kind: kind.encode())


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
    files = [address for address in addresses if not address.startswith(("data:", "#"))]
    assert files and all((report.parent / address).is_file() for address in files), "only links to the report's files"
    assert {of["src"] for _, of in whole.elements if "src" in of} == set()
    assert not re.search(r"@import|url\(", text.split("<style>")[1].split("</style>")[0])
    (policy,) = (of["content"] for of in whole.of("meta") if "http-equiv" in of)
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy


def test_tables_are_tables(report):
    whole = Elements(report.read_text())
    assert {"splits", "plug_in", "claims", "identity", "hardest_negatives", "classes"} <= whole.tables.keys()
    assert all(of["scope"] in ("col", "colgroup", "row", "rowgroup") for of in whole.of("th"))
    assert len(whole.of("caption")) == len(whole.tables)
    assert not whole.of("img") and len([of for of in whole.of("svg") if of.get("class") == "figure"]) == 6
    assert all(of["aria-label"] for of in whole.of("svg") if of.get("role") == "img")
    ids = [of["id"] for _, of in whole.elements if "id" in of]
    assert len(ids) == len(set(ids))
    linked = [of["href"][1:] for of in [*whole.of("a"), *whole.of("use")] if of["href"].startswith("#")]
    assert set(linked) <= set(ids)


def test_regions_have_names_of_their_own_and_what_scrolls_is_reached_by_keys(report):
    whole = Elements(report.read_text())
    regions = [of for name, of in whole.elements if name == "section" or of.get("role") == "region"]
    names = [of.get("aria-label") or of["aria-labelledby"] for of in regions]
    assert len(names) == len(set(names)) > 6
    ids = {of["id"] for _, of in whole.elements if "id" in of}
    assert {of["aria-labelledby"] for _, of in whole.elements if "aria-labelledby" in of} <= ids
    scrolling = [of for of in whole.of("div") if of.get("class") in ("wide", "scroll")]
    assert {of["class"] for of in scrolling} == {"wide", "scroll"}
    assert all(of["tabindex"] == "0" and of["role"] and of["aria-labelledby"] for of in scrolling)


def test_the_protocol_and_the_command_are_there(report):
    text = report.read_text()
    assert "ltbv bootstrap --method ce --method mine --method ride --runs 4 --dataset glyphs-lt" in text.replace(
        "--method ride --method mine", "--method mine --method ride"
    )
    assert (
        "Scheme subsample; two runs share" in text and "4 runs: the correction of the bias cannot be relied on" in text
    )


def shown(built, evidence) -> str:
    """The page without figures."""
    of = grid(built, evidence), topics.printed(built, evidence), [], topics.answered(built, evidence)
    return page.page(built, evidence, *of)


def test_a_bias_below_0_is_grey_and_says_why(study):
    evidence = read_study(study(ride="RIDE", runs=5))
    built = tables.build(evidence)
    rows = built.splits
    rows = rows.assign(estimate=rows.estimate.where(rows.quantity != "bias", -0.0123))
    built = built.instead(splits=rows)
    text = shown(built, evidence)
    assert len(re.findall(r'class="doubtful"[^>]*>-0\.012\?', text)) == 2 * 4 and "which no bias is" in text


def test_a_table_too_long_for_a_page_is_named(study, monkeypatch):
    monkeypatch.setattr(page, "MOST_ROWS", 30)
    evidence = read_study(study(ride="RIDE", runs=4, points=2, num_classes=20))
    built = tables.build(evidence)
    text = shown(built, evidence)
    assert '<a href="tables/classes.csv">Every class</a>: 40 rows' in text
    assert "classes" not in Elements(text).tables


@pytest.mark.usefixtures("on_the_page")
def test_many_methods_are_counted(study, tmp_path):
    few, many = ({f"m{i}": f"Method {i}" for i in range(n)} for n in (2, 9))
    for others in (few, many):
        path = study(runs=4, points=3, recipes={"m1": {"adds_to": "m0"}}, **others).rename(tmp_path / f"s{len(others)}")
        write_report(path, tmp_path / "out")
        text = (tmp_path / "out/report.html").read_text()
        whole = Elements(text)
        assert ("Runs R: 4 of each of 10 methods." in text) == (others is many)
        labels = [of["aria-label"] for of in whole.of("svg") if of.get("class") == "figure"]
        flow = next(label for label in labels if label.startswith("Confusion flow"))
        assert flow.count("Method") <= 2  # the reference and the extremes, not all
        assert any(label.startswith("What a method brings on top of another") for label in labels)
        assert "additions" in whole.tables


def before_the_grid(text: str) -> list[tuple[str, str]]:
    """Class (or tag) and text of what stands in the page before its grid, and is shown."""
    body = text.split("<body>")[1].split('<table id="grid"')[0]
    body = re.sub(r'<svg.*?</svg>|<a class="skip".*?</a>', "", body, flags=re.S)
    block = re.compile(r"<(h1|p|fieldset)(?: class=.([a-z ]+).)?[^>]*>(.*?)</\1>", re.S)
    assert not re.sub(r"<[^>]+>", "", block.sub("", body)).strip(), "text outside of these"
    return [(name or tag, re.sub(r"<[^>]+>", "", of).strip()) for tag, name, of in block.findall(body)]


def test_the_first_screen_is_question_answer_provenance_and_grid(report):
    text = report.read_text()
    shown = before_the_grid(text)
    assert [name for name, _ in shown] == ["question", "answer", "why", "prov", "key", "pick view"]
    provenance = shown[3][1]
    assert provenance.startswith("glyphs-lt: 4 runs of each of 3 methods") and text.count(provenance) == 1
    assert "N = 30." not in text, "no caption tells again how the runs came about"


def test_six_questions_answer_in_their_summary_line(report):
    text = report.read_text()
    folds = re.findall(r'<details class="question-of">\s*<summary><b>(.*?)</b> <span>(.*?)</span></summary>', text)
    assert [question for question, _ in folds] == [question for question, _ in QUESTIONS.values()]
    assert all(len(answer.split()) > 2 for _, answer in folds)
    after = text.split("</table>", 1)[1]
    folded = after[after.index("<details") :]
    assert after.index("<nav") < after.index('<svg class="figure"') < after.index("<details")
    assert after.count("<table") == folded.count("<table"), "no other table lies open"
    assert after.count('<svg class="figure"') == folded.count('<svg class="figure"') + 1, "nor other figure"
    whole = Elements(text)
    nav = text.split("<nav")[1].split("</nav>")[0]
    assert re.findall(r'href="#([\w-]+)"', nav) == ["grid", "figure", *(f"to-{key}" for key in QUESTIONS)]
    assert len(whole.of("details")) == len(whole.of("summary"))


@pytest.mark.usefixtures("on_the_page")
def test_a_page_of_many_methods_is_small(study, tmp_path):
    others = {f"m{i}": f"Method {i} of a family with a long name" for i in range(41)}
    recipes = {key: {"adds_to": "ce", "kind": f"kind {i % 5}"} for i, key in enumerate(others)}
    write_report(study(runs=4, points=1, num_classes=100, recipes=recipes, **others), tmp_path / "out")
    content = (tmp_path / "out/report.html").read_bytes()
    assert len(content) < 2_000_000
    body = re.sub(r"<(style|script|svg).*?</\1>", " ", content.decode(), flags=re.S)
    outside = re.sub(r"<(thead|tbody).*?</\1>", " ", body, flags=re.S)  # captions count
    assert len(re.sub(r"<[^>]+>", " ", outside).split()) < 3000


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


UNFOLDED = """<!doctype html><body style="margin:0">
<iframe id="page" src="report.html" width="400" height="900"></iframe><p id="found"></p>
<script>document.getElementById("page").onload = (event) => {
const inner = event.target.contentDocument, all = (of) => [...inner.querySelectorAll(of)];
all("details").forEach((of) => (of.open = true));
const texts = all("caption span, summary, figcaption, h3, nav a, .notes p");
const cut = texts.filter((of) => of.getBoundingClientRect().right > 400);
const scroll = inner.getElementById("splits").closest(".scroll");
scroll.scrollLeft = 200;
const name = scroll.querySelector("tbody th").getBoundingClientRect().left - scroll.getBoundingClientRect().left;
const found = [cut.length, inner.documentElement.scrollWidth, name, scroll.scrollLeft];
document.getElementById("found").textContent = found.join(" ");
}</script>"""


def test_on_a_phone_no_text_is_cut_and_names_stay_in_view(browse, report):
    (report.parent / "probe.html").write_text(UNFOLDED)
    cut, wide, name, scrolled = browse(page="probe.html", found=True)
    assert cut == 0 and wide <= 400, "with everything unfolded, too"
    assert scrolled == 200 and 0 <= name <= 2, "though the table is scrolled"
