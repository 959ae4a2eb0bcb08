"""With several views of each image, too, every door gives the answer of the run's predictions file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lungwise.data.store import PreparedData
from lungwise.inference.predictor import load
from lungwise.pipeline import bundle_predictions, export_run
from lungwise.training.fit import load_model, train
from lungwise.training.predict import BATCH, predict_logits, predictions
from lungwise.training.run import Run
from tests.factory import tiny_recipe

VIEWS = 3


@pytest.fixture(scope="module")
def run(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Run:
    # Images grow, so that the bundle of such a run is seen as well.
    sizes = ["model.image_size=40", "fit.progressive=[32]", "fit.epochs=2"]
    return train(small_data, tiny_recipe(*sizes, f"predict.views={VIEWS}"), tmp_path_factory.mktemp("views") / "run")


@pytest.fixture(scope="module")
def bundle(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(run.folder, tmp_path_factory.mktemp("views") / "bundle")


def shares(table: pl.DataFrame) -> np.ndarray:
    return table.select(pl.col("^prob_.*$")).to_numpy()


def test_the_predictions_of_all_parts_are_from_all_views(run: Run, small_data: PreparedData) -> None:
    model, written = load_model(run), pl.read_parquet(run.folder / "predictions.parquet")
    np.testing.assert_array_equal(shares(predictions(run, model, small_data)), shares(written))
    one = Run(run.folder, tiny_recipe("model.image_size=40"), run.data)
    alone = shares(predictions(one, model, small_data))
    for part in ("train", "validation", "test"):
        rows = (written["split"] == part).to_numpy()
        assert rows.any()
        assert np.abs(shares(written) - alone)[rows].max() > 1e-4


def test_a_bundle_answers_as_the_predictions_file(run: Run, bundle: Path, small_data: PreparedData) -> None:
    assert json.loads((bundle / "lungwise.json").read_text())["views"] == VIEWS
    predictor, written = load(bundle), pl.read_parquet(run.folder / "predictions.parquet")
    ours = bundle_predictions(predictor, small_data)
    assert ours["image"].equals(written["image"])
    np.testing.assert_allclose(shares(ours), shares(written), atol=1e-5)
    paths = dict(small_data.manifest.select("image", "path").iter_rows())
    files = [Path(small_data.facts["root"]) / paths[image] for image in written["image"]]
    found = [[result.probabilities[label] for label in run.labels] for result in predictor.predict_many(files)]
    np.testing.assert_allclose(found, shares(written), atol=1e-5)


def test_the_views_of_many_images_are_not_mixed_up(run: Run, small_data: PreparedData) -> None:
    from lungwise.imaging.preprocess import Preprocess
    from lungwise.imaging.views import to_inputs

    model, spec, part = load_model(run), Preprocess(**run.data["preprocess"]), small_data.part("train", "validation", "test")
    assert len(part) * VIEWS > BATCH
    found = predict_logits(model, part, spec, VIEWS)
    squares = [np.asarray(small_data.pixels[row]) for row in part.rows]
    wanted = [np.asarray(model(to_inputs(square, spec, VIEWS), training=False)).mean(axis=0) for square in squares]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
