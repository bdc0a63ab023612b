"""How does MLflow show a study? As an experiment of its name; a run of it is one method's run, settings its params."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ltbv.errors import Refusal, absent, reason
from ltbv.trackers.told import Place

MARK = "ltbv.run"  # tag: study, method and run


class MLflow:
    """Runs at a tracking URI; for those who have installed mlflow (mlflow-skinny where the URI is a server).

    Told again, a run is gone on with: steps that it has are not written twice.
    """

    def __init__(self, uri: str):
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise absent("MLflow", error, "mlflow") from error
        try:
            self.client: Any = MlflowClient(tracking_uri=uri)
            self.client.search_experiments(max_results=1)
        except Exception as error:  # whatever a store of others may raise
            raise Refusal(
                f"--mlflow {uri}: {reason(error)[:200]}; give a URI such as sqlite:///mlflow.db or http://localhost:5000"
            ) from error
        self.runs: dict[Place, str] = {}
        self.written: dict[tuple[str, str], set[int]] = {}

    def scalar(self, place: Place, settings: Mapping[str, Any], tag: str, value: float, step: int, at: str) -> None:
        self._metric(self._of(place, settings), tag, value, step, int(1000 * datetime.fromisoformat(at).timestamp()))

    def end(self, place: Place, settings: Mapping[str, Any], accuracies: Mapping[str, float]) -> None:
        run = self._of(place, settings)
        for name, value in accuracies.items():
            self._metric(run, f"accuracy/{name}", value, 0, None)
        self.client.set_terminated(run)

    def _metric(self, run: str, tag: str, value: float, step: int, at: int | None) -> None:
        if (run, tag) not in self.written:
            self.written[run, tag] = {one.step for one in self.client.get_metric_history(run, tag)}
        if step not in self.written[run, tag]:
            self.client.log_metric(run, tag, value, timestamp=at, step=step)
            self.written[run, tag].add(step)

    def _of(self, place: Place, settings: Mapping[str, Any]) -> str:
        if place not in self.runs:
            found = self.client.get_experiment_by_name(place.name)
            experiment = found.experiment_id if found else self.client.create_experiment(place.name)
            mark = f"{place.study} {place.method} {place.run}"
            quoted = mark.replace("'", "\\'")
            there = self.client.search_runs([experiment], f"tags.`{MARK}` = '{quoted}'", max_results=1)
            if there:
                self.runs[place] = there[0].info.run_id
            else:
                tags = {"mlflow.runName": f"{place.method} run {place.run}", MARK: mark}
                self.runs[place] = run = self.client.create_run(experiment, tags=tags).info.run_id
                for name, value in {"method": place.method, "run": place.run, **settings}.items():
                    self.client.log_param(run, name, value)
        return self.runs[place]
