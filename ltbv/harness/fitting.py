"""Does what is asked fit into the memory of this machine? Said before the system ends a process for it.

What is counted is the least that a step takes: what is refused would not have worked.
"""

from collections import Counter
from collections.abc import Sequence

from ltbv.engine.room import in_steps, largest_part, room, size, step_bytes
from ltbv.engine.terms import of_stage
from ltbv.harness.plan import Training
from ltbv.harness.study import Study
from ltbv.methods.base import Stage


def too_large(study: Study, trainings: Sequence[Training], jobs: int, *, one_chunk: bool = False) -> str:
    """One line on the stage that takes most, with what would fit; '' where all do.

    jobs       processes at a time
    one_chunk  its runs are settled, and so is the process
    """
    if not trainings:
        return ""
    stacks, free = Counter(training.key for training in trainings), room()

    def asked(training: Training) -> int:
        return _least(study, training) * min(jobs, stacks[training.key])

    most = max(trainings, key=asked)
    least, at_once = _least(study, most), min(jobs, stacks[most.key])
    if least <= free.each and asked(most) <= free.shared:
        return ""
    images, runs = of_stage(_stage(study, most), study.protocol).batch, len(most.runs)
    beside = f" of {runs} runs side by side" if runs > 1 else ""
    where = f", in each of {at_once} processes" if at_once > 1 else ""
    takes = f"a step of {images:,} images{beside} takes at least {size(least)}{where}"
    there = f"{size(min(free))} are free here"
    alone = "one run at a time" if one_chunk else "--stack 1"
    return f"{most.method.key}/{most.stage.name}: {takes}, and {there}; give {_cure(study, most, at_once, alone)}"


def _least(study: Study, training: Training, runs: int | None = None) -> int:
    shape, classes = study.entry.image_shape, study.entry.num_classes
    return step_bytes(_stage(study, training), study.protocol, runs or len(training.runs), shape, classes)


def _stage(study: Study, training: Training) -> Stage:
    """The stage, in steps of as many images as an epoch has at the most."""
    epoch = study.images(training.stage)
    return in_steps(training.stage, max(2, min(of_stage(training.stage, study.protocol).batch, epoch)))


def _cure(study: Study, training: Training, at_once: int, alone: str) -> str:
    """What would fit, each by itself; or else all of it."""
    of, images = (_stage(study, training), study.protocol), (study.entry.image_shape, study.entry.num_classes)
    runs, free, least = len(training.runs), room(), _least(study, training)
    each = min(free.each, free.shared / at_once)
    fewer = min(int(free.shared // least), at_once - 1) if least <= free.each else 0
    found = [f"--jobs {fewer}"] if fewer else []
    found += [alone] if runs > 1 and _least(study, training, 1) <= each else []
    if part := largest_part(*of, runs, *images, each):
        found.append(f"--micro-batch {part}")
    if found:
        return " or ".join(found)
    if not (part := largest_part(*of, 1, *images, min(free))):
        return "a smaller --batch, or a smaller network"
    return ", ".join(["--jobs 1"] * (at_once > 1) + [alone] * (runs > 1) + [f"--micro-batch {part}"])
