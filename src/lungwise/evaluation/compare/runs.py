"""What is compared: evaluated runs, evaluated cross-validations, and evaluated tables of anyone's predictions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import polars as pl

from lungwise.errors import RunError
from lungwise.evaluation.cases import read_predictions


@dataclass(frozen=True)
class Evaluated:
    """One side of a comparison.

    Args:
        folder: where it lies.
        name: unique among those compared.
        metrics: its ``metrics.json``.
        history: one dictionary an epoch (and fold); empty where the training is not known.
        recipe: the recipe's name, or "".
    """

    folder: Path
    name: str
    metrics: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    recipe: str

    @property
    def part(self) -> dict[str, Any]:
        """The figures of the part that it is judged by."""
        found: dict[str, Any] = self.metrics["parts"][self.metrics["part"]]
        return found

    @property
    def folds(self) -> int:
        """How many folds it has, 0 for a single run."""
        return len(self.metrics["folds"]["each"]) if self.metrics.get("folds") else 0

    def predictions(self) -> pl.DataFrame | None:
        """Its table of predictions; None where only figures are known."""
        path = self.folder / "predictions.parquet"
        return read_predictions(path) if path.exists() else None


def read_metrics(folder: Path) -> dict[str, Any]:
    """A run's ``metrics.json``; an absent or damaged one is a RunError."""
    try:
        metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise RunError(f"{folder} has no metrics.json; evaluate it first: lungwise evaluate {folder}.") from cause
    except ValueError as cause:
        raise RunError(f"{folder / 'metrics.json'} is damaged ({cause}); evaluate the run again.") from cause
    return metrics


def read_evaluated(folders: Sequence[Path]) -> list[Evaluated]:
    """Runs to compare, the highest accuracy first, under names that tell them apart.

    Raises:
        RunError: one was not evaluated, or a file of it is damaged.
    """
    names = unique([folder.resolve() for folder in folders])
    found = [_read(folder, name) for folder, name in zip(folders, names, strict=True)]
    return sorted(found, key=lambda run: -(run.part["accuracy"]["value"] or 0.0))


def _read(folder: Path, name: str) -> Evaluated:
    metrics = read_metrics(folder)
    history = _lines(folder / "history.jsonl")
    facts = _lines(folder / "environment.json", whole=True)
    return Evaluated(folder, name, metrics, tuple(history), str(facts[0].get("recipe", "")) if facts else "")


def _lines(path: Path, *, whole: bool = False) -> list[dict[str, Any]]:
    """JSON values of a file, one a line or one in all; none where the file is absent."""
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        return [json.loads(line) for line in ([text] if whole else text.splitlines())]
    except ValueError as cause:
        raise RunError(f"{path} is damaged ({cause}); train again into another directory.") from cause


def unique(paths: Sequence[Path]) -> list[str]:
    """The last parts of paths, with as many folders before them as tell them apart; the same path twice is numbered."""
    names = [path.name or str(path) for path in paths]
    for depth in range(2, max((len(path.parts) for path in paths), default=0) + 1):
        many = Counter(names)
        names = ["/".join(path.parts[-depth:]) if many[name] > 1 else name for path, name in zip(paths, names, strict=True)]
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def learned(run: Evaluated) -> dict[str, Any]:
    """What the history says: epochs (the folds' median), seconds in all, seconds an epoch, images per second (median)."""
    if not run.history:
        return {"epochs": None, "seconds": None, "seconds_per_epoch": None, "images_per_second": None}
    epochs = Counter((record.get("repeat", 1), record.get("fold", 1)) for record in run.history)
    seconds = [float(record["seconds"]) for record in run.history]
    speeds = [float(record["images_per_second"]) for record in run.history if record.get("images_per_second")]
    return {
        "epochs": int(median(epochs.values())),
        "seconds": round(sum(seconds), 1),
        "seconds_per_epoch": round(fmean(seconds), 1),
        "images_per_second": round(median(speeds), 1) if speeds else None,
    }
