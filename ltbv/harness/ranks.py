"""How do the processes that torchrun starts do a chunk together? The first does all of it, as one alone would.

It holds the locks, reads and writes the study, and calls the others when there is a stage to train: they read the data
alone, take its weights, and help (`engine/ranks`). So they never differ about what is there. When one dies, torchrun
ends the others.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ltbv.engine.device import choose
from ltbv.engine.ranks import check, is_one_of_several, joined
from ltbv.engine.terms import of_stage
from ltbv.errors import Refusal
from ltbv.guest import guest
from ltbv.harness.bootstrap import Job
from ltbv.harness.leaving import leave_if_told
from ltbv.harness.study import filled_in
from ltbv.harness.trainer import Trainer, one_thread
from ltbv.harness.work import Order
from ltbv.methods import find
from ltbv.optimisers import LBFGS
from ltbv.settings import Settings


def follows() -> bool:
    """Is this process one that another calls?"""
    return is_one_of_several() and os.environ.get("RANK") != "0"


@contextmanager
def leading(job: Job) -> Iterator[None]:
    """In here stages are trained with the processes that torchrun has started beside this one, if it has."""
    if not is_one_of_several():
        yield
        return
    for training in job.trainings:
        own = of_stage(training.stage, job.study.protocol)
        if own.micro_batch is not None:
            raise Refusal(f"micro_batch {own.micro_batch} is of one process; leave it out, or train without torchrun")
        if any(isinstance(rule, LBFGS) for rule in (own.optimiser, *dict(training.stage.own).values())):
            raise Refusal("optimiser lbfgs is of one process; train without torchrun")
        try:
            check(training.stage)
        except Refusal as refusal:
            raise Refusal(f"method {training.name!r}: {refusal}") from None
    with joined(_own(job.device)) as team:
        team.said({"order": job.order().as_json(), "fingerprint": job.study.fingerprint})
        try:
            yield
        finally:
            if not team.parted:
                team.said(None)


def follow(device: str) -> None:
    """Help the first process with what it trains, until it says that it is done."""
    where = _own(device)
    with joined(where) as team:
        told = team.said(None)
        order = Order(**told["order"])
        study, dataset = filled_in(Settings.read(order.asked)).load(order.data_dir)
        if study.fingerprint != told["fingerprint"]:
            raise Refusal(f"the data of {study.settings.dataset} here are not those of the first process")
        methods = {method.key: method for method in (study.form(find(name)) for name in order.methods)}
        trainers: dict[tuple[int, ...], Trainer] = {}
        while asked := team.said(None):
            method, runs = methods[asked["method"]], asked["runs"]
            if runs not in trainers:
                trainers = {runs: Trainer(study, order.store(), dataset, runs, device=where)}
            try:
                with guest(), one_thread(where):
                    trainers[runs].help_with(method, method.stage(asked["stage"]))
            except Exception:
                leave_if_told()  # as the first process has, at the end of an epoch
                raise


def _own(device: str) -> torch.device:
    """The device of this process: on a machine with GPUs, one for each."""
    where = choose(device)
    if where.type == "cuda":
        own, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if where.index is not None or own >= there:
            raise Refusal(
                f"device {device!r} for process {own} of this machine: give --device cuda, and torchrun"
                f" --nproc-per-node {there} at most, for {there} GPUs"
            )
        torch.cuda.set_device(own)
    return where
