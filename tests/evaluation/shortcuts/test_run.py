"""All experiments together: clean films raise nothing."""

from __future__ import annotations

import json

from lungwise.evaluation.shortcuts import experiments, worst
from lungwise.evaluation.shortcuts.films import Films
from tests.evaluation.shortcuts import toy


def test_clean_films_and_a_model_that_reads_lungs_raise_nothing(clean: Films) -> None:
    steps: list[str] = []
    checks, own = experiments(clean, toy.model(toy.read_lungs), steps.append)
    assert {check.name: check.severity for check in checks} == {
        "probe": "ok", "lungs-covered": "ok", "only-lungs": "ok", "within-sources": "ok", "stability": "ok",
    }  # fmt: skip
    assert worst(checks) == "ok"
    assert own.accuracy.value is not None
    assert steps[0] == "the films as they are"
    for check in checks:
        assert check.estimate.value is not None
        assert check.message.endswith(".")
        json.dumps(check.to_json(), allow_nan=False)


def test_a_model_that_reads_the_frame_is_found_by_two_experiments() -> None:
    films = toy.toy(80, plant="border")
    checks, _ = experiments(films, toy.model(toy.read_frame))
    severity = {check.name: check.severity for check in checks}
    assert severity["probe"] == severity["lungs-covered"] == "error"
