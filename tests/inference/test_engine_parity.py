"""A real network answers alike in every engine; tolerances are stated here and in docs/inference.md."""

from __future__ import annotations

import numpy as np
import pytest

from lungwise.bundle.export import difference, distance, to_onnx
from lungwise.imaging.preprocess import Preprocess
from lungwise.imaging.views import to_inputs
from lungwise.inference.engines import open_engine
from lungwise.inference.samples import film_like
from lungwise.inference.settle import TOLERANCE, moved
from tests.bundle_factory import make_spec

TIGHT = 1e-5
"""Of logits and embeddings, relative to the largest; of the map of features as a whole."""


@pytest.mark.slow
def test_openvino_answers_as_onnx_runtime_does() -> None:
    pytest.importorskip("openvino")
    import keras

    from lungwise.models.classifier import build_classifier, with_features
    from lungwise.recipe import load_recipe

    keras.utils.set_random_seed(3)
    recipe = load_recipe("coatnet-pico")
    onnx = to_onnx(with_features(build_classifier(recipe.model, 3, pretrained=False)), "pico")
    spec = Preprocess(stored=recipe.model.image_size, size=recipe.model.image_size)
    batch = np.concatenate([to_inputs(square, spec, 1) for square in film_like(5, spec.stored)])
    reference, other = (open_engine(onnx, name, 2).run(batch) for name in ("onnxruntime", "openvino"))
    assert difference(other.logits, reference.logits) < TIGHT
    assert difference(other.embedding, reference.embedding) < TIGHT
    assert distance(other.features, reference.features) < TIGHT
    assert moved(other.logits, reference.logits, make_spec(labels=("a", "b", "c"))) < TOLERANCE["float32"] / 10
    alone = np.concatenate([open_engine(onnx, "openvino", 1).run(image[None]).logits for image in batch])
    assert difference(alone, reference.logits) < TIGHT
