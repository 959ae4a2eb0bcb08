"""The card's tables of what was measured: results, other data, groups of patients, robustness, smaller networks."""

from __future__ import annotations

from typing import Any

from lungwise.bundle.spec import PRECISIONS, BundleSpec
from lungwise.bundle.wording import ends, plain, share, table

_OVERALL = ("accuracy", "balanced_accuracy", "macro_auroc")
_BY_CLASS = ("sensitivity", "specificity", "ppv")
_MOST_GROUPS = 40


def results(spec: BundleSpec) -> list[str]:
    """The figures of the run's own test part."""
    if not spec.metrics:
        return ["It was not evaluated."]
    part, found = spec.metrics["part"], spec.metrics["results"]
    return [
        f"On {found['images']} {plain(part)} images of {found['patients']} patients ({plain(found['interval'])}):",
        "",
        *table(("metric", "value", "95 % interval"), _figures(found)),
    ]


def _figures(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = [(key.replace("_", " "), found[key]) for key in _OVERALL]
    for name, values in found["classes"].items():
        rows += [(f"{key}, {name}", values[key]) for key in _BY_CLASS]
    return [(name, f"{item['value']:.3f}", ends(item)) for name, item in rows if item["value"] is not None]


def external(spec: BundleSpec) -> list[str]:
    """Figures on other data, where they were recorded with the run."""
    tests = spec.metrics.get("external", [])
    if not tests:
        return [
            "None was done: it was tested on a held-out part of the collection that it learnt from, and on nothing else. "
            "Expect worse results from other hospitals, devices, ages and views.",
        ]
    lines = []
    for test in tests:
        found = test["results"]
        lines += [f"On {found['images']} {plain(test['part'])} images of {found['patients']} patients of {plain(test['name'])} "
                  f"({plain(found['interval'])}):", ""]  # fmt: skip
        lines += table(("metric", "value", "95 % interval"), _figures(found))
    return lines


def subgroups(spec: BundleSpec) -> list[str]:
    """Figures by group, the worst first."""
    groups = spec.metrics.get("subgroups", [])
    if not groups:
        return [
            "Not measured: nobody has checked whether it serves both sexes, all ages and all sources alike; it may not.",
        ]
    rows = [
        (row["column"], row["group"], row["images"], row["patients"], share(row["accuracy"]), share(row["macro_auroc"]))
        for row in groups
    ]
    lines = ["Accuracy and macro AUROC by group, each with its own 95 % interval, the lowest accuracy of a column first:", ""]
    lines += table(("column", "group", "images", "patients", "accuracy", "macro AUROC"), rows[:_MOST_GROUPS])
    notes = [f"- {plain(row['column'])} {plain(row['group'])}: {plain(row['note'])}" for row in groups if row.get("note")]
    more = [f"{len(rows) - _MOST_GROUPS} further groups are in `lungwise.json`.", ""] if len(rows) > _MOST_GROUPS else []
    return [*lines, *more, *notes[:_MOST_GROUPS]]


def robustness(spec: BundleSpec) -> list[str]:
    """What the audit for shortcuts found."""
    audit = spec.metrics.get("shortcuts")
    if not audit:
        return [
            "Not measured: whether it reads lungs or learnt a shortcut (marks, borders, the source), and whether noise, "
            "exposure or compression change its answers, is unknown. `lungwise audit DATA --model BUNDLE` measures it.",
        ]
    rows = [(check["name"], check["severity"], check["message"]) for check in audit["checks"]]
    said = f"The audit for shortcuts on {audit['films']} test films, worst finding: {plain(audit['severity'])}."
    return [said, "", *table(("check", "finding", "what it says"), rows)]


def variants(spec: BundleSpec) -> list[str]:
    """The networks of the bundle, and what the smaller ones cost."""
    if not spec.variants:
        return ["There is one network, `model.onnx` (float32)."]
    rows: list[tuple[object, ...]] = []
    for name, found in spec.variants.items():
        change = 100 * (found.accuracy - found.full_accuracy)
        cost = (f"{found.accuracy:.4f} ({change:+.2f} points)", f"{found.changed} of {found.images}")
        rows.append((PRECISIONS[name], found.made, f"{found.bytes:,}", *cost, f"{found.largest:.4f}", f"{found.mean:.5f}"))
    first = next(iter(spec.variants.values()))
    return [
        f"Besides `model.onnx` (float32, accuracy {first.full_accuracy:.4f} on the {first.images} validation images) there are "
        "smaller networks; the results below are of `model.onnx`, and these are the changes on the same validation images:",
        "",
        *table(
            ("file", "made", "bytes", "accuracy", "decisions changed", "largest change of a probability", "mean change"), rows
        ),
    ]
