"""What does a frozen backbone make of images? `ltbv features`."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from ltbv.data.images.recipe import Begin, Source
from ltbv.door import COMPLETED, counting, options_of, say, together


@click.command()
@click.option(
    "--backbone",
    required=True,
    metavar="NAME+weights=FILE",
    help="timm:NAME+weights=FILE, torchvision:NAME+weights=FILE, or package.module:function, which makes a module.",
)
@click.option("--dataset", default="glyphs-lt", show_default=True, metavar="NAME|DIR", help="Of which images.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where the files of the data set are.")
@together(*options_of(Source), *options_of(Begin))
@click.option("--write", required=True, type=click.Path(path_type=Path), metavar="FILE.npz", help="Where they go.")
@click.option("--pixels", type=int, help="Make images so large first. [as the data set has them]")
@click.option("--precision", default="float32", show_default=True, help="float32 or bfloat16.")
@click.option("--batch", default=128, show_default=True, help="Images at a time.")
@click.option(
    "--device", default="auto", show_default=True, help="auto, cpu or cuda.", shell_complete=COMPLETED["device"]
)
@click.option("--trained-on", default="", metavar="TEXT", help="What the backbone was trained on, for the report.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
def features(
    backbone: str,
    write: Path,
    pixels: int | None,
    precision: str,
    batch: int,
    device: str,
    trained_on: str,
    quiet: bool,
    **options: Any,
) -> None:
    """Features that a frozen backbone makes of a data set, for `ltbv bootstrap --features FILE.npz`.

    Of every training image there is, and of the test set. The same command goes on where it was interrupted.

    \b
    ltbv features --backbone timm:vit_small_patch14_dinov2+weights=dino.pt --dataset photographs --write dino.npz
    ltbv features --backbone mine:network --dataset cifar100-lt --data-dir DATA --write mine.npz
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from ltbv.data.catalogue import entry
    from ltbv.engine.device import choose
    from ltbv.harness.extract import Asked, write_features
    from ltbv.harness.source import settled
    from ltbv.models.frozen import frozen

    sys.path.append(os.getcwd())
    asked = Asked(pixels, precision, batch, trained_on)
    where = choose(device)
    with counting() as tell:
        settings, _ = settled(options, tell)
    of = frozen(backbone)
    source = entry(settings["dataset"])
    dataset = source.load(settings.get("data_dir"))
    with counting() as tell:
        about = write_features(dataset, of, write, asked, device=where, groups=source.groups, tell=tell)
    if not quiet:
        say(f"wrote {write}: {about}")
