"""Which patients belong together: those that share pictures form one group, which no split may tear apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lungwise.errors import DataError


def groups(patients: pl.Series, links: Sequence[tuple[int, int]]) -> pl.Series:
    """The group of every row: patients joined by links, directly or through others, form one.

    Args:
        patients: String [n], the patient of each row.
        links: pairs of row numbers in 0..n-1 whose pictures are duplicates of each other; rows of one patient are linked
            already.

    Returns:
        String [n] named "group": the smallest patient id of the row's group, which for a patient without links is their own.

    Raises:
        DataError: a link names a row that does not exist.
    """
    names = sorted(set(patients.to_list()))
    place = {name: number for number, name in enumerate(names)}
    node = np.array([place[name] for name in patients], dtype=np.int64)
    pairs = np.array(links, dtype=np.int64).reshape(-1, 2)
    outside = pairs[((pairs < 0) | (pairs >= len(node))).any(axis=1)]
    if len(outside):
        raise DataError(
            f"A link must join two of the {len(node)} rows, numbered from 0, got {tuple(outside[0].tolist())}; correct it."
        )
    component = group_pairs(node[pairs], len(names))
    # Names are sorted, so the first member of a component has its smallest id.
    smallest = np.full(component.max(initial=-1) + 1, len(names), dtype=np.int64)
    np.minimum.at(smallest, component, np.arange(len(names)))
    return pl.Series("group", [names[smallest[component[number]]] for number in node], dtype=pl.String)


def group_pairs(pairs: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Which rows belong together.

    Args:
        pairs: int64 [m, 2].
        n: number of rows.

    Returns:
        int64 [n], equal numbers for rows that pairs link, directly or through others; a row without pairs has its own.
    """
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def units(table: pl.DataFrame) -> pl.Series:
    """What is split as a whole: the column ``group`` where the table has one, else ``patient``.

    Args:
        table: column ``patient`` and, optionally, ``group``, both String.

    Returns:
        String [rows] named "unit".

    Raises:
        DataError: a row has no group, or a patient stands in two.
    """
    if "group" not in table.columns:
        return table["patient"].alias("unit")
    empty = table.filter(pl.col("group").is_null() | (pl.col("group") == ""))
    if empty.height:
        raise DataError(
            f"Every row must have a group where there is a column 'group', patient {empty['patient'][0]!r} has none; "
            "fill in the patient's id or drop the column."
        )
    spread = table.group_by("patient").agg(pl.col("group").n_unique().alias("n")).filter(pl.col("n") > 1)["patient"].sort()
    if len(spread):
        raise DataError(f"A patient must stand in one group, {spread[0]!r} stands in several; join these groups.")
    return table["group"].alias("unit")
