"""A table for a paper: LaTeX with booktabs, to be \\input. Compiles with pdflatex whatever the names hold.

Better and worse differences go through \\ltbvbetter and \\ltbvworse, the others through \\ltbvunclear: define them
before the \\input to print them in colours. \\ltbvdoubtful is grey where a package of colours is loaded.
"""

import unicodedata

from ltbv.report import captions, legend
from ltbv.report.evidence import SHOWN, Evidence
from ltbv.report.grid import Grid, GridCell, GridRow
from ltbv.report.judgement import CLAIM, INTERVAL, UNJUDGED
from ltbv.report.names import printable
from ltbv.report.sheet import Cell, Column, Sheet
from ltbv.report.written import short

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "'": "{'}",  # in braces: two in a row would be one other sign
    "`": "{`}",
    "-": "{-}",
    "?": "{?}",
    "!": "{!}",
    "[": "{[}",  # in braces: after the end of a row, these would be the options of \\
    "]": "{]}",
    "*": "{*}",
    "±": r"\ensuremath{\pm}",
}
ACCENTS = {  # combining mark -> command
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}
GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"  # those that have a command
HEAD = r"""% \usepackage{booktabs}%s
\providecommand{\ltbvbetter}[1]{#1}\providecommand{\ltbvworse}[1]{#1}\providecommand{\ltbvunclear}[1]{#1}
\providecommand{\ltbvdoubtful}[1]{\ifx\textcolor\undefined #1\else\textcolor[gray]{.55}{#1}\fi}
% a letter that pdflatex lacks, and what to show in its place
\providecommand{\ltbvletter}[2]{\ifx\Umathchar\undefined #2\else #1\fi}
"""
FIT = r"""% with \usepackage{graphicx}, what is wider than the line is made smaller
\providecommand{\ltbvfit}[1]{\sbox0{#1}%
  \ifx\resizebox\undefined\usebox0\else\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi\fi}
"""
LONGEST = 45  # rows on a page
SMALL = r"\footnotesize\setlength{\tabcolsep}{3pt}"


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is; letters that pdflatex lacks are named by their code point there."""
    return "".join(map(_letter, printable(text)))


def _letter(letter: str) -> str:
    if letter in SPECIAL or letter.isascii():
        return SPECIAL.get(letter, letter)
    parts = unicodedata.normalize("NFD", letter)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in ACCENTS:
        base = {"i": r"\i", "j": r"\j"}.get(parts[0], parts[0])
        return rf"\{ACCENTS[parts[1]]}{{{base}}}"
    if letter in GREEK:
        name = unicodedata.name(letter).split()[-1].lower().replace("lamda", "lambda")
        return rf"\ensuremath{{\{name.capitalize() if letter.isupper() else name}}}"
    return rf"\ltbvletter{{{letter}}}{{U+{ord(letter):04X}}}"


def table(sheet: Sheet) -> str:
    """A table environment; a longtable where the rows fill more than a page."""
    long = len(sheet.rows) > LONGEST
    align = "".join("r" if column.numeric else "l" for column in sheet.columns)
    header, rows = _header(sheet.columns), [*(_row(row, sheet.columns) for row in sheet.rows), r"\bottomrule"]
    caption = (
        rf"\caption{{{escaped(f'{sheet.title}. {sheet.caption}')}}}\label{{tab:ltbv-{sheet.key.replace('_', '-')}}}"
    )
    if long:
        start, end = rf"{{{SMALL}\begin{{longtable}}{{{align}}}", r"\end{longtable}}"
        inner = [caption + r" \\", *header, r"\endhead", *rows]
    else:
        start, end = rf"\begin{{table}}\centering{SMALL}", r"\end{table}"
        inner = [caption, rf"\ltbvfit{{\begin{{tabular}}{{{align}}}", *header, *rows, r"\end{tabular}}"]
    package = r" \usepackage{longtable}" if long else ""
    return HEAD.replace("%s", package) + FIT * (not long) + "\n".join([start, *inner, end]) + "\n"


def _header(columns: tuple[Column, ...]) -> list[str]:
    """Names, under the words that neighbouring columns share."""
    lines = [r"\toprule"]
    if any(column.over for column in columns):
        spans: list[tuple[str, int, int]] = []  # words, first column, last
        for at, column in enumerate(columns, 1):
            if spans and spans[-1][0] == column.over:
                spans[-1] = (column.over, spans[-1][1], at)
            else:
                spans.append((column.over, at, at))
        cells = (rf"\multicolumn{{{last - first + 1}}}{{c}}{{{escaped(over)}}}" for over, first, last in spans)
        rules = (rf"\cmidrule(lr){{{first}-{last}}}" for over, first, last in spans if over)
        lines += [" & ".join(cells) + r" \\", "".join(rules)]
    return [*lines, " & ".join(escaped(column.name) for column in columns) + r" \\", r"\midrule"]


def _row(row: tuple[Cell, ...], columns: tuple[Column, ...]) -> str:
    cells = (
        _number(cell) if column.numeric else _marked(cell, _words(cell.text))
        for cell, column in zip(row, columns, strict=True)
    )
    return " & ".join(cells) + r" \\"


def _words(text: str) -> str:
    """A name; blanks before it are kept, they set lines of one method apart from its name."""
    stripped = text.lstrip(" ")
    return r"\quad " * (len(stripped) < len(text)) + escaped(stripped)


def _number(cell: Cell) -> str:
    """A minus is a minus, a star stands high."""
    text = escaped(cell.text).replace("{-}", r"\ensuremath{-}").replace("{*}", r"\rlap{*}")
    return _marked(cell, text)


def _marked(cell: Cell, text: str) -> str:
    return rf"\ltbv{cell.mark}{{{text}}}" if cell.mark else text


GRID_HEAD = r"""% \usepackage{booktabs,amssymb}; \usepackage{xcolor} for the grey of what is not judged
% Two columns: put {table*} in place of {table}. It fills \linewidth from 335 pt on, without \resizebox.
\providecommand{\ltbvmark}[1]{\rlap{\raisebox{.15ex}{$\scriptscriptstyle#1$}}}
\providecommand{\ltbvclaimbetter}[1]{\textbf{#1}\ltbvmark{\blacktriangleright}}
\providecommand{\ltbvclaimworse}[1]{\textit{#1}\ltbvmark{\blacktriangleleft}}
\providecommand{\ltbvabove}[1]{#1\ltbvmark{\vartriangleright}}
\providecommand{\ltbvbelow}[1]{#1\ltbvmark{\vartriangleleft}}
\providecommand{\ltbvgrey}[1]{\ifx\textcolor\undefined #1\else\textcolor[gray]{.55}{#1}\fi}
\providecommand{\ltbvunjudged}[1]{\ltbvgrey{#1}\ltbvmark{\dagger}}
\providecommand{\ltbvletter}[2]{\ifx\Umathchar\undefined #2\else #1\fi}
"""
GRID_COMMANDS: dict[tuple[str, bool | None], str] = {
    (CLAIM, True): "ltbvclaimbetter",
    (CLAIM, False): "ltbvclaimworse",
    (INTERVAL, True): "ltbvabove",
    (INTERVAL, False): "ltbvbelow",
}
GRID_COLUMNS = {"accuracy": "acc.", "bias": "bias", "variance": "var."}


def grid(of: Grid, evidence: Evidence) -> str:
    """The grid: a row a method, marks in boxes without width; bold is better, italic worse, and both have a mark."""
    columns = len(of.groups) * len(SHOWN)
    names = [escaped(legend.name(group, of.groups)) for group in of.groups]
    over = " & ".join(rf"\multicolumn{{{len(SHOWN)}}}{{c}}{{{name}}}" for name in names)
    rules = "".join(rf"\cmidrule(lr){{{2 + at}-{1 + at + len(SHOWN)}}}" for at in range(0, columns, len(SHOWN)))
    heads = " & ".join([*GRID_COLUMNS.values()] * len(of.groups))
    rows = [_grid_row(of, of.reference), r"\midrule"]
    for at, (kind, own) in enumerate(of.families):
        rows += [r"\addlinespace[2pt]"] * bool(kind and at)
        rows += [rf"\multicolumn{{{columns + 1}}}{{@{{}}l}}{{\scriptsize {escaped(kind)}}} \\*"] if kind else []
        rows += (_grid_row(of, row) for row in own)
    return GRID_HEAD + "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering\footnotesize\setlength{\tabcolsep}{1.5pt}\setlength{\belowcaptionskip}{4pt}",
            rf"\caption{{{_grid_caption(of, evidence)}}}\label{{tab:ltbv-grid}}",
            rf"\begin{{tabular*}}{{\linewidth}}{{@{{}}l@{{\extracolsep{{\fill}}}}{'r' * columns}@{{\hspace{{4pt}}}}}}",
            r"\toprule",
            rf" & {over} \\",
            rules,
            rf" & {heads} \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular*}",
            r"\end{table}",
            "",
        ]
    )


def _grid_caption(of: Grid, evidence: Evidence) -> str:
    marks = (
        r"$\blacktriangleright$\,better, $\blacktriangleleft$\,worse (claims, Holm over the nine of a method);"
        r" $\vartriangleright$\,better, $\vartriangleleft$\,worse by the 95\,\% interval only; unmarked: open."
    )
    parts = [
        escaped(captions.provenance(evidence)),
        r"Accuracy (\%), bias and variance, corrected for the number of runs. Paired difference from"
        rf" {escaped(of.reference.label)}: {marks}",
        *(rf"$\dagger$\,not judged. {escaped(line)}" for line in legend.unjudged(of)),
        *filter(None, [escaped(legend.doubtful(of))]),
        escaped(legend.ranked(of)),
    ]
    return " ".join(parts)


def _grid_row(of: Grid, row: GridRow) -> str:
    return " & ".join([escaped(row.label), *map(_grid_cell, of.shown(row))]) + r" \\"


def _grid_cell(cell: GridCell) -> str:
    text = escaped(short(cell.estimate, cell.quantity)).replace("{-}", r"\ensuremath{-}")
    text = rf"\ltbvgrey{{{text}}}" if cell.doubtful else text
    if cell.state == UNJUDGED or cell.why:
        return rf"\ltbvunjudged{{{text}}}"
    command = GRID_COMMANDS.get((cell.state, cell.better))
    return rf"\{command}{{{text}}}" if command else text
