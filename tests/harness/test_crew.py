"""What becomes of a chunk whose process was lost: the method that was in hand fails, and nothing else, and it ends."""

import pytest

from ltbv.harness.executors.crew import Crew
from ltbv.harness.plan import Chunk
from ltbv.harness.work import Order

RUNS = (0, 1)
CHUNK = Chunk(RUNS, ("ce", "tau_norm", "crt"))


@pytest.fixture
def crew(tmp_path):
    heard = []
    crew = Crew(Order(store=str(tmp_path / "study"), asked={}, methods=CHUNK.methods, retries=1), heard.append)
    crew.heard = heard
    return crew


def made(crew: Crew, method: str) -> None:
    for run in RUNS:
        path = crew.order.place().prediction_file(method, run)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def failed(crew: Crew) -> list[str]:
    return [event["method"] for event in crew.heard if event["event"] == "failed"]


def test_the_first_method_that_is_missing_was_in_hand(crew):
    made(crew, "ce")
    crew.bury(CHUNK, "was lost")
    assert failed(crew) == [] and crew.waiting.popleft() == CHUNK
    crew.bury(CHUNK, "was lost")
    assert failed(crew) == ["tau_norm"] and list(crew.waiting) == [Chunk(RUNS, ("crt",))]


def test_each_method_is_tried_alone_where_what_was_done_is_lost_too(crew):
    for _ in range(2):
        crew.bury(CHUNK, "was lost", kept=False)
    crew.waiting.popleft()
    assert failed(crew) == [] and [chunk.methods for chunk in crew.waiting] == [("ce",), ("tau_norm",), ("crt",)]


@pytest.mark.parametrize("kept", [True, False])
def test_it_ends_where_every_process_is_lost(crew, kept):
    crew.wait(CHUNK)
    lost = 0
    while crew.waiting:
        crew.bury(crew.waiting.popleft(), "was lost", kept=kept)
        lost += 1
    assert sorted(failed(crew)) == sorted(CHUNK.methods) and lost <= 2 * (1 + len(CHUNK.methods))


def test_a_method_that_does_not_fit_into_memory_alone_leaves_the_others(crew):
    crew.split(Chunk((1,), CHUNK.methods), "full")
    assert failed(crew) == ["ce"] and list(crew.waiting) == [Chunk((1,), ("tau_norm", "crt"))]
    assert crew.heard[-1]["why"] == "out of memory with a single run: full"


def test_nothing_fails_where_all_was_done_before_the_process_was_lost(crew):
    for method in CHUNK.methods:
        made(crew, method)
    for _ in range(2):
        crew.bury(CHUNK, "was lost")
    crew.waiting.popleft()
    assert failed(crew) == [] and not crew.waiting
