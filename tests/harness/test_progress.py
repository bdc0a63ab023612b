"""Is what is left what is really left? Counted by stage and run, in work."""

from pathlib import Path

import pytest

from ltbv.harness.bootstrap import Job, prepare
from ltbv.harness.events import EpochEnded, Event, Failed, ImagesSeen, Predicted, StageBegun, StageEnded
from ltbv.harness.progress import Progress
from ltbv.harness.request import Request


def job(store: Path, *methods: str, runs: int = 2, **asked) -> Job:
    return prepare(Request.of(methods, runs, store, **{"dataset": "tiny-lt", "executor": "inline"} | asked))


def progress(of: Job, now: list[float]) -> Progress:
    return Progress(of.study, of.tasks, of.methods.values(), lambda: now[0])


@pytest.fixture
def now() -> list[float]:
    return [100.0]


def test_a_study_goes_from_nothing_to_all_and_shared_stages_count_once(tiny_lt, tmp_path, now):
    of = job(tmp_path / "s", "ce", "tau_norm", "crt")
    counted, shares = progress(of, now), []
    assert counted.share == 0 and counted.images == (0, of.images) and counted.left is None

    def tell(event: Event) -> None:
        counted.hear(event)
        shares.append(counted.share)

    assert of.run(tell) == []
    assert shares == sorted(shares) and counted.share == pytest.approx(1) and counted.images == (of.images, of.images)
    alone = progress(job(tmp_path / "t", "ce", "crt"), now)
    assert counted.images[1] == alone.images[1], "tau-norm trains nothing of its own"


def test_a_method_counts_by_its_work(tiny_lt, tmp_path, now):
    counted = progress(job(tmp_path / "s", "ce", "ride"), now)
    by_method = {key: sum(counted.parts[stage, 0].work for stage in counted.stages[key]) for key in ("ce", "ride")}
    assert by_method["ride"] > 1.2 * by_method["ce"]


def test_time_left_is_that_of_the_work_that_is_left(tiny_lt, tmp_path, now):
    """When CE is done, RIDE is not as long again, but as its multiply-adds say."""
    of = job(tmp_path / "s", "ce", "ride", stack=2)
    counted = progress(of, now)
    ce, ride = (next(one for one in of.trainings if one.method.key == key) for key in ("ce", "ride"))
    what = ce.method.key, ce.stage.name, ce.runs, ce.key
    counted.hear(StageBegun(*what, of.study.epochs(ce.stage), "cpu", time=100.0))
    now[0] = 110.0
    counted.hear(StageEnded(*what, 10.0))
    more = counted.parts[ride.key, 0].work / counted.parts[ce.key, 0].work
    assert more > 1.2 and counted.left == pytest.approx(10.0 * more)
    assert counted.told()["left"] == counted.left and counted.share == pytest.approx(1 / (1 + more))


def begun(of: Job, **at) -> tuple[Event, tuple]:
    (training, *_) = of.trainings
    what = training.method.key, training.stage.name, training.runs, training.key
    return StageBegun(*what, of.study.epochs(training.stage), "cpu", **at), what


def test_time_left_is_at_the_pace_so_far(tiny_lt, tmp_path, now):
    of = job(tmp_path / "s", "ce", stack=2)
    counted = progress(of, now)
    now[0] = 110.0
    event, what = begun(of, time=110.0)
    counted.hear(event)
    now[0] = 130.0
    counted.hear(ImagesSeen(of.images // 4, what[3], what[2]))
    assert counted.share == pytest.approx(0.25) and counted.left == pytest.approx(60.0)


def test_what_an_earlier_command_did_took_no_time_of_ours(tiny_lt, tmp_path, now):
    of = job(tmp_path / "s", "ce", stack=2, epochs=10)
    counted = progress(of, now)
    event, what = begun(of, time=100.0)
    counted.hear(event)
    now[0] = 105.0
    counted.hear(EpochEnded(*what, 6, 10, (1.0, 1.0), (0.5, 0.5)))  # five were there
    assert counted.share == pytest.approx(0.6) and counted.left == pytest.approx(20.0)


def test_a_stage_that_is_begun_anew_is_to_be_done_again(tiny_lt, tmp_path, now):
    of = job(tmp_path / "s", "ce", stack=2)
    counted = progress(of, now)
    event, what = begun(of)
    for one in (event, EpochEnded(*what, 1, 2, (1.0, 1.0), (0.5, 0.5)), event):
        counted.hear(one)
    assert counted.share == 0


def test_what_nobody_wants_any_more_is_not_left(tiny_lt, tmp_path, now):
    of = job(tmp_path / "s", "ce", "tau_norm", "ldam", stack=2)
    counted, whole = progress(of, now), of.images
    counted.hear(Failed(("tau_norm",), (0, 1), "boom"))
    assert counted.images == (0, whole), "CE stands on it too"
    counted.hear(Failed(("ldam",), (0, 1), "boom"))
    assert counted.images == (0, whole // 2)
    counted.hear(Predicted("ce", 0))  # by weights that somebody else kept
    counted.hear(Failed(("ce",), (1,), "boom"))
    assert counted.share == 1
