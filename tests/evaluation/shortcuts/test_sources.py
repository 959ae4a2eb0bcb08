"""Sources: the oracle's interval, and a model that ranks sources instead of films."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lungwise.evaluation.shortcuts.films import Answers, Films, answers
from lungwise.evaluation.shortcuts.sources import oracle, oracle_check, within_check
from tests.evaluation.shortcuts import toy

NUMBER = 120
MIXED = 240


def named(values: list[str]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.array(values, np.str_)


PATIENTS = named([f"p{film}" for film in range(NUMBER)])
CLASSES = named(["normal", "normal", "sick", "sick"] * (NUMBER // 4))


def test_the_oracle_knows_what_the_source_tells() -> None:
    # East has three normal films of four, west three sick ones: the oracle is right for three of four.
    source = named(["east", "west", "west", "east", "east", "east", "west", "west"] * (NUMBER // 8))
    knowing, guessing = oracle(CLASSES, source, PATIENTS)
    assert (knowing.value, guessing.value) == (0.75, 0.5)
    assert knowing.low is not None
    assert knowing.high is not None
    assert 0.62 < knowing.low < 0.75 < knowing.high < 0.87
    assert guessing.high is not None
    assert guessing.high < knowing.low


def test_a_perfect_oracle_has_wilsons_interval() -> None:
    knowing, _ = oracle(CLASSES, named([f"only-{label}" for label in CLASSES]), PATIENTS)
    assert knowing.value == 1.0
    assert knowing.low == pytest.approx(NUMBER / (NUMBER + 1.96**2), abs=1e-3)


@pytest.mark.parametrize(
    ("severity", "said"),
    [("ok", "does not tell its class"), ("warning", "tells something of its class"), ("error", "gives its class away")],
)
def test_the_data_audits_verdict_is_said_with_an_interval(severity: str, said: str) -> None:
    source = named(["east", "west"] * (NUMBER // 2))
    check = oracle_check(CLASSES, source, PATIENTS, severity, {"cramers_v": 0.0})  # type: ignore[arg-type]
    assert check.severity == severity
    assert said in check.message
    assert "right for 50 % [" in check.message
    assert check.details == {"cramers_v": 0.0}


def test_one_source_is_a_note() -> None:
    check = oracle_check(CLASSES, named(["east"] * NUMBER), PATIENTS, "ok", {})
    assert check.severity == "note"
    assert "All films come from one source ('east')" in check.message


def scored(films: Films, sick: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Answers:
    return answers(films, np.stack([1 - sick, sick], axis=1), (sick > 0.5).astype(np.int64))


@pytest.fixture(scope="module")
def mixed() -> Films:
    """East has the sick in four of five, west the normal in four of five."""
    films = toy.toy(MIXED)
    east = (np.random.default_rng(1).random(MIXED) < 0.8) == (films.y == 1)
    return replace(films, source=np.where(east, "east", "west"))


def test_a_model_that_reads_lungs_is_as_good_within_sources(mixed: Films) -> None:
    rng = np.random.default_rng(2)
    check = within_check(mixed, scored(mixed, np.clip(0.5 + 0.3 * (mixed.y - 0.5) + rng.normal(0, 0.12, MIXED), 0, 1)))
    assert check.severity == "ok", check.message
    assert [row.name for row in check.rows] == ["over all films", "within sources", "within east", "within west"]


def test_a_model_that_reads_the_source_has_nothing_within(mixed: Films) -> None:
    rng = np.random.default_rng(2)
    check = within_check(mixed, scored(mixed, np.where(mixed.source == "east", 0.8, 0.2) + rng.normal(0, 0.02, MIXED)))
    assert check.severity == "error"
    assert "Within a source little is left of the model's result" in check.message
    assert check.estimate.low is not None
    assert check.estimate.low < 0.5
    assert check.details["drop"]["low"] > 0.15


def test_sources_of_one_class_each_are_the_finding(clean: Films, own: Answers) -> None:
    films = replace(clean, source=np.where(clean.y == 1, "east", "west"))
    check = within_check(films, own)
    assert check.severity == "warning"
    assert "nobody can tell whether the model reads lungs or sources" in check.message
    assert check.details["sources"]["east"] == {"normal": 0, "sick": 60}


def test_a_class_of_its_own_source_is_named(clean: Films) -> None:
    y = np.arange(120) % 3
    labels = type(clean.labels)(("covid", "normal", "sick"))
    source = np.where(y == 0, "cohen", np.where(np.arange(120) % 2, "nih", "rsna"))
    films = replace(clean, y=y, labels=labels, source=source, patient=clean.image)
    check = within_check(films, answers(films, np.eye(3)[y], y))
    assert check.severity == "warning"
    assert "reads lungs or sources where covid is concerned, which no source has beside another class. Of the" in check.message
    assert check.details["classes_of_own_sources"] == ["covid"]


@pytest.mark.parametrize("source", ["clinic", ""])
def test_without_sources_nothing_can_be_said(clean: Films, own: Answers, source: str) -> None:
    check = within_check(replace(clean, source=np.full(len(clean), source)), own)
    assert check.severity == "note"
    assert "All films come from one source" in check.message
