"""What do studies beside a published table of CIFAR-100-LT share? How they are trained, what is kept, the report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compact import compact

from ltbv.cli import main as ltbv
from ltbv.data.resample import overlap
from ltbv.harness.study import resolve
from ltbv.methods import METHODS
from ltbv.report import write_report
from ltbv.report.elsewhere import read_elsewhere


@dataclass(frozen=True)
class Published:
    """A study of `head` images of the largest class, a hundredth of the smallest; it is kept under reports/`name`."""

    name: str
    head: int
    runs: int
    methods: Sequence[str]
    exact: bool = False

    @property
    def folder(self) -> Path:
        """Of the report."""
        return Path("reports") / self.name

    @property
    def shape(self) -> dict[str, float]:
        """How long the tail is."""
        return {"head": self.head, "imbalance": 100.0}

    def train(self, data_dir: str) -> None:
        """Train what is missing, and keep what is predicted; `data_dir` holds cifar-100-python."""
        asked = [word for method in self.methods for word in ("--method", method)]
        shape = [word for name, value in self.shape.items() for word in (f"--{name}", f"{value:g}")]
        study = Path("runs") / self.name
        where = ["--dataset", "cifar100-lt", "--data-dir", data_dir, "--study", str(study)]
        ltbv(["bootstrap", *asked, "--runs", str(self.runs), *shape, *where], standalone_mode=False)
        compact(study, self.folder / "predictions")

    def report(self) -> None:
        """The report on what was kept."""
        study, kept = resolve("cifar100-lt", **self.shape), self.folder / "predictions"
        evidence = read_elsewhere(
            {method: kept / f"{method}.npz" for method in self.methods},
            kept / "train_counts.json",
            kept / "labels.npy",
            dataset="cifar100-lt",
            scheme="subsample",
        )
        setting = replace(
            evidence.setting,
            shared=overlap([study.sample(run) for run in range(self.runs)], len(study.counts)),
            seed=study.settings.seed,
            epochs=study.settings.epochs,
            protocol=study.asked()["protocol"],
        )
        methods = tuple(replace(method, label=METHODS[method.key].label) for method in evidence.methods)
        told = replace(evidence, setting=setting, methods=methods)
        print(write_report(told, self.folder, published=True, exact=self.exact))
