"""Where does a study live? In a directory; what is done is what is there.

    study.json                         what was asked and resolved, and (not compared) on what it was made; its identity
    samples.npz  test.npz              ids of the images each run saw; test labels
    stages/<key>/r007.npz              weights of a stage, by run, and its loss by epoch
    predictions/<method>/recipe.json   label, stages and their keys
    predictions/<method>/r007.npz      what run 7 says of every test point (`engine.predict.record`)
    locks/  logs/  failures/           who works on what; what workers printed; why a run is missing

A file that exists is whole (see `files`), and its arrays carry checksums; those of a run say where they come from (see
`provenance`). There is no table of states to go stale. No torch here: `report` and `status` read studies on machines
that have none.

A study has an identity, drawn when it is made and again by whoever discards something of it. A command compares it
before it writes anything: where its own study was moved away and another one stands, it writes nothing into that.
"""

import contextlib
import re
import secrets
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from ltbv.errors import Refusal
from ltbv.files import packed, read_arrays, read_json, remove, shape_of, write_arrays, write_bytes, write_json
from ltbv.options import words
from ltbv.settings import Settings
from ltbv.store.locks import held, holders

FORMAT = 1
MOST_STUDIES = 5  # that a line names


class Store:
    """The directory of one study.

    identity   of the study that is worked on; None until it is opened or worked on, and nothing is compared then
    """

    def __init__(self, path: Path | str, identity: str | None = None):
        self.path, self.identity = Path(path), identity

    # what was asked

    @property
    def exists(self) -> bool:
        try:
            return (self.path / "study.json").exists()
        except OSError as error:
            raise Refusal(f"cannot look into {self.path}: {error.strerror or error}") from error

    def study(self) -> dict[str, Any]:
        """study.json: `asked`, `data`, `made_with`; `identity`, which studies of before had none of."""
        path = self.path / "study.json"
        if not self.exists:
            raise Refusal(f"{self.path} is not a study: no study.json; {self._elsewhere()}")
        study = read_json(path)
        found = study.get("format") if isinstance(study, dict) else None
        if found != FORMAT:
            raise Refusal(f"{path} has format {found!r}; this ltbv reads format {FORMAT}")
        if not (isinstance(study.get("asked"), dict) and isinstance(study.get("data"), dict)):
            raise Refusal(f"{path} does not say what was asked, of which data; it is not as ltbv writes it")
        return study

    def _elsewhere(self) -> str:
        """Where the study that was meant may be: of nearly that name, then any that stand here."""
        places = dict.fromkeys((self.path.parent, Path("runs")))
        there = {str(file.parent): file.parent.name for place in places for file in sorted(place.glob("*/study.json"))}
        alike = get_close_matches(self.path.name, there.values(), n=1, cutoff=0.6)
        if near := [path for path, name in there.items() if name in alike]:
            return f"did you mean {near[0]}?"
        if there:
            return f"there is: {', '.join([*there][:MOST_STUDIES])}{', …' * (len(there) > MOST_STUDIES)}"
        return "make one with: ltbv bootstrap" + f" --study {self.path}" * (not self.path.exists() or self._empty())

    def check(self, asked: dict[str, Any], *, force: bool = False) -> None:
        """Refuse a directory that was made with other settings (unless `force`), or that is not a study."""
        if not self.exists:
            if self.path.exists() and not self._empty():
                raise Refusal(f"{self.path} exists and is not a study; choose an empty or new directory with --study")
        elif not force and (differing := self._differences(asked)):
            cure = "choose another --study, or --force to discard it"
            raise Refusal(f"{self.path} holds a study with other settings ({'; '.join(differing)}); {cure}")

    def open(
        self, asked: dict[str, Any], data: dict[str, Any], made_with: dict[str, Any], *, force: bool = False
    ) -> None:
        """Make the directory, or go on in one that was made with the same settings; any other is refused.

        `force` throws away what a directory with other settings holds. Who forces makes another study of it in any
        case: what still works for the old one writes no more.
        """
        self.check(asked, force=force)
        if self.exists:
            same = not self._differences(asked) and self.known_as() is not None
            if same and not force:
                self.identity = self.known_as()
                return
            if not same and not force:
                raise self.too_old(asked)
            if not same:
                self.discard_all()
        self.identity = secrets.token_hex(16)
        told = {"format": FORMAT, "identity": self.identity, "asked": asked, "data": data, "made_with": made_with}
        write_json(self.path / "study.json", told)

    def known_as(self) -> str | None:
        """The identity of the study that is there; None of one that was made before studies had any."""
        found = self.study().get("identity")
        return found if isinstance(found, str) and found else None

    def too_old(self, asked: dict[str, Any], *methods: str, runs: int | None = None) -> Refusal:
        """The refusal to go on in a study that has no identity, with the command that starts a new one."""
        beside = self.path.with_name(f"{self.path.name}-new")
        return Refusal(
            f"{self.path} was made by an ltbv that gave studies no identity: it can be reported, not gone on with;"
            f" start a new one: {command(beside, asked, *methods, runs=runs)}"
        )

    def discard_all(self) -> None:
        """Delete all that settings made; recipes first, each after what it made."""
        for method in (path.parent.name for path in (self.path / "predictions").glob("*/recipe.json")):
            self.discard(method)
        for part in ("predictions", "stages", "failures", "samples.npz", "test.npz"):
            remove(self.path / part)

    def _differences(self, asked: dict[str, Any]) -> list[str]:
        before, now = flat(self.study()["asked"]), flat(asked)
        differing = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
        return [f"{k}: {before.get(k)!r} there, {now.get(k)!r} asked" for k in differing]

    def _empty(self) -> bool:
        """A directory with nothing in it but what an interrupted first write left."""
        return self.path.is_dir() and all(p.name.endswith(".part") or p.name == "locks" for p in self.path.iterdir())

    # who works on it

    def opening(self) -> contextlib.AbstractContextManager[None]:
        """Hold the study while its settings, recipes and samples are written; a minute's patience for another."""
        return self._held(["study"], "opening the study", wait=60.0)

    @contextlib.contextmanager
    def working(self, runs: Sequence[int]) -> Iterator[None]:
        """Hold some runs while they are trained; `Busy` if another command has one of them."""
        self.identity = self.identity or self.known_as()
        self.must_be_there()
        with self._held([f"r{run:03d}" for run in runs], f"runs {span(runs)}"):
            self.must_be_there()
            yield

    @contextlib.contextmanager
    def driving(self, doing: str) -> Iterator[None]:
        """Hold the study for the lifetime of a command, beside others; only for who is opening it."""
        folder = self.path / "locks"
        left = {path.stem for path in folder.glob("driver-*.json")} - holders(folder).keys()
        name = f"driver-{secrets.token_hex(4)}"
        try:
            with self._held([name], doing):
                yield
        finally:
            for one in (*left, name):  # those of commands that were killed, and one's own
                for path in folder.glob(f"{one}.*"):
                    with contextlib.suppress(OSError):
                        path.unlink()

    def _held(self, names: list[str], doing: str, wait: float = 0.0) -> contextlib.AbstractContextManager[None]:
        return held(self.path / "locks", names, doing, wait=wait)

    def refuse_if_worked_on(self) -> None:
        """Nothing may be discarded that another command is working on."""
        for name, holder in holders(self.path / "locks").items():
            if name != "study":
                raise Refusal(
                    f"{self.path} is being worked on by process {holder.get('pid')} on {holder.get('host')}"
                    f" ({holder.get('doing')}); wait for it or stop it before --force"
                )

    def workers(self) -> dict[int, dict[str, Any]]:
        """Who works on which run now: host, pid, since, doing."""
        found = holders(self.path / "locks")
        return {int(name[1:]): holder for name, holder in found.items() if re.fullmatch(r"r\d+", name)}

    def leave_nothing(self) -> None:
        """Where no study came about, remove the locks of the attempt, and the directory if it is empty."""
        if not self.exists:
            shutil.rmtree(self.path / "locks", ignore_errors=True)
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def sweep(self, runs: Sequence[int]) -> None:
        """Remove what killed writers of these runs left: half-written files, snapshots of stages that are whole.

        Only for who holds the runs.
        """
        left = [path for run in runs for path in self.path.glob(f"*/*/.r{run:03d}.npz.*.part")]
        left += self.path.glob(f"stages/*/.part-{span(runs)}.npz.*.part")
        kept = self.path.glob(f"stages/*/part-{span(runs)}.npz")
        left += (path for path in kept if self.has_stage(path.parent.name, runs))
        for path in left:
            remove(path)

    def sweep_opening(self) -> None:
        """Remove what killed writers of settings, recipes and samples left; only for who is opening the study."""
        for pattern in (".*.part", "predictions/*/.recipe.json.*.part"):
            for path in self.path.glob(pattern):
                remove(path)

    # what failed

    def note_failure(self, method: str, run: int, why: str) -> None:
        """Why a run is missing, for `status`; forgotten when it is there after all."""
        self.write_bytes(self.path / "failures" / method / f"r{run:03d}.txt", f"{why}\n".encode())

    def forget_failure(self, method: str, run: int) -> None:
        """The run is there now."""
        with contextlib.suppress(OSError, Refusal):
            self.must_be_there()
            (self.path / "failures" / method / f"r{run:03d}.txt").unlink(missing_ok=True)

    def failures(self, method: str) -> dict[int, str]:
        """Why runs of a method are missing, of those that failed and were not made since."""
        found = {}
        for path in sorted((self.path / "failures" / method).glob("r*.txt")):
            run = int(path.stem[1:]) if re.fullmatch(r"r[0-9]+", path.stem) and path.is_file() else None
            if run is not None and not self.prediction_file(method, run).exists():
                found[run] = path.read_text(errors="replace").strip()
        return found

    # samples and test set

    def write_samples(self, ids: np.ndarray) -> None:
        """ids [R, n]; a file that already holds these runs and more is left."""
        path = self.path / "samples.npz"
        if not path.exists() or self.runs_asked() < len(ids):
            write_arrays(path, {"ids": ids})

    def runs_asked(self) -> int:
        """The most runs that were ever asked of this study; 0 before the first."""
        path = self.path / "samples.npz"
        shape = shape_of(path, "ids") if path.exists() else (0, 0)
        if len(shape) != 2 or (shape[0] and not shape[1]):
            raise Refusal(f"{path} has ids of shape {shape}, not (runs, images); delete it and run the command again")
        return shape[0]

    def samples(self) -> np.ndarray:
        """ids [R, n] of the images each run saw."""
        return read_arrays(self.path / "samples.npz")["ids"]

    def write_test_labels(self, labels: np.ndarray, clusters: np.ndarray | None = None) -> None:
        if not (self.path / "test.npz").exists():
            more = {} if clusters is None else {"clusters": clusters}
            write_arrays(self.path / "test.npz", {"labels": labels, **more})

    def test_labels(self) -> np.ndarray:
        """Labels [N] of the test set."""
        return read_arrays(self.path / "test.npz")["labels"]

    def test_clusters(self) -> np.ndarray | None:
        """Which images of the test set belong together, [N]; None: none do."""
        return read_arrays(self.path / "test.npz").get("clusters")

    # stages and predictions

    def write(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        """Write a file of a run, if this study is still the one that is there."""
        self.write_bytes(path, packed(arrays))

    def write_bytes(self, path: Path, content: bytes) -> None:
        """The same for any content."""
        self.must_be_there()
        write_bytes(path, content, confirm=self.must_be_there)

    def must_be_there(self) -> None:
        """A study that is worked on is not made again by who only works in it, nor taken for another one."""
        if self.identity is None:
            return
        if not self.exists:
            raise Refusal(f"{self.path} was removed under way; the same command makes it again")
        if self.known_as() != self.identity:
            raise Refusal(
                f"{self.path} is another study now: what was worked on was moved away, deleted or discarded (--force)"
                " under way; nothing is written into the new one"
            )

    def stage_file(self, key: str, run: int) -> Path:
        return self.path / "stages" / key / f"r{run:03d}.npz"

    def checkpoint_file(self, key: str, runs: Sequence[int]) -> Path:
        """Where a stage that is being trained on these runs keeps how far it is."""
        return self.path / "stages" / key / f"part-{span(runs)}.npz"

    def has_stage(self, key: str, runs: Iterable[int]) -> bool:
        return all(self.stage_file(key, run).exists() for run in runs)

    def prediction_file(self, method: str, run: int) -> Path:
        return self.path / "predictions" / method / f"r{run:03d}.npz"

    def missing(self, method: str, runs: Iterable[int]) -> list[int]:
        """Which of `runs` have no predictions yet."""
        return [run for run in runs if not self.prediction_file(method, run).exists()]

    def methods(self) -> list[str]:
        """Methods that have predictions, in the order of their recipes."""
        return [name for name in self.recipes() if self.runs(name)]

    def runs(self, method: str) -> list[int]:
        """Runs of a method that are done."""
        names = (re.fullmatch(r"r(\d+)\.npz", p.name) for p in (self.path / "predictions" / method).glob("r*.npz"))
        return sorted(int(m[1]) for m in names if m)

    def recipes(self) -> list[str]:
        """Methods that were asked of this study, in the order of their recipes, done or not."""
        names = (path.parent.name for path in sorted((self.path / "predictions").glob("*/recipe.json")))
        return sorted(names, key=lambda name: (self.recipe(name).get("order", 0), name))

    def recipe(self, method: str) -> dict[str, Any]:
        """recipe.json; stage keys are checked, because they name directories."""
        recipe = read_json(self._recipe_file(method))
        keys = [stage.get("key") for stage in recipe["stages"]] if _is_recipe(recipe) else [None]
        if not all(isinstance(key, str) and re.fullmatch(r"[0-9a-f]{16}", key) for key in keys):
            raise Refusal(f"{self._recipe_file(method)} is not a recipe as ltbv writes it; delete the folder it is in")
        return recipe

    def recipe_of(self, method: str) -> dict[str, Any] | None:
        """The recipe, if the method was asked of this study."""
        return self.recipe(method) if self._recipe_file(method).exists() else None

    def check_method(self, method: str, recipe: dict[str, Any], *, force: bool = False) -> None:
        """Refuse predictions that another recipe made under the same key."""
        if not force and self._recipe_file(method).exists() and self.recipe(method)["key"] != recipe["key"]:
            cure = "choose another --study, or --force to train it again"
            where = self._recipe_file(method).parent
            raise Refusal(f"{where} was made by another recipe of method {method!r} than today's; {cure}")

    def open_method(self, method: str, recipe: dict[str, Any], *, force: bool = False) -> None:
        """Note a method's recipe; `force` discards what an earlier one made.

        Where the recipe is the same but what is said of it (label, cost) is not, the later word stands.
        """
        self.check_method(method, recipe, force=force)
        if force:
            self.discard(method)
        if not self._recipe_file(method).exists() or self.recipe(method) != recipe:
            write_json(self._recipe_file(method), recipe)

    def holds(self, recipes: dict[str, dict[str, Any]]) -> bool:
        """Is the study opened, with these recipes to the letter?"""
        known = self.exists and (self.path / "samples.npz").exists()
        return known and all(self._recipe_file(m).exists() and self.recipe(m) == r for m, r in recipes.items())

    def discard(self, method: str) -> None:
        """Delete a method's predictions and the stages its recipe names; the recipe last: what is left is its own."""
        stages = self.recipe(method)["stages"] if self._recipe_file(method).exists() else []
        for run in self.runs(method):
            remove(self.prediction_file(method, run))
        for stage in stages:
            remove(self.path / "stages" / stage["key"])
        remove(self._recipe_file(method))

    def _recipe_file(self, method: str) -> Path:
        return self.path / "predictions" / method / "recipe.json"

    def predictions(self, method: str, field: str = "label", runs: Iterable[int] | None = None) -> np.ndarray:
        """One field of the runs of a method, stacked: [R, N] or [R, N, C]."""
        files = [self.prediction_file(method, run) for run in (self.runs(method) if runs is None else runs)]
        return np.stack([read_arrays(path, [field])[field] for path in files])


def command(study: Path, asked: dict[str, Any], *methods: str, runs: int | None = None) -> str:
    """The `ltbv bootstrap` that makes a study of these settings, or adds methods to it."""
    wanted = [word for method in methods for word in ("--method", method)]
    of_runs = ["--runs", str(runs)] if runs else []
    settings = Settings.read(asked)
    if settings.profile == "own":  # then it is of the data, not chosen
        settings = replace(settings, imbalance=None)
    return shlex.join(["ltbv", "bootstrap", *wanted, *of_runs, *words(settings), "--study", str(study)])


def span(runs: Sequence[int]) -> str:
    """Consecutive run numbers as people write them: 0-4."""
    return f"{runs[0]}-{runs[-1]}" if len(runs) > 1 else str(runs[0])


def spans(runs: Sequence[int]) -> str:
    """Run numbers in order, with gaps: 0-4, 7."""
    starts = [at for at, run in enumerate(runs) if at == 0 or run != runs[at - 1] + 1]
    return ", ".join(span(runs[start:end]) for start, end in zip(starts, [*starts[1:], len(runs)], strict=True))


def _is_recipe(value: Any) -> bool:
    stages = value.get("stages") if isinstance(value, dict) else None
    said = stages is not None and isinstance(value.get("key"), str) and isinstance(value.get("label"), str)
    said = said and type(value.get("order", 0)) is int
    return said and isinstance(stages, list) and all(isinstance(stage, dict) for stage in stages)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name, so that a difference can be named."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
