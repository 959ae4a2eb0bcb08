"""The card's front matter, which the Hugging Face Hub reads (huggingface.co/docs/hub/model-cards)."""

from __future__ import annotations

from typing import Any

from lungwise.bundle.spec import BundleSpec
from lungwise.bundle.wording import quoted

_METRICS = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_auroc": "Macro AUROC"}


def front_matter(spec: BundleSpec) -> list[str]:
    """The YAML block's lines. A model of phantoms, or one that was not evaluated, publishes no metrics."""
    lines = ["---", f"license: {spec.license}"]
    if spec.license == "other":
        # The Hub asks for a name where a licence is none of its list.
        lines += ["license_name: none-given"]
    lines += ["library_name: lungwise", "pipeline_tag: image-classification", "tags:"]
    more = ["synthetic"] if spec.synthetic else []
    lines += [f"- {tag}" for tag in ("chest-x-ray", "radiology", "research", "onnx", *more)]
    if spec.metrics and not spec.synthetic:
        lines += _index(spec)
    return [*lines, "---"]


def _index(spec: BundleSpec) -> list[str]:
    """The model's metrics as ``model-index`` (Papers with Code's form)."""
    name = spec.name.strip() or "model"
    lines = ["model-index:", f"- name: {quoted(name)}", "  results:"]
    own = str(spec.provenance.get("kind") or "its own collection")
    tests: list[tuple[str, dict[str, Any]]] = [(own, spec.metrics)]
    tests += [(test["name"], test) for test in spec.metrics.get("external", [])]
    for data, test in tests:
        shown = {key: test["results"][key]["value"] for key in _METRICS if test["results"][key]["value"] is not None}
        if not shown:
            continue
        lines += ["  - task:", "      type: image-classification", "    dataset:", f"      name: {quoted(data)}"]
        lines += ["      type: chest-x-ray", f"      split: {quoted(test['part'])}", "    metrics:"]
        for key, value in shown.items():
            lines += [f"    - type: {key}", f"      name: {_METRICS[key]}", f"      value: {value:.4f}"]
    return lines
