"""How far is a study? What is done, failed, in hand and left, how fast it goes; and is every file whole?

No torch: the directory tells it all.
"""

import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from ltbv.errors import Refusal, one_line
from ltbv.files import Damaged, read_arrays, set_aside
from ltbv.harness.pulse import pulses
from ltbv.settings import Settings
from ltbv.store import Store, provenance, span


def status(store: Store) -> dict[str, Any]:
    """
    study       its directory
    settings    of the study, by name
    runs        the most that were asked
    methods     key, label, done (runs), failed (run -> why), left (runs neither done nor failed), for each
    working     runs, host, pid, since, of each chunk in hand
    commands    host, pid, images done, of how many, images_per_second of each command at work; of its work, as
                `Progress` counts it, the share that is done, and seconds_left
    """
    study = store.study()
    runs = store.runs_asked()
    methods = []
    for key in store.recipes():
        done, failed = store.runs(key), store.failures(key)
        left = sorted(set(range(runs)) - set(done) - set(failed))
        methods.append({"key": key, "label": store.recipe(key)["label"], "done": done, "failed": failed, "left": left})
    return {
        "study": str(store.path),
        "settings": Settings.read(study["asked"]).said(),
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
    kept = {name: note[name] for name in ("host", "pid", "since", "images", "of", "jobs", "share")}
    return kept | {"images_per_second": rate, "seconds_left": note["left"]}


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person."""
    said = [
        f"{name} {f'{value:g}' if isinstance(value, float) else value}" for name, value in found["settings"].items()
    ]
    shown = [f"{found['study']}: {', '.join(said)}"]
    width = max((len(method["label"]) for method in found["methods"]), default=0)
    for method in found["methods"]:
        parts = [f"{len(method['done'])} run{'s' * (len(method['done']) != 1)}"]
        parts += [f"{len(method['left'])} left"] if method["left"] else []
        parts += [f"{len(method['failed'])} failed"] if method["failed"] else []
        shown.append(f"  {method['label']:<{width}}  {', '.join(parts)}")
        shown += [f"    run {run}: {why}" for run, why in list(method["failed"].items())[:3]]
    for one in found["working"]:
        shown.append(f"working: runs {span(one['runs'])}, process {one['pid']} on {one['host']}")
    for command in found["commands"]:
        left = command["seconds_left"]
        going = f"{command['images_per_second']:,.0f} images/s" + (f", {left / 60:.0f} min to go" if left else "")
        share = 100 * command["share"]
        shown.append(f"command {command['pid']} on {command['host']}: {share:.0f} % of what it was asked, {going}")
    return [one_line(line) for line in shown]


class Finding(NamedTuple):
    """What `verify` says of a file: damaged, unread or foreign, and a line for a person."""

    kind: str
    line: str


def verify(store: Store) -> list[Finding]:
    """Read every file: are its checksums right, and does it come from where its name says?

    A damaged file is set aside: it then is missing, and the command that made it makes it again; what was found is kept
    beside it as `.damaged`. One that cannot be read just now is left, and so is one that comes from elsewhere.
    """
    found, files = [], {}
    for path in sorted(store.path.rglob("*.npz")):
        try:
            arrays = read_arrays(path)
            weights = provenance.digest_of(arrays) if _place(store.path, path)[0] == "stages" else ""
            files[path] = provenance.said(arrays), weights
        except Damaged:
            set_aside(path)
            found.append(Finding("damaged", f"{_what(store.path, path)} is damaged, set aside as {path.name}.damaged"))
        except Refusal as refusal:
            if path.exists():  # else the snapshot of a stage that was finished meanwhile
                found.append(Finding("unread", str(refusal)))
    return [Finding(kind, one_line(line)) for kind, line in found + _foreign(store, files)]


def _foreign(store: Store, files: dict[Path, tuple[dict[str, Any] | None, str]]) -> list[Finding]:
    """Files of runs that are not what their places in this study say, or not of the weights that are kept."""
    if not store.exists or store.known_as() is None:
        return []  # made before files said where they come from
    seed, found = store.study()["asked"].get("seed"), []
    for path, (said, _) in files.items():
        part, owner, run = _place(store.path, path)
        if part == "stages":
            expected, stood_on = {"stage": owner, "run": run, "seed": seed}, "from"
        elif part == "predictions" and run is not None and (recipe := store.recipe_of(owner)):
            expected, stood_on = provenance.of_prediction(recipe, seed, run), "weights"
        else:
            continue
        strange = provenance.stranger(said, expected) if said else "it does not say where it comes from"
        if said and not strange and isinstance(weights := said.get(stood_on), dict):
            kept = {stage: files.get(store.path / "stages" / str(stage) / path.name, ("", ""))[1] for stage in weights}
            others = [stage for stage, digest in weights.items() if kept[stage] not in ("", digest)]
            strange = f"made with other weights of stage {others[0]} than are kept" if others else ""
        if strange:
            cure = "move it away and run the command again"
            found.append(Finding("foreign", f"{_what(store.path, path)} is foreign: {strange}; {cure}"))
    return found


def _place(study: Path, path: Path) -> tuple[str, str, int | None]:
    """Of prediction and stage files: the part of the study, method or stage, and the run."""
    parts = path.relative_to(study).parts
    run = int(path.stem[1:]) if re.fullmatch(r"r[0-9]+", path.stem) else None
    return (parts[0], parts[1], run) if len(parts) == 3 and run is not None else ("", "", None)


def _what(study: Path, path: Path) -> str:
    """Of prediction and stage files: run 7 of ride (path)."""
    _, owner, run = _place(study, path)
    return str(path) if run is None else f"run {run} of {owner} ({path})"
