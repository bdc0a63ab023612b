"""What do the lines of --events say? A table for each kind, made of the dataclasses that are told."""

from dataclasses import fields

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


def lines() -> list[str]:
    from ltbv.harness.events import Event
    from ltbv.harness.journal import ENVELOPE

    found = ["## Of every record", "", "| field | |", "| --- | --- |"]
    found += [f"| `{name}` | {meaning} |" for name, meaning in ENVELOPE.items()]
    for kind in (kind for kind in Event.__subclasses__() if kind.public):
        own = [one for one in fields(kind) if "help" in one.metadata]
        found += ["", f"## `{kind.kind()}`", "", " ".join((kind.__doc__ or "").split()), ""]
        found += ["| field | |", "| --- | --- |", *(f"| `{one.name}` | {one.metadata['help']} |" for one in own)]
    return found


class Events(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(lines()), allow_section_headings=True)


def setup(app):
    app.add_directive("events", Events)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
