"""Evaluated runs and cross-validations, written by hand in a moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lungwise.evaluation.cases import to_cases
from lungwise.evaluation.decision import Decision
from tests.evaluation.factory import history, predictions

ALL = {"validation": 8, "test": 40}


def estimate(value: float | None) -> dict[str, float | None]:
    return {"value": value, "low": value and value - 0.02, "high": value and value + 0.02}


def part(table: pl.DataFrame, split: str = "test") -> dict[str, Any]:
    """The figures of a part; only those that a comparison reads."""
    cases = to_cases(table, split)
    right = float((cases.prob.argmax(axis=1) == cases.y).mean())
    return {
        "images": len(cases),
        "patients": cases.patients,
        "accuracy": estimate(right),
        "balanced_accuracy": estimate(0.7),
        "macro_auroc": estimate(0.9),
    }


def write(folder: Path, table: pl.DataFrame | None = None, data: str = "a" * 64, **changes: Any) -> Path:
    """An evaluated run that takes the largest probability."""
    table = predictions(ALL) if table is None else table
    splits = [split for split in ("test", "validation", "train") if (table["split"] == split).any()]
    metrics = {
        "part": splits[0],
        "parts": {split: part(table, split) for split in splits},
        "decision": Decision().to_json(),
        "training": {"epochs_to_best": 2, "train_test_gap": 0.031, "kept_epoch": 2},
        "targets": [{"met": True}, {"met": False}, {"met": None}],
        "data_fingerprint": data,
        "synthetic": False,
    }
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({**metrics, **changes}))
    (folder / "environment.json").write_text(json.dumps({"recipe": "quick"}))
    rows = [{**record, "images_per_second": 20.0 + record["epoch"]} for record in history(3)]
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table.write_parquet(folder / "predictions.parquet")
    return folder


def folds(seed: int = 0, number: int = 3, images: int = 24, repeats: int = 1) -> pl.DataFrame:
    """Predictions of a cross-validation whose division is always the same."""
    tables = []
    for repeat in range(1, repeats + 1):
        for fold in range(1, number + 1):
            table = predictions({"test": images, "validation": 4}, seed=100 * seed + 10 * repeat + fold)
            names = [f"{split}{fold}-{row}" for row, split in enumerate(table["split"])]
            patient = [f"{name.partition('-')[0]}-{row // 2}" for row, name in enumerate(names)]
            place = {"fold": fold, "repeat": repeat}
            tables.append(table.with_columns(image=pl.Series(names), patient=pl.Series(patient), **_constants(place)))
    return pl.concat(tables)


def _constants(place: dict[str, int]) -> dict[str, pl.Expr]:
    return {name: pl.lit(value, pl.Int32) for name, value in place.items()}


def write_folds(folder: Path, table: pl.DataFrame, by: str = "patient", **changes: Any) -> Path:
    """An evaluated cross-validation."""
    each = []
    for repeat, fold in table.select("repeat", "fold").unique().sort("repeat", "fold").iter_rows():
        rows = table.filter((pl.col("repeat") == repeat) & (pl.col("fold") == fold))
        found = part(rows)
        values = {name: found[name]["value"] for name in ("accuracy", "balanced_accuracy", "macro_auroc")}
        named = {"fold": fold, "repeat": repeat, "name": f"fold {fold}", "images": found["images"]}
        each.append({**named, "decision": Decision().to_json(), **values})
    facts = {"folds": len(each), "repeats": 1, "include_test": True, "by": by}
    tested = table.filter(pl.col("split") == "test")
    changes = {"folds": {**facts, "each": each}, "parts": {"test": part(tested)}, "training": None, **changes}
    write(folder, table, **changes)
    lines = [{"fold": fold, "repeat": 1, **record} for fold in range(1, len(each) + 1) for record in history(fold + 1)]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def shifted(table: pl.DataFrame, seed: int, most: float = 0.4) -> pl.DataFrame:
    """The same images with other probabilities of two classes."""
    rng = np.random.default_rng(seed)
    names = [name for name in table.columns if name.startswith("prob_")]
    first = np.clip(table[names[0]].to_numpy() + rng.uniform(-most, most, table.height), 0, 1)
    return table.with_columns(pl.Series(names[0], first), pl.Series(names[1], 1 - first))
