"""The door: `ltbv bootstrap`, then `ltbv report`. Commands parse, call, and say where it went; the rest is elsewhere.

Every command imports what it needs when it runs, so that `--help` is quick and `report` works where there is no torch.
"""

import os
import sys
from pathlib import Path

import click

from ltbv.errors import Refusal

DEFAULT_METHODS = ("ce", "ride")


class Group(click.Group):
    """A refusal, wherever it comes from, is one line and exit code 2."""

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except Refusal as refusal:
            click.echo(f"ltbv: {refusal}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("ltbv: stopped; finished runs are kept, the same command goes on", err=True)
            sys.exit(130)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="ltbv")
def main() -> None:
    """Bias and variance of long-tailed classifiers: retrain on resamples, then report by split, against CE."""


@main.command()
@click.option("--method", "methods", multiple=True, metavar="KEY", help="Method to train; again for more. [ce, ride]")
@click.option("--runs", default=10, show_default=True, help="Retrainings, each on its own resample.")
@click.option("--dataset", default="glyphs-lt", show_default=True, metavar="NAME", help="See `ltbv datasets`.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where the files of the data set are.")
@click.option("--scheme", metavar="NAME", help="How runs resample: subsample, fresh, stratified_bootstrap, …")
@click.option("--imbalance", type=float, help="Largest over smallest class.")
@click.option("--head", type=int, help="Training images of the largest class.")
@click.option("--profile", "kind", metavar="KIND", help="exp or step.")
@click.option("--epochs", type=int, help="Instead of the protocol's.")
@click.option("--network", default="", metavar="torchvision:NAME", help="Instead of the protocol's.")
@click.option("--seed", default=0, show_default=True, help="Of every random draw of the study.")
@click.option("--study", type=click.Path(path_type=Path), help="Directory of the study. [runs/DATASET]")
@click.option("--jobs", type=int, help="Worker processes. [one a core; one on a GPU]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--stack", type=int, help="Runs trained side by side in one process; changes speed, not the study.")
@click.option("--executor", default="local", show_default=True, help="local (worker processes) or inline.")
@click.option("--force", is_flag=True, help="Train the methods again; discard a study with other settings.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, how long and how large; write nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, errors only.")
@click.option("-v", "--verbose", is_flag=True, help="A line for every stage and run.")
def bootstrap(methods, runs, study, quiet, verbose, dry_run, **options) -> None:
    """Retrain methods on resampled long-tailed training sets.

    Run the same command again to go on after an interruption, with more --method or --runs to extend a study.

    \b
    ltbv bootstrap --method ce --method ride --runs 10
    ltbv bootstrap --dataset cifar100-lt --data-dir DATA --method ride
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, see harness/executors/local
    from ltbv.harness.bootstrap import Request, prepare

    sys.path.append(os.getcwd())  # for methods of one's own, package.module:name; workers inherit the path
    where = study or Path("runs") / options["dataset"]
    request = Request(methods=methods or DEFAULT_METHODS, runs=runs, store=where, **options)
    job = prepare(request)
    if dry_run:
        from ltbv.harness.outlook import outlook

        click.echo(outlook(job))
        return
    from ltbv.display import Display

    with Display(job, quiet=quiet, verbose=verbose) as display:
        failures = job.carry_out(display.tell)
    for failure in failures:
        click.echo(f"ltbv: {failure}", err=True)
    if not quiet:
        click.echo(job.summary() + (" The same command tries again." if failures else f" Next: ltbv report {where}"))
    if failures:
        sys.exit(1)


@main.command()
@click.argument("sources", nargs=-1, metavar="[STUDY | NAME=DIR …]")
@click.option("--output", type=click.Path(path_type=Path), help="Where the report goes. [reports/STUDY]")
@click.option("--train-counts", type=click.Path(path_type=Path), help="With NAME=DIR: training images of each class.")
@click.option("--labels", type=click.Path(path_type=Path), help="With NAME=DIR: test labels, where files have none.")
@click.option("--classes", type=click.Path(path_type=Path), help="With NAME=DIR: class names, one a line.")
@click.option("--margin", default=0.01, show_default=True, help="Accuracy the head may lose and count as kept.")
@click.option("--exact/--no-exact", default=None, help="The exact sign-flip test. [where it takes seconds]")
@click.option("--published", is_flag=True, help="The literature's numbers beside those of the same data set.")
@click.option("--allow-scale", is_flag=True, help="Compare softmax scores of logits on different scales.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of tables.")
@click.option("-q", "--quiet", is_flag=True, help="Write the files, print nothing.")
def report(sources, output, train_counts, labels, classes, quiet, **options) -> None:
    """Bias, variance and accuracy by split, every method beside CE: tables, figures and a page.

    Of a study (runs/glyphs-lt unless named), or of predictions made elsewhere, one directory a method with one file a
    run: .npz (logits, probs or preds), .npy, .csv or .parquet. No training, no torch.

    \b
    ltbv report
    ltbv report ce=DIR mine=DIR --train-counts counts.json --labels labels.npy
    """
    from ltbv.report import write_report

    words = sources or ("runs/glyphs-lt",)
    if len(words) == 1 and ("=" not in words[0] or Path(words[0]).is_dir()):
        given = {"--train-counts": train_counts, "--labels": labels, "--classes": classes}
        for option in (option for option, value in given.items() if value is not None):
            raise Refusal(f"{option} goes with predictions from elsewhere, NAME=DIR; the study {words[0]} has its own")
        evidence, name = Path(words[0]), Path(words[0]).resolve().name
    else:
        from ltbv.report.elsewhere import read_elsewhere
        from ltbv.report.elsewhere.files import named

        sources_by_name = named(words)
        if train_counts is None:
            raise Refusal("predictions from elsewhere need --train-counts FILE: the training images of each class")
        evidence, name = read_elsewhere(sources_by_name, train_counts, labels, classes), "elsewhere"
    shown = write_report(evidence, output or Path("reports") / name, **options)
    if not quiet:
        click.echo(shown)


@main.command()
@click.argument("study", type=click.Path(path_type=Path), default=Path("runs/glyphs-lt"))
def status(study) -> None:
    """What a study holds: runs done, by method."""
    from ltbv.harness.store import Store

    store = Store(study)
    asked = store.study()["asked"]
    shape = f"head {asked['head']}, imbalance {asked['imbalance']:g}, seed {asked['seed']}"
    click.echo(f"{study}: {asked['dataset']}, {asked['scheme']}, {shape}")
    for method in store.methods():
        click.echo(f"  {store.recipe(method)['label']:<20} {len(store.runs(method))} runs")


@main.command()
def methods() -> None:
    """The methods there are."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from ltbv.methods import METHODS

    for method in METHODS.values():
        click.echo(
            f"{method.key:<10} {method.label:<17} {method.summary}" + (f" ({method.paper})" if method.paper else "")
        )


@main.command()
@click.option("--preview", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw a sheet of samples.")
@click.option("--dataset", default="glyphs-lt", show_default=True, metavar="NAME", help="Of which data set.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where its files are.")
def datasets(preview, dataset, data_dir) -> None:
    """The data sets there are, and the schemes that resample them."""
    from ltbv.data.catalogue import ENTRIES, entry
    from ltbv.data.resample import SCHEMES

    if preview:
        from ltbv.data.preview import sheet

        sheet(entry(dataset).load(data_dir), preview)
        click.echo(f"wrote {preview}")
        return
    for found in ENTRIES.values():
        profile = f"head {found.head}, imbalance {found.imbalance:g}, {found.kind}"
        click.echo(f"{found.name:<12} {found.description}; default: {profile}")
    click.echo("schemes:")
    for name, scheme in SCHEMES.items():
        click.echo(f"  {name:<20} {scheme.description}")


@main.command()
@click.pass_context
def demo(context) -> None:
    """CE and RIDE, ten runs each on the embedded glyphs-lt, then the report: a few minutes."""
    context.invoke(bootstrap)
    context.invoke(report)


if __name__ == "__main__":
    main()
