"""Every door gives the same answer: however a film comes in and however its answer goes out."""

from __future__ import annotations

import csv
import io
import json
import select
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import uid

import lungwise
from lungwise.data.phantoms import make_phantom
from lungwise.inference.pixels import Pixels
from lungwise.inference.predictor import Predictor
from lungwise.inference.sandbox import Sandbox
from tests.bundle_factory import make_bundle, make_predictor
from tests.cli.test_main import lungwise as command
from tests.conftest import Encode
from tests.imaging.test_dicom import FULL_8, make

Grey = NDArray[np.uint8]
QUANTILES = {"normal": 0.95, "sick": 0.2}


@pytest.fixture(scope="module")
def film() -> Grey:
    return make_phantom("pneumonia", np.random.default_rng(3)).pixels


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("doors") / "model", conformal_quantiles=QUANTILES, temperature=1.7)


@pytest.fixture(scope="module")
def doors(model: Path) -> Predictor:
    return make_predictor(model.with_name("again"), conformal_quantiles=QUANTILES, temperature=1.7)


@pytest.fixture
def forms(film: Grey, tmp_path: Path, encode: Encode) -> dict[str, Path]:
    """The film as files of every kind that loses nothing."""
    dicom = make(film, **FULL_8)
    data = {
        "png": encode(film),
        "tiff": encode(film, "TIFF"),
        "bmp": encode(film, "BMP"),
        "dcm": dicom,
        "rle.dcm": make(film, uid.RLELossless, **FULL_8),
        "inverted.dcm": make(255 - film, PhotometricInterpretation="MONOCHROME1", **FULL_8),
        "implicit.dcm": make(film, uid.ImplicitVRLittleEndian, **FULL_8),
    }
    for ending, content in data.items():
        (tmp_path / f"film.{ending}").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "films.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/film.png", data["png"])
    return {ending: tmp_path / f"film.{ending}" for ending in data}


def core(result: Any) -> tuple[Any, ...]:
    """What must not depend on the door."""
    said = result if isinstance(result, dict) else result.to_dict()
    return said["status"], said["decision"], said["probabilities"], said["conformal_set"], said["warnings"], said["reasons"]


def test_files_bytes_arrays_and_data_sets(doors: Predictor, film: Grey, forms: dict[str, Path]) -> None:
    wanted = core(doors.predict(film))
    assert wanted[3] is not None
    for ending, path in forms.items():
        assert core(doors.predict(path)) == wanted, ending
        assert core(doors.predict(path.read_bytes())) == wanted, ending
        if ending.endswith("dcm"):
            assert core(doors.predict(pydicom.dcmread(path))) == wanted, ending
    for array in (Pixels(film, 0, 255), Pixels(film.astype(np.uint16) * 257, 0, 65535), np.asfortranarray(film)):
        assert core(doors.predict(array)) == wanted


def test_places_and_lists(doors: Predictor, film: Grey, forms: dict[str, Path], tmp_path: Path) -> None:
    wanted = core(doors.predict(film))
    (only,) = doors.predict(tmp_path / "films.zip")
    assert (core(only), only.path) == (wanted, f"{tmp_path / 'films.zip'}!/a/film.png")
    (only,) = doors.predict(str(tmp_path / "*.png"))
    assert (core(only), only.path) == (wanted, str(forms["png"]))
    (tmp_path / "one" / "below").mkdir(parents=True)
    (tmp_path / "one" / "below" / "x.png").write_bytes(forms["png"].read_bytes())
    for place in (tmp_path / "one", [forms["png"]], [film], (image for image in [film])):
        assert [core(result) for result in doors.predict(place)] == [wanted]
        if not hasattr(place, "__next__"):
            assert [core(result) for result in doors.predict_all(place)] == [wanted]
            assert [core(result) for result in doors.predict_many(place)] == [wanted]


def test_the_command_line_in_every_format(
    doors: Predictor, film: Grey, forms: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    wanted = core(doors.predict(film))
    for image in (forms["png"], forms["rle.dcm"], tmp_path / "films.zip", tmp_path / "*.tiff"):
        assert core(json.loads(command("predict", image, "--model", model, "--json").stdout)) == wanted
    command("predict", forms["dcm"], "--model", model, "--out", tmp_path / "a.jsonl")
    assert core(json.loads((tmp_path / "a.jsonl").read_text())) == wanted
    command("predict", forms["dcm"], "--model", model, "--out", tmp_path / "a.parquet")
    (row,) = pl.read_parquet(tmp_path / "a.parquet").to_dicts()
    assert core({**row, "probabilities": {name: row[f"prob_{name}"] for name in ("normal", "sick")}}) == wanted
    printed = command("predict", forms["dcm"], "--model", model, "--csv").stdout
    command("predict", forms["dcm"], "--model", model, "--out", tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes().decode() == printed.replace("\n", "\r\n").replace("\r\r", "\r")
    (cells,) = csv.DictReader(io.StringIO(printed))
    assert (cells["decision"], cells["conformal_set"]) == (wanted[1], "; ".join(wanted[3]) or "(none)")
    for name, share in wanted[2].items():
        assert float(cells[f"prob_{name}"]) == pytest.approx(share, abs=5e-7)


@pytest.mark.skipif(not hasattr(select, "poll"), reason="the sandbox needs it")
def test_the_sandbox(doors: Predictor, film: Grey, forms: dict[str, Path], model: Path) -> None:
    wanted = core(doors.predict(film))
    with Sandbox(1) as sandbox:
        guarded = lungwise.load(model, reader=sandbox)
        for path in forms.values():
            assert core(guarded.predict(path)) == core(guarded.predict(path.read_bytes())) == wanted
    assert core(json.loads(command("predict", forms["png"], "--model", model, "--json", "--sandbox").stdout)) == wanted


@pytest.mark.parametrize("pack", [lambda path: path, lambda path: path.with_suffix(".zip")], ids=["directory", "zip"])
def test_the_bundle_in_either_form(doors: Predictor, film: Grey, tmp_path: Path, pack: Callable[[Path], Path]) -> None:
    place = make_bundle(pack(tmp_path / "m"), conformal_quantiles=QUANTILES, temperature=1.7)
    assert core(lungwise.load(place).predict(film)) == core(doors.predict(film))


def test_a_jpeg_from_every_door(doors: Predictor, film: Grey, tmp_path: Path, encode: Encode) -> None:
    """A format that loses something is decoded alike everywhere."""
    data = encode(film, "JPEG", quality=80)
    (tmp_path / "film.jpg").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.writestr("film.jpg", data)
    wanted = core(doors.predict(tmp_path / "film.jpg"))
    assert core(doors.predict(data)) == core(doors.predict(tmp_path / "films.zip")[0]) == wanted
