"""Several runs in one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lungwise.errors import RunError
from lungwise.evaluation.report import decimal, percent

COLUMNS = ("run", "part", "images", "accuracy", "balanced accuracy", "AUROC", "epochs to best", "train-test gap", "targets met")


def read_metrics(folder: Path) -> dict[str, Any]:
    """A run's ``metrics.json``; an absent or damaged one is a RunError."""
    try:
        metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise RunError(f"{folder} has no metrics.json; evaluate it first: lungwise evaluate {folder}.") from cause
    except ValueError as cause:
        raise RunError(f"{folder / 'metrics.json'} is damaged ({cause}); evaluate the run again.") from cause
    return metrics


def compare(folders: list[Path]) -> list[dict[str, str]]:
    """One row a run, best accuracy first; values are texts under the names of ``COLUMNS``.

    Runs on different data are marked, because their figures cannot be compared.
    """
    found = [(folder, read_metrics(folder)) for folder in folders]
    prints = {metrics["data_fingerprint"] for _, metrics in found}
    found.sort(key=lambda pair: -(pair[1]["parts"][pair[1]["part"]]["accuracy"]["value"] or 0.0))
    rows = [_row(folder, metrics) for folder, metrics in found]
    if len(prints) > 1:
        for row, (_, metrics) in zip(rows, found, strict=True):
            row["run"] += f" (data {metrics['data_fingerprint'][:6] or 'unknown'})"
    return rows


def _row(folder: Path, metrics: dict[str, Any]) -> dict[str, str]:
    part, training = metrics["parts"][metrics["part"]], metrics["training"]
    gap = training and training["train_test_gap"]
    values = (
        folder.resolve().name,
        metrics["part"] + (f", {len(metrics['folds']['each'])} folds" if metrics.get("folds") else ""),
        str(part["images"]),
        percent(part["accuracy"]),
        percent(part["balanced_accuracy"]),
        decimal(part["macro_auroc"]),
        str(training["epochs_to_best"]) if training else "–",
        "–" if gap is None else f"{100 * gap:+.1f} points",
        f"{sum(row['met'] is True for row in metrics['targets'])} of {len(metrics['targets'])}" if metrics["targets"] else "–",
    )
    return dict(zip(COLUMNS, values, strict=True))
