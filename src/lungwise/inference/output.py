"""Answers as files: JSON lines, CSV and parquet, each written whole from lines that are read one after the other."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from lungwise.errors import LungwiseError
from lungwise.files import write_whole
from lungwise.inference.result import Result, csv_header, csv_row

if TYPE_CHECKING:
    from polars import DataType, LazyFrame

ENDINGS = {".jsonl": "json", ".ndjson": "json", ".csv": "csv", ".parquet": "parquet"}
"""Endings of files of answers, and their formats."""
METADATA = "lungwise"
"""Under this key a parquet file keeps the settings of its batch, as JSON."""
_GROUP = 20_000


def format_of(path: Path) -> str:
    """The format that a file's ending asks for: "json", "csv" or "parquet".

    Raises:
        LungwiseError: none has that ending.
    """
    found = ENDINGS.get(path.suffix.lower())
    if found is None:
        raise LungwiseError(f"Answers are written to a file ending in {', '.join(ENDINGS)}, got {path.name}; rename it.")
    return found


def from_dict(values: Mapping[str, Any]) -> Result:
    """The result that :meth:`Result.to_dict` gave."""
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Result(**fields)


def csv_line(cells: list[str]) -> str:
    """One line of CSV (RFC 4180)."""
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def write_lines(out: Path, results: Iterable[Mapping[str, Any]], labels: tuple[str, ...]) -> None:
    """Write answers as JSON lines or CSV, whole or not at all.

    Args:
        out: the file; its ending decides.
        results: what :meth:`Result.to_dict` gave, taken one by one.
        labels: the classes, in column order.
    """
    texts = _json(results) if format_of(out) == "json" else _csv(results, labels)

    def fill(draft: Path) -> None:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.writelines(texts)

    write_whole(out, fill)


def write_parquet(out: Path, journal: Path, labels: tuple[str, ...], settings: Mapping[str, Any]) -> None:
    """Write the answers of a journal as parquet, whole or not at all, a block at a time.

    Columns are those of a :class:`Result` with ``prob_<label>`` for the probabilities (null where there are none), lists for
    ``conformal_set``, ``reasons`` and ``warnings``, and ``file_bytes`` and ``file_version``, by which a changed file is known.

    Args:
        out: the file.
        journal: lines as :mod:`lungwise.inference.journal` writes them; the first is passed over.
        labels: the classes, in column order.
        settings: of the batch; kept as metadata.
    """
    metadata = {METADATA: json.dumps(dict(settings))}
    write_whole(out, lambda draft: _scan(journal, labels).sink_parquet(draft, metadata=metadata, row_group_size=_GROUP))


def read_parquet(path: Path) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """The settings and the journal's lines that :func:`write_parquet` made into a file.

    Raises:
        LungwiseError: it is no such file.
    """
    import polars as pl

    try:
        settings = json.loads(pl.read_parquet_metadata(path)[METADATA])
        table = pl.read_parquet(path)
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError) as cause:
        raise LungwiseError(f"{path} is no file of answers to resume ({cause}); choose another --resume.") from cause
    return settings, map(_unflat, table.iter_rows(named=True))


def _json(results: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (from_dict(result).to_json() + "\n" for result in results)


def _csv(results: Iterable[Mapping[str, Any]], labels: tuple[str, ...]) -> Iterator[str]:
    yield csv_line(csv_header(labels))
    yield from (csv_line(csv_row(from_dict(result), labels)) for result in results)


def _scan(journal: Path, labels: tuple[str, ...]) -> LazyFrame:
    """The journal's answers as columns."""
    import polars as pl

    fields = _fields(labels)
    schema = {"file": pl.List(pl.Int64), "result": pl.Struct(fields)}
    result = pl.col("result").struct
    columns = []
    for name in fields:
        if name == "probabilities":
            columns += [result.field(name).struct.field(label).alias(f"prob_{label}") for label in labels]
        else:
            columns.append(result.field(name))
    file = [pl.col("file").list.get(at, null_on_oob=True).alias(name) for at, name in enumerate(("file_bytes", "file_version"))]
    return pl.scan_ndjson(journal, schema=schema).slice(1).select(*columns, *file)


def _fields(labels: tuple[str, ...]) -> dict[str, DataType]:
    """The types of a result's fields, from its annotations."""
    import polars as pl

    known: dict[Any, Any] = {
        str: pl.String(), str | None: pl.String(), float: pl.Float64(), float | None: pl.Float64(), bool: pl.Boolean(),
        tuple[str, ...]: pl.List(pl.String()), tuple[str, ...] | None: pl.List(pl.String()),
        dict[str, float]: pl.Struct(dict.fromkeys(labels, pl.Float64())),
    }  # fmt: skip
    hints = get_type_hints(Result)
    return {name: known[hint] for name, hint in hints.items()}


def _unflat(row: dict[str, Any]) -> dict[str, Any]:
    """The journal's line of a row of parquet."""
    file = [row.pop("file_bytes"), row.pop("file_version")]
    shares = {name.removeprefix("prob_"): row.pop(name) for name in list(row) if name.startswith("prob_")}
    probabilities = {} if None in shares.values() else shares
    return {"file": None if None in file else file, "result": {**row, "probabilities": probabilities}}
