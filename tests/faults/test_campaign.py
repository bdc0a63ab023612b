"""A few kills of the campaign; `python tests/faults/campaign.py` does a hundred."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
import many_hands
import strangers
from campaign import campaign, table

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds worker processes in /proc")


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_killed_study_ends_as_one_that_was_never_killed(executor, tmp_path):
    found = campaign(3, 0, [executor], tmp_path)
    assert sum(len(kills) for _, _, kills in found) == 3
    assert not any(kill.lost or kill.differ or kill.failed for _, _, kills in found for kill in kills), table(found)


@pytest.mark.parametrize("locks", ["flock", "soft"])
def test_two_commands_on_one_directory_train_each_run_once(locks, tmp_path, monkeypatch):
    monkeypatch.setenv("LTBV_LOCKS", locks)
    trained, twice, differ = many_hands.campaign(1, 0, "inline", tmp_path)
    assert trained == 2 and not twice and not differ


@pytest.mark.parametrize("act", ["moved", "frozen"])
def test_what_is_done_to_a_study_under_way_mixes_it_with_no_other(act, tmp_path):
    found = strangers.campaign(1, 0, [act], tmp_path)
    assert found == {act: [strangers.Round(mixed=0, lost=0, hung=0, found=0)]}, strangers.table(found)
