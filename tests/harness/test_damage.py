"""Only a file that was read and is not whole is damaged; what keeps it from being read says nothing of the file."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contents import everything

from ltbv.errors import Refusal
from ltbv.files import Damaged, read_arrays, shape_of, write_arrays
from ltbv.harness.bootstrap import prepare
from ltbv.harness.request import Request
from ltbv.harness.status import verify
from ltbv.harness.trainer import Checkpoint
from ltbv.report.elsewhere import read_elsewhere
from ltbv.report.study import read_study
from ltbv.store import Store

MOMENTS = (errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE, errno.ENOMEM, errno.ENOENT, errno.ETIMEDOUT)


class Failing(io.FileIO):
    """A file on a disk that answers `good` times and then no more."""

    def __init__(self, path, good: int, error: BaseException):
        super().__init__(path)
        self.good, self.error = good, error

    def readinto(self, buffer) -> int:
        self.good -= 1
        if self.good < 0:
            raise self.error
        return super().readinto(buffer)


@pytest.fixture
def failing(monkeypatch):
    """failing(error, good, of): a file whose path has `of` in it is read `good` times, then not; None: not opened."""
    real = io.open

    def begin(error: BaseException, good: int | None = 0, of: str = "") -> None:
        def opened(path, mode="r", *args, **kwargs):
            if mode != "rb" or of not in str(path):
                return real(path, mode, *args, **kwargs)
            if good is None:
                raise error
            return io.BufferedReader(Failing(path, good, error), 64)

        monkeypatch.setattr(io, "open", opened)

    begin.over = lambda: monkeypatch.setattr(io, "open", real)
    yield begin
    monkeypatch.setattr(io, "open", real)


def study(path: Path, methods=("ce",), **asked) -> Path:
    job = prepare(
        Request.of(methods=methods, runs=2, store=path, dataset="tiny-lt", executor="inline", stack=2, **asked)
    )
    assert job.run(lambda event: None) == []
    return path


@pytest.mark.parametrize("good", [None, 0, 1, 2, 5])
@pytest.mark.parametrize("code", MOMENTS, ids=errno.errorcode.get)
def test_an_error_of_the_moment_is_no_damage(failing, tmp_path, code, good):
    """Wherever it strikes: zipfile makes a bad file of some of them."""
    path = tmp_path / "a.npz"
    write_arrays(path, {"a": np.arange(300), "b": np.ones(50)})
    failing(OSError(code, os.strerror(code)), good)
    for read in (read_arrays, lambda path: shape_of(path, "a")):
        with pytest.raises(Refusal, match=f"cannot read {path}: .*left as it is") as refusal:
            read(path)
        assert not isinstance(refusal.value, Damaged) and os.strerror(code) in str(refusal.value)
        assert "\n" not in str(refusal.value) and "delete" not in str(refusal.value)


def test_a_file_that_was_read_and_is_not_whole_is_damaged(tmp_path):
    path = tmp_path / "a.npz"
    write_arrays(path, {"a": np.arange(300)})
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[:200], whole[:-30], whole[5:], whole[:90] + b"~" + whole[91:], whole * 2):
        path.write_bytes(content)
        try:
            read_arrays(path)
            assert content == whole * 2, "an archive may stand behind other bytes"
        except Damaged:
            pass


LITTLE = """
import resource, sys
from pathlib import Path
import numpy
from ltbv.harness.status import verify
from ltbv.store import Store
with open("/proc/self/statm") as file:
    held = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 20_000_000,) * 2)
for finding in verify(Store(sys.argv[1])):
    print(finding.kind, finding.line)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the memory of a process")
def test_verify_leaves_a_file_that_does_not_fit_into_memory(tiny_lt, tmp_path):
    path = Store(study(tmp_path / "study")).prediction_file("ce", 0)
    write_arrays(path, read_arrays(path) | {"logits": np.zeros((1_000_000, 10), np.float32)})
    before = everything(tmp_path / "study")
    told = subprocess.run([sys.executable, "-c", LITTLE, str(tmp_path / "study")], capture_output=True, text=True)
    (line,) = told.stdout.splitlines()
    assert line.startswith(f"unread cannot read {path}: "), told.stderr
    assert everything(tmp_path / "study") == before


def test_verify_leaves_what_it_cannot_read_and_reads_the_rest(failing, tiny_lt, tmp_path):
    before = everything(study(tmp_path))
    Store(tmp_path).prediction_file("ce", 1).write_bytes(b"PK")
    failing(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), None, "ce/r000")
    found = {finding.kind: finding.line for finding in verify(Store(tmp_path))}
    assert found.keys() == {"unread", "damaged"} and "Permission denied" in found["unread"]
    failing.over()
    left = everything(tmp_path)
    assert left.pop("predictions/ce/r001.npz.damaged") == b"PK"
    assert left == {name: content for name, content in before.items() if name != "predictions/ce/r001.npz"}


@pytest.mark.parametrize("good", [None, 1])
def test_a_stage_that_cannot_be_read_just_now_is_kept_and_its_method_fails(failing, tiny_lt, tmp_path, good):
    before = everything(study(tmp_path))
    failing(OSError(errno.EIO, os.strerror(errno.EIO)), good, "stages/")
    asked = Request.of(methods=("tau_norm",), runs=2, store=tmp_path, dataset="tiny-lt", executor="inline", stack=2)
    (line,) = prepare(asked).run(lambda event: None)
    assert "cannot read" in line and "Input/output error" in line
    failing.over()
    found = everything(tmp_path)
    assert all(found[name] == content for name, content in before.items()) and not list(tmp_path.rglob("*.damaged"))


def test_a_snapshot_that_cannot_be_read_just_now_is_not_trained_over(failing, tmp_path):
    path = tmp_path / "part-0-1.npz"
    path.write_bytes(b"PK")
    assert Checkpoint(Store(tmp_path), path, 1).load() is None, "damaged: begun again"
    failing(OSError(errno.EIO, os.strerror(errno.EIO)), None)
    with pytest.raises(Refusal, match="Input/output error"):
        Checkpoint(Store(tmp_path), path, 1).load()


def test_a_report_does_not_advise_to_delete_what_it_cannot_read_just_now(failing, tiny_lt, tmp_path):
    failing(OSError(errno.EIO, os.strerror(errno.EIO)), None, f"{study(tmp_path)}/predictions/ce/r00")
    with pytest.raises(Refusal, match="cannot read .*Input/output error") as refusal:
        read_study(tmp_path)
    assert "delete" not in str(refusal.value)


def lines_of_runs(path: Path) -> dict[str, Path]:
    """The same predictions in every format, by extension."""
    labels, preds = np.tile(np.arange(3), 40), np.tile([0, 2, 1], 40)
    np.savez(path / "0.npz", labels=labels, preds=preds, note=np.zeros(3))
    np.save(path / "0.npy", preds)
    (path / "0.csv").write_text("label,pred\n" + "".join(f"{a},{b}\n" for a, b in zip(labels, preds, strict=True)))
    (path / "counts.json").write_text("[9, 4, 1]")
    (path / "labels.json").write_text(str(labels.tolist()))
    return {".json": path / "counts.json"} | {suffix: path / f"0{suffix}" for suffix in (".npz", ".npy", ".csv")}


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv", ".json"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, os.strerror(errno.EIO)), MemoryError()], ids=["disk", "memory"])
def test_predictions_from_elsewhere_are_not_called_damaged_when_they_cannot_be_read(tmp_path, suffix, error):
    """Whichever of the openings of the file it strikes."""
    source, real = lines_of_runs(tmp_path)[suffix], io.open
    predictions = tmp_path / "0.csv" if suffix == ".json" else source
    for good in range(20):
        left = iter(range(good))

        def opened(path, *args, left=left, **kwargs):
            if str(path) == str(source) and next(left, None) is None:
                raise error
            return real(path, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(io, "open", opened)
            patch.setattr("builtins.open", opened)
            try:
                read_elsewhere({"ce": predictions}, tmp_path / "counts.json", tmp_path / "labels.json")
                break
            except Refusal as refusal:
                words = str(refusal)
        assert f"cannot read {source}: " in words and "left as it is" in words and "damaged" not in words
    assert 0 < good < 19, "the file was opened, and it is read in the end"
