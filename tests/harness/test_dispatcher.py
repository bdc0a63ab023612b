"""Which chunk is handed out next, and what becomes of one whose process was lost: its method fails, nothing else."""

import pytest

from ltbv.errors import Refusal
from ltbv.harness.chunks import Chunk
from ltbv.harness.events import Event, Failed, Halved, HeldElsewhere
from ltbv.harness.executors import dispatcher as module
from ltbv.harness.executors.dispatcher import Dispatcher
from ltbv.harness.work import Order
from ltbv.store import Store

RUNS = (0, 1)
CHUNK = Chunk(RUNS, ("ce", "mine:TAU", "crt"))
KEYS = {"ce": "ce", "mine:TAU": "tau", "crt": "crt"}


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def dispatcher(tmp_path, heard):
    store = Store(tmp_path / "study")
    store.open({}, {}, {})
    order = Order(study=str(store.path), asked={}, methods=KEYS, identity=store.identity, retries=1)
    with Dispatcher(order, heard.append) as found:
        yield found
    assert not store.workers(), "all is let go of"


def taken(dispatcher: Dispatcher) -> Chunk:
    """The chunk that is handed out next, and that is over at once."""
    chunk = dispatcher.take()
    dispatcher.finish(chunk)
    return chunk


def made(dispatcher: Dispatcher, method: str) -> None:
    for run in RUNS:
        path = dispatcher.order.store().prediction_file(method, run)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def failed(heard: list[Event]) -> list[str]:
    return [method for event in heard if isinstance(event, Failed) for method in event.methods]


def test_the_first_method_that_is_missing_was_in_hand(dispatcher, heard):
    made(dispatcher, "ce")
    dispatcher.lose(CHUNK, "was lost")
    assert failed(heard) == [] and dispatcher.waiting == [Chunk(RUNS, ("mine:TAU", "crt"))]
    dispatcher.lose(taken(dispatcher), "was lost")
    assert failed(heard) == ["tau"] and dispatcher.waiting == [Chunk(RUNS, ("crt",))]


def test_a_method_that_failed_by_itself_is_neither_blamed_nor_tried_again(dispatcher, heard):
    """Its predictions are missing too, but it was not in hand."""
    dispatcher.hear(Failed(("ce",), RUNS, "RuntimeError: the wrong shape"))
    for _ in range(2):
        dispatcher.lose(CHUNK if not dispatcher.waiting else taken(dispatcher), "was lost")
    assert failed(heard) == ["ce", "tau"] and "wrong shape" in heard[0].why
    assert dispatcher.waiting == [Chunk(RUNS, ("crt",))]
    dispatcher.halve(Chunk(RUNS, ("ce", "crt")), "full")
    assert dispatcher.waiting[1:] == [Chunk((0,), ("crt",)), Chunk((1,), ("crt",))]


def test_a_method_whose_other_runs_were_done_before_one_diverged_is_not_tried_again(dispatcher, heard):
    made(dispatcher, "ce")
    dispatcher.order.store().prediction_file("ce", 1).unlink()
    dispatcher.hear(Failed(("ce",), (1,), "training diverged"))
    dispatcher.lose(CHUNK, "was lost")
    assert dispatcher.waiting == [Chunk(RUNS, ("mine:TAU", "crt"))]


def test_a_process_lost_over_one_method_is_no_mark_against_the_next(dispatcher, heard):
    dispatcher.lose(CHUNK, "was lost")
    made(dispatcher, "ce")
    dispatcher.lose(taken(dispatcher), "was lost")
    assert failed(heard) == [] and dispatcher.waiting == [Chunk(RUNS, ("mine:TAU", "crt"))]


def test_each_method_is_tried_alone_where_what_was_done_is_lost_too(dispatcher, heard):
    for _ in range(2):
        dispatcher.lose(CHUNK, "was lost", heard=False)
    taken(dispatcher)
    assert failed(heard) == [] and [chunk.methods for chunk in dispatcher.waiting] == [(name,) for name in KEYS]


@pytest.mark.parametrize("told", [True, False])
def test_it_ends_where_every_process_is_lost(dispatcher, heard, told):
    dispatcher.add(CHUNK)
    lost = 0
    while not dispatcher.is_over:
        dispatcher.lose(taken(dispatcher), "was lost", heard=told)
        lost += 1
    assert sorted(failed(heard)) == sorted(KEYS.values()) and lost <= 2 * (1 + len(CHUNK.methods))


def test_a_method_that_does_not_fit_into_memory_alone_leaves_the_others(dispatcher, heard):
    dispatcher.halve(Chunk((1,), CHUNK.methods), "full")
    assert failed(heard) == ["ce"] and dispatcher.waiting == [Chunk((1,), ("mine:TAU", "crt"))]
    assert heard[-1].why == "out of memory with a single run: full"


def test_nothing_fails_where_all_was_done_before_the_process_was_lost(dispatcher, heard):
    for method in KEYS.values():
        made(dispatcher, method)
    for _ in range(2):
        dispatcher.lose(CHUNK, "was lost")
    taken(dispatcher)
    assert failed(heard) == [] and dispatcher.is_over


STAGE = Chunk(RUNS, (), stages=(("ce", "all"),), makes=("0" * 16,), part="ce-all")
ON_IT = Chunk(RUNS, ("crt",), after=("0" * 16,), part="crt")
ELSEWHERE = Chunk((2, 3), ("crt",), after=("0" * 16,), part="crt")
ALONE = Chunk(RUNS, ("mine:TAU",), part="tau")


def test_who_needs_a_stage_waits_for_it_and_nobody_else_does(dispatcher):
    dispatcher.add(STAGE, ON_IT, ALONE, ELSEWHERE)
    assert [dispatcher.take(), dispatcher.take(), dispatcher.take()] == [STAGE, ALONE, ELSEWHERE]
    assert dispatcher.take() is None and not dispatcher.is_over
    dispatcher.finish(STAGE)
    assert dispatcher.take() == ON_IT


def test_both_halves_of_a_stage_are_waited_for(dispatcher, heard):
    dispatcher.add(STAGE, ON_IT)
    dispatcher.halve(dispatcher.take(), "full")
    dispatcher.finish(STAGE)
    assert heard == [Halved(RUNS)]
    halves = [dispatcher.take(), dispatcher.take()]
    assert [half.runs for half in halves] == [(0,), (1,)]
    dispatcher.finish(halves[0])
    assert dispatcher.take() is None
    dispatcher.finish(halves[1])
    assert dispatcher.take() == ON_IT


def test_a_stage_that_cannot_be_made_is_left_to_the_first_that_needs_it_and_the_others_wait(dispatcher, heard):
    other = Chunk(RUNS, ("mine:TAU",), after=("0" * 16,), part="tau")
    dispatcher.add(STAGE, ON_IT, other)
    for _ in range(2):
        dispatcher.lose(taken(dispatcher), "was lost")
    assert failed(heard) == []
    heir = dispatcher.take()
    assert (heir.methods, heir.makes, heir.after) == (ON_IT.methods, STAGE.makes, ())
    assert dispatcher.take() is None
    dispatcher.finish(heir)
    assert dispatcher.take() == other


def test_runs_are_held_from_the_first_chunk_of_a_stack_to_its_last(dispatcher):
    store = dispatcher.order.store()
    dispatcher.add(STAGE, ON_IT)
    assert store.workers() == {}
    stage = dispatcher.take()
    assert sorted(store.workers()) == [0, 1]
    half_written = store.path / "stages" / ("0" * 16) / ".r000.npz.1.part"
    half_written.parent.mkdir(parents=True)
    half_written.touch()
    dispatcher.finish(stage)
    assert sorted(store.workers()) == [0, 1] and half_written.exists(), "who writes it may be at work"
    dispatcher.finish(dispatcher.take())
    assert store.workers() == {} and not half_written.exists()


def test_runs_that_another_command_holds_are_asked_for_again(dispatcher, heard, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    dispatcher.add(ALONE, ELSEWHERE)
    with dispatcher.order.store().working([1]):
        assert dispatcher.take() == ELSEWHERE and dispatcher.take() is None
        assert [type(event) for event in heard] == [HeldElsewhere] * 2 and heard[0].runs == RUNS
    assert dispatcher.take() == ALONE


def test_runs_of_a_study_that_is_gone_fail_in_one_line(dispatcher, heard):
    dispatcher.add(STAGE, ON_IT)
    (dispatcher.order.store().path / "study.json").unlink()
    assert dispatcher.take() is None and dispatcher.is_over
    assert failed(heard) == ["crt"] and "was removed under way" in heard[-1].why
    with pytest.raises(Refusal, match="not a study"):
        dispatcher.order.store().study()
