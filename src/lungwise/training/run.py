"""The run directory: what was asked, what happened, and the weights; it resumes, or refuses what does not fit it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from lungwise.data.store import PreparedData
from lungwise.errors import DataError, MissingExtraError, RecipeError, RunError, WeightsError, some, writing
from lungwise.files import write_json, write_text, write_whole
from lungwise.recipe import Recipe, flat, parse_recipe

Arrays = Mapping[str, NDArray[Any]]
CROSSVAL = "crossval.json"
"""The record that marks the directory of a cross-validation."""
_KEPT = ("kind", "counts", "audit", "notes", "missing", "unreadable", "synthetic")
_FACTS = ("fingerprint", "folder", "labels", "preprocess", *_KEPT)
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
"""What NumPy and JSON raise on a checkpoint that is damaged."""


@dataclass
class Progress:
    """How far an epoch has come.

    Args:
        epoch: which one, from 0.
        seen: (loss, accuracy) of each step.
        rate: learning rate of the last step.
        seconds: time that the steps took.
    """

    epoch: int
    seen: list[tuple[float, float]] = field(default_factory=list)
    rate: float = 0.0
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        """Steps that are done."""
        return len(self.seen)


@dataclass(frozen=True)
class Run:
    """One training and its results on disk.

    Args:
        folder: the run directory.
        recipe: the resolved recipe.
        data: the contents of ``data.json``: fingerprint, folder, labels, Preprocess, counts, audit.
    """

    folder: Path
    recipe: Recipe
    data: dict[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in column order."""
        return tuple(self.data["labels"])

    @property
    def finished(self) -> bool:
        """Whether training came to its end and the predictions were written."""
        return (self.folder / "predictions.parquet").exists()

    def history(self) -> list[dict[str, Any]]:
        """One dictionary an epoch, oldest first.

        Raises:
            RunError: the file is damaged.
        """
        path = self.folder / "history.jsonl"
        if not path.exists():
            return []
        try:
            return [dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        except (ValueError, TypeError) as cause:
            raise RunError(f"{path} is damaged ({cause}); train again into another directory.") from cause

    def save(self, name: str, arrays: Arrays, history: list[dict[str, Any]], progress: Progress | None = None) -> None:
        """Write a checkpoint and the history that led to it.

        Args:
            name: "last" (model and optimiser) or "best" (model only).
            arrays: name to array; plain arrays, never code.
            history: all epochs so far; kept inside the checkpoint, so the two cannot disagree after a crash.
            progress: how far the epoch behind them had come, in a checkpoint from the middle of one.
        """
        begun = json.dumps(asdict(progress) if progress else None)
        packed: dict[str, Any] = {**arrays, "history": np.array(json.dumps(history)), "progress": np.array(begun)}

        def write(draft: Path) -> None:
            with draft.open("wb") as file:
                np.savez(file, **packed)

        write_whole(self.folder / "checkpoints" / f"{name}.npz", write)

    def progress(self) -> Progress:
        """How far the unfinished epoch had come when "last" was written; nowhere, where it was written between epochs.

        Raises:
            RunError: the file is damaged.
        """
        path = self.folder / "checkpoints" / "last.npz"
        if not path.exists():
            return Progress(0)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as packed:
                found = json.loads(str(packed["progress"])) if "progress" in packed.files else None
                epochs = len(json.loads(str(packed["history"])))
            return Progress(**found) if found else Progress(epochs)
        except _DAMAGE as cause:
            raise RunError(f"{path} is damaged ({cause}); remove it to train from the start.") from cause

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Write ``history.jsonl``, one line an epoch."""
        write_text(self.folder / "history.jsonl", "".join(json.dumps(record) + "\n" for record in history))

    def load(self, name: str) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]] | None:
        """A checkpoint's arrays and history, or None when there is no such checkpoint.

        Raises:
            RunError: the file is damaged.
        """
        path = self.folder / "checkpoints" / f"{name}.npz"
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as packed:
                arrays = dict(packed)
            arrays.pop("progress", None)
            return arrays, json.loads(str(arrays.pop("history")))
        except _DAMAGE as cause:
            cure = "remove it to train from the start" if name == "last" else "train again into another directory"
            raise RunError(f"{path} is damaged ({cause}); {cure}.") from cause


def start_run(folder: Path | str, recipe: Recipe, data: PreparedData) -> Run:
    """Open a run directory for training: a new one, or one that the same recipe and data began.

    Raises:
        RunError: the directory belongs to another recipe or other data.
        LungwiseError: it cannot be written.
    """
    folder = Path(folder)
    if (folder / "recipe.toml").exists():
        run = open_run(folder)
        if run.recipe != recipe:
            raise RunError(
                f"{folder} was made by another recipe ({_difference(run.recipe, recipe)}); choose another --out, or train "
                f"with --recipe {folder / 'recipe.toml'}."
            )
        if run.data["fingerprint"] != data.fingerprint:
            raise RunError(f"{folder} was trained on other data (the fingerprints differ); choose another --out.")
        return run
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # A start that was killed leaves only its first file or an unfinished one, whose name begins with a dot.
        if any(child.name != "data.json" and not child.name.startswith(".") for child in folder.iterdir()):
            raise RunError(f"A run needs a new or empty directory, but {folder} holds other files; choose another --out.")
    spec = data.spec.model_copy(
        update={"size": recipe.model.image_size, "low": recipe.model.input_range[0], "high": recipe.model.input_range[1]}
    )
    facts = {
        "fingerprint": data.fingerprint,
        "folder": str(data.folder.resolve()),
        "labels": list(data.labels),
        "preprocess": spec.model_dump(),
        **{key: data.facts[key] for key in _KEPT},
    }
    write_json(folder / "data.json", facts)
    write_text(folder / "recipe.toml", tomli_w.dumps(recipe.model_dump(mode="json")))
    return Run(folder, recipe, facts)


def open_run(folder: Path | str) -> Run:
    """Open an existing run directory.

    Raises:
        RunError: it is none, or its files are damaged.
    """
    folder = Path(folder)
    try:
        values = tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
        data = dict(json.loads((folder / "data.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise RunError(f"{folder} is not a run directory; train one with lungwise train DATA --out {folder}.") from cause
    except (ValueError, TypeError) as cause:
        raise RunError(f"The run directory {folder} is damaged ({cause}); train again into another one.") from cause
    if lost := [key for key in _FACTS if key not in data]:
        raise RunError(f"The run directory {folder} is damaged (data.json lacks {some(lost)}); train again into another one.")
    try:
        return Run(folder, parse_recipe(values), data)
    except RecipeError as cause:
        reason = str(cause).removesuffix("; correct it.").removesuffix(".")
        raise RunError(
            f"{folder / 'recipe.toml'} must be a recipe of this version of lungwise, but is none ({reason}); train again into "
            "another directory."
        ) from cause


@contextmanager
def gone_if_refused(folder: Path) -> Iterator[None]:
    """Take a run directory away again when its training is refused before it has learnt anything.

    It would stand in the way of the same command with the mistake corrected. A directory that was there before stays, and so
    does one in which training was stopped or interrupted or found no room.
    """
    existed = folder.exists()
    new = not existed or (folder.is_dir() and not any(folder.iterdir()))
    try:
        yield
    except (DataError, RunError, WeightsError, MissingExtraError):
        learnt = any(any(folder.glob(pattern)) for pattern in ("checkpoints", "*/checkpoints"))
        if new and folder.is_dir() and not learnt:
            _empty(folder)
            if not existed:
                folder.rmdir()
        raise


def _empty(folder: Path) -> None:
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()


def single_run(folder: Path | str) -> Run:
    """Open a run directory that must hold one model.

    Raises:
        RunError: as :func:`open_run`, or it holds a cross-validation.
    """
    run = open_run(folder)
    if (run.folder / CROSSVAL).exists():
        folds = sorted(path.parent.name for path in run.folder.glob("*/recipe.toml"))
        example = f", such as {run.folder / folds[0]}" if folds else ""
        raise RunError(
            f"A run with one model is needed, but {run.folder} is a cross-validation, which has one for every fold; take the "
            f"directory of one fold{example}, or train once on all images: lungwise train DATA --out RUN."
        )
    return run


def environment() -> dict[str, Any]:
    """What the run was made with: versions and the kind of machine, nothing that names a person or place."""
    packages = ("lungwise", "keras", "tensorflow", "tensorflow-cpu", "jax", "numpy", "opencv-python-headless", "scikit-learn")
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "packages": versions,
    }


def _difference(ours: Recipe, theirs: Recipe) -> str:
    """The first key in which two recipes differ, with both values."""
    left, right = flat(ours.model_dump()), flat(theirs.model_dump())
    key = next(key for key in left if left[key] != right[key])
    return f"{key} is {left[key]!r} there and {right[key]!r} here"
