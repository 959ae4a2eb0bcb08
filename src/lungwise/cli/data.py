"""``lungwise prepare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungwise.cli.console import Json, Quiet, console, print_json
from lungwise.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from lungwise.data.store import PreparedData

_SHOWN = 20


def prepare(
    source: Annotated[Path, typer.Argument(help="A folder of class folders, a CSV/TSV/parquet table, or COVIDx lists.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the prepared data set.")],
    size: Annotated[int, typer.Option(help="Side of the stored squares in pixels.", min=32, max=2048)] = 256,
    fit: Annotated[str, typer.Option(help="stretch both sides, pad the shorter, or crop the longer.")] = "stretch",
    validation: Annotated[float, typer.Option(help="Share of patients for validation.")] = 0.15,
    test: Annotated[float, typer.Option(help="Share of patients for test, where the source has no test part.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    resplit: Annotated[bool, typer.Option("--resplit", help="Ignore the source's own train/validation/test parts.")] = False,
    keep_split: Annotated[Path | None, typer.Option(help="Keep the split of patients in this prepared data set.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images, when not beside the table or lists.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="OURS=THEIRS, for example label=Finding; repeat it.")] = None,
    covidx: Annotated[str | None, typer.Option(help="Version of COVIDx lists, for example 9A.")] = None,
    patient_pattern: Annotated[
        str | None, typer.Option(help="Regular expression on file names; its first group is the patient.")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Go on without listed files that are missing.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another prepared data set.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Turn a collection of X-rays into a prepared data set: decode once, split by patient, check for leaks."""
    from lungwise.cli.progress import Bar
    from lungwise.data.prepare import Request
    from lungwise.data.prepare import prepare as run
    from lungwise.data.split import Fractions
    from lungwise.imaging.preprocess import Preprocess

    if fit not in ("stretch", "pad", "crop"):
        raise DataError(f"--fit must be stretch, pad or crop, got '{fit}'.")
    request = Request(
        spec=Preprocess.model_validate({"stored": size, "size": size, "fit": fit}),
        fractions=Fractions(validation, test),
        seed=seed,
        resplit=resplit,
        allow_missing=allow_missing,
        keep_split=_earlier_split(keep_split),
    )
    speaker = console(quiet or json)
    with Bar(speaker, "Reading images") as bar:
        data = run(
            source, out, request, images=images, columns=_columns(column or []), covidx=covidx,
            patient_pattern=patient_pattern, overwrite=overwrite, progress=bar.update,
        )  # fmt: skip
    if json:
        print_json(data.facts | {"not_read": _not_read(data)})
    else:
        show_data(data, speaker)


def show_data(data: PreparedData, speaker: Console) -> None:
    """Say what is in a prepared data set, what could not be read and what would mislead."""
    from lungwise.cli.console import table

    rows = [[split, *(str(found.get(label, 0)) for label in data.labels)] for split, found in data.facts["counts"].items()]
    speaker.print(table("", ["images", *data.labels], rows))
    bad = _not_read(data)
    for row in bad[:_SHOWN]:
        speaker.print(f"not read: {row['path']}: {row['reason']}", markup=False)
    if len(bad) > _SHOWN:
        speaker.print(f"and {len(bad) - _SHOWN} more; see column 'status' of {data.folder / 'manifest.parquet'}", markup=False)
    if data.facts["missing"]:
        speaker.print(f"{data.facts['missing']} listed files are missing and were left out.", markup=False)
    for note in data.facts["notes"]:
        speaker.print(f"note: {note}", markup=False)
    for finding in data.facts["audit"]:
        speaker.print(f"{finding['severity']}: {finding['message']}; named in {data.folder / 'audit.json'}.", markup=False)
    speaker.print(f"Prepared data set: {data.folder}", markup=False)


def _not_read(data: PreparedData) -> list[dict[str, Any]]:
    import polars as pl

    bad = data.manifest.filter(~pl.col("status").is_in(["ok", "missing"]))
    return [{"path": path, "reason": reason} for path, reason in bad.select("path", "status").iter_rows()]


def _columns(pairs: list[str]) -> dict[str, str]:
    columns = {}
    for pair in pairs:
        ours, sign, theirs = pair.partition("=")
        if not sign or not theirs:
            raise DataError(f"--column takes OURS=THEIRS, for example label=Finding, got '{pair}'.")
        columns[ours] = theirs
    return columns


def _earlier_split(folder: Path | None) -> dict[str, str] | None:
    if folder is None:
        return None
    from lungwise.data.store import open_data

    used = open_data(folder).part("train", "validation", "test").manifest
    return dict(zip(used["patient"], used["split"], strict=True))
