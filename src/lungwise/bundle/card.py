"""The model card: what a stranger must know before using the model, as Markdown for people and YAML for the Hugging Face Hub.

Its parts follow "Model Cards for Model Reporting" (Mitchell et al. 2019, arXiv 1810.03993), and its front matter
huggingface.co/docs/hub/model-cards. Everything is said from the specification; what nobody measured is said to be missing.
"""

from __future__ import annotations

from collections.abc import Callable

from lungwise.bundle.front import front_matter
from lungwise.bundle.spec import BundleSpec
from lungwise.bundle.tested import external, results, robustness, subgroups, variants
from lungwise.bundle.wording import plain

Section = Callable[[BundleSpec], list[str]]


def model_card(spec: BundleSpec) -> str:
    """Write the card of a bundle from its specification alone."""
    lines = [*front_matter(spec), "", f"# {plain(spec.name)}", "", f"**{plain(spec.intended_use)}**", ""]
    if spec.synthetic:
        lines += ["**Trained on synthetic phantoms: it knows nothing of real X-rays.**", ""]
    for heading, section in _SECTIONS.items():
        lines += [f"## {heading}", "", *section(spec)]
        lines += [""] if lines[-1] else []
    return "\n".join(lines)


def _version(spec: BundleSpec) -> list[str]:
    known = spec.provenance
    recipe, packages = known.get("recipe") or {}, known.get("packages") or {}
    lines = [f"- name: {plain(spec.name)}", f"- recipe: {plain(recipe.get('name', 'not recorded'))}"]
    lines += [f"- trained on data with the fingerprint {plain(known.get('fingerprint', 'not recorded'))}"]
    lines += [f"- made with: {', '.join(plain(f'{name} {version}') for name, version in packages.items()) or 'not recorded'}"]
    return [
        *(*lines, f"- layout of lungwise.json: version {spec.format}, which also holds the SHA-256 of every file", ""),
        *variants(spec),
    ]


def _use(spec: BundleSpec) -> list[str]:
    labels = ", ".join(plain(label) for label in spec.labels)
    return [
        f"Meant for: research on telling apart {labels} in frontal chest X-rays, by people who can judge an answer's worth.",
        "",
        "Not meant for: diagnosis, triage or any decision about a patient; other findings than these; lateral films, CT or "
        "photographs of a screen; children where it learnt from adults, or adults where it learnt from children. "
        f"{_refuses(spec)}",
    ]


def _refuses(spec: BundleSpec) -> str:
    """What gets no class, from what the export fitted."""
    known = spec.novelty
    if known is None:
        return "An image of anything else gets an answer too, unless the program that asks refuses it."
    said = f"It answers 'cannot assess' for images that fail a check ({', '.join(known.checks)})"
    if known.limit is None:
        said += f"; {plain(known.note)}"
    else:
        said += f" or lie beyond the distance {known.limit:.2f} from its {known.fitted} training images"
    if known.rejected is not None:
        said += f"; of the {known.validation} validation images {known.rejected:.1%} are turned away"
    off = f" Not looked for, because these data fail it themselves: {', '.join(sorted(known.off))}." if known.off else ""
    return f"{said}.{off} What looks alike and is something else may get a class."


def _inputs(spec: BundleSpec) -> list[str]:
    made, views = spec.preprocess, ""
    if spec.views > 1:
        views = f" The logits of {spec.views} slightly moved views of it are averaged."
    how = "stretched to a square" if made.fit == "stretch" else "made square with its proportions kept"
    return [
        f"One frontal chest X-ray, made {made.size} x {made.size} pixels, grey ({how}; grey values from {made.low:g} to "
        f"{made.high:g}).{views} The networks take it as `image`, float32 [n, {made.size}, {made.size}, 1]."
    ]


def _outputs(spec: BundleSpec) -> list[str]:
    labels = ", ".join(plain(label) for label in spec.labels)
    return [
        f"A probability for each of: {labels}. Decision: {_decision(spec)}",
        "",
        _calibration(spec),
        "",
        "The networks give `logits`, `features` (the last map of features) and `embedding` (its pooled form), all float32.",
    ]


def _decision(spec: BundleSpec) -> str:
    if spec.decision.rule == "argmax":
        return "the most probable class."
    finding = plain(spec.labels[spec.decision.positive])
    return f"{finding} from a probability of {spec.decision.threshold:.3f} on (chosen on {plain(spec.decision.fitted_on)})."


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


def _data(spec: BundleSpec) -> list[str]:
    known = spec.provenance
    lines = [
        f"- {plain(split)}: " + ", ".join(plain(f"{number} {label}") for label, number in found.items())
        for split, found in known.get("counts", {}).items()
    ]
    kind = [f"- kind of collection: {plain(known['kind'])}"] if known.get("kind") else []
    findings = [f"- {plain(finding['severity'])}: {plain(finding['message'])}" for finding in known.get("audit", [])]
    notes = [f"- note: {plain(note)}" for note in known.get("notes", [])]
    fingerprint = f"- fingerprint: {plain(known.get('fingerprint', 'not recorded'))}"
    return [*kind, *(lines or ["- not recorded"]), *findings, *notes, fingerprint]


def _explanation(spec: BundleSpec) -> list[str]:
    return [
        "A heat map (Grad-CAM, Selvaraju et al. 2017) shows which places of the last map of features raised a class. It is not "
        "the place of a finding: after global attention it may point to the wrong lung. A bright spot is no evidence for an "
        "answer and a dark one none against it, and a wrong answer's map can look as plausible as a right one's.",
    ]


def _privacy(spec: BundleSpec) -> list[str]:
    return [
        "The bundle holds weights and numbers computed from the images it learnt from. It holds no image, and no name of a "
        "file or number of a patient but those that a message above may quote. Whether it can be told from the answers that "
        "an image was among those it learnt from (membership inference) was not tested.",
    ]


def _contact(spec: BundleSpec) -> list[str]:
    return [plain(spec.contact) if spec.contact else "Nobody was named: ask whoever gave you this bundle."]


_SECTIONS: dict[str, Section] = {
    "Version": _version,
    "Intended and out-of-scope use": _use,
    "Inputs": _inputs,
    "Outputs": _outputs,
    "Data": _data,
    "Results with intervals": results,
    "External test": external,
    "Subgroups": subgroups,
    "Robustness": robustness,
    "Explanation limits": _explanation,
    "Privacy": _privacy,
    "Contact": _contact,
}
