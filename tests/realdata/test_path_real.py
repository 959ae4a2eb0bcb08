"""The whole path on real X-rays, small enough for every change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lungwise.data.prepare import Request, prepare
from lungwise.evaluation.evaluate import evaluate_run
from lungwise.imaging.preprocess import Preprocess
from lungwise.inference.inputs import find_images
from lungwise.inference.predictor import load
from lungwise.pipeline import bundle_predictions, export_run
from lungwise.training.fit import train
from tests.factory import tiny_recipe

pytestmark = pytest.mark.realdata


def test_prepare_train_evaluate_export_and_predict_on_real_x_rays(real: Path, tmp_path: Path) -> None:
    data = prepare(real / "darkcovidnet", tmp_path / "data", Request(spec=Preprocess(stored=64, size=64)))
    run = train(data, tiny_recipe("model.image_size=64", "fit.epochs=1"), tmp_path / "run")
    metrics = evaluate_run(run.folder)
    assert metrics["parts"]["test"]["images"] == len(data.test)
    assert metrics["synthetic"] is False
    # Every picture is asked about, also what an honest answer refuses: which those are is test_novelty_real.py's matter.
    predictor = load(export_run(run.folder, tmp_path / "model"), assess_anyway=True)
    ours, theirs = bundle_predictions(predictor, data), pl.read_parquet(run.folder / "predictions.parquet")
    columns = [f"prob_{label}" for label in data.labels]
    np.testing.assert_allclose(ours.select(columns).to_numpy(), theirs.select(columns).to_numpy(), atol=1e-5)
    files = find_images([real / "originals"])
    results = list(predictor.predict_many(files, tmp_path / "maps"))
    assert [result.path for result in results] == [str(file) for file in files]
    assert {result.status for result in results} == {"ok"}
    assert len(list((tmp_path / "maps").iterdir())) == 57
