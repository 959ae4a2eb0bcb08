"""The dataset card: what a prepared data set holds, where it comes from, what is wrong with it, as a README.md to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lungwise.data.manifest import SPLITS
from lungwise.data.pixels import Squares
from lungwise.data.sheet import sample_sheet
from lungwise.files import write_text
from lungwise.imaging.png import write_png

SHEET = "samples.png"


def write_card(out: Path, facts: Mapping[str, Any], table: pl.DataFrame, squares: Squares) -> None:
    """Write ``README.md`` and the sheet of sample pictures beside it.

    Args:
        out: the prepared data set's folder.
        facts: the contents of ``dataset.json``.
        table: the manifest with the column ``row``.
        squares: the squares of the whole manifest.
    """
    write_png(out / SHEET, sample_sheet(table, squares))
    write_text(out / "README.md", card(facts, table))


def card(facts: Mapping[str, Any], table: pl.DataFrame) -> str:
    """The card's text, Markdown."""
    used = table.filter((pl.col("status") == "ok") & (pl.col("split") != "none"))
    spec = facts["preprocess"]
    lines = [
        f"# Chest X-rays: {', '.join(facts['labels'])}",
        "",
        f"{used.height:,} images of {used['patient'].n_unique():,} patients, prepared by lungwise {facts['lungwise']} for "
        "training and evaluation. Research use only; not for diagnosis.",
        *(["", "**Synthetic:** these pictures were drawn by a program; no person was X-rayed."] if facts["synthetic"] else []),
        "",
        f"![Samples of every class]({SHEET})",
        "",
        "## Classes and parts",
        "",
        *_grid(used, "label", "split", [split for split in SPLITS if split in used["split"]]),
        "",
        "Images, and patients in brackets. " + _split_sentence(facts),
        "",
        "## Sources",
        "",
        *_grid(used, "source", "label", list(facts["labels"])),
        "",
        *_terms(facts),
        "",
        "## Left out",
        "",
        *_left_out(table),
        "",
        "## What would mislead",
        "",
        *_findings(facts["audit"]),
        "",
        "## Pixels",
        "",
        f"Grey, 8 bits, {spec['stored']} x {spec['stored']}, fitted by '{spec['fit']}'. Files had {_sizes(used)}.",
        *_views(used),
        "",
        f"Fingerprint `{facts['fingerprint']}`, seed {facts['seed']}.",
    ]
    return "\n".join([*lines, *_remarks(facts["notes"])]) + "\n"


def _grid(rows: pl.DataFrame, down: str, across: str, names: Sequence[str]) -> list[str]:
    """A table of images (patients) by two columns, with sums."""
    found = {
        (one, other): f"{images:,} ({patients:,})"
        for one, other, images, patients in rows.group_by(down, across)
        .agg(pl.len().alias("images"), pl.col("patient").n_unique().alias("patients"))
        .iter_rows()
    }
    sums = {
        one: f"{images:,} ({patients:,})"
        for one, images, patients in rows.group_by(down)
        .agg(pl.len().alias("images"), pl.col("patient").n_unique().alias("patients"))
        .sort(down)
        .iter_rows()
    }
    head = [f"| {down} | {' | '.join(_cell(name) for name in names)} | all |", "|---" * (len(names) + 2) + "|"]
    body = [
        f"| {_cell(one)} | {' | '.join(found.get((one, name), '0') for name in names)} | {whole} |"
        for one, whole in sums.items()
    ]
    return [*head, *body]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _split_sentence(facts: Mapping[str, Any]) -> str:
    torn = [finding for finding in facts["audit"] if finding["check"] == "patient-across-splits"]
    return "**Some patients stand in several parts; see below.**" if torn else "No patient stands in two parts."


def _terms(facts: Mapping[str, Any]) -> list[str]:
    licence = facts["licence"] or "not known to lungwise; ask whoever gave the images before passing anything on"
    cite = [f"- Cite: {facts['citation']}"] if facts["citation"] else []
    return [
        f"- Licence: {licence}",
        *cite,
        "- Patients: identifiers are those of the public collection, or pseudonyms (keyed hashes).",
    ]


def _left_out(table: pl.DataFrame) -> list[str]:
    reason = (
        pl.when(pl.col("status").str.starts_with("excluded: duplicate"))
        .then(pl.lit("copies of images that were kept"))
        .when(pl.col("status").str.starts_with("excluded: "))
        .then(pl.col("status").str.strip_prefix("excluded: "))
        .when(pl.col("status") == "missing")
        .then(pl.lit("listed, but missing on disk"))
        .otherwise(pl.lit("cannot be read"))
    )
    counted = (
        table.filter(pl.col("status") != "ok").group_by(reason.alias("why")).len().sort("len", "why", descending=[True, False])
    )
    aside = table.filter((pl.col("status") == "ok") & (pl.col("split") == "none")).height
    lines = [f"- {number:,}: {why}" for why, number in counted.iter_rows()]
    return [*lines, *([f"- {aside:,}: set aside by the source"] if aside else [])] or ["Nothing."]


def _findings(audit: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [f"- **{finding['severity']}** ({finding['check']}): {finding['message']}." for finding in audit]
    return lines or ["Nothing was found. That is no proof: an audit finds only what it looks for."]


def _sizes(used: pl.DataFrame) -> str:
    low, high = used.select(
        pl.min_horizontal("width", "height").min().alias("low"), pl.max_horizontal("width", "height").max().alias("high")
    ).row(0)
    return f"sides from {low} to {high} px"


def _views(used: pl.DataFrame) -> list[str]:
    counted = used.filter(pl.col("view") != "").group_by("view").len().sort("view")
    said = ", ".join(f"{view} {number:,}" for view, number in counted.iter_rows())
    return ["", f"Views, where known: {said}."] if said else []


def _remarks(notes: Sequence[str]) -> list[str]:
    return ["", "## Remarks", "", *(f"- {note}" for note in notes)] if notes else []
