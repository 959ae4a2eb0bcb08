"""What ``lungwise.json`` may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lungwise.bundle.spec import FORMAT, BundleSpec, DecisionSpec
from lungwise.evaluation.decision import RULES, Rule
from tests.bundle_factory import make_spec, youden


def test_it_reads_what_it_writes() -> None:
    spec = make_spec(decision=youden(0.25), metrics={"part": "test"}, temperature=1.5)
    assert BundleSpec.model_validate_json(spec.model_dump_json()) == spec


def test_the_intended_use_is_research() -> None:
    assert make_spec().intended_use == (
        "Research use only. Not a medical device; not for diagnosis or for decisions about patients."
    )


def test_another_format_is_refused() -> None:
    with pytest.raises(ValidationError, match=f"format must be {FORMAT} for this version of Lungwise, got {FORMAT + 1}"):
        make_spec(format=FORMAT + 1)


def test_a_bundle_that_does_not_say_how_many_views_has_one() -> None:
    values = make_spec(views=3).model_dump()
    assert BundleSpec.model_validate(values).views == 3
    del values["views"]
    assert BundleSpec.model_validate(values).views == 1


@pytest.mark.parametrize("views", [0, 17])
def test_views_are_in_range(views: int) -> None:
    with pytest.raises(ValidationError, match=r"views\n.*(greater than or equal to 1|less than or equal to 16)"):
        make_spec(views=views)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_is_a_positive_number(temperature: float) -> None:
    with pytest.raises(ValidationError, match="temperature"):
        make_spec(temperature=temperature)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(ValidationError, match="threshold"):
        youden(threshold)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_may_be_0_or_1(threshold: float) -> None:
    assert youden(threshold).threshold == threshold


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValidationError, match="Input should be 'argmax', 'youden', 'sensitivity', 'specificity' or 'cost'"):
        DecisionSpec(rule="guess", positive=1, threshold=0.5, fitted_on="")  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_of_the_evaluation_is_known(rule: Any) -> None:
    assert DecisionSpec(rule=rule, positive=1, threshold=0.5, fitted_on="validation").rule == Rule(rule).name


def test_a_map_and_quantiles_are_read_as_written() -> None:
    spec = make_spec(
        calibration_matrix=((1.5, 0.0), (0.25, 2.0)),
        calibration_bias=(0.5, -0.5),
        conformal_alpha=0.05,
        conformal_quantiles={"sick": 0.25, "normal": 1.0},
    )
    assert BundleSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("matrix", "bias", "temperature"),
    [
        (((1.0, 0.0),), (0.0, 0.0), 1.0),
        (((1.0,), (0.0,)), (0.0, 0.0), 1.0),
        (((1.0, 0.0), (0.0, 1.0)), (), 1.0),
        ((), (0.0, 0.0), 1.0),
        (((1.0, float("inf")), (0.0, 1.0)), (0.0, 0.0), 1.0),
        (((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0), 1.5),
    ],
)
def test_a_map_is_square_finite_and_in_the_place_of_a_temperature(matrix: Any, bias: Any, temperature: float) -> None:
    message = r"a matrix of 2 rows and columns with a bias of 2 numbers, all finite, in the place of a temperature"
    with pytest.raises(ValidationError, match=message):
        make_spec(calibration_matrix=matrix, calibration_bias=bias, temperature=temperature)


@pytest.mark.parametrize("quantiles", [{"normal": 0.5}, {"normal": 0.5, "ill": 0.5}, {"normal": 0.5, "sick": 1.5},
                                       {"normal": 0.5, "sick": float("nan")}])  # fmt: skip
def test_every_class_has_one_quantile(quantiles: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=r"numbers from 0 to 1, one for each of \['normal', 'sick'\], got"):
        make_spec(conformal_quantiles=quantiles)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_sets_may_miss_a_share_between_0_and_1(alpha: float) -> None:
    with pytest.raises(ValidationError, match="conformal_alpha"):
        make_spec(conformal_alpha=alpha)


def test_an_unknown_pool_is_refused() -> None:
    with pytest.raises(ValidationError, match="Input should be 'average' or 'flatten'"):
        make_spec(head="max")


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        make_spec(colour="red")


def test_a_threshold_needs_two_classes() -> None:
    with pytest.raises(ValidationError, match="a threshold needs two classes and the column of the finding"):
        make_spec(labels=("a", "b", "c"), decision=youden(0.5))


def test_a_threshold_needs_the_column_of_the_finding() -> None:
    with pytest.raises(ValidationError, match="a threshold needs two classes and the column of the finding"):
        make_spec(decision=youden(0.5, positive=-1))


def test_one_class_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 2 items"):
        make_spec(labels=("a",))
