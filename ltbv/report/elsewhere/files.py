"""Which files hold the runs of a method?"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ltbv.errors import Refusal
from ltbv.report.elsewhere import columns, npz
from ltbv.report.elsewhere.arrays import stored
from ltbv.report.elsewhere.nested import read_nested
from ltbv.report.elsewhere.rows import NOTHING, Rows, check_size
from ltbv.report.elsewhere.texts import read_json

OF_PREDICTIONS = (".npz", ".npy", ".csv", ".parquet")
OF_ANYTHING = (".pt", ".json")  # weights and settings are kept so too
FORMATS = (*OF_PREDICTIONS, *OF_ANYTHING)


def named(words: Sequence[str]) -> dict[str, Path]:
    """What is typed as NAME=PATH: method -> path, in the order typed."""
    sources: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals and (cure := without_name(Path(word))):
            raise Refusal(cure)
        if not (equals and name.strip() and path):
            raise Refusal(f"{word!r} is not NAME=DIR, such as ce=predictions/ce")
        if name in sources:
            raise Refusal(f"two sources are called {name!r}: {sources[name]} and {path}")
        sources[name] = Path(path)
    return sources


def without_name(path: Path) -> str | None:
    """What to say of predictions that are typed without NAME=; None where there are none at this path."""
    if not path.is_dir():
        if path.suffix.lower() not in FORMATS or not path.is_file():
            return None
        words = [f"ce={path}"]
    elif (path / "study.json").exists() or (path / "report.json").exists():
        return None
    else:
        known, _, directories = _look(path)
        inside = {directory: _look(directory)[0] for directory in directories}
        of_methods = [directory for directory, files in inside.items() if len(files) > 1]
        if known or not of_methods:
            words = [f"ce={path}"] if any(of.suffix.lower() != ".json" for of in sum(inside.values(), known)) else []
        else:
            words = [f"{directory.name}={directory}" for directory in of_methods[:3]]
    if not words:
        return None
    more = " …" if path.is_dir() and len(words) == 3 else ""
    return f"{path} has predictions, but is no study: name their method, ltbv report {' '.join(words)}{more}"


def find(source: Path) -> tuple[dict[str, Path], list[str]]:
    """Files of predictions by name of the run (that of the file, or of its directory), and names that are passed over.

    source  a file; a directory with a file for each run; or one with a sub-directory for each run, a file in each
    """
    check_size(source)
    if not source.is_dir():
        if source.suffix.lower() not in FORMATS:
            raise Refusal(f"{source} has an unknown extension; predictions are {', '.join(FORMATS)}")
        return {source.stem: source}, []
    files, others, directories = _look(source)
    if files:
        if repeated := [path for path in files if sum(path.stem == other.stem for other in files) > 1]:
            raise Refusal(f"{source} has {' and '.join(path.name for path in repeated)}: one file a run, please")
        return {path.stem: path for path in files}, [path.name for path in (*others, *directories)]
    runs, passed = {}, [path.name for path in others]
    for directory in directories:
        inside, beside, _ = _look(directory)
        if len(inside) > 1:
            raise Refusal(
                f"{directory} has {len(inside)} files of predictions ({', '.join(path.name for path in inside[:4])});"
                " a directory within a directory is one run, with one file"
            )
        if inside:
            runs[directory.name] = inside[0]
        passed += [f"{directory.name}/{path.name}" for path in beside] if inside else [f"{directory.name}/"]
    if not runs:
        there = f"; it has: {', '.join(passed[:5])}" if passed else ", it is empty"
        raise Refusal(f"{source} has no files of predictions ({', '.join(FORMATS)}){there}")
    return runs, passed


def _look(directory: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Files of predictions, other files, and directories; hidden ones are not seen. A .pt beside files of predictions
    is a network, a .json beside any a setting: they are predictions where there is nothing else."""
    try:
        entries = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise Refusal(f"cannot read {directory}: {error.strerror or error}") from error
    directories = [path for path in entries if path.is_dir()]
    files = [path for path in entries if not path.is_dir()]
    of_suffix = [
        [path for path in files if path.suffix.lower() in kinds] for kinds in (OF_PREDICTIONS, *zip(OF_ANYTHING))
    ]
    known = next(filter(None, of_suffix), [])
    return known, [path for path in files if path not in known], directories


def read(
    path: Path,
    run: str,
    num_classes: int | None,
    *,
    labelled: bool,
    several: bool,
    called: Mapping[str, str] = NOTHING,
) -> Rows:
    """What one file says.

    labelled  true labels are given elsewhere
    several   arrays may hold a row for each run: the file is all that there is of a method
    called    role -> name of the field that has it, see `roles.called`
    """
    check_size(path)
    match path.suffix.lower():
        case ".npz":
            return npz.read_npz(path, run, called, several=several)
        case ".npy":
            return npz.read_bare(path, stored(path), run, several=several)
        case ".pt":
            from ltbv.report.elsewhere.pt import read_pt

            return read_nested(path, read_pt(path), run, called, several=several)
        case ".json":
            return read_nested(path, read_json(path), run, called, several=several)
        case _:
            return columns.read_table(path, run, num_classes, labelled=labelled, called=called)
