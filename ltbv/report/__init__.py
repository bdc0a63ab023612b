"""Does a method lower bias and variance, and by how much? `ltbv report`: tables and figures, every method beside CE.

    evidence             predictions of some methods on one test set, and how they came about
    study                reads them from a study directory
    tables               what `ltbv.stats` says of them, tidy
    terminal, figures    show the tables; `style` says how

No torch here: a report is made where there is none.
"""

from pathlib import Path


def write_report(study: Path | str, output: Path | str) -> str:
    """Read the study directory `study`, write tables and figures below `output`, give back the text for the terminal.

        tables/splits.csv  tables/classes.csv  tables/hardest_negatives.csv    columns: see `tables`
        figures/bias_variance  figures/hardest_negatives                       .png, .pdf, and .csv of what they show

    Everything is computed before the first file is written, and each file is whole or absent.
    """
    from ltbv.harness.files import write_bytes
    from ltbv.report import figures, tables, terminal
    from ltbv.report.study import read_study
    from ltbv.report.style import house_style, looks, rendered

    evidence = read_study(Path(study))
    found = tables.build(evidence)
    shown = terminal.show(found, evidence)
    content = {
        "tables/splits.csv": found.splits,
        "tables/classes.csv": found.classes,
        "tables/hardest_negatives.csv": found.hardest_negatives,
        "figures/bias_variance.csv": found.splits[found.splits["quantity"].isin(figures.QUANTITIES)],
        "figures/hardest_negatives.csv": found.histogram,
    }
    files = {name: table.to_csv(index=False, float_format="%.10g").encode() for name, table in content.items()}
    with house_style():
        look = looks(evidence.names)
        drawn = {
            "bias_variance": figures.bias_variance(found.splits, look),
            "hardest_negatives": figures.hardest_negatives(found.histogram, found.hardest_negatives, look),
        }
        files |= {
            f"figures/{name}.{kind}": rendered(figure, kind)
            for name, figure in drawn.items()
            for kind in ("png", "pdf")
        }

    for name, whole in files.items():
        write_bytes(Path(output) / name, whole)
    return f"{shown}\n\nTables: {output}/tables/*.csv\nFigures: {output}/figures/*.png, *.pdf (their data: *.csv)"
