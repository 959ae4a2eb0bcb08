"""The intervals by formula beside the bootstrap's."""

from __future__ import annotations

import numpy as np
import pytest

from lungwise.evaluation.beside import METHOD
from lungwise.evaluation.decision import Decision
from lungwise.evaluation.exact import delong, newcombe, wilson
from lungwise.evaluation.metrics import measure
from tests.evaluation.factory import cases, random_cases, scored


def test_they_are_wilsons_and_delongs() -> None:
    found = random_cases(120, 3)
    part = measure(found, Decision())
    exact, table = part["exact"], np.array(part["confusion"])
    assert exact["method"] == METHOD
    assert "note" not in exact
    assert (exact["accuracy"]["low"], exact["accuracy"]["high"]) == wilson(int(np.trace(table)), 120)
    mine = exact["classes"]["c1"]
    assert set(mine) == {"sensitivity", "specificity", "ppv", "npv", "auroc"}
    assert (mine["sensitivity"]["low"], mine["sensitivity"]["high"]) == wilson(int(table[1, 1]), int(table[1].sum()))
    assert (mine["ppv"]["low"], mine["ppv"]["high"]) == wilson(int(table[1, 1]), int(table[:, 1].sum()))
    assert (mine["auroc"]["low"], mine["auroc"]["high"]) == delong(found.y == 1, found.prob[:, 1])


def test_for_independent_images_both_are_about_as_wide() -> None:
    part = measure(random_cases(600, 2), Decision())["exact"]
    ratios = [part["accuracy"]["width_ratio"], *(found["width_ratio"] for found in part["classes"]["c1"].values())]
    assert ratios == pytest.approx([1.0] * 6, abs=0.15)


def test_alike_images_make_the_bootstrap_wider_and_are_said() -> None:
    once = random_cases(60, 2)
    copies = cases(once.y.repeat(4), once.prob.repeat(4, axis=0), once.labels.names, once.patient.repeat(4).tolist())
    part = measure(copies, Decision())["exact"]
    assert part["accuracy"]["width_ratio"] == pytest.approx(2.0, abs=0.3)  # four copies: half the width
    assert part["note"] == (
        "Patients have several images here (240 of 60), which these intervals take for independent; read the bootstrap's. "
        "width_ratio is its width over theirs, and its square the design effect."
    )


def test_an_area_without_spread_has_newcombes_interval() -> None:
    part = measure(scored([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), Decision())["exact"]["classes"]["sick"]["auroc"]
    assert (part["low"], part["high"]) == newcombe(1.0, 2, 2)
    assert part["width_ratio"] == pytest.approx(1.0)


def test_what_is_undefined_is_none() -> None:
    part = measure(scored([0, 0], [0.1, 0.2]), Decision())["exact"]["classes"]["sick"]
    assert part["sensitivity"] == part["auroc"] == part["ppv"] == {"low": None, "high": None, "width_ratio": None}
    assert part["npv"]["low"] is not None
