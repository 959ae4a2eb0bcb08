"""Metrics against scikit-learn, at weight one and for resamples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference

from lungwise.evaluation.decision import Decision
from lungwise.evaluation.intervals import Bootstrap
from lungwise.evaluation.metrics import confusion, measure, roc_points, statistics
from tests.evaluation.factory import cases, random_cases, scored

CLASSES = [2, 3, 5]


def values(found: Any, decided: Any, weights: Any = None) -> dict[str, float]:
    weights = np.ones((1, len(found))) if weights is None else weights[None].astype(float)
    return {name: float(statistic(weights)[0]) for name, statistic in statistics(found, decided)}


def sklearn_values(found: Any, decided: Any, weights: Any = None) -> dict[str, float]:
    """The same numbers by scikit-learn."""
    y, kept = found.y, {"sample_weight": weights}
    wanted: dict[str, float] = {"accuracy": reference.accuracy_score(y, decided, **kept)}
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
            f"prevalence/{name}": float(np.average(truth, weights=weights)),
        }
    for name, key in (("balanced_accuracy", "sensitivity"), ("macro_f1", "f1"), ("macro_auroc", "auroc")):
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
        *("sensitivity/c", "ppv/c", "f1/c", "auroc/c"),
        *("balanced_accuracy", "macro_f1", "macro_auroc"),
    }
    assert (got["specificity/c"], got["npv/c"], got["prevalence/c"]) == (1.0, 1.0, 0.0)


def test_one_class_only_has_an_accuracy_and_no_area() -> None:
    found = measure(scored([1, 1, 1], [0.9, 0.8, 0.2]), Decision())
    assert found["accuracy"]["value"] == pytest.approx(2 / 3)
    assert found["macro_auroc"] == found["classes"]["sick"]["auroc"] == {"value": None, "low": None, "high": None}


def test_the_confusion_matrix_equals_scikit_learns() -> None:
    found = random_cases(200, 4)
    decided = Decision().decide(found.prob)
    assert confusion(found, decided) == reference.confusion_matrix(found.y, decided, labels=range(4)).tolist()


def test_rows_of_the_confusion_matrix_are_the_truth() -> None:
    assert confusion(scored([0, 0, 1], [0.9, 0.1, 0.9]), np.array([1, 0, 1])) == [[1, 1], [0, 1]]


def test_what_is_measured_of_some_cases() -> None:
    found = random_cases(60, 3, films=2)
    measured = measure(found, Decision())
    assert (measured["images"], measured["patients"]) == (60, 30)
    assert set(measured["classes"]) == {"c0", "c1", "c2"}
    assert set(measured["classes"]["c0"]) == {"sensitivity", "specificity", "ppv", "npv", "f1", "auroc", "prevalence"}
    assert measured["interval"] == "95 % percentile bootstrap over patients, 2000 resamples"
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc"):
        estimate = measured[name]
        assert 0 <= estimate["low"] < estimate["value"] < estimate["high"] <= 1


def test_measuring_twice_gives_the_same() -> None:
    found = random_cases(60, 3, films=2)
    assert measure(found, Decision()) == measure(found, Decision())


def test_alike_images_of_a_patient_do_not_promise_more() -> None:
    once = random_cases(60, 2)
    copies = cases(once.y.repeat(5), once.prob.repeat(5, axis=0), once.labels.names, once.patient.repeat(5).tolist())
    assert measure(copies, Decision())["accuracy"] == pytest.approx(measure(once, Decision())["accuracy"])


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
