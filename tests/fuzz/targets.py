"""Every reader of files that others wrote, as a function of bytes, and small whole files to begin with.

A target lays bytes where a reader looks for a file and calls the public reader. What it may do is in `oracle`. Where a
file is an archive with checksums, one target takes the bytes of the file and another the bytes of a member, around
which a whole archive is put: damage that a checksum finds would hide all that lies behind it.
"""

import contextlib
import dataclasses
import fcntl
import gzip
import importlib.util
import io
import json
import os
import pickle
import pickletools
import socket
import struct
import tarfile
import tempfile
import time
import types
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
import oracle
import torch
from torch import nn

from ltbv import files
from ltbv.data import cache as of_cache
from ltbv.data import cifar
from ltbv.engine.snapshot import restore, take_snapshot
from ltbv.errors import Refusal
from ltbv.harness import status as of_status
from ltbv.harness.events import FoundDamaged
from ltbv.harness.pulse import pulses
from ltbv.harness.trainer import Trainer
from ltbv.models.loop import Loop
from ltbv.models.stack import Conv, Norm, run_state
from ltbv.report.elsewhere import files as of_files
from ltbv.report.elsewhere import read_elsewhere
from ltbv.report.elsewhere.classes import Classes
from ltbv.report.elsewhere.counts import read_counts
from ltbv.report.elsewhere.listings import read_labels, read_names
from ltbv.report.evidence import Evidence
from ltbv.report.study import read_study
from ltbv.store import Store, provenance
from ltbv.store.locks import Busy

CLASSES, POINTS, RUNS = 3, 6, 2
LABELS = np.repeat(np.arange(CLASSES), POINTS // CLASSES)
COUNTS = [6, 3, 1]
STAGE = "0123456789abcdef"
ASKED = {
    "dataset": "glyphs-lt",
    "scheme": "subsample",
    "head": 6,
    "imbalance": 6.0,
    "kind": "exp",
    "epochs": 2,
    "seed": 0,
    "protocol": {"batch": 16, "backbone": {"widths": [4, 8]}},
    "revision": 1,
}
MADE_WITH = {"ltbv": "0.1", "machine": {"cores": 2}}


@dataclass(frozen=True)
class Target:
    """One reader. `feed` gives 'read', the words of a refusal, or raises an `oracle.Fault`.

    prepare  fills a folder once; read  lays content into it and calls the reader, for every input
    named    what a refusal may name instead of the folder
    """

    name: str
    read: Callable[[Path, bytes], object]
    seeds: Callable[[], list[bytes]]
    prepare: Callable[[Path], object] = lambda folder: None
    named: tuple[str, ...] = ()
    _at: list[tempfile.TemporaryDirectory] = field(default_factory=list, repr=False)

    @cached_property
    def folder(self) -> Path:
        """Where this process reads; made once, whole files read once so that all is imported."""
        self._at.append(tempfile.TemporaryDirectory(prefix="ltbv-fuzz-"))
        folder = Path(self._at[0].name)
        self.prepare(folder)
        for seed in self.seeds():
            with contextlib.suppress(Refusal):
                self.read(folder, seed)
        return folder

    def feed(self, content: bytes) -> str:
        """Read these bytes under guard."""
        return oracle.watched(lambda: self.read(self.folder, content), self.folder, self.named)


# ---- small whole files


def npy(values: np.ndarray) -> bytes:
    """The bytes of a .npy."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def npy_like(header: str, data: bytes = b"", version: int = 1) -> bytes:
    """The bytes of a .npy with a header of one's own."""
    words = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(words)) + words + data


def npz(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive with right checksums around these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, compress_type=method)
    return buffer.getvalue()


def fields(run: int = 0) -> dict[str, np.ndarray]:
    """A prediction file of a study."""
    draw = np.random.default_rng(run)
    scores = draw.random((POINTS, CLASSES)).astype(np.float32)
    probs = scores / scores.sum(1, keepdims=True)
    return {
        "label": probs.argmax(1).astype(np.uint16),
        "p_true": probs[np.arange(POINTS), LABELS],
        "negative": ((LABELS + 1) % CLASSES).astype(np.uint16),
        "p_negative": probs[np.arange(POINTS), (LABELS + 1) % CLASSES],
        "logits": np.log(probs).astype(np.float16),
        "experts_used": np.ones(POINTS, np.uint8),
        "expert_logits": np.log(np.stack([probs, probs])).astype(np.float16),
    }


def said(recipe: dict, run: int) -> dict:
    """What a prediction file says of itself."""
    alike = {"runs": [0, 1], "threads": 1, "device": "cpu", "dtype": "float32", "versions": {"torch": "2"}}
    weights = {stage["key"]: "0" * 16 for stage in recipe["stages"]}
    own = {"weights": weights, "trained": alike, "predicted": alike}
    return provenance.of_prediction(recipe, ASKED["seed"], run) | own


def study_json() -> dict:
    """study.json of the small study."""
    data = {
        "class_names": ["ant", "bee", "sea cow"],
        "counts": COUNTS,
        "pool_sizes": [9] * CLASSES,
        "splits": {"many": [0], "medium": [1], "few": [2]},
    }
    return {"format": 1, "identity": "0" * 32, "asked": ASKED, "data": data, "made_with": MADE_WITH}


def recipe_json(key: str, order: int) -> dict:
    """recipe.json of a method."""
    cost = {"parameters": 10, "macs": {"without_norm": 9, "with_norm": 9}, "training_images_times_macs": 90}
    stages = [{"name": "representation", "key": STAGE}]
    return {"key": key, "label": key.upper(), "order": order, "stages": stages, "cost": cost}


def small_study(folder: Path) -> Store:
    """CE and RIDE with two runs each."""
    store = Store(folder)
    found = study_json()
    store.open(found["asked"], found["data"], found["made_with"])
    ids = np.concatenate([np.full(n, c) * 2**32 + np.arange(n) for c, n in enumerate(COUNTS)])
    store.write_samples(np.stack([ids] * RUNS))
    store.write_test_labels(LABELS)
    for order, key in enumerate(("ce", "ride")):
        store.open_method(key, recipe_json(key, order))
        for run in range(RUNS):
            own = provenance.sealed(fields(run), said(recipe_json(key, order), run))
            files.write_arrays(store.prediction_file(key, run), own)
    return store


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


# ---- a study


def tolerant(*steps: Callable[[], object]) -> None:
    """Take every step, then raise the first refusal there was."""
    refusals = []
    for step in steps:
        try:
            step()
        except Refusal as refusal:
            refusals.append(refusal)
    if refusals:
        raise refusals[0]


def of_study(store: Store) -> None:
    """Each door of a study apart, so that a refusal at one does not hide the next."""
    tolerant(
        lambda: check_evidence(read_study(store.path)),
        lambda: of_status.lines(of_status.status(store)),
        lambda: json.dumps(of_status.status(store)),
        lambda: store.check(ASKED),
        *(partial(store.check_method, method, recipe_json(method, 0)) for method in ("ce", "ride")),
        store.samples,
        store.test_labels,
    )


def check_evidence(evidence: Evidence) -> None:
    """What every table takes for granted of evidence that was accepted."""
    classes, labels = len(evidence.class_names), evidence.labels
    assert labels.ndim == 1 and labels.dtype.kind in "iu" and labels.size
    assert labels.min() >= 0 and labels.max() < classes
    counts = evidence.train_counts
    assert counts is None or (len(counts) == classes and counts.dtype.kind in "iu")
    assert all(isinstance(name, str) and name.encode() for name in evidence.class_names)
    in_splits = sorted(c for ids in evidence.splits.values() for c in ids.tolist())
    assert in_splits == ([] if counts is None else list(range(classes)))
    assert evidence.setting.shared.shape == (classes,)
    for method in evidence.methods:
        assert isinstance(method.label, str) and method.label.encode()
        shape = (len(method.runs), labels.size)
        for name in ("predictions", "p_true", "p_negative", "negatives", "experts_used"):
            values = getattr(method, name)
            assert values is None or values.shape == shape, name
        for values in (method.predictions, method.negatives):
            assert values is None or (values.min() >= 0 and values.max() < classes and values.dtype.kind in "iu")
        for values in (method.p_true, method.p_negative):
            assert values is None or (values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1)


def read_study_json(folder: Path, content: bytes) -> None:
    (folder / "study.json").write_bytes(content)
    of_study(Store(folder))


def read_recipe_json(folder: Path, content: bytes) -> None:
    (folder / "predictions" / "ride" / "recipe.json").write_bytes(content)
    of_study(Store(folder))


def read_prediction(folder: Path, content: bytes) -> None:
    path = Store(folder).prediction_file("ride", 1)
    path.write_bytes(content)
    tolerant(partial(files.read_arrays, path), partial(read_study, folder))


def chosen(content: bytes, names: tuple[str, ...]) -> tuple[str, bool, bytes]:
    """The first byte chooses a name, and with its highest bit compression; the rest is content."""
    first = content[0] if content else 0
    return names[(first & 127) % len(names)], first > 127, content[1:]


def around(content: bytes, arrays: dict[str, np.ndarray]) -> bytes:
    """An archive of these arrays, one of which (the first byte says which) has other bytes."""
    name, compressed, member = chosen(content, tuple(arrays))
    members = {other: npy(values) for other, values in arrays.items()} | {name: member}
    return npz(members, zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED)


def members_of(arrays: dict[str, np.ndarray]) -> list[bytes]:
    """Seeds for `around`."""
    return [bytes([at]) + npy(values) for at, values in enumerate(arrays.values())]


def read_prediction_field(folder: Path, content: bytes) -> None:
    read_prediction(folder, around(content, provenance.sealed(fields(), said(recipe_json("ride", 1), 1))))


def study_arrays() -> dict[str, np.ndarray]:
    """What lies beside the predictions of a study."""
    ids = np.concatenate([np.full(n, c) * 2**32 + np.arange(n) for c, n in enumerate(COUNTS)])
    return {"ids": np.stack([ids] * RUNS), "labels": LABELS}


def read_study_arrays(folder: Path, content: bytes) -> None:
    name, compressed, member = chosen(content, ("ids", "labels"))
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    arrays = study_arrays()
    for other, file in (("ids", "samples.npz"), ("labels", "test.npz")):
        content = npz({other: member}, method) if name == other else npz({other: npy(arrays[other])})
        (folder / file).write_bytes(content)
    tolerant(lambda: Store(folder).runs_asked(), lambda: of_study(Store(folder)))


# ---- weights


@cache
def network() -> nn.Sequential:
    """Two copies of a small network, with a layer that draws."""
    return nn.Sequential(Conv(2, 1, 2), Norm(2, 2), Loop(2, lambda: nn.Flatten()))


@cache
def optimiser() -> torch.optim.Optimizer:
    found = torch.optim.SGD(network().parameters(), lr=1.0, momentum=0.9)
    for parameter in network().parameters():
        found.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return found


def stage() -> dict[str, np.ndarray]:
    """A stage file."""
    weights = {**run_state(network(), 0, 2), "loss_by_epoch": np.zeros(2)}
    return provenance.sealed(weights, {"stage": STAGE, "run": 0, "seed": ASKED["seed"]})


def snapshot() -> dict[str, np.ndarray]:
    """A snapshot after an epoch."""
    return take_snapshot(network(), [optimiser()], np.zeros((2, 2, 1)))


def read_stage(folder: Path, content: bytes) -> None:
    """As a chunk takes a stage from the store: it fits, or it is set aside and trained again."""
    store, key = Store(folder), STAGE
    store.stage_file(key, 0).parent.mkdir(parents=True, exist_ok=True)
    store.stage_file(key, 0).write_bytes(around(content, stage()))
    events: list[FoundDamaged] = []
    workshop = Trainer.__new__(Trainer)
    workshop.study = types.SimpleNamespace(settings=types.SimpleNamespace(seed=ASKED["seed"]))
    workshop.store, workshop.runs, workshop.tell, workshop.kept = store, (0, 1), events.append, {}
    if not workshop.fill(network(), key, 0):
        assert not store.stage_file(key, 0).exists()
        raise Refusal(f"{events[0].path}: {''.join(c for c in events[0].why if c.isprintable())}"[:1000])


def read_snapshot(folder: Path, content: bytes) -> None:
    """As a stage that goes on: a snapshot that does not fit changes nothing."""
    path = folder / "part-0-1.npz"
    path.write_bytes(around(content, snapshot()))
    arrays = files.read_arrays(path)
    before = {name: tensor.clone() for name, tensor in network().state_dict().items()}
    losses = restore(arrays, network(), [optimiser()], runs=2, epochs=9)
    if losses is None:
        assert all(torch.equal(tensor, before[name]) for name, tensor in network().state_dict().items())
        raise Refusal(f"{path}: not used")
    assert losses.ndim == 3 and losses.shape[:2] == (2, 2)
    for generator in network()[2].draws:
        generator.integers(9)
    with torch.no_grad():
        for parameter in network().parameters():
            parameter.zero_()


# ---- notes that commands leave for each other


NOTES = ("locks", "progress", "failures")


def note() -> dict:
    """What commands write beside locks and of their progress."""
    here = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
    return here | {"doing": "runs 0-1", "updated": 4e9, "images": 5, "of": 9, "jobs": 1, "share": 0.5, "left": 60.0}


def prepare_notes(folder: Path) -> None:
    """A study with a run in hand."""
    small_study(folder)
    for name in ("locks", "progress", "failures/ride"):
        (folder / name).mkdir(parents=True)
    lock = (folder / "locks" / "r001.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    _HELD.append(lock)


_HELD: list[io.TextIOBase] = []  # for as long as the process lives


def read_note(folder: Path, content: bytes) -> None:
    name, _, content = chosen(content, NOTES)
    places = {"locks": "locks/r001.json", "progress": "progress/note.json", "failures": "failures/ride/r007.txt"}
    for other, place in places.items():
        (folder / place).write_bytes(content if name == other else as_json(note()))
    store = Store(folder)

    def shown() -> None:
        for line in of_status.lines(of_status.status(store)):
            assert line.isprintable(), f"line of status {line!r}"

    def busy() -> None:
        with contextlib.suppress(Refusal):  # where the note is none, nobody is named
            store.refuse_if_worked_on()
        try:
            with store.working([1]):
                raise AssertionError("the lock is held")
        except Busy as busy:
            assert str(busy).isprintable() and len(str(busy)) <= 2 * oracle.MOST_WORDS, f"says {busy!r}"

    tolerant(shown, lambda: json.dumps(of_status.status(store)), lambda: pulses(folder), busy)


# ---- names of files


NAMES = ("failures/ride", "predictions/ride", "predictions", "locks", "progress", "stages", "elsewhere")


def read_names_of_files(folder: Path, content: bytes) -> None:
    """Files whose names (one a line of content) were chosen by somebody else."""
    under, as_directory, content = chosen(content, NAMES)
    made = []
    for name in content.split(b"\n")[:8]:
        name = name.replace(b"/", b"_").replace(b"\0", b"_")[:200]
        path = Path(os.fsdecode(os.path.join(os.fsencode(folder / under), name or b"_")))
        if path.name not in (".", "..") and not path.exists():
            path.mkdir() if as_directory else path.write_bytes(b"{}")
            made.append(path)
    try:
        steps = [partial(of_study, Store(folder))]
        if under == "elsewhere":
            steps = [lambda: of_files.find(folder / under), lambda: elsewhere({"ce": folder / under}, folder)]
        tolerant(*steps, lambda: of_status.verify(Store(folder)))
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        for path in list(folder.rglob("*.damaged")):
            path.rmdir() if path.is_dir() else path.unlink()


def prepare_names(folder: Path) -> None:
    prepare_notes(folder)
    (folder / "stages").mkdir()
    (folder / "elsewhere").mkdir()
    (folder / "counts.json").write_bytes(as_json(COUNTS))


# ---- predictions from elsewhere


def elsewhere(sources: dict[str, Path], folder: Path) -> None:
    check_evidence(read_elsewhere(sources, folder / "counts.json"))


def prepare_elsewhere(folder: Path) -> None:
    (folder / "counts.json").write_bytes(as_json(COUNTS))
    (folder / "labels.json").write_bytes(as_json(LABELS.tolist()))


def outputs() -> dict[str, np.ndarray]:
    """Fields of a prediction file from elsewhere."""
    logits = np.random.default_rng(0).normal(size=(POINTS, CLASSES)).astype(np.float32)
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    names = np.array([f"image {k}.jpg" for k in range(POINTS)])
    return {"logits": logits, "probs": probs, "preds": logits.argmax(1), "labels": LABELS, "sample_id": names}


def read_predictions(suffix: str, folder: Path, content: bytes) -> None:
    """One run in a file, once with labels from elsewhere too."""
    path = folder / f"run3{suffix}"
    path.write_bytes(content)

    def labelled() -> None:
        check_evidence(read_elsewhere({"ce": path}, folder / "counts.json", folder / "labels.json"))

    def without_counts() -> None:
        check_evidence(read_elsewhere({"ce": path}, None, folder / "labels.json"))

    alone = () if suffix == ".npy" else (partial(elsewhere, {"ce": path}, folder),)  # where there are no labels
    tolerant(*alone, labelled, without_counts)


def read_predictions_field(folder: Path, content: bytes) -> None:
    """The first byte chooses the field, the second which fields are there beside it."""
    arrays = outputs()
    which = content[1] if len(content) > 1 else 0
    name, _, _ = chosen(content, tuple(arrays))
    kept = {other: values for at, (other, values) in enumerate(arrays.items()) if which >> at & 1 or other == name}
    first = list(kept).index(name) | (content[0] & 128 if content else 0)
    read_predictions(".npz", folder, around(bytes([first]) + content[2:], kept))


def stacked() -> dict[str, np.ndarray]:
    """What a study writes, all runs in one file."""
    of_runs = [fields(run) for run in range(RUNS)]
    names = ("label", "p_true", "negative", "p_negative")
    return {name: np.stack([of_run[name] for of_run in of_runs]) for name in names} | {
        "labels": LABELS,
        "runs": np.arange(RUNS) + 3,
        "filenames": outputs()["sample_id"],
        "epoch": np.full(POINTS, 200),
    }


def read_stacked_field(folder: Path, content: bytes) -> None:
    read_predictions(".npz", folder, around(content, stacked()))


def tables() -> list[str]:
    """Small .csv files in the forms there are."""
    preds = outputs()["preds"]
    probs = outputs()["probs"]
    rows = range(POINTS)
    return [
        "label,pred\n" + "".join(f"{LABELS[k]},{preds[k]}\n" for k in rows),
        "run,sample,label,pred\n"
        + "".join(f"seed{r},image {k}.jpg,{LABELS[k]},{preds[k]}\n" for r in (3, 4) for k in rows),
        'sample,label,p_0,p_1,p_2\n"a, ""b"""'
        + "".join(f",{LABELS[k]}," + ",".join(map(str, probs[k])) + f"\ni{k}" for k in rows)[:-3]
        + "\n",
        "pred\r\n" + "".join(f"{p}\r\n" for p in preds),
        ",Target,prediction,class name,loss\n"
        + "".join(f"{5 - k},{LABELS[k]},{preds[k]},c{LABELS[k]},0.{k}\n" for k in rows),
        "method,seed,epoch,file name,gt,y_pred\n"
        + "".join(f"ce,{s},9,{k}.jpg,{LABELS[k]},{preds[k]}\n" for s in (3, 4) for k in rows),
    ]


def nested() -> list[object]:
    """What a .json or a .pt may hold."""
    arrays = {name: values.tolist() for name, values in outputs().items()}
    names = np.array(["ant", "bee", "sea cow"])
    rows = [
        {"filename": of, "prediction": str(names[p]), "target": str(names[label])}
        for of, p, label in zip(arrays["sample_id"], arrays["preds"], LABELS, strict=True)
    ]
    by_point = dict(zip(arrays["sample_id"], arrays["preds"], strict=True))
    return [arrays, rows, by_point, arrays["preds"], [arrays["logits"]] * RUNS, {"preds": [arrays["preds"]] * RUNS}]


def torch_file(value: object) -> bytes:
    """The bytes that torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def torch_files() -> list[bytes]:
    tensors = {name: torch.tensor(values) for name, values in outputs().items() if values.dtype.kind != "U"}
    named = tensors | {"sample_id": outputs()["sample_id"].tolist(), "epoch": 9, "half": tensors["logits"].bfloat16()}
    stacked = torch.stack([tensors["logits"]] * RUNS)
    return [torch_file(named), torch_file(stacked), torch_file({"probs": tensors["probs"].half(), "y": [1.5, None]})]


def program_of(content: bytes) -> bytes:
    """The pickle in what torch.save wrote, behind which right checksums can be put."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def read_torch_program(folder: Path, content: bytes) -> None:
    """The pickle is this, whatever its checksum; the tensors are there."""
    whole, buffer = io.BytesIO(torch_files()[0]), io.BytesIO()
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(buffer, "w") as packed:
        for info in archive.infolist():
            packed.writestr(info.filename, content if info.filename.endswith("data.pkl") else archive.read(info))
    read_predictions(".pt", folder, buffer.getvalue())


def parquet(text: str) -> bytes:
    """The same as .parquet."""
    import pandas as pd

    buffer = io.BytesIO()
    pd.read_csv(io.StringIO(text)).to_parquet(buffer)
    return buffer.getvalue()


def with_suffix(content: bytes, suffixes: tuple[str, ...], folder: Path) -> Path:
    """The first byte chooses the extension."""
    suffix, _, content = chosen(content, suffixes)
    path = folder / f"file{suffix}"
    path.write_bytes(content)
    return path


def read_counts_file(folder: Path, content: bytes) -> None:
    path = with_suffix(content, (".json", ".txt", ".npy"), folder)

    def alone() -> None:
        counts, names = read_counts(path)
        assert counts.dtype == np.int64 and counts.ndim == 1 and counts.size >= 2 and (counts >= 0).all()
        assert names is None or len(names) == counts.size

    tolerant(alone, lambda: read_counts(path, ("ant", "bee", "sea cow")))


def counts_files() -> list[bytes]:
    named = {"ant": 6, "bee": 3, "sea cow": 1}
    paths = "".join(f"train/{c}/{k} .jpg {c}\n" for c, n in enumerate(COUNTS) for k in range(n))
    by_id = list(enumerate(COUNTS))
    return [
        b"\0" + as_json(COUNTS),
        b"\0" + as_json(named),
        b"\0" + as_json({str(c): n for c, n in by_id[::-1]}),
        b"\x01" + "".join(f"{c} {n}\n" for c, n in by_id).encode(),
        b"\x01" + "".join(f"{n:7} {c}\n" for c, n in by_id).encode(),
        b"\x01" + "".join(f"{name}, {n}\n" for name, n in named.items()).encode(),
        b"\x01" + b" ".join(b"%d" % n for n in COUNTS),
        b"\x01" + "".join(f"{n}\n" for n in COUNTS).encode(),
        b"\x01" + "".join(f"{n}: {name}\n" for name, n in named.items()).encode(),
        b"\x01" + "".join(f"train/{name}/ {n}\n" for name, n in named.items()).encode(),
        b"\x01" + paths.encode(),
        b"\x02" + npy(np.array(COUNTS)),
    ]


def read_names_file(folder: Path, content: bytes) -> None:
    names = read_names(with_suffix(content, (".json", ".txt"), folder))
    assert all(name.encode() for name in names)


def read_labels_file(folder: Path, content: bytes) -> None:
    path = with_suffix(content, (".json", ".txt", ".npy", ".csv", ".npz"), folder)
    classes = Classes(list, counted=CLASSES, named=("ant", "bee", "sea cow"))
    points = classes.of_points(read_labels(path, classes.named))
    assert points.labels.ndim == 1 and points.labels.min() >= 0 and points.labels.max() < CLASSES
    assert points.ids is None or points.ids.shape == points.labels.shape


def labels_files() -> list[bytes]:
    arrays = {"labels": npy(LABELS), "sample_id": npy(np.array([f"i{k}" for k in range(POINTS)]))}
    return [
        b"\0" + as_json(LABELS.tolist()),
        b"\x01" + "".join(f"{label}\n" for label in LABELS).encode(),
        b"\x01" + "".join(f"val/{k}.jpg {label}\n" for k, label in enumerate(LABELS)).encode(),
        b"\0" + as_json({f"i{k}.jpg": label for k, label in enumerate(LABELS.tolist())}),
        b"\x01" + b"".join(b"val/%d.jpg %s\n" % (k, (b"ant", b"sea cow")[k % 2]) for k in range(POINTS)),
        b"\0" + as_json(["ant", "sea cow"]),
        b"\x02" + npy(LABELS),
        b"\x03" + "".join(f"{line.partition(',')[0]}\n" for line in tables()[0].splitlines()).encode(),
        b"\x04" + npz(arrays),
    ]


# ---- images


TINY = dataclasses.replace(
    cifar.CIFAR10,
    title="CIFAR-3",
    num_classes=CLASSES,
    pool_size=2,
    test_size=1,
    train_files=("data_batch_1",),
)


def as_python2(value: object) -> bytes:
    """A pickle as Python 2 wrote the archives: byte strings, and numpy under its old module name."""
    raw = bytearray(pickle.dumps(value, protocol=2 if isinstance(value, str) else 3))
    for opcode, _, position in pickletools.genops(bytes(raw)):
        if opcode.name in ("SHORT_BINBYTES", "BINBYTES"):
            raw[position : position + 1] = b"U" if opcode.name == "SHORT_BINBYTES" else b"T"
    return bytes(raw).replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")


@cache
def batch(labels: tuple[int, ...], dump: Callable[[object], bytes] = as_python2) -> bytes:
    rows = np.zeros((len(labels), 3072), np.uint8)
    return dump({b"data": rows, b"labels": list(labels), b"filenames": [b"ant.png"] * len(labels)})


@cache
def archive() -> dict[str, bytes]:
    """The files of a tiny CIFAR archive."""
    return {
        "data_batch_1": batch((0, 1, 2, 2, 1, 0)),
        "test_batch": batch((0, 1, 2)),
        "batches.meta": as_python2({b"label_names": [b"ant", b"bee", b"sea_cow"]}),
    }


def tar(contents: dict[str, bytes]) -> bytes:
    """A .tar of files in the archive's folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{TINY.folder}/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def read_pickle(folder: Path, content: bytes) -> None:
    name, _, content = chosen(content, tuple(archive()))
    for other, whole in archive().items():
        (folder / other).write_bytes(content if other == name else whole)
    check_dataset(folder)


def check_dataset(folder: Path) -> None:
    dataset = TINY.load(folder)
    assert dataset.test.pixels.shape == (CLASSES, 32, 32, 3)
    assert all(isinstance(name, str) and name.isprintable() for name in dataset.class_names)


def pickles() -> list[bytes]:
    return [
        *(bytes([at]) + content for at, content in enumerate(archive().values())),
        b"\x01" + batch((0, 1, 2), partial(pickle.dumps, protocol=4)),
        b"\x02" + pickle.dumps({b"label_names": [b"ant", b"bee", b"sea_cow"]}, protocol=0),
    ]


def read_packed(folder: Path, content: bytes) -> None:
    (folder / TINY.packed).write_bytes(content)
    check_dataset(folder)


def read_tar(folder: Path, content: bytes) -> None:
    read_packed(folder, gzip.compress(content, 1, mtime=0))


def tars() -> list[bytes]:
    small = {"batches.meta": archive()["batches.meta"]}
    return [tar(archive()), tar(small)]


CACHED = {"pool": (4, 5), "test": (3,)}


def made() -> dict[str, np.ndarray]:
    return {name: np.zeros(shape, np.uint8) for name, shape in CACHED.items()}


def read_cache(folder: Path, content: bytes) -> None:
    """Whatever lies in the cache, the arrays come back."""
    path = folder / f"images-{of_cache.content_key({})}.npz"
    before, os.environ["LTBV_CACHE"] = os.environ.get("LTBV_CACHE"), str(folder)
    try:
        for put in (content, around(content, made())):
            path.write_bytes(put)
            arrays = of_cache.load_or_make("images", {}, CACHED, made)
            assert all(arrays[name].shape == shape and arrays[name].dtype == np.uint8 for name, shape in CACHED.items())
    finally:
        os.environ.pop("LTBV_CACHE")
        if before is not None:
            os.environ["LTBV_CACHE"] = before


def _all() -> Iterator[Target]:
    yield Target("study.json", read_study_json, lambda: [as_json(study_json())], small_study)
    yield Target("recipe.json", read_recipe_json, lambda: [as_json(recipe_json("ride", 1))], small_study)
    whole = {name: npy(values) for name, values in fields().items()}
    yield Target("prediction", read_prediction, lambda: [npz(whole), npz(whole, zipfile.ZIP_DEFLATED)], small_study)
    yield Target("prediction-field", read_prediction_field, lambda: members_of(fields()), small_study)
    yield Target("study-arrays", read_study_arrays, lambda: members_of(study_arrays()), small_study)
    yield Target("stage", read_stage, lambda: members_of(stage()))
    yield Target("snapshot", read_snapshot, lambda: members_of(snapshot()))
    yield Target(
        "notes", read_note, lambda: [*(bytes([k]) + as_json(note()) for k in range(3)), b"\x02died"], prepare_notes
    )
    names = [b"r003.txt", b"r003.npz\nrx.npz", b"mine", b"r1.json", b"a.json", b"0123456789abcdef", b"run1.npz\n1.npy"]
    yield Target(
        "file-names",
        read_names_of_files,
        lambda: [bytes([at | flag]) + name for at, name in enumerate(names) for flag in (0, 128)],
        prepare_names,
        named=("process",),
    )
    arrays = {name: npy(values) for name, values in outputs().items()}
    yield Target(
        "elsewhere.npz",
        partial(read_predictions, ".npz"),
        lambda: [npz(arrays), npz(arrays, zipfile.ZIP_DEFLATED)],
        prepare_elsewhere,
    )
    yield Target(
        "elsewhere-field",
        read_predictions_field,
        lambda: [seed[:1] + bytes([which]) + seed[1:] for seed in members_of(outputs()) for which in (24, 27, 28)],
        prepare_elsewhere,
    )
    yield Target("elsewhere-stacked", read_stacked_field, lambda: members_of(stacked()), prepare_elsewhere)
    yield Target(
        "elsewhere.npy",
        partial(read_predictions, ".npy"),
        lambda: [npy(outputs()["preds"]), npy(outputs()["logits"]), npy(outputs()["probs"].T.copy().T)],
        prepare_elsewhere,
    )
    yield Target(
        "elsewhere.csv",
        partial(read_predictions, ".csv"),
        lambda: [table.encode() for table in tables()],
        prepare_elsewhere,
    )
    yield Target(
        "elsewhere.json",
        partial(read_predictions, ".json"),
        lambda: [as_json(value) for value in nested()],
        prepare_elsewhere,
    )
    yield Target("elsewhere.pt", partial(read_predictions, ".pt"), torch_files, prepare_elsewhere)
    yield Target(
        "elsewhere.pt-program",
        read_torch_program,
        lambda: [program_of(torch_files()[0])],
        prepare_elsewhere,
    )
    if importlib.util.find_spec("pyarrow"):
        yield Target(
            "elsewhere.parquet",
            partial(read_predictions, ".parquet"),
            lambda: [parquet(table) for table in tables()],
            prepare_elsewhere,
        )
    yield Target("counts", read_counts_file, counts_files)
    yield Target("class-names", read_names_file, lambda: [b'\0["ant", "bee"]', b"\x01ant\nbee\nsea cow\n"])
    yield Target("labels", read_labels_file, labels_files)
    yield Target("cifar-pickle", read_pickle, pickles)
    yield Target("cifar-tar", read_tar, tars)
    yield Target("cifar-packed", read_packed, lambda: [gzip.compress(tar, 1, mtime=0) for tar in tars()])
    yield Target("cache", read_cache, lambda: [npz({k: npy(v) for k, v in made().items()}), *members_of(made())])


TARGETS = {target.name: target for target in _all()}
