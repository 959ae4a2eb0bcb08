"""Checks: what counts as sure, how figures read, which verdict is the worst."""

from __future__ import annotations

import numpy as np
import pytest

from lungwise.evaluation.intervals import AGREE, Estimate
from lungwise.evaluation.shortcuts.check import Check, Row, lower, share, text, upper, worst


def test_ends_of_an_interval_and_of_what_has_none() -> None:
    assert (lower(Estimate(0.5, 0.4, 0.6)), upper(Estimate(0.5, 0.4, 0.6))) == (0.4, 0.6)
    assert (lower(Estimate(0.5, None, None, AGREE)), upper(Estimate(0.5, None, None, AGREE))) == (0.5, 0.5)
    nothing = Estimate(None, None, None)
    assert (lower(nothing), upper(nothing)) == (-np.inf, np.inf)
    assert lower(Estimate(0.5, None, None, "rare")) == -np.inf


def test_estimates_as_text() -> None:
    assert text(Estimate(0.913, 0.884, 0.941)) == "0.91 [0.88, 0.94]"
    assert text(Estimate(0.913, 0.884, 0.941), percent=True) == "91 % [88, 94]"
    assert text(Estimate(1.0, None, None)) == "1.00"
    assert text(Estimate(None, None, None)) == "unknown"


def test_a_share_counts_patients_and_not_images() -> None:
    hit = np.tile([True, False], 40)
    alone = share(hit, np.array([f"p{film}" for film in range(80)]))
    shared = share(np.repeat([True, False], 40), np.repeat([f"p{patient}" for patient in range(8)], 10))
    assert alone.value == shared.value == 0.5
    assert upper(shared) - lower(shared) > 1.8 * (upper(alone) - lower(alone))


def test_a_share_of_all_has_wilsons_interval() -> None:
    found = share(np.ones(30, bool), np.array([f"p{film}" for film in range(30)]))
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(30 / (30 + 1.96**2), abs=1e-3)


def test_the_worst_verdict_counts() -> None:
    checks = [Check("a", "", severity, "") for severity in ("ok", "note", "warning")]
    assert worst([]) == worst(checks[:1]) == "ok"
    assert worst(checks[:2]) == "note"
    assert worst(checks) == "warning"
    assert worst([*checks, Check("b", "", "error", "")]) == "error"


def test_json_has_the_figures_and_no_picture() -> None:
    check = Check("probe", "?", "ok", "Fine.", "AUROC", Estimate(0.5, 0.4, 0.6), (Row("x", Estimate(1.0, None, None)),))
    assert check.to_json() == {
        "name": "probe", "severity": "ok", "message": "Fine.", "quantity": "AUROC", "value": 0.5, "low": 0.4, "high": 0.6,
        "rows": [{"name": "x", "value": 1.0, "low": None, "high": None, "remark": ""}], "details": {},
    }  # fmt: skip
