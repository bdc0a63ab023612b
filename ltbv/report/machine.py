"""The report for programs: the tidy tables as CSV, and everything as one JSON document. NaN is null there."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

import ltbv
from ltbv.report.evidence import Evidence
from ltbv.report.names import encoded
from ltbv.report.tables import Tables

FORMULA = "=+-@\t\n\uff1d\uff0b\uff0d\uff20"  # what a formula begins with, in a spreadsheet


def csv(table: pd.DataFrame) -> bytes:
    """Ten digits; fields that hold commas, quotes or line breaks are quoted. Text that a spreadsheet would take for a
    formula, =HYPERLINK(…), has an apostrophe before it, which makes it text there."""
    text = table.select_dtypes(exclude=["number", "bool"])
    harmless = table.assign(**{name: column.map(_no_formula) for name, column in text.items()})
    return encoded(harmless.to_csv(index=False, float_format="%.10g"))


def _no_formula(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r", " ")  # which would not be quoted, and ends a line
    return f"'{cell}" if len(cell) > 1 and cell[0] in FORMULA else cell


def document(tables: Tables, evidence: Evidence, files: Mapping[str, str] | None = None) -> str:
    """Setting, methods, verdicts, warnings and tidy tables as JSON; a table is its columns and rows.

    `files` are the other files of the report with their digests, see `manifest`.
    """
    of_method = ("key", "label", "runs", "cost", "adds_to", "family", "experts", "kind")
    methods = [{name: getattr(method, name) for name in of_method} for method in evidence.methods]
    whole = {
        "ltbv": ltbv.__version__,
        "setting": vars(evidence.setting),
        "classes": {
            "names": evidence.class_names,
            "train_counts": evidence.train_counts,
            "test_points": evidence.points_by_class,
            "splits": evidence.splits,
        },
        "methods": methods,
        "verdicts": [{**vars(one), "answers": [vars(answer) for answer in one.answers]} for one in tables.verdicts],
        "warnings": tables.cautions,
        "tables": {
            name: json.loads(table.to_json(orient="split", index=False, double_precision=10))
            for name, table in tables.tidy.items()
        },
        "files": files or {},
    }
    return encoded(json.dumps(_plain(whole), ensure_ascii=False, allow_nan=False)).decode() + "\n"


def _plain(value: Any) -> Any:
    """What JSON can hold: lists for arrays, None for NaN."""
    if isinstance(value, Mapping):
        return {str(key): _plain(of) for key, of in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(of) for of in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
