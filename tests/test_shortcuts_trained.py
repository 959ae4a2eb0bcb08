"""Shortcuts planted in phantoms, a network that learns them, and the audit of its bundle; clean phantoms raise nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungwise.data.phantoms import write_phantoms
from lungwise.data.prepare import Request, prepare
from lungwise.data.split import Fractions
from lungwise.data.store import PreparedData
from lungwise.imaging.preprocess import Preprocess
from lungwise.inference.predictor import load
from lungwise.recipe import load_recipe
from lungwise.shortcuts import audit_shortcuts

pytestmark = pytest.mark.slow

SIDE, SICK = 64, "COVID-19"
RECIPE = [f"model.image_size={SIDE}", "fit.epochs=6", "optimiser.learning_rate=1e-3"]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("phantoms")
    request = Request(spec=Preprocess(stored=SIDE, size=SIDE), fractions=Fractions(0.15, 0.35))
    return prepare(write_phantoms(folder / "films", 110, 3), folder / "data", request)


def planted(data: PreparedData, plant: str) -> PreparedData:
    """The same films, with a shortcut in all of one class."""
    squares = np.asarray(data.pixels).copy()
    sick = (data.manifest["label"] == SICK).to_numpy()
    if plant == "corner":
        squares[sick, 2:5, 2:9] = 250
    elif plant == "border":
        squares[sick, :3] = 0
        squares[sick, -3:] = 0
    elif plant == "histogram":
        squares[sick] = np.clip(squares[sick] * 0.8 + 40, 0, 255).astype(np.uint8)
    return replace(data, pixels=squares)


# The recipe standardises each film and varies its exposure, and so never sees a shift of grey values: here it must.
SEES_EXPOSURE = [
    *("model.standardise=false", "model.input_range=[-1, 1]", "data.augment.brightness=0", "data.augment.contrast=0"),
    "fit.epochs=12",
]


def audited(data: PreparedData, folder: Path, changes: list[str]) -> dict[str, dict[str, Any]]:
    """Train on the films, export, audit."""
    from lungwise.pipeline import export_run
    from lungwise.training.fit import train

    train(data, load_recipe("quick", [*RECIPE, *changes]), folder / "run")
    export_run(folder / "run", folder / "bundle")
    found = audit_shortcuts(load(folder / "bundle"), data, folder / "audit")
    return {check["name"]: check for check in found["checks"]}


@pytest.mark.parametrize(("plant", "changes"), [("corner", []), ("border", []), ("histogram", SEES_EXPOSURE)])
def test_a_planted_shortcut_is_found_in_the_model(
    phantoms: PreparedData, tmp_path: Path, plant: str, changes: list[str]
) -> None:
    checks = audited(planted(phantoms, plant), tmp_path, changes)
    assert checks["probe"]["severity"] == "error"
    assert f"'{SICK}' from the others" in checks["probe"]["message"]
    assert checks["lungs-covered"]["severity"] in ("error", "warning"), checks["lungs-covered"]["message"]
    assert checks["lungs-covered"]["details"]["class"] == SICK


def test_clean_phantoms_raise_nothing(phantoms: PreparedData, tmp_path: Path) -> None:
    checks = audited(phantoms, tmp_path, [])
    raised = {name: check["message"] for name, check in checks.items() if check["severity"] in ("error", "warning")}
    assert not raised
    assert checks["probe"]["severity"] == "ok"
