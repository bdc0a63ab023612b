"""The door: `ltbv bootstrap`, then `ltbv report`. Commands parse, call, and say where it went; the rest is elsewhere.

Every command imports what it needs when it runs, so that `--help` is quick and `report` works where there is no torch.
"""

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ltbv.data.images.recipe import Begin, Recipe, Source
from ltbv.door import (
    COMPLETED,
    NUMBER,
    Group,
    complete_method_of_study,
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
from ltbv.errors import Refusal, one_line
from ltbv.harness.request import Means, Place, Request
from ltbv.settings import Settings

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
def bootstrap(dry_run, as_json, quiet, verbose, **options) -> None:
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
def run(chunk, quiet, verbose, **options) -> None:
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


def _prepared(methods, study, **options):
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, see harness/executors/local
    from ltbv.harness.bootstrap import prepare
    from ltbv.harness.source import settled

    sys.path.append(os.getcwd())  # for methods of one's own, package.module:name; workers inherit the path
    methods = tuple(key for word in methods for key in word.split(",") if key)
    options["features"] = options["features"] or None
    with counting() as tell:
        options, name = settled(options, tell)
    where = study or Path("runs") / name
    return prepare(Request.of(methods or DEFAULT_METHODS, options.pop("runs"), where, **options))


def _say_what_is_compared(job) -> None:
    """Before anything is trained: a study without CE will be compared with something else."""
    from ltbv.report.evidence import REFERENCE, chosen

    keys = tuple(dict.fromkeys((*job.store.recipes(), *job.recipes)))
    if REFERENCE not in keys:
        first = chosen(sorted(keys, key=lambda key: job.recipes.get(key, {}).get("order", -1)))[0]
        warn(f"this study has no CE: its report compares with {first}, or what --reference names; or add --method ce")


def _do(job, quiet, verbose) -> None:
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
@click.argument("sources", nargs=-1, metavar="[STUDY | NAME=DIR …]", shell_complete=complete_study)
@click.option("--output", type=click.Path(path_type=Path), help="Where the report goes. [reports/STUDY]")
@click.option(
    "--train-counts", type=click.Path(path_type=Path), help="With NAME=DIR: training images of each class; splits."
)
@click.option("--labels", type=click.Path(path_type=Path), help="With NAME=DIR: test labels, where files have none.")
@click.option("--classes", type=click.Path(path_type=Path), help="With NAME=DIR: class names, one a line.")
@click.option("--columns", multiple=True, metavar="ROLE=FIELD,…", help="With NAME=DIR: label=target,prediction=pred,…")
@click.option("--clusters", type=click.Path(path_type=Path), help="With NAME=DIR: clip, patient, … of each test point.")
@click.option(
    "--reference",
    metavar="KEY",
    help="What the others are compared with. [ce, or the first]",
    shell_complete=complete_method_of_study,
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="KEY",
    help="Only these, beside the reference.",
    shell_complete=complete_method_of_study,
)
@click.option("--many", type=NUMBER, help="With NAME=DIR: above so many training images a class is many. [100]")
@click.option("--few", type=NUMBER, help="With NAME=DIR: below so many training images a class is few. [20]")
@click.option("--margin", type=NUMBER, default=0.01, help="Accuracy the head may lose and count as kept, 0-1. [0.01]")
@click.option("--exact/--no-exact", default=None, help="The exact sign-flip test. [where it takes seconds]")
@click.option(
    "--published",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="The literature's numbers beside, of the same protocol; of NAME, such as cifar100-lt: of any.",
)
@click.option("--rank", default="all:accuracy", metavar="GROUP:QUANTITY", help="Order of methods. [all:accuracy]")
@click.option("--allow-scale", is_flag=True, help="Compare softmax scores of logits on different scales.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of tables.")
@click.option("-q", "--quiet", is_flag=True, help="Write the files, print nothing.")
def report(
    sources,
    output,
    train_counts,
    labels,
    classes,
    columns,
    clusters,
    reference,
    methods,
    many,
    few,
    published,
    quiet,
    **options,
) -> None:
    """Bias, variance and accuracy by split, every method beside CE or another: tables, figures and a page.

    Of a study (runs/glyphs-lt unless named), or of predictions made elsewhere, one directory a method with one file a
    run: .npz (logits, probs or preds), .npy, .csv, .parquet, .pt or .json. No training, no torch (but for a .pt).

    \b
    ltbv report
    ltbv report runs/x --reference ride --method mine --method crt
    ltbv report ce=DIR mine=DIR --train-counts counts.json --labels labels.npy
    ltbv report ce=ce.csv mine=mine.csv --columns label=target,prediction=top1
    ltbv report ce=ce.npz ride=ride.npz --train-counts counts.json --labels labels.npy --published cifar100-lt
    """
    from ltbv.report import write_report

    sources, table = _published(sources, published)
    methods = tuple(key for word in methods for key in word.split(",") if key)
    words = sources or ("runs/glyphs-lt",)
    from ltbv.report.elsewhere.files import named, without_name

    if len(words) == 1 and ("=" not in words[0] or os.path.isdir(words[0])):
        given = {"--train-counts": train_counts, "--labels": labels, "--classes": classes}
        given |= {"--columns": columns or None, "--clusters": clusters, "--many": many, "--few": few}
        for option in (option for option, value in given.items() if value is not None):
            raise Refusal(f"{option} goes with predictions from elsewhere, NAME=DIR; the study {words[0]} has its own")
        if cure := without_name(Path(words[0])):
            raise Refusal(cure)
        evidence, name = Path(words[0]), Path(words[0]).resolve().name
    else:
        from ltbv.report.elsewhere import read_elsewhere
        from ltbv.report.elsewhere.roles import called
        from ltbv.report.evidence import chosen
        from ltbv.report.names import encoded

        parts = (word.partition("=") for word in words)  # a name that is not UTF-8 is escaped, a path is not
        sources_by_name = named([f"{encoded(name).decode()}{equals}{path}" for name, equals, path in parts])
        if table and train_counts is None:
            raise Refusal(
                f"--published {table} is of splits: give --train-counts FILE, the training images of each class"
            )
        if reference is not None or methods:
            kept = chosen(list(sources_by_name), reference, methods)
            sources_by_name = {key: path for key, path in sources_by_name.items() if key in kept}
        of_table = {"dataset": table} if table else {}
        evidence = read_elsewhere(
            sources_by_name,
            train_counts,
            labels,
            classes,
            columns=called(columns),
            clusters=clusters,
            reference=reference,
            many=many,
            few=few,
            **of_table,
        )
        name = re.sub(r"[^\w.-]+", "_", "-".join(sources_by_name)).strip(".")
        name = name.encode()[:80].decode(errors="ignore") or "elsewhere"  # bytes are what a system counts
    options |= {"reference": reference, "methods": methods, "published": table or published is not None}
    shown = write_report(evidence, output or Path("reports") / name, **options)
    if not quiet:
        say(shown)


def _published(sources, word):
    """Sources, and the table that --published names. A word behind it that is a source is one: it may stand first."""
    if not word:
        return sources, None
    from ltbv.errors import unknown
    from ltbv.report.published import data_sets

    if word in (known := data_sets()):
        return sources, word
    if "=" in word or os.path.exists(word):
        return (word, *sources), None
    raise unknown("published table", word, known)


@main.command()
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


@main.command()
@click.argument("study", type=click.Path(path_type=Path), default=Path("runs/glyphs-lt"), shell_complete=complete_study)
@click.option("--verify", is_flag=True, help="Read every file; set damaged ones aside, find foreign ones.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(study, verify, as_json) -> None:
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


@main.command()
@click.argument("key", required=False, shell_complete=completing(method_names))
@click.option(
    "--dataset",
    default="glyphs-lt",
    show_default=True,
    metavar="NAME",
    help="Cost on which data set.",
    shell_complete=COMPLETED["dataset"],
)
def methods(key, dataset) -> None:
    """The methods there are; with a KEY, what one does: formulas, settings, where paper and code differ.

    KEY may be package.module:name, for a method of one's own.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.path.append(os.getcwd())
    from ltbv.harness.describe import COLUMNS, explanation, listing

    if key:
        say(explanation(key, dataset))
        return
    rows = [COLUMNS, *listing(dataset)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS) - 1)]
    for row in rows:
        say("  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip())
    say(f"\nasking and training: multiply-adds on {dataset}, against {rows[1][1]}. More: ltbv methods KEY")


@main.command()
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
    from ltbv.data.images import describe, sources

    recipe = Recipe(**chosen)
    if sources.is_pool(Path(source)):
        given = {"--write": write, "--name": name, "--test": test, "--root": root}
        for option in (option for option, value in given.items() if value is not None):
            raise Refusal(f"{option} goes with a directory or list of images; {source} is a pool")
        pool = sources.open_pool(Path(source))
        pool.verify() if verify else pool.check()
        lines = [*describe.of_pool(pool), *(["every byte is as it was written"] if verify else [])]
    elif verify:
        raise Refusal(f"--verify reads the bytes of a pool, and {source} is none")
    else:
        with counting() as tell:
            found = sources.read(source, test, root, recipe, name)
            planned = sources.plan(found, recipe if write else replace(recipe, bad="skip"), source, tell)
            if write:
                lines = [*describe.of_pool(sources.made(planned, write, source, tell)), one_line(f"wrote {write}")]
            else:
                lines = describe.of_plan(planned)
    if not quiet:
        say("\n".join(lines))


@main.command()
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


@main.command()
@click.option("--preview", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw a sheet of samples.")
@click.option(
    "--dataset",
    metavar="NAME",
    help="With --preview: of which data set. [glyphs-lt]",
    shell_complete=COMPLETED["dataset"],
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="With --preview: where its files are.")
def datasets(preview, dataset, data_dir) -> None:
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


@main.command()
@click.option("--study", type=click.Path(path_type=Path), help="Directory of the study. [runs/glyphs-lt]")
@click.pass_context
def demo(context, study) -> None:
    """CE and RIDE, ten runs each on the embedded glyphs-lt, then the report: a few minutes."""
    context.invoke(bootstrap, study=study)
    context.invoke(report, sources=(str(study),) if study else ())


if __name__ == "__main__":
    main()
