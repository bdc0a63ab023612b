"""What do the predictions say? Tidy tables, a row for each method, group of classes and quantity.

Every estimate, interval and test comes from `ltbv.stats`; here they are asked for and put side by side. Which tables
there are is said by the files of `topics/`; the columns of most are those of `rows`, where they are explained.
"""

import pandas as pd

from ltbv.report import topics
from ltbv.report.cautions import cautions
from ltbv.report.evidence import GROUPS, Evidence
from ltbv.report.measured import Measured
from ltbv.report.rows import COLUMNS, LEVEL
from ltbv.report.topic import Tables
from ltbv.report.verdict import MARGIN, check_margin, verdicts

__all__ = ["COLUMNS", "GROUPS", "LEVEL", "Tables", "build"]


def build(
    evidence: Evidence,
    *,
    margin: float = MARGIN,
    exact: bool | None = None,
    allow_scale: bool = False,
    published: bool | str = False,
) -> Tables:
    """All tables of a report.

    margin       of accuracy: how much worse the head may be and still count as kept
    exact        the exact sign-flip test too; None: where it takes a few seconds only
    allow_scale  compare softmax scores of methods whose logits are on different scales
    published    the numbers of the literature too, where there are some of the same protocol; the name of the data set:
                 of any protocol
    """
    check_margin(margin)
    asked = {"exact": exact, "allow_scale": allow_scale, "published": published}
    measured = Measured.read(evidence, [topic.values for topic in topics.TOPICS], **asked)
    named: dict[str, pd.DataFrame] = {}
    files: dict[str, bool] = {}  # name of a table -> is it written where it has no rows too?
    said: list[str] = []
    for topic in topics.TOPICS:
        finding = topic.measure(measured)
        named |= finding.tables
        files |= {name: topic.always for name in finding.tables if name not in topic.inner}
        said += finding.cautions
    return Tables(
        named,
        files,
        verdicts(evidence, named["splits"], named["claims"], margin),
        cautions(evidence, measured.records, measured.estimates, said, flipped=measured.flipped),
    )
