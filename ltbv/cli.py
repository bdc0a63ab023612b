"""The door: `ltbv bootstrap`, then `ltbv report`. Commands parse, call, and say where it went; the rest is elsewhere.
Those that train are here, the others in `commands`.

Every command imports what it needs when it runs, so that `--help` is quick and `report` works where there is no torch.
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ltbv.commands.datasets import datasets
from ltbv.commands.features import features
from ltbv.commands.images import images
from ltbv.commands.methods import methods
from ltbv.commands.report import report
from ltbv.commands.status import status
from ltbv.commands.track import track
from ltbv.data.images.recipe import Begin, Source
from ltbv.door import (
    Group,
    complete_study,
    completing,
    config_option,
    counting,
    method_names,
    options_of,
    say,
    together,
    version_option,
    warn,
)
from ltbv.errors import Refusal
from ltbv.harness.request import Means, Place, Request
from ltbv.settings import Settings

if TYPE_CHECKING:
    from ltbv.harness.bootstrap import Job

DEFAULT_METHODS = ("ce", "ride")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@version_option
def main() -> None:
    """Bias and variance of long-tailed classifiers: retrain on resamples, then report by split, against CE."""


_WHAT = (
    click.option(
        "--method",
        "methods",
        multiple=True,
        metavar="KEY",
        help="Method to train; KEY,KEY for more. [ce,ride]",
        shell_complete=completing(method_names),
    ),
    *options_of(Settings),
    *options_of(Source),
    *options_of(Begin),
    click.option(
        "--features",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE.npz",
        help="Instead of --dataset: features of a frozen backbone, on which heads are trained; once for each backbone"
        " (docs/features.md).",
    ),
    click.option(
        "--study",
        type=click.Path(path_type=Path),
        help="Directory of the study. [runs/DATASET]",
        shell_complete=complete_study,
    ),
    config_option("Options by name, from a TOML file; the command line goes first."),
)
_SPEECH = (
    click.option("-q", "--quiet", is_flag=True, help="No progress, errors only."),
    click.option("-v", "--verbose", is_flag=True, help="A line for every stage and run."),
)


@main.command()
@click.option("--runs", default=10, show_default=True, help="Retrainings, each on its own resample.")
@together(*_WHAT, *options_of(Means), *_SPEECH)
@click.option("--dry-run", is_flag=True, help="Say what would be done, how long and how large; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: the chunks, each with a command, as JSON.")
def bootstrap(dry_run: bool, as_json: bool, quiet: bool, verbose: bool, **options: Any) -> None:
    """Retrain methods on resampled long-tailed training sets.

    Run the same command again to go on after an interruption, with more --method or --runs to extend a study. Several
    commands may work on one study at once.

    \b
    ltbv bootstrap --method ce --method ride --runs 10
    ltbv bootstrap --dataset cifar100-lt --data-dir DATA --method ride
    ltbv bootstrap --dataset photographs --test-share 0.2
    ltbv bootstrap --features dino.npz --method ce --method balanced_softmax --runs 100
    """
    if as_json and not dry_run:
        raise Refusal("--json goes with --dry-run; ltbv status --json says how far a study is")
    if as_json and options["force"]:
        raise Refusal("--json lists commands that add to a study, and --force discards it; delete the study first")
    job = _prepared(**options)
    if dry_run:
        from ltbv.harness import outlook

        say(outlook.as_json(job) if as_json else outlook.outlook(job))
        return
    _say_what_is_compared(job)
    _do(job, quiet, verbose)


@main.command()
@click.argument("chunk")
@together(*_WHAT, *options_of(Place), *_SPEECH)
def run(chunk: str, quiet: bool, verbose: bool, **options: Any) -> None:
    """Do one chunk of a study in this process: CHUNK is a range of runs, such as 0-4.

    For schedulers of clusters: `ltbv bootstrap --dry-run --json` lists the chunks of a study with their commands.
    `torchrun --nproc-per-node 4 -m ltbv run 0 …` trains it with four processes, a GPU each.
    """
    found = re.fullmatch("([0-9]{1,4})(?:-([0-9]{1,4}))?", chunk)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last:
        raise Refusal(f"chunk {chunk!r}: give a range of runs, such as 0-4, or a run, such as 7; the last is 9999")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, see harness/executors/local
    from ltbv.harness.leaving import heeding
    from ltbv.harness.ranks import follow, follows, leading

    if follows():
        sys.path.append(os.getcwd())
        with heeding():  # the first process says when it is over
            follow(options["device"])
        return
    job = _prepared(**options, runs=last + 1, only=tuple(range(first, last + 1)), executor="inline")
    with leading(job):
        _do(job, quiet, verbose)


def _prepared(methods: Sequence[str], study: Path | None, **options: Any) -> "Job":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, see harness/executors/local
    from ltbv.harness.bootstrap import prepare
    from ltbv.harness.source import settled

    sys.path.append(os.getcwd())  # for methods of one's own, package.module:name; workers inherit the path
    keys = tuple(key for word in methods for key in word.split(",") if key)
    options["features"] = options["features"] or None
    with counting() as tell:
        options, name = settled(options, tell)
    where = study or Path("runs") / name
    return prepare(Request.of(keys or DEFAULT_METHODS, options.pop("runs"), where, **options))


def _say_what_is_compared(job: "Job") -> None:
    """Before anything is trained: a study without CE will be compared with something else."""
    from ltbv.report.evidence import REFERENCE, chosen

    keys = tuple(dict.fromkeys((*job.store.recipes(), *job.recipes)))
    if REFERENCE not in keys:
        first = chosen(sorted(keys, key=lambda key: job.recipes.get(key, {}).get("order", -1)))[0]
        warn(f"this study has no CE: its report compares with {first}, or what --reference names; or add --method ce")


def _do(job: "Job", quiet: bool, verbose: bool) -> None:
    from ltbv.display import Display
    from ltbv.harness.leaving import heeding

    with heeding(), Display(job, quiet=quiet, verbose=verbose) as display:
        failures = job.run(display.tell)
    for failure in failures:
        warn(failure)
    if not quiet:
        then = "The same command tries again." if failures else f"Next: ltbv report {job.store.path}"
        say(f"{job.summary()} {then}")
    if failures:
        sys.exit(1)


@main.command()
@click.option("--study", type=click.Path(path_type=Path), help="Directory of the study. [runs/glyphs-lt]")
@click.pass_context
def demo(context: click.Context, study: Path | None) -> None:
    """CE and RIDE, ten runs each on the embedded glyphs-lt, then the report: a few minutes."""
    context.invoke(bootstrap, study=study)
    context.invoke(report, sources=(str(study),) if study else ())


for command in (report, track, status, methods, images, features, datasets):
    main.add_command(command)


if __name__ == "__main__":
    main()
