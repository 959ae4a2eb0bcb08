"""The worst mistakes are the surest wrong answers, and their pictures stand in the page."""

from __future__ import annotations

import base64

import numpy as np

from lungwise.evaluation.mistakes import Mistake, shown, worst
from tests.evaluation.factory import scored

CASES = scored([0, 0, 1, 1, 0], [0.9, 0.6, 0.2, 0.8, 0.95])
DECIDED = (CASES.prob[:, 1] >= 0.5).astype(np.int64)


def test_the_surest_come_first() -> None:
    found = worst(CASES, DECIDED)
    assert [(mistake.image, mistake.truth, mistake.decided) for mistake in found] == [
        ("i4", "normal", "sick"), ("i0", "normal", "sick"), ("i2", "sick", "normal"), ("i1", "normal", "sick"),
    ]  # fmt: skip
    assert [round(mistake.probability, 9) for mistake in found] == [0.95, 0.9, 0.8, 0.6]
    assert worst(CASES, DECIDED, 2) == found[:2]
    assert worst(CASES, CASES.y.astype(np.int64)) == []


def test_an_image_stands_once_though_it_was_tested_twice() -> None:
    twice = scored([0, 0], [0.7, 0.9])
    twice.image[:] = "same"
    assert [mistake.probability for mistake in worst(twice, np.array([1, 1]))] == [0.9]


def test_pictures_become_addresses_of_their_kind() -> None:
    found = worst(CASES, DECIDED, 2)
    png, jpeg = b"\x89PNG\r\n", b"\xff\xd8\xff"
    made = shown(found, lambda mistakes: {mistakes[0].image: [png, jpeg]})
    assert [mistake for mistake, _ in made] == found
    assert made[0][1] == [f"data:image/{kind};base64,{base64.b64encode(data).decode()}" for kind, data in
                          (("png", png), ("jpeg", jpeg))]  # fmt: skip
    assert made[1][1] == []


def test_nobody_is_asked_for_pictures_of_nothing() -> None:
    def refuse(mistakes: object) -> dict[str, list[bytes]]:
        raise AssertionError(mistakes)

    assert shown([], refuse) == []
    assert shown([Mistake("i", "a", "b", 0.5)], None) == [(Mistake("i", "a", "b", 0.5), [])]
