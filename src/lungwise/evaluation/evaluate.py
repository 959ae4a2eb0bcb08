"""Evaluate a finished run, or any predictions: numbers into ``metrics.json``, the same for people into ``report.html``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import lungwise
from lungwise.errors import DataError
from lungwise.evaluation.cases import Cases, read_predictions, to_cases
from lungwise.evaluation.conformal import Conformal
from lungwise.evaluation.decision import Decision, Rule
from lungwise.evaluation.folds import calibration_of_folds, common_decision, describe_folds, judge, pooled, summary
from lungwise.evaluation.judged import Judged, judged, measured, patients_by_class
from lungwise.evaluation.mistakes import Pictures, shown, worst
from lungwise.evaluation.report import pictures, render
from lungwise.evaluation.run_files import find_shortcuts, read_json, read_recipe
from lungwise.evaluation.subgroups import by_columns
from lungwise.evaluation.targets import learning, targets
from lungwise.evaluation.wishes import NONE, Wishes
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
        decision: an earlier choice, that of a bundle, whose probabilities are calibrated already: then nothing is fitted.
            None calibrates and chooses on the validation part.
        conformal: with a decision, the bundle's quantiles.
        rule: how to choose a decision; Youden's by default.
        wishes: what the report shall say besides the usual.
        pictures: gives films and heat maps of the worst mistakes; None shows them by name only.
        model: what the model is called in a shortcut audit; ``name`` by default.
    """

    name: str
    description: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[dict[str, Any]] = ()
    kept_epoch: int = 0
    recipe: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    decision: Decision | None = None
    conformal: Conformal | None = None
    rule: Rule | None = None
    wishes: Wishes = NONE
    pictures: Pictures | None = None
    model: str = ""


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
        RunError: a shortcut audit in ``out`` is damaged.
    """
    wishes = background.wishes
    table = wishes.table(table)
    present = [split for split in SPLITS if (table["split"] == split).any()]
    if not present or present == ["train"]:
        raise DataError("Evaluation needs test or validation images, the predictions hold neither; prepare the data with both.")
    raw = {split: to_cases(table, split) for split in present}
    if background.decision is None:
        found = judged(raw, wishes.rule(background.rule, raw[present[0]].labels), wishes.prevalence)
    else:
        found = measured(raw, background.decision, background.conformal, wishes.prevalence)
    metrics = _of_parts(found, background)
    chosen = found.cases[metrics["part"]]
    decided = found.decision.decide(chosen.prob)
    metrics["subgroups"] = by_columns(chosen, decided, table, wishes.by)
    return _publish(metrics, _Shown(chosen, decided, found.decision, describe(found.decision, chosen.labels)), background, out)


@dataclass(frozen=True)
class _Shown:
    """What the report draws besides the metrics."""

    cases: Cases
    decided: NDArray[np.int64]
    decision: Decision
    sentence: str


def _publish(metrics: dict[str, Any], seen: _Shown, background: Background, out: Path) -> dict[str, Any]:
    """Write the report, then the metrics."""
    metrics["patients_by_class"] = patients_by_class(seen.cases)
    metrics["shortcuts"] = find_shortcuts(out, background.model or background.name, background.data)
    wrong = worst(seen.cases, seen.decided) if background.wishes.images else []
    page = render(
        {
            "name": background.name,
            "description": background.description,
            "metrics": metrics,
            "targets": metrics["targets"],
            "figures": {"scores": "", "learning": "", **pictures(seen.cases, seen.decision, metrics, background.history)},
            "decision": seen.sentence,
            "data": {**_NO_DATA, **background.data},
            "recipe": background.recipe,
            "environment": background.environment,
            "mistakes": shown(wrong, background.pictures),
            "images": background.wishes.images,
            "version": lungwise.__version__,
        }
    )
    write_text(out / "report.html", page)
    write_json(out / "metrics.json", metrics)
    return metrics


def evaluate_run(
    folder: Path | str, rule: Rule | None = None, wishes: Wishes = NONE, pictures: Pictures | None = None
) -> dict[str, Any]:
    """Evaluate a run directory, or that of a cross-validation, in place.

    Args:
        folder: a finished run, or a finished cross-validation.
        rule: how the threshold is chosen on validation; Youden's by default.
        wishes: what the report shall say besides the usual.
        pictures: gives films and heat maps of the worst mistakes; None shows them by name only.

    Raises:
        RunError: ``folder`` is no run directory, or its files are damaged.
        DataError: the run is not finished.
    """
    folder = Path(folder)
    if (folder / "crossval.json").exists():
        return _evaluate_folds(folder, rule, wishes, pictures)
    recipe, data = read_recipe(folder), read_json(folder, "data.json", ("fingerprint",))[0]
    table = read_predictions(folder / "predictions.parquet")
    history = read_json(folder, "history.jsonl", ("epoch", "loss"))
    facts = read_json(folder, "environment.json", ("recipe", "description", "kept_epoch"))[0]
    background = Background(
        name=folder.resolve().name,
        description=_recipe(facts),
        data=data,
        history=history,
        kept_epoch=facts["kept_epoch"],
        recipe=recipe,
        environment=facts,
        rule=rule,
        wishes=wishes,
        pictures=pictures,
    )
    return evaluate_predictions(table, background, folder)


def _evaluate_folds(folder: Path, rule: Rule | None, wishes: Wishes, pictures: Pictures | None) -> dict[str, Any]:
    """Evaluate a cross-validation: every fold by its own decision, all test parts together, mean and deviation."""
    recipe, data = read_recipe(folder), read_json(folder, "data.json", ("fingerprint",))[0]
    facts = read_json(folder, "crossval.json", ("division", "data_fingerprint"))[0]
    table = wishes.table(read_predictions(folder / "predictions.parquet"))
    folds = judge(table, wishes.rule(rule, to_cases(table.head(0)).labels))
    environment = read_json(folder, "environment.json", ("recipe", "description"))[0]
    description = _recipe(environment, f", {len(folds)} folds")
    background = Background(
        folder.resolve().name, description, data, recipe=recipe, environment=environment, wishes=wishes, pictures=pictures
    )
    chosen, part = pooled(folds, wishes.prevalence)
    # An image is also a validation image of another fold; only the row in which it was tested tells its group.
    tested = table.filter(pl.col("split") == "test")
    decision, decided = common_decision(folds), np.concatenate([fold.decided for fold in folds])
    metrics = {
        **_about(background, chosen.labels, "test", decision),
        "parts": {"test": part},
        "folds": summary(folds, facts["division"]),
        "calibration": calibration_of_folds(folds),
        "subgroups": by_columns(chosen, decided, tested, wishes.by),
        "data_fingerprint": facts["data_fingerprint"],
    }
    return _publish(metrics, _Shown(chosen, decided, decision, describe_folds(folds)), background, folder)


def _recipe(facts: Mapping[str, Any], more: str = "") -> str:
    return f"Recipe {facts['recipe']}{more}" + (f": {facts['description']}" if facts["description"] else ".")


_NO_DATA: dict[str, Any] = {
    "counts": {}, "audit": [], "notes": [], "missing": 0, "unreadable": 0, "fingerprint": "", "synthetic": False,
}  # fmt: skip


def _of_parts(found: Judged, background: Background) -> dict[str, Any]:
    accuracy = {split: part["accuracy"]["value"] for split, part in found.parts.items()}
    learned = learning(background.history, accuracy.get("train"), accuracy.get("test")) if background.history else None
    part = next(iter(found.parts))
    return {
        **_about(background, found.cases[part].labels, part, found.decision),
        "parts": found.parts,
        "training": {**learned, "kept_epoch": background.kept_epoch} if learned else None,
        "targets": targets(accuracy.get("test"), learned) if learned else [],
        **found.more,
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
        "audit": list(background.data.get("audit", [])),
        "notes": list(background.data.get("notes", [])),
    }


def describe(decision: Decision, labels: LabelSet) -> str:
    """The decision's rule in one sentence."""
    if decision.rule == "argmax":
        return "The class with the largest probability is decided for."
    reason = {
        "youden": "the threshold with the largest Youden index on validation",
        "sensitivity": "the highest threshold that keeps the wanted sensitivity on validation",
        "specificity": "the lowest threshold that keeps the wanted specificity on validation",
        "cost": "the threshold with the smallest expected cost on validation",
    }[decision.rule]
    finding = labels.names[decision.positive]
    return f"{finding} is decided for from a probability of {decision.threshold:.3f} on, {reason}."
