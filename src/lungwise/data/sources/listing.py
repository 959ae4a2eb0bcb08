"""What every source yields: which files there should be and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lungwise.errors import DataError

COLUMNS = ("path", "label", "patient", "source", "split")


@dataclass(frozen=True)
class Listing:
    """The images that a source names, before any of them is opened.

    Args:
        kind: "folder", "table" or "covidx".
        root: the folder that paths are relative to.
        rows: the columns of ``COLUMNS``, all strings; ``split`` is "" where the source says nothing.
        notes: what the user should know, one sentence each.
    """

    kind: str
    root: Path
    rows: pl.DataFrame
    notes: tuple[str, ...] = ()


def to_rows(records: list[tuple[str, str, str, str, str]]) -> pl.DataFrame:
    """Rows from (path, label, patient, source, split), in the order of their paths.

    Raises:
        DataError: a name is not text, because its bytes are not UTF-8.
    """
    for record in records:
        if any("\udc80" <= letter <= "\udcff" for letter in "".join(record)):
            raise DataError(f"Names of files and folders must be UTF-8 text, got {record[0]!a}; rename it.")
    return pl.DataFrame(records, schema={name: pl.String() for name in COLUMNS}, orient="row").sort("path")
