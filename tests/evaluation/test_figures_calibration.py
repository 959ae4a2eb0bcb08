"""Reliability diagrams are drawn for whatever was described."""

from __future__ import annotations

from functools import partial
from typing import Any
from xml.etree import ElementTree

import pytest

from lungwise.evaluation.calibration import Calibration, calibrated
from lungwise.evaluation.calibration_report import describe as describe_all
from lungwise.evaluation.figures_calibration import _estimate, reliability_diagram, reliability_diagrams
from tests.evaluation.factory import scored
from tests.evaluation.test_calibration import MAP, simulated

describe = partial(describe_all, resamples=200)
KINDS = [Calibration(), Calibration("temperature", 2.0), MAP]


@pytest.mark.parametrize("calibration", KINDS, ids=lambda found: found.kind)
def test_there_is_one_before_and_one_after_for_each_class(calibration: Calibration) -> None:
    before = simulated(60, 2)
    found = reliability_diagrams(describe(before, calibrated(before, calibration), calibration))
    assert list(found) == ["c1"]
    sizes = [ElementTree.fromstring(svg).get("viewBox") for svg in found["c1"]]
    assert sizes[0] == sizes[1]
    assert sizes[0] is not None


def test_one_case_can_be_drawn() -> None:
    one = scored([1], [1.0])
    assert reliability_diagrams(describe(one, one, Calibration()))["sick"][0].startswith("<svg")


def test_the_same_numbers_give_the_same_picture() -> None:
    found = describe(simulated(60, 2), simulated(60, 2), Calibration())["before"]["classes"]["c1"]
    assert reliability_diagram(found, "c1", "before") == reliability_diagram(found, "c1", "before")


def test_long_and_strange_names_can_be_drawn() -> None:
    found = describe(simulated(60, 2), simulated(60, 2), Calibration())["before"]["classes"]["c1"]
    ElementTree.fromstring(reliability_diagram(found, "_pneumonia $with$ <pleural> effusion & " * 3, "before"))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"value": None, "low": None, "high": None}, "undefined"),
        ({"value": 0.5, "low": None, "high": None}, "0.50"),
        ({"value": 0.5, "low": 0.25, "high": 0.75}, "0.50 [0.25, 0.75]"),
        ({"value": 2.0, "low": 1.1, "high": 10.0}, "2.00 [1.10, …]"),
    ],
)
def test_a_slope_that_was_cut_has_no_upper_end(found: dict[str, Any], words: str) -> None:
    assert _estimate(found) == words
