from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from lungwise.data.store import PreparedData
from lungwise.errors import LungwiseError, MissingExtraError, RunError, TrainingStoppedError
from lungwise.training.loggers import Logger, Together, loggers
from lungwise.training.run import Progress, Run, start_run
from tests.factory import tiny_recipe

STEPS = 4
Scalars = dict[str, list[tuple[int, float]]]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(small_data: PreparedData, tmp_path: Path) -> Run:
    return start_run(tmp_path / "run", tiny_recipe(), small_data)


def events(file: Path) -> Iterator[Event]:
    """The events of one file: length, its checksum, the event, its checksum."""
    data, place = file.read_bytes(), 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        yield Event.FromString(data[place + 12 : place + 12 + length])
        place += length + 16


def shown(folder: Path) -> Scalars:
    """What TensorBoard shows: a file that begins at a step hides what earlier ones hold from it on."""
    found: Scalars = {}
    for file in sorted((folder / "logs" / "tensorboard").iterdir()):
        for event in events(file):
            if event.session_log.status == SessionLog.START:
                found = {name: [pair for pair in pairs if pair[0] < event.step] for name, pairs in found.items()}
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def recorded(folder: Path, uri: str = "") -> tuple[Any, Scalars]:
    """The run of MLflow that a run directory names, and its scalars."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri or (folder / "logs" / "mlruns").as_uri())
    found = client.get_run(json.loads((folder / "logs" / "mlflow.json").read_text())["run_id"])
    names = found.data.metrics
    return found, {name: [(at.step, at.value) for at in client.get_metric_history(found.info.run_id, name)] for name in names}


def steps_of(watcher: Together | Logger, epoch: int, first: int, last: int) -> None:
    for step in range(first, last):
        watcher.step(epoch, step, {"loss": epoch + step / 10, "accuracy": 0.5})


def record(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "loss": 1.0 / epoch, "val_loss": 2.0 / epoch, "note": "no number"}


def test_steps_and_epochs_stand_in_both_logs(run: Run) -> None:
    both = Together(loggers(["tensorboard", "mlflow"], every=2))
    both.started(run, 0, STEPS)
    steps_of(both, 0, 0, STEPS)
    both.epoch(record(1), True)
    both.close()
    _, scalars = recorded(run.folder)
    for found in (shown(run.folder), scalars):
        assert found.keys() == {"step/loss", "step/accuracy", "epoch/loss", "epoch/val_loss"}
        assert found["step/loss"] == [(2, pytest.approx(0.1)), (4, pytest.approx(0.3))]
        assert found["epoch/val_loss"] == [(4, 2.0)]


def test_recipe_stands_in_both_logs(run: Run) -> None:
    both = Together(loggers(["tensorboard", "mlflow"]))
    both.started(run, 0, STEPS)
    both.close()
    (file,) = (run.folder / "logs" / "tensorboard").iterdir()
    texts = [value.tensor.string_val[0].decode() for event in events(file) for value in event.summary.value]
    assert 'backbone = "kaggle-cnn"' in texts[0]
    found, _ = recorded(run.folder)
    assert found.data.params["model.backbone"] == "kaggle-cnn"
    assert found.data.params["fit.batch_size"] == "8"
    assert found.data.tags["data_fingerprint"] == run.data["fingerprint"]


def test_log_of_mlflow_names_no_folder_and_no_user(run: Run) -> None:
    (logger,) = loggers(["mlflow"])
    logger.started(run, 0, STEPS)
    logger.close()
    found, _ = recorded(run.folder)
    said = json.dumps([found.data.params, found.data.tags])
    assert str(run.folder) not in said
    assert str(run.data["folder"]) not in said
    assert "mlflow.user" not in found.data.tags


def test_killed_run_continues_both_logs_without_double_steps(run: Run) -> None:
    both = Together(loggers(["tensorboard", "mlflow"], every=1))
    both.started(run, 0, STEPS)
    steps_of(both, 0, 0, STEPS)
    both.epoch(record(1), True)
    steps_of(both, 1, 0, 3)
    both.close()
    # The checkpoint is older than the log: only one step of the second epoch is in it.
    run.save("last", {}, [record(1)], Progress(1, [(1.0, 0.5)]))
    again = Together(loggers(["tensorboard", "mlflow"], every=1))
    again.started(run, 1, STEPS)
    steps_of(again, 1, 1, STEPS)
    again.epoch(record(2), True)
    again.close()
    _, scalars = recorded(run.folder)
    for found in (shown(run.folder), scalars):
        assert [step for step, _ in found["step/loss"]] == list(range(1, 2 * STEPS + 1))
        assert [step for step, _ in found["epoch/loss"]] == [STEPS, 2 * STEPS]


def test_run_that_begins_again_hides_what_it_logged_before(run: Run) -> None:
    for _ in range(2):
        logger = Together(loggers(["tensorboard"], every=1))
        logger.started(run, 0, STEPS)
        steps_of(logger, 0, 0, 2)
        logger.close()
    assert [step for step, _ in shown(run.folder)["step/loss"]] == [1, 2]


def test_state_of_the_run_in_mlflow_says_whether_it_came_to_its_end(run: Run) -> None:
    for finished, state in ((False, "KILLED"), (True, "FINISHED")):
        if finished:
            (run.folder / "predictions.parquet").touch()
        (logger,) = loggers(["mlflow"])
        logger.started(run, 0, STEPS)
        assert recorded(run.folder)[0].info.status == "RUNNING"
        logger.close()
        assert recorded(run.folder)[0].info.status == state


def test_runs_one_after_another_have_logs_of_their_own(small_data: PreparedData, tmp_path: Path) -> None:
    folds = [start_run(tmp_path / name, tiny_recipe(), small_data) for name in ("a", "b")]
    both = Together(loggers(["tensorboard", "mlflow"], every=1))
    for number, fold in enumerate(folds):
        both.started(fold, 0, STEPS)
        steps_of(both, 0, 0, number + 2)
        (fold.folder / "predictions.parquet").touch()
    both.close()
    for number, fold in enumerate(folds):
        found, scalars = recorded(fold.folder)
        assert found.info.status == "FINISHED"
        for log in (shown(fold.folder), scalars):
            assert [step for step, _ in log["step/loss"]] == list(range(1, number + 3))


def test_store_and_experiment_are_taken_from_the_environment(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "shared"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "chest")
    (logger,) = loggers(["mlflow"])
    logger.started(run, 0, STEPS)
    logger.close()
    assert not (run.folder / "logs" / "mlruns").exists()
    found, _ = recorded(run.folder, str(tmp_path / "shared"))
    experiments = [path.read_text() for path in (tmp_path / "shared").glob(f"{found.info.experiment_id}/meta.yaml")]
    assert "name: chest" in experiments[0]


def test_mlflow_is_told_not_to_report_its_use() -> None:
    loggers(["mlflow"])
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    from mlflow.telemetry.utils import is_telemetry_disabled

    assert is_telemetry_disabled()


def test_server_that_is_not_there_is_one_sentence_without_its_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (logger,) = loggers(["mlflow"])
    with pytest.raises(LungwiseError, match=r"MLflow must be reached to log to it, .* check MLFLOW_TRACKING_URI") as caught:
        logger.started(run, 0, STEPS)
    logger.close()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_place_that_is_a_file_is_refused_at_the_start(run: Run, name: str) -> None:
    (run.folder / "logs").write_text("not a folder")
    (logger,) = loggers([name])
    with pytest.raises(LungwiseError, match=r"must be a directory, but a file is in its place"):
        logger.started(run, 0, STEPS)
    logger.close()


def test_damaged_note_of_mlflow_is_named(run: Run) -> None:
    (run.folder / "logs").mkdir()
    (run.folder / "logs" / "mlflow.json").write_text("{")
    (logger,) = loggers(["mlflow"])
    with pytest.raises(RunError, match=r"mlflow\.json is damaged .* remove it to begin a new log"):
        logger.started(run, 0, STEPS)


def test_run_that_the_store_does_not_know_is_one_sentence(run: Run) -> None:
    (run.folder / "logs").mkdir()
    (run.folder / "logs" / "mlflow.json").write_text('{"run_id": "0123"}')
    (logger,) = loggers(["mlflow"])
    with pytest.raises(LungwiseError, match=r"MLflow must be reached .* '0123' not found"):
        logger.started(run, 0, STEPS)


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboardX"), ("mlflow", "mlflow")])
def test_logger_that_is_not_installed_says_how_to_get_it(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"needs '{module}', .* pip install 'lungwise\[track\]'"):
        loggers([name])


def test_unknown_log_and_number_of_steps_are_refused() -> None:
    with pytest.raises(LungwiseError, match=r"A log must be one of tensorboard, mlflow, got 'wandb'"):
        loggers(["wandb"])
    with pytest.raises(LungwiseError, match="every 1 or more, got 0"):
        loggers(["mlflow"], every=0)


def test_log_named_twice_is_written_once() -> None:
    assert len(loggers(["mlflow", "mlflow"])) == 1


def test_all_watchers_hear_of_a_pass_and_are_closed_even_when_one_fails() -> None:
    closed, heard = [], []

    class Closes:
        def __init__(self, name: str) -> None:
            self.name = name

        def started(self, run: Run, first_epoch: int, steps: int) -> None: ...

        def step(self, epoch: int, step: int, logs: dict[str, float]) -> None: ...

        def epoch(self, record: dict[str, Any], best: bool) -> None: ...

        def computed(self, done: int, total: int) -> None:
            heard.append((done, total))

        def close(self) -> None:
            closed.append(self.name)
            if self.name == "second":
                raise LungwiseError("The second cannot be closed.")

    both = Together([Closes("first"), *loggers(["tensorboard"]), Closes("second")])
    both.computed(3, 9)
    with pytest.raises(LungwiseError, match="The second"):
        both.close()
    assert sorted(closed) == ["first", "second"]
    assert heard == [(3, 9), (3, 9)]


def test_stopped_training_continues_its_logs(small_data: PreparedData, small_run: Path, tmp_path: Path) -> None:
    from lungwise.training.fit import train
    from lungwise.training.run import open_run

    asked = iter(range(1000))
    first = Together(loggers(["tensorboard", "mlflow"], every=1))
    with pytest.raises(TrainingStoppedError):
        train(small_data, tiny_recipe(), tmp_path / "run", first, stop=lambda: next(asked) == 5)
    first.close()
    second = Together(loggers(["tensorboard", "mlflow"], every=1))
    train(small_data, tiny_recipe(), tmp_path / "run", second)
    second.close()
    history = open_run(small_run).history()
    found, scalars = recorded(tmp_path / "run")
    assert found.info.status == "FINISHED"
    for log in (shown(tmp_path / "run"), scalars):
        steps = [step for step, _ in log["step/loss"]]
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) % len(history) == 0
        assert [value for _, value in log["epoch/val_loss"]] == pytest.approx([entry["val_loss"] for entry in history])
