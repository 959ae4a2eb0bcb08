"""From a source of X-rays to a prepared data set: list, decode once, leave out, split by patient, audit, write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from lungwise.data.audit.duplicates import Pairs, same_pictures
from lungwise.data.decode import FACTS, MISSING, decode_all
from lungwise.data.draft import begin, check_space, exists, finished, pixels_plan, take_over
from lungwise.data.exclude import drop_copies, exclude
from lungwise.data.groups import groups
from lungwise.data.pixels import Squares, open_pixels
from lungwise.data.record import record
from lungwise.data.sources import Listing, SourceOptions, list_source
from lungwise.data.split import Fractions, split_patients
from lungwise.data.store import PreparedData, open_data
from lungwise.errors import DataError, some
from lungwise.files import read_text, write_text
from lungwise.imaging.preprocess import Preprocess, enough
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import read
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
        drop_duplicates: keep one of each picture that occurs more than once.
        exclude: what to leave out; see :func:`lungwise.data.exclude.exclude`.
    """

    spec: Preprocess = field(default_factory=Preprocess)
    fractions: Fractions = field(default_factory=Fractions)
    seed: int = 0
    resplit: bool = False
    allow_missing: bool = False
    keep_split: Mapping[str, str] | None = None
    drop_duplicates: bool = False
    exclude: tuple[str, ...] = ()


def prepare(
    source: Path | str,
    out: Path | str,
    request: Request = Request(),
    options: SourceOptions = SourceOptions(),
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda step: None,
) -> PreparedData:
    """Prepare a source for training.

    Work is done in ``out/.partial`` and moved into place at the end; called again after an interruption it continues.
    Replacing a data set whose pixels are the same takes them over and decodes nothing.

    Args:
        source: what :func:`lungwise.data.sources.list_source` knows.
        out: the prepared data set's folder.
        request: how to prepare.
        options: what the user says of the source.
        overwrite: replace another prepared data set in ``out``.
        progress: called with (finished, all) images while they are read.
        say: called with the name of each step that follows.

    Returns:
        The prepared data set.

    Raises:
        DataError: the source cannot be used; see :mod:`lungwise.data.sources` and :mod:`lungwise.data.split`.
        LungwiseError: ``out`` cannot be written, or holds another data set.
    """
    out = Path(out)
    listing = list_source(source, options)
    LabelSet.of(listing.rows["label"])
    _check_unique(listing)
    here = listing.rows["path"].map_elements(lambda path: exists(listing, path), return_dtype=pl.Boolean)
    present, missing = listing.rows.filter(here), listing.rows.filter(~here)
    _check_missing(listing, missing, out, request.allow_missing)
    same_pixels = pixels_plan(listing, present["path"], request.spec)
    plan = _plan(same_pixels, listing, request)
    if (ready := finished(out, plan, overwrite)) is not None:
        return ready
    _split(present, request)  # fails before the long work when it cannot be split
    check_space(out, present.height * request.spec.stored**2)
    facts, draft = _decode(listing, present["path"], request.spec, out, same_pixels, progress)
    squares = open_pixels(draft, present.height, request.spec.stored)
    table = _table(present, missing, facts)
    say("Looking for duplicates")
    table, pairs = _clean(table, squares, request)
    table = _with_split(table, pairs, request)
    say("Auditing")
    record(out, draft, listing, table, pairs, request.spec, {"plan": plan, "pixels_plan": same_pixels, "seed": request.seed})
    return open_data(out)


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


def _plan(same_pixels: str, listing: Listing, request: Request) -> str:
    """A hash of all that decides the result: the pixels, the rows and the request."""
    digest = hashlib.sha256(same_pixels.encode())
    for row in listing.rows.iter_rows():
        digest.update(repr(row).encode())
    keep = sorted((request.keep_split or {}).items())
    wishes = (request.drop_duplicates, [_content(wish) for wish in request.exclude])
    digest.update(repr((request.spec, request.fractions, request.seed, request.resplit, keep, wishes)).encode())
    return digest.hexdigest()


def _content(wish: str) -> str:
    """A file of paths counts by what stands in it."""
    return read_text(Path(wish)) if Path(wish).is_file() else wish


def _decode(
    listing: Listing,
    paths: pl.Series,
    spec: Preprocess,
    out: Path,
    same_pixels: str,
    progress: Callable[[int, int], None],
) -> tuple[pl.DataFrame, Path]:
    """What is known of every present image, and the folder that holds the pixels."""
    draft = begin(out, same_pixels)
    facts = take_over(out, draft, same_pixels)
    if facts is not None:
        return pl.DataFrame({"path": paths}).join(facts, on="path", how="left", maintain_order="left").drop("path"), draft

    def load(path: str) -> Radiograph:
        if listing.reader is not None:
            return listing.reader(path)
        return read(listing.root / path, enough(spec), secondary=listing.secondary)

    return decode_all(paths, load, spec, draft, lambda done: progress(done, len(paths))), draft


def _table(present: pl.DataFrame, missing: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    """The manifest without a split: images on disk in the order of their pixels, then the missing ones."""
    said = facts.rename({"view": "seen"})
    nothing = pl.DataFrame([MISSING] * missing.height, schema=FACTS).rename({"view": "seen"})
    rows = pl.concat([present, missing]).with_columns(image=pl.col("path"))
    table = pl.concat([rows, pl.concat([said, nothing])], how="horizontal").with_row_index("row")
    listed = pl.col("view") if "view" in table.columns else pl.lit("")
    table = table.with_columns(view=pl.when(pl.col("seen") != "").then(pl.col("seen")).otherwise(listed)).drop("seen")
    if not (table["status"] == "ok").any():
        raise DataError(f"None of the {table.height} images can be read, for example: {table['status'][0]}")
    return table


def _clean(table: pl.DataFrame, squares: Squares, request: Request) -> tuple[pl.DataFrame, Pairs]:
    """Leave out what the request says, and find the pictures that occur more than once."""
    table = exclude(table, squares, request.exclude)
    readable = table.filter((pl.col("status") == "ok") & (pl.col("split") != "none"))
    pairs = same_pictures(readable, squares)
    return (drop_copies(table, pairs) if request.drop_duplicates else table), pairs


def _with_split(table: pl.DataFrame, pairs: Pairs, request: Request) -> pl.DataFrame:
    """The manifest with its split; patients that share a picture are never torn apart by a split of our own."""
    readable = table.filter(pl.col("status") == "ok")
    if not readable.height:
        raise DataError("Some images must remain, but every one was left out; exclude less.")
    LabelSet.of(readable["label"])
    places = {row: place for place, row in enumerate(readable["row"].to_list())}
    inside = [(places[a], places[b]) for a, b in pairs.tolist() if a in places and b in places]
    done = _split(readable.with_columns(groups(readable["patient"], inside)), request)
    found = done.select("row", pl.col("split").alias("ours"), "group")
    listed = pl.when(pl.col("split").is_in(["", "none"])).then(pl.lit("none")).otherwise(pl.col("split"))
    # A missing image keeps the part that its list gives, so that the list can be audited; nothing learns from it.
    other = pl.when(pl.col("status") == "missing").then(listed).otherwise(pl.lit("none"))
    return (
        table.join(found, on="row", how="left", maintain_order="left")
        .with_columns(split=pl.coalesce(pl.col("ours"), other), group=pl.coalesce(pl.col("group"), pl.col("patient")))
        .drop("ours")
    )


def _split(rows: pl.DataFrame, request: Request) -> pl.DataFrame:
    """The rows with ``split`` filled as the request says."""
    if request.resplit:
        rows = rows.with_columns(split=pl.when(pl.col("split") == "none").then(pl.col("split")).otherwise(pl.lit("")))
    return split_patients(rows, request.fractions, request.seed, request.keep_split)
