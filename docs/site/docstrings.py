"""What do docstrings of the house look like on a page? They are plain text, aligned by eye; here it becomes markup.

name    what it is, and what
        belongs to it            -> a definition list
indented lines                   -> a literal block
- points                         -> a list
Raises and a line of dashes      -> a section: definitions, an example, or words
anything else                    -> a paragraph, in which nothing but `code` is markup
"""

import inspect
import re

ENTRY = re.compile(r"(\S(?:.*?\S)?) {2,}(\S.*)")
SPECIAL = re.compile(r"((?<!\w)\*\w+\*(?!\w))|([\\*|_`])")  # *emphasis* stays
LONGEST_NAME = 48  # letters; what stands further right is a sentence with two blanks


def setup(app):
    app.connect("autodoc-process-docstring", _process)
    app.connect("sphinx-click-process-description", _examples)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _process(app, what, name, obj, options, lines):
    del app, what, name, obj, options
    lines[:] = as_restructured(lines)


def _examples(app, context, lines):
    """Commands of a help text stand as they are typed; of others each line is a line."""
    del app, context
    found = []
    for line in lines:
        text = line.removeprefix("| ")
        if line.startswith("| ") and text.startswith("ltbv "):
            found += [] if found and found[-1].startswith("    ltbv ") else ["::", ""]
            found.append(f"    {text}")
        else:
            found.append(line)
    lines[:] = found


def as_restructured(lines: list[str]) -> list[str]:
    """Lines of a docstring as reStructuredText."""
    found: list[str] = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc("\n".join(lines)).strip("\n")):
        head, *rest = block.split("\n")
        if rest and set(rest[0]) == {"-"}:  # a section, as numpydoc has them
            found += [f".. rubric:: {head}", "", *_section(rest[1:]), ""]
            continue
        found += [*_block(block.split("\n")), ""]
    return found


def _section(lines: list[str]) -> list[str]:
    """`name : type`, and what is meant by it below; or an example; or words."""
    if lines and lines[0].startswith(">>>"):
        return lines
    if not any(line.startswith(" ") for line in lines):
        return [_words(line) for line in lines]
    return [f"    {_words(line.strip())}" if line.startswith(" ") else f"``{line}``" for line in lines]


def _block(lines: list[str]) -> list[str]:
    if all(line.startswith("  ") for line in lines):
        return ["::", "", *(f"  {line}" for line in lines)]
    if lines[0].startswith("- "):
        return [_words(line) for line in lines]
    head = []
    while lines and not lines[0].startswith(" ") and not _entry(lines[0]):
        head.append(lines.pop(0))
    if not lines:
        return [_words(line) for line in head]
    rest = _definitions(lines) if _entry(lines[0]) else ["::", "", *(f"  {line}" for line in lines)]
    return [*(_words(line) for line in head), *([""] if head else []), *rest]


def _entry(line: str) -> re.Match | None:
    found = ENTRY.fullmatch(line)
    return found if found and len(found[1]) <= LONGEST_NAME else None


def _definitions(lines: list[str]) -> list[str]:
    """Names on the left, their meaning in a column; a name that fills its column has one blank behind it."""
    column = _entry(lines[0]).start(2)
    found: list[str] = []
    for line in lines:
        of = _entry(line)
        if line.startswith(" "):
            found.append(f"    {_words(line.strip())}")
        elif of or line[column - 1 : column] == " ":
            name, text = (of[1], of[2]) if of else (line[:column].rstrip(), line[column:])
            found += [f"``{name}``", f"    {_words(text)}"]
        else:
            found += ["", _words(line), ""]
    return found


def _words(text: str) -> str:
    """Text in which only what stands between backticks is markup."""
    parts = re.split(r"``(.+?)``|`([^`]+)`", text)
    shown = []
    for at, part in enumerate(parts):
        if at % 3 == 0:
            shown.append(SPECIAL.sub(lambda found: found[1] or f"\\{found[2]}", part))
        elif part is not None:
            closed = (
                at + 2 < len(parts) and parts[at // 3 * 3 + 3][:1].isalnum()
            )  # markup ends at a letter only escaped
            shown.append(f"``{part}``" + "\\" * closed)
    return "".join(shown)
