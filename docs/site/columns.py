"""Which columns have the tables of a report? The page is made of `ltbv.report.columns`, and says what the code says."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from ltbv.report import columns


class ReportColumns(SphinxDirective):
    """`tables` or `figures`: a section for each CSV."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        folder = self.arguments[0]
        of = {"tables": columns.TABLES, "figures": columns.FIGURES}[folder]
        lines = [line for name, table in of.items() for line in _lines(folder, name, table)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _lines(folder: str, name: str, table: columns.Table) -> list[str]:
    title = f"{folder}/{name}.csv"
    found = [f"### `{title}`", "", f"A row is {table.rows}.", "", "| column | |", "| --- | --- |"]
    found += [f"| `{one}` | {columns.meaning(name, one)} |" for one in table.columns]
    if table.quantities:
        found += ["", "| `quantity` | |", "| --- | --- |"]
        found += [f"| `{one}` | {columns.QUANTITIES[one]} |" for one in table.quantities]
    return [*found, ""]


def setup(app):
    app.add_directive("report-columns", ReportColumns)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
