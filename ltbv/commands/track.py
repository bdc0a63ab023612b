"""What did a training tell? `ltbv track`: in TensorBoard or MLflow."""

from pathlib import Path

import click

from ltbv.door import say
from ltbv.errors import Refusal


@click.command()
@click.argument("events", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--tensorboard", type=click.Path(path_type=Path), metavar="DIR", help="Write TensorBoard's files there.")
@click.option("--mlflow", metavar="URI", help="Log to that MLflow, such as sqlite:///mlflow.db.")
@click.option("--follow", is_flag=True, help="While it trains too, until every command in FILE has ended.")
def track(events: Path, tensorboard: Path | None, mlflow: str | None, follow: bool) -> None:
    """Show trainings in TensorBoard or MLflow: what `ltbv bootstrap --events FILE` tells.

    One of their runs is one method's run: loss and training accuracy of each stage by epoch, the study's settings, and
    at the end accuracy over all, many, medium and few.

    \b
    ltbv bootstrap --method ce --method ride --events glyphs.jsonl
    ltbv track glyphs.jsonl --tensorboard boards
    """
    if tensorboard is None and mlflow is None:
        raise Refusal("track to what? Give --tensorboard DIR, --mlflow URI, or both")
    from ltbv.trackers.records import records
    from ltbv.trackers.told import Told, Tracker

    trackers: list[Tracker] = []
    if tensorboard is not None:
        from ltbv.trackers.tensorboard import TensorBoard

        trackers.append(TensorBoard(tensorboard))
    if mlflow is not None:
        from ltbv.trackers.mlflow import MLflow

        trackers.append(MLflow(mlflow))
    told = Told(trackers)
    for record in records(events, follow=follow):
        told.hear(record)
    told.end(say)
    say(f"told {len(told.told)} values of {len({place for place, *_ in told.told})} runs")
