"""Stability: a robust model passes, one that reads the file's last bit does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lungwise.evaluation.shortcuts.films import Answers, Films
from lungwise.evaluation.shortcuts.perturb import PERTURBATIONS
from lungwise.evaluation.shortcuts.stability import stability, stability_check
from tests.evaluation.shortcuts import toy


def test_a_robust_model_passes_and_inversion_is_not_judged(clean: Films, own: Answers) -> None:
    steps: list[str] = []
    found = stability(clean, toy.model(toy.read_lungs), own, steps.append)
    assert len(steps) == len(found) == len(PERTURBATIONS) == 12
    check = stability_check(clean, found, own)
    assert check.severity == "ok", check.message
    inverted = found[-1]
    assert (inverted.unchanged.value or 0) < 0.8
    assert inverted.severity == "ok"
    assert check.rows[-1].remark.endswith("not judged")
    assert len(check.pictures) == 12


def test_a_model_that_reads_the_files_last_bit_is_an_error(clean: Films) -> None:
    squares = clean.squares & np.uint8(254) | clean.y.astype(np.uint8)[:, None, None]

    def last_bit(images: toy.Squares) -> toy.Prob:
        odd = (images & 1).mean(axis=(1, 2))
        return np.stack([1 - odd, odd], axis=1)

    films = replace(clean, squares=squares)
    model = toy.model(last_bit)
    own = model.answer(films, squares)
    assert own.accuracy.value == 1.0
    check = stability_check(films, stability(films, model, own), own)
    assert check.severity == "error"
    assert check.message.startswith("A change that no reader can see overturns the model's decisions (JPEG, quality 90:")
    assert check.details["changes"][0]["severity"] == "error"


def test_a_model_that_reads_brightness_is_a_warning(clean: Films) -> None:
    level = float(np.median(clean.squares.mean(axis=(1, 2))))

    def bright(squares: toy.Squares) -> toy.Prob:
        sick = 1 / (1 + np.exp((level - squares.mean(axis=(1, 2))) / 2))
        return np.stack([1 - sick, sick], axis=1)

    films = replace(clean, y=(clean.squares.mean(axis=(1, 2)) > level).astype(np.int64))
    model = toy.model(bright)
    own = model.answer(films, films.squares)
    check = stability_check(films, stability(films, model, own), own)
    assert check.severity == "warning"
    assert "brighter by 15 grey values" in check.message or "darker by 15 grey values" in check.message
