"""Small X-ray collections and encoders that many tests share."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from lungwise.data.store import PreparedData
from tests import factory

Encode = Callable[..., bytes]
MakeFolder = Callable[..., Path]
MakeManifest = Callable[..., pl.DataFrame]


def _encode(pixels: NDArray[Any], kind: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own: they neither read nor leave anything in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUNGWISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def encode() -> Encode:
    """``encode(pixels, kind="PNG", mode=None, **options)``: an image file's bytes, written by Pillow."""
    return _encode


@pytest.fixture(scope="session")
def ramp() -> NDArray[np.uint8]:
    """uint8 [48, 64]: black at the left, white at the right, a grey block in the upper left corner."""
    pixels = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    pixels[:12, :20] = 90
    return pixels


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """``make_folder({"NORMAL": 5, "PNEUMONIA": 5}, films=2)``: a folder of class folders, patients named in the files."""

    def make(classes: Mapping[str, int], films: int = 2, name: str = "xrays", side: int = 32) -> Path:
        root = tmp_path / name
        for column, (label, patients) in enumerate(classes.items()):
            (root / label).mkdir(parents=True)
            for patient in range(patients):
                for film in range(films):
                    rng = np.random.default_rng([column, patient, film])
                    grey = rng.integers(0, 256, (side, side + 8), dtype=np.uint8)
                    stem = f"{Path(label).name.lower()}{patient}-{'abcdefgh'[film]}"
                    (root / label / f"{stem}.png").write_bytes(_encode(grey))
        return root

    return make


@pytest.fixture
def two_classes(make_folder: MakeFolder) -> Path:
    """Two classes of five patients with two films each."""
    return make_folder({"NORMAL": 5, "PNEUMONIA": 5})


@pytest.fixture(scope="session")
def make_manifest() -> MakeManifest:
    """``make_manifest(image=["a", "b"], ...)``: a valid manifest; columns that are not given have plain values."""

    def make(**columns: list[str]) -> pl.DataFrame:
        number = len(next(iter(columns.values())))
        names = [f"i{row}" for row in range(number)]
        plain: dict[str, list[Any]] = {
            "image": names,
            "path": names,
            "label": ["normal"] * number,
            "patient": [f"p{row}" for row in range(number)],
            "source": ["clinic"] * number,
            "split": ["train"] * number,
            "width": [64] * number,
            "height": [48] * number,
            "sha256": [f"hash{row}" for row in range(number)],
            "phash": ["0" * 16] * number,
            "view": [""] * number,
            "status": ["ok"] * number,
        }
        return pl.DataFrame({**plain, **columns}).with_columns(pl.col("width", "height").cast(pl.Int32))

    return make


@pytest.fixture(autouse=True)
def own_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of pseudonyms are made in a folder of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """A prepared data set of phantoms, three classes, 40 px."""
    return factory.small_data(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small_run(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished and evaluated run on ``small_data``; do not write into it."""
    # Imported here, so that tests without a network never wait for TensorFlow.
    from lungwise.evaluation.evaluate import evaluate_run
    from lungwise.training.fit import train

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(small_data, factory.tiny_recipe(), folder)
    evaluate_run(folder)
    return folder
