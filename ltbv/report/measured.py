"""What do the statistics say of the evidence? Estimates and differences, before any topic reads them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from ltbv import stats
from ltbv.report import claims
from ltbv.report.evidence import GROUPS, Evidence, MethodRuns
from ltbv.report.rows import Bin, compare, estimate, record, rows

Values = Callable[[MethodRuns], Mapping[str, Any]]


@dataclass(frozen=True)
class Measured:
    """
    records      by method key, what the statistics read
    estimates    by method key, of all groups, bins and classes
    differences  by method key, from the reference
    rows         all of them, columns of `rows`; `group` is a name, a class id, or a Bin
    further      quantities that are not of the zero-one loss: means that a topic wants
    exact        the exact sign-flip test too; None: where it takes a few seconds only
    allow_scale  compare softmax scores of methods whose logits are on different scales
    published    the numbers of the literature too: of the same protocol, or (a data set's name) of any
    """

    evidence: Evidence
    records: dict[str, stats.Record]
    estimates: dict[str, list[stats.Estimate]]
    differences: dict[str, list[stats.Difference]]
    rows: pd.DataFrame
    further: frozenset[str]
    exact: bool | None
    allow_scale: bool
    published: bool | str

    @classmethod
    def read(cls, evidence: Evidence, values: Iterable[Values], **asked: Any) -> "Measured":
        """Everything that is computed once; `values` are those of the topics."""
        values = tuple(values)
        per_run = {m.key: {name: of for more in values for name, of in more(m).items()} for m in evidence.methods}
        records = {method.key: record(evidence, method, per_run[method.key]) for method in evidence.methods}
        reference, *others = evidence.names
        estimates = {key: estimate(evidence, of) for key, of in records.items()}
        differences = {key: compare(evidence, records[key], records[reference]) for key in others}
        of_methods = (rows(evidence, m, estimates[m.key], differences.get(m.key, ())) for m in evidence.methods)
        table = pd.concat(list(of_methods), ignore_index=True)
        return cls(evidence, records, estimates, differences, table, frozenset().union(*per_run.values()), **asked)

    def of(self, quantities: Collection[str]) -> pd.DataFrame:
        """Rows of some quantities, for all classes and each split."""
        return self.rows[self._of_groups & self.rows["quantity"].isin(quantities)].reset_index(drop=True)

    @cached_property
    def by_split(self) -> pd.DataFrame:
        """Rows of the zero-one loss, for all classes and each split."""
        return self.rows[self._of_groups & ~self.rows["quantity"].isin(self.further)].reset_index(drop=True)

    @cached_property
    def by_class(self) -> pd.DataFrame:
        """Rows of single classes; `group` is the class id."""
        single = self.rows["group"].map(lambda group: isinstance(group, int))
        return self.rows[single].astype({"group": int}).reset_index(drop=True)

    @cached_property
    def by_bin(self) -> pd.DataFrame:
        """Rows of bins of neighbouring classes; `first` and `last` are places in the order by count."""
        own = self.rows[self.rows["group"].map(lambda group: isinstance(group, Bin))]
        return own.assign(
            first=[group.first for group in own["group"]], last=[group.last for group in own["group"]]
        ).reset_index(drop=True)

    @cached_property
    def flipped(self) -> bool:
        """Is the exact sign-flip test to be done?"""
        return claims.is_quick(self.evidence) if self.exact is None else self.exact

    @cached_property
    def _of_groups(self) -> pd.Series:
        return self.rows["group"].isin(GROUPS)
