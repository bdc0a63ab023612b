"""What do the predictions say? Tidy tables, a row for each method, group of classes and quantity.

Every estimate, interval and test comes from `ltbv.stats`; here they are asked for and put side by side. Which tables
there are is said by the files of `topics/`; the columns of most are those of `rows`, where they are explained.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from ltbv.report.cautions import cautions
from ltbv.report.evidence import GROUPS, Evidence
from ltbv.report.measured import Measured
from ltbv.report.rows import COLUMNS, LEVEL
from ltbv.report.verdict import MARGIN, Verdict, check_margin, verdicts

__all__ = ["COLUMNS", "GROUPS", "LEVEL", "Tables", "build"]


@dataclass(frozen=True)
class Tables:
    """
    named     every table by its name, in the order of the topics; `tables.splits` is `tables.named["splits"]`
    files     names of those that are written as files, where they have rows; True: even without
    verdicts  a method in words
    cautions  lines that a reader must know
    """

    named: Mapping[str, pd.DataFrame]
    files: Mapping[str, bool]
    verdicts: tuple[Verdict, ...]
    cautions: tuple[str, ...]

    def __getattr__(self, name: str) -> pd.DataFrame:
        named = self.__dict__.get("named", {})  # empty while a copy is being made
        if name not in named:
            raise AttributeError(f"no table {name!r}; there is: {', '.join(named)}")
        return named[name]

    def instead(self, **tables: pd.DataFrame) -> "Tables":
        """The same with other tables in the place of some."""
        return replace(self, named={**self.named, **tables})

    @property
    def tidy(self) -> dict[str, pd.DataFrame]:
        """Those that are files of their own."""
        return {name: self.named[name] for name, always in self.files.items() if always or len(self.named[name])}


def build(
    evidence: Evidence,
    *,
    margin: float = MARGIN,
    exact: bool | None = None,
    allow_scale: bool = False,
    published: bool = False,
) -> Tables:
    """All tables of a report.

    margin       of accuracy: how much worse the head may be and still count as kept
    exact        the exact sign-flip test too; None: where it takes a few seconds only
    allow_scale  compare softmax scores of methods whose logits are on different scales
    published    the numbers of the literature too, where there are some for the data set
    """
    from ltbv.report.topics import TOPICS  # which know the forms of this file

    check_margin(margin)
    asked = {"exact": exact, "allow_scale": allow_scale, "published": published}
    measured = Measured.read(evidence, [topic.values for topic in TOPICS], **asked)
    named, files, said = {}, {}, []
    for topic in TOPICS:
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
