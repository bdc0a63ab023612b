"""Which images reach a stack of runs, in which order? An index table a run; a `Reader` turns indices into images.

Order, crops and flips of a run are drawn on the host from its own `order` stream, so they depend on (seed, run, stage,
epoch) and on nothing else: not on the stack, the device or the number of workers.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from ltbv.answers import shaped
from ltbv.data.crops import VARIED, Crops, cropped
from ltbv.data.dataset import Augmentation, Dataset, labels_of
from ltbv.data.looks import Look
from ltbv.data.readers import Crop, Reader
from ltbv.data.residence import training_reader
from ltbv.data.samplers import Order, Sampler, Turn, nearest_of_class
from ltbv.data.undrawn import undrawn
from ltbv.errors import Refusal
from ltbv.guest import place
from ltbv.seeds import generator

DRAWN = ("positions", "labels", "tops", "lefts", "flips")  # of every image
BOXED = ("boxes", "factors", "turns")  # of images that are seen in parts
LOOKS = (*DRAWN, *BOXED, *VARIED)  # how an image is looked at


class Batch(NamedTuple):
    """images [B, R*channels, H, W] normalised, channels-last in memory (of `Feed.part` alone); labels [R, B].

    positions   [R, B] of each image in the run's sample (or among its development images)
    draws       [R, B, k] uniform within [0, 1), where the objective asks for k: `Objective.draws`
    more        what the sampler says of each image besides, name -> [R, B]
    """

    images: Tensor
    labels: Tensor
    positions: Tensor | None = None
    draws: Tensor | None = None
    more: Mapping[str, Tensor] = {}


class Table(NamedTuple):
    """One epoch of one sampler: positions, labels, tops, lefts, flips, degrees where images are turned, kinds, amounts,
    centres, holes and fills where they are varied strongly, and more of every image, by name [R, n]."""

    sampler: Sampler
    columns: dict[str, Tensor]

    def to(self, device: torch.device, copy: bool = False) -> "Table":
        """The same on a device."""
        return Table(self.sampler, {name: values.to(device, copy=copy) for name, values in self.columns.items()})


Tables = tuple[Table, ...]  # of an epoch, one for each sampler


class Feed:
    """The training images of a stack of runs.

    ids           [R, n] the sample of each run
    held          [R, m] its development images
    augmentation  how training images are varied
    reader        where they come from
    part          which images of each batch are looked at, where several processes share a batch: all are drawn, and
                  have a label

    `mean` and `std` [channels] are what images are normalised by, of pixels within 0 and 1.
    """

    def __init__(
        self,
        dataset: Dataset,
        ids: np.ndarray,
        held: np.ndarray | None = None,
        *,
        augmentation: Augmentation,
        device: torch.device,
        dtype: torch.dtype,
        part: slice = slice(None),
    ):
        self.part = part
        held = ids[:, :0] if held is None else held
        distinct, rows = np.unique(np.concatenate([ids, held], axis=1), return_inverse=True)
        self.reader: Reader = training_reader(dataset, distinct, pad=augmentation.pad, device=device, dtype=dtype)
        rows = rows.reshape(len(ids), -1)
        self.rows, self.held_rows = rows[:, : ids.shape[1]], rows[:, ids.shape[1] :]
        self.labels, self.held_labels = labels_of(ids), labels_of(held)
        self.mean, self.std = (torch.tensor(of, dtype=dtype, device=device) for of in (dataset.mean, dataset.std))
        self._here, self._held_here = (torch.as_tensor(of).to(device) for of in (self.rows, self.held_rows))
        self.crops, self.boxes = Crops.of(augmentation, dataset), augmentation.parts
        self.counts = np.stack([np.bincount(labels, minlength=dataset.num_classes) for labels in self.labels])
        self._nearest: dict[tuple[int, int], np.ndarray] = {}

    def lent(self) -> Self:
        """The same for one method, with arrays of its own: what its functions do to them no other method sees."""
        found = copy(self)
        found.rows, found.held_rows = self.rows.copy(), self.held_rows.copy()
        found.labels, found.held_labels = self.labels.copy(), self.held_labels.copy()
        found.counts = self.counts.copy()
        return found

    def tables(
        self,
        seed: int,
        runs: tuple[int, ...],
        stage: tuple[int, ...],
        epoch: int,
        epochs: int,
        samplers: tuple[Sampler, ...],
        *,
        batch: int,
        draws: int = 0,
        groups: Mapping[str, Sequence[int] | np.ndarray] | None = None,
    ) -> Tables:
        """What one epoch of a stage needs of every image, drawn on the host, for each sampler.

        stage   what its draws are keyed by: how many stages it starts from, and a salt if it has one
        draws   numbers that each image brings along, `Batch.draws`
        groups  class ids by name, `Turn.groups`
        """
        depth, *salt = stage
        tables = []
        for k, sampler in enumerate(one.of_epoch(epoch, epochs) for one in samplers):
            turns = [
                Turn(
                    _fixed(self.labels[slot]),
                    epoch,
                    epochs,
                    draw=generator(seed, run, "order", depth, epoch, k, *salt),
                    fixed=generator(seed, run, "kept", depth, k, *salt),
                    neighbours=partial(self._neighbours, slot),
                    held=_fixed(self.held_labels[slot]),
                    spans=self.spans(batch),
                    groups=groups or {},
                )
                for slot, run in enumerate(runs)
            ]
            tables.append(Table(sampler, self._drawn(sampler, turns, draws)))
        return tuple(tables)

    def spans(self, batch: int) -> list[tuple[int, int]]:
        """Where in an epoch each batch starts and ends.

        The last holds what is left; a single image joins the batch before it, for a batch norm of 1 x 1 maps needs two.
        """
        n = self.rows.shape[1]
        return list(pairwise([0, *range(batch, n - 1, batch), n]))

    def epoch(self, tables: Tables, batch: int) -> Iterator[tuple[Batch, ...]]:
        """The batches of an epoch, one after the other."""
        here, spans = tuple(table.to(self.reader.device) for table in tables), self.spans(batch)
        asked = [self._asked(tables, start, end - start, batch) for start, end in spans]
        for (start, end), _ in zip(spans, self.reader.ahead(asked), strict=True):
            yield self.batches(here, start, end - start, batch)

    def batches(self, tables: Tables, start: int | Tensor, size: int, batch: int) -> tuple[Batch, ...]:
        """The images from `start` of an epoch on, one `Batch` for each sampler; `tables` are on the device.

        start   a multiple of `batch`; a tensor where a step is recorded, and may then go round
        """
        return tuple(self._batch(table, *self._within(table, start, size, batch)) for table in tables)

    def _within(self, table: Table, start: Any, size: int, batch: int) -> tuple[Any, int]:
        """Where a batch starts in a table, and how long it is there."""
        if not table.sampler.held:
            return start, size
        own = table.columns["labels"].shape[1] // len(self.spans(batch))
        return start // batch * own, own  # as many in every batch, the last one too

    def _asked(self, tables: Tables, start: int, size: int, batch: int) -> np.ndarray:
        """Rows of all images that a batch looks at, as far as tables tell."""
        found = []
        for table in tables if not self.reader.resident else ():
            rows = self.held_rows if table.sampler.held else self.rows
            first, own = self._within(table, start, size, batch)
            for name in ("positions", "partners"):
                if name in table.columns:
                    places = table.columns[name][:, first : first + own][:, self.part]
                    found.append(np.take_along_axis(rows, places.cpu().numpy(), 1).ravel())
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def plain(self, batch: int, held: bool = False) -> Iterator[Batch]:
        """Every image of each run once, whole and unmirrored, in the order of the sample; or of what is held out."""
        device, both = self.reader.device, (self.held_rows, self.held_labels) if held else (self.rows, self.labels)
        rows, labels = (torch.as_tensor(values).to(device) for values in both)
        for start in range(0, rows.shape[1], batch):
            here = rows[:, start : start + batch]
            corner = torch.full_like(here, self.reader.corner)
            images = self.reader.gather(here, Crop(corner, corner, torch.zeros_like(here, dtype=torch.bool)))
            yield Batch(images, labels[:, start : start + batch])

    def _drawn(self, sampler: Sampler, turns: list[Turn], draws: int) -> dict[str, Tensor]:
        """The columns of a table."""
        labels = self.held_labels if sampler.held else self.labels
        drawn: dict[str, list[np.ndarray]] = {}
        for slot, turn in enumerate(turns):
            if sampler.held and not turn.held.size:
                raise Refusal(f"sampler {sampler!r} draws development images, and none are held out; give held=10, say")
            with undrawn(f"the sampler {place(sampler)}"):
                order = _checked(sampler.order(turn), sampler, turn)
            if "partners" in order.more and type(sampler).compose is Sampler.compose:
                raise Refusal(f"sampler {sampler!r} names partners and blends nothing; give it `compose`, as Smote has")
            n = len(order.positions)
            own = {"positions": order.positions, "labels": labels[slot][order.positions]}
            own |= self.crops.drawn(turn.draw, n, self.reader.corner)
            if self.boxes:
                rows = (self.held_rows if sampler.held else self.rows)[slot][order.positions]
                own |= self.boxes.drawn(turn.draw, self.reader.sizes(rows))
            if draws:
                own["draws"] = turn.draw.random((n, draws))
            if taken := sorted(own.keys() & order.more.keys()):
                raise Refusal(f"sampler {sampler!r} says {taken[0]!r} of its images, which every table has; rename it")
            for name, values in {**own, **order.more}.items():
                drawn.setdefault(name, []).append(values)
        if some := [name for name, of in drawn.items() if len(of) < len(turns)]:
            who = f"the sampler {place(sampler)}"
            raise Refusal(f"{who} gave {some[0]!r} for some runs and not for others; let it give the same for all")
        return {name: torch.as_tensor(np.stack(values)) for name, values in drawn.items()}

    def _batch(self, table: Table, start: int | Tensor, size: int) -> Batch:
        width = table.columns["labels"].shape[1]
        where: slice | Tensor
        if isinstance(start, Tensor):
            where = (start + torch.arange(size, device=start.device)) % width
        else:
            where = slice(start, start + size)
        of = {name: values[:, where] for name, values in table.columns.items()}
        labels, positions, draws = of["labels"], of["positions"], of.pop("draws", None)
        seen = {name: values[:, self.part] for name, values in of.items()}
        own = {name: seen.pop(name) for name in DRAWN}
        boxed = [seen.pop(name, None) for name in BOXED]
        crop = cropped(own | {name: seen.pop(name) for name in VARIED if name in seen})
        rows = self._held_here if table.sampler.held else self._here

        def look(positions: Tensor) -> Tensor:
            here = rows.gather(1, positions)
            if boxed[0] is None:
                return self.reader.gather(here, crop)
            first = own["positions"]
            boxes = boxed[0] if positions is first else self.reader.fitted(boxed[0], rows.gather(1, first), here)
            return self.reader.look(here, Look(boxes, own["flips"], boxed[1], boxed[2], crop.strong))

        plain = look(own["positions"])
        found = table.sampler.compose(plain, seen, look)
        who = f"compose of the sampler {place(table.sampler)}"
        images = shaped(found, tuple(plain.shape), who, "images as it was given", plain)
        more = {name: values for name, values in of.items() if name not in LOOKS}
        return Batch(images, labels, positions, draws, more)

    def _neighbours(self, slot: int, k: int) -> np.ndarray:
        """`nearest_of_class` among the images of one run; found once."""
        if self.boxes:
            raise Refusal(
                f"neighbours by their pixels, of images of {self.reader.side} pixels a side: they are not sought where"
                " images are seen in parts; take a method that needs none"
            )
        if (slot, k) not in self._nearest:
            own = self.rows[slot]
            found = nearest_of_class(lambda some: self.reader.raw(own[some]), self.labels[slot], k)
            self._nearest[slot, k] = _fixed(found)
        return self._nearest[slot, k]


def _fixed(values: np.ndarray) -> np.ndarray:
    """The same values, which nobody changes by this: others go by them too."""
    found = values.view()
    found.flags.writeable = False
    return found


def _checked(order: Order, sampler: Sampler, turn: Turn) -> Order:
    """What a sampler gave, if it is an order of the images that there are, and as long as it has to be."""
    who, there = f"the sampler {place(sampler)}", len(turn.held if sampler.held else turn.labels)
    if not isinstance(order, Order):
        raise Refusal(f"{who} gave a {type(order).__name__}; it has to give an Order, of positions [n]")
    positions = np.asarray(order.positions)
    said = f"{who} gave {positions.dtype} of shape {positions.shape}"
    n = positions.size if sampler.held else there
    if positions.shape != (n,) or positions.dtype.kind not in "iu" or (sampler.held and n % len(turn.spans)):
        wanted = f"as many for each of the {len(turn.spans)} batches" if sampler.held else f"shape ({n},)"
        raise Refusal(f"{said}; it has to give a position for each image of the epoch, integers, here {wanted}")
    more = dict(order.more)
    for name, values in more.items():
        if np.shape(values)[:1] != (n,):
            raise Refusal(f"{who} gave {name!r} of shape {np.shape(values)}; it has to give one for each position, {n}")
    if "partners" in more:
        more["partners"] = _whole(more["partners"], there, f"{who} gave partners,")
    return Order(_whole(positions, there, f"{said},"), more)


def _whole(positions: object, there: int, said: str) -> np.ndarray:
    """Positions as they are looked up, if they are of the images that there are."""
    found = np.asarray(positions)
    if found.dtype.kind not in "iu":
        raise Refusal(f"{said} {found.dtype}; positions are integers, of {there} images here, from 0 to {there - 1}")
    if found.size and not (found.min() >= 0 and found.max() < there):
        span = f"from {found.min()} to {found.max()}"
        raise Refusal(f"{said} {span}; positions are of {there} images here, from 0 to {there - 1}")
    return found.astype(np.int64, copy=False)
