"""What is in images of one's own? `ltbv images`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ltbv.data.images.recipe import Recipe, Source
from ltbv.door import counting, options_of, say, together
from ltbv.errors import Refusal, one_line


@click.command()
@click.argument("source", metavar="DIR|LIST|CSV|POOL")
@click.option("--write", type=click.Path(path_type=Path), metavar="POOL", help="Decode the images into this directory.")
@click.option("--name", help="What the data set is called. [as the directory or list]")
@together(*options_of(Source), *options_of(Recipe))
@click.option("--verify", is_flag=True, help="With a pool: read every byte of it.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
def images(
    source: str,
    write: Path | None,
    name: str | None,
    test: str | None,
    root: Path | None,
    verify: bool,
    quiet: bool,
    **chosen: Any,
) -> None:
    """Images of one's own: what is there, and what will not do; with --write a pool, which is decoded once.

    DIR/train/CLASS/… and DIR/test/CLASS/…, or DIR/CLASS/… with --test or --test-share; LIST has lines of path and
    label; a CSV has columns path and label. Without --write nothing is written, and files are opened, not decoded.

    \b
    ltbv images photographs
    ltbv images photographs --write photographs.pool --side 48
    ltbv bootstrap --dataset photographs.pool
    """
    from ltbv.data.images import describe, plan, pool, sources

    recipe = Recipe(**chosen)
    if pool.is_pool(Path(source)):
        given = {"--write": write, "--name": name, "--test": test, "--root": root}
        for option in (option for option, value in given.items() if value is not None):
            raise Refusal(f"{option} goes with a directory or list of images; {source} is a pool")
        opened = pool.open_pool(Path(source))
        opened.verify() if verify else opened.check()
        lines = [*describe.of_pool(opened), *(["every byte is as it was written"] if verify else [])]
    elif verify:
        raise Refusal(f"--verify reads the bytes of a pool, and {source} is none")
    else:
        with counting() as tell:
            found = sources.read(source, test, root, recipe, name)
            planned = plan.plan(found, recipe if write else replace(recipe, bad="skip"), source, tell)
            if write:
                lines = [*describe.of_pool(sources.made(planned, write, source, tell)), one_line(f"wrote {write}")]
            else:
                lines = describe.of_plan(planned)
    if not quiet:
        say("\n".join(lines))
