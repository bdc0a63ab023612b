"""Do the tables of confusion say what `ltbv.stats` says, with names?"""

from dataclasses import replace

import numpy as np
import pytest

from ltbv.report.study import read_study
from ltbv.report.topics import confusion_flow as confusion
from ltbv.stats.confusion import confusion_flow, confusion_pairs
from ltbv.stats.hardest_negative import HardestNegative


@pytest.fixture
def evidence(study):
    return read_study(study(ride="RIDE", runs=5, class_names=[f"<{c}>" for c in range(12)]))


def test_flow_and_pairs_agree_with_statistics_called_by_hand(evidence):
    ride = evidence.methods[1]
    hardest = HardestNegative(ride.p_negative, ride.negatives, ride.p_true)
    flow = confusion_flow(hardest, evidence.labels, evidence.splits)
    table = confusion.flows(evidence)
    assert list(table.columns) == list(confusion.FLOW) and len(table) == 2 * 9
    own = table[table.method == "ride"].pivot(index="true", columns="negative", values="ratio")
    np.testing.assert_array_equal(own.loc[list(flow.splits), list(flow.splits)], flow.ratio)
    pairs = confusion.pairs(evidence, 0.95)
    own = pairs[pairs.method == "ride"]
    by_hand = confusion_pairs(hardest, evidence.labels, evidence.splits["few"])
    assert own.mass.tolist() == [one.mass for one in by_hand] and own.low.tolist() == [one.low for one in by_hand]
    assert own.true_name.tolist() == [f"<{one.true}>" for one in by_hand]
    assert set(own.true) <= set(evidence.splits["few"].tolist())


def test_methods_whose_negatives_are_not_known_are_left_out(evidence):
    ce, ride = evidence.methods
    half = replace(evidence, methods=(ce, replace(ride, negatives=None)))
    assert set(confusion.flows(half).method) == set(confusion.pairs(half, 0.95).method) == {"ce"}
    none = replace(evidence, methods=(replace(ce, negatives=None),))
    assert confusion.flows(none).empty and confusion.pairs(none, 0.95).empty
