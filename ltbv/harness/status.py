"""How far is a study? What is done, failed, in hand and left, how fast it goes; and is every file whole?

No torch: the directory tells it all.
"""

import time
from pathlib import Path
from typing import Any

from ltbv.errors import Refusal, one_line
from ltbv.harness.files import read_arrays
from ltbv.harness.pulse import pulses
from ltbv.harness.store import Store, span


def status(store: Store) -> dict[str, Any]:
    """
    study, dataset, scheme, head, imbalance, seed   as asked
    runs        the most that were asked
    methods     key, label, done (runs), failed (run -> why), left (runs neither done nor failed), for each
    working     runs, host, pid, since, of each chunk in hand
    commands    host, pid, images done, of how many, images_per_second, seconds_left of each command at work
    """
    study = store.study()
    asked, runs = study["asked"], store.runs_asked()
    methods = []
    for key in store.recipes():
        done, failed = store.runs(key), store.failures(key)
        left = sorted(set(range(runs)) - set(done) - set(failed))
        methods.append({"key": key, "label": store.recipe(key)["label"], "done": done, "failed": failed, "left": left})
    return {
        "study": str(store.path),
        **{name: asked.get(name) for name in ("dataset", "scheme", "head", "imbalance", "seed")},
        "runs": runs,
        "methods": methods,
        "working": _working(store),
        "commands": [_command(note) for note in pulses(store.path)],
    }


def _working(store: Store) -> list[dict[str, Any]]:
    """One entry for each holder: the runs of a chunk have one."""
    found: dict[tuple, dict[str, Any]] = {}
    for run, holder in sorted(store.workers().items()):
        key = (holder.get("host"), holder.get("pid"), holder.get("doing"))
        own = found.setdefault(key, {**{name: holder.get(name) for name in ("host", "pid", "since")}, "runs": []})
        own["runs"].append(run)
    return list(found.values())


def _command(note: dict[str, Any]) -> dict[str, Any]:
    seconds = max(time.time() - note["since"], 1e-9)
    rate = note["images"] / seconds
    left = (note["of"] - note["images"]) / rate if rate else None
    kept = {name: note[name] for name in ("host", "pid", "since", "images", "of", "jobs")}
    return kept | {"images_per_second": rate, "seconds_left": left}


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person."""
    imbalance = found["imbalance"]
    imbalance = f"{imbalance:g}" if isinstance(imbalance, float) else imbalance
    shape = f"head {found['head']}, imbalance {imbalance}, seed {found['seed']}"
    shown = [f"{found['study']}: {found['dataset']}, {found['scheme']}, {shape}"]
    width = max((len(method["label"]) for method in found["methods"]), default=0)
    for method in found["methods"]:
        parts = [f"{len(method['done'])} runs"]
        parts += [f"{len(method['left'])} left"] if method["left"] else []
        parts += [f"{len(method['failed'])} failed"] if method["failed"] else []
        shown.append(f"  {method['label']:<{width}}  {', '.join(parts)}")
        shown += [f"    run {run}: {why}" for run, why in list(method["failed"].items())[:3]]
    for one in found["working"]:
        shown.append(f"working: runs {span(one['runs'])}, process {one['pid']} on {one['host']}")
    for command in found["commands"]:
        left = command["seconds_left"]
        going = f"{command['images_per_second']:,.0f} images/s" + (f", {left / 60:.0f} min to go" if left else "")
        share = 100 * command["images"] / command["of"] if command["of"] else 100
        shown.append(f"command {command['pid']} on {command['host']}: {share:.0f} % of what it was asked, {going}")
    return [one_line(line) for line in shown]


def verify(store: Store) -> list[str]:
    """Read every file and check its checksums; one line for each damaged one, which is set aside.

    It then is missing, and the command that made it makes it again; what was found is kept beside it as `.damaged`.
    """
    found = []
    for path in sorted(store.path.rglob("*.npz")):
        try:
            read_arrays(path)
        except Refusal:
            if not path.exists():  # the snapshot of a stage that was finished meanwhile
                continue
            path.replace(path.with_name(f"{path.name}.damaged"))
            found.append(f"{_what(store.path, path)} is damaged, set aside as {path.name}.damaged")
    return found


def _what(study: Path, path: Path) -> str:
    """Of prediction and stage files: run 7 of ride (path)."""
    parts = path.relative_to(study).parts
    if len(parts) == 3 and path.stem[1:].isdecimal():
        return f"run {int(path.stem[1:])} of {parts[1]} ({path})"
    return str(path)
