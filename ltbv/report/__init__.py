"""Does a method lower bias and variance, and by how much? `ltbv report`: tables and figures, every method beside CE.

    evidence             predictions of some methods on one test set, and how they came about
    study, stages        read them, and how training went, from a study directory; `elsewhere` from files of others
    training             rules of whether it trained
    analysis             takes them from arrays in memory: `ltbv.analyse`
    measured, rows       what `ltbv.stats` says of them, once, for all topics
    judgement, grid, answer, legend    what may be said of each number, the grid of all, and its words
    topic, topics/       a question of the report is one file: its tables, sheets, figures and cautions
    tables               the tables of all topics, with claims, verdict (in words) and cautions
    sheet, written       a table laid out for reading, and how its values are written
    terminal, markdown, latex, machine (CSV, JSON), page and notebook (HTML, by gridview)    show these forms, and know
                         no topic
    questions            under which the page folds topics; `spoken`, what the verdicts say to one of them
    figures, curves, flows, differences      draw; `lines` does where there are many methods, `experts` what is about
                         experts, `epochs` how training went; `style` says how, `vector` makes the page's figures,
                         `hover` what their marks say
    published            numbers of the literature
    manifest             what an earlier report left in the same place

No torch here: a report is made where there is none.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ltbv.report.evidence import Evidence

NEW_OBJECTS = 50_000  # after how many Python looks for cycles of what nobody needs


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """A figure is tens of thousands of objects: Python would look at all of them many times over."""
    threshold = gc.get_threshold()
    gc.set_threshold(max(NEW_OBJECTS, threshold[0]) if threshold[0] else 0, *threshold[1:])  # 0: it is switched off
    try:
        yield
    finally:
        gc.set_threshold(*threshold)


@_seldom_collected()
def write_report(
    study: "Path | str | Evidence",
    output: Path | str,
    *,
    margin: float = 0.01,
    exact: bool | None = None,
    allow_scale: bool = False,
    published: bool | str = False,
    rank: str = "all:accuracy",
    reference: str | None = None,
    methods: Sequence[str] = (),
    as_json: bool = False,
) -> str:
    """Read the study directory `study`, write the report below `output`, give back the text for the terminal.

        report.html  report.md  report.json
        tables/NAME.csv      columns: see `rows`, `claims` and the files of `topics`
        tables/NAME.tex      booktabs; table1.tex and table1.md are the grid, for a paper and a README
        figures/NAME.*       .png, .pdf, and .csv of what they show

    study        a directory, or an `Evidence` from elsewhere
    margin       of accuracy: how much worse the head may be and still count as kept
    exact        the exact sign-flip test too (None: where it takes a few seconds only)
    allow_scale  compare softmax scores of methods whose logits are on different scales
    published    the numbers of the literature too, where there are some of the same protocol; the name of the data set:
                 of any protocol
    rank         what the methods of the grid are ranked by: GROUP, QUANTITY or GROUP:QUANTITY, such as few or few:bias
    reference    key of what the others are compared with; None: 'ce', or the first method (of an `Evidence`: its own)
    methods      keys: only these, beside the reference
    as_json      give back report.json instead of text

    Everything is computed before the first file is written, and all files are written, or none. What an earlier report
    wrote in `output` and this one does not is removed; anything else there is left.
    """
    from ltbv.errors import one_line
    from ltbv.files import refuse_if_closed, write_together
    from ltbv.report import captions, latex, machine, manifest, markdown, page, tables, terminal, topics, vector
    from ltbv.report.answer import answer
    from ltbv.report.evidence import Evidence
    from ltbv.report.grid import OTHER, grid, ranking
    from ltbv.report.names import encoded
    from ltbv.report.study import read_study
    from ltbv.report.style import house_style, looks, rendered

    ranking(rank)  # refused before anything is worked out
    output = Path(output)
    refuse_if_closed(output)
    evidence = (
        study.of(reference, methods) if isinstance(study, Evidence) else read_study(Path(study), reference, methods)
    )
    evidence = manifest.looked(output, evidence)
    found = tables.build(evidence, margin=margin, exact=exact, allow_scale=allow_scale, published=published)
    first = grid(found, evidence, rank)
    sheets = topics.printed(found, evidence)
    printed = [sheet for sheet in sheets if not sheet.in_words]
    files = {f"tables/{name}.csv": machine.csv(table) for name, table in found.tidy.items()}
    files |= {f"tables/{sheet.key}.tex": encoded(latex.table(sheet)) for sheet in printed}
    files["tables/table1.tex"] = encoded(latex.grid(first, evidence))
    table1 = markdown.grid(first, evidence)
    files["tables/table1.md"] = encoded(table1)
    said = captions.setting(evidence), found.verdicts, printed, found.cautions
    whole_text = markdown.document(*said, answer=answer(found, first, evidence), first=table1)
    files["report.md"] = encoded(whole_text)
    with house_style():
        found_looks = looks(evidence.names, {method.key: method.kind or OTHER for method in evidence.methods})
        look = {row.key: found_looks[row.key] for row in first.rows}  # in the order of the grid
        drawings = []
        for drawing in topics.drawn(found, evidence, look):
            files[f"figures/{drawing.key}.csv"] = machine.csv(drawing.data)
            files[f"figures/{drawing.key}.png"] = rendered(drawing.figure, "png")
            files[f"figures/{drawing.key}.pdf"] = rendered(drawing.figure, "pdf")
            drawings.append((drawing, vector.rendered(drawing.figure)))
    whole_page = page.page(found, evidence, first, sheets, drawings, topics.answered(found, evidence))
    files["report.html"] = encoded(whole_page)
    whole = machine.document(found, evidence, manifest.digests(files))
    shown = whole if as_json else terminal.show(found, evidence, first, [sheet for sheet in sheets if sheet.asked])

    left_over = manifest.left_over(output, files)
    files[manifest.MANIFEST] = encoded(whole)  # last: until then, the earlier one says what is whose
    write_together({output / name: content for name, content in files.items()}, gone=left_over)
    if as_json:
        return shown
    place = one_line(str(output))
    return f"{shown}\n\nReport: {place}/report.html (and .md, .json, tables/*.csv, *.tex, figures/*.png, *.pdf, *.csv)"
