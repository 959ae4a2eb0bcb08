"""One self-contained HTML file that says what a run is worth."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from lungwise.answer import INTENDED_USE
from lungwise.errors import require
from lungwise.evaluation import figures
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.decision import Decision
from lungwise.evaluation.metrics import roc_points

CLASS_METRICS = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc")

_TIGHT = "\u00a0"
"""A no-break space: an interval is never torn apart at the end of a line."""


def percent(estimate: dict[str, float | None]) -> str:
    """An estimate as "88.1 % [85.4, 90.6]", or a dash where it is undefined."""
    if estimate["value"] is None:
        return "–"
    value, low, high = (100 * float(estimate[key] or 0.0) for key in ("value", "low", "high"))
    return f"{value:.1f} % [{low:.1f},{_TIGHT}{high:.1f}]"


def decimal(estimate: dict[str, float | None]) -> str:
    """An estimate as "0.944 [0.927, 0.960]", or a dash where it is undefined."""
    if estimate["value"] is None:
        return "–"
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    return f"{value:.3f} [{low:.3f},{_TIGHT}{high:.3f}]"


def pictures(cases: Cases, decision: Decision, metrics: dict[str, Any], history: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The report's figures as SVG elements, by name."""
    found, part = {}, metrics["parts"][metrics["part"]]
    curves = {name: roc_points(cases, column) for column, name in enumerate(cases.labels)}
    if cases.labels.positive is not None:
        # With two classes the second curve is the first one's mirror image.
        positive = cases.labels.positive
        finding, other = cases.labels.names[positive], cases.labels.names[1 - positive]
        curves = {finding: curves[finding]}
        truth = (cases.y == positive).tolist()
        found["scores"] = figures.score_histogram(cases.prob[:, positive].tolist(), truth, decision.threshold, finding, other)
    areas = {name: decimal(part["classes"][name]["auroc"]) for name in curves}
    found["roc"] = figures.roc_curves(curves, areas)
    found["confusion"] = figures.confusion_matrix(part["confusion"], cases.labels.names)
    found["classes"] = figures.class_intervals(part["classes"], CLASS_METRICS[:-1])
    if history:
        found["learning"] = figures.learning_curves(history, metrics["training"]["kept_epoch"])
    return found


def _patients(number: int) -> str:
    return "1 patient" if number == 1 else f"{number} patients"


def verdict(metrics: dict[str, Any]) -> list[str]:
    """The result in plain sentences, the most important first."""
    part = metrics["parts"][metrics["part"]]
    where = {"test": "test images", "validation": "validation images (there is no test part)"}[metrics["part"]]
    lines = [
        f"On {part['images']} {where} of {_patients(part['patients'])} it decides rightly for {percent(part['accuracy'])}; "
        "the brackets hold the 95 % interval."
    ]
    lines += _over_folds(metrics["folds"]) if metrics.get("folds") else []
    return lines + [_in_words(name, found) for name, found in part["classes"].items()]


def _over_folds(folds: dict[str, Any]) -> list[str]:
    number, found = len(folds["each"]), folds["mean"]["accuracy"]
    again = f", each predicted {folds['repeats']} times" if folds["repeats"] > 1 else ""
    spread = "" if found["sd"] is None else f", standard deviation {100 * found['sd']:.1f} points"
    return [
        f"It stands for {number} models that were trained on other images than they were tested on{again}; over the folds "
        f"accuracy is {100 * found['mean']:.1f} % on average{spread}."
    ]


def _in_words(name: str, found: dict[str, dict[str, float | None]]) -> str:
    """One class' sensitivity and PPV as a sentence, saying so where they cannot be known."""
    share, right, mix = (found[key]["value"] for key in ("sensitivity", "ppv", "prevalence"))
    if share is None:
        return f"There is no image of {name} here, so nothing can be said about recognising it."
    text = f"Of 100 images of {name} it recognises {100 * share:.0f}"
    if right is None or mix is None:
        return f"{text}; it never says {name}."
    here = f"at this mix of classes ({100 * mix:.0f} % {name})"
    return f"{text}; when it says {name}, it is right in {100 * right:.0f} of 100, {here}."


def plus_minus(found: dict[str, float | None], digits: int = 3) -> str:
    """Mean and standard deviation as "0.812 ± 0.023", or a dash where they are undefined."""
    if found["mean"] is None:
        return "–"
    return f"{found['mean']:.{digits}f}" + ("" if found["sd"] is None else f"{_TIGHT}±{_TIGHT}{found['sd']:.{digits}f}")


def render(context: dict[str, Any]) -> str:
    """Fill the template.

    Args:
        context: name, metrics, figures (SVG by name), history, recipe (text), data, environment, version, command; metrics of
            a cross-validation have "folds".
    """
    jinja2 = require("jinja2", "train", "writing a report")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "decimal": decimal, "plus_minus": plus_minus}
    text = resources.files("lungwise.evaluation").joinpath("templates", "report.html").read_text(encoding="utf-8")
    return str(
        environment.from_string(text).render(
            **context, verdict=verdict(context["metrics"]), class_metrics=CLASS_METRICS, intended_use=INTENDED_USE
        )
    )
