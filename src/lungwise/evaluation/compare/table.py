"""Several runs in one table, like the original project's: accuracies, epochs, time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lungwise.evaluation.compare.runs import Evaluated, learned
from lungwise.evaluation.texts import decimal, percent

COLUMNS = (
    "run",
    "part",
    "images",
    "accuracy",
    "balanced accuracy",
    "AUROC",
    "train accuracy",
    "validation accuracy",
    "train-test gap",
    "epochs to best",
    "epochs",
    "time",
    "images/s",
    "targets met",
)


def figures(run: Evaluated) -> dict[str, Any]:
    """What a run is worth and what it cost, ready for JSON; None where it is not known."""
    metrics, training = run.metrics, run.metrics.get("training") or {}
    targets = metrics.get("targets") or []
    return {
        "run": run.name,
        "folder": str(run.folder),
        "recipe": run.recipe,
        "data_fingerprint": metrics.get("data_fingerprint", ""),
        "part": metrics["part"],
        "folds": run.folds,
        "images": run.part["images"],
        "patients": run.part.get("patients"),
        "accuracy": {split: found["accuracy"] for split, found in metrics["parts"].items()},
        "balanced_accuracy": run.part["balanced_accuracy"],
        "macro_auroc": run.part["macro_auroc"],
        "train_test_gap": training.get("train_test_gap"),
        "epochs_to_best": training.get("epochs_to_best"),
        **learned(run),
        "targets_met": sum(row["met"] is True for row in targets) if targets else None,
        "targets": len(targets),
    }


def texts(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The same for people, under the names of ``COLUMNS``; runs on different data are marked."""
    marked = len({row["data_fingerprint"] for row in rows}) > 1
    return [dict(zip(COLUMNS, _texts(row, marked), strict=True)) for row in rows]


def _texts(row: dict[str, Any], marked: bool) -> tuple[str, ...]:
    gap, met, speed = row["train_test_gap"], row["targets_met"], row["images_per_second"]
    return (
        row["run"] + (f" (data {row['data_fingerprint'][:6] or 'unknown'})" if marked else ""),
        row["part"] + (f", {row['folds']} folds" if row["folds"] else ""),
        str(row["images"]),
        percent(row["accuracy"][row["part"]]),
        percent(row["balanced_accuracy"]),
        decimal(row["macro_auroc"]),
        _share(row, "train"),
        _share(row, "validation"),
        "–" if gap is None else f"{100 * gap:+.1f} points",
        _or_dash(row["epochs_to_best"]),
        _or_dash(row["epochs"]),
        duration(row["seconds"]),
        "–" if speed is None else f"{speed:.0f}",
        "–" if met is None else f"{met} of {row['targets']}",
    )


def _or_dash(value: object) -> str:
    return "–" if value is None else str(value)


def _share(row: dict[str, Any], split: str) -> str:
    """An accuracy of another part; its interval would only widen the table."""
    value = row["accuracy"].get(split, {}).get("value")
    return "–" if value is None or split == row["part"] else f"{100 * value:.1f} %"


def duration(seconds: float | None) -> str:
    """Seconds as "45 s", "10.1 min" or "2.5 h"."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
