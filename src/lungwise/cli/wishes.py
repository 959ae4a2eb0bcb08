"""From options of ``lungwise evaluate`` to what the report shall say, and where the columns for it come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lungwise.errors import DataError, LungwiseError, some

if TYPE_CHECKING:
    import polars as pl

    from lungwise.data.store import PreparedData
    from lungwise.evaluation.groupings import Grouping
    from lungwise.evaluation.wishes import Wishes


def wishes(by: Sequence[str], more: Path | None, prevalence: Sequence[str]) -> Wishes:
    """What the options ask for.

    Args:
        by: of ``--by``.
        more: of ``--subgroups``.
        prevalence: of ``--prevalence``.

    Raises:
        DataError: a text or the table cannot be read.
    """
    from lungwise.evaluation.groupings import parse_grouping
    from lungwise.evaluation.table import read_columns
    from lungwise.evaluation.table_checks import ROW
    from lungwise.evaluation.wishes import Wishes

    table = None if more is None else read_columns(more).drop(ROW)
    if table is not None and not by:
        has = some([name for name in table.columns if name != "image"])
        raise LungwiseError(f"--subgroups brings columns and --by says which to look at; add --by with one of {has}.")
    groupings = tuple(parse_grouping(text) for text in by)
    shares = dict(_share(text) for text in prevalence)
    return Wishes(groupings, table, more.name if more else "", shares)


def _share(text: str) -> tuple[str, float]:
    label, _, share = text.rpartition("=")
    try:
        return label, float(share)
    except ValueError as cause:
        raise DataError(f"--prevalence takes LABEL=SHARE, for example COVID-19=0.02, got '{text}'; correct it.") from cause


def of_run(asked: Wishes, folder: Path) -> Wishes:
    """The same, with columns that the run's predictions lack taken from the data set that it was trained on.

    Raises:
        DataError: that data set is gone, or was prepared anew since.
    """
    from dataclasses import replace

    lost = _lost(asked.by, _columns(folder / "predictions.parquet"))
    if not lost or asked.more is not None:
        return asked
    try:
        place = Path(json.loads((folder / "data.json").read_text(encoding="utf-8"))["folder"])
        record = folder / "crossval.json"
        facts = json.loads((record if record.exists() else folder / "data.json").read_text(encoding="utf-8"))
        fingerprint = facts["data_fingerprint"] if record.exists() else facts["fingerprint"]
    except (OSError, ValueError, KeyError):
        return asked  # evaluate_run says in a sentence what is wrong with the directory
    return replace(asked, more=_manifest(place, fingerprint, lost[0]).select("image", *lost), source=str(place))


def of_data(asked: Wishes, data: PreparedData) -> Wishes:
    """The same, with columns from the data set that a bundle is evaluated on."""
    from dataclasses import replace

    lost = [name for name in _lost(asked.by, ["source"]) if name in data.manifest.columns]
    if not lost or asked.more is not None:
        return asked
    return replace(asked, more=data.manifest.select("image", *lost), source=str(data.folder))


def _lost(by: Sequence[Grouping], there: Sequence[str]) -> list[str]:
    """Columns that are asked for and not there, each once."""
    return list(dict.fromkeys(grouping.column for grouping in by if grouping.column not in there))


def _columns(path: Path) -> list[str]:
    import polars as pl

    try:
        return list(pl.read_parquet_schema(path))
    except (OSError, pl.exceptions.PolarsError):
        return []  # evaluate_run says in a sentence what is wrong with the file


def _manifest(place: Path, fingerprint: str, column: str) -> pl.DataFrame:
    """The manifest of a prepared data set that is still the one that was learned from."""
    from lungwise.data.store import open_data

    cure = f"give a table with the columns image and {column} as --subgroups TABLE"
    try:
        data = open_data(place)
    except DataError as cause:
        raise DataError(
            f"'{column}' is sought in the prepared data set {place}, but it is not there any more; {cure}."
        ) from cause
    if data.fingerprint != fingerprint:
        raise DataError(f"'{column}' is sought in the prepared data set {place}, but it was prepared anew since; {cure}.")
    if column not in data.manifest.columns:
        has = some(data.manifest.columns, 16)
        raise DataError(f"'{column}' is a column neither of the predictions nor of {place} ({has}); {cure}.")
    return data.manifest
