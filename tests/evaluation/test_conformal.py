"""Conformal sets, beside the ``crepes`` package and worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from crepes import ConformalClassifier

from lungwise.errors import DataError
from lungwise.evaluation.conformal import Conformal, fit_conformal
from lungwise.evaluation.exact import wilson
from tests.evaluation.factory import cases, random_cases, scored

LABELS = ("a", "b", "c")


def test_the_quantile_by_hand() -> None:
    # Of 9 scores, alpha 0.2 takes number ceil(10 * 0.8) = 8, alpha 0.1 the ninth, and less than 0.1 none.
    sick = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    validation = scored([1] * 9, sick)
    assert fit_conformal(validation, 0.2).quantiles["sick"] == pytest.approx(0.8)
    assert fit_conformal(validation, 0.1).quantiles["sick"] == pytest.approx(0.9)
    assert fit_conformal(validation, 0.09).quantiles["sick"] == 1.0


def test_every_class_has_its_own_quantile() -> None:
    found = fit_conformal(scored([0] * 9 + [1] * 9, [0.3] * 9 + [0.6] * 9))
    assert found.quantiles == pytest.approx({"normal": 0.3, "sick": 0.4})
    assert found.sizes == {"normal": 9, "sick": 9}
    prob = np.array([[0.7, 0.3], [0.5, 0.5], [0.3, 0.7]])
    assert found.sets(prob).tolist() == [[True, False], [False, False], [False, True]]


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.17, 0.3])
def test_the_sets_are_those_of_crepes(classes: int, alpha: float) -> None:
    validation, test = random_cases(150, classes, seed=1), random_cases(100, classes, seed=2)
    reference = ConformalClassifier()
    reference.fit(1 - validation.prob[np.arange(150), validation.y], bins=validation.y)
    wanted = np.empty((100, classes), bool)
    for column in range(classes):
        scores = 1 - test.prob[:, [column]]
        p = reference.predict_p(scores, bins=np.full(100, column), all_classes=True, smoothing=False)
        # The smallest alpha at which a class falls out is its p-value.
        wanted[:, column] = p[:, 0] > alpha + 1e-12
    assert (fit_conformal(validation, alpha).sets(test.prob) == wanted).all()


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2, 0.01])
def test_with_1_over_alpha_less_1_images_the_largest_score_is_taken(alpha: float) -> None:
    number = round(1 / alpha) - 1
    least = fit_conformal(scored([1] * number, [0.5] * number), alpha)
    assert least.quantiles["sick"] == 0.5
    assert least.always == ("normal",)
    fewer = fit_conformal(scored([1] * (number - 1), [0.5] * (number - 1)), alpha)
    assert fewer.always == ("normal", "sick")


@pytest.mark.parametrize(("alpha", "number", "rank"), [(0.18, 149, 123), (0.42, 49, 29), (0.7, 9, 3)])
def test_rounding_does_not_raise_a_rank_that_is_whole(alpha: float, number: int, rank: int) -> None:
    assert (number + 1) * (1 - alpha) > rank
    score = np.arange(1, number + 1) / (number + 1)
    assert fit_conformal(scored([1] * number, (1 - score).tolist()), alpha).quantiles["sick"] == pytest.approx(score[rank - 1])


def test_a_class_of_too_few_images_stands_in_every_set_and_it_says_so() -> None:
    prob = np.tile([0.98, 0.02, 0.0], (40, 1))
    prob[20:28] = [0.02, 0.98, 0.0]
    found = fit_conformal(cases([0] * 20 + [1] * 8, prob[:28], LABELS))
    assert found.quantiles == pytest.approx({"a": 0.02, "b": 1.0, "c": 1.0})
    assert found.always == ("b", "c")
    assert found.sets(prob)[:, 1:].all()
    described = found.describe(cases([0, 1], prob[:2], LABELS))
    assert described["notes"] == [
        "Validation has 8 images of b, 90 % needs 9: every set holds b.",
        "Validation has 0 images of c, 90 % needs 9: every set holds c.",
    ]


def test_the_figures_by_hand() -> None:
    found = Conformal(0.1, {"a": 0.5, "b": 0.5, "c": 0.8}, {"a": 99, "b": 99, "c": 99})
    prob = np.array([[0.6, 0.3, 0.1], [0.5, 0.5, 0.0], [0.4, 0.45, 0.15], [0.2, 0.2, 0.6], [0.3, 0.4, 0.3]])
    described = found.describe(cases([0, 1, 2, 2, 0], prob, LABELS, ["p", "p", "q", "r", "s"]))
    # Sets: a; a, b; none; c; c.
    low, high = wilson(3, 5) or (0.0, 0.0)
    assert described["coverage"] == {"value": 0.6, "low": low, "high": high}
    assert (described["mean_size"], described["singletons"], described["empty"]) == (1.0, 0.6, 0.2)
    assert described["singletons_right"]["value"] == pytest.approx(2 / 3)
    assert (described["images"], described["patients"]) == (5, 4)
    assert described["classes"]["c"]["coverage"]["value"] == 0.5
    assert described["classes"]["a"]["number"] == 2
    assert any("Images of one patient are alike" in caveat for caveat in described["caveats"])
    assert any("Validation also chose the epoch" in caveat for caveat in described["caveats"])
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_images_unlike_validation_are_said_to_be_so() -> None:
    found = fit_conformal(scored([0, 1] * 50, [0.1, 0.9] * 50))
    notes = found.describe(scored([1] * 40, [0.95] * 20 + [0.5] * 20))["notes"]
    assert notes == [
        "Of images of sick the sets hold the true class for 50.0 %, fewer than the 90 % promised and beyond chance: these "
        "images are not like the validation images."
    ]


def test_a_class_that_test_lacks_has_no_coverage() -> None:
    described = fit_conformal(scored([0, 1] * 50, [0.1, 0.9] * 50)).describe(scored([1], [0.9]))
    normal = described["classes"]["normal"]
    assert normal["coverage"] == {"value": None, "low": None, "high": None}
    assert (normal["number"], normal["mean_size"], normal["singletons"], normal["empty"]) == (0, None, None, None)


def test_no_cases() -> None:
    found = fit_conformal(scored([], []))
    assert found.quantiles == {"normal": 1.0, "sick": 1.0}
    assert found.sets(np.zeros((0, 2))).shape == (0, 2)
    assert found.describe(scored([], []))["coverage"]["value"] is None


def test_probabilities_of_exactly_0_and_1() -> None:
    found = fit_conformal(scored([0, 1] * 20, [0.0, 1.0] * 20))
    assert found.quantiles == {"normal": 0.0, "sick": 0.0}
    assert found.sets(np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])).tolist() == [[False, True], [True, False], [False, False]]


def test_it_is_read_as_it_is_written() -> None:
    found = fit_conformal(random_cases(60, 3), 0.2)
    read = Conformal.from_json(json.loads(json.dumps(found.to_json())))
    assert read == found
    assert list(read.quantiles) == ["c0", "c1", "c2"]


@pytest.mark.parametrize(
    "change", [{"alpha": 2.0}, {"quantiles": {"a": 2.0, "b": 0.1}}, {"quantiles": {"b": 0.1, "a": 0.1}}, {"sizes": {"a": 1}},
               {"quantiles": 3}, {"alpha": "much"}, {"quantiles": {"a": float("nan"), "b": 0.1}}, {"colour": "red"}],
)  # fmt: skip
def test_a_damaged_one_is_refused(change: dict[str, Any]) -> None:
    whole = Conformal(0.1, {"a": 0.5, "b": 0.5}, {"a": 9, "b": 9}).to_json()
    with pytest.raises(DataError, match=r"must .*; (fit them again|fit again|correct alpha)\.$"):
        Conformal.from_json({**whole, **change})


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_alpha_is_a_share(alpha: float) -> None:
    with pytest.raises(DataError, match=r"must lie between 0 and 1, got .*; correct alpha\.$"):
        fit_conformal(scored([0, 1], [0.1, 0.9]), alpha)


def test_other_classes_are_refused() -> None:
    found = fit_conformal(random_cases(60, 3))
    with pytest.raises(DataError, match=r"These quantiles are for \['c0', 'c1', 'c2'\], got 2 classes; fit them again\.$"):
        found.sets(np.array([[0.5, 0.5]]))
    with pytest.raises(DataError, match=r"got \['normal', 'sick'\]; fit them again\.$"):
        found.describe(scored([0], [0.5]))


def test_not_a_number_is_refused() -> None:
    bad = scored([0, 1], [float("nan"), 0.5])
    with pytest.raises(DataError, match="must be >= 0 and sum to 1"):
        fit_conformal(bad)
    with pytest.raises(DataError, match="must be >= 0 and sum to 1"):
        fit_conformal(scored([0], [0.5])).sets(bad.prob)


def test_chance_of_validation_is_reckoned_with_before_images_are_called_unlike() -> None:
    """With 40 validation and 40 test images alike, the note is given as rarely as it says."""
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(400):
        scores = rng.random(80)
        validation, test = (scored([1] * 40, 1 - part) for part in (scores[:40], scores[40:]))
        told += any("fewer than" in note for note in fit_conformal(validation).describe(test)["notes"])
    assert 0 < told / 400 < 0.04
