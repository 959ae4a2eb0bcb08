"""Films and answers: what is refused, and classes that no film has."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lungwise.errors import DataError
from lungwise.evaluation.shortcuts.films import ALL, COLUMNS, Answers, Films, answers, films_of
from lungwise.labels import LabelSet
from tests.evaluation.shortcuts import toy

THREE = LabelSet(("covid", "normal", "sick"))


def table(number: int = 24, **columns: list[object]) -> pl.DataFrame:
    plain = {
        "image": [f"i{row}" for row in range(number)],
        "patient": [f"p{row}" for row in range(number)],
        "source": ["clinic"] * number,
        "label": ["normal" if row % 2 else "sick" for row in range(number)],
        "width": [512] * number,
        "height": [400] * number,
    }
    return pl.DataFrame({**plain, **columns})


def make(rows: pl.DataFrame) -> Films:
    blank = np.zeros((rows.height, 8, 8), np.uint8)
    return films_of(rows, blank, blank.astype(bool), np.ones(rows.height, bool), THREE)


def test_films_come_from_a_manifest() -> None:
    films = make(table(source=["clinic"] * 23 + [None]))
    assert len(films) == 24
    assert films.present.tolist() == [1, 2]
    assert films.majority == 0.5
    assert films.source[-1] == ""
    assert films.size.tolist()[0] == [512.0, 400.0]
    assert len(films.first(5)) == 5


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(DataError, match=rf"needs the columns .* '{column}' is missing; prepare the data again"):
        make(table().drop(column))


def test_too_few_films_are_refused() -> None:
    with pytest.raises(DataError, match="needs at least 20 films in the test part, got 12; add films"):
        make(table(12))


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="needs films of two classes, all 24 are 'sick'; add others"):
        make(table(label=["sick"] * 24))


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(DataError, match="'flu' is not one of the classes"):
        make(table(label=["flu"] * 24))


def test_a_decision_for_a_class_that_no_film_has_is_wrong() -> None:
    films = make(table())
    score = np.tile([0.8, 0.1, 0.1], (24, 1))
    told = answers(films, score, score.argmax(axis=1))
    assert told.accuracy.value == 0.0
    right = answers(films, np.eye(3)[films.y], films.y)
    assert right.accuracy.value == right.auroc.value == 1.0
    assert set(right.areas) == {ALL}


def test_three_classes_have_an_area_each(clean: Films) -> None:
    rng = np.random.default_rng(0)
    films = Films(
        clean.squares,
        clean.covers,
        clean.found,
        THREE,
        np.arange(120) % 3,
        clean.image,
        clean.patient,
        clean.source,
        clean.size,
    )
    told = answers(films, rng.dirichlet(np.ones(3), 120), films.y)
    assert list(told.areas) == [ALL, *THREE]
    mean = np.mean([told.areas[name].value or 0 for name in THREE])
    assert told.areas[ALL].value == pytest.approx(mean)


@pytest.mark.parametrize(
    ("prob", "came"),
    [(np.zeros((120, 3)), r"\[120, 3\];"), (np.full((120, 2), np.nan), r"\[120, 2\] with some that are no numbers;")],
)
def test_what_is_no_probability_is_refused(clean: Films, prob: object, came: str) -> None:
    with pytest.raises(DataError, match=f"must answer 120 films with 2 finite probabilities each, got {came}"):
        toy.model(lambda squares: prob).answer(clean, clean.squares)


def test_the_loss_of_a_worse_model_is_paired(clean: Films, own: Answers) -> None:
    assert own.loss(own).value == 0.0
    chance = toy.model(toy.guess).answer(clean, clean.squares)
    loss = own.loss(chance)
    assert loss.value == pytest.approx((own.accuracy.value or 0) - (chance.accuracy.value or 0))
    assert loss.low is not None
    assert loss.low > 0.3
