"""The probe finds what is planted around the lungs, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lungwise.evaluation.shortcuts.features import GROUPS
from lungwise.evaluation.shortcuts.films import Answers, Films
from lungwise.evaluation.shortcuts.probe import TOGETHER, cross_validated, probe, probe_check
from tests.evaluation.shortcuts import toy


def test_clean_films_raise_nothing(clean: Films, own: Answers) -> None:
    check = probe_check(clean, probe(clean), own)
    assert check.severity == "ok", check.message
    assert check.message.startswith("From everything around the lungs the class cannot clearly be told (best:")


@pytest.mark.parametrize(
    ("plant", "group"),
    [
        ("corner", "corners"),
        ("border", "outer frame"),
        ("histogram", "grey values outside the lungs"),
        ("size", "original size"),
    ],
)
def test_every_planted_shortcut_is_found(plant: str, group: str) -> None:
    films = toy.toy(80, plant=plant)
    told = cross_validated(GROUPS[group](films), films, 5)
    assert (told.auroc.low or 0) > 0.9


def test_a_planted_shortcut_is_an_error() -> None:
    films = toy.toy(80, plant="corner")
    own = toy.model(toy.read_lungs).answer(films, films.squares)
    check = probe_check(films, probe(films), own)
    assert check.severity == "error"
    assert (
        "Without seeing a lung, a simple classifier comes near the model's own result, telling the classes apart"
        in check.message
    )
    assert check.estimate.value == pytest.approx(1.0, abs=0.02)
    assert {row.name for row in check.rows} == {*GROUPS, TOGETHER}
    assert len(check.pictures) == 2


def test_a_mark_that_only_some_have_is_a_warning() -> None:
    films = toy.toy(120, plant="corner", share=0.5)
    own = toy.model(toy.read_lungs).answer(films, films.squares)
    check = probe_check(films, probe(films), own)
    assert check.severity == "warning"
    assert "the model may learn that instead of the illness" in check.message
    assert check.details["kept_of_the_models_auroc_above_chance"] < 0.75


def test_text_marks_are_found_wherever_they_stand() -> None:
    films = toy.toy(80)
    rng = np.random.default_rng(0)
    squares = films.squares.copy()
    for row in np.flatnonzero(films.y):
        x = int(rng.choice([3, 38]))
        squares[row, 2:5, x : x + 2] = 255
    films = replace(films, squares=squares)
    assert (cross_validated(GROUPS["text marks"](films), films, 5).auroc.low or 0) > 0.9


def test_one_class_of_three_that_is_given_away_is_named(clean: Films) -> None:
    y = np.arange(120) % 3
    squares = clean.squares.copy()
    squares[y == 0, :3] = 0
    labels = type(clean.labels)(("covid", "normal", "sick"))
    films = replace(clean, squares=squares, y=y, labels=labels, patient=clean.image)
    own = toy.model(lambda images: np.eye(3)[y] * 0.4 + 0.2).answer(films, squares)
    check = probe_check(films, probe(films), own)
    assert check.severity == "error"
    assert "telling 'covid' from the others" in check.message
    assert check.details["class"] == "covid"


def test_a_patient_is_never_on_both_sides(clean: Films) -> None:
    # Features that name the patient tell the class of known patients only.
    _, number = np.unique(clean.patient, return_inverse=True)
    features = np.eye(number.max() + 1)[number]
    area = cross_validated(features, clean, 5).auroc
    assert area.low is not None
    assert area.low < 0.6
    own = np.tile(clean.y, (3, 1)).T + np.random.default_rng(0).normal(0, 0.1, (120, 3))
    assert (cross_validated(own, clean, 5).auroc.value or 0) > 0.95


def test_a_class_of_one_patient_cannot_be_cross_validated(clean: Films, own: Answers) -> None:
    films = replace(clean, patient=np.where(clean.y == 1, "one", clean.patient))
    assert probe(films) is None
    check = probe_check(films, None, own)
    assert (check.severity, check.estimate.value) == ("note", None)
    assert "A class has a single patient here" in check.message
