"""All is in setup.cfg, but for what a package index shows: README without links that lead nowhere there."""

import re
from pathlib import Path

from setuptools import setup

FIGURE = re.compile(r"^!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n?", re.M)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)[^)]*\)")


def without_relative_links(text: str) -> str:
    """Figures of the source go, links into it become the words that they stand on: paths, which the source has."""
    return LINK.sub(r"\1", FIGURE.sub("", text))


if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    setup(long_description=without_relative_links(readme), long_description_content_type="text/markdown")
