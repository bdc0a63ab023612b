"""How does a command speak, and what becomes of what goes wrong in it? One line on standard error, and exit code 2.

What cannot be said (standard output is closed, or a full device) is a fault too: what was asked for did not arrive.
"""

import contextlib
import errno
import math
import os
import platform
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

import ltbv
from ltbv.errors import Refusal, one_line, unknown, words_of
from ltbv.harness.leaving import ENDED, Leaving
from ltbv.options import choices, kind, option

GPUS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # what Linux has where a driver is there
UNSAID = "cannot write to standard output"


class Group(click.Group):
    """A refusal, wherever it comes from, is one line and exit code 2; so is what the system refuses."""

    def main(self, *args: Any, **options: Any) -> Any:
        _open_what_is_closed()
        try:
            return super().main(*args, **options)
        except OSError as error:
            *_, (frame, _) = traceback.walk_tb(error.__traceback__)
            of_click = frame.f_globals["__name__"].startswith("click")  # which says help, version and usage itself
            _end(f"{UNSAID if of_click else 'the system refuses'}: {error.strerror or error}")

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Refusal as refusal:
            _end(str(refusal))
        except MemoryError as error:
            _end(f"not enough memory: {words_of(error) or 'the system gives no more'}")
        except KeyboardInterrupt:
            _end("stopped; finished runs are kept, the same command goes on", code=130)
        except Leaving:
            _end("told to end (SIGTERM); what was trained is kept, the same command goes on", code=ENDED)
        except OSError as error:
            if error.filename is None:  # of a stream: `main` knows
                raise
            name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
            _end(f"cannot use {name}: {error.strerror}")


def say(text: str) -> None:
    """A text for standard output; what it cannot encode, such as a file name that is not UTF-8, is escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding))
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever reads has had enough: click ends quietly
            raise
        raise Refusal(f"{UNSAID}: {error.strerror or error}") from error


def warn(text: str) -> None:
    """One line on standard error; where there is none, nobody can be told."""
    with contextlib.suppress(OSError):
        click.echo(f"ltbv: {one_line(text)}", err=True)


@contextlib.contextmanager
def counting() -> Iterator[Callable[[int, int], None]]:
    """Shows how far it is, called with how many are done of how many; only on a terminal, and only what takes long."""
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("images")
        yield lambda done, of: progress.update(task, completed=done, total=of)


class FiniteNumber(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A number of the command line that is neither NaN nor infinite."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = click.FLOAT.convert(value, param, ctx)
        if not math.isfinite(number):
            name = (param.opts[0] if param else "number").lstrip("-")
            raise Refusal(f"{name} is {value}: give --{name} a finite number")
        return number


NUMBER = FiniteNumber()


Command = TypeVar("Command", bound=Callable[..., Any] | click.Command)
Decorator = Callable[[Command], Command]


def version_option(command: Command) -> Command:
    """--version: of ltbv, torch and Python, and the device that `--device auto` is."""

    def show(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
        if wanted and not context.resilient_parsing:
            click.echo(f"ltbv {ltbv.__version__}, {_torch()}, Python {platform.python_version()}")
            context.exit()

    say_it = "Show versions of ltbv, torch and Python, and the device; exit."
    return click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=show, help=say_it)(
        command
    )


def _torch() -> str:
    """Torch and its device. It takes seconds to import, and is asked only where there may be a GPU."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "no torch (reports only)"
    if sys.platform == "darwin" or (sys.platform == "linux" and not any(map(os.path.exists, GPUS))):
        return f"torch {version} on cpu"
    import torch

    return f"torch {torch.__version__} on {torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'}"


def together(*options: Decorator[Any]) -> Decorator[Any]:
    """One decorator of several, in the order in which help shows them."""

    def decorate(command: Any) -> Any:
        for one in reversed(options):
            command = one(command)
        return command

    return decorate


def options_of(of: type) -> list[Decorator[Any]]:
    """The click options of a dataclass of choices (`ltbv.options`)."""
    types = {float: NUMBER, Path: click.Path(path_type=Path)}
    found = []
    for one in choices(of):
        wanted, more = kind(of, one.name), {"metavar": one.metadata["metavar"]}
        more |= {"shell_complete": COMPLETED.get(one.name)}
        more |= {"is_flag": True} if wanted is bool else {"type": types.get(wanted, wanted)}
        more |= {"show_default": one.default not in (None, "", False, True)}
        name = option(one.name)
        both = wanted is bool and one.default is not False
        words = f"{name}/{name.replace('--', '--no-', 1)}" if both else name
        found.append(click.option(words, default=one.default, help=one.metadata["help"], **more))
    return found


Names = Callable[[], Iterable[str]]
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def completing(names: Names, *, files: bool = False) -> Complete:
    """What a shell shows on Tab: names that begin as the word does, after a comma the next; and files, where one may
    stand there."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        found = [CompletionItem(f"{before}{comma}{name}") for name in names() if name.startswith(last)]
        return [*found, *([CompletionItem(incomplete, type="file")] if files else [])]

    return complete


def method_names() -> Iterable[str]:
    from ltbv.methods import METHODS  # imports torch: a second or two

    return METHODS


def dataset_names() -> Iterable[str]:
    from ltbv.data.catalogue import ENTRIES, NAMED

    return (*ENTRIES, *NAMED)


def scheme_names() -> Iterable[str]:
    from ltbv.data.resample import SCHEMES

    return SCHEMES


def complete_network(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Networks: whose, and after the colon theirs, which takes an import. Bash has to be told of colons."""
    whose, colon, _ = incomplete.partition(":")
    names: Iterable[str] = ("torchvision:", "timm:", "cifar:")
    if colon and whose in ("torchvision", "timm"):
        with contextlib.suppress(ImportError):
            names = (f"{whose}:{name}" for name in _networks_of(whose))
    elif colon and whose == "cifar":
        names = (f"cifar:resnet{depth}" for depth in (8, 14, 20, 32, 44, 56, 110))
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _networks_of(whose: str) -> list[str]:
    from ltbv.models.vision import torchvision

    package = torchvision()  # which timm imports too
    if whose == "timm":
        from timm import list_models

        return list_models()
    return package.models.list_models()


def complete_study(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Directories of studies, in runs/ where nothing is typed yet; and any others. These come first: in bash, click's
    script forgets what comes before them, and takes them where nothing comes after."""
    start = Path(incomplete)
    beside = start if incomplete.endswith("/") else start.parent
    places = [beside] if incomplete else [Path("runs"), Path(".")]
    found = [str(one.parent) for place in places for one in sorted(place.glob("*/study.json"))]
    return [
        CompletionItem(incomplete, type="dir"),
        *(CompletionItem(one) for one in found if one.startswith(incomplete)),
    ]


def complete_method_of_study(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Methods of the study that the command line names, or names of predictions from elsewhere, NAME=DIR."""
    from ltbv.store import Store

    words = (*context.params.get("sources", ()), *context.args) or ("runs/glyphs-lt",)  # click leaves them in either
    names = [name for word in words if (name := word.partition("=")[0]) != word]
    if not names:
        with contextlib.suppress(Refusal, OSError):
            names = list(Store(Path(words[0])).recipes())
    return completing(lambda: names)(context, parameter, incomplete)


def augmentation_names() -> Iterable[str]:
    from ltbv.data.policies import AUGMENTATIONS

    return AUGMENTATIONS


COMPLETED = {
    "network": complete_network,
    "augmentation": completing(augmentation_names),
    "dataset": completing(dataset_names, files=True),
    "scheme": completing(scheme_names),
    "profile": completing(lambda: ("exp", "step", "own")),
    "optimiser": completing(lambda: ("sgd", "adamw", "lbfgs")),
    "protocol": completing(lambda: ("common", "paper")),
    "executor": completing(lambda: ("local", "inline", "ray")),
    "device": completing(lambda: ("auto", "cpu", "cuda")),
}


def config_option(help: str) -> Decorator[Any]:
    """--config FILE: a TOML file gives options by their names, with dashes or underscores."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE.toml",
        help=help,
        is_eager=True,
        expose_value=False,
        callback=_read_config,
    )


def _read_config(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        said = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        why = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {words_of(error)}"
        raise Refusal(f"--config {path} {why}; give a TOML file of options, such as runs = 20") from error
    except ValueError as error:
        raise Refusal(f"--config {path} cannot be read as TOML: {words_of(error)}") from error
    known = {name.lstrip("-"): of for of in context.command.params for name in of.opts if of is not parameter}
    found = {}
    for word, value in said.items():
        name = word.replace("_", "-")
        if name not in known:
            raise unknown(f"option in {path}", name, (one for one in known if len(one) > 1))
        if not _suits(value, known[name]):
            raise Refusal(f"{path} has {word} = {value!r}, which is nothing for --{name}: see --help for what it takes")
        found[known[name].name] = [value] if known[name].multiple and not isinstance(value, list) else value
    context.default_map = found


def _suits(value: Any, of: click.Parameter) -> bool:
    """Is a value of a TOML file of the type that an option has? A whole number is a number too, and nothing is cut."""
    if isinstance(value, list):
        return of.multiple and all(isinstance(one, str) for one in value)
    is_flag = isinstance(of, click.Option) and of.is_flag
    if is_flag or isinstance(value, bool):
        return is_flag and isinstance(value, bool)
    if of.type is click.INT:
        return isinstance(value, int)
    return isinstance(value, (int, float) if of.type is NUMBER else str)


def _end(line: str, code: int = 2) -> None:
    warn(line)
    for stream in filter(_is_stuck, (sys.stdout, sys.stderr)):  # or Python complains once more when it ends
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    sys.exit(code)


def _is_stuck(stream: Any) -> bool:
    """Does a stream hold what it cannot get rid of?"""
    try:
        stream.flush()
    except OSError:
        return True
    return False


def _open_what_is_closed() -> None:
    """The next file to be opened would get the number of a closed stream, and what is printed would go into it.

    Closed input is empty, closed output fails when something is written to it, closed error output is lost.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free: this one
    for number, (name, way) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, way, closefd=False, encoding="utf-8"))  # noqa: SIM115
