"""What does a program have of a finished analysis? Tables, claims, verdicts, figures, and the whole report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import pandas as pd

from ltbv.errors import Refusal
from ltbv.options import expect
from ltbv.report import frames
from ltbv.report import tables as of_tables
from ltbv.report.evidence import Evidence
from ltbv.report.names import shortened
from ltbv.report.verdict import MARGIN, check_margin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED, LETTERS = 4, 40  # methods in a repr, and letters of each


@dataclass(frozen=True, eq=False, repr=False)
class Analysis:
    """What `ltbv.analyse`, `ltbv.bootstrap` and `ltbv.sklearn.bootstrap` found: tables, claims, verdicts, figures.

    splits                    a row for each method and split: accuracy, bias, variance, with intervals
    claims                    what may be said of each difference from the reference
    verdicts                  each method in a sentence
    plot                      a figure of matplotlib
    all                       every quantity, a row each
    classes                   accuracy, bias and variance of each class
    hardest_negatives         scores of hardest negatives
    cautions                  what a reader must know
    against                   the same beside another reference
    write                     the whole report, as files
    tables                    everything that a report is made of
    evidence                  the predictions themselves

    A notebook shows the answer and the grid. `dataclasses.replace(analysis, exact=True)` is the same analysis with
    another setting; it can be copied and pickled.

    Parameters
    ----------
    evidence : Evidence
        Predictions of the methods on one test set.
    margin : float
        Accuracy, 0-1: how much worse the head may be and still count as kept.
    exact : bool or None
        The exact sign-flip test too; None: where it takes a few seconds only.
    allow_scale : bool
        Compare softmax scores of methods whose logits are on different scales.

    Raises
    ------
    Refusal
        If margin is no share from 0 to 1, or exact or allow_scale is neither true nor false.

    Examples
    --------
    >>> import numpy as np, ltbv
    >>> draw = np.random.default_rng(0)
    >>> labels = np.repeat(np.arange(3), 40)
    >>> right = draw.random((2, 12, 120)) < np.array([0.5, 0.8])[:, None, None]
    >>> ce, mine = np.where(right, labels, draw.integers(0, 3, (2, 12, 120)))
    >>> analysis = ltbv.analyse({"ce": ce, "mine": mine}, labels, train_counts=[500, 60, 6])
    >>> analysis
    <Analysis of ce (12 runs) and mine (12 runs), 120 test points, 3 classes: .splits .claims .verdicts .plot()>
    """

    evidence: Evidence
    margin: float = MARGIN
    exact: bool | None = None
    allow_scale: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.evidence, Evidence):
            raise Refusal(f"an Analysis is of Evidence, not of a {type(self.evidence).__name__}: see ltbv.analyse")
        check_margin(self.margin)
        expect("exact", self.exact, bool, NoneType)
        expect("allow_scale", self.allow_scale, bool)

    def __repr__(self) -> str:
        methods = self.evidence.methods
        named = [f"{shortened(one.label, LETTERS)} ({_number(len(one.runs), 'run')})" for one in methods[:MOST_NAMED]]
        more = len(methods) - MOST_NAMED
        named += [_number(more, "more method")] if more > 0 else []
        who = ", ".join(named[:-1]) + " and " * (len(named) > 1) + named[-1]
        of = f"{self.evidence.labels.size:,} test points, {_number(len(self.evidence.class_names), 'class', 'es')}"
        return f"<Analysis of {who}, {of}: .splits .claims .verdicts .plot()>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, and the grid of accuracy, bias and variance."""
        from ltbv.report.notebook import html

        return html(self.tables, self.evidence)

    @property
    def splits(self) -> pd.DataFrame:
        """Accuracy, bias and variance of each method, over all classes and in each split, with their intervals.

        Returns
        -------
        pandas.DataFrame
            A row for each method and split, the reference first. Columns: method (its key), split (all, many, medium
            or few; those with classes only), and nine numbers, each a share 0-1: accuracy, bias, variance, and with
            `_ci_low` and `_ci_high` the ends of its 95 % interval for new training runs and new test images. Means
            over classes, corrected for the number of runs; NaN: not known with so few runs.

        Notes
        -----
        Bias and variance are those of the zero-one loss: Domingos, "A unified bias-variance decomposition", 2000. A
        caution may stand at a number: `claims` has it. Every other quantity is in `all`.

        Examples
        --------
        >>> analysis.splits.columns[:5].tolist()
        ['method', 'split', 'accuracy', 'accuracy_ci_low', 'accuracy_ci_high']
        >>> analysis.splits.pivot(index="method", columns="split", values="variance").round(2)
        split    all   few  many  medium
        method
        ce      0.34  0.36  0.33    0.34
        mine    0.14  0.15  0.12    0.14
        """
        return frames.splits(self.tables, self.evidence)

    @property
    def claims(self) -> pd.DataFrame:
        """How each method differs from the reference, and what may be said of it: the judgement of the report.

        Returns
        -------
        pandas.DataFrame
            A row for each method but the reference, split and quantity (accuracy, bias, variance). Columns: method,
            split, quantity; difference, method minus reference, paired by run, a share 0-1, with the ends low and high
            of its 95 % interval; p_holm, after Holm's correction for the nine claims of the method (NaN for all, which
            is not among the nine); state; better, whether the difference is to the good (NA: unjudged, or none);
            caution, why it is not judged, else empty.

        Notes
        -----
        `state` is 'claim', a claim that holds after Holm's correction; 'interval', the interval excludes 0 but nothing
        is claimed; 'open', neither; or 'unjudged', because a caution stands at the number.

        The claim of an accuracy is that of the error. Where the exact sign-flip test was done, a claim needs that too:
        its p, and what the study could have detected, are in `tables.claims`.

        Examples
        --------
        >>> analysis.claims.query("split == 'few' and state == 'claim'")[["method", "quantity", "better"]]
           method  quantity  better
        9    mine  accuracy    True
        11   mine  variance    True
        """
        return frames.claims(self.tables, self.evidence)

    @property
    def verdicts(self) -> frames.Verdicts:
        """Each method but the reference in a sentence, and whether the tail is better and the head kept.

        Returns
        -------
        Mapping of str to Verdict
            By the method's key. A `Verdict` has headline (the sentence; also its `str`), tail (is it better?) and head
            (is it kept?), each 'yes', 'no' or 'open', and answers, with the numbers.

        Examples
        --------
        >>> print(analysis.verdicts["mine"])
        Lower variance in many, medium and few; a better tail, the head kept.
        >>> [method for method, verdict in analysis.verdicts.items() if verdict.tail == "yes"]
        ['mine']
        """
        return frames.Verdicts(self.tables.verdicts)

    def plot(
        self,
        kind: str = "differences",
        *,
        quantity: str | None = None,
        ax: "Axes | None" = None,
        theme: str = "light",
    ) -> "Figure":
        """A figure of the report, to be shown, saved, or embedded.

        Parameters
        ----------
        kind : str
            'differences': paired differences from the reference by split, filled where they are claims;
            'bias_variance': accuracy, bias and variance by split, with intervals; 'grid': the same in numbers, tinted
            by what may be said of them; 'by_class', 'counts', 'hardest_negatives', 'flow', 'usage', 'additions',
            'experts' and 'training': the figures of a report that are called so.
        quantity : str or None
            Of differences and bias_variance one panel alone, as wide as a column (3.5 inches): 'accuracy', 'bias' or
            'variance'; None: all three.
        ax : matplotlib.axes.Axes or None
            Axes to draw that panel into; `ax.legend()` then says what is what. Fonts are those of your settings.
        theme : str
            'light', or 'dark' for a dark ground.

        Returns
        -------
        matplotlib.figure.Figure
            A new one, 7.2 inches wide, which pyplot does not know: nothing has to be closed, and settings of
            matplotlib stay as they are. With `ax`, the figure that it is of.

        Raises
        ------
        Refusal
            If there is no such kind, quantity or theme, or nothing to show: no scores, no second method, no counts.

        Examples
        --------
        >>> figure = analysis.plot("bias_variance")
        >>> [panel.get_title(loc="left") for panel in figure.axes]
        ['Accuracy, % (higher is better)', 'Bias (lower is better)', 'Variance (lower is better)']
        >>> figure.savefig("bias_variance.pdf")  # doctest: +SKIP
        """
        from ltbv.report.plot import plot

        return plot(self.tables, self.evidence, kind, quantity=quantity, ax=ax, theme=theme)

    @property
    def all(self) -> pd.DataFrame:
        """Every quantity of the zero-one loss, for all classes and each split, a row each: `tables/splits.csv`.

        Returns
        -------
        pandas.DataFrame
            A row for each method, group (all, many, medium, few) and quantity (error, accuracy, bias, variance, its
            bracket, its parts, those of Kohavi and Wolpert). Columns: see `splits` in the reference of columns.

        Examples
        --------
        >>> bracket = analysis.all.query("method == 'ce' and group == 'few' and quantity.str.startswith('variance')")
        >>> bracket[["quantity", "estimate"]].round(2).to_dict("tight")["data"]
        [['variance', 0.36], ['variance_low', 0.34], ['variance_high', 0.38]]
        """
        return self.tables.splits

    @property
    def classes(self) -> pd.DataFrame:
        """Accuracy, bias and variance of each class, a row each: `tables/classes.csv`.

        Returns
        -------
        pandas.DataFrame
            Columns as in `all`, with `group` the class id, and class_name, split, train_count.

        Examples
        --------
        >>> analysis.classes.query("quantity == 'accuracy'").groupby("method")["estimate"].max().round(2).to_dict()
        {'ce': 0.68, 'mine': 0.88}
        """
        return self.tables.classes

    @property
    def hardest_negatives(self) -> pd.DataFrame:
        """Scores of the hardest negatives: `tables/hardest_negatives.csv`; without rows where only labels are known.

        Returns
        -------
        pandas.DataFrame
            Columns as in `all`. The hardest negative of a test point is the wrong class with the highest score; Wang
            et al., ICLR 2021 (arXiv 2010.01809), Figure 1b.

        Examples
        --------
        >>> len(analysis.hardest_negatives)  # of predicted labels
        0
        """
        return self.tables.hardest_negatives

    @property
    def cautions(self) -> tuple[str, ...]:
        """Lines that a reader of the tables must know.

        Examples
        --------
        >>> any("labels alone" in line for line in analysis.cautions)
        True
        """
        return self.tables.cautions

    @cached_property
    def tables(self) -> of_tables.Tables:
        """Everything that a report is made of: each table of `tables/` by its name, verdicts and cautions.

        Examples
        --------
        >>> sorted(analysis.tables.tidy)[:3]
        ['claims', 'classes', 'grid']
        """
        return of_tables.build(self.evidence, **self._asked)

    def against(self, reference: str | None = None, methods: Sequence[str] = ()) -> "Analysis":
        """The same compared with another method, and of some methods only.

        Parameters
        ----------
        reference : str or None
            Key of the method to compare with; None: the one of this analysis.
        methods : sequence of str
            Keys to keep beside the reference; empty: all.

        Raises
        ------
        Refusal
            If there is no method of such a key.

        Examples
        --------
        >>> list(analysis.against("mine").verdicts)
        ['ce']
        """
        expect("reference", reference, str, NoneType)
        if not isinstance(methods, Iterable):
            raise Refusal(f"methods is {methods!r}: give a list of keys")
        keys = [methods] if isinstance(methods, str) else list(methods)
        return replace(self, evidence=self.evidence.of(reference, keys))

    def write(self, directory: Path | str) -> str:
        """Write the whole report.

        Parameters
        ----------
        directory : path
            Where `report.html`, `tables/` and `figures/` go. What an earlier report wrote there is replaced.

        Returns
        -------
        str
            The text for a terminal.

        Raises
        ------
        Refusal
            If something there cannot be replaced.

        Examples
        --------
        >>> text = analysis.write("reports/mine")  # doctest: +SKIP
        """
        from ltbv.report import write_report

        expect("directory", directory, Path)
        return Said(write_report(self.evidence, directory, **self._asked))

    @property
    def _asked(self) -> dict[str, Any]:
        return {"margin": self.margin, "exact": self.exact, "allow_scale": self.allow_scale}


class Said(str):
    """Text that a prompt and a notebook show as it is, and not quoted."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _number(of: int, what: str, plural: str = "s") -> str:
    return f"{of:,} {what}{plural if of != 1 else ''}"
