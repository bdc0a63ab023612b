"""Does a method lower bias and variance, and by how much? `ltbv report`: tables and figures, every method beside CE.

    evidence             predictions of some methods on one test set, and how they came about
    study                reads them from a study directory, `elsewhere` from files of others
    analysis             takes them from arrays in memory: `ltbv.analyse`
    tables               what `ltbv.stats` says of them, tidy; parts of it: rows, claims, hardest (negatives),
                         confusion, cost, routing, additions, families, verdict (in words), cautions
    sheet, sheets        tables laid out for reading; captions go with them
    terminal, markdown, latex, machine (CSV, JSON)    show them
    figures, curves      draw them; `lines` does where there are many methods, `experts` what is about experts;
                         `style` says how
    published            numbers of the literature beside measured ones
    page                 everything in one HTML file: page.html, page.css, page.js
    manifest             what an earlier report left over

No torch here: a report is made where there is none.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ltbv.report.evidence import Evidence


def write_report(
    study: "Path | str | Evidence",
    output: Path | str,
    *,
    margin: float = 0.01,
    exact: bool | None = None,
    allow_scale: bool = False,
    published: bool = False,
    as_json: bool = False,
) -> str:
    """Read the study directory `study`, write the report below `output`, give back the text for the terminal.

        report.html  report.md  report.json
        tables/NAME.csv      columns: see `rows`, `claims`, `confusion`, `cost`
        tables/NAME.tex      booktabs
        figures/NAME.*       .png, .pdf, and .csv of what they show

    study        a directory, or an `Evidence` from elsewhere
    margin       of accuracy: how much worse the head may be and still count as kept
    exact        the exact sign-flip test too (None: where it takes a few seconds only)
    allow_scale  compare softmax scores of methods whose logits are on different scales
    published    the numbers of the literature too, where there are some for the data set
    as_json      give back report.json instead of text

    Everything is computed before the first file is written, and all files are written, or none. What an earlier report
    wrote in `output` and this one does not is removed; anything else there is left.
    """
    from ltbv.errors import one_line
    from ltbv.files import refuse_if_closed, write_together
    from ltbv.report import captions, figures, latex, machine, manifest, markdown, page, sheets, tables, terminal
    from ltbv.report import published as literature
    from ltbv.report.evidence import Evidence
    from ltbv.report.names import encoded
    from ltbv.report.study import read_study
    from ltbv.report.style import house_style, looks, rendered

    output = Path(output)
    refuse_if_closed(output)
    evidence = study if isinstance(study, Evidence) else read_study(Path(study))
    found = tables.build(evidence, margin=margin, exact=exact, allow_scale=allow_scale)
    others, missing = literature.beside(found, evidence) if published else ([], [])
    found = replace(found, cautions=(*found.cautions, *missing))
    made = sheets.printed(found, evidence)
    files = {f"tables/{name}.csv": machine.csv(table) for name, table in machine.tidy(found).items()}
    files |= {f"tables/{sheet.key}.tex": encoded(latex.table(sheet)) for sheet in (*made, *others)}
    files["report.md"] = encoded(
        markdown.document(captions.setting(evidence), found.verdicts, [*made, *others], found.cautions)
    )
    with house_style():
        look = looks(evidence.names)
        images = {}
        for name, figure, data in figures.drawn(found, look):
            files[f"figures/{name}.csv"] = machine.csv(data)
            images[name] = files[f"figures/{name}.png"] = rendered(figure, "png")
            files[f"figures/{name}.pdf"] = rendered(figure, "pdf")
    files["report.html"] = encoded(page.page(found, evidence, made, images, look, others))
    whole = machine.document(found, evidence, manifest.digests(files))
    shown = whole if as_json else terminal.show(found, evidence, others)

    left_over = manifest.left_over(output, files)
    files[manifest.MANIFEST] = encoded(whole)  # last: until then, the earlier one says what is whose
    write_together({output / name: content for name, content in files.items()}, gone=left_over)
    if as_json:
        return shown
    place = one_line(str(output))
    return f"{shown}\n\nReport: {place}/report.html (and .md, .json, tables/*.csv, *.tex, figures/*.png, *.pdf, *.csv)"
