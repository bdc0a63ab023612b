"""A table for a paper: LaTeX with booktabs, to be \\input. Compiles with pdflatex whatever the names hold.

Better and worse differences go through \\ltbvbetter and \\ltbvworse, the others through \\ltbvunclear: define them
before the \\input to print them in colours. \\ltbvdoubtful is grey where a package of colours is loaded.
"""

import unicodedata

from ltbv.report.names import printable
from ltbv.report.sheet import Cell, Column, Sheet

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
        spans: list[list] = []
        for at, column in enumerate(columns, 1):
            if spans and spans[-1][0] == column.over:
                spans[-1][2] = at
            else:
                spans.append([column.over, at, at])
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
