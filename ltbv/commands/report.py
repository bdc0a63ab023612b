"""What do the predictions of a study say, or those of others? `ltbv report`."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ltbv.door import NUMBER, complete_method_of_study, complete_study, say
from ltbv.errors import Refusal

if TYPE_CHECKING:
    from ltbv.report.evidence import Evidence


@click.command()
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
    sources: tuple[str, ...],
    output: Path | None,
    train_counts: Path | None,
    labels: Path | None,
    classes: Path | None,
    columns: tuple[str, ...],
    clusters: Path | None,
    reference: str | None,
    methods: tuple[str, ...],
    many: float | None,
    few: float | None,
    published: str | None,
    quiet: bool,
    **options: Any,
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
    from ltbv.report.elsewhere.files import without_name

    sources, table = _published(sources, published)
    keys = tuple(key for word in methods for key in word.split(",") if key)
    words = sources or ("runs/glyphs-lt",)
    study: Path | Evidence
    if len(words) == 1 and ("=" not in words[0] or os.path.isdir(words[0])):
        given: dict[str, object] = {"--train-counts": train_counts, "--labels": labels, "--classes": classes}
        given |= {"--columns": columns or None, "--clusters": clusters, "--many": many, "--few": few}
        for option in (option for option, value in given.items() if value is not None):
            raise Refusal(f"{option} goes with predictions from elsewhere, NAME=DIR; the study {words[0]} has its own")
        if cure := without_name(Path(words[0])):
            raise Refusal(cure)
        study, name = Path(words[0]), Path(words[0]).resolve().name
    else:
        from ltbv.report.elsewhere import read_elsewhere
        from ltbv.report.elsewhere.roles import called

        if table and train_counts is None:
            raise Refusal(
                f"--published {table} is of splits: give --train-counts FILE, the training images of each class"
            )
        chosen = _chosen(words, reference, keys)
        study = read_elsewhere(
            chosen,
            train_counts,
            labels,
            classes,
            columns=called(columns),
            clusters=clusters,
            reference=reference,
            many=many,
            few=few,
            **({"dataset": table} if table else {}),
        )
        name = re.sub(r"[^\w.-]+", "_", "-".join(chosen)).strip(".")
        name = name.encode()[:80].decode(errors="ignore") or "elsewhere"  # bytes are what a system counts
    options |= {"reference": reference, "methods": keys, "published": table or published is not None}
    shown = write_report(study, output or Path("reports") / name, **options)
    if not quiet:
        say(shown)


def _chosen(words: Sequence[str], reference: str | None, methods: Sequence[str]) -> dict[str, Path]:
    """Predictions by method, NAME=DIR; where some are asked for, these alone."""
    from ltbv.report.elsewhere.files import named
    from ltbv.report.evidence import chosen
    from ltbv.report.names import encoded

    parts = (word.partition("=") for word in words)  # a name that is not UTF-8 is escaped, a path is not
    sources = named([f"{encoded(name).decode()}{equals}{path}" for name, equals, path in parts])
    if reference is None and not methods:
        return sources
    kept = chosen(list(sources), reference, methods)
    return {key: path for key, path in sources.items() if key in kept}


def _published(sources: tuple[str, ...], word: str | None) -> tuple[tuple[str, ...], str | None]:
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
