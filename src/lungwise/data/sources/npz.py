"""Rows of the arrays in an ``.npz`` file, read as they are needed: no array is ever whole in memory, nothing is unpickled.

An ``.npz`` is a zip archive of ``.npy`` files (NumPy, ``numpy.lib.format``).
"""

from __future__ import annotations

import math
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import DataError, LungwiseError
from lungwise.imaging.read import MAX_PIXELS

_BLOCK = 64
"""Rows that are read at a time."""
_KEPT = 4
"""Blocks that are kept, so that threads that are a little behind need not read again from the start."""
_DAMAGE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
"""What zipfile and NumPy raise on damaged bytes."""


class Member:
    """One array of the archive, read forward in blocks of rows; a step back begins again at the start.

    Args:
        archive: the ``.npz`` file.
        name: the array's name, without ``.npy``.

    Raises:
        DataError: there is no such array, or it is of objects, or not in C order.
    """

    def __init__(self, archive: Path, name: str) -> None:
        self.name = name
        self._archive, self._lock = archive, threading.Lock()
        self._blocks: OrderedDict[int, NDArray[np.generic]] = OrderedDict()
        self._stream: IO[bytes] | None = None
        with zipfile.ZipFile(archive) as file:
            if f"{name}.npy" not in file.namelist():
                raise DataError(f"{archive.name} must hold the array {name}, it has {', '.join(file.namelist())}.")
            with file.open(f"{name}.npy") as stream:
                self.shape, self.dtype, self._start = _header(stream, f"{name} of {archive.name}")

    @property
    def rows(self) -> int:
        """Length of the first axis."""
        return self.shape[0]

    def whole(self, limit: int) -> NDArray[np.generic]:
        """The whole array, which must have at most ``limit`` elements."""
        if math.prod(self.shape) > limit:
            raise DataError(f"{self.name} of {self._archive.name} must have at most {limit} elements, got {self.shape}.")
        with zipfile.ZipFile(self._archive) as file, file.open(f"{self.name}.npy") as stream:
            stream.seek(self._start)
            return self._take(stream, self.rows)

    def row(self, index: int) -> NDArray[np.generic]:
        """One row; may be called by several threads.

        Args:
            index: 0 to ``rows`` - 1.
        """
        block = index // _BLOCK
        with self._lock:
            if block not in self._blocks:
                self._blocks[block] = self._read(block)
                if len(self._blocks) > _KEPT:
                    self._blocks.popitem(last=False)
            self._blocks.move_to_end(block)
            return np.array(self._blocks[block][index - block * _BLOCK])

    def _read(self, block: int) -> NDArray[np.generic]:
        if self._stream is None:
            with zipfile.ZipFile(self._archive) as archive:  # an open member keeps the file open by itself
                self._stream = archive.open(f"{self.name}.npy")
        self._stream.seek(self._start + block * _BLOCK * self._row_bytes())
        return self._take(self._stream, min(_BLOCK, self.rows - block * _BLOCK))

    def _take(self, stream: IO[bytes], rows: int) -> NDArray[np.generic]:
        wanted = rows * self._row_bytes()
        data = stream.read(wanted)
        if len(data) != wanted:
            raise EOFError(f"{self.name} ends early")
        return np.asarray(np.frombuffer(data, self.dtype).reshape(rows, *self.shape[1:]))

    def _row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def _header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[np.generic], int]:
    """Shape, type and length of the header."""
    version = np.lib.format.read_magic(stream)
    reads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in reads:
        raise ValueError(f"format {version}")
    shape, fortran, dtype = reads[version](stream)
    if dtype.hasobject or fortran or not shape or math.prod(shape[1:]) > MAX_PIXELS:
        raise DataError(f"{where} must be numbers in C order, got {dtype} {shape}; fetch the file again.")
    return shape, dtype, stream.tell()


@contextmanager
def damaged(name: str, kind: type[LungwiseError]) -> Iterator[None]:
    """Turn what damaged bytes make zipfile and NumPy raise into one sentence."""
    try:
        yield
    except _DAMAGE as cause:
        reason = str(cause).partition("\n")[0]
        raise kind(f"{name} is damaged or no .npz file ({reason}); fetch the file again.") from cause
