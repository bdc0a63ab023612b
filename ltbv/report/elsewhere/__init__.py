"""Predictions that were made elsewhere, as evidence for a report: no training, no torch.

    files      which files hold the runs of a method
    rows       what a file says, in one form for all formats, which `npz` (of `archives` and
               `arrays`; `judged` for what a study writes) and `columns` (of `delimited`, .csv, and `parquet`) read;
               `roles` tells what a field is about
    classes    which classes there are, and which are meant by names
    guesses    which field names the test points where no name says so
    points     which test points that is about: runs are matched by sample id
    scores     what logits or probabilities amount to, a block at a time
    twice      whether what a file says twice is alike
    reader     runs of one method after another, on the same test points
    assemble   runs become evidence, with what a reader must know of them
    counts     training images of each class, matched by class id or name
    listings   names of the classes, true labels (`texts` reads their lines)
    clusters   test points that belong together
    memory     what is no array yet, for those who have predictions in memory (`report.analysis`)

`read_elsewhere` walks through them in this order.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from ltbv.errors import Refusal
from ltbv.report import published
from ltbv.report.elsewhere import files
from ltbv.report.elsewhere.assemble import UNKNOWN, evidence_of, in_order, method_runs, without_counts
from ltbv.report.elsewhere.classes import Classes
from ltbv.report.elsewhere.clusters import read_clusters
from ltbv.report.elsewhere.counts import read_counts, why_no_ids
from ltbv.report.elsewhere.guesses import Agreement
from ltbv.report.elsewhere.listings import read_labels, read_names, some
from ltbv.report.elsewhere.reader import Reader
from ltbv.report.elsewhere.rows import NOTHING, Rows
from ltbv.report.evidence import Evidence


def read_elsewhere(
    sources: Mapping[str, Path | str],
    train_counts: Path | str | None = None,
    labels: Path | str | None = None,
    classes: Path | str | None = None,
    *,
    columns: Mapping[str, str] = NOTHING,
    clusters: Path | str | None = None,
    reference: str | None = None,
    many: float | None = None,
    few: float | None = None,
    dataset: str = "predictions from elsewhere",
    scheme: str = UNKNOWN,
) -> Evidence:
    """The evidence in files of predictions; what cannot be right is refused, file and field named.

    sources       method -> directory with a file for each run (or with a sub-directory for each, which holds one file),
                  or one file. Formats: .npz and .npy (`npz.read_npz`, `read_npy`), .csv and .parquet
                  (`columns.read_table`), which may hold all runs
    train_counts  training images of each class: see `counts.read_counts`; None: nothing is said of many, medium and few
    labels        true labels, where the predictions do not bring them: see `listings.read_labels`
    classes       class names: see `listings.read_names`
    columns       role -> name of the field that has it, where that is not found by itself: see `roles.called`
    clusters      test points that belong together: see `clusters.read_clusters`
    reference     the method that others are compared with; None: 'ce', or the first
    many, few     a class with more than `many` training images is many, with fewer than `few` is few; None: 100 and 20,
                  or what is usual for the data set, see `published.thresholds`
    dataset       its name, which tells the published tables to compare with

    Labels and predictions may be class ids or class names: see `classes`. Test points are matched by id where the runs
    have ids, else by order. Runs of two methods are a pair where the numbers in their names agree. Scores are read in
    blocks: memory grows with runs x points, not with classes.
    """
    if not sources:
        raise Refusal("no predictions are given: name a method and its directory, ce=DIR")
    names = read_names(Path(classes)) if classes else None
    sources, notes = in_order(sources, reference)
    counts, source = None, classes
    usual: tuple[float, float] = published.MANY, published.FEW
    if train_counts is not None:
        counts, names = read_counts(Path(train_counts), names, notes)
        usual, source = published.thresholds(dataset, counts), classes or train_counts
    elif many is not None or few is not None:
        raise Refusal("--many and --few divide the classes by their training images: give --train-counts FILE too")
    given = read_labels(Path(labels), names, columns) if labels else None
    size = len(names or ()) or None if counts is None else counts.size
    every = partial(_every, [Path(source) for source in sources.values()], size, columns)
    nameless = why_no_ids(names) if names is not None and not classes else None
    known = Classes(every, given, None if counts is None else counts.size, names, str(source), nameless)
    given = given and known.of_points(given)
    agreement = Agreement(lambda: map(known.of_rows, every()), given)
    given = agreement.labels()
    if given is not None and given.unused:
        notes.append(f"{given.source}: not used: {some(given.unused)}.")
    reader = Reader(known, agreement, given, columns)
    methods = [method_runs(key, reader.runs(key, Path(source), notes), notes) for key, source in sources.items()]
    together = read_clusters(Path(clusters), reader.points) if clusters else None
    if known.by_name:
        notes.append(known.line)
        names = known.names
    if counts is None:
        notes.append(without_counts(known.number, str(classes or "what the files speak of")))
    evidence = evidence_of(
        methods,
        reader.points.labels,
        counts,
        names,
        notes,
        num_classes=known.number,
        many=usual[0] if many is None else many,
        few=usual[1] if few is None else few,
        dataset=dataset,
        scheme=scheme,
    )
    return replace(evidence, clusters=together)


def _every(sources: list[Path], num_classes: int | None, called: Mapping[str, str]) -> Iterator[Rows]:
    """What all files say, without their scores."""
    for source in sources:
        for name, path in files.find(source)[0].items():
            yield files.read(path, name, num_classes, labelled=True, several=not source.is_dir(), called=called)
