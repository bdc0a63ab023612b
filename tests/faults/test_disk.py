"""A disk that fails under a study, in every way a disk can: one clear line, what is done is kept, then it goes on."""

import errno
import os
import shutil

import pytest
from contents import everything

from ltbv.errors import Refusal
from ltbv.files import atomic, read_arrays
from ltbv.harness.bootstrap import prepare
from ltbv.harness.events import Event, Predicted, StageBegun
from ltbv.harness.request import Request

METHODS = ("ce", "tau_norm")
FAULTS = {
    "the disk is full": (os, "fsync", errno.ENOSPC),
    "the quota is used up": (os, "fsync", errno.EDQUOT),
    "the disk fails": (os, "fsync", errno.EIO),
    "the directory is read-only": (atomic, "beside", errno.EROFS),
    "nobody may write there": (atomic, "beside", errno.EACCES),
    "too many files are open": (atomic, "beside", errno.EMFILE),
    "the file cannot be renamed": (os, "replace", errno.EACCES),
}


def request(store) -> Request:
    return Request.of(methods=METHODS, runs=2, store=store, dataset="tiny-lt", executor="inline", stack=1)


@pytest.fixture
def whole(tiny_lt, tmp_path) -> dict[str, bytes]:
    assert prepare(request(tmp_path / "whole")).run(lambda event: None) == []
    return everything(tmp_path / "whole")


@pytest.mark.parametrize("fault", FAULTS)
def test_it_ends_in_one_line_each_and_the_same_command_goes_on(fault, tiny_lt, tmp_path, monkeypatch, whole):
    module, name, code = FAULTS[fault]
    real = getattr(module, name)
    for good in (0, 2, 5, 8, 10):
        study, calls = tmp_path / f"after-{good}", iter(range(good))

        def failing(*arguments, calls=calls, **named):
            if next(calls, None) is None:
                raise OSError(code, os.strerror(code))
            return real(*arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, failing)
            try:
                lines = prepare(request(study)).run(lambda event: None)
            except Refusal as refusal:
                lines = [str(refusal)]
        assert lines and all(os.strerror(code) in line and "\n" not in line for line in lines), lines
        kept = everything(study) if study.exists() else {}
        assert all(whole[path] == content for path, content in kept.items())
        assert prepare(request(study)).run(lambda event: None) == []
        assert everything(study) == whole


@pytest.mark.parametrize("moment", [StageBegun, Predicted])
def test_a_directory_that_is_removed_under_way_is_made_again(moment, tiny_lt, tmp_path, whole):
    """What was in it is gone; the study says what it could not do, and the same command makes it whole."""
    study, gone = tmp_path / "study", []

    def tell(event: Event) -> None:
        if isinstance(event, moment) and not gone:
            gone.append(event)
            shutil.rmtree(study)

    try:
        lines = prepare(request(study)).run(tell)
    except Refusal as refusal:
        lines = [str(refusal)]
    assert gone and all("\n" not in line for line in lines)
    assert prepare(request(study)).run(lambda event: None) == []
    assert everything(study) == whole
    for path in study.rglob("*.npz"):
        read_arrays(path)


def test_a_study_without_files_to_open_says_so(tiny_lt, tmp_path):
    """With really no descriptor left, not a made-up error."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    job = prepare(request(tmp_path / "study"))
    highest = max(map(int, os.listdir("/proc/self/fd"))) if os.path.isdir("/proc/self/fd") else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, before[1]))
    taken = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    try:
        with pytest.raises(Refusal, match="Too many open files"):
            job.run(lambda event: None)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert job.run(lambda event: None) == []
