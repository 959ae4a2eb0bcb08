from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lungwise
from lungwise import sagemaker
from lungwise.data.store import PreparedData
from lungwise.sagemaker import DONE, FAILED, METRICS, STOPPED, Stop, main, metric_definitions
from lungwise.scale.container import Container
from lungwise.scale.hyperparameters import Settings
from lungwise.training.run import open_run
from tests.factory import TINY
from tests.scale.conftest import MakeJob

REPOSITORY = Path(__file__).parents[2]
GIVEN = {"recipe": '"kaggle-cnn"', **dict(change.split("=", 1) for change in TINY)}


@pytest.fixture
def phantoms(small_data: PreparedData) -> Path:
    return Path(small_data.facts["root"])


def reason(root: Path) -> str:
    return (root / "output" / "failure").read_text()


def weights(folder: Path) -> dict[str, Any]:
    saved = open_run(folder).load("last")
    assert saved is not None
    return saved[0]


def assert_same_weights(ours: Path, theirs: Path) -> None:
    left, right = weights(ours), weights(theirs)
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(right[name], value, err_msg=name)


class StopsAfter(Stop):
    """SIGTERM comes after this many questions."""

    def __init__(self, questions: int) -> None:
        super().__init__()
        self._left = questions

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def test_job_on_raw_images_ends_with_a_bundle(
    phantoms: Path, make_job: MakeJob, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINING_JOB_NAME", "chest-7")
    before = signal.getsignal(signal.SIGTERM)
    root = make_job(phantoms, {**GIVEN, "size": "40", "sagemaker_program": "x", "log": "tensorboard"})
    assert main(["train", "--root", str(root)]) == DONE
    assert signal.getsignal(signal.SIGTERM) == before
    names = {path.name for path in (root / "model").iterdir()}
    assert names == {"model.onnx", "head.npz", "lungwise.json", "README.md", "report.html", "metrics.json"}
    predictor = lungwise.load(root / "model")
    assert predictor.spec.name == "chest-7"
    image = next(phantoms.rglob("*.png"))
    assert sum(predictor.predict(image).probabilities.values()) == pytest.approx(1)
    records = {path.name for path in (root / "output" / "data").iterdir()}
    assert records == {"recipe.toml", "data.json", "history.jsonl", "predictions.parquet", "environment.json"}
    assert not (root / "output" / "failure").exists()
    assert any((root / "checkpoints" / "run" / "logs" / "tensorboard").iterdir())
    check_metrics(capsys.readouterr().out, root)


def check_metrics(out: str, root: Path) -> None:
    """Each pattern finds its own numbers in the log and no other's."""
    found = {metric["Name"]: [float(text) for text in re.findall(metric["Regex"], out)] for metric in metric_definitions()}
    history = open_run(root / "checkpoints" / "run").history()
    metrics = json.loads((root / "model" / "metrics.json").read_text())
    for name, key in (("train_loss", "loss"), ("validation_accuracy", "val_accuracy"), ("learning_rate", "learning_rate")):
        assert found[name] == pytest.approx([record[key] for record in history], rel=1e-5)
    kept = history[metrics["training"]["kept_epoch"] - 1]
    assert found["kept_loss"] == pytest.approx([kept["val_loss"]], rel=1e-5)
    assert found["test_accuracy"] == pytest.approx([metrics["parts"]["test"]["accuracy"]["value"]], rel=1e-5)
    assert all(found.values())


def test_no_metric_is_the_end_of_another() -> None:
    assert not [(a, b) for a in METRICS for b in METRICS if a != b and b.endswith(a)]


def test_stopped_job_goes_on_to_the_same_weights(
    small_data: PreparedData, small_run: Path, make_job: MakeJob, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    root = make_job(small_data.folder, GIVEN)
    with monkeypatch.context() as patch:
        patch.setattr(sagemaker, "Stop", lambda: StopsAfter(3))
        assert main(["train", "--root", str(root)]) == STOPPED
    assert "Training was stopped in epoch 1 after step" in capsys.readouterr().out
    assert list((root / "model").iterdir()) == []
    assert not (root / "output" / "failure").exists()
    assert main(["train", "--root", str(root)]) == DONE
    assert_same_weights(root / "checkpoints" / "run", small_run)
    lungwise.load(root / "model")


def test_sigterm_saves_and_the_next_instance_goes_on(
    small_data: PreparedData, small_run: Path, make_job: MakeJob, tmp_path: Path
) -> None:
    root = make_job(small_data.folder, GIVEN)
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    job = [sys.executable, "-m", "lungwise.sagemaker", "train", "--root", str(root)]
    with subprocess.Popen(job, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        if process.stdout is None or process.stderr is None:
            raise ValueError("the process has no output")
        next(line for line in process.stdout if line.startswith("Training kaggle-cnn from epoch 1 on"))
        process.send_signal(signal.SIGTERM)
        said, wrong = process.stdout.read(), process.stderr.read()
    assert process.returncode == STOPPED == 143
    assert "Training was stopped in epoch 1 after step 1" in said
    assert "Traceback" not in wrong
    assert open_run(root / "checkpoints" / "run").progress().steps == 1
    # SageMaker brings the checkpoints, and nothing else, to a new instance.
    second = make_job(small_data.folder, GIVEN, name="second")
    shutil.copytree(root / "checkpoints", second / "checkpoints", dirs_exist_ok=True)
    assert main(["train", "--root", str(second)]) == DONE
    assert_same_weights(second / "checkpoints" / "run", small_run)


def data_of(root: Path, given: dict[str, str], stop: Stop | None = None) -> PreparedData:
    container = Container(root, {})
    settings = sagemaker.parse(given)[0]
    return sagemaker._data(container, container.channel(), settings, stop or Stop())


def test_images_fetched_again_are_not_prepared_again(
    phantoms: Path, tmp_path: Path, make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    shutil.copytree(phantoms, images)
    root = make_job(images, {})
    first = data_of(root, {"size": "40"})
    assert "Reading images" in capsys.readouterr().out
    for file in images.rglob("*.png"):
        os.utime(file, (1, 1))
    again = data_of(root, {"size": "40"})
    assert again.fingerprint == first.fingerprint
    assert capsys.readouterr().out == ""


def test_checkpoints_of_other_settings_or_files_are_refused(phantoms: Path, tmp_path: Path, make_job: MakeJob) -> None:
    images = tmp_path / "images"
    shutil.copytree(phantoms, images)
    root = make_job(images, {})
    data_of(root, {"size": "40"})
    words = "prepared from other files or by other settings; give the job a new checkpoint_s3_uri"
    with pytest.raises(lungwise.LungwiseError, match=words):
        data_of(root, {"size": "48"})
    next(images.rglob("*.png")).unlink()
    with pytest.raises(lungwise.LungwiseError, match=words):
        data_of(root, {"size": "40"})


def test_sigterm_while_images_are_read_stops_between_two_portions(phantoms: Path, make_job: MakeJob) -> None:
    stop = Stop()
    stop.ask(signal.SIGTERM, None)
    root = make_job(phantoms, {})
    with pytest.raises(lungwise.errors.TrainingStoppedError, match=r"stopped after 0 of \d+ images were read; the same job"):
        data_of(root, {"size": "40"}, stop)
    assert data_of(root, {"size": "40"}).facts["counts"]["train"]


def test_preparation_of_prepared_data_is_refused(small_data: PreparedData, make_job: MakeJob) -> None:
    root = make_job(small_data.folder, {**GIVEN, "size": "64"})
    assert main(["train", "--root", str(root)]) == FAILED
    assert reason(root) == "The channel holds a prepared data set, which 'size' cannot change; leave it out."


def test_checkpoints_of_another_recipe_are_refused(small_data: PreparedData, small_run: Path, make_job: MakeJob) -> None:
    root = make_job(small_data.folder, {**GIVEN, "seed": "5"})
    shutil.copytree(small_run, root / "checkpoints" / "run")
    assert main(["train", "--root", str(root)]) == FAILED
    assert re.search(r"another recipe \(seed is \d there and 5 here\)", reason(root))
    assert "On SageMaker --out is the job's checkpoint_s3_uri." in reason(root)


@pytest.mark.parametrize(
    ("given", "hosts", "said"),
    [
        ({"epochs": "3"}, 1, "There is no hyperparameter 'epochs' (did you mean fit.epochs?)"),
        ({"recipe": "best"}, 1, "A recipe must be the path of a TOML file or one of"),
        ({"fit.epochs": "many"}, 1, "In the recipe: Input should be a valid integer"),
        ({}, 4, "Training runs on one instance, but the job has 4; set instance_count=1."),
        ({}, 1, "The images must come in one channel named training, train, data, but the job has none"),
    ],
)
def test_mistake_of_the_job_is_one_sentence_in_the_failure_file(
    given: dict[str, str], hosts: int, said: str, make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_job(None, given, hosts=hosts)
    assert main(["train", "--root", str(root)]) == FAILED
    assert reason(root).startswith(said)
    assert "\n" not in reason(root)
    assert f"Error: {said}" in capsys.readouterr().err


def test_unreadable_images_are_not_named_to_everyone(
    tmp_path: Path, make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("normal", "pneumonia"):
        for number in range(4):
            file = tmp_path / "images" / label / f"{label}{number} Jane Roe.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("no image")
    root = make_job(tmp_path / "images", {})
    assert main(["train", "--root", str(root)]) == FAILED
    assert "Roe" not in reason(root)
    assert "None of the 8 images can be read" in capsys.readouterr().err


def test_fault_of_the_package_tells_its_kind_only(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(container: Container, stop: Stop) -> None:
        raise ZeroDivisionError("patient Jane Roe")

    monkeypatch.setattr(sagemaker, "work", work)
    root = make_job()
    with pytest.raises(ZeroDivisionError):
        main(["train", "--root", str(root)])
    assert reason(root) == "Training failed with ZeroDivisionError inside lungwise; the job's log holds the traceback."


def test_refusal_of_the_system_is_told(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(container: Container, stop: Stop) -> None:
        raise OSError(5, "Input/output error", "/opt/ml/input/data/training/Jane Roe")

    monkeypatch.setattr(sagemaker, "work", work)
    root = make_job()
    assert main(["train", "--root", str(root)]) == FAILED
    assert reason(root) == "The operating system refused: Input/output error; check volume and access."


def test_failure_that_cannot_be_written_is_said(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_job()
    (root / "output").rmdir()
    (root / "output").write_text("in the way")
    assert main(["train", "--root", str(root)]) == FAILED
    assert "must be a directory, but a file is in its place" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["serve"], ["train", "--root", "/nowhere/at/all"]])
def test_wrong_call_is_told_by_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_documentation_lists_every_setting_and_every_metric() -> None:
    page = (REPOSITORY / "docs" / "sagemaker.md").read_text()
    for name, field in Settings.model_fields.items():
        assert re.search(rf"^\| `{name}` \|.*\| {re.escape(str(field.description))}", page, re.MULTILINE), name
    for metric in metric_definitions():
        assert f"| `{metric['Name']}` | `{metric['Regex']}` |" in page


def test_image_runs_the_job_as_its_first_process() -> None:
    script = REPOSITORY / "docker" / "train"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == 'exec python -m lungwise.sagemaker train "$@"'
    dockerfile = (REPOSITORY / "docker" / "Dockerfile.sagemaker").read_text()
    assert "COPY --chmod=0755 docker/train /usr/local/bin/train" in dockerfile
    for line in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.MULTILINE):
        for name in line.split():
            assert (REPOSITORY / name).exists(), name
