"""The model card says what a stranger must know."""

from __future__ import annotations

from typing import Any

from lungwise.bundle.card import model_card
from tests.bundle_factory import make_spec, youden


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
