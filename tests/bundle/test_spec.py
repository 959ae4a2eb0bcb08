"""What ``lungwise.json`` may say."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import ValidationError

from lungwise.bundle.spec import FORMAT, BundleSpec, DecisionSpec
from lungwise.evaluation.decision import Rule
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
    with pytest.raises(ValidationError, match="Input should be 'argmax', 'youden' or 'sensitivity'"):
        DecisionSpec(rule="guess", positive=1, threshold=0.5, fitted_on="")  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["argmax", "youden", "sensitivity"])
def test_every_rule_of_the_evaluation_is_known(rule: Literal["argmax", "youden", "sensitivity"]) -> None:
    assert DecisionSpec(rule=rule, positive=1, threshold=0.5, fitted_on="validation").rule == Rule(rule).name


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
