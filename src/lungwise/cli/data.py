"""``lungwise prepare`` and ``audit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungwise.cli.console import Json, Quiet, console, print_json
from lungwise.errors import DataError, several

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from lungwise.data.store import PreparedData
    from lungwise.inference.predictor import Predictor

_SHOWN = 20


def prepare(
    source: Annotated[str, typer.Argument(help="A folder, a table, lists of a public collection, .npz, or kaggle:OWNER/NAME.")],
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
    classes: Annotated[list[str] | None, typer.Option("--class", help="A class to keep, of many; repeat it.")] = None,
    patient_key: Annotated[
        Path | None, typer.Option(help="File with the key for pseudonyms of DICOM patients; made if it is not there.")
    ] = None,
    secondary: Annotated[bool, typer.Option("--allow-secondary", help="Read DICOM Secondary Capture as well.")] = False,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Keep one of each picture that occurs more than once.")
    ] = False,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave out: a check's name, a file of paths, or a pattern; repeat it.")
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
    from lungwise.data.sources import SourceOptions
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
        drop_duplicates=drop_duplicates,
        exclude=tuple(exclude or ()),
    )
    options = SourceOptions(
        images=images, columns=columns_of(column or []), covidx=covidx, patient_pattern=patient_pattern,
        classes=tuple(classes or ()), patient_key=patient_key, secondary=secondary,
    )  # fmt: skip
    speaker = console(quiet or json)
    with Bar(speaker, "Reading images") as bar:
        data = run(source, out, request, options, overwrite=overwrite, progress=bar.update, say=say(speaker))
    if json:
        print_json(data.facts | {"not_read": _not_read(data)})
    else:
        show_data(data, speaker)


def say(speaker: Console) -> Callable[[str], None]:
    """A function that prints the name of a step."""
    return lambda step: speaker.print(step, markup=False)


def audit(
    data: Annotated[Path, typer.Argument(help="A prepared data set.")],
    model: Annotated[Path | None, typer.Option("--model", help="A bundle: does it read lungs, or something else?")] = None,
    left_out: Annotated[
        Path | None, typer.Option("--left-out", help="With --model: an evaluated train --leave-one-source-out run.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the reports; DATA by default.")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Look for what would mislead: duplicates, leaks, conflicts, confounding, pictures that are no chest films.

    With --model also for shortcuts: whether the bundle could answer without lungs. Writes audit.html and audit.json, and
    shortcuts.html and shortcuts.json. Exit code 1 when there is an error among the findings.
    """
    from lungwise.data.audit import audit as run
    from lungwise.data.audit.report import as_json, render
    from lungwise.data.record import LISTED
    from lungwise.data.store import open_data
    from lungwise.files import write_json, write_text

    if left_out is not None and model is None:
        raise DataError("--left-out says how a model does on new sources, so it needs --model BUNDLE; give both.")
    prepared, speaker = open_data(data), console(quiet or json)
    predictor = _bundle(model, prepared, left_out) if model is not None else None
    root = Path(prepared.facts["root"]) if prepared.facts["kind"] in LISTED else None
    findings = run(prepared.manifest, prepared.pixels, root=root, progress=lambda step: speaker.print(f"Checking {step}"))
    found, folder = as_json(prepared, findings), out or data
    write_json(folder / "audit.json", found["findings"])
    write_text(folder / "audit.html", render(prepared, findings))
    if not json:
        show_findings(found["findings"], speaker)
        speaker.print(f"Report: {folder / 'audit.html'}", markup=False)
    shortcuts = _shortcuts(predictor, prepared, left_out, folder, speaker) if predictor is not None else None
    if json:
        print_json(found | ({"shortcuts": shortcuts} if shortcuts else {}))
    if found["errors"] or (shortcuts and shortcuts["severity"] == "error"):
        raise typer.Exit(1)


def _bundle(model: Path, data: PreparedData, left_out: Path | None) -> Predictor:
    """The bundle to audit, refused at once where it does not fit the data."""
    from lungwise.inference.predictor import load
    from lungwise.shortcuts import check_ready

    predictor = load(model)
    check_ready(predictor, data, left_out)
    return predictor


def _shortcuts(
    predictor: Predictor, data: PreparedData, left_out: Path | None, folder: Path, speaker: Console
) -> dict[str, Any]:
    """Audit a bundle, and say what was found."""
    from lungwise.shortcuts import audit_shortcuts

    def checking(step: str) -> None:
        speaker.print(f"Checking {step}", markup=False)

    found = audit_shortcuts(predictor, data, folder, left_out=left_out, progress=checking)
    for check in found["checks"]:
        speaker.print(f"{check['severity']}: {check['message']} ({check['name']})", markup=False)
    speaker.print(f"Report: {folder / 'shortcuts.html'}", markup=False)
    return found


def show_findings(findings: list[dict[str, Any]], speaker: Console) -> None:
    """Findings as a list, each with its repair."""
    for finding in findings:
        speaker.print(f"{finding['severity']}: {finding['message']} ({finding['check']}).", markup=False)
        if finding["repair"]:
            speaker.print(f"    repair: {finding['repair']}", markup=False)
    if not findings:
        speaker.print("Nothing was found. An audit finds only what it looks for.")


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
    if data.facts["excluded"]:
        left_out = several(data.facts["excluded"], "image was", "images were")
        speaker.print(f"{left_out} left out; see column 'status' of the manifest.", markup=False)
    if data.facts["missing"]:
        speaker.print(f"{data.facts['missing']} listed files are missing and were left out.", markup=False)
    for note in data.facts["notes"]:
        speaker.print(f"note: {note}", markup=False)
    for finding in data.facts["audit"]:
        speaker.print(f"{finding['severity']}: {finding['message']}.", markup=False)
    if data.facts["audit"]:
        speaker.print(f"Look at them: lungwise audit {data.folder}", markup=False)
    speaker.print(f"Prepared data set: {data.folder}; its card: {data.folder / 'README.md'}", markup=False)


def _not_read(data: PreparedData) -> list[dict[str, Any]]:
    import polars as pl

    aside = pl.col("status").is_in(["ok", "missing"]) | pl.col("status").str.starts_with("excluded")
    bad = data.manifest.filter(~aside)
    return [{"path": path, "reason": reason} for path, reason in bad.select("path", "status").iter_rows()]


def columns_of(pairs: list[str]) -> dict[str, str]:
    """Our column names to theirs, from ``--column OURS=THEIRS``."""
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
