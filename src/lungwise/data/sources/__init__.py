"""Where X-rays come from: each source becomes a listing of files with label, patient, source and split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lungwise.data.sources.covidx import covidx_versions, list_covidx
from lungwise.data.sources.folder import list_folder
from lungwise.data.sources.listing import Listing
from lungwise.data.sources.table import SUFFIXES as TABLE_SUFFIXES
from lungwise.data.sources.table import list_table
from lungwise.errors import DataError

__all__ = ["Listing", "list_source"]


def list_source(
    source: Path,
    images: Path | None = None,
    columns: Mapping[str, str] | None = None,
    covidx: str | None = None,
    patient_pattern: str | None = None,
) -> Listing:
    """List a source, whatever its kind: a table, a folder with COVIDx lists, or a folder of class folders.

    Args:
        source: a CSV, TSV or parquet file, or a folder.
        images: where the images are, when not beside the table or lists.
        columns: our column names to the table's; see :func:`list_table`.
        covidx: the COVIDx version, when the folder has lists of several.
        patient_pattern: a regular expression on file stems whose first group is the patient.

    Raises:
        DataError: the source does not exist, cannot be opened or is of no known kind.
    """
    try:
        return _list_source(source, images, columns, covidx, patient_pattern)
    except OSError as cause:
        raise DataError(f"{cause.filename or source} cannot be opened: {cause.strerror}; check its permissions.") from cause


def _list_source(
    source: Path, images: Path | None, columns: Mapping[str, str] | None, covidx: str | None, patient_pattern: str | None
) -> Listing:
    if images is not None and not images.is_dir():
        raise DataError(f"--images must be a folder, but {images} is none; correct the path.")
    if source.is_dir():
        if covidx or covidx_versions(source):
            return list_covidx(source, covidx, images)
        return list_folder(source, patient_pattern)
    if not source.exists():
        raise DataError(f"A source must be a folder or a table, but {source} does not exist; correct the path.")
    if source.suffix.lower() in TABLE_SUFFIXES:
        return list_table(source, images, columns, patient_pattern)
    raise DataError(f"A source must be a folder or one of {list(TABLE_SUFFIXES)}, got {source.name}.")
