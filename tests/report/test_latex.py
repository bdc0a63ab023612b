"""Would LaTeX read it? No TeX is needed: what it asks of a table (environments, braces, columns, signs, commands) is
checked by a small reader of our own, which is shown to refuse what LaTeX refuses."""

import re

import pytest

from ltbv.report import latex, tables, topics
from ltbv.report.grid import grid
from ltbv.report.study import read_study

AWKWARD = [
    "a,b",
    '"c"',
    "$\\alpha$ \\& 5%",
    "<b>",
    "tab\there",
    "é_ø^2~#1",
    "100%\\\\ & \\input{x}",
    "{",
    "}",
    "α ± 名",
]

TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|[{}$&#^_~%]|[^\\{}$&#^_~%]+", re.DOTALL)
COMMANDS = """
    begin end caption label centering footnotesize scriptsize setlength multicolumn quad i j toprule midrule
    bottomrule cmidrule addlinespace endhead linewidth extracolsep fill hspace tabcolsep belowcaptionskip
    textbackslash textasciicircum textasciitilde textless textgreater textbar char ensuremath pm rlap
    blacktriangleright blacktriangleleft vartriangleright vartriangleleft dagger textbf textit u r H v c
    alpha
"""
SIGNS = set("\\{}$&%#_ ,") | set("`'^~=.\"")  # after a backslash: a sign, a thin space, an accent
TABLES = ("tabular", "tabular*", "longtable")


def faults(text: str) -> list[str]:
    """What LaTeX would stumble over; nothing where it would not."""
    defined = set(re.findall(r"\\providecommand\{(\\[A-Za-z]+)\}", text))
    body = "\n".join(
        line
        for line in re.sub(r"(?<!\\)%.*", "", text).splitlines()
        if not line.startswith((r"\providecommand", r"  \ifx"))  # of ours, not of the names; braces are counted below
    )
    tokens, found, open_, depth, math = TOKEN.findall(body), [], [], 0, False
    for at, token in enumerate(tokens):
        rest = "".join(tokens[at + 1 : at + 4])
        if token in (r"\begin", r"\end"):
            name = re.match(r"\{([a-z*]+)\}", rest)[1]
            if token == r"\begin":
                open_.append((name, depth))
            elif not open_ or open_.pop() != (name, depth):
                found.append(f"{name} ends and is not open, or other braces are")
        elif token in "{}":
            depth += 1 if token == "{" else -1
            if depth < 0:
                found.append("a brace too many is closed")
        elif token == "$":
            math = not math
        elif token in "#^_~":
            found.append(f"{token} is not escaped before {rest[:20]!r}")
        elif token == "&" and not (open_ and open_[-1][0] in TABLES):
            found.append("& outside of a table")
        elif token.startswith("\\") and token[1:].rstrip("*").isalpha():
            if token not in defined and token[1:] not in COMMANDS.split():
                found.append(f"unknown command {token}")
        elif token.startswith("\\") and token[1] not in SIGNS:
            found.append(f"unknown command {token}")
    found += [f"{name} is not ended" for name, _ in open_] + ["braces are open"] * (depth > 0) + ["$ is open"] * math
    return found + [fault for body_of, columns in environments(body) for fault in unequal(body_of, columns)]


def environments(body: str) -> list[tuple[str, int]]:
    """The inside of each table, and the columns that its preamble promises."""
    found = []
    for name in TABLES:
        start = rf"\begin{{{name}}}" + (r"{\linewidth}" if name == "tabular*" else "")
        for part in body.split(start)[1:]:
            preamble, inside = argument(part)
            while "@{" in preamble:  # what stands between columns is none
                before, after = preamble.split("@", 1)
                preamble = before + argument(after)[1]
            assert set(preamble) <= set("lrc"), preamble
            found.append((inside.split(rf"\end{{{name}}}")[0], len(preamble)))
    return found


def argument(text: str) -> tuple[str, str]:
    """What stands in the braces that `text` begins with, and what follows."""
    depth = 0
    for at, token in ((m.end(), m[0]) for m in TOKEN.finditer(text)):
        depth += {"{": 1, "}": -1}.get(token, 0)
        if not depth:
            return text[1 : at - 1], text[at:]
    raise AssertionError("braces are open")


def unequal(inside: str, columns: int) -> list[str]:
    """Rows that have another number of columns than the preamble."""
    cells, depth, span, row, found = 1, 0, 0, "", []
    for token in TOKEN.findall(inside):
        depth += {"{": 1, "}": -1}.get(token, 0)
        if token == r"\multicolumn":
            span = 1
        elif span and token.isdigit():
            cells, span = cells + int(token) - 1, 0
        elif token == "&" and depth == 0:
            cells += 1
        elif token == r"\\" and depth == 0:
            if cells != columns and r"\caption" not in row:
                found.append(f"{cells} columns of {columns}: {row.strip()[:60]}")
            cells, row = 1, ""
            continue
        row += token
    left = re.sub(r"\\(top|mid|bottom)rule|\\addlinespace\[2pt\]|\\endhead|^\*|\s", "", row)
    return found + [f"a last row is not ended: {left}"] * bool(left)


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (r"\begin{tabular}{lr} a & b \\ ", "tabular is not ended"),
        (r"\begin{tabular}{lr} a & b & c \\ \end{tabular}", "3 columns of 2"),
        (r"\begin{tabular}{l@{\hspace{4pt}}rr} \multicolumn{2}{c}{a} \\ \end{tabular}", "2 columns of 3"),
        (r"\begin{tabular}{lr} a & b \end{tabular}", "a last row is not ended"),
        (r"\begin{tabular}{l} a_b \\ \end{tabular}", "_ is not escaped"),
        (r"\begin{tabular}{l} 5% \\ " + "\n" + r"\end{tabular}", "a last row is not ended"),
        (r"\begin{tabular}{l} \textbf{a \\ \end{tabular}", "other braces are"),
        (r"\begin{tabular}{l} $a \\ \end{tabular}", "$ is open"),
        (r"\begin{tabular}{l} \input1 \\ \end{tabular}", r"unknown command \input"),
        (r"\caption{a & b}", "& outside of a table"),
    ],
)
def test_the_reader_refuses_what_latex_refuses(broken, fault):
    assert any(fault in one for one in faults(broken)), faults(broken)


def test_the_reader_takes_what_latex_takes():
    assert not faults(
        r"\begin{tabular}{l@{\hspace{4pt}}rr} a\_b & \multicolumn{2}{c}{\^{o} \& $\dagger$ 5\%} \\ \end{tabular}"
    )


def test_every_table_with_awkward_names(study):
    """Table 1, tables of a page and tables of many; names hold what LaTeX reads, or what it has no letter for."""
    names = [AWKWARD[at % len(AWKWARD)] + str(at) for at in range(60)]
    labels = {f"m{at}": name for at, name in enumerate(AWKWARD)}
    recipes = {key: {"kind": AWKWARD[at % 3]} for at, key in enumerate(labels)}
    evidence = read_study(study(runs=4, points=3, num_classes=60, class_names=names, recipes=recipes, **labels))
    built = tables.build(evidence)
    texts = {sheet.key: latex.table(sheet) for sheet in topics.printed(built, evidence)}
    texts["table1"] = latex.grid(grid(built, evidence, "all:accuracy"), evidence)
    assert {"overview", "classes", "brier", "calibration", "wins"} <= texts.keys()
    assert not {name: found for name, text in texts.items() if (found := faults(text))}
    assert all(any(rf"\begin{{{name}}}" in text for text in texts.values()) for name in TABLES)
    assert texts["table1"].count(r"\multicolumn{13}") == 3, "kinds stand over their methods"
