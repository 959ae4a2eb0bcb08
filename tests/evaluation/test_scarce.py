"""Intervals by formula where resampling says nothing."""

from __future__ import annotations

import numpy as np
import pytest

from lungwise.evaluation.cases import Cases
from lungwise.evaluation.exact import newcombe, wilson
from lungwise.evaluation.intervals import AGREE, Estimate
from lungwise.evaluation.metrics import estimates
from tests.evaluation.factory import cases, random_cases, scored

SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "sensitivity", "specificity", "ppv", "npv", "f1", "auroc")


def of(found: Cases) -> dict[str, Estimate]:
    return estimates(found, found.prob.argmax(axis=1), resamples=300)


def perfect(patients: int, films: int = 1) -> Cases:
    y = np.repeat(np.arange(patients) % 2, films)
    owners = np.repeat([f"p{number}" for number in range(patients)], films).tolist()
    return scored(y.tolist(), (0.2 + 0.6 * y).tolist(), owners)


def test_perfect_shares_have_wilsons_interval_by_patients() -> None:
    found = of(perfect(20, films=3))
    assert (found["accuracy"].low, found["accuracy"].high) == pytest.approx(wilson(20, 20))
    assert (found["sensitivity/sick"].low, found["sensitivity/sick"].high) == pytest.approx(wilson(10, 10))
    assert found["accuracy"].reason == f"{AGREE} The interval is Wilson's, with patients counted for images."


def test_a_perfect_area_has_newcombes_interval_by_patients() -> None:
    found = of(perfect(20, films=3))["auroc/sick"]
    assert (found.low, found.high) == pytest.approx(newcombe(1.0, 10, 10))
    assert found.reason == f"{AGREE} The interval is Newcombe's, with patients counted for images."


def test_figures_made_of_others_join_their_ends() -> None:
    found = of(perfect(20))
    share = found["sensitivity/sick"].low or 0.0
    assert found["balanced_accuracy"].low == pytest.approx(share)
    assert found["f1/sick"].low == pytest.approx(share)  # the harmonic mean of equal sensitivity and PPV
    assert found["macro_auroc"].low == pytest.approx(found["auroc/sick"].low)
    assert found["f1/sick"].reason.endswith("The interval joins the ends of those of its parts.")


def test_figures_without_a_formula_have_the_reason_only() -> None:
    found = of(perfect(20))
    for name in ("kappa", "auprc/sick", "macro_auprc"):
        assert (found[name].value, found[name].low, found[name].high, found[name].reason) == (1.0, None, None, AGREE)


def test_one_patient_has_wide_intervals_and_the_reason() -> None:
    found = of(scored([0, 1, 1, 1], [0.1, 0.9, 0.8, 0.2], ["a"] * 4))
    accuracy = found["accuracy"]
    assert accuracy.value == 0.75
    assert (accuracy.low, accuracy.high) == pytest.approx(wilson(0.75, 1))
    assert float(accuracy.high or 0) - float(accuracy.low or 0) > 0.7
    assert accuracy.reason.startswith("1 patient cannot show how much patients differ. ")
    assert found["log_loss"].low is None


def test_a_class_of_two_patients_is_not_resampled() -> None:
    found = of(scored([1, 1, *[0] * 40], [0.9, 0.3, *np.linspace(0.05, 0.6, 40)]))
    assert (found["sensitivity/sick"].low, found["sensitivity/sick"].high) == pytest.approx(wilson(1, 2))
    assert "undefined in 1" in found["sensitivity/sick"].reason
    assert found["specificity/sick"].reason == found["accuracy"].reason == found["prevalence/sick"].reason == ""
    # A mean over classes is as uncertain as the class it hangs on.
    assert "undefined in 1" in found["balanced_accuracy"].reason
    assert float(found["balanced_accuracy"].high or 0) - float(found["balanced_accuracy"].low or 0) > 0.4


def test_a_class_of_five_patients_is_not_resampled_though_resamples_hold_it() -> None:
    found = of(scored([1] * 5 + [0] * 40, [0.9, 0.3, 0.8, 0.7, 0.9, *np.linspace(0.05, 0.6, 40)]))
    reason = "5 patients cannot show how much patients differ."
    assert (found["sensitivity/sick"].low, found["sensitivity/sick"].high) == pytest.approx(wilson(4, 5))
    assert found["sensitivity/sick"].reason == f"{reason} The interval is Wilson's, with patients counted for images."
    assert found["auroc/sick"].reason == f"{reason} The interval is Newcombe's, with patients counted for images."
    assert found["macro_auroc"].reason == f"{reason} The interval joins the ends of those of its parts."
    assert (found["auprc/sick"].low, found["auprc/sick"].reason) == (None, reason)
    assert found["ppv/sick"].reason == found["specificity/sick"].reason == ""


def test_constant_scores_do_not_prove_an_area_of_a_half() -> None:
    found = of(scored([0, 1] * 10, [0.5] * 20))["auroc/sick"]
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx(newcombe(0.5, 10, 10))


def test_a_class_that_is_called_and_absent() -> None:
    prob = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]] * 4)
    found = of(cases([0, 1, 1] * 4, prob, ("a", "b", "c")))
    assert found["sensitivity/c"].value is found["sensitivity/c"].low is None
    assert (found["f1/c"].value, found["f1/c"].low) == (0.0, 0.0)
    assert 0 < float(found["f1/c"].high or 0) < 1


@pytest.mark.parametrize("seed", range(4))
def test_what_reports_show_always_has_an_interval(seed: int) -> None:
    for found in (random_cases(3, 3, seed), random_cases(6, 2, seed, films=6), random_cases(9, 4, seed, films=2)):
        for name, estimate in of(found).items():
            if name.split("/")[0] in SHOWN and estimate.value is not None:
                assert estimate.low is not None, name
                assert estimate.high is not None, name
                assert estimate.low <= estimate.value <= estimate.high, name
                assert estimate.low < estimate.high, name
