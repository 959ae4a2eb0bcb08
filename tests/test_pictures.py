"""Films of a run's mistakes come from its own data set, or not at all; heat maps from the bundle that made them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungwise.data.store import PreparedData
from lungwise.errors import RunError
from lungwise.evaluation.mistakes import Mistake
from lungwise.pictures import pictures_of, run_pictures
from tests.bundle_factory import make_predictor


def mistakes(data: PreparedData, number: int = 3) -> list[Mistake]:
    return [Mistake(image, "normal", "COVID-19", 0.9) for image in data.test.manifest["image"][:number]]


def write_run(folder: Path, data: PreparedData, fingerprint: str = "", folds: bool = False) -> Path:
    folder.mkdir()
    own = fingerprint or data.fingerprint
    facts = {"folder": str(data.folder), "fingerprint": "of the fold" if folds else own}
    (folder / "data.json").write_text(json.dumps(facts))
    if folds:
        (folder / "crossval.json").write_text(json.dumps({"data_fingerprint": own}))
    return folder


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED))


@pytest.mark.parametrize("folds", [False, True])
def test_films_are_those_of_the_prepared_data(tmp_path: Path, small_data: PreparedData, folds: bool) -> None:
    pictures = run_pictures(write_run(tmp_path / "r", small_data, folds=folds))
    assert pictures is not None
    found = pictures([*mistakes(small_data), Mistake("no such image", "normal", "COVID-19", 0.5)])
    assert list(found) == [mistake.image for mistake in mistakes(small_data)]
    for row, (film,) in zip(small_data.test.rows, found.values(), strict=False):
        shown = pixels(film)
        assert shown.shape == (200, 200)
        small = cv2.resize(shown, (40, 40), interpolation=cv2.INTER_AREA).astype(float)
        assert np.abs(small - small_data.pixels[row]).mean() < 4
        assert len(film) < 40_000
    assert pictures([Mistake("no such image", "normal", "COVID-19", 0.5)]) == {}


def test_other_data_and_lost_data_give_no_films(tmp_path: Path, small_data: PreparedData) -> None:
    assert run_pictures(write_run(tmp_path / "anew", small_data, "another")) is None
    gone = write_run(tmp_path / "gone", small_data)
    (gone / "data.json").write_text(json.dumps({"folder": str(tmp_path / "nowhere"), "fingerprint": "f"}))
    assert run_pictures(gone) is None
    assert run_pictures(tmp_path / "no run") is None
    (gone / "data.json").write_text("{")
    assert run_pictures(gone) is None


def test_a_bundle_gives_heat_maps_beside_the_films(tmp_path: Path, small_data: PreparedData) -> None:
    labels = tuple(small_data.labels)
    predictor = make_predictor(tmp_path / "m", labels=labels)
    found = pictures_of(predictor, small_data)(mistakes(small_data))
    for film, heat in found.values():
        assert pixels(film).shape == (200, 200)
        assert pixels(heat).shape == (200, 224, 3)


def test_heat_maps_need_one_model(tmp_path: Path, small_data: PreparedData) -> None:
    with pytest.raises(RunError):
        run_pictures(write_run(tmp_path / "cv", small_data, folds=True), heatmaps=True)
