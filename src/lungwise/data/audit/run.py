"""The whole audit of a manifest and its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from lungwise.data.audit.confounding import confounding
from lungwise.data.audit.disk import missing_files, unlisted_files, unreadable_files
from lungwise.data.audit.duplicates import Pairs, duplicates, same_pictures
from lungwise.data.audit.finding import Finding, merged
from lungwise.data.audit.patients import label_changes, patients_across_splits
from lungwise.data.audit.suspects import name_suspects, suspects
from lungwise.data.pixels import Chosen, Squares

_ORDER = {"error": 0, "warning": 1, "note": 2}


def audit(
    table: pl.DataFrame,
    squares: Squares,
    *,
    pairs: Pairs | None = None,
    root: Path | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> list[Finding]:
    """Check a manifest and its pixels.

    Patients, labels, sources and names are checked on every listed row, also of files that are missing; pictures are
    checked where they were read and take part in a split.

    Args:
        table: a manifest.
        squares: uint8 [n, side, side]; row i belongs to row i of the manifest.
        pairs: int64 [m, 2], rows that show the same picture, where they were searched for before; None searches.
        root: the folder that paths are relative to, to look for files that no list names.
        progress: told the name of each step.

    Returns:
        Findings, errors first. An empty list means that nothing was found.
    """
    table = table.with_row_index("row")
    listed = table.filter(pl.col("status").is_in(["ok", "missing"]))
    used = table.filter((pl.col("status") == "ok") & (pl.col("split") != "none"))
    progress("patients, labels and sources")
    findings = [*patients_across_splits(listed), *label_changes(listed), *confounding(listed)]
    findings += [*missing_files(table), *unreadable_files(table), *(unlisted_files(table, root) if root else [])]
    progress("pictures that occur more than once")
    findings += duplicates(used, same_pictures(used, squares) if pairs is None else pairs)
    progress("pictures that are no frontal chest films")
    pictures = used["row"].to_numpy().astype(np.int64)
    findings += merged([*name_suspects(listed), *suspects(used, Chosen(squares, pictures))])
    return worst_first(findings)


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Errors before warnings before notes; what was found most often comes first."""
    return sorted(findings, key=lambda finding: (_ORDER[finding.severity], -finding.count, finding.check))
