"""The folder of a prepared data set while it is made: what was begun, what is finished, what may be taken over."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import polars as pl

from lungwise.data.decode import FACTS
from lungwise.data.pixels import shard_sizes
from lungwise.data.sources import Listing
from lungwise.data.store import PreparedData, open_data
from lungwise.errors import LungwiseError, writing
from lungwise.imaging.preprocess import Preprocess


def exists(listing: Listing, path: str) -> bool:
    """Whether a listed image can be reached; one with an impossible name or in a closed folder counts as missing."""
    try:
        return _file(listing, path).exists()
    except OSError:
        return False


def pixels_plan(listing: Listing, present: pl.Series, spec: Preprocess) -> str:
    """A hash of all that decides the pixels: files with their sizes and times, and the specification."""
    digest = hashlib.sha256(repr((spec.stored, spec.fit, listing.secondary)).encode())
    for path in present:
        stat = _file(listing, path).stat()
        digest.update(repr((path, stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()


def _file(listing: Listing, path: str) -> Path:
    """The file that holds an image: itself, or the archive that its path begins with."""
    return listing.root / (path if listing.reader is None else path.partition("/")[0])


def finished(out: Path, plan: str, overwrite: bool) -> PreparedData | None:
    """The data set in ``out`` when it is the one asked for.

    Raises:
        LungwiseError: it is another one, and may not be replaced.
    """
    if not (out / "dataset.json").exists():
        return None
    ready = open_data(out)
    if ready.facts["plan"] == plan:
        return ready
    if not overwrite:
        raise LungwiseError(
            f"{out} already holds a data set of another source or other settings; choose another --out, or add --overwrite."
        )
    return None


def check_space(out: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        out: where the data set will lie.
        needed: bytes of its pixels.
    """
    place = next(parent for parent in (out, *out.resolve().parents) if parent.is_dir())
    free = shutil.disk_usage(place).free
    # What is there already is continued or taken over, and needs no more room.
    needed -= sum(file.stat().st_size for folder in (out, out / ".partial") for file in folder.glob("pixels*.npy"))
    if free < needed * 1.05:
        raise LungwiseError(
            f"The pixels need {needed / 1e6:.0f} MB, but {place} has {free / 1e6:.0f} MB left; free some space, choose "
            "another --out or a smaller --size."
        )


def begin(out: Path, plan: str) -> Path:
    """The folder of unfinished work: the one of the same pixels, or a new one."""
    draft = out / ".partial"
    with writing(out):
        if draft.exists() and (not (draft / "plan").exists() or (draft / "plan").read_text() != plan):
            shutil.rmtree(draft)
        draft.mkdir(parents=True, exist_ok=True)
        (draft / "plan").write_text(plan)
    return draft


def take_over(out: Path, draft: Path, plan: str) -> pl.DataFrame | None:
    """Move the pixels of the finished data set in ``out`` to the draft, where they are what will be needed.

    Returns:
        What decoding had found out of them, or None when they are of no use.
    """
    if not (out / "dataset.json").exists():
        return None
    ready = open_data(out)
    with writing(out):
        (out / "dataset.json").unlink()  # from here on the folder is unfinished
        if ready.facts.get("pixels_plan") != plan or "notes" not in ready.manifest.columns:
            return None
        for name in shard_sizes(len(ready.pixels), ready.spec.stored):
            os.replace(out / name, draft / name)
    excluded = pl.col("status").str.starts_with("excluded")
    facts = ready.manifest.filter(pl.col("status") != "missing").select("path", *FACTS)
    return facts.with_columns(status=pl.when(excluded).then(pl.lit("ok")).otherwise(pl.col("status")))
