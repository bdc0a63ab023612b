"""How does TensorBoard show a study? DIR/STUDY/METHOD/run-003 is a run; settings and accuracies are its HParams."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ltbv.errors import Refusal, absent
from ltbv.trackers.told import Place


class TensorBoard:
    """Event files below a directory; for those who have installed tensorboard."""

    def __init__(self, directory: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
            from torch.utils.tensorboard.summary import hparams
        except ImportError as error:
            raise absent("TensorBoard", error, "tensorboard") from error
        self.directory, self._writer, self._hparams = directory, SummaryWriter, hparams
        self.writers: dict[Place, Any] = {}

    def scalar(self, place: Place, settings: Mapping[str, Any], tag: str, value: float, step: int, at: str) -> None:
        del settings
        self._of(place).add_scalar(tag, value, step, walltime=datetime.fromisoformat(at).timestamp())

    def end(self, place: Place, settings: Mapping[str, Any], accuracies: Mapping[str, float]) -> None:
        writer = self._of(place)
        values = {f"accuracy/{name}": value for name, value in accuracies.items()}
        plain = {
            name: value if isinstance(value, bool | int | float) else str(value) for name, value in settings.items()
        }
        for summary in self._hparams({"method": place.method, **plain}, values):
            writer.file_writer.add_summary(summary)
        for tag, value in values.items():
            writer.add_scalar(tag, value, 0)
        writer.close()
        del self.writers[place]

    def _of(self, place: Place) -> Any:
        if place not in self.writers:
            at = self.directory / place.name / place.method / f"run-{place.run:03d}"
            if at.exists() and any(at.iterdir()):
                raise Refusal(f"{at} holds something already, which would be shown twice; give another directory")
            self.writers[place] = self._writer(str(at))
        return self.writers[place]
