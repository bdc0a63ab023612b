"""Is what a package index would have whole? Wheel and source distribution are built, looked into, and used."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import ltbv

ROOT = Path(__file__).parents[1]
BUILD = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
NOT_SOURCE = (".git", ".venv", ".*cache", "runs", "build", "*.egg-info", "__pycache__", "_build", "gallery", "shared")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A directory with both, built from a copy of the source."""
    copy = tmp_path_factory.mktemp("source") / "ltbv"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    (copy / "dist").mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-c", BUILD], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return copy / "dist"


def test_the_wheel_says_who_what_and_nothing_that_leads_nowhere(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        (of,) = (name for name in names if name.endswith("METADATA"))
        said = Parser().parsestr(files.read(of).decode())
    assert said["Version"] == ltbv.__version__ and said["Author"] == "the ltbv developers"
    assert said["Description-Content-Type"] == "text/markdown" and "Typing :: Typed" in said.get_all("Classifier")
    text = said.get_payload()
    assert text.startswith("# ltbv") and "docs/versions.md what is public" in text
    assert not re.findall(r"\]\((?!https?:|#)", text)
    inside = {f"ltbv/{path.relative_to(ROOT / 'ltbv')}" for path in (ROOT / "ltbv").rglob("*.*")}
    assert {name for name in inside if "__pycache__" not in name} <= set(names)


def test_the_source_has_pages_and_tests(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    wanted = {"CITATION.cff", "CHANGES.md", "docs/conf.py", "docs/images.md", "tests/conftest.py", "constraints.txt"}
    wanted |= {f"docs/examples/{path.name}" for path in (ROOT / "docs" / "examples").iterdir() if path.suffix == ".py"}
    assert wanted | {"reports/published-shape-subsample/predictions/ce.npz"} <= names
    assert not {name for name in names if "_build" in name or ".pyc" in name}


SMALL = "bootstrap --method ce,ride --runs 2 --epochs 1 --head 40 --imbalance 10 -q"


@pytest.mark.parametrize(("kind", "commands"), [("*.whl", [SMALL, "report"]), ("*.tar.gz", ["--version", "methods"])])
def test_what_was_built_works_where_the_source_is_not(built, kind, commands, tmp_path):
    (package,) = built.glob(kind)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "--target", str(tmp_path / "at"), str(package)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "at"), "LTBV_CACHE": str(tmp_path / "cache")}
    for words in commands:
        command = [sys.executable, "-m", "ltbv", *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "reports/glyphs-lt/report.html").exists() or "report" not in commands


def test_the_citation_is_of_this_version():
    assert f"\nversion: {ltbv.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert (ROOT / "CHANGES.md").read_text().split("\n## ")[1].startswith(ltbv.__version__)
