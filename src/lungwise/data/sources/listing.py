"""What every source yields: which files there should be and what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from lungwise.errors import DataError
from lungwise.imaging.radiograph import Radiograph

COLUMNS = ("path", "label", "patient", "source", "split")
"""What every row has."""
EXTRAS = ("view", "sex", "age")
"""What a row may have besides: the view as the source names it, "M" or "F", age in years as text; "" where unknown."""


@dataclass(frozen=True)
class SourceOptions:
    """What a user may say of a source.

    Args:
        images: the folder with the images, when not beside the table or lists.
        columns: our column names to the table's, for example ``{"label": "Finding Labels"}``.
        covidx: the COVIDx version, such as "9A", where a folder has the lists of several.
        patient_pattern: a regular expression on file stems whose first group is the patient.
        classes: labels to keep, where a source has many findings; none keeps the source's own choice.
        patient_key: the file with the key that turns patient identifiers of DICOM files into pseudonyms.
        secondary: accept DICOM Secondary Capture, whose grey values come with no guarantee.
    """

    images: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    covidx: str | None = None
    patient_pattern: str | None = None
    classes: tuple[str, ...] = ()
    patient_key: Path | None = None
    secondary: bool = False


@dataclass(frozen=True)
class Listing:
    """The images that a source names, before any of them is opened.

    Args:
        kind: "folder", "table", "covidx" and the like.
        root: the folder that paths are relative to.
        rows: the columns of ``COLUMNS`` and some of ``EXTRAS``, all strings; ``split`` is "" where the source says nothing.
        notes: what the user should know, one sentence each.
        licence: under what terms the images may be used, as far as the source says.
        citation: whom to cite.
        secondary: accept DICOM Secondary Capture, because this collection is published in that form.
        reader: reads the image of a path, where the images are no files of their own.
    """

    kind: str
    root: Path
    rows: pl.DataFrame
    notes: tuple[str, ...] = ()
    licence: str = ""
    citation: str = ""
    secondary: bool = False
    reader: Callable[[str], Radiograph] | None = None


Record = tuple[str, str, str, str, str]
"""Path, label, patient, source, split."""


def to_rows(records: Sequence[Record], extras: Mapping[str, Sequence[str]] | None = None) -> pl.DataFrame:
    """Rows from records, in the order of their paths.

    Args:
        records: one tuple an image, in the order of ``COLUMNS``.
        extras: further columns of ``EXTRAS``, one value a record.

    Raises:
        DataError: a name is not text, because its bytes are not UTF-8.
    """
    for record in records:
        check_text(*record)
    rows = pl.DataFrame(records, schema={name: pl.String() for name in COLUMNS}, orient="row")
    more = [pl.Series(name, values, dtype=pl.String()) for name, values in (extras or {}).items()]
    return rows.with_columns(more).sort("path")


def check_text(*values: str) -> None:
    """Refuse a name whose bytes are not UTF-8; the operating system gives it with surrogates (PEP 383)."""
    try:
        "".join(values).encode()
    except UnicodeEncodeError as cause:
        raise DataError(f"Names of files and folders must be UTF-8 text, got {values[0]!a}; rename it.") from cause
