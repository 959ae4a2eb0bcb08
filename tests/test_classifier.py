from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lungwise as lw
from lungwise.data.store import PreparedData
from tests.factory import TINY


def test_python_face_fits_predicts_evaluates_and_exports(small_data: PreparedData, tmp_path: Path) -> None:
    classifier = lw.XrayClassifier(recipe="kaggle-cnn", epochs=1, overrides=TINY)
    assert classifier.fit(small_data) is classifier
    probabilities = classifier.predict_proba(small_data.test)
    assert probabilities.shape == (len(small_data.test), 3)
    assert set(classifier.predict(small_data.test)) <= set(classifier.classes_)
    report = lw.evaluate(classifier, small_data.test)
    low, high = report["accuracy"].low, report["accuracy"].high
    assert low is not None
    assert high is not None
    assert low <= (probabilities.argmax(axis=1) == small_data.test.y).mean() <= high
    predictor = lw.load(classifier.export(tmp_path / "model"))
    row = small_data.test.manifest["path"][0]
    found = predictor.predict(Path(small_data.facts["root"]) / row).probabilities
    np.testing.assert_allclose(list(found.values()), probabilities[0], atol=1e-5)


def test_classifier_that_is_not_fitted_says_so(small_data: PreparedData) -> None:
    with pytest.raises(lw.LungwiseError, match="must be fitted before it predicts"):
        lw.XrayClassifier().predict_proba(small_data.test)


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'train_everything'"):
        lw.train_everything  # noqa: B018
