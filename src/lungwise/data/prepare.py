"""From a source of X-rays to a prepared data set: list, decode once, split by patient, audit, write."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

import lungwise
from lungwise.data.audit import audit
from lungwise.data.decode import MISSING, decode_all
from lungwise.data.manifest import SCHEMA, counts, write_manifest
from lungwise.data.sources import Listing, list_source
from lungwise.data.split import Fractions, split_patients
from lungwise.data.store import PreparedData, open_data
from lungwise.errors import DataError, LungwiseError, some, writing
from lungwise.files import write_json, write_text
from lungwise.imaging.preprocess import Preprocess
from lungwise.labels import LabelSet


@dataclass(frozen=True)
class Request:
    """How to prepare a source.

    Args:
        spec: size and fit of the stored squares.
        fractions: shares of validation and test, where the source brings none.
        seed: seed of the split.
        resplit: ignore the source's own train, validation and test parts.
        allow_missing: go on when listed files are missing, and record them.
        keep_split: patient to split from an earlier preparation, kept for the patients named there.
    """

    spec: Preprocess = field(default_factory=Preprocess)
    fractions: Fractions = field(default_factory=Fractions)
    seed: int = 0
    resplit: bool = False
    allow_missing: bool = False
    keep_split: Mapping[str, str] | None = None


def prepare(
    source: Path | str,
    out: Path | str,
    request: Request = Request(),
    *,
    images: Path | None = None,
    columns: Mapping[str, str] | None = None,
    covidx: str | None = None,
    patient_pattern: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PreparedData:
    """Prepare a source for training.

    Work is done in ``out/.partial`` and moved into place at the end; called again after an interruption it continues.

    Args:
        source: a folder of class folders, a table, or a folder with COVIDx lists.
        out: the prepared data set's folder.
        request: how to prepare.
        images: see :func:`lungwise.data.sources.list_source`, as for ``columns``, ``covidx``, ``patient_pattern``.
        columns: our column names to the table's.
        covidx: the COVIDx version.
        patient_pattern: a regular expression on file stems whose first group is the patient.
        overwrite: replace another prepared data set in ``out``.
        progress: called with (finished, all) images.

    Returns:
        The prepared data set.

    Raises:
        DataError: the source cannot be used; see :mod:`lungwise.data.sources` and :mod:`lungwise.data.split`.
        LungwiseError: ``out`` cannot be written, or holds another data set.
    """
    out = Path(out)
    listing = list_source(Path(source), images, columns, covidx, patient_pattern)
    LabelSet.of(listing.rows["label"])
    _check_unique(listing)
    present = pl.Series([_exists(listing.root / path) for path in listing.rows["path"]], dtype=pl.Boolean)
    missing = listing.rows.filter(~present)
    _check_missing(listing, missing, out, request.allow_missing)
    plan = _plan(listing, request)
    if (ready := _already(out, plan, overwrite)) is not None:
        return ready
    _split(listing.rows.filter(present), request)  # fails before the long work when it cannot be split
    files = [listing.root / path for path in listing.rows.filter(present)["path"]]
    _check_space(out, len(files) * request.spec.stored**2)
    draft = _draft(out, plan)
    facts = decode_all(files, request.spec, draft, lambda done: progress(done, len(files)))
    facts += [MISSING] * missing.height
    table = _table(pl.concat([listing.rows.filter(present), missing]), facts, request)
    _finish(out, draft, listing, table, request, plan)
    return open_data(out)


def _exists(file: Path) -> bool:
    """Whether a file can be reached; one with an impossible name or in a closed folder counts as missing."""
    try:
        return file.exists()
    except OSError:
        return False


def _check_unique(listing: Listing) -> None:
    twice = listing.rows.filter(pl.col("path").is_duplicated())["path"].unique().sort().to_list()
    if twice:
        raise DataError(
            f"Every image must be listed once, but {len(twice)} stand there twice ({some(twice, 3)}); drop the rows."
        )


def _check_missing(listing: Listing, missing: pl.DataFrame, out: Path, allowed: bool) -> None:
    paths, total = missing["path"].to_list(), listing.rows.height
    if paths and not allowed:
        place = out.absolute()
        names = place.parent / f"{place.name}.missing.txt"
        write_text(names, "\n".join(paths) + "\n")
        parts = ", ".join(
            f"{split or 'no split'} {number}" for split, number in missing.group_by("split").len().sort("split").rows()
        )
        raise DataError(
            f"Every listed image must exist, but {len(paths)} of {total} are missing under {listing.root} ({parts}; "
            f"{some(paths, 2)}; all are named in {names}); fetch them, or go on without them with --allow-missing."
        )
    if len(paths) == total:
        raise DataError(f"All {total} listed images are missing under {listing.root}; name their folder with --images.")


def _plan(listing: Listing, request: Request) -> str:
    """A hash of all that decides the result: rows, files' sizes and times, and the request."""
    digest = hashlib.sha256()
    for row in listing.rows.iter_rows():
        file = listing.root / row[0]
        stat = file.stat() if _exists(file) else None
        digest.update(repr((row, stat and stat.st_size, stat and stat.st_mtime_ns)).encode())
    keep = sorted((request.keep_split or {}).items())
    digest.update(repr((request.spec, request.fractions, request.seed, request.resplit, keep)).encode())
    return digest.hexdigest()


def _already(out: Path, plan: str, overwrite: bool) -> PreparedData | None:
    """The data set in ``out`` when it is the one asked for."""
    if not (out / "dataset.json").exists():
        return None
    ready = open_data(out)
    if ready.facts["plan"] == plan:
        return ready
    if overwrite:
        with writing(out):
            (out / "dataset.json").unlink()
        return None
    raise LungwiseError(
        f"{out} already holds a data set of another source or other settings; choose another --out, or add --overwrite."
    )


def _check_space(out: Path, needed: int) -> None:
    place = next(parent for parent in (out, *out.resolve().parents) if parent.is_dir())
    free = shutil.disk_usage(place).free
    begun = out / ".partial" / "pixels.npy"
    needed -= begun.stat().st_size if begun.is_file() else 0
    if free < needed * 1.05:
        raise LungwiseError(
            f"The pixels need {needed / 1e6:.0f} MB, but {place} has {free / 1e6:.0f} MB left; free some space, choose "
            "another --out or a smaller --size."
        )


def _draft(out: Path, plan: str) -> Path:
    """The folder of unfinished work: the one of the same plan, or a new one."""
    draft = out / ".partial"
    with writing(out):
        if draft.exists() and (not (draft / "plan").exists() or (draft / "plan").read_text() != plan):
            shutil.rmtree(draft)
        draft.mkdir(parents=True, exist_ok=True)
        (draft / "plan").write_text(plan)
    return draft


def _table(rows: pl.DataFrame, facts: list[dict[str, Any]], request: Request) -> pl.DataFrame:
    """The manifest: what the source said, what decoding found, and the split."""
    found = pl.DataFrame(facts, schema={name: SCHEMA[name] for name in MISSING})
    table = pl.concat([rows, found], how="horizontal").with_columns(image=pl.col("path"))
    readable = table.filter(pl.col("status") == "ok")
    if readable.height == 0:
        raise DataError(f"None of the {table.height} images can be read, for example: {table['status'][0]}")
    LabelSet.of(readable["label"])
    done = _split(readable, request)
    splits = dict(zip(done["image"], done["split"], strict=True))
    return table.with_columns(split=pl.col("image").replace_strict(splits, default="none", return_dtype=pl.String))


def _split(rows: pl.DataFrame, request: Request) -> pl.DataFrame:
    """The rows with ``split`` filled as the request says."""
    if request.resplit:
        rows = rows.with_columns(split=pl.when(pl.col("split") == "none").then(pl.col("split")).otherwise(pl.lit("")))
    return split_patients(rows, request.fractions, request.seed, request.keep_split)


def _finish(out: Path, draft: Path, listing: Listing, table: pl.DataFrame, request: Request, plan: str) -> None:
    """Move everything into place; ``dataset.json`` comes last, so its presence means that the rest is whole."""
    findings = audit(table)
    facts: dict[str, Any] = {
        "lungwise": lungwise.__version__,
        "kind": listing.kind,
        "root": str(listing.root.resolve()),
        "preprocess": request.spec.model_dump(),
        "labels": list(LabelSet.of(table.filter(pl.col("status") == "ok")["label"])),
        "counts": counts(table),
        "seed": request.seed,
        "missing": int((table["status"] == "missing").sum()),
        "unreadable": int((~table["status"].is_in(["ok", "missing"])).sum()),
        "notes": [*listing.notes, *_split_notes(table)],
        "audit": [{key: finding[key] for key in ("check", "severity", "count", "message")} for finding in findings],
        "plan": plan,
        "synthetic": set(table["source"]) == {"phantom"},
        "fingerprint": _fingerprint(table, request.spec),
    }
    write_manifest(out / "manifest.parquet", table)
    write_json(out / "audit.json", findings)
    with writing(out):
        os.replace(draft / "pixels.npy", out / "pixels.npy")
    write_json(out / "dataset.json", facts)
    shutil.rmtree(draft)


def _split_notes(table: pl.DataFrame) -> list[str]:
    """What a given split lacks; a split of our own never lacks anything."""
    found = counts(table)
    labels = LabelSet.of(table.filter(pl.col("status") == "ok")["label"])
    lost = LabelSet.of([*table["label"], *labels]).names
    notes = [f"No readable image is labelled '{name}'." for name in lost if name not in labels.names]
    for split in ("train", "validation", "test"):
        absent = [name for name in labels if name not in found.get(split, {})]
        if absent:
            notes.append(f"The {split} part has no image of {some(absent)}.")
    return notes


def _fingerprint(table: pl.DataFrame, spec: Preprocess) -> str:
    """SHA-256 of the specification and of each row's image, label, patient, split and pixels."""
    rows = table.select("image", "label", "patient", "source", "split", "sha256").sort("image").rows()
    text = json.dumps([spec.model_dump(), rows], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
