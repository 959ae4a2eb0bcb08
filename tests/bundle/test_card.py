"""The model card says what a stranger must know."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lungwise.bundle.card import model_card
from lungwise.bundle.spec import NoveltySpec
from tests.bundle_factory import make_cost, make_spec, youden

HEADINGS = [
    *("Version", "Intended and out-of-scope use", "Inputs", "Outputs", "Data", "Results with intervals", "External test"),
    *("Subgroups", "Robustness", "Explanation limits", "Privacy", "Contact"),
]
NASTY = "a|b\n## Evil\r\n---\u2028* `x` <script>alert(1)</script> [l](javascript:x) \\ \x1b[31m"


def estimate(value: float | None) -> dict[str, float | None]:
    return {"value": value, "low": value and value - 0.1, "high": value and value + 0.05}


def metrics(**changes: Any) -> dict[str, Any]:
    keys = ("sensitivity", "specificity", "ppv")
    found = {
        "images": 20,
        "patients": 10,
        "interval": "95 % percentile bootstrap over patients, 2000 resamples",
        "accuracy": estimate(0.8),
        "balanced_accuracy": estimate(0.75),
        "macro_auroc": estimate(0.9),
        "classes": {name: {key: estimate(0.7) for key in keys} for name in ("normal", "sick")},
    }
    return {"part": "test", "results": {**found, **changes}}


def group(name: str, column: str = "sex", note: str = "") -> dict[str, Any]:
    found = {"accuracy": estimate(0.8), "macro_auroc": estimate(None)}
    return {"column": column, "group": name, "images": 7, "patients": 5, **found, "note": note}


def external(name: str) -> dict[str, Any]:
    return {"name": name, "fingerprint": "f", **metrics(accuracy=estimate(0.6))}


def shortcuts(name: str = "stability", message: str = "Compression hardly changes it.") -> dict[str, Any]:
    checks = [{"name": name, "severity": "warning", "message": message}]
    return {"model": "m", "severity": "error", "films": 300, "fingerprint": "f", "checks": checks}


def section(card: str, heading: str) -> str:
    return card.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def headings(card: str) -> list[str]:
    return re.findall(r"^ {0,3}#+ *(.*)$", card.split("\n---\n", 1)[1], re.MULTILINE)


def test_it_has_its_twelve_headings_and_no_others() -> None:
    assert headings(model_card(make_spec())) == ["tiny", *HEADINGS]
    assert all(section(model_card(make_spec()), heading).strip() for heading in HEADINGS)


def test_what_nobody_measured_is_said_plainly() -> None:
    card = model_card(make_spec())
    assert "None was done: it was tested on a held-out part" in section(card, "External test")
    assert "Not measured: nobody has checked whether it serves both sexes" in section(card, "Subgroups")
    assert "Not measured: whether it reads lungs or learnt a shortcut" in section(card, "Robustness")
    assert "Nobody was named: ask whoever gave you this bundle." in section(card, "Contact")
    assert "membership inference) was not tested" in section(card, "Privacy")


def test_an_external_test_is_shown_with_its_intervals() -> None:
    card = section(model_card(make_spec(metrics={**metrics(), "external": [external("tiny on shenzhen")]})), "External test")
    assert "None was done" not in card
    assert "On 20 test images of 10 patients of tiny on shenzhen" in card
    assert "| accuracy | 0.600 | 0.500 to 0.650 |" in card


def test_groups_are_shown_with_their_notes() -> None:
    groups = [group("F", note="Lower than the others."), group("M")]
    card = section(model_card(make_spec(metrics={**metrics(), "subgroups": groups})), "Subgroups")
    assert "| sex | F | 7 | 5 | 0.800 (0.700 to 0.850) | – |" in card
    assert "- sex F: Lower than the others." in card


def test_many_groups_are_cut_and_counted() -> None:
    groups = [group(f"g{number}") for number in range(45)]
    card = section(model_card(make_spec(metrics={**metrics(), "subgroups": groups})), "Subgroups")
    assert card.count("| sex |") == 40
    assert "5 further groups are in `lungwise.json`." in card


def test_the_audit_for_shortcuts_is_told() -> None:
    card = section(model_card(make_spec(metrics={**metrics(), "shortcuts": shortcuts()})), "Robustness")
    assert "The audit for shortcuts on 300 test films, worst finding: error." in card
    assert "| stability | warning | Compression hardly changes it. |" in card


def test_smaller_networks_are_shown_with_what_they_cost() -> None:
    card = section(model_card(make_spec(variants={"fp16": make_cost(bytes=11914393)})), "Version")
    assert "(float32, accuracy 0.9050 on the 200 validation images)" in card
    assert "| model\\_fp16.onnx |" in card.replace("model_fp16", "model\\_fp16")
    assert "| weights as float16 | 11,914,393 | 0.9000 (-0.50 points) | 1 of 200 | 0.0200 | 0.00100 |" in card


def test_one_network_is_said_to_be_alone() -> None:
    assert "There is one network, `model.onnx` (float32)." in section(model_card(make_spec()), "Version")


def nasty() -> str:
    keys = ("sensitivity", "specificity", "ppv")
    classes = {name: {key: estimate(0.7) for key in keys} for name in (NASTY, f"{NASTY}2")}
    found = metrics(classes=classes, interval=NASTY)
    found |= {"subgroups": [group(NASTY, NASTY, NASTY)], "shortcuts": shortcuts(NASTY, NASTY), "external": [external(NASTY)]}
    provenance = {
        "counts": {NASTY: {NASTY: 3}},
        "audit": [{"severity": NASTY, "message": NASTY}],
        "notes": [NASTY],
        "fingerprint": NASTY,
        "kind": NASTY,
        "recipe": {"name": NASTY},
        "packages": {NASTY: NASTY},
    }
    spec = make_spec(name=NASTY, labels=(NASTY, f"{NASTY}2"), metrics=found, provenance=provenance, contact=NASTY)
    return model_card(spec.model_copy(update={"variants": {"int8": make_cost(made=NASTY)}}))


def test_text_from_the_data_breaks_no_heading_no_table_and_no_line() -> None:
    card = nasty()
    assert len(headings(card)) == 13
    assert headings(card)[1:] == HEADINGS
    widths: dict[int, int] = {}
    for number, row in enumerate(card.splitlines()):
        if row.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", row.replace("\\\\", "")))
            assert cells == widths.setdefault(number, widths.get(number - 1, cells)), row
    assert "<script>" not in card.split("\n---\n", 1)[1].replace("\\<", "")
    assert "\x1b" not in card
    assert "\u2028" not in card


def test_the_front_matter_is_yaml_whatever_the_data_are_called() -> None:
    import yaml

    front = yaml.safe_load(nasty().split("---\n")[1])
    assert front["library_name"] == "lungwise"
    index = front["model-index"][0]
    assert index["name"].startswith("a|b ## Evil --- * `x` <script>")
    assert index["results"][1]["metrics"][0] == {"type": "accuracy", "name": "Accuracy", "value": 0.6}


@pytest.mark.parametrize(
    "changes",
    [{}, {"license": "cc-by-nc-4.0"}, {"metrics": metrics()}, {"metrics": {**metrics(), "external": [external("x: y")]}}],
)
def test_the_hub_s_own_reader_takes_the_card(changes: dict[str, Any]) -> None:
    import huggingface_hub as hub

    read = hub.ModelCard(model_card(make_spec(**changes)))
    assert read.data.library_name == "lungwise"
    assert read.data.pipeline_tag == "image-classification"
    assert read.data.license == changes.get("license", "other")
    assert {"chest-x-ray", "radiology"} <= set(read.data.tags)
    values = {(result.dataset_name, result.metric_type): result.metric_value for result in read.data.eval_results or []}
    expected = (
        {("its own collection", "accuracy"): 0.8, ("its own collection", "macro_auroc"): 0.9} if "metrics" in changes else {}
    )
    assert expected.items() <= values.items()
    assert (("x: y", "accuracy") in values) == ("external" in changes.get("metrics", {}))


def test_a_model_of_phantoms_publishes_no_metrics() -> None:
    card = model_card(make_spec(synthetic=True, metrics=metrics()))
    assert "model-index" not in card
    assert "- synthetic\n" in card
    assert "| accuracy | 0.800 |" in card


def test_a_contact_is_named() -> None:
    assert section(model_card(make_spec(contact="Dr. A, a@example.org")), "Contact").strip() == "Dr. A, a@example.org"


def test_the_intended_use_stands_first() -> None:
    spec = make_spec()
    assert model_card(spec).split("# tiny")[1].split("##")[0].strip() == f"**{spec.intended_use}**"


def test_a_real_model_is_not_called_synthetic() -> None:
    assert "synthetic" not in model_card(make_spec())


def test_a_synthetic_model_says_so() -> None:
    assert "**Trained on synthetic phantoms: it knows nothing of real X-rays.**" in model_card(make_spec(synthetic=True))


def test_the_classes_and_input_are_named() -> None:
    card = model_card(make_spec())
    assert "A probability for each of: normal, sick. Decision: the most probable class." in card
    assert "made 32 x 32 pixels, grey" in card


def test_the_threshold_names_the_finding() -> None:
    card = model_card(make_spec(labels=("covid", "normal"), decision=youden(0.125, positive=0)))
    assert "covid from a probability of 0.125 on (chosen on validation)." in card


def test_results_have_intervals() -> None:
    card = model_card(make_spec(metrics=metrics()))
    assert "On 20 test images of 10 patients (95 % percentile bootstrap over patients, 2000 resamples):" in card
    assert "| accuracy | 0.800 | 0.700 to 0.850 |" in card
    assert "| sensitivity, sick | 0.700 | 0.600 to 0.750 |" in card


def test_an_undefined_result_is_left_out() -> None:
    card = model_card(make_spec(metrics=metrics(macro_auroc=estimate(None))))
    assert "| balanced accuracy |" in card
    assert "auroc" not in card


def test_a_model_that_was_not_evaluated_says_so() -> None:
    assert "It was not evaluated." in model_card(make_spec())


def test_the_data_are_counted_and_their_findings_listed() -> None:
    provenance = {
        "counts": {"train": {"normal": 3, "sick": 4}},
        "audit": [{"severity": "warning", "message": "one source a class"}],
        "fingerprint": "abc",
    }
    card = model_card(make_spec(provenance=provenance))
    assert "- train: 3 normal, 4 sick" in card
    assert "- warning: one source a class" in card
    assert "- fingerprint: abc" in card


def test_unknown_data_say_so() -> None:
    assert "- not recorded\n- fingerprint: not recorded" in model_card(make_spec())


def test_calibration_and_sets_are_told() -> None:
    assert "not calibrated." in model_card(make_spec())
    assert "calibrated by the temperature 1.500, fitted on validation." in model_card(make_spec(temperature=1.5))
    mapped = make_spec(calibration_matrix=((1.0, 0.0), (0.0, 2.0)), calibration_bias=(0.0, 0.0))
    assert "calibrated by a map of their own for each class" in model_card(mapped)
    assert "it holds the true class in 95 of 100" in model_card(
        make_spec(conformal_alpha=0.05, conformal_quantiles={"normal": 0.5, "sick": 0.5})
    )


def test_an_interval_that_nobody_knows_is_unknown() -> None:
    card = model_card(make_spec(metrics=metrics(accuracy={"value": 0.8, "low": None, "high": None})))
    assert "| accuracy | 0.800 | unknown |" in card


def test_what_gets_no_class_is_said_with_limit_and_share() -> None:
    known = NoveltySpec(checks=("blank", "inverted"), off={"lateral": 0.2}, limit=1.5, fitted=200, validation=50, rejected=0.02)
    text = model_card(make_spec(novelty=known))
    assert (
        "It answers 'cannot assess' for images that fail a check (blank, inverted) or lie beyond the distance 1.50 from its "
        "200 training images; of the 50 validation images 2.0% are turned away. Not looked for, because these data fail it "
        "themselves: lateral." in text
    )
    bare = model_card(make_spec(novelty=NoveltySpec(checks=("blank",), note="the data set is not at hand")))
    assert "images that fail a check (blank); the data set is not at hand. What looks alike" in bare
    assert "An image of anything else gets an answer too" in model_card(make_spec())
