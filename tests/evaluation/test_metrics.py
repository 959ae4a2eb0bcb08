"""Metrics against scikit-learn, at weight one and for resamples."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference

from lungwise.errors import DataError
from lungwise.evaluation.decision import Decision
from lungwise.evaluation.intervals import EMPTY, Bootstrap
from lungwise.evaluation.metric_table import BY_CLASS, OVERALL, MetricTable
from lungwise.evaluation.metrics import confusion, estimates, measure, measure_decided, roc_points, statistics
from tests.evaluation.factory import cases, random_cases, scored

CLASSES = [2, 3, 5]


def values(found: Any, decided: Any, weights: Any = None) -> dict[str, float]:
    weights = np.ones((1, len(found))) if weights is None else weights[None].astype(float)
    return {name: float(statistic(weights)[0]) for name, statistic in statistics(found, decided)}


def sklearn_values(found: Any, decided: Any, weights: Any = None) -> dict[str, float]:
    """The same numbers by scikit-learn."""
    y, kept = found.y, {"sample_weight": weights}
    truth = np.eye(len(found.labels))[y]
    wanted: dict[str, float] = {
        "accuracy": reference.accuracy_score(y, decided, **kept),
        "kappa": reference.cohen_kappa_score(y, decided, **kept),
        "log_loss": reference.log_loss(y, found.prob, labels=range(len(found.labels)), **kept),
        "brier": float(np.average(((found.prob - truth) ** 2).sum(axis=1), weights=weights)),
    }
    for column, name in enumerate(found.labels):
        truth, called = y == column, decided == column
        pair = (truth, called)
        wanted |= {
            f"sensitivity/{name}": reference.recall_score(*pair, zero_division=np.nan, **kept),
            f"specificity/{name}": reference.recall_score(*pair, pos_label=False, zero_division=np.nan, **kept),
            f"ppv/{name}": reference.precision_score(*pair, zero_division=np.nan, **kept),
            f"npv/{name}": reference.precision_score(*pair, pos_label=False, zero_division=np.nan, **kept),
            f"f1/{name}": reference.f1_score(*pair, zero_division=np.nan, **kept),
            f"auroc/{name}": reference.roc_auc_score(truth, found.prob[:, column], **kept),
            f"auprc/{name}": reference.average_precision_score(truth, found.prob[:, column], **kept),
            f"brier/{name}": reference.brier_score_loss(truth, found.prob[:, column], **kept),
            f"prevalence/{name}": float(np.average(truth, weights=weights)),
        }
    means = {"balanced_accuracy": "sensitivity", "macro_f1": "f1", "macro_auroc": "auroc", "macro_auprc": "auprc"}
    for name, key in means.items():
        wanted[name] = float(np.mean([wanted[f"{key}/{label}"] for label in found.labels]))
    return wanted


@pytest.mark.parametrize("classes", CLASSES)
def test_every_metric_equals_scikit_learn(classes: int) -> None:
    found = random_cases(300, classes)
    decided = Decision().decide(found.prob)
    assert values(found, decided) == pytest.approx(sklearn_values(found, decided))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", CLASSES)
def test_every_metric_of_a_resample_equals_scikit_learn_with_weights(classes: int, seed: int) -> None:
    found = random_cases(200, classes, seed, films=3)
    decided = Decision().decide(found.prob)
    weights = Bootstrap(found.patient, resamples=1, seed=seed).weights()[0]
    assert values(found, decided, weights) == pytest.approx(sklearn_values(found, decided, weights))


def test_macro_auroc_is_that_of_one_against_the_rest() -> None:
    found = random_cases(300, 4)
    wanted = reference.roc_auc_score(found.y, found.prob, multi_class="ovr", average="macro")
    assert values(found, found.y)["macro_auroc"] == pytest.approx(wanted)


def test_balanced_accuracy_is_scikit_learns() -> None:
    found = random_cases(300, 4)
    decided = Decision().decide(found.prob)
    assert values(found, decided)["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(found.y, decided))


def test_micro_averages_are_the_accuracy() -> None:
    found = random_cases(300, 4)
    decided = Decision().decide(found.prob)
    for score in (reference.f1_score, reference.precision_score, reference.recall_score):
        assert values(found, decided)["accuracy"] == pytest.approx(score(found.y, decided, average="micro"))


def test_a_truth_that_was_held_impossible_costs_a_lot_and_not_everything() -> None:
    found = scored([0, 1], [0.0, 0.0])
    assert values(found, found.y)["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps) / 2)


@pytest.mark.parametrize(
    ("score", "area"),
    [
        ([0.1, 0.2, 0.8, 0.9], 1.0),
        ([0.8, 0.9, 0.1, 0.2], 0.0),
        ([0.4, 0.4, 0.4, 0.4], 0.5),
        ([0.1, 0.5, 0.5, 0.9], 0.875),
    ],
)
def test_the_area_under_the_curve_by_hand(score: list[float], area: float) -> None:
    found = scored([0, 0, 1, 1], score)
    assert values(found, found.y)["auroc/sick"] == area


def test_an_image_that_was_not_drawn_does_not_count() -> None:
    found = scored([0, 1, 0, 1], [0.1, 0.9, 0.99, 0.01])
    decided = Decision().decide(found.prob)
    assert values(found, decided, np.array([2, 3, 0, 0]))["accuracy"] == 1.0
    assert values(found, decided, np.array([2, 3, 0, 0]))["auroc/sick"] == 1.0


def test_a_class_that_is_absent_is_undefined_and_so_is_the_mean() -> None:
    prob = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    found = cases([0, 1, 1], prob, ("a", "b", "c"))
    got = values(found, Decision().decide(found.prob))
    undefined = {name for name, value in got.items() if np.isnan(value)}
    assert undefined == {
        *("sensitivity/c", "ppv/c", "f1/c", "auroc/c", "auprc/c"),
        *("balanced_accuracy", "macro_f1", "macro_auroc", "macro_auprc"),
    }
    assert (got["specificity/c"], got["npv/c"], got["prevalence/c"]) == (1.0, 1.0, 0.0)
    assert got["brier/c"] == pytest.approx(0.01)


def test_one_class_only_has_an_accuracy_and_no_area() -> None:
    found = measure(scored([1, 1, 1], [0.9, 0.8, 0.2]), Decision())
    assert found["accuracy"]["value"] == pytest.approx(2 / 3)
    nothing = {"value": None, "low": None, "high": None, "reason": EMPTY}
    assert found["macro_auroc"] == found["classes"]["sick"]["auroc"] == nothing


def test_the_confusion_matrix_equals_scikit_learns() -> None:
    found = random_cases(200, 4)
    decided = Decision().decide(found.prob)
    assert confusion(found, decided) == reference.confusion_matrix(found.y, decided, labels=range(4)).tolist()


def test_rows_of_the_confusion_matrix_are_the_truth() -> None:
    assert confusion(scored([0, 0, 1], [0.9, 0.1, 0.9]), np.array([1, 0, 1])) == [[1, 1], [0, 1]]


def test_what_is_measured_of_some_cases() -> None:
    found = random_cases(60, 3, films=2)
    measured = measure(found, Decision())
    assert set(measured) == {"images", "patients", *OVERALL, "classes", "confusion", "interval", "exact"}
    assert (measured["images"], measured["patients"]) == (60, 30)
    assert set(measured["classes"]) == {"c0", "c1", "c2"}
    assert set(measured["classes"]["c0"]) == {*BY_CLASS, "at_prevalence"}
    assert measured["classes"]["c0"]["at_prevalence"] is None
    assert measured["interval"] == "95 % BCa bootstrap over patients, 2000 resamples"
    for name in OVERALL:
        estimate = measured[name]
        assert set(estimate) == {"value", "low", "high"}
        assert 0 <= estimate["low"] < estimate["value"] < estimate["high"] <= (2 if name in ("brier", "log_loss") else 1)


def test_what_is_measured_is_strict_json() -> None:
    found = random_cases(12, 3)
    json.dumps(measure(found, Decision(), prevalence={"c0": 0.1}), allow_nan=False)
    json.dumps(measure(scored([1], [1.0]), Decision(), prevalence={"sick": 0.1}), allow_nan=False)


def test_estimates_are_what_is_measured() -> None:
    found = random_cases(60, 3, films=2)
    by_name = estimates(found, found.prob.argmax(axis=1))
    measured = measure(found, Decision())
    assert by_name["accuracy"].to_json() == measured["accuracy"]
    assert by_name["auprc/c1"].to_json() == measured["classes"]["c1"]["auprc"]


def test_one_metric_alone_is_the_same_as_all_at_once() -> None:
    found = random_cases(80, 3, films=2)
    weights = Bootstrap(found.patient, resamples=20).weights().astype(float)
    table = MetricTable(found, found.prob.argmax(axis=1))
    for name, row in zip(table.names, table(np.ascontiguousarray(weights.T)), strict=True):
        np.testing.assert_allclose(table.one(name, weights), row, err_msg=name)


def test_measuring_twice_gives_the_same() -> None:
    found = random_cases(60, 3, films=2)
    assert measure(found, Decision()) == measure(found, Decision())


def test_alike_images_of_a_patient_do_not_promise_more() -> None:
    once = random_cases(60, 2)
    copies = cases(once.y.repeat(5), once.prob.repeat(5, axis=0), once.labels.names, once.patient.repeat(5).tolist())
    one, five = (measure(found, Decision()) for found in (once, copies))
    for name in OVERALL:
        assert five[name] == pytest.approx(one[name]), name


def test_the_decision_is_applied() -> None:
    found = scored([0, 1, 1], [0.1, 0.3, 0.4])
    assert measure(found, Decision("youden", 1, 0.2))["accuracy"]["value"] == 1.0
    assert measure(found, Decision())["accuracy"]["value"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_the_roc_curve_equals_scikit_learns(column: int) -> None:
    found = random_cases(120, 3)
    curve = roc_points(found, column)
    fpr, tpr, _ = reference.roc_curve(found.y == column, found.prob[:, column], drop_intermediate=False)
    np.testing.assert_allclose(curve["fpr"], fpr)
    np.testing.assert_allclose(curve["tpr"], tpr)


def test_the_roc_curve_encloses_the_area() -> None:
    found = random_cases(120, 3)
    curve = roc_points(found, 1)
    assert np.trapezoid(curve["tpr"], curve["fpr"]) == pytest.approx(values(found, found.y)["auroc/c1"])


def test_one_score_for_all_is_a_straight_roc_curve() -> None:
    assert roc_points(scored([0, 1, 0], [0.5] * 3), 1) == {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0]}


def test_no_image_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"^Metrics need at least one image, but there is none; evaluate a part that"):
        measure(scored([], []), Decision())


def test_a_probability_that_is_no_number_names_its_image() -> None:
    with pytest.raises(DataError, match=r"^Probabilities must be finite numbers, i1 has \[nan, nan\]; predict again\.$"):
        measure(scored([0, 1], [0.5, np.nan]), Decision())


@pytest.mark.parametrize("column", [-1, 2])
def test_an_unknown_class_names_its_image(column: int) -> None:
    found = scored([0, 1], [0.2, 0.7])
    with pytest.raises(DataError, match=rf"Every decision must be a column of \['normal', 'sick'\], i1 has {column}; correct"):
        measure_decided(found, np.array([0, column]))
    with pytest.raises(DataError, match=rf"Every label must be a column of \['normal', 'sick'\], i0 has {column}; correct"):
        measure(replace(found, y=np.array([column, 1], np.int32)), Decision())


def test_a_decision_for_each_image_is_wanted() -> None:
    found = scored([0, 1], [0.2, 0.7])
    with pytest.raises(DataError, match=r"needs one decision and 2 probabilities, got \(3,\) decisions and .* for 2 images"):
        measure_decided(found, np.array([0, 1, 1]))
