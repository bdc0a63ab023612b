"""What is a topic of the report? One question asked of the evidence: its tables, how they are laid out and drawn, and
what must be said of them. A file of `topics/` is one topic, and its list there is the only one; whoever writes files or
shows something (Markdown, LaTeX, the page, the terminal, CSV, JSON) knows the forms of this file, and no topic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ltbv.report.evidence import Evidence, MethodRuns
from ltbv.report.measured import Measured
from ltbv.report.questions import TRUST
from ltbv.report.sheet import Sheet
from ltbv.report.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ltbv.report.style import Look


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


@dataclass(frozen=True)
class Finding:
    """Tables by name, and lines that a reader of them must know."""

    tables: Mapping[str, pd.DataFrame]
    cautions: tuple[str, ...] = ()


def nothing_new(measured: Measured) -> Finding:
    """What a topic measures that shows another one's tables in its own way."""
    del measured
    return Finding({})


@dataclass(frozen=True)
class Drawing:
    """A figure, the table that it shows, and what stands below it; `alt` is for those who do not see it.

    question, leads    of its topic
    """

    key: str
    figure: "Figure"
    data: pd.DataFrame
    caption: str
    alt: str
    question: str = TRUST
    leads: bool = False


Looks = Mapping[str, "Look"]


def _nothing(of: MethodRuns) -> dict[str, np.ndarray]:
    del of
    return {}


def _silent(tables: Tables, evidence: Evidence) -> str:
    del tables, evidence
    return ""


SheetMaker = Callable[[Tables, Evidence], Sheet | list[Sheet]]
Drawer = Callable[[Tables, Evidence, Looks], Drawing | None]


@dataclass(frozen=True)
class Topic:
    """
    measure   what was measured -> Finding
    sheets    name of a table -> how it is laid out; figures: name of a table -> how it is drawn. Neither is asked for
              a table without rows; a figure that needs the training images of classes is None without them
    values    (R, N) arrays of a method whose means over classes are wanted beside error, bias and variance: they come
              with the intervals and differences of all others, see `Measured.of`
    always    its tables are files even where they have no rows
    inner     tables that are behind figures only
    question  which of `report.questions` its sheets and figures are folded under
    answer    what it answers to that in a line, from the judgement that claims and verdicts are of; or nothing
    leads     its figures stand below the grid, before the questions
    """

    measure: Callable[[Measured], Finding]
    sheets: Mapping[str, tuple[SheetMaker, ...]] = field(default_factory=dict)
    figures: Mapping[str, Drawer] = field(default_factory=dict)
    values: Callable[[MethodRuns], Mapping[str, Any]] = _nothing
    always: bool = False
    inner: tuple[str, ...] = ()
    question: str = TRUST
    answer: Callable[[Tables, Evidence], str] = _silent
    leads: bool = False
