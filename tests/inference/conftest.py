"""One tiny predictor and a few images for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.inference.predictor import Predictor
from tests.bundle_factory import make_predictor
from tests.conftest import Encode

Grey = NDArray[np.uint8]


@pytest.fixture(scope="session")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """The tiny bundle, two classes, decided by the largest probability."""
    return make_predictor(tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture(scope="session")
def greys() -> list[Grey]:
    """Five different images, uint8 [44, 60]."""
    rng = np.random.default_rng(5)
    return [np.asarray(rng.integers(0, 256, (44, 60)) * share // 5, dtype=np.uint8) for share in range(1, 6)]


@pytest.fixture
def files(tmp_path: Path, greys: list[Grey], encode: Encode) -> list[Path]:
    """The five images as PNG files ``0.png`` to ``4.png`` in one folder."""
    paths = [tmp_path / "images" / f"{index}.png" for index in range(len(greys))]
    paths[0].parent.mkdir()
    for path, grey in zip(paths, greys, strict=True):
        path.write_bytes(encode(grey))
    return paths
