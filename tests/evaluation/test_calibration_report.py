"""What metrics.json says of calibration."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest

from lungwise.errors import DataError
from lungwise.evaluation import calibration_report
from lungwise.evaluation.calibration import Calibration, calibrated
from lungwise.evaluation.calibration_report import BARS
from lungwise.evaluation.calibration_report import describe as describe_all
from lungwise.evaluation.decision import Decision
from lungwise.evaluation.metrics import measure
from tests.evaluation.factory import cases, scored
from tests.evaluation.test_calibration import simulated

describe = partial(describe_all, resamples=200)
HALF = Calibration("temperature", 2.0, (1.8, 2.2), fitted_on="validation")


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    before = simulated(400, 3, heat=2, seed=3, patients=250)
    return describe(before, calibrated(before, HALF), HALF)


def test_the_right_temperature_mends_every_measure(described: dict[str, Any]) -> None:
    before, after = described["before"], described["after"]
    for name in ("log_loss", "brier", "ece", "ece_debiased", "classwise_ece"):
        assert after[name]["value"] < before[name]["value"], name
    for label in ("c0", "c1", "c2"):
        assert before["classes"][label]["slope"]["high"] < 0.8
        assert after["classes"][label]["slope"]["low"] < 1 < after["classes"][label]["slope"]["high"]
    assert described["change"]["log_loss"]["high"] < 0
    assert described["notes"][0].startswith("Calibration made the probabilities better here (log loss by -0.")


def test_it_says_how_it_was_measured(described: dict[str, Any]) -> None:
    assert (described["images"], described["patients"], described["bins"]) == (400, 250, 15)
    assert described["calibration"] == HALF.to_json()
    assert "bootstrap over patients, 200 resamples" in described["interval"].replace("\u202f", "")
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_values_lie_in_their_intervals(described: dict[str, Any]) -> None:
    for part in ("before", "after"):
        found = [described[part][name] for name in ("log_loss", "brier", "ece", "ece_debiased", "classwise_ece")]
        found += [each[name] for each in described[part]["classes"].values() for name in ("ece", "intercept", "slope")]
        assert all(one["low"] <= one["value"] <= one["high"] for one in found)


def test_bins_and_bars_hold_every_image(described: dict[str, Any]) -> None:
    for found in described["after"]["classes"].values():
        assert sum(found["histogram"]) == sum(point["images"] for point in found["reliability"]) == 400
        assert len(found["histogram"]) == BARS


def test_losses_are_those_of_the_other_metrics() -> None:
    before = scored([0, 1, 1, 0], [0.0, 1.0, 0.0, 0.25])
    found, wanted = describe(before, before, Calibration())["before"], measure(before, Decision())
    for name in ("log_loss", "brier"):
        assert found[name]["value"] == pytest.approx(wanted[name]["value"])


def test_images_unlike_validation_are_said_to_be_so() -> None:
    before = simulated(400, 3, heat=2, seed=3)
    cold = Calibration("temperature", 0.5)
    notes = describe(before, calibrated(before, cold), cold)["notes"]
    assert notes[0].startswith("Calibration made the probabilities worse here (log loss by ")
    assert notes[0].endswith("so none of these probabilities should be believed as they stand.")


def test_a_small_change_may_be_chance() -> None:
    before = simulated(200, 2, heat=1, seed=5)
    little = Calibration("temperature", 1.001)
    assert describe(before, calibrated(before, little), little)["notes"][0].endswith(", which may be chance.")


def test_without_calibration_both_sides_are_the_same() -> None:
    before = simulated(60, 2)
    found = describe(before, before, Calibration(reason="There was no validation part."))
    assert found["before"] == found["after"]
    assert found["notes"] == ["Nothing was calibrated. There was no validation part."]


def test_of_two_classes_the_finding_stands_for_both() -> None:
    found = describe(simulated(60, 2), simulated(60, 2), Calibration())["before"]
    assert list(found["classes"]) == ["c1"]
    assert found["classwise_ece"] == found["classes"]["c1"]["ece"]


def test_a_class_that_is_absent_has_no_line() -> None:
    prob = np.full((30, 3), 1 / 3)
    found = describe(cases([0, 1] * 15, prob, ("a", "b", "c")), cases([0, 1] * 15, prob, ("a", "b", "c")), Calibration())
    absent = found["before"]["classes"]["c"]
    assert (absent["intercept"]["value"], absent["slope"]["value"]) == (None, None)
    assert absent["ece"]["value"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_one_case(score: float) -> None:
    one = scored([1], [score])
    found = describe(one, one, Calibration())
    assert found["bins"] == 1
    assert found["before"]["ece"]["low"] is None
    assert found["before"]["classes"]["sick"]["slope"]["value"] is None


@pytest.mark.parametrize("after", [scored([], []), scored([0, 1], [0.1, 0.2]), scored([1], [0.1])])
def test_before_and_after_are_the_same_images(after: Any) -> None:
    with pytest.raises(DataError, match=r"measured on the same images before and after, at least one, got .*; pass both\.$"):
        describe(scored([0], [0.1]), after, Calibration())


def test_no_cases_are_refused() -> None:
    with pytest.raises(DataError, match="at least one, got 0 and 0"):
        describe(scored([], []), scored([], []), Calibration())


def test_many_images_are_resampled_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = simulated(40, 2), simulated(80, 2)
    monkeypatch.setattr(calibration_report, "_WORK", 40 * 700)
    assert "700 resamples" in describe_all(few, few, Calibration())["interval"]
    assert "500 resamples" in describe_all(many, many, Calibration())["interval"]
