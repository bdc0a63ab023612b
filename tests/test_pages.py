"""Do the pages lead where they say, and would what they show be taken? Links, commands and blocks of Python."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import ROOT, anchors, broken, links, pages

from ltbv.cli import main

PAGES = {str(page.relative_to(ROOT)): page for page in pages()}
COMMAND = re.compile(r"^(?: {4}|)ltbv [a-z].*$", re.M)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
RUN_ELSEWHERE = {  # blocks of Python that tests/test_docs.py takes from these pages and runs
    "docs/methods.md": 4,
    "docs/predictions.md": 3,
    "docs/images.md": 1,
    "docs/features.md": 1,
    "docs/networks.md": 2,
    "docs/tutorial/index.md": 1,
}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    assert not broken(PAGES[name])


def test_a_broken_link_would_be_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A heading, `so`\n\n[a](page.md#a-heading-so) [b](page.md#other) [c](no.md) `[d](no.md)` <x>\n")
    assert anchors(page) == {"a-heading-so"} and len(links(page)) == 3
    assert broken(page) == ["page.md#other", "no.md"]


def commands() -> Iterator[tuple[str, str]]:
    for name, page in PAGES.items():
        for line in COMMAND.findall(page.read_text().replace("\\\n", " ")):
            if name != "CHANGES.md" and not set("…⇥") & set(line):
                yield name, re.split(r" [>|] ", line.strip())[0]


@pytest.mark.parametrize(("name", "line"), [*commands()])
def test_commands_of_pages_have_options_that_there_are(name, line, tmp_path, monkeypatch):
    """Parsed, not run."""
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text("runs = 20\n")
    command, *words = shlex.split(line, comments=True)[1:]
    main.commands[command].make_context(command, words)


OF_OTHERS = {
    *("--nproc-per-node", "--nnodes", "--node-rank", "--master-addr"),  # torchrun
    *("--requeue", "--signal", "--cpus-per-task"),  # SLURM
    "--help",  # every command
}
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")


def test_options_in_sentences_are_options_that_there_are():
    commands = [main, *main.commands.values()]
    known = {option for one in commands for of in one.params for option in (*of.opts, *of.secondary_opts)}
    for name, page in PAGES.items():
        told = {option for code in CODE.findall(page.read_text()) for option in OPTION.findall(code)}
        assert told <= known | OF_OTHERS, name


def test_a_page_of_images_names_where_an_option_of_images_alone_belongs():
    """What `ltbv bootstrap` does not take is said to be of `ltbv images`."""
    of = {name: {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
          for name, command in main.commands.items()}  # fmt: skip
    page = PAGES["docs/images.md"].read_text()
    told = {option for code in CODE.findall(page) for option in OPTION.findall(code)}
    assert (
        told - OF_OTHERS - of["bootstrap"] - of["features"] <= of["images"]
        and "all that `ltbv images --help` shows" in page
    )


def test_every_how_to_is_one_click_from_the_front_page():
    front, index = PAGES["docs/index.md"], PAGES["docs/howto/index.md"]
    reached = {(front.parent / target).resolve() for target in links(front)}
    assert {(index.parent / target.partition("#")[0]).resolve() for target in links(index)} <= reached


@pytest.mark.parametrize("name", PAGES)
def test_blocks_of_python_run_one_after_the_other(name, tmp_path, monkeypatch):
    blocks = PYTHON.findall(PAGES[name].read_text())
    if name in RUN_ELSEWHERE:
        assert len(blocks) == RUN_ELSEWHERE[name]
        return
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    for block in blocks:
        exec(block, found)


@pytest.mark.parametrize("name", [name for name in PAGES if "ltbv.bootstrap(" in PAGES[name].read_text()])
def test_python_of_a_page_trains_where_its_commands_do_not(name):
    """With fewer epochs than the commands above it, a study would be refused in their directory."""
    small = [block for block in PYTHON.findall(PAGES[name].read_text()) if re.search(r"\bepochs(=|\":)", block)]
    for study in (re.search(r"\bstudy(?:=|\": )\"(runs/[\w-]+)\"", block) for block in small):
        assert study and study[1] not in PAGES[name].read_text().replace(study[0], "")


EXAMPLES = ROOT / "docs" / "examples"


def test_examples_run_where_their_page_says():
    """By hand as in the site: what they read lies where it does from their own directory."""
    assert "as it stands in ``docs/examples``" in (EXAMPLES / "GALLERY_HEADER.rst").read_text()
    read = [found for one in EXAMPLES.glob("plot_*.py") for found in re.findall(r'Path\("([^"]+)"\)', one.read_text())]
    assert len(read) > 5 and all((EXAMPLES / path).exists() for path in read)


def test_the_page_on_correction_prints_what_it_says(capsys):
    (block,) = PYTHON.findall(PAGES["docs/explanation/correction.md"].read_text())
    exec(block, {})
    printed = [round(float(word), 3) for word in capsys.readouterr().out.split()]
    assert printed == [float(word) for word in re.findall(r"0\.\d{3}", block)] and len(printed) == 4


def test_the_code_of_the_readme_runs():
    import numpy as np

    indented = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", (ROOT / "README.md").read_text(), re.M)
    method, statistics = (block for block in indented if block.lstrip().startswith("from ltbv import"))
    draw = np.random.default_rng(0)
    labels, counts = np.repeat(np.arange(100), 2), np.geomspace(500, 5, 100).astype(int)
    of_runs = {name: draw.integers(0, 100, (4, 200)) for name in ("predictions", "mine", "ce")}
    exec(re.sub("^ {4}", "", statistics, flags=re.M), {"labels": labels, "train_counts": counts} | of_runs)
    found: dict = {}
    exec(re.sub("^ {4}", "", method, flags=re.M), found)
    assert found["MINE"].key == "mine"
