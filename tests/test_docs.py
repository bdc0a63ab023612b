"""What the pages show is what runs: their code is taken from them and run."""

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ltbv.cli import main

METHODS = Path(__file__).parents[1] / "docs" / "methods.md"
PREDICTIONS = METHODS.with_name("predictions.md")
IMAGES = METHODS.with_name("images.md")
FEATURES = METHODS.with_name("features.md")
NETWORKS = METHODS.with_name("networks.md")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


def ltbv(*words: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess:
    found = os.pathsep.join(str(one) for one in (path, METHODS.parents[1]) if one)  # this checkout, installed or not
    environment = os.environ | {"PYTHONPATH": found, "LTBV_CACHE": str(cwd.parent / "cache")}
    command = [sys.executable, "-m", "ltbv.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def ltbv_here(*words: str, cwd: Path) -> Result:
    """The same in this process, which has imported what takes long; of what it imports of `cwd` nothing is left."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setenv("LTBV_CACHE", str(cwd.parent / "cache"))
        patch.syspath_prepend(cwd)
        try:
            return CliRunner().invoke(main, words)
        finally:
            for name in set(sys.modules) - before:
                if str(getattr(sys.modules[name], "__file__", "")).startswith(str(cwd)):
                    del sys.modules[name]


@pytest.fixture
def here(tmp_path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def test_the_method_of_the_page_is_trained_from_a_file(here):
    (here / "mine.py").write_text(blocks(METHODS, "python")[0])
    asked = ("bootstrap", "--method", "ce", "--method", "mine:mine", "--runs", "1", "--epochs", "1", "--head", "40")
    done = ltbv(*asked, "--imbalance", "10", "--study", "study", cwd=here)
    assert done.returncode == 0, done.stderr
    assert {path.parent.name for path in here.glob("study/predictions/*/r*.npz")} == {"ce", "mine"}


def test_the_method_of_the_page_is_known_by_name_from_an_installed_package(here):
    source, place = here / "source", here / "installed"
    source.mkdir()
    (source / "mine.py").write_text(blocks(METHODS, "python")[0])
    (source / "pyproject.toml").write_text(blocks(METHODS, "toml")[0])
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(place)]
    done = subprocess.run([*pip, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed = ltbv("methods", cwd=here, path=place)
    assert listed.returncode == 0 and re.search(r"^mine +Re-weighted halfway", listed.stdout, re.M), listed.stderr
    told = ltbv("methods", "mine", cwd=here, path=place)
    assert "beta=Step(before=0, after=0.999, at=0.5)" in told.stdout, told.stderr
    assert "unknown method 'mine'" in ltbv("methods", "mine", cwd=here).stderr


def test_predictions_from_elsewhere_are_read_as_the_page_says(here, monkeypatch):
    monkeypatch.chdir(here)
    found: dict = {}
    files, arrays, estimators = blocks(PREDICTIONS, "python")
    exec(files, found)
    command = re.search(r"^    ltbv (report ce=.*)$", PREDICTIONS.read_text(), re.M)[1]
    done = ltbv_here(*command.split(), cwd=here)
    assert done.exit_code == 0 and (here / "reports" / "ce-mine" / "report.md").exists(), done.stderr
    assert "many 2 (500 to 200 images)" in (here / "reports" / "ce-mine" / "report.md").read_text()
    limited = ltbv_here(*command.split(), "--many", "300", "--reference", "mine", cwd=here)
    assert "many 1 (500 images)" in (here / "reports" / "ce-mine" / "report.md").read_text(), limited.stderr
    exec(arrays, found)
    assert (here / "reports" / "mine" / "report.md").exists() and "ce (10 runs)" in repr(found["analysis"])
    exec(estimators, found)
    assert len(found["found"].evidence.reference.runs) == 4


def test_the_loss_of_the_page_is_a_loss():
    import torch

    found: dict = {}
    exec(blocks(METHODS, "python")[1], found)
    logits, labels = torch.zeros(2, 3), torch.tensor([0, 2])
    losses = found["softened"](logits, labels, torch.tensor([4, 1, 1]))
    assert losses.tolist() == pytest.approx([0.6931, 1.3863], abs=1e-4)


def test_the_part_of_the_page_is_a_part():
    import torch

    from ltbv.methods.base import Net
    from ltbv.models.resnet import Resnet

    found: dict = {}
    exec(blocks(METHODS, "python")[2], found)
    small = Resnet(widths=(4, 4, 4), blocks=1)
    network = Net(parts=(found["Temperatures"](),)).build(small, runs=2, channels=1, classes=3)
    torch.nn.init.normal_(network.heads.bias)
    before = network.eval()(torch.zeros(5, 2, 8, 8)).logits
    with torch.no_grad():
        network.temperature.log_t += torch.tensor([2.0, 0.5]).log()
    after = network(torch.zeros(5, 2, 8, 8)).logits
    torch.testing.assert_close(after, before / torch.tensor([2.0, 0.5])[:, None, None, None])


def test_the_study_of_the_page_is_made_from_python(here):
    (here / "notebook.py").write_text("\n".join(blocks(METHODS, "python")[1:4:2]) + "\nprint(len(analysis.all))\n")
    environment = os.environ | {"LTBV_CACHE": str(here.parent / "cache")}
    done = subprocess.run([sys.executable, "notebook.py"], capture_output=True, text=True, cwd=here, env=environment)
    assert done.returncode == 0 and int(done.stdout) > 50, done.stderr
    assert {path.parent.name for path in here.glob("runs/soft/predictions/*/r*.npz")} == {"ce", "soft"}


def test_workers_find_a_method_beside_a_notebook(here):
    """Where Python was started without a file, the directory it stands in is '' in its path."""
    (here / "mine.py").write_text(blocks(METHODS, "python")[0])
    call = "import ltbv; ltbv.bootstrap('ce,mine:mine', 1, 'study', epochs=1, head=40, imbalance=10, quiet=True)"
    environment = os.environ | {"LTBV_CACHE": str(here.parent / "cache")}
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, cwd=here, env=environment)
    assert done.returncode == 0, done.stderr
    assert (here / "study" / "predictions" / "mine" / "r000.npz").exists()


def test_images_are_found_as_the_page_says(here):
    import numpy as np
    from PIL import Image

    draw, bursts = np.random.default_rng(0), count()
    for split, number in (("train", 5), ("test", 2)):
        for name in ("ant", "bee"):
            (here / "photographs" / split / name).mkdir(parents=True)
            for k in range(number):
                pixels = draw.integers(256, size=(20, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(here / "photographs" / split / name / f"burst{next(bursts)}-{k}.png")
    for command in re.findall(
        r"^    ltbv (images .*?|bootstrap --dataset photo.*?)(?: +#.*)?$", IMAGES.read_text(), re.M
    ):
        small = ["--runs", "2", "--epochs", "1", "--jobs", "1"] if "boot" in command else []
        done = ltbv_here(*shlex.split(command), *small, cwd=here)
        assert done.exit_code == 0, done.stderr
    assert {path.parent.name for path in here.glob("runs/photographs/predictions/*/r*.npz")} == {"ce", "ride"}
    code = blocks(IMAGES, "python")[0] + "\nprint(len(analysis.all))\n"  # beside the study of the commands
    environment = os.environ | {"LTBV_CACHE": str(here.parent / "cache")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=here, env=environment)
    assert done.returncode == 0 and int(done.stdout.splitlines()[-1]) > 50, done.stderr


def test_the_network_of_the_page_is_trained_whole_and_cut_and_ride_joins(here):
    for name, block in zip(("mine.py", "wide.py"), blocks(NETWORKS, "python"), strict=True):
        (here / name).write_text(block)
    commands = re.findall(r"^    ltbv (.*)$", NETWORKS.read_text(), re.M)
    assert len(commands) == 5
    for command in commands:
        small = (
            ["--epochs", "1", "--head", "40", "--imbalance", "10", "--jobs", "1", "-q"]
            if "bootstrap" in command
            else []
        )
        done = ltbv_here(*command.split(), *small, cwd=here)
        assert done.exit_code == 0, done.stderr
    assert {path.parent.name for path in here.glob("runs/cut/predictions/*/r*.npz")} == {"ce", "ldam_drw", "ride_full"}


NETWORK_REFUSALS = {
    "mine:network@bodi": "unknown place to cut … there is: body, body.0, …",
    "hostile:Skips@body": "cannot be cut at body (its parts are no chain)",
    "hostile:convolution": "has no linear layer at its end to be replaced",
    "hostile:nobody": "cannot be imported (…)",
    "hostile:text": "made a str; it has to make a torch.nn.Module",
    "hostile:Raises": "raises of images [2, 3, 32, 32], in training: …, line … of mine.py",
    "hostile:Tokens": "gives features float32 of shape (2, …, 32) of 2 images",
    "hostile:Hidden": "is not all in its state_dict",
    "hostile:Shared": "has the same body each time that it is made",
    "hostile:Across": "says another thing of an image where others stand beside it",
    "hostile:Counts": "says another thing in training, of the same images …",
    "timm:vit_tiny_patch16_224,patch_size=8,depth=2": "on images of 32 x 32: … give --network …,img_size=32",
    "mine:network@body --method oltr": "gives features and no maps",
    "mine:network@body --method ride": "cannot be made 0.75 times as wide",
}
HOSTILE = """
import torch
from mine import Small, nn
class Skips(Small):
    def forward(self, images):
        maps = self.front(images)
        return self.fc(self.pool(self.body(maps) + maps.mean((1, 2, 3), keepdim=True)).flatten(1))
class Raises(Small):
    def forward(self, images):
        assert not self.training, "no"
        return super().forward(images)
class Tokens(Small):
    def forward(self, images):
        return self.fc(self.body(self.front(images)).flatten(2).mT)
class Hidden(Small):
    def __init__(self):
        super().__init__()
        self.drawn = torch.randn(10)
    def forward(self, images):
        return super().forward(images * self.drawn.mean())
BODY = Small().body
class Shared(Small):
    def __init__(self):
        super().__init__()
        self.body = BODY
class Across(Small):
    def forward(self, images):
        return super().forward(images - images.mean())
class Counts(Small):
    asked = 0
    def forward(self, images):
        self.asked += self.training
        return super().forward(images.roll(self.asked, -1))
def convolution():
    return nn.Sequential(nn.Conv2d(3, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
def text():
    return "a network"
"""


def test_the_refusals_of_the_page_are_what_is_said(here):
    page = NETWORKS.read_text()
    told = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert told == [*NETWORK_REFUSALS.values()]
    (here / "mine.py").write_text(blocks(NETWORKS, "python")[0])
    (here / "hostile.py").write_text(HOSTILE)
    for asked, words in NETWORK_REFUSALS.items():
        if asked.startswith("timm") and find_spec("timm") is None:
            continue
        name, _, more = asked.partition(" ")
        command = ("bootstrap", "--network", name, *(more or "--method ce").split(), "--runs", "2", "--dry-run")
        done = ltbv_here(*command, cwd=here)
        said = done.stderr.strip().replace("hostile.py", "mine.py")
        said = said.replace("16", "32")  # the glyphs are 16 x 16, the images of the page 32 x 32
        assert done.exit_code == 2 and said.count("\n") == 0, said
        assert all(part.strip() in said for part in re.split("…[)]?", words)), said


def test_the_table_of_the_readme_is_one_that_a_report_wrote():
    root = Path(__file__).parents[1]
    written = (root / "reports/published-shape-subsample/tables/table1.md").read_text().splitlines()
    table = [line for line in written if line.startswith("|")]
    assert "\n".join(["", *table, ""]) in (root / "README.md").read_text() and len(table) == 7


def test_the_file_of_features_of_the_page_is_one(here, monkeypatch):
    monkeypatch.chdir(here)
    (block,) = blocks(FEATURES, "python")
    exec(block, {})
    asked = ("bootstrap", "--features", "mine.npz", "--method", "ce,balanced_softmax", "--runs", "2", "--epochs", "2")
    done = ltbv_here(*asked, "--jobs", "1", "-q", cwd=here)
    assert done.exit_code == 0, done.stderr
    told = ltbv_here("report", "runs/mine", cwd=here)
    assert told.exit_code == 0 and "given this backbone" in " ".join(told.stdout.split()), told.stderr


def test_the_tutorial_works_word_by_word(here):
    """With fewer runs of small data; its commands are as they stand otherwise."""
    page = METHODS.with_name("tutorial") / "index.md"
    small = ["--runs", "4", "--epochs", "1", "--head", "40", "--imbalance", "40", "--jobs", "1", "-q"]
    commands = re.findall(r"^    ltbv ((?:bootstrap|report).*)$", page.read_text(), re.M)
    assert len(commands) == 5
    for command in commands:
        words = command.replace(" --runs 10", "").split()
        done = ltbv_here(*words, *(small if words[0] == "bootstrap" else []), cwd=here)
        assert done.exit_code == 0, done.stderr
    assert (here / "reports/glyphs-lt/report.html").exists() and (here / "reports/paper/tables/table1.tex").exists()
    code = blocks(page, "python")[0].replace("runs=10,", "runs=4, epochs=1, head=40, imbalance=40,")
    environment = os.environ | {"LTBV_CACHE": str(here.parent / "cache")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=here, env=environment)
    assert done.returncode == 0 and done.stdout.count("ldam_drw") == 5, done.stderr
    assert (here / "differences.pdf").exists()


def test_options_from_the_file_of_the_page_are_taken(here):
    """As it stands, asked what it would take; the command line goes before the file."""
    (block,) = blocks(METHODS.parent / "reference" / "files.md", "toml")
    (here / "study.toml").write_text(block)
    done = ltbv_here("bootstrap", "--config", "study.toml", "--runs", "3", "--dry-run", "--json", cwd=here)
    assert done.exit_code == 0, done.stderr
    (command,) = {re.sub(r"run [\d-]+", "run", one["command"]) for one in json.loads(done.stdout)["chunks"]}
    assert command == "ltbv run --method ce --method ride --learning-rate 0.05 --no-keep-logits --study runs/slow"
