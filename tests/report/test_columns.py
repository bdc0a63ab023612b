"""Does the reference of columns know every CSV that a report writes, with the columns that it has?"""

import re
from pathlib import Path

import pandas as pd
import pytest

from ltbv.report import columns, write_report
from ltbv.report.study import read_study
from ltbv.report.tables import build

REPORTS = Path(__file__).parents[2] / "reports"
FAMILY = {"ride": {"family": "RIDE", "experts": 3, "adds_to": "ce"}, "ride_2": {"family": "RIDE", "experts": 2}}
DOCUMENTED = {"tables": columns.TABLES, "figures": columns.FIGURES}


@pytest.fixture(scope="module")
def rich(shared_study):
    """A study with logits, a router, a family of numbers of experts, and one method built on another."""
    methods = {"ce": "CE", "ride": "RIDE", "ride_2": "RIDE (2 experts)"}
    return shared_study(methods, recipes=FAMILY, routed={"ride": 3}, points=6)


def test_tables_have_the_columns_of_the_reference(rich):
    built = build(read_study(rich))
    assert set(built.files) == set(columns.TABLES)
    for name, table in built.named.items():
        if name in built.files:
            assert tuple(table.columns) == columns.TABLES[name].columns, name


@pytest.mark.usefixtures("undrawn")
def test_files_of_a_report_are_in_the_reference(rich, tmp_path):
    write_report(rich, tmp_path)
    written = [*tmp_path.glob("tables/*.csv"), *tmp_path.glob("figures/*.csv")]
    assert len(written) > 15
    for path in (*written, *REPORTS.glob("*/tables/*.csv")):
        table = pd.read_csv(path)
        documented = DOCUMENTED[path.parent.name][path.stem]
        assert tuple(table.columns) == documented.columns, path
        if "quantity" in table:
            said = {re.sub(r"_[\d.]+(?=_|$)", "_K", one) for one in set(table["quantity"])}
            assert said <= {one.replace("_Q", "_K") for one in documented.quantities}, path


def test_every_column_and_quantity_has_a_meaning_and_no_meaning_is_left_over():
    every = {(name, one) for of in DOCUMENTED.values() for name, table in of.items() for one in table.columns}
    assert all(columns.meaning(*at) for at in every) and set(columns.IN_TABLE) <= every
    assert set(columns.MEANINGS) == {column for _, column in every}
    assert set(columns.QUANTITIES) == {q for of in DOCUMENTED.values() for t in of.values() for q in t.quantities}
