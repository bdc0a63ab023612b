"""Which methods, data sets and schemes are there? Tables made of what the code has."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


def methods() -> list[str]:
    from ltbv.methods import METHODS

    found = ["| key | name | kind |", "| --- | --- | --- |"]
    return found + [f"| `{key}` | {method.label} | {method.kind or ''} |" for key, method in METHODS.items()]


def datasets() -> list[str]:
    from ltbv.data.catalogue import ENTRIES, NAMED

    found = ["| name | |", "| --- | --- |"]
    found += [f"| `{one.name}` | {one.description} |" for one in ENTRIES.values()]
    of_lists = "{:,} classes, {:,} training images; its files in `--data-dir`, its lists there or in `--lists`"
    return found + [f"| `{one.name}` | {of_lists.format(one.classes, one.training)} |" for one in NAMED.values()]


def schemes() -> list[str]:
    from ltbv.data.resample import SCHEMES

    found = ["| scheme | |", "| --- | --- |"]
    return found + [f"| `{name}` | {scheme.description} |" for name, scheme in SCHEMES.items()]


LISTS = {"methods": methods, "datasets": datasets, "schemes": schemes}


class Catalogue(SphinxDirective):
    """One of LISTS as a table."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(LISTS[self.arguments[0]]()))


def setup(app):
    app.add_directive("catalogue", Catalogue)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
