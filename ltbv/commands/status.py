"""How far is a study? `ltbv status`."""

import json
import sys
from pathlib import Path

import click

from ltbv.door import complete_study, say


@click.command()
@click.argument("study", type=click.Path(path_type=Path), default=Path("runs/glyphs-lt"), shell_complete=complete_study)
@click.option("--verify", is_flag=True, help="Read every file; set damaged ones aside, find foreign ones.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(study: Path, verify: bool, as_json: bool) -> None:
    """How far a study is: runs done, failed and left by method, who works on it, how fast."""
    from ltbv.harness import status as of_study
    from ltbv.store import Store

    store = Store(study)
    amiss = of_study.verify(store) if verify else []
    found = of_study.status(store)
    if as_json:
        kinds = {kind: [line for of, line in amiss if of == kind] for kind in ("damaged", "unread", "foreign")}
        say(json.dumps({**found, **(kinds if verify else {})}, indent=1))
    else:
        whole = ["every file is whole"] if verify and not amiss else []
        say("\n".join([*of_study.lines(found), *(line for _, line in amiss), *whole]))
    if amiss:
        sys.exit(1)
