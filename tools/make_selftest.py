"""Make src/lungwise/inference/selftest.zip, on which ``lungwise doctor`` tests an installation.

    PYTHONPATH=src:. python tools/make_selftest.py src/lungwise/inference/selftest.zip

It holds a made-up film, a bundle of random weights, what that bundle answers for the film in double precision from numpy
alone, and one small picture in every DICOM transfer syntax. Nothing in it comes from a patient.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid

from lungwise.answer import probabilities
from lungwise.data.phantoms import make_phantom
from lungwise.imaging.dicom import decode_dicom
from lungwise.imaging.dicom_syntax import DECODERS, HTJ2K, JPEG_2000, JPEG_LS, NATIVE
from lungwise.imaging.preprocess import to_input, to_square
from lungwise.imaging.read import decode
from tests.bundle_factory import make_bundle, make_head, make_spec, numpy_forward
from tests.imaging.test_dicom import FULL_8, FULL_12, lossless_jpeg, make

FIXTURES = Path(__file__).parents[1] / "tests" / "imaging" / "fixtures"
LABELS = ("normal", "opacity")


def ramp12() -> NDArray[np.uint16]:
    """uint16 [64, 96], 12 bits: the picture of the codec fixtures."""
    y, x = np.mgrid[0:64, 0:96]
    ramp = x * 30 + y * 19
    ramp[20:40, 30:60] //= 2
    return ramp.astype(np.uint16)


def frame_of(data: bytes) -> bytes:
    """The one encoded frame of a DICOM file."""
    return pydicom.encaps.get_frame(pydicom.dcmread(io.BytesIO(data)).PixelData, 0, number_of_frames=1)


def samples() -> dict[str, bytes]:
    """A DICOM file for every transfer syntax that is read, by its keyword; all show the same picture."""
    ramp = ramp12()
    common = {"stored": 12, "PatientName": None, **FULL_12}
    grey = decode_dicom(make(ramp, **common)).pixels
    frames = {uid.RLELossless: None, uid.JPEGExtended12Bit: (FIXTURES / "extended_12bit.jpg").read_bytes()}
    frames |= dict.fromkeys((uid.JPEGLossless, uid.JPEGLosslessSV1), lossless_jpeg(ramp, 12, 1))
    frames |= dict.fromkeys(JPEG_LS, frame_of(make(ramp, uid.JPEGLSLossless, **common)))
    frames |= dict.fromkeys(JPEG_2000, frame_of(make(ramp, uid.JPEG2000Lossless, **common)))
    frames |= dict.fromkeys(HTJ2K, (FIXTURES / "htj2k_lossless.j2c").read_bytes())
    made = {syntax.keyword: make(ramp, syntax, frame=frames.get(syntax), **common) for syntax in (*NATIVE, *frames)}
    jpeg = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    made[uid.JPEGBaseline8Bit.keyword] = make(grey, uid.JPEGBaseline8Bit, frame=jpeg, PatientName=None, **FULL_8)
    missing = [syntax.keyword for syntax in (*NATIVE, *DECODERS) if syntax.keyword not in made]
    if missing:
        raise SystemExit(f"no sample of {missing}")
    return made


def expected(film: bytes) -> list[float]:
    """The probabilities of the film, from numpy alone."""
    spec = make_spec()
    square = to_square(decode(film), spec.preprocess)
    logits = numpy_forward(to_input(square, spec.preprocess)[None], make_head())["logits"]
    return probabilities(logits, 1.0)[0].tolist()


def main() -> None:
    """Write the archive; the same content gives the same bytes."""
    film = cv2.imencode(".png", cv2.resize(make_phantom("normal", np.random.default_rng(4)).pixels, (224, 224)))[1].tobytes()
    files = {"film.png": film, "expected.json": json.dumps(dict(zip(LABELS, expected(film), strict=True))).encode()}
    with tempfile.TemporaryDirectory() as folder:
        files["model.zip"] = make_bundle(
            Path(folder) / "model.zip", name="self-test", labels=LABELS, synthetic=True
        ).read_bytes()
    files |= {f"{name}.dcm": data for name, data in samples().items()}
    with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    print(f"{Path(sys.argv[1]).stat().st_size} bytes, {len(files)} files")


if __name__ == "__main__":
    main()
