"""Covered lungs: a model that reads them is lost, one that reads the frame is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lungwise.evaluation.shortcuts.check import Check
from lungwise.evaluation.shortcuts.films import Answers, Films
from lungwise.evaluation.shortcuts.occlude import cover_all, covered, lungs_covered_check, only_lungs_check
from tests.evaluation.shortcuts import toy


def checks(films: Films, predict: object, outline: Answers | None = None) -> tuple[Check, Check]:
    model = toy.model(predict)
    own = model.answer(films, films.squares)
    without, only = (cover_all(films, model, what) for what in ("lungs", "rest"))
    return lungs_covered_check(films, without, own, outline), only_lungs_check(films, only, without, own)


def test_what_is_covered_is_filled_and_the_rest_stays(clean: Films) -> None:
    few = clean.first(4)
    for what, inside in (("lungs", few.covers), ("rest", ~few.covers)):
        black, mean = covered(few, what, "black"), covered(few, what, "mean")
        assert black.dtype == np.uint8
        assert (black[inside] == 0).all()
        np.testing.assert_array_equal(black[~inside], few.squares[~inside])
        for film, filled, place in zip(few.squares, mean, inside, strict=True):
            assert (filled[place] == np.rint(film.mean())).all()


def test_a_model_that_reads_lungs_passes(clean: Films) -> None:
    without, only = checks(clean, toy.read_lungs)
    assert (without.severity, only.severity) == ("ok", "ok")
    assert without.message.startswith("With the lungs covered the model can hardly tell the classes apart, as it should be")
    assert only.message.startswith("From the lungs alone the model still answers (AUROC 1.00")
    assert without.details["average_lungs_used"] == 0
    assert [row.name for row in without.rows] == ["whole film", "filled with black", "filled with the film's mean"]


def test_a_model_that_reads_the_corner_does_not(marked: Films) -> None:
    without, only = checks(marked, toy.read_corner)
    assert (without.severity, only.severity) == ("error", "warning")
    assert "nearly as well as before" in without.message
    assert "it does not need the lungs" in without.message
    assert only.message.startswith("The model tells more from what surrounds the lungs (AUROC 1.00")
    assert without.estimate.value == 1.0


def test_a_model_that_reads_both_is_warned_of(marked: Films) -> None:
    rng = np.random.default_rng(0)
    unsure = rng.normal(0, 1.6, len(marked))

    def both(squares: toy.Squares) -> toy.Prob:
        corner = (toy.read_corner(squares)[:, 1] > 0.5) + unsure
        lung = 8 * toy.read_lungs(squares)[:, 1]
        sick = 1 / (1 + np.exp(4 - lung - corner))
        return np.stack([1 - sick, sick], axis=1)

    without, _ = checks(marked, both)
    assert without.severity == "warning"
    assert "still tells the classes apart to some degree" in without.message


def test_a_model_that_cannot_cope_with_covers_is_no_finding(clean: Films) -> None:
    def shy(squares: toy.Squares) -> toy.Prob:
        known = (squares[:, 0, 0] > 60) & (squares[:, 24, 15] > 0) & (squares[:, 0, 0] != squares[:, 0, 1])
        return np.where(known[:, None], toy.read_lungs(squares), toy.guess(squares))

    without, only = checks(clean, shy)
    assert (without.severity, only.severity) == ("ok", "note")
    assert "it may not cope with covered films, so this says nothing" in only.message


def test_covers_that_give_the_class_away_are_spoken_of(marked: Films) -> None:
    shape = toy.model(toy.read_corner).answer(marked, marked.squares)
    without, _ = checks(marked, toy.read_corner, shape)
    assert "Part of that may be the size of the chest, which the covers give away (AUROC 1.00" in without.message


def test_nothing_is_said_of_a_model_at_chance(clean: Films) -> None:
    for check in checks(clean, toy.guess):
        assert check.severity == "note"
        assert "The model is not clearly better than guessing" in check.message
        assert check.estimate.value is None


def test_nothing_is_said_where_no_lungs_were_found(clean: Films) -> None:
    found = np.zeros(len(clean), bool)
    found[:30] = True
    for check in checks(replace(clean, found=found), toy.read_lungs):
        assert check.severity == "note"
        assert "Lungs were found on only 25% of the films, so covering them says nothing" in check.message


def test_some_films_without_lungs_are_counted(clean: Films) -> None:
    found = np.ones(len(clean), bool)
    found[:6] = False
    without, _ = checks(replace(clean, found=found), toy.read_lungs)
    assert without.details["average_lungs_used"] == 6
    assert without.pictures[2].caption == "what is covered: lungs not found, average ones"
