"""Which calibration is chosen, and what it does to probabilities."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.answer import softmax
from lungwise.errors import DataError
from lungwise.evaluation.calibration import Calibration, calibrated, fit_calibration, mean_of
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.logarithms import log_loss
from tests.evaluation.factory import cases, scored
from tests.evaluation.test_dirichlet import spread
from tests.evaluation.test_temperature import drawn

MAP = Calibration("dirichlet", matrix=((1.0, 0.1), (0.0, 2.0)), bias=(0.5, 0.0), fitted_on="validation", sizes={"a": 1, "b": 2})


def simulated(
    number: int, classes: int, heat: float = 1.0, shift: Sequence[float] = (), seed: int = 0, patients: int | None = None
) -> Cases:
    """Cases whose true logits are those that are said, divided by ``heat`` and moved by ``shift``."""
    logits = spread(number, classes, seed)
    y = drawn(logits + (np.array(shift) if shift else 0), seed + 1)
    owner = [f"p{row % (patients or number)}" for row in range(number)]
    return cases(y, softmax(heat * logits), [f"c{column}" for column in range(classes)], owner)


def test_a_network_that_is_too_sure_gets_a_temperature_above_1() -> None:
    found = fit_calibration(simulated(600, 3, heat=2))
    assert (found.kind, found.fitted_on, found.patients) == ("temperature", "validation", 600)
    assert found.interval is not None
    assert found.interval[0] < 2 < found.interval[1]
    assert sum(found.sizes.values()) == 600
    assert "not better beyond noise than one temperature" in found.reason


def test_a_moved_prior_takes_a_map_of_its_own_for_each_class() -> None:
    validation, test = (simulated(900, 3, heat=2, shift=(1.5, 0, -1.5), seed=seed) for seed in (0, 10))
    found = fit_calibration(validation)
    assert (found.kind, found.temperature, found.interval) == ("dirichlet", 1.0, None)
    assert "is better beyond noise than one temperature" in found.reason
    losses = [log_loss(prob, test.y).mean() for prob in (test.prob, Calibration("temperature", 2.0).apply(test.prob))]
    assert log_loss(found.apply(test.prob), test.y).mean() < min(losses) - 0.1


def test_a_class_of_few_patients_gets_no_map_of_its_own() -> None:
    validation = simulated(400, 3, heat=2, shift=(0, 0, -6))
    found = fit_calibration(validation)
    assert found.kind == "temperature"
    assert found.reason.startswith("A map of its own for each class needs 10 validation patients of every class, one has ")


def test_a_class_that_validation_lacks_is_no_obstacle_to_a_temperature() -> None:
    two = simulated(200, 2, heat=2)
    prob = np.c_[two.prob * 0.99, np.full(200, 0.01)]
    found = fit_calibration(cases(two.y, prob, ("c0", "c1", "c2")))
    assert found.kind == "temperature"
    assert found.sizes["c2"] == 0


@pytest.mark.parametrize(
    ("validation", "reason"),
    [
        pytest.param(scored([0, 1] * 9, [0.2, 0.8] * 9), "patients and images of two classes, there are 18 and 2.", id="few"),
        pytest.param(simulated(400, 2, patients=19), "there are 19 and 2.", id="few patients"),
        pytest.param(scored([1] * 40, np.linspace(0.1, 0.9, 40).tolist()), "there are 40 and 1.", id="one class"),
        pytest.param(scored([], []), "there are 0 and 0.", id="no cases"),
        pytest.param(scored([1], [0.5]), "there are 1 and 1.", id="one case"),
        pytest.param(scored([0, 1] * 15, [0.3] * 30), "has the same probabilities", id="constant"),
        pytest.param(scored([0, 1] * 15, [0.1, 0.9] * 15), "is decided rightly", id="separated"),
    ],
)  # fmt: skip
def test_where_validation_cannot_tell_probabilities_stay_and_it_says_why(validation: Cases, reason: str) -> None:
    found = fit_calibration(validation)
    assert (found.kind, found.temperature, found.fitted_on) == ("none", 1.0, "")
    assert reason in found.reason
    np.testing.assert_array_equal(found.apply(validation.prob), validation.prob)


def test_not_a_number_is_refused() -> None:
    bad = scored([0, 1] * 15, [float("nan")] + [0.5] * 29)
    with pytest.raises(DataError, match="must be >= 0 and sum to 1"):
        fit_calibration(bad)
    with pytest.raises(DataError, match="must be >= 0 and sum to 1"):
        Calibration("temperature", 2.0).apply(bad.prob)


def test_a_temperature_divides_logits() -> None:
    logits = spread(20, 4)
    np.testing.assert_allclose(Calibration("temperature", 2.5).apply(softmax(logits)), softmax(logits, 2.5), atol=1e-12)


def test_a_map_by_hand() -> None:
    # logits: ln 0.8 + 0.1 ln 0.2 + 0.5 and 2 ln 0.2
    odds = np.exp(np.log(0.8) + 0.1 * np.log(0.2) + 0.5 - 2 * np.log(0.2))
    np.testing.assert_allclose(MAP.apply(np.array([[0.8, 0.2]])), [[odds / (1 + odds), 1 / (1 + odds)]])


def test_a_map_is_for_its_own_classes() -> None:
    with pytest.raises(DataError, match=r"This calibration is for 2 classes, got 3; fit it again\.$"):
        MAP.apply(np.full((1, 3), 1 / 3))


def test_calibrated_cases_differ_in_their_probabilities_only() -> None:
    before = simulated(50, 3)
    after = calibrated(before, Calibration("temperature", 3.0))
    assert (after.labels, after.y.tolist(), after.patient.tolist()) == (
        before.labels,
        before.y.tolist(),
        before.patient.tolist(),
    )
    np.testing.assert_allclose(after.prob.sum(axis=1), 1)
    assert (after.prob.max(axis=1) < before.prob.max(axis=1)).all()


@pytest.mark.parametrize(
    "found", [Calibration(), MAP, Calibration("temperature", 1.5, (1.2, 1.9), fitted_on="validation", patients=7)]
)
def test_it_is_read_as_it_is_written(found: Calibration) -> None:
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    "change", [{"kind": "magic"}, {"temperature": 0.0}, {"temperature": float("nan")}, {"matrix": [[1.0]], "bias": [0.0]},
               {"kind": "dirichlet"}, {"matrix": 3}, {"interval": [1.0]}, {"colour": "red"}, {"temperature": "hot"}],
)  # fmt: skip
def test_a_damaged_one_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"A calibration must .*; fit it again\.$"):
        Calibration.from_json({**Calibration().to_json(), **change})


def test_a_missing_field_is_refused() -> None:
    with pytest.raises(DataError, match=r"must have the fields that Lungwise writes \(KeyError\('matrix'\)\); fit it again\.$"):
        Calibration.from_json({"kind": "none"})


def test_means_are_weighted_by_patients() -> None:
    values, group = np.array([[1.0, 3.0, 8.0], [0.0, 0.0, 1.0]]), np.array([0, 0, 1])
    weights: NDArray[np.float64] = np.array([[1.0, 2.0, 0.0], [1.0, 0.0, 1.0]])
    np.testing.assert_allclose(mean_of(values, group)(weights), [[4, 2, 8], [1 / 3, 0, 1]])
