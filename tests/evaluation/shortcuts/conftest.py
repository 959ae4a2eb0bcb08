"""Toy films that many tests share."""

from __future__ import annotations

import pytest

from lungwise.evaluation.shortcuts.films import Answers, Films
from tests.evaluation.shortcuts import toy


@pytest.fixture(scope="session")
def clean() -> Films:
    """A hundred and twenty films without any shortcut."""
    return toy.toy(120)


@pytest.fixture(scope="session")
def marked() -> Films:
    """The sick have a mark in the corner."""
    return toy.toy(120, plant="corner")


@pytest.fixture(scope="session")
def own(clean: Films) -> Answers:
    """What a model that reads lungs answers to the clean films."""
    return toy.model(toy.read_lungs).answer(clean, clean.squares)
