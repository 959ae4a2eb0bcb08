"""What can be asked about: one image in any form, or a folder, pattern, archive or list of them, walked as it is needed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import ImageError, LungwiseError
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import decode, read
from lungwise.inference.archive import Member
from lungwise.inference.pixels import Pixels, from_array, from_pixels
from lungwise.inference.places import images_of, is_place

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Image: TypeAlias = "Path | str | bytes | NDArray[Any] | Pixels | Radiograph | Dataset"
"""A file's path, a file's bytes, grey pixels uint8 [height, width], deeper ones with their range, an image that was decoded
before, or a DICOM data set."""
Images: TypeAlias = "Image | Iterable[Image]"
"""One image; a path may also be that of a folder or zip archive, or a pattern such as ``films/**/*.png``; or many of these."""

Stamp: TypeAlias = "tuple[int, int] | None"
"""Size and time of change of a file in ns, or size and CRC of a member of an archive; None for what is no file."""


class Reader(Protocol):
    """How files and their bytes are decoded: :func:`read_image`, or a sandbox that does it in another process."""

    def __call__(self, image: Path | bytes, shortest: int) -> Radiograph:
        """Decode one image; see :func:`lungwise.imaging.read.read`.

        Raises:
            ImageError: it cannot be read as a radiograph.
        """


@dataclass(frozen=True, eq=False)
class Item:
    """One image that is to be answered.

    Args:
        index: its number in the batch.
        name: how results call it.
        source: where its pixels come from, or why there are none.
        stamp: what tells a file from a changed one, where that matters.
    """

    index: int
    name: str
    source: Image | Member | ImageError
    stamp: Stamp = None


def read_image(image: Path | bytes, shortest: int) -> Radiograph:
    """Decode one image in this process; see :class:`Reader`."""
    return decode(image, shortest=shortest) if isinstance(image, bytes) else read(image, shortest)


def load_item(item: Item, reader: Reader, shortest: int) -> Radiograph:
    """The radiograph of one item.

    Args:
        item: what to read.
        reader: what decodes files and bytes.
        shortest: pixels of the shorter side that are enough; see :func:`lungwise.imaging.read.read`.

    Raises:
        ImageError: it cannot be read.
    """
    source = item.source
    if isinstance(source, ImageError):
        raise source
    if isinstance(source, Path | str):
        return reader(Path(source), shortest)
    if isinstance(source, bytes):
        return reader(source, shortest)
    if isinstance(source, Member):
        return reader(source.read(), shortest)
    if isinstance(source, np.ndarray):
        return from_array(source)
    if isinstance(source, Pixels):
        return from_pixels(source)
    if isinstance(source, Radiograph):
        return source
    if _is_dataset(source):
        from lungwise.imaging.dicom_dataset import to_file  # heavy, and seldom needed

        return reader(to_file(source, item.name), shortest)
    kind = type(source).__name__
    raise ImageError(f"An image must be a path, bytes, an array or a DICOM data set, {item.name} is of type {kind}.")


def walk(images: Images) -> Iterator[Item]:
    """Every image that is meant, numbered, found as it is needed; folders and archives in the order of their names.

    What cannot be listed, or lists nothing, becomes an item whose source is the error.
    """
    index = 0
    for image in _each(images):
        place = isinstance(image, Path | str) and is_place(str(image))
        for name, source in images_of(str(image)) if place else [(_name(image, index), image)]:
            yield Item(index, text(name), source)
            index += 1


def is_single(images: Images) -> bool:
    """Whether it is one image, and neither a place with any number of them nor a list."""
    if isinstance(images, Path | str):
        return not is_place(str(images))
    return _is_one(images)


def find_images(inputs: Sequence[Path]) -> list[Path]:
    """The files that paths stand for; see :func:`walk`.

    Raises:
        LungwiseError: a folder or pattern has no image or cannot be listed, or an archive is among them.
    """
    found: list[Path] = []
    for item in walk(inputs):
        if isinstance(item.source, ImageError):
            raise item.source
        if not isinstance(item.source, Path):
            raise LungwiseError(f"Images must be files, but {item.name} lies in an archive; unpack it first.")
        found.append(item.source)
    return found


def text(name: str) -> str:
    """Text that can be written as UTF-8: a file's name may hold bytes that are none."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _each(images: Images) -> Iterable[Image]:
    if _is_one(images):
        return [cast("Image", images)]
    if not isinstance(images, Iterable):
        raise LungwiseError(
            f"Images must be paths, bytes, arrays, DICOM data sets or a list of these, got {type(images).__name__}."
        )
    return cast("Iterable[Image]", images)


def _is_one(images: Images) -> bool:
    return isinstance(images, Path | str | bytes | np.ndarray | Pixels | Radiograph) or _is_dataset(images)


def _is_dataset(value: object) -> bool:
    """Whether it is a pydicom data set, without importing pydicom: where that is not loaded there can be none."""
    module = sys.modules.get("pydicom.dataset")
    return module is not None and isinstance(value, module.Dataset)


def _name(image: Image, index: int) -> str:
    # A data set's own file or patient name stays out of results.
    return str(image) if isinstance(image, Path | str) else f"image {index}"
