"""Evaluate a finished run, or any predictions: numbers into ``metrics.json``, the same for people into ``report.html``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

import lungwise
from lungwise.errors import DataError, RunError
from lungwise.evaluation.cases import Cases, read_predictions, to_cases
from lungwise.evaluation.decision import Decision, Rule, fit_decision
from lungwise.evaluation.folds import common_decision, describe_folds, judge, pooled, summary
from lungwise.evaluation.metrics import measure
from lungwise.evaluation.report import pictures, render
from lungwise.evaluation.targets import learning, targets
from lungwise.files import write_json, write_text
from lungwise.labels import LabelSet

SPLITS = ("test", "validation", "train")


@dataclass(frozen=True)
class Background:
    """What is known of where predictions come from.

    Args:
        name: the report's title.
        description: one sentence below it.
        data: counts, audit, notes, missing, unreadable, fingerprint and, where so, synthetic.
        history: one dictionary an epoch; empty when the training is not known.
        kept_epoch: the epoch whose weights predicted.
        recipe: the recipe's text, or "".
        environment: packages, python, system, cores, or {}.
        decision: an earlier choice, for example a bundle's; None chooses on the validation part.
        rule: how to choose it; Youden's by default.
    """

    name: str
    description: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[dict[str, Any]] = ()
    kept_epoch: int = 0
    recipe: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    decision: Decision | None = None
    rule: Rule | None = None


def evaluate_predictions(table: pl.DataFrame, background: Background, out: Path) -> dict[str, Any]:
    """Evaluate predictions and write ``metrics.json`` and ``report.html`` into ``out``.

    Args:
        table: columns image, patient, source, split, label and ``prob_<label>``.
        background: where they come from.
        out: a folder.

    Returns:
        The contents of ``metrics.json``.

    Raises:
        DataError: the table holds neither a test nor a validation part, or bad rows.
    """
    present = [split for split in SPLITS if (table["split"] == split).any()]
    if not present or present == ["train"]:
        raise DataError("Evaluation needs test or validation images, the predictions hold neither; prepare the data with both.")
    cases = {split: to_cases(table, split) for split in present}
    decision = background.decision or (
        fit_decision(cases["validation"], background.rule) if "validation" in cases else Decision()
    )
    metrics = _measure_all(cases, decision, background)
    chosen = cases[metrics["part"]]
    return _publish(metrics, chosen, decision, describe(decision, chosen.labels), background, out)


def _publish(
    metrics: dict[str, Any], chosen: Cases, decision: Decision, sentence: str, background: Background, out: Path
) -> dict[str, Any]:
    """Write the report, then the metrics."""
    page = render(
        {
            "name": background.name,
            "description": background.description,
            "metrics": metrics,
            "targets": metrics["targets"],
            "figures": {"scores": "", "learning": "", **pictures(chosen, decision, metrics, background.history)},
            "decision": sentence,
            "data": {**_NO_DATA, **background.data},
            "recipe": background.recipe,
            "environment": background.environment,
            "version": lungwise.__version__,
        }
    )
    write_text(out / "report.html", page)
    write_json(out / "metrics.json", metrics)
    return metrics


def evaluate_run(folder: Path | str, rule: Rule | None = None) -> dict[str, Any]:
    """Evaluate a run directory, or that of a cross-validation, in place.

    Args:
        folder: a finished run, or a finished cross-validation.
        rule: how the threshold is chosen on validation; Youden's by default.

    Raises:
        RunError: ``folder`` is no run directory, or its files are damaged.
        DataError: the run is not finished.
    """
    folder = Path(folder)
    if (folder / "crossval.json").exists():
        return _evaluate_folds(folder, rule)
    recipe, data = _text(folder, "recipe.toml"), _json(folder, "data.json")[0]
    table = read_predictions(folder / "predictions.parquet")
    history, facts = _json(folder, "history.jsonl"), _json(folder, "environment.json")[0]
    background = Background(
        name=folder.resolve().name,
        description=f"Recipe {facts['recipe']}: {facts['description']}",
        data=data,
        history=history,
        kept_epoch=facts["kept_epoch"],
        recipe=recipe,
        environment=facts,
        rule=rule,
    )
    return evaluate_predictions(table, background, folder)


def _evaluate_folds(folder: Path, rule: Rule | None) -> dict[str, Any]:
    """Evaluate a cross-validation: every fold by its own decision, all test parts together, mean and deviation."""
    recipe, data, facts = _text(folder, "recipe.toml"), _json(folder, "data.json")[0], _json(folder, "crossval.json")[0]
    folds = judge(read_predictions(folder / "predictions.parquet"), rule)
    environment = _json(folder, "environment.json")[0]
    description = f"Recipe {environment['recipe']}, {len(folds)} folds: {environment['description']}"
    background = Background(folder.resolve().name, description, data, recipe=recipe, environment=environment)
    chosen, part = pooled(folds)
    decision = common_decision(folds)
    metrics = {
        **_about(background, chosen.labels, "test", decision),
        "parts": {"test": part},
        "folds": summary(folds, facts["division"]),
        "data_fingerprint": facts["data_fingerprint"],
    }
    return _publish(metrics, chosen, decision, describe_folds(folds), background, folder)


def _text(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise RunError(
            f"{folder} is not a run directory: it has no {name}; train one with lungwise train DATA --out {folder}."
        ) from cause


def _json(folder: Path, name: str) -> list[Any]:
    """The JSON values of a file: one, or with ``.jsonl`` one a line."""
    text = _text(folder, name)
    try:
        return [json.loads(part) for part in (text.splitlines() if name.endswith(".jsonl") else [text])]
    except ValueError as cause:
        raise RunError(f"{folder / name} is damaged ({cause}); train again into another directory.") from cause


_NO_DATA: dict[str, Any] = {
    "counts": {}, "audit": [], "notes": [], "missing": 0, "unreadable": 0, "fingerprint": "", "synthetic": False,
}  # fmt: skip


def _measure_all(cases: dict[str, Cases], decision: Decision, background: Background) -> dict[str, Any]:
    parts = {split: measure(found, decision) for split, found in cases.items()}
    accuracy = {split: found["accuracy"]["value"] for split, found in parts.items()}
    learned = learning(background.history, accuracy.get("train"), accuracy.get("test")) if background.history else None
    part = next(iter(parts))
    return {
        **_about(background, cases[part].labels, part, decision),
        "parts": parts,
        "training": {**learned, "kept_epoch": background.kept_epoch} if learned else None,
        "targets": targets(accuracy.get("test"), learned) if learned else [],
    }


def _about(background: Background, labels: LabelSet, part: str, decision: Decision) -> dict[str, Any]:
    """What all metrics files say, whatever was evaluated."""
    return {
        "lungwise": lungwise.__version__,
        "name": background.name,
        "labels": list(labels),
        "part": part,
        "decision": decision.to_json(),
        "parts": {},
        "training": None,
        "targets": [],
        "data_fingerprint": background.data.get("fingerprint", ""),
        "synthetic": bool(background.data.get("synthetic", False)),
    }


def describe(decision: Decision, labels: LabelSet) -> str:
    """The decision's rule in one sentence."""
    if decision.rule == "argmax":
        return "The class with the largest probability is decided for."
    reason = {
        "youden": "the threshold with the largest Youden index on validation",
        "sensitivity": "the highest threshold that keeps the wanted sensitivity on validation",
    }[decision.rule]
    finding = labels.names[decision.positive]
    return f"{finding} is decided for from a probability of {decision.threshold:.3f} on, {reason}."
