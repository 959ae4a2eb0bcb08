"""Make the codestreams in tests/imaging/fixtures, which no decoder that lungwise uses can write.

    pip install imagecodecs numpy    # in an environment of its own; BSD-3
    python tools/make_codec_fixtures.py tests/imaging/fixtures

High-throughput JPEG 2000 (ISO 15444-15), lossless and lossy, and 12-bit JPEG Extended (ISO 10918-1, process 4), all of the
picture that ``ramp12`` computes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import imagecodecs
import numpy as np


def ramp12() -> np.ndarray:
    """uint16 [64, 96], 12 bits: a diagonal ramp with a darker block; the tests compute it in the same way."""
    y, x = np.mgrid[0:64, 0:96]
    ramp = x * 30 + y * 19
    ramp[20:40, 30:60] //= 2
    return ramp.astype(np.uint16)


def main() -> None:
    """Write the three files."""
    folder, picture = Path(sys.argv[1]), ramp12()
    (folder / "htj2k_lossless.j2c").write_bytes(imagecodecs.htj2k_encode(picture, reversible=True))
    (folder / "htj2k_lossy.j2c").write_bytes(imagecodecs.htj2k_encode(picture, level=0.001, reversible=False))
    (folder / "extended_12bit.jpg").write_bytes(imagecodecs.jpeg_encode(picture, level=95, bitspersample=12))


if __name__ == "__main__":
    main()
