"""What does a file hold, array by array? Of an .npz headers first; values of those that say something of each test
point. The arrays of a .pt or .json are in memory already."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ltbv.errors import Refusal
from ltbv.files.reading import Unread
from ltbv.report.elsewhere.arrays import Array, Held, class_names_or_ids, members, shape_of_objects, stored, text_ids
from ltbv.report.elsewhere.roles import ALIASES, DOCUMENTED, Roles, assign, plain, refuse_mask, some_of
from ltbv.report.elsewhere.rows import LOGITS, MOST_POINTS, PROBS, Guesses, Scores
from ltbv.report.elsewhere.twice import RIGHT, SHARES, Claims

STRICT = (LOGITS, PROBS, *(name for names in DOCUMENTED.values() for name in names))  # must be as they should be
OF_RUNS = (*DOCUMENTED["run"], *ALIASES["run"], "seeds")


@dataclass(frozen=True)
class Scored:
    """The array of scores that a file has: of what `kind`, under which name."""

    kind: str
    name: str
    array: Array

    @property
    def scores(self) -> Scores:
        return Scores(self.kind, self.array.blocks, self.array.shape[-1])


@dataclass(frozen=True)
class Archive:
    """The arrays of a file.

    names    of all that it has
    found    those that can be read
    objects  shapes of those that hold Python objects
    called   role -> name of an array, where somebody says it: see `roles.called`
    """

    path: Path
    names: frozenset[str]
    found: Mapping[str, Array]
    objects: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, called: Mapping[str, str]) -> "Archive":
        """Look at the headers of an .npz; what has a documented name, or one that is `called`, must be readable."""
        infos, found, objects = members(path), {}, {}
        for name, info in infos.items():
            try:
                found[name] = stored(path, info)
            except Refusal as refusal:
                if name in STRICT or name in called.values() or isinstance(refusal, Unread):
                    raise
                if (shape := shape_of_objects(path, info)) is not None:
                    objects[name] = shape
        return cls(path, frozenset(infos), found, objects, called)

    @classmethod
    def holding(cls, path: Path, values: Mapping[str, np.ndarray | str], called: Mapping[str, str]) -> "Archive":
        """Of arrays in memory; text says why a value is none, and must not be said of a documented name."""
        found = {}
        for name, of in values.items():
            if isinstance(of, str) and (name in STRICT or name in called.values()):
                raise Refusal(f"{path}: {name} {of}")
            if not isinstance(of, str) and of.size and max(of.shape, default=1) <= MOST_POINTS:
                found[name] = Held(f"{path}: {name}", of)
        return cls(path, frozenset(values), found, {}, called)

    def where_there(self, called: Mapping[str, str]) -> "Archive":
        """The same; of what is called so, what it has."""
        return replace(self, called={role: name for role, name in called.items() if name in self.found})

    @property
    def there(self) -> str:
        """What to say of an archive without what is looked for."""
        return f"it has: {some_of(sorted(self.names)) or 'nothing'}"

    def of_classes(self, role: str) -> list[str]:
        """Names of arrays of class ids or names, 'label' or 'pred', the documented first, then those of numbers."""
        if role in self.called:
            return [self.called[role]] if self.called[role] in self.found else []
        known = [name for name in DOCUMENTED[role] if name in self.found]
        others = [name for name in self.found if plain(name) in ALIASES[role]]
        of_kind = ([name for name in others if self.found[name].dtype.kind in kinds] for kinds in ("iu", "US"))
        return [*known, *next(filter(None, of_kind), [])]

    @property
    def scores(self) -> Scored | None:
        """Its logits, or else its probabilities, if it has any."""
        for kind in (LOGITS, PROBS):
            if (name := self.called.get(kind, kind)) in self.found:
                return Scored(kind, name, self.found[name])
        return None

    def roles(self, points: int, *, without: Collection[str | None] = ()) -> tuple[Roles, dict[str, np.ndarray]]:
        """Roles of the arrays (N,) or (N, 1), and their values. Refused: Python objects, one for each test point, which
        may be names."""
        for name, shape in self.objects.items():
            if shape == (points,) and points > 1:
                raise Refusal(
                    f"{self.path}: {name} holds Python objects, which are never unpickled; save text, .astype(str), or"
                    " take it out"
                )
        for name, one in self.found.items():
            if plain(name) in ALIASES["mask"] and one.dtype.kind in "iufb":  # of any shape: of runs, of scores
                refuse_mask(self.path, name, np.unique(one.whole()))
            if name in (*DOCUMENTED["run"], *DOCUMENTED["ids"]) and one.dtype.kind not in "iufUSb":
                raise Refusal(f"{self.path}: {name} is {one.dtype} of shape {one.shape}; ids are (N,) text or numbers")
        values = {
            name: _values(one)
            for name, one in self.found.items()
            if name not in without and one.shape in ((points,), (points, 1)) and one.dtype.kind in "iufUSb"
        }
        return assign(self.path, values, self.called), values

    def labels_and_ids(self, roles: Roles) -> tuple[np.ndarray | None, np.ndarray | None]:
        """True class ids (N,) and names of the test points (N,), if it has them."""
        labels = class_names_or_ids(self.found[roles.label]) if roles.label is not None else None
        return labels, text_ids(self.found[roles.ids]) if roles.ids is not None else None

    def guesses(self, roles: Roles, runs: int = 1) -> Guesses:
        """What may name the test points, again for each of so many runs."""
        return Guesses.of(roles, lambda name: np.tile(text_ids(self.found[name]), runs))

    def claims(self, points: int, runs: int = 1) -> Claims:
        """What is said of right and wrong: of each point or run, of the whole."""
        wide = {}
        for name, one in self.found.items():
            if plain(name) in (*RIGHT, *SHARES) and one.dtype.kind in "iufb" and len(one.shape) <= 2:
                values = one.whole()
                if values.size == 1 or (runs > 1 and values.shape == (runs,)):
                    wide[name] = np.repeat(np.broadcast_to(values.ravel(), runs), points)
                elif values.size == runs * points:
                    wide[name] = values.ravel()
        return Claims.of(wide)

    def is_like(self, name: str, other: Array) -> bool:
        """Is there an array of this name, of the shape of another and floating point too?"""
        one = self.found.get(name)
        return one is not None and one.shape == other.shape and one.dtype.kind == other.dtype.kind == "f"

    def unused(self, *used: str | None) -> tuple[str, ...]:
        """Names of all other arrays."""
        return tuple(sorted(self.names - set(used)))

    def check_lengths(self, points: int) -> None:
        """Refuses arrays of known names that are about another number of test points; one value may be of the whole."""
        aliases = (*ALIASES["ids"], *ALIASES["label"], *ALIASES["pred"])
        lengths = {
            name: one.shape[0] if one.shape else 0
            for name, one in self.found.items()
            if name in (*STRICT, *self.called.values())
            or (plain(name) in aliases and len(one.shape) == 1 and one.shape[0] > 1)
        }
        if set(lengths.values()) - {points}:
            said = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise Refusal(f"{self.path} has fields of different lengths: {said}")

    def names_of_runs(self, runs: int) -> tuple[tuple[str, ...], str | None]:
        """Names of the rows of arrays (R, N), and which array gives them; else from 0."""
        for name, one in self.found.items():
            if plain(name) in OF_RUNS and one.shape == (runs,):
                names = text_ids(one).tolist()
                if len(set(names)) < runs:
                    raise Refusal(f"{self.path}: {name} has run {names[-1]!r} more than once")
                return tuple(names), name
        return tuple(map(str, range(runs))), None


def _values(found: Array) -> np.ndarray:
    """(N,), text as Python has it."""
    return text_ids(found) if found.dtype.kind in "US" and len(found.shape) == 1 else found.whole().reshape(-1)
