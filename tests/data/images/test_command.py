"""`ltbv images`: looks, says, writes; one line and exit code 2 where it cannot."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from ltbv.cli import main


@pytest.fixture
def ltbv(photographs, monkeypatch):
    monkeypatch.chdir(photographs.parent)

    def call(*words, code=0):
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done.output

    return call


def test_looking_writes_nothing(ltbv, photographs):
    (photographs / "train" / "ant" / "bad.jpg").write_bytes(b"no image")
    before = sorted(photographs.parent.rglob("*"))
    said = ltbv("images", "photographs")
    assert "3 classes (0 many, 0 medium, 3 few), 17 training images (9 of ant to 3 of cat 10), 6 test images" in said
    assert "1 files are no images that can be read" in said and "train/ant/bad.jpg" in said
    assert sorted(photographs.parent.rglob("*")) == before


def test_a_pool_is_written_looked_at_and_verified(ltbv, photographs):
    said = ltbv("images", "photographs", "--write", "p.pool", "--side", 16)
    assert "16 x 16 pixels, 3 channels" in said and said.endswith("wrote p.pool\n")
    assert ltbv("images", "photographs", "--write", "p.pool", "--side", 16) == said  # as it is there
    assert "every byte is as it was written" in ltbv("images", "p.pool", "--verify")
    assert ltbv("images", "p.pool", "-q") == ""
    with open("p.pool/pixels.u8", "r+b") as file:
        file.write(b"\1\2\3\4")
    assert "p.pool/pixels.u8 is damaged" in ltbv("images", "p.pool", "--verify", code=2)


@pytest.mark.parametrize(
    "words, message",
    [
        (("nowhere",), "nowhere does not exist"),
        (("photographs", "--verify"), "--verify reads the bytes of a pool, and photographs is none"),
        (("photographs", "--root", "photographs"), "--root photographs goes with a list or table"),
        (("photographs", "--test", "nowhere"), "nowhere does not exist"),
        (("photographs", "--test-share", "0.2"), "photographs has a test set; leave out --test-share 0.2"),
        (("photographs", "--write", "photographs/train"), "photographs/train exists and is no pool of images"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(words, message, ltbv):
    said = ltbv("images", *words, code=2)
    assert message in said and said.count("\n") == 1


def test_a_pool_takes_nothing_beside_it(ltbv):
    ltbv("images", "photographs", "--write", "p.pool", "-q")
    assert "--test goes with a directory" in ltbv("images", "p.pool", "--test", "photographs", code=2)
    said = ltbv("bootstrap", "--dataset", "p.pool", "--side", 16, "--dry-run", code=2)
    assert "--side 16 is for images that are read from a directory or list" in said


def test_a_dry_run_names_the_command_that_finds_the_same_images(ltbv):
    said = ltbv("bootstrap", "--dataset", "photographs", "--method", "ce", "--runs", 2, "--epochs", 1, "--dry-run")
    assert "17 images a run" in said and "--dataset" in said.splitlines()[-1]
    pool, run = 23 * 32 * 32 * 3 / 1e6, 17 * 32 * 32 * 3 / 1e6
    assert f"the pool has {pool:.1f} MB; images of a run, {run:.1f} MB, are held in memory" in said
    assert "MB of a GPU's memory for each run" in said


def test_a_size_that_no_pool_has_is_refused_before_anything_is_decoded(ltbv, photographs):
    said = ltbv("bootstrap", "--dataset", "photographs", "--side", 2000, code=2)
    assert "--side 2000: 8 to 1024 pixels" in said
    assert not (photographs.parent / "cache").exists()


def test_a_named_set_is_asked_for_with_its_directory(ltbv):
    asked = ("bootstrap", "--dataset", "places-lt", "--dry-run")
    assert "places-lt is read from files: give --data-dir" in ltbv(*asked, code=2)
    said = ltbv(*asked, "--data-dir", "photographs", code=2)
    assert "photographs has no Places_LT_train.txt; give --lists, the directory of its lists" in said
    assert "--lists here goes with imagenet-lt" in ltbv(
        "bootstrap", "--lists", "here", "--dataset", "photographs", code=2
    )


def test_a_preview_is_drawn(ltbv, photographs):
    ltbv("datasets", "--preview", "sheet.png", "--dataset", "photographs")
    assert (photographs.parent / "sheet.png").stat().st_size > 1000


def test_help_does_not_import_what_is_heavy():
    heavy = ("torch", "PIL", "pandas", "matplotlib")
    call = "import sys, ltbv.cli\ntry:\n ltbv.cli.main(['images', '--help'])\n"
    code = f"{call}finally:\n print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
