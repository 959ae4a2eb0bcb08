"""The same weights give the same answers on another Keras backend and in ONNX Runtime."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lungwise.bundle.export import prove, to_onnx
from lungwise.bundle.head import head_of
from lungwise.models import classifier
from lungwise.models.classifier import build_classifier, with_features
from lungwise.models.coatnet import CoAtNet, Layout
from lungwise.models.coatnet_lite import CoAtNetLite
from lungwise.recipe import Head, Model

RICH = Layout((2, 2, 1, 2, 1), (8, 16, 16, 32, 64), mixed=(1, 24), layer_scale=0.5, position="mlp", position_width=16)
PLAIN = Layout((2, 1, 1, 1, 1), (8, 16, 16, 32, 64), pool="avg", stride_at="pool", pre_activation=True, squeeze_early=True)
READER = """
import sys, keras, numpy as np
from lungwise.models.coatnet import CoAtNet
from lungwise.models.coatnet_lite import CoAtNetLite
assert keras.backend.backend() == "jax"
for name in sys.argv[2:]:
    model = keras.saving.load_model(f"{sys.argv[1]}/{name}.keras")
    image = np.load(f"{sys.argv[1]}/{name}.npy")
    np.save(f"{sys.argv[1]}/{name}-jax.npy", np.asarray(model(image)))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("jax") is None, reason="needs jax")
def test_jax_gives_tensorflows_answers(tmp_path: Path) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("compares TensorFlow with JAX")
    keras.utils.set_random_seed(0)
    models = {
        "rich": CoAtNet((64, 96, 3), RICH),
        "plain": CoAtNet((64, 96, 1), PLAIN),
        "lite": CoAtNetLite((64, 64, 1), widths=(32, 64), blocks=(1, 1)),
    }
    answers = {}
    for name, model in models.items():
        image = np.random.default_rng(0).standard_normal((2, *model.input_shape[1:])).astype("float32")
        answers[name] = np.asarray(model(image))
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", image)
    # CPU only: another backend may look for accelerators that are not there.
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", READER, str(tmp_path), *models]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, expected in answers.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}-jax.npy"), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        pytest.param("efficientnet-lite0", {}, marks=pytest.mark.slow),
        pytest.param("coatnet-lite", {}, marks=pytest.mark.slow),
        ("coatnet-lite", {"widths": (32, 64), "blocks": (1, 1)}),
    ],
)
def test_lite_networks_answer_alike_in_onnx(backbone: str, size: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if size:
        monkeypatch.setattr(classifier, "CoAtNetLite", partial(CoAtNetLite, **size))
    keras.utils.set_random_seed(0)
    spec = Model.model_validate({"backbone": backbone, "image_size": 64, "standardise": True, "head": Head(width=16)})
    model = with_features(build_classifier(spec, 3))
    samples = np.random.default_rng(0).random((4, 64, 64, 1), "float32")
    assert prove(to_onnx(model, "test"), model, head_of(model), samples) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("layout", [RICH, PLAIN], ids=["rich", "plain"])
def test_variants_of_the_blocks_answer_alike_in_onnx(layout: Layout) -> None:
    keras.utils.set_random_seed(0)
    backbone = CoAtNet((64, 64, 1), layout)
    features = keras.layers.Identity(name="features")(backbone.output)
    embedding = keras.layers.GlobalAveragePooling2D(name="embedding")(features)
    whole = keras.Model(backbone.input, keras.layers.Dense(2, name="logits")(embedding))
    model = with_features(whole)
    samples = np.random.default_rng(0).random((4, 64, 64, 1), "float32")
    assert prove(to_onnx(model, "test"), model, head_of(model), samples) <= 1e-5
