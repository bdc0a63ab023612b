"""What would a study take? Trainings, disk, and time as measured here a moment ago."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from ltbv.engine.cost import run_bytes, seconds_per_image, stored_bytes
from ltbv.engine.predict import TOP, wants_experts, wants_logits
from ltbv.engine.room import timed
from ltbv.engine.train import stage_epochs
from ltbv.errors import Refusal
from ltbv.harness.blame import of_others
from ltbv.harness.bootstrap import Job
from ltbv.harness.chunks import whole
from ltbv.harness.plan import Predicting, Training
from ltbv.harness.request import Place, Request
from ltbv.methods.base import Method, mean
from ltbv.optimisers import LBFGS
from ltbv.options import choices, words
from ltbv.schedules import value
from ltbv.store import span, spans

BYTES_A_POINT = 20  # of a prediction file, beside the float16 logits where these are kept


def outlook(job: Job) -> str:
    """Lines for `--dry-run`. The time is that of a few training steps of each stage, alone on the machine; a stage that
    methods share is trained once, and counted with the first of them."""
    protocol, shape = job.study.protocol, job.study.entry.image_shape
    if isinstance(protocol.optimiser, LBFGS):
        raise Refusal("--dry-run times epochs, and lbfgs has none; leave --dry-run out, or add --json for the chunks")
    of, n, classes = job.study.settings, int(job.study.counts.sum()), job.study.entry.num_classes
    runs = f"{job.request.runs} run{'s' * (job.request.runs != 1)}"
    lines = [f"{job.store.path}: {of.dataset}, {of.scheme}, {runs}, {n:,} images a run"]
    lines += [f"  augmentation {of.augmentation}"] if of.augmentation else []
    lines += [f"  note: {note}" for note in job.notes()]
    if said := job.too_large():
        lines.append(f"  does not fit: {said}")
    if job.pixels:
        lines.append(f"  {job.pixels}")
    size, largest, measured, of_method = 0, 0, {}, dict.fromkeys((method.key for method in job.methods.values()), 0.0)
    of_stage: dict[str, list[tuple[Training, float]]] = {}  # its stacks, and how long each takes
    for training in job.trainings:
        known = (training.key, len(training.runs))
        if known not in measured:
            measured[known] = _seconds_per_image(training, job)
        later = job.study.work(training.stage) / value(training.stage.objective.work(), 0, 1)  # than the step timed
        took = measured[known] * training.images(job.study) * later
        of_method[training.method.key] = of_method.get(training.method.key, 0.0) + took
        largest = max(largest, run_bytes(training.stage, protocol, shape, classes))
        size += stored_bytes(training.stage, protocol, shape, classes) * len(training.runs)
        of_stage.setdefault(training.key, []).append((training, took))
    lines += [_of_stage(stacks, stage_epochs(stacks[0][0].stage, protocol)) for stacks in of_stage.values()]
    predicting = [task for task in job.tasks if isinstance(task, Predicting)]
    files = sum(len(job.store.missing(task.method.key, task.runs)) for task in predicting)
    size += sum(
        len(job.store.missing(task.method.key, task.runs)) * prediction_bytes(task.method, job, classes)
        for task in predicting
    )
    if not job.tasks:
        return "\n".join([*lines, "  nothing is missing"])
    seconds = sum(of_method.values())
    each = ", ".join(f"{key} {_span(took)}" for key, took in of_method.items())
    jobs = f"{job.jobs} process{'es' * (job.jobs > 1)} on {job.device}"
    megabytes = f"{size / 1e6:.1f}" if size < 1e7 else f"{size / 1e6:.0f}"
    if largest:
        lines.append(
            f"  training takes about {max(largest / 1e6, 1):,.0f} MB of a GPU's memory for each run of a stack"
        )
    return "\n".join(
        [
            *lines,
            f"  training by method: {each}; together {_span(seconds)}",
            f"  {files} prediction files, {megabytes} MB, about {_span(seconds / job.jobs)} in {jobs}",
            f"  to start: {_start(job.request)}",
        ]
    )


def _seconds_per_image(training: Training, job: Job) -> float:
    """Measured here; what a function of somebody else's raises is a refusal that names it."""
    stage, given = training.stage, tuple(training.method.stage(name) for name in training.stage.given)
    asked = job.study.protocol, len(training.runs), job.study.entry.image_shape, job.study.entry.num_classes
    try:
        if job.device == "cpu":
            stage = timed(stage, *asked)
        return seconds_per_image(stage, *asked, job.device, given=given)
    except (Refusal, MemoryError, OSError):
        raise
    except Exception as error:
        if (whose := of_others(error)) is None:
            raise
        raise Refusal(f"{training.method.key}: {whose}") from error


def _of_stage(stacks: Sequence[tuple[Training, float]], epochs: int) -> str:
    """A line of all trainings of a stage, however many stacks they are."""
    (first, _), runs = stacks[0], sorted(run for training, _ in stacks for run in training.runs)
    which = ("run " if len(runs) == 1 else "runs ") + spans(runs)
    side = f" in {len(stacks)} stacks" if len(stacks) < len(runs) else " one at a time"
    took = _span(sum(took for _, took in stacks))
    return f"  train {first.method.key}/{first.stage.name}, {which}{side * (len(stacks) > 1)}, {epochs} epochs: {took}"


def prediction_bytes(method: Method, job: Job, classes: int) -> int:
    """Of one file, with the logits that are kept in it."""
    means, points, net = job.request.means, len(job.test_labels), method.stages[-1].net
    experts = 1 if net.head.joint or method.predict is not mean else net.experts
    each = experts > 1 and wants_experts(means.keep_expert_logits, experts, points, classes)
    if wants_logits(means.keep_logits, classes):
        return points * (BYTES_A_POINT + 2 * classes * (1 + each * experts))
    return points * (BYTES_A_POINT + (4 * TOP if means.keep_logits is None else 0))


def _start(request: Request) -> str:
    """The command that does what is asked."""
    methods = [word for key in request.methods for word in ("--method", key)]
    own = [*words(request.settings, but_defaults=True), *words(request.means, but_defaults=True)]
    usual = request.store == Path("runs") / request.settings.dataset
    where = [] if usual else ["--study", str(request.store)]
    return shlex.join(["ltbv", "bootstrap", *methods, "--runs", str(request.runs), *own, *where])


def as_json(job: Job) -> str:
    """The chunks with something missing, each with the command that does it: for schedulers."""
    found = []
    for chunk in whole(job.tasks):
        methods = [word for name in chunk.methods for word in ("--method", name)]
        command = shlex.join(["ltbv", "run", span(chunk.runs), *methods, *_words(job.request)])
        found.append({"runs": span(chunk.runs), "methods": list(chunk.methods), "command": command})
    return json.dumps({"study": str(job.store.path), "runs": job.request.runs, "chunks": found}, indent=1)


def _words(request: Request) -> list[str]:
    """The options of `ltbv run` that are not as they are by default."""
    place = Place(**{one.name: getattr(request.means, one.name) for one in choices(Place)})
    own = [*words(request.settings, but_defaults=True), *words(place, but_defaults=True)]
    return [*own, "--study", str(request.store)]


def _span(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.1 else "under 0.1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
