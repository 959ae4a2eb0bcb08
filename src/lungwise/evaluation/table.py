"""Anyone's predictions: a table of images, truth and probabilities, checked row by row before it is believed."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lungwise.errors import DataError, several, some
from lungwise.evaluation.cases import to_cases
from lungwise.evaluation.table_checks import ROW, check_probabilities, numbers, suspicious_order
from lungwise.files import read_text

SUFFIXES = (".csv", ".tsv", ".parquet")
PREFIX = "prob_"
_PLAIN = ("image", "patient", "source", "split", "label")
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
    "none": "none",
}


@dataclass(frozen=True)
class Predictions:
    """A table that can be evaluated, and what its readers must be told.

    Args:
        table: image, patient, source, split, label, ``prob_<label>`` (float64, rows sum to 1), then all other columns.
        notes: one whole sentence each.
        findings: as an audit's: ``check``, ``severity`` and ``message``.
    """

    table: pl.DataFrame
    notes: tuple[str, ...]
    findings: tuple[dict[str, Any], ...]

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says of its data: counts, audit and notes."""
        grouped = self.table.group_by("split", "label").len().sort("split", "label")
        counts: dict[str, dict[str, int]] = {}
        for split, label, number in grouped.iter_rows():
            counts.setdefault(split, {})[label] = number
        return {"counts": counts, "audit": list(self.findings), "notes": list(self.notes)}


def read_predictions_table(path: Path, columns: Mapping[str, str] | None = None) -> Predictions:
    """Read anyone's predictions.

    Args:
        path: a .csv, .tsv or .parquet file, one row an image, with columns ``image``, ``label`` and ``prob_<label>`` for every
            class; ``patient`` (else every image is a patient of its own), ``split`` (else all rows are the test part) and
            others are used where they exist.
        columns: our column names to the file's, for example ``{"prob_normal": "p0"}``.

    Raises:
        DataError: the file cannot be read, is empty or lacks a column; a row lacks a value, stands twice, has an unknown label
            or split, or probabilities that are none.
    """
    rows = _renamed(read_columns(path), dict(columns or {}), path)
    labels = _labels(rows, path)
    rows = _plain_columns(rows, path)
    _check_labels(rows, labels, path)
    rows = rows.with_columns(numbers(rows, PREFIX + label, path.name) for label in labels)
    check_probabilities(rows, [PREFIX + label for label in labels], path.name)
    notes: list[str] = []
    table = _in_order(_with_parts(_with_patients(rows, notes), notes, path), labels)
    if not table.height:
        raise DataError(f"{path.name} must have rows of a train, validation or test part, all are 'none'; correct 'split'.")
    return Predictions(table, tuple(notes), tuple(_findings(table)))


def read_columns(path: Path) -> pl.DataFrame:
    """Any table with one row an image, text as text, and where each row stands in its file as column ``ROW``.

    Raises:
        DataError: no such file, another kind of file, no UTF-8, no table, no rows, or a column's name stands twice.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"A table must be a {some(SUFFIXES)} file, got {path.name}; save it as one of these.")
    if not path.is_file():
        raise DataError(
            f"{path} must be a file, but {'it is a folder' if path.is_dir() else 'there is none'}; correct the path."
        )
    try:
        # A file that is open here keeps polars from taking its name for a pattern of names.
        with path.open("rb") as file:
            table = pl.read_parquet(file) if suffix == ".parquet" else _read_text(path)
    except pl.exceptions.PolarsError as cause:
        reason = str(cause).partition("\n")[0]
        raise DataError(f"{path.name} cannot be read as a table ({reason}); save it anew as UTF-8 CSV or parquet.") from cause
    table = table.with_row_index(ROW, offset=1 if suffix == ".parquet" else 2)
    table = table.filter(~pl.all_horizontal(pl.exclude(ROW).is_null()))
    if not table.height:
        raise DataError(f"{path.name} must have one row an image, it has none; fill it.")
    return table


def _read_text(path: Path) -> pl.DataFrame:
    text, separator = read_text(path), "\t" if path.suffix.lower() == ".tsv" else ","
    if "\0" in text:
        raise DataError(f"{path.name} must be text, but it holds zero bytes; save it as UTF-8 CSV.")
    if not text.strip():
        raise DataError(f"{path.name} must have one row an image, it is empty; fill it.")
    header = text.splitlines()[0]
    if separator not in header and ";" in header:
        raise DataError(
            f"Columns of {path.name} must be divided by {'tabs' if separator != ',' else 'commas'}, but its first line has "
            "semicolons; save it so, with decimal points."
        )
    # Text stays text: patient 007 must not become 7.
    table = pl.read_csv(io.BytesIO(text.encode()), separator=separator, infer_schema=False)
    twice = [name.rpartition("_duplicated_")[0] for name in table.columns if "_duplicated_" in name]
    if twice:
        raise DataError(f"Each column of {path.name} must have a name of its own, '{twice[0]}' stands twice; rename one.")
    return table


def _renamed(rows: pl.DataFrame, columns: dict[str, str], path: Path) -> pl.DataFrame:
    for ours, theirs in columns.items():
        if ours not in _PLAIN and not ours.startswith(PREFIX):
            raise DataError(f"--column takes one of {list(_PLAIN)} or prob_LABEL on its left side, got '{ours}'.")
        if theirs not in rows.columns:
            raise DataError(f"{path.name} has no column '{theirs}', it has {_names(rows)}; correct --column.")
    replaced = [ours for ours, theirs in columns.items() if ours in rows.columns and ours not in columns.values()]
    return rows.drop(replaced).with_columns(pl.col(theirs).alias(ours) for ours, theirs in columns.items())


def _names(rows: pl.DataFrame) -> str:
    return some([name for name in rows.columns if name != ROW], 12)


def _labels(rows: pl.DataFrame, path: Path) -> list[str]:
    """Classes in the order of their columns."""
    for name in ("image", "label"):
        if name not in rows.columns:
            raise DataError(
                f"{path.name} must have a column '{name}', it has {_names(rows)}; name the right one with --column {name}=NAME."
            )
    labels = [name.removeprefix(PREFIX) for name in rows.columns if name.startswith(PREFIX)]
    if len(labels) > 1:
        return labels
    seen = sorted({str(label) for label in rows["label"].drop_nulls()})
    lost = [label for label in seen if label not in labels] or ["LABEL"]
    cure = " ".join(f"--column prob_{label}={label if label in rows.columns else 'NAME'}" for label in lost[:3])
    hint = f" (with two classes it is 1 - prob_{labels[0]})" if len(labels) == 1 else ""
    raise DataError(
        f"{path.name} must have a column prob_LABEL for each of at least two classes, it has "
        f"{f'only prob_{labels[0]}' if labels else _names(rows)}; add or name the others{hint}: {cure}."
    )


def _plain_columns(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Image, label and the like as text without outer blanks, none of them empty."""
    there = [name for name in _PLAIN if name in rows.columns]
    try:
        rows = rows.with_columns(pl.col(name).cast(pl.String).str.strip_chars().alias(name) for name in there)
    except pl.exceptions.PolarsError as cause:
        raise DataError(f"Columns {some(there)} of {path.name} must hold text, one does not; convert it.") from cause
    for name in there:
        empty = rows.filter(pl.col(name).is_null() | (pl.col(name) == ""))
        if empty.height and name != "source":
            raise DataError(
                f"Every row of {path.name} must have a value in '{name}', row {empty[ROW][0]} has none; fill or drop it."
            )
    twice = rows.filter(pl.col("image").is_duplicated()).sort("image", ROW)
    if twice.height:
        first, second = twice[ROW][:2]
        raise DataError(
            f"Each image of {path.name} must stand once, '{twice['image'][0]}' stands in rows {first} and {second}; drop one "
            "(of a cross-validation, give one fold at a time)."
        )
    return rows


def _check_labels(rows: pl.DataFrame, labels: list[str], path: Path) -> None:
    unknown = rows.filter(~pl.col("label").is_in(labels))
    if not unknown.height:
        return
    label, row = unknown["label"][0], unknown[ROW][0]
    near = [name for name in labels if name.strip().casefold() == label.casefold()]
    cure = f"write it as '{near[0]}'" if near else f"add prob_{label}, or correct the label"
    raise DataError(
        f"Each label of {path.name} must have a column of probabilities, '{label}' in row {row} has none among "
        f"{some([PREFIX + name for name in labels])}; {cure}."
    )


def _with_patients(rows: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    if "patient" in rows.columns:
        return rows
    notes.append(
        "There is no patient column, so every image counts as a patient of its own: where a patient has several images, the "
        "intervals are narrower than they should be."
    )
    return rows.with_columns(patient=pl.col("image"))


def _with_parts(rows: pl.DataFrame, notes: list[str], path: Path) -> pl.DataFrame:
    if "split" not in rows.columns:
        notes.append("There is no split column: all rows are the test part and nothing was fitted on them.")
        return rows.with_columns(split=pl.lit("test"))
    split = rows["split"].str.to_lowercase()
    bad = rows.filter(~split.is_in(list(_SPLITS)))
    if bad.height:
        raise DataError(
            f"Column 'split' of {path.name} must be train, validation, test or none, row {bad[ROW][0]} has "
            f"'{bad['split'][0]}'; correct it."
        )
    rows = rows.with_columns(split=split.replace_strict(_SPLITS, return_dtype=pl.String))
    kept = rows.filter(pl.col("split") != "none")
    if kept.height < rows.height:
        notes.append(f"{several(rows.height - kept.height, 'row belongs', 'rows belong')} to no part and took no part.")
    return kept


def _in_order(rows: pl.DataFrame, labels: list[str]) -> pl.DataFrame:
    source = pl.col("source").fill_null("") if "source" in rows.columns else pl.lit("").alias("source")
    first = [*_PLAIN, *(PREFIX + label for label in labels)]
    return rows.with_columns(source).select(*first, pl.exclude(*first, ROW))


def _findings(table: pl.DataFrame) -> list[dict[str, Any]]:
    """What makes the figures doubtful though every row is in order."""
    found = []
    spread = table.group_by("patient").agg(pl.col("split").n_unique().alias("parts")).filter(pl.col("parts") > 1)
    if spread.height:
        names = some(sorted(spread["patient"].to_list()), 3)
        message = (
            f"{several(spread.height, 'patient stands', 'patients stand')} in more than one part ({names}): the figures are "
            "better than the model"
        )
        found.append({"check": "patient-across-splits", "severity": "error", "message": message})
    held = [part for part in ("test", "validation") if (table["split"] == part).any()]
    if held:
        cases = to_cases(table, held[0])
        order = suspicious_order(cases.y, cases.prob, cases.labels.names)
        if order:
            found.append({"check": "label-order", "severity": "warning", "message": order})
    return found
