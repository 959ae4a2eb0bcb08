"""The stored squares on disk: one NumPy file, or several where one would pass 8 GB, appended to and memory-mapped."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, final

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import DataError

SHARD_BYTES = 8 * 10**9
"""Largest file of pixels; copying, checking and cloud storage all become troublesome beyond it."""

Rows = int | np.integer | slice | NDArray[np.integer]


class Squares(Protocol):
    """Stored squares, uint8 [n, side, side], in memory or on disk; indexing reads only what is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, side, side)."""

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Rows, /) -> NDArray[np.uint8]: ...


@final
class Shards:
    """Several memory-mapped files that look like one array.

    Args:
        parts: uint8 [n_k, side, side] each; all but the last have as many rows as the first.
    """

    def __init__(self, parts: list[NDArray[np.uint8]]) -> None:
        self._parts, self._each = parts, len(parts[0])
        self._n = sum(len(part) for part in parts)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, side, side)."""
        return (self._n, *self._parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, rows: Rows, /) -> NDArray[np.uint8]:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(self._n))
        if isinstance(rows, int | np.integer):
            row = int(rows) + (self._n if rows < 0 else 0)
            if not 0 <= row < self._n:
                raise IndexError(f"row {int(rows)} of {self._n}")
            return np.asarray(self._parts[row // self._each][row % self._each])
        chosen = np.arange(self._n)[rows]
        found = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for number in np.unique(chosen // self._each):
            places = np.flatnonzero(chosen // self._each == number)
            found[places] = self._parts[number][chosen[places] % self._each]
        return found


@final
class Chosen:
    """Some rows of stored squares, read when they are asked for.

    Args:
        squares: all of them.
        rows: int64 [n], which ones.
    """

    def __init__(self, squares: Squares, rows: NDArray[np.int64]) -> None:
        self._squares, self._rows = squares, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, side, side)."""
        return (len(self._rows), *self._squares.shape[1:])

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Rows, /) -> NDArray[np.uint8]:
        return self._squares[self._rows[rows]]


def shard_sizes(rows: int, side: int) -> dict[str, int]:
    """Names of the files that hold ``rows`` squares, with the rows of each."""
    each = max(1, SHARD_BYTES // side**2)
    if rows <= each:
        return {"pixels.npy": rows}
    return {f"pixels-{number:05d}.npy": min(each, rows - number * each) for number in range(math.ceil(rows / each))}


def open_pixels(folder: Path, rows: int, side: int) -> Squares:
    """Map the pixels of a prepared data set.

    Raises:
        DataError: a file is absent, damaged or does not have the rows it should.
    """
    parts = [_open(folder / name, (number, side, side)) for name, number in shard_sizes(rows, side).items()]
    return parts[0] if len(parts) == 1 else Shards(parts)


def _open(file: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    try:
        pixels = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as cause:
        raise DataError(f"{file} is damaged or absent ({cause}); prepare the data set again.") from cause
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise DataError(
            f"{file} must be uint8 {shape} to fit the manifest, got {pixels.dtype} {pixels.shape}; prepare the data set again."
        )
    return np.asarray(pixels, dtype=np.uint8)


class PixelWriter:
    """Appends squares; rows are written behind a file's header, so a full disk is an error and not a crash in a map.

    Args:
        folder: where the files are.
        rows: how many rows there will be in all.
        side: side of a square.
    """

    def __init__(self, folder: Path, rows: int, side: int) -> None:
        self._folder, self._side, self._sizes = folder, side, shard_sizes(rows, side)
        self._bytes, self._done = side * side, 0
        self._open: tuple[str, BinaryIO] | None = None

    def __enter__(self) -> PixelWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def resume(self, rows: int) -> int:
        """Keep the first ``rows`` rows, or as many as are on disk; everything behind them is cut off.

        Returns:
            How many rows were kept.
        """
        kept = 0
        for name, size in self._sizes.items():
            file, header = self._folder / name, len(self._header(size))
            whole = max(0, file.stat().st_size - header) // self._bytes if file.exists() else 0
            whole = min(whole, size, rows - kept)
            if whole:
                os.truncate(file, header + whole * self._bytes)
            else:
                file.unlink(missing_ok=True)
            kept += whole
            if whole < size:
                rows = kept  # nothing behind a gap is kept
        self._done = kept
        return kept

    def append(self, squares: NDArray[np.uint8]) -> None:
        """Write squares, uint8 [k, side, side], behind those that are there."""
        start = 0
        for name, size in self._sizes.items():
            if self._done < start + size and len(squares):
                now = squares[: start + size - self._done]
                file = self._file_of(name, size)
                file.write(now.tobytes())
                file.flush()
                self._done, squares = self._done + len(now), squares[len(now) :]
            start += size

    def _file_of(self, name: str, size: int) -> BinaryIO:
        if self._open is None or self._open[0] != name:
            self._close()
            file = (self._folder / name).open("ab")
            if file.tell() == 0:
                file.write(self._header(size))
            self._open = name, file
        return self._open[1]

    def _header(self, rows: int) -> bytes:
        buffer = io.BytesIO()
        shape = (rows, self._side, self._side)
        np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
        return buffer.getvalue()

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
