"""Schedules: what number holds in which epoch, at 20 epochs as at 200."""

import math

import pytest

from ltbv.schedules import Cosine, Drops, Step, Warmup, value


def numbers(schedule, epochs):
    return [value(schedule, epoch, epochs) for epoch in range(epochs)]


def test_a_number_is_a_schedule():
    assert numbers(0.1, 3) == [0.1] * 3
    assert isinstance(value(1, 0, 1), float)


@pytest.mark.parametrize("epochs", [5, 20, 200])
def test_step_switches_at_its_share(epochs):
    found = numbers(Step(0.0, 0.9999, at=0.8), epochs)
    assert found == [0.0] * (epochs * 4 // 5) + [0.9999] * (epochs // 5)


def test_step_of_200_epochs_switches_in_the_161st():
    """The papers count from 1: the first re-weighted epoch is number 161, here 160."""
    step = Step(0, 1, at=0.8)
    assert (step(159, 200), step(160, 200)) == (0, 1)


def test_step_from_the_start_and_never():
    assert numbers(Step(0, 1, at=0), 3) == [1, 1, 1]
    assert numbers(Step(0, 1, at=1), 3) == [0, 0, 0]


def test_drops_are_of_the_start_and_not_chained():
    found = numbers(Drops(0.1, at=(0.8, 0.9), factors=(0.01, 0.0001)), 200)
    assert found[0] == found[159] == 0.1
    assert found[160] == found[179] == pytest.approx(1e-3)
    assert found[180] == found[199] == pytest.approx(1e-5)


def test_drops_and_step_switch_in_the_same_epoch():
    for epochs in range(1, 60):
        drops, step = numbers(Drops(1.0, at=(0.8,), factors=(0.1,)), epochs), numbers(Step(1.0, 0.1, at=0.8), epochs)
        assert drops == pytest.approx(step)


def test_drops_want_a_factor_for_each_share():
    with pytest.raises(ValueError):
        Drops(1.0, at=(0.5, 0.8), factors=(0.1,))(9, 10)


def test_cosine_starts_whole_halves_in_the_middle_and_nears_zero():
    found = numbers(Cosine(0.2), 10)
    assert found[0] == 0.2 and found[5] == pytest.approx(0.1)
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(0.1 * (1 + math.cos(math.pi * 0.9))) and found[-1] > 0


def test_warmup_climbs_to_what_follows():
    assert numbers(Warmup(0.1, warmup=5), 7) == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1, 0.1])
    assert numbers(Warmup(0.3, warmup=2, first=1 / 3), 4) == pytest.approx([0.1, 0.2, 0.3, 0.3])
    assert numbers(Warmup(Step(1.0, 0.5, at=0.5), warmup=2), 4) == pytest.approx([0.5, 1.0, 0.5, 0.5])


def test_equal_schedules_are_equal_values():
    assert Warmup(Drops(0.1, (0.8,), (0.1,)), 5) == Warmup(Drops(0.1, (0.8,), (0.1,)), 5)
    assert Step(0, 1, at=0.8) != Step(0, 1, at=0.7)
