"""Training written down for TensorBoard and MLflow: watchers that record the recipe, every epoch and every few steps.

Both count the steps of the whole training on their axis; an epoch stands at the step that ends it. A continued run
continues its log: what was logged after the last checkpoint is not there twice.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import tomli_w

from lungwise.errors import LungwiseError, RunError, require, writing
from lungwise.files import write_json
from lungwise.recipe import flat

if TYPE_CHECKING:
    from lungwise.training.fit import Watcher
    from lungwise.training.run import Run

EVERY = 50
"""Steps from one logged step to the next."""
EXTRA = "track"


class Together:
    """Several watchers as one, told in their order; see :class:`lungwise.training.fit.Watcher`."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers

    def started(self, run: Run, first_epoch: int, steps: int) -> None:
        """Training begins with this epoch (from 0)."""
        for watcher in self._watchers:
            watcher.started(run, first_epoch, steps)

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        """One step is done."""
        for watcher in self._watchers:
            watcher.step(epoch, step, logs)

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """One epoch is done and saved."""
        for watcher in self._watchers:
            watcher.epoch(record, best)

    def computed(self, done: int, total: int) -> None:
        """So many images of so many went through a frozen backbone; told to those who want to hear it."""
        for watcher in self._watchers:
            if hear := getattr(watcher, "computed", None):
                hear(done, total)

    def close(self) -> None:
        """Close those that can be closed, every one even when another fails."""
        with ExitStack() as all_of_them:
            for watcher in self._watchers:
                if close := getattr(watcher, "close", None):
                    all_of_them.callback(close)


class _Store(Protocol):
    """Where scalars go."""

    def open(self, run: Run, done: int) -> None:
        """Begin, or go on after ``done`` steps."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars at a step of the whole training, counted from 1."""

    def close(self) -> None:
        """No more comes."""


class Logger:
    """A watcher that writes into a store.

    Args:
        store: TensorBoard's or MLflow's.
        every: steps from one logged step to the next, at least 1.
    """

    def __init__(self, store: _Store, every: int = EVERY) -> None:
        self._store, self._every, self._steps, self._open = store, every, 0, False

    def started(self, run: Run, first_epoch: int, steps: int) -> None:
        """Open the log at the step where the run begins or goes on."""
        progress = run.progress()
        within = progress.steps if progress.epoch == first_epoch else 0
        self.close()  # the run before this one, where several are trained one after another
        self._steps = steps
        self._store.open(run, first_epoch * steps + within)
        self._open = True

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        """Write every few steps."""
        done = epoch * self._steps + step + 1
        if done % self._every == 0:
            self._store.write({f"step/{key}": value for key, value in logs.items()}, done)

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """Write every number of the epoch's record."""
        numbers = {f"epoch/{key}": value for key, value in record.items() if isinstance(value, int | float) and key != "epoch"}
        self._store.write(numbers, record["epoch"] * self._steps)

    def close(self) -> None:
        """Write what is left; a run that was finished before has opened nothing."""
        if self._open:
            self._open = False
            self._store.close()


class TensorBoard:
    """TensorBoard's event files in ``logs/tensorboard`` of the run directory.

    Raises:
        MissingExtraError: tensorboardX is not installed.
    """

    def __init__(self) -> None:
        self._module = require("tensorboardX", EXTRA, "Logging for TensorBoard")
        self._writer: Any = None

    def open(self, run: Run, done: int) -> None:
        """Begin an event file; earlier ones stay, but their steps after ``done`` are hidden."""
        folder = run.folder / "logs" / "tensorboard"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            earlier = len(list(folder.iterdir()))
            # Names hold the second; the number keeps files of the same second apart and in order.
            self._writer = self._module.SummaryWriter(
                str(folder), purge_step=done + 1 if earlier else None, filename_suffix=f".{earlier:04d}"
            )
        if not earlier:
            recipe = tomli_w.dumps(run.recipe.model_dump(mode="json"))
            self._writer.add_text("recipe", "".join(f"    {line}\n" for line in recipe.splitlines()), 0)

    def write(self, values: Mapping[str, float], step: int) -> None:
        """See :class:`_Store`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what is buffered."""
        self._writer.close()


class MLflow:
    """A run of MLflow in the store that MLFLOW_TRACKING_URI names, else in files in ``logs/mlruns`` of the run directory.

    The experiment is MLFLOW_EXPERIMENT_NAME, else "lungwise". Nothing is sent anywhere but to that store.

    Raises:
        MissingExtraError: mlflow is not installed.
    """

    def __init__(self) -> None:
        # MLflow reports its use to its makers unless it is told not to before it is imported.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        require("mlflow", EXTRA, "Logging to MLflow")
        self._client: Any = None
        self._id, self._place = "", ""
        self._run: Run | None = None
        self._known: dict[str, int] = {}

    def open(self, run: Run, done: int) -> None:
        """Begin a run of MLflow, or go on with the one that this run directory began."""
        from mlflow.tracking import MlflowClient

        self._id, self._known = "", {}
        self._run, self._place = run, os.environ.get("MLFLOW_TRACKING_URI") or _local(run.folder)
        if _is_files(self._place):
            # MLflow asks whoever keeps runs in plain files to say so.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        note = run.folder / "logs" / "mlflow.json"
        with self._reached():
            self._client = MlflowClient(self._place)
            if note.exists():
                self._continue(note)
            else:
                self._begin(run)
                write_json(note, {"run_id": self._id})

    def _begin(self, run: Run) -> None:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "lungwise"
        found = self._client.get_experiment_by_name(name)
        place = found.experiment_id if found else self._client.create_experiment(name)
        tags = {"data_fingerprint": run.data["fingerprint"], "labels": ", ".join(run.labels)}
        self._id = self._client.create_run(place, tags=tags, run_name=run.folder.resolve().name).info.run_id
        recipe = flat(run.recipe.model_dump())
        self._client.log_batch(self._id, params=[Param(key, str(value)) for key, value in recipe.items()])

    def _continue(self, note: Path) -> None:
        try:
            self._id = json.loads(note.read_text(encoding="utf-8"))["run_id"]
        except (ValueError, KeyError, TypeError) as cause:
            raise RunError(f"{note} is damaged ({cause}); remove it to begin a new log.") from cause
        # Values come again bit for bit, so what is logged already is left as it is.
        for name in self._client.get_run(self._id).data.metrics:
            self._known[name] = max(entry.step for entry in self._client.get_metric_history(self._id, name))
        self._client.update_run(self._id, status="RUNNING")

    def write(self, values: Mapping[str, float], step: int) -> None:
        """See :class:`_Store`; what is there already is not written again."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        new = [Metric(name, value, now, step) for name, value in values.items() if step > self._known.get(name, 0)]
        if new:
            with self._reached():
                self._client.log_batch(self._id, metrics=new)

    def close(self) -> None:
        """Say whether the run came to its end."""
        if self._id:
            finished = self._run is not None and self._run.finished
            with self._reached():
                self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """MLflow's refusals as one sentence; addresses may hold a password and are not said."""
        from mlflow.exceptions import MlflowException

        try:
            with writing(Path(self._place.removeprefix("file://"))):
                yield
        except MlflowException as cause:
            reason = str(cause).splitlines()[0][:200].replace(self._place, "the store")
            raise LungwiseError(
                f"MLflow must be reached to log to it, but it answers: {reason}; check MLFLOW_TRACKING_URI, or train without "
                "this log: the same command continues the run."
            ) from cause


def loggers(names: Iterable[str], every: int = EVERY) -> list[Logger]:
    """The loggers of these names, each once.

    Args:
        names: "tensorboard", "mlflow".
        every: steps from one logged step to the next.

    Raises:
        LungwiseError: an unknown name, or a number of steps below 1.
        MissingExtraError: what a logger needs is not installed.
    """
    kinds: dict[str, type[TensorBoard] | type[MLflow]] = {"tensorboard": TensorBoard, "mlflow": MLflow}
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in kinds:
            raise LungwiseError(f"A log must be one of {', '.join(kinds)}, got '{name}'; correct --log.")
    if every < 1:
        raise LungwiseError(f"Steps are logged every 1 or more, got {every}; give a larger number.")
    return [Logger(kinds[name](), every) for name in wanted]


def _local(folder: Path) -> str:
    return (folder / "logs" / "mlruns").resolve().as_uri()


def _is_files(place: str) -> bool:
    return place.startswith("file:") or ("://" not in place and place not in ("databricks", "databricks-uc", "uc"))
