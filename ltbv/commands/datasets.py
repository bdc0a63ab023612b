"""Which data sets and schemes are there? `ltbv datasets`."""

from pathlib import Path

import click

from ltbv.door import COMPLETED, say
from ltbv.errors import Refusal


@click.command()
@click.option("--preview", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw a sheet of samples.")
@click.option(
    "--dataset",
    metavar="NAME",
    help="With --preview: of which data set. [glyphs-lt]",
    shell_complete=COMPLETED["dataset"],
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="With --preview: where its files are.")
def datasets(preview: Path | None, dataset: str | None, data_dir: Path | None) -> None:
    """The data sets there are, and the schemes that resample them."""
    for option, value in {"--dataset": dataset, "--data-dir": data_dir}.items():
        if value is not None and preview is None:
            raise Refusal(f"{option} {value} goes with --preview FILE.png; without it, all data sets are listed")
    from ltbv.data.catalogue import ENTRIES, NAMED, entry
    from ltbv.data.resample import SCHEMES

    if preview:
        from ltbv.data.preview import sheet
        from ltbv.files import write_bytes
        from ltbv.harness.source import settled

        found = entry(settled({"dataset": dataset or "glyphs-lt"})[0]["dataset"])
        write_bytes(preview, sheet(found.load(data_dir), found.counts()))
        say(f"wrote {preview}")
        return
    for found in ENTRIES.values():
        profile = f"head {found.head}, imbalance {found.imbalance:g}, {found.profile}"
        say(f"{found.name:<15} {found.description}; default: {profile}")
    for one in NAMED.values():
        held = f"{one.classes:,} classes, {one.training:,} training images"
        say(f"{one.name:<15} {held}; its files in --data-dir, its lists there or in --lists")
    say("DIR, LIST, POOL images of your own: `ltbv images --help`")
    say("schemes:")
    for name, scheme in SCHEMES.items():
        say(f"  {name:<20} {scheme.description}")
