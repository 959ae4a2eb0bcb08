"""One self-contained HTML file that says what a run is worth."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from lungwise.answer import INTENDED_USE
from lungwise.errors import require
from lungwise.evaluation import figures
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.checklist import checklist
from lungwise.evaluation.decision import Decision, findings
from lungwise.evaluation.doubts import conclusion, doubts
from lungwise.evaluation.figures_calibration import reliability_diagrams
from lungwise.evaluation.figures_curves import precision_recall_curves, precision_recall_points
from lungwise.evaluation.metrics import roc_points
from lungwise.evaluation.subgroups import METHOD
from lungwise.evaluation.texts import decimal, percent, plus_minus
from lungwise.evaluation.wording import p_value, points

NOTABLE = 0.01
"""Two ends of intervals that lie closer together tell a reader the same."""
CLASS_METRICS = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc")


def pictures(cases: Cases, decision: Decision, metrics: dict[str, Any], history: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The report's figures as SVG elements, by name."""
    part = metrics["parts"][metrics["part"]]
    found = _curves(cases, part)
    positive = cases.labels.positive
    if positive is not None:
        finding, other = cases.labels.names[positive], cases.labels.names[1 - positive]
        truth = (cases.y == positive).tolist()
        found["scores"] = figures.score_histogram(cases.prob[:, positive].tolist(), truth, decision.threshold, finding, other)
    found["confusion"] = figures.confusion_matrix(part["confusion"], cases.labels.names)
    found["classes"] = figures.class_intervals(part["classes"], CLASS_METRICS[:-1])
    if history:
        found["learning"] = figures.learning_curves(history, metrics["training"]["kept_epoch"])
    return found


def _curves(cases: Cases, part: dict[str, Any]) -> dict[str, str]:
    """ROC and precision-recall curves; with two classes the ROC curve of the other is the first one's mirror image."""
    columns = {cases.labels.names[column]: column for column in findings(cases.labels)}
    roc = {name: roc_points(cases, column) for name, column in columns.items()}
    recall = {name: precision_recall_points(cases, column) for name, column in columns.items()}
    areas = [{name: decimal(part["classes"][name][key]) for name in columns} for key in ("auroc", "auprc")]
    common = {name: float((cases.y == column).mean()) for name, column in columns.items()}
    drawn = precision_recall_curves(recall, areas[1], common)
    return {"roc": figures.roc_curves(roc, areas[0]), "recall": drawn}


def differing(part: dict[str, Any]) -> list[dict[str, str]]:
    """Figures whose interval by formula is not the bootstrap's: an end that differs by a point or more.

    Args:
        part: all metrics of a part; an older ``metrics.json`` has no formulas.
    """
    exact = part.get("exact")
    if not exact:
        return []
    pairs = [("accuracy", part["accuracy"], exact["accuracy"])]
    for label, found in exact["classes"].items():
        pairs += [(f"{_title(key)}, {label}", part["classes"][label][key], ends) for key, ends in found.items()]
    return [
        {"name": name, "bootstrap": decimal(estimate), "formula": decimal({**ends, "value": estimate["value"]})}
        for name, estimate, ends in pairs
        if _apart(estimate, ends)
    ]


def _apart(estimate: dict[str, Any], ends: dict[str, Any]) -> bool:
    pairs = [(estimate[key], ends[key]) for key in ("low", "high")]
    return any((a is None) != (b is None) or (a is not None and abs(a - b) >= NOTABLE) for a, b in pairs)


def _title(metric: str) -> str:
    return metric.upper() if len(metric) < 4 or metric == "auroc" else metric


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
    lines += _beside_guessing(part)
    lines += _over_folds(metrics["folds"]) if metrics.get("folds") else []
    return lines + [_in_words(name, found) for name, found in part["classes"].items()]


def _beside_guessing(part: dict[str, Any]) -> list[str]:
    """Whether it is better than always giving the answer that is right most often."""
    name, found = max(part["classes"].items(), key=lambda item: item[1]["prevalence"]["value"] or 0.0)
    share = found["prevalence"]["value"]
    if share is None or share == 1:
        return []
    low, high = part["accuracy"]["low"], part["accuracy"]["high"]
    guess = f"Always saying {name} would be right for {100 * share:.1f} %"
    if low is None or high is None:
        return [f"{guess}."]
    if low > share:
        return [f"{guess}; it is better than that beyond chance."]
    return [f"{guess}; it is {'not shown to be better than that' if high >= share else 'worse than that beyond chance'}."]


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


def _sections(context: dict[str, Any]) -> dict[str, Any]:
    """What the template shows besides its context."""
    metrics = context["metrics"]
    calibration = metrics.get("calibration") or {}
    return {
        "verdict": verdict(metrics),
        "conclusion": conclusion(metrics),
        "doubts": doubts(metrics),
        "reliability": reliability_diagrams(calibration) if "before" in calibration else {},
        "differing": differing(metrics["parts"][metrics["part"]]),
        "items": checklist(metrics, context["data"], context["recipe"], context["environment"]),
        "class_metrics": CLASS_METRICS,
        "subgroup_method": METHOD,
        "intended_use": INTENDED_USE,
    }


def render(context: dict[str, Any]) -> str:
    """Fill the template.

    Args:
        context: name, description, metrics, targets, figures (SVG by name), decision, data, recipe (text), environment,
            mistakes (with pictures), images, version; metrics of a cross-validation have "folds".
    """
    jinja2 = require("jinja2", "train", "writing a report")
    place = resources.files("lungwise.evaluation").joinpath("templates")
    loader = jinja2.FunctionLoader(lambda name: place.joinpath(*name.split("/")).read_text(encoding="utf-8"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "decimal": decimal,
        "plus_minus": plus_minus,
        "points": points,
        "p_value": p_value,
        "title_of": _title,
    }
    return str(environment.get_template("report.html").render(**context, **_sections(context)))
