"""What speaks against the figures is said first, and no more than that."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from lungwise.evaluation.conformal import fit_conformal
from lungwise.evaluation.decision import Rule
from lungwise.evaluation.doubts import conclusion, doubts
from lungwise.evaluation.judged import Judged, judged, patients_by_class
from tests.evaluation.test_judged import drawn

GRAVE = "These figures can be good although the model is not; do not rely on them before the points below are settled."


@cache
def good() -> Judged:
    return judged({"test": drawn(300, 3, sharpness=1.0), "validation": drawn(300, 4, sharpness=1.0)}, Rule(), {})


def metrics(**changes: Any) -> dict[str, Any]:
    """Metrics of a good run with many patients."""
    found = good()
    plain = {"part": "test", "parts": found.parts, "audit": [], "patients_by_class": patients_by_class(found.cases["test"])}
    return {**plain, **found.more, **changes}


def test_nothing_is_said_of_a_good_run() -> None:
    assert doubts(metrics()) == []
    assert conclusion(metrics()) == "Nothing was found that speaks against these figures; they hold for images like these only."


def test_errors_of_the_data_are_grave_and_confounding_comes_first() -> None:
    audit = [
        {"severity": "error", "check": "patient-across-splits", "message": "patients leak"},
        {"severity": "warning", "check": "duplicate", "message": "two are alike"},
        {"severity": "error", "check": "source-confounding", "message": "the source gives the class away"},
    ]
    found = doubts(metrics(audit=audit))
    said = [(doubt.weight, doubt.text) for doubt in found]
    assert said == [("grave", "The data: the source gives the class away."), ("grave", "The data: patients leak.")]
    assert conclusion(metrics(audit=audit)) == GRAVE
    mild = metrics(audit=[{"severity": "warning", "check": "source-confounding", "message": "sources differ"}])
    assert [doubt.weight for doubt in doubts(mild)] == ["doubt"]
    assert conclusion(mild) == "These figures hold with the reservations below, and for images like these only."


def test_shortcuts_are_told_with_their_weight() -> None:
    checks = [{"name": name, "severity": name, "message": f"It is {name}."} for name in ("ok", "note", "warning", "error")]
    found = doubts(metrics(shortcuts={"severity": "error", "checks": checks}))
    assert [(doubt.weight, doubt.text) for doubt in found] == [
        ("grave", "Shortcuts: It is error."), ("doubt", "Shortcuts: It is warning."),
    ]  # fmt: skip


def test_test_images_unlike_validation_are_grave() -> None:
    """Validation finds the model too timid, test finds it too sure; and sets miss more than promised."""
    found = judged({"test": drawn(300, 1, sharpness=6.0), "validation": drawn(300, 2, sharpness=0.4)}, Rule(), {})
    told = doubts(metrics(**found.more))
    assert [doubt.weight for doubt in told] == ["grave"] * len(told)
    assert told[0].text.startswith("Calibration made the probabilities worse here (log loss by ")
    assert any("fewer than the 90 % promised and beyond chance" in doubt.text for doubt in told)


def test_few_patients_and_missing_intervals_are_doubts() -> None:
    few = metrics(patients_by_class={"c0": 12, "c1": 400})
    assert [doubt.text for doubt in doubts(few)] == [
        "Few test patients (12 of c0): read the ends of the intervals, not the figures in the middle."
    ]
    part = metrics()["parts"]["test"]
    bare = {**part, "macro_auroc": {**part["macro_auroc"], "low": None, "high": None}}
    assert [doubt.text for doubt in doubts(metrics(parts={"test": bare}))] == ["Too few images to know an interval for: AUROC."]


def test_classes_without_sets_are_doubts_and_no_sign_of_unlike_images() -> None:
    sharp, test = drawn(8, 2, sharpness=1.0), drawn(300, 1, sharpness=1.0)
    sets = fit_conformal(sharp).describe(test)
    assert sets["always"]
    told = doubts(metrics(conformal=sets))
    assert told[-1].text == f"Validation has too few images of {', '.join(sets['always'])} to promise sets for it."
    assert not any("Validation has" in doubt.text for doubt in told[:-1])


def test_without_a_test_part_everything_flatters() -> None:
    found = metrics(part="validation")
    told = doubts({**found, "parts": {"validation": found["parts"]["validation"]}})
    assert told[0].weight == "grave"
    assert told[0].text == "There is no test part: the model was chosen on these validation images, which flatters it."


@pytest.mark.parametrize("lost", ["calibration", "conformal", "shortcuts", "patients_by_class"])
def test_metrics_of_an_older_version_are_read(lost: str) -> None:
    found = metrics()
    found.pop(lost, None)
    assert doubts(found) == []
