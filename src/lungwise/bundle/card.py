"""The model card: what a stranger must know before using the model, as Markdown."""

from __future__ import annotations

from typing import Any

from lungwise.bundle.spec import BundleSpec


def model_card(spec: BundleSpec) -> str:
    """Write the card of a bundle from its specification alone."""
    lines = [
        "---",
        "license: other",
        "library_name: lungwise",
        "pipeline_tag: image-classification",
        "tags: [chest-x-ray, radiology, research]",
        "---",
        "",
        f"# {spec.name}",
        "",
        f"**{spec.intended_use}**",
        "",
    ]
    if spec.synthetic:
        lines += ["**Trained on synthetic phantoms: it knows nothing of real X-rays.**", ""]
    lines += [
        "## Inputs",
        "",
        _inputs(spec),
        "",
        "## Outputs",
        "",
        f"A probability for each of: {', '.join(spec.labels)}. Decision: {_decision(spec)}",
        "",
        _calibration(spec),
        "",
        "## Results",
        "",
        *_results(spec.metrics),
        "## Data",
        "",
        *_data(spec.provenance),
        "## Limits",
        "",
        "It was tested on the data named above and on nothing else; expect worse results from other hospitals, devices, ages",
        "and views. A heat map is not the place of a finding: after global attention it may point to the wrong lung. The model",
        "cannot say that an image is not a chest X-ray.",
        "",
    ]
    return "\n".join(lines)


def _inputs(spec: BundleSpec) -> str:
    side = spec.preprocess.size
    views = f" The logits of {spec.views} slightly moved views of it are averaged." if spec.views > 1 else ""
    return f"One frontal chest X-ray, made {side} x {side} pixels, grey.{views}"


def _decision(spec: BundleSpec) -> str:
    if spec.decision.rule == "argmax":
        return "the most probable class."
    finding = spec.labels[spec.decision.positive]
    return f"{finding} from a probability of {spec.decision.threshold:.3f} on (chosen on {spec.decision.fitted_on})."


def _calibration(spec: BundleSpec) -> str:
    if spec.calibration_matrix:
        said = "Probabilities are calibrated by a map of their own for each class, fitted on validation."
    elif spec.temperature != 1:
        said = f"Probabilities are calibrated by the temperature {spec.temperature:.3f}, fitted on validation."
    else:
        said = "Probabilities are as the network gives them, not calibrated."
    if not spec.conformal_quantiles:
        return said
    return (
        f"{said} Besides the decision it names the set of classes that cannot be left out: for images like those of validation "
        f"it holds the true class in {100 * (1 - spec.conformal_alpha):.4g} of 100, for each class by itself."
    )


def _results(metrics: dict[str, Any]) -> list[str]:
    if not metrics:
        return ["It was not evaluated.", ""]
    part, found = metrics["part"], metrics["results"]
    lines = [
        f"On {found['images']} {part} images of {found['patients']} patients ({found['interval']}):",
        "",
        "| metric | value | 95 % interval |",
        "|---|---|---|",
    ]
    rows = [(key.replace("_", " "), found[key]) for key in ("accuracy", "balanced_accuracy", "macro_auroc")]
    for name, values in found["classes"].items():
        rows += [(f"{key}, {name}", values[key]) for key in ("sensitivity", "specificity", "ppv")]
    for name, estimate in rows:
        if estimate["value"] is not None:
            ends = "unknown" if estimate["low"] is None else f"{estimate['low']:.3f} to {estimate['high']:.3f}"
            lines.append(f"| {name} | {estimate['value']:.3f} | {ends} |")
    return [*lines, ""]


def _data(provenance: dict[str, Any]) -> list[str]:
    counts = provenance.get("counts", {})
    lines = [
        f"- {split}: " + ", ".join(f"{number} {label}" for label, number in found.items()) for split, found in counts.items()
    ]
    findings = [f"- {finding['severity']}: {finding['message']}" for finding in provenance.get("audit", [])]
    return [*(lines or ["- not recorded"]), *findings, f"- fingerprint: {provenance.get('fingerprint', 'not recorded')}", ""]
