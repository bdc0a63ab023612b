"""Does every file stand on the floors below it, and on nothing above?"""

import ast
import builtins
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ltbv

HOUSE = Path(ltbv.__file__).parent

# From the top to the bottom. Rooms of one floor do not lean on each other, but for what BESIDE allows.
FLOORS = [
    {"__main__"},
    {"cli", "display", "sklearn", "studies", "door"},
    {"trackers"},
    {"report", "harness"},
    {"engine"},
    {"methods"},
    {"models", "data", "store"},
    {"losses", "optimisers", "answers"},
    {"schedules"},
    {"stats", "settings", "files"},
    {"options", "guest"},
    {"errors", "later", "seeds"},
]
BESIDE = {("cli", "display"), ("cli", "door"), ("studies", "display")}
VOCABULARY = ("base", "objective", "published", "registry", "__init__")  # files of methods/ that are of no method
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

FILES = sorted(HOUSE.rglob("*.py"))
NAMES = {path: ".".join(path.relative_to(HOUSE.parent).with_suffix("").parts) for path in FILES}
TREES = {path: ast.parse(path.read_text()) for path in FILES}
MODULES = {name.removesuffix(".__init__") for name in NAMES.values()}
WITHOUT_TORCH = r"ltbv\.(stats|report|store|files|cli|errors|later|seeds|settings|options|harness\.request$)\b"
TORCHLESS = sorted(m for m in MODULES if re.match(WITHOUT_TORCH, m))


def named(path):
    return NAMES[path].removesuffix(".__init__")


def imports(tree: ast.Module) -> set[str]:
    """Full names of all that a file imports, wherever in it the line stands."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found


def room(module: str) -> str:
    return module.split(".")[1]


def allowed(importer: str, imported: str) -> bool:
    above, below = room(importer), room(imported)
    if above == below or LEVEL[above] < LEVEL[below]:
        return True
    return any(above == a and imported.startswith(f"ltbv.{b}") for a, b in BESIDE)


def test_every_room_is_on_a_floor():
    assert {room(m) for m in MODULES if "." in m} <= set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=NAMES.values())
def test_imports_point_down(path):
    inside = {i for i in imports(TREES[path]) if i.split(".")[0] == "ltbv"}
    if named(path) == "ltbv":
        assert not inside, "the package imports nothing before it is asked"
        return
    upward = {i for i in inside if i != "ltbv" and not allowed(named(path), i)}
    assert not upward


READERS = re.compile(r"ltbv\.report\.(study|stages|elsewhere)\b")
BELOW_READERS = {f"ltbv.report.{name}" for name in ("evidence", "names", "published", "stages")}


def test_what_reads_predictions_knows_nothing_of_what_is_made_of_them():
    """A study and files of others are read apart from each other, and apart from tables and figures."""
    for path in (p for p in FILES if READERS.match(named(p))):
        of_report = {i for i in imports(TREES[path]) if i.startswith("ltbv.report")}
        own = "ltbv.report.elsewhere" if "elsewhere" in named(path) else named(path)
        assert not {i for i in of_report - BELOW_READERS if not i.startswith(own)}, path


def test_no_file_stands_on_itself():
    """Wherever in a file an import stands: files that need each other share an idea that has no file yet."""
    leans = {named(p): imports(TREES[p]) & MODULES - {named(p), "ltbv"} for p in FILES}
    while leans:
        below = {name: sorted(leans[name] & leans.keys()) for name in leans}
        leant_on = {name for names in below.values() for name in names}
        if not (free := [name for name in below if not below[name] or name not in leant_on]):
            raise AssertionError(f"circles: {below}")
        for name in free:
            del leans[name]


def test_an_upward_import_would_be_seen():
    assert allowed("ltbv.engine.train", "ltbv.methods.base")
    assert allowed("ltbv.report.tables", "ltbv.store.directory")
    assert not allowed("ltbv.report.tables", "ltbv.harness.bootstrap")
    assert not allowed("ltbv.store.directory", "ltbv.harness.study")
    assert not allowed("ltbv.files.npz", "ltbv.store.locks")
    assert not allowed("ltbv.methods.base", "ltbv.engine.train")
    assert not allowed("ltbv.data.batches", "ltbv.models.stack")
    assert not allowed("ltbv.stats.splits", "ltbv.losses")
    assert imports(ast.parse("def f():\n from ltbv.harness import study")) == {"ltbv.harness.study"}


def test_statistics_reports_and_the_store_do_not_import_torch():
    code = f"""
import importlib, sys
for name in {TORCHLESS!r}:
    importlib.import_module(name)
    assert "torch" not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ltbv.stats.splits" in TORCHLESS and "ltbv.store.directory" in TORCHLESS


def test_below_and_beside_the_methods_none_is_known():
    """Neither a key nor a class of a method: a line that knows which method is running belongs in methods/.

    In prose the name of a function may be a word of the language: drawn "with replacement".
    """
    from ltbv.methods import METHODS

    own = {p for p in FILES if named(p).startswith("ltbv.methods.") and p.stem not in VOCABULARY}
    functions, classes = (
        {node.name for p in own for node in TREES[p].body if isinstance(node, kind)}
        for kind in (ast.FunctionDef, ast.ClassDef)
    )
    names = set(METHODS) | classes | {p.stem for p in own}
    known = (names | functions) - set(dir(builtins))  # reversed
    for path in FILES:
        if not re.match(r"ltbv\.(engine|harness|models|data)\b", named(path)):
            continue
        texts = {id(n.body[0].value) for n in ast.walk(TREES[path]) if getattr(n, "body", None) and is_text(n)}
        for node in ast.walk(TREES[path]):
            words = {getattr(node, "id", None), getattr(node, "attr", None), getattr(node, "name", None)}
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
                said = set(re.findall(r"\w+", node.value))
                words |= said & names if " " in node.value else said
            if isinstance(node, ast.ImportFrom):
                words |= set((node.module or "").split("."))
            assert not {w for w in words if isinstance(w, str)} & known, f"{path}:{getattr(node, 'lineno', '')}"


def is_text(node) -> bool:
    """Whether a block opens with a docstring."""
    first = node.body[0] if isinstance(node.body, list) else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)


def test_torchvision_is_imported_by_one_module_at_most():
    users = [named(p) for p in FILES if any(i.split(".")[0] == "torchvision" for i in imports(TREES[p]))]
    assert len(users) <= 1


@pytest.mark.parametrize("path", FILES, ids=NAMES.values())
def test_nothing_draws_from_or_seeds_a_global_generator(path):
    fine = {"Generator", "PCG64", "SeedSequence", "BitGenerator", "default_rng", "Philox"}
    fine |= {"get_state", "set_state"}  # to see whether somebody drew, and to put it back
    for node in ast.walk(TREES[path]):
        if not isinstance(node, ast.Attribute):
            continue
        words = ast.unparse(node).split(".")
        if words[-3:-1] in (["np", "random"], ["numpy", "random"]):
            assert words[-1] in fine, f"{path}:{node.lineno} {'.'.join(words)}"
        assert words[-2:] not in (["torch", "manual_seed"], ["random", "seed"], ["cuda", "manual_seed_all"]), (
            node.lineno
        )
    drawn = {"rand", "randn", "randint", "randperm", "bernoulli", "normal", "multinomial"}
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {f"torch.{name}" for name in drawn}:
            assert "generator" in {k.arg for k in node.keywords}, (
                f"{path}:{node.lineno} draws from torch's global state"
            )
    looks = named(path) == "ltbv.answers"  # whether code of others drew from it
    assert looks or "random" not in imports(TREES[path]), "the standard library's random has one global state"
