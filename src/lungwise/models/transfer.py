"""Put given arrays into a network: every name accounted for, positions resized, colour kernels made grey."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lungwise.errors import WeightsError, some
from lungwise.models.attention import RelativeAttention

Array = NDArray[Any]
Grid = tuple[int, int]


def assign(
    model: keras.Model, arrays: Mapping[str, Array], skip: Sequence[str] = (), grids: Mapping[str, Grid] | None = None
) -> None:
    """Give a network the weights in ``arrays``, or change nothing.

    A table of relative positions for another grid is resized (:func:`resize_table`), and the first kernel is made to fit the
    number of input channels (:func:`match_channels`).

    Args:
        model: the network.
        arrays: variable path (as in ``variable.path``) to values.
        skip: shell patterns of paths that may be missing on either side, for example "s3_*".
        grids: rows and columns of the source's feature map for each table's path; square where not given.

    Raises:
        WeightsError: names or shapes differ; both differences are listed.
    """
    wanted = {variable.path: variable for variable in model.weights}
    missing = [path for path in wanted if path not in arrays and not _skipped(path, skip)]
    unused = [path for path in arrays if path not in wanted and not _skipped(path, skip)]
    if missing or unused:
        raise WeightsError(
            f"The weights must fit the backbone {model.name}, but {len(missing)} are only in the model ({some(missing)}) and "
            f"{len(unused)} only in the file ({some(unused)}); take the backbone that they were made for, or name what to skip."
        )
    places = table_grids(model)
    fitted = {}
    for path in wanted.keys() & arrays.keys():
        if not _skipped(path, skip):
            # Files of half precision are widened first: sums over colours would lose digits.
            values = np.asarray(arrays[path], np.float32)
            fitted[path] = _fit(path, values, wanted[path].shape, places.get(path), (grids or {}).get(path))
    for path, values in fitted.items():
        wanted[path].assign(values)


def transfer(source: keras.Model, target: keras.Model, skip: Sequence[str] = ()) -> None:
    """Give ``target`` the weights of ``source``, which may be made for images of another size or number of channels.

    Raises:
        WeightsError: the two are not the same network otherwise.
    """
    arrays = {variable.path: keras.ops.convert_to_numpy(variable) for variable in source.weights}
    assign(target, arrays, skip, table_grids(source))


def table_grids(model: keras.Model) -> dict[str, Grid]:
    """Rows and columns of the feature map for each table of relative positions, by the table's path."""
    attentions = [layer for layer in model.layers if isinstance(layer, RelativeAttention) and layer.position == "table"]
    return {layer.bias_table.path: (layer.rows, layer.columns) for layer in attentions}


def _skipped(path: str, skip: Sequence[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in skip)


def _fit(path: str, values: Array, shape: tuple[int, ...], grid: Grid | None, source: Grid | None) -> Array:
    if grid is not None and values.ndim == 2 and values.shape[1] == shape[1]:
        values = resize_table(values, source or _square(path, values, grid), grid)
    elif len(shape) == 4 and values.ndim == 4 and {values.shape[2], shape[2]} == {1, 3}:
        values = match_channels(values, shape[2])
    if values.shape != tuple(shape):
        raise WeightsError(
            f"The weights must fit the model, but {path} has the shape {tuple(values.shape)} in the file and {tuple(shape)} in "
            "the model; take the backbone that they were made for."
        )
    return values


def fit_table(path: str, table: Array, grid: Grid) -> Array:
    """A table for a grid, from one of the same grid (returned as it is) or of square images of any size.

    Args:
        path: how to call it in an error.
        table: float [(2 * rows - 1) * (2 * columns - 1), heads], or what an optimiser keeps of one.
        grid: rows and columns that are wanted.

    Raises:
        WeightsError: it is neither.
    """
    source = _square(path, table, grid)
    return table if source == grid else resize_table(table, source, grid)


def _square(path: str, table: Array, grid: Grid) -> Grid:
    """The grid of a table about which nothing is known: the target's where its size agrees, else a square."""
    rows = len(table)
    if rows == (2 * grid[0] - 1) * (2 * grid[1] - 1):
        return grid
    side = (math.isqrt(rows) + 1) // 2
    if (2 * side - 1) ** 2 != rows:
        raise WeightsError(f"{path} must come from square images, but its {rows} rows are no such table; name its grid.")
    return side, side


def resize_table(table: Array, source: Grid, target: Grid) -> NDArray[np.float32]:
    """Resize biases of relative positions to another grid, bilinearly (Dai et al. 2021, appendix A.1).

    Pixels' centres are aligned as in ``tf.image.resize``: the offset 0 stays the middle and the borders are extended.

    Args:
        table: float [(2 * rows - 1) * (2 * columns - 1), heads].
        source: rows and columns that the table was learnt on.
        target: rows and columns that are wanted.

    Returns:
        float32 of the target's size; the same values where the grids are the same.
    """
    (old_rows, old_columns), (new_rows, new_columns) = ((2 * rows - 1, 2 * columns - 1) for rows, columns in (source, target))
    map_ = np.asarray(table, np.float64).reshape(old_rows, old_columns, -1)
    resized = np.einsum("ri,cj,ijh->rch", _bilinear(old_rows, new_rows), _bilinear(old_columns, new_columns), map_)
    return np.asarray(resized.reshape(new_rows * new_columns, -1), np.float32)


def _bilinear(old: int, new: int) -> NDArray[np.float64]:
    """The matrix [new, old] that interpolates one axis linearly."""
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.minimum(places.astype(int), max(old - 2, 0))
    matrix = np.zeros((new, old))
    matrix[np.arange(new), low] = 1 - (places - low)
    matrix[np.arange(new), np.minimum(low + 1, old - 1)] += places - low
    return matrix


def match_channels(kernel: Array, channels: int) -> Array:
    """A first kernel for grey images from one for colour, or the reverse, with the same answer to grey images.

    Args:
        kernel: float [height, width, inputs, outputs] with 3 inputs (or 1).
        channels: 1 to sum over the colours, 3 to spread one grey kernel evenly.
    """
    if channels == 1:
        return np.asarray(kernel.sum(axis=2, keepdims=True))
    return np.asarray(np.repeat(kernel / channels, channels, axis=2))
