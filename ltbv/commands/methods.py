"""Which methods are there? `ltbv methods`."""

import os
import sys

import click

from ltbv.door import COMPLETED, completing, method_names, say


@click.command()
@click.argument("key", required=False, shell_complete=completing(method_names))
@click.option(
    "--dataset",
    default="glyphs-lt",
    show_default=True,
    metavar="NAME",
    help="Cost on which data set.",
    shell_complete=COMPLETED["dataset"],
)
def methods(key: str | None, dataset: str) -> None:
    """The methods there are; with a KEY, what one does: formulas, settings, where paper and code differ.

    KEY may be package.module:name, for a method of one's own.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.path.append(os.getcwd())
    from ltbv.harness.describe import COLUMNS, explanation, listing

    if key:
        say(explanation(key, dataset))
        return
    rows = [COLUMNS, *listing(dataset)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS) - 1)]
    for row in rows:
        say("  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip())
    say(f"\nasking and training: multiply-adds on {dataset}, against {rows[1][1]}. More: ltbv methods KEY")
