"""Pictures that we write: PNG, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.errors import LungwiseError
from lungwise.files import write_whole


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a picture, uint8 [height, width] or [height, width, 3] in OpenCV's order of colours."""
    coded, data = cv2.imencode(".png", pixels)
    if not coded:
        raise LungwiseError(f"The picture {path} could not be encoded; choose another place.")
    write_whole(path, lambda draft: draft.write_bytes(data.tobytes()))
