"""Images inside JSON and binary tensors: base64, length-prefixed bytes, arrays of numbers."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from math import prod
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from lungwise.errors import ImageError
from lungwise.imaging.radiograph import Radiograph
from lungwise.inference.pixels import from_array
from lungwise.service.problems import Problem
from lungwise.service.reading import Source
from lungwise.service.uploads import Upload

Model = TypeVar("Model", bound=BaseModel)
_PREFIX = 4


def parsed(kind: type[Model], data: bytes) -> Model:
    """JSON as a pydantic model.

    Raises:
        Problem: "invalid"; the values themselves are not repeated.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise Problem("invalid", f"{place[:200]}: {first['msg'][:200]}; correct the request.") from cause


def of_base64(text: str) -> Source:
    """An image file in base64 (RFC 4648, section 4), blanks and line ends passed over."""
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return ImageError("An image within JSON must be the file in base64, this one is not; encode it.")
    return Upload("image", io.BytesIO(data), len(data))


def of_prefixed(data: bytes, number: int) -> list[Source]:
    """Image files, each after its length as 4 bytes, the lowest first (Open Inference Protocol, binary tensor data).

    Raises:
        Problem: "invalid", there are fewer or more bytes than that.
    """
    found: list[Source] = []
    place = 0
    for _ in range(number):
        size = int.from_bytes(data[place : place + _PREFIX], "little")
        one = data[place + _PREFIX : place + _PREFIX + size]
        if place + _PREFIX > len(data) or len(one) < size:
            break
        found.append(Upload("image", io.BytesIO(one), size))
        place += _PREFIX + size
    if len(found) < number or place != len(data):
        raise Problem("invalid", f"{number} elements of BYTES must fill the binary data, they do not; correct their lengths.")
    return found


def of_pixels(values: bytes | Sequence[Any], shape: Sequence[int]) -> list[Source]:
    """Grey images from numbers 0 to 255: as bytes, or as a list, flat or nested.

    Args:
        values: the numbers.
        shape: [height, width], [n, height, width] or [n, height, width, 1].

    Raises:
        Problem: "invalid", they are no such numbers.
    """
    if len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise Problem("invalid", f"UINT8 must have shape [h, w], [n, h, w] or [n, h, w, 1], not {list(shape)[:8]}; correct it.")
    array = np.frombuffer(values, np.uint8) if isinstance(values, bytes) else _numbers(values)
    if array.size != prod(shape):
        raise Problem("invalid", f"Shape {list(shape)} has {prod(shape)} numbers, but {array.size} came; correct the shape.")
    images = array.reshape(-1, *shape[-2:])
    return [_radiograph(image) for image in images]


def _numbers(values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        array = np.asarray(values)
        numeric = array.dtype.kind in "iu" and array.size > 0
    except (ValueError, TypeError, OverflowError):  # lists of different lengths
        numeric = False
    if not numeric or array.min() < 0 or array.max() > 255:
        raise Problem("invalid", "UINT8 data must be whole numbers from 0 to 255 in lists of equal length; correct them.")
    return array.astype(np.uint8)


def _radiograph(image: np.ndarray[Any, np.dtype[np.uint8]]) -> Radiograph | ImageError:
    try:
        return from_array(image)
    except ImageError as error:
        return error
