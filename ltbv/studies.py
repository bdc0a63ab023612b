"""A whole study from Python: what `ltbv bootstrap` and `ltbv report` do on the command line.

    import ltbv
    ltbv.bootstrap(["ce", "ride"], runs=10).splits

The same directory, and the same study: either goes on where the other stopped.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import NoneType
from typing import Any

from ltbv.data.images.recipe import Begin, Source
from ltbv.errors import Refusal
from ltbv.harness.request import Means, Request
from ltbv.options import expect, split
from ltbv.report.evidence import REFERENCE
from ltbv.report.result import Analysis
from ltbv.report.study import read_study
from ltbv.settings import Settings


def bootstrap(
    methods: str | Iterable[Any],
    runs: int = 10,
    study: Path | str | None = None,
    *,
    quiet: bool = False,
    reference: str | None = None,
    events: Path | str | Callable[[dict[str, Any]], object] | None = None,
    **settings: Any,
) -> Analysis:
    """Retrain methods on resampled long-tailed training sets, or go on where that was left; then analyse.

    methods   keys (see `ltbv methods`), `package.module:name`, or Methods that are registered; with 'ce', unless the
              study has it already, or another `reference` is named
    runs      R, retrainings, each on its own resample
    study     the directory; None: runs/DATASET
    quiet     no progress
    reference key of the method that the others are compared with; None: 'ce'
    events    a file to which what happens is appended, a line of JSON each, or a function that is called with each as
              a dict (docs/events.md); what it raises is said once and stops nothing, but for KeyboardInterrupt
    settings  of the study (`ltbv.settings.Settings`): dataset, scheme, head, imbalance, profile, epochs, seed, …;
              means (`ltbv.harness.request.Means`): data_dir, jobs, device, stack, executor, force, …; test, root, side
              and test_share, where `dataset` is images of one's own: whatever `ltbv.images` takes, or gives; and,
              instead of `dataset`, features: an .npz of what a frozen backbone made, or a list of those of several
              (docs/features.md)

    Methods that only this process knows (registered in a notebook) are trained in it, all others by worker processes.
    What fails in one method or run leaves the others; it is raised as a Refusal when all that can be done is done.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
    from ltbv.display import Display
    from ltbv.harness.bootstrap import prepare
    from ltbv.harness.source import settled
    from ltbv.methods.registry import is_importable

    features = settings.pop("features", None)
    split(settings, Settings, Means, Source, Begin)  # refuses what is none of them
    if not isinstance(methods, Iterable):
        raise Refusal(f"methods is {methods!r}: give a list of keys, such as ['ce', 'ride'], or registered Methods")
    expect("study", study, Path, NoneType)
    expect("quiet", quiet, bool)
    expect("reference", reference, str, NoneType)
    expect("data_dir", settings.get("data_dir"), Path, NoneType)
    if not callable(events):
        expect("events", events, Path, NoneType)
        settings["events"] = None if events is None else Path(events)
    names = tuple(map(_name, methods.split(",") if isinstance(methods, str) else methods))
    settings, known_as = settled({**settings, "features": features})
    store = Path("runs") / known_as if study is None else Path(study)
    wanted = REFERENCE if reference is None else reference
    if names and wanted not in names and not (store / "predictions" / wanted / "recipe.json").exists():
        what = "CE" if reference is None else f"reference {reference!r}"
        cure = "" if reference else f", or name another one, as reference={names[0]!r}"
        raise Refusal(f"{store} has no {what} to compare {', '.join(names)} with; add {wanted!r} to the methods{cure}")
    if not all(is_importable(name) for name in names):
        settings.setdefault("executor", "inline")
    if settings.get("data_dir") is not None:
        settings["data_dir"] = Path(settings["data_dir"])
    job = prepare(Request.of(names, runs, store, **settings))
    with Display(job, quiet=quiet, verbose=False) as display:
        failures = job.run(display.tell, events if callable(events) else None)
    if failures:
        more = f"; and {len(failures) - 1} more" if len(failures) > 1 else ""
        raise Refusal(f"{failures[0]}{more}; the same call tries again")
    return Analysis(read_study(store, reference))


def _name(method: Any) -> str:
    """The name by which a method is found."""
    from ltbv.methods import METHODS
    from ltbv.methods.base import Method

    if isinstance(method, str):
        return method
    if not isinstance(method, Method):
        raise Refusal(f"a method is {method!r}; give keys, package.module:name, or registered Methods")
    if METHODS.get(method.key) != method:
        raise Refusal(f"method {method.key!r} is not registered; put it through ltbv.register first")
    return method.key
