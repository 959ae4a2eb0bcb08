"""List against disk: files that are listed and missing, files that cannot be read, files that no list names."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from lungwise.data.audit.finding import Finding
from lungwise.errors import several
from lungwise.imaging.read import SUFFIXES, hidden


def missing_files(table: pl.DataFrame) -> list[Finding]:
    """Files that the source lists and that are not on disk."""
    rows = table.filter(pl.col("status") == "missing")
    if not rows.height:
        return []
    parts = dict(rows.group_by("split").len().sort("split").iter_rows())
    return [
        Finding(
            "missing",
            "warning",
            rows.height,
            f"{rows.height} of {table.height} listed images are missing on disk",
            images=tuple(rows["path"].sort()),
            evidence={"listed": table.height, "by_split": parts, "by_source": _counts(rows, "source")},
            repair="fetch them and prepare again; until then results are not those of the published list",
        )
    ]


def unreadable_files(table: pl.DataFrame) -> list[Finding]:
    """Files that are there and cannot be read, with the reasons."""
    rows = table.filter(~pl.col("status").is_in(["ok", "missing"]) & ~pl.col("status").str.starts_with("excluded"))
    if not rows.height:
        return []
    return [
        Finding(
            "unreadable",
            "warning",
            rows.height,
            f"{rows.height} of {table.height} listed images cannot be read",
            images=tuple(rows["path"].sort()),
            evidence={"reasons": dict(rows.sort("path").select("path", "status").iter_rows())},
            repair="fetch the files again, or convert them",
        )
    ]


def unlisted_files(table: pl.DataFrame, root: Path) -> list[Finding]:
    """Images below the source's folder that no list names; for a folder source there are none by its nature."""
    known = set(table["path"])
    found = [path for path in _images(root) if path not in known]
    if not found:
        return []
    return [
        Finding(
            "not-listed",
            "note",
            len(found),
            several(len(found), "image lies", "images lie") + " in the source's folder that no list names",
            images=tuple(sorted(found)),
            repair="nothing, if the list means to leave them out",
        )
    ]


def _images(root: Path) -> list[str]:
    """Paths below ``root`` that end like images, relative to it; folders that cannot be opened are passed over."""
    found = []
    for base, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not hidden(Path(name))]
        inside = Path(base).relative_to(root)
        images = [name for name in names if Path(name).suffix.lower() in SUFFIXES and not hidden(Path(name))]
        found += [(inside / name).as_posix() for name in images]
    return found


def _counts(rows: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(rows.group_by(column).len().sort("len", descending=True).iter_rows())
