"""What do the pages of the documentation link to? Relative targets and anchors, as a viewer of Markdown finds them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.M)


def pages() -> list[Path]:
    """The pages that people read: those at the root, those of docs/, and those beside reports and benchmarks."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "reports" / "README.md"]
    made = ("_build", "gallery")  # by the site
    return sorted(page for page in found if not set(made) & set(page.relative_to(ROOT).parts))


def links(page: Path) -> list[str]:
    """Relative targets of its links and figures, outside of code."""
    plain = re.sub(r"`[^`\n]*`", "", _without_code(page.read_text()))
    return [target for target in LINK.findall(plain) if not re.match(r"[a-z]+:", target)]


def _without_code(text: str) -> str:
    return re.sub(r"^```[^`\n]*\n.*?^```\s*$", "", text, flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """What headings are called in links."""
    titles = HEADING.findall(_without_code(page.read_text()))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    found = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        made = ROOT / "docs" / "gallery" / "index.rst"  # of docs/examples, when the site is built
        missing = not aim.exists() and aim != made
        lost = bool(anchor) and not missing and aim.suffix == ".md" and anchor not in anchors(aim)
        found += [target] if missing or lost else []
    return found
