"""``python -m lungwise.sagemaker train``: the training of this package as a SageMaker training job.

An assembly module: the same steps as prepare, train, evaluate and export, with SageMaker's folders on both sides.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungwise.errors import LungwiseError, RunError, TrainingStoppedError
from lungwise.files import write_json, write_whole
from lungwise.scale.container import Container, inside
from lungwise.scale.hyperparameters import PREPARATION, Settings, parse

if TYPE_CHECKING:
    from lungwise.data.store import PreparedData
    from lungwise.recipe import Recipe
    from lungwise.training.run import Run

DONE, FAILED, STOPPED = 0, 1, 128 + signal.SIGTERM
"""Exit codes. A stopped job leaves as a process does that SIGTERM ends: with 0, SageMaker would call it completed."""
METRICS = (
    "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate",
    "kept_loss", "kept_accuracy", "test_accuracy", "test_auroc",
)  # fmt: skip
"""What is printed as ``name=number;``. No name ends in another one, so each pattern finds its own."""
_RECORDS = ("recipe.toml", "data.json", "history.jsonl", "predictions.parquet", "environment.json")


def metric_definitions() -> list[dict[str, str]]:
    """For an Estimator's ``metric_definitions``: a name and the pattern that finds its number in the log."""
    return [{"Name": name, "Regex": rf"{name}=([0-9.eE+-]+);"} for name in METRICS]


class Stop:
    """Answers whether SIGTERM has come."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._asked

    def ask(self, number: int, frame: object) -> None:
        """A signal handler."""
        self._asked = True

    def check(self, where: str) -> None:
        """Stop between two pieces of work.

        Raises:
            TrainingStoppedError: SIGTERM has come.
        """
        if self._asked:
            raise TrainingStoppedError(f"Training was stopped {where}; the same job goes on from its checkpoints.")


class MetricLines:
    """Prints each epoch for ``metric_definitions``; see :class:`lungwise.training.fit.Watcher`."""

    def started(self, run: Run, first_epoch: int, steps: int) -> None:
        """Say where training begins."""
        say(f"Training {run.recipe.model.backbone} from epoch {first_epoch + 1} on, {steps} steps an epoch")

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        """Say nothing."""

    def computed(self, done: int, total: int) -> None:
        """Say how many images went through a frozen backbone."""
        say(f"Images through the backbone: {done} of {total}")

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """Print one line."""
        ours = {"train_loss": "loss", "train_accuracy": "accuracy", "validation_loss": "val_loss"}
        ours |= {"validation_accuracy": "val_accuracy", "learning_rate": "learning_rate"}
        say(f"epoch={record['epoch']}; " + numbers({name: record[key] for name, key in ours.items()}))


def say(text: str) -> None:
    """One line on standard output, at once, so that it stands in the log before the instance may be gone."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def numbers(values: Mapping[str, float | None]) -> str:
    """Values as ``name=number;``; those that cannot be said are left out."""
    return " ".join(f"{name}={value:.6g};" for name, value in values.items() if value is not None)


def work(container: Container, stop: Stop) -> None:
    """One job from its configuration to the bundle.

    Raises:
        LungwiseError: a mistake in the job or its images.
        TrainingStoppedError: SIGTERM has come; the checkpoints hold what is needed to go on.
    """
    from lungwise.cli.quiet import import_keras
    from lungwise.recipe import load_recipe

    settings, changes = parse(container.hyperparameters())
    container.check_hosts()
    recipe = load_recipe(settings.recipe, changes)
    channel = container.channel()
    import_keras("training")
    data = _data(container, channel, settings, stop)
    stop.check("before its first step")
    _deliver(container, _train(container, data, recipe, settings, stop), settings)


def _data(container: Container, channel: Path, settings: Settings, stop: Stop) -> PreparedData:
    """The channel's prepared data set, or its images prepared among the checkpoints."""
    from lungwise.data.store import open_data

    place, out = inside(channel, settings.source), container.checkpoints / "data"
    said = sorted(settings.model_fields_set & set(PREPARATION) - {"source"})
    if (place / "dataset.json").exists():
        if said:
            raise LungwiseError(f"The channel holds a prepared data set, which '{said[0]}' cannot change; leave it out.")
        return open_data(place)
    wish = {"settings": settings.model_dump(mode="json", include=set(PREPARATION)), "files": _names_and_sizes(channel)}
    note = container.checkpoints / "preparation.json"
    if (out / "dataset.json").exists():
        # A new instance fetches the images anew, so their times say nothing; names and sizes do.
        if not note.exists() or json.loads(note.read_text(encoding="utf-8")) != wish:
            raise LungwiseError(
                "The job's checkpoints hold images that were prepared from other files or by other settings; give the job "
                "a new checkpoint_s3_uri."
            )
        return open_data(out)
    write_json(note, wish)
    return _prepare(place, out, settings, stop)


def _prepare(source: Path, out: Path, settings: Settings, stop: Stop) -> PreparedData:
    from lungwise.data.prepare import Request, prepare
    from lungwise.data.sources import SourceOptions
    from lungwise.data.split import Fractions
    from lungwise.imaging.preprocess import Preprocess

    request = Request(
        spec=Preprocess(stored=settings.size, size=settings.size, fit=settings.fit),
        fractions=Fractions(settings.validation, settings.test),
        seed=settings.split_seed,
        resplit=settings.resplit,
        allow_missing=settings.allow_missing,
        drop_duplicates=settings.drop_duplicates,
        exclude=settings.exclude,
    )
    options = SourceOptions(
        columns=settings.columns, covidx=settings.covidx or None, patient_pattern=settings.patient_pattern or None,
        classes=settings.classes,
    )  # fmt: skip

    def progress(done: int, total: int) -> None:
        stop.check(f"after {done} of {total} images were read")
        say(f"Reading images: {done} of {total}")

    return prepare(source, out, request, options, progress=progress, say=say)


def _train(container: Container, data: PreparedData, recipe: Recipe, settings: Settings, stop: Stop) -> Run:
    from lungwise.training.fit import train
    from lungwise.training.loggers import Together, loggers

    watcher = Together([MetricLines(), *loggers(settings.log, settings.log_every)])
    try:
        return train(data, recipe, container.checkpoints / "run", watcher, stop)
    except RunError as error:
        hint = " On SageMaker --out is the job's checkpoint_s3_uri." if "--out" in str(error) else ""
        raise RunError(f"{error}{hint}") from error
    finally:
        watcher.close()


def _deliver(container: Container, run: Run, settings: Settings) -> None:
    """Evaluate, print the last metrics, and put bundle, report and records where SageMaker takes them."""
    from lungwise.evaluation.decision import Rule
    from lungwise.evaluation.evaluate import evaluate_run
    from lungwise.pipeline import export_run
    from lungwise.training.schedule import best_epoch

    metrics, history = evaluate_run(run.folder, Rule(settings.rule, settings.sensitivity)), run.history()
    kept = history[best_epoch(history, run.recipe.fit.monitor) - 1]
    say(f"kept_epoch={kept['epoch']}; " + numbers({"kept_loss": kept["val_loss"], "kept_accuracy": kept["val_accuracy"]}))
    if test := metrics["parts"].get("test"):
        say(numbers({"test_accuracy": test["accuracy"]["value"], "test_auroc": test["macro_auroc"]["value"]}))
    with tempfile.TemporaryDirectory() as scratch:
        # The model's folder is a mount that cannot be replaced as a whole, so its files are put there one by one.
        bundle = export_run(run.folder, Path(scratch) / "bundle", name=settings.bundle_name or container.job)
        _copy([*bundle.iterdir(), run.folder / "report.html", run.folder / "metrics.json"], container.model)
    _copy([run.folder / name for name in _RECORDS], container.output)
    say(f"Finished: {container.model} holds the bundle and its report, {container.output} the records of the run")


def _copy(files: Sequence[Path], folder: Path) -> None:
    for file in files:
        write_whole(folder / file.name, lambda draft, file=file: shutil.copyfile(file, draft))  # type: ignore[misc]


def _names_and_sizes(channel: Path) -> str:
    """SHA-256 over the relative names and sizes of a channel's files."""
    lines = sorted(f"{file.relative_to(channel)}\0{file.stat().st_size}\n" for file in channel.rglob("*") if file.is_file())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextmanager
def _surprises(container: Container) -> Iterator[None]:
    """Tell SageMaker the kind of a failure that is a fault of this package; its traceback goes to the log."""
    finished = False
    try:
        yield
        finished = True
    finally:
        kind = sys.exc_info()[0]
        if not finished and kind is not None and not issubclass(kind, SystemExit):
            container.fail(f"Training failed with {kind.__name__} inside lungwise; the job's log holds the traceback.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a job; exit code 0 done, 1 failed, 143 stopped by SIGTERM, 2 when the command itself is wrong."""
    parser = argparse.ArgumentParser(prog="python -m lungwise.sagemaker", description="A SageMaker training job.")
    parser.add_argument("command", choices=["train"])
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"), help="the folder that SageMaker lays out")
    options = parser.parse_args(arguments)
    if not options.root.is_dir():
        parser.error(f"--root must be the folder that SageMaker lays out, but there is no {options.root}")
    container, stop = Container(options.root, os.environ), Stop()
    before = signal.signal(signal.SIGTERM, stop.ask)
    try:
        with _surprises(container):
            return _job(container, stop)
    finally:
        signal.signal(signal.SIGTERM, before)


def _job(container: Container, stop: Stop) -> int:
    """The exit code of a job; every failure that a user can mend is told as one sentence."""
    try:
        work(container, stop)
    except TrainingStoppedError as stopped:
        say(str(stopped))
        return STOPPED
    except LungwiseError as error:
        return _failed(container, str(error))
    except OSError as refusal:
        return _failed(container, f"The operating system refused: {refusal.strerror or refusal}; check volume and access.")
    return DONE


def _failed(container: Container, reason: str) -> int:
    sys.stderr.write(f"Error: {reason}\n")
    try:
        container.fail(reason)
    except LungwiseError as also:
        sys.stderr.write(f"Error: {also}\n")
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
