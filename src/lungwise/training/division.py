"""How a data set is divided for cross-validation: into folds of patients or images, or one source at a time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import polars as pl

from lungwise.data.folds import Fold, k_folds, leave_one_source_out
from lungwise.data.manifest import counts
from lungwise.data.store import PreparedData
from lungwise.errors import DataError, some

BY_IMAGE = "split by image: films of one patient stand on both sides; the figure is too good."
_OF_SPLIT = re.compile(r"The (train|validation|test) part has no image of ")
"""How a note begins that speaks of the data set's own split."""


@dataclass(frozen=True)
class Division:
    """How a data set is divided into folds.

    The folds depend on the data and on these values only, not on the recipe, so that recipes can be compared fold by fold.

    Args:
        folds: parts, each of which is the test part once; at least 2.
        repeats: how often everything is divided anew.
        include_test: the data set's own test part takes part too; otherwise it stays untouched.
        by: "patient", or "image" to compare with figures that were published so; see ``BY_IMAGE``.

    Raises:
        DataError: ``by`` is something else.
    """

    folds: int = 5
    repeats: int = 1
    include_test: bool = False
    by: str = "patient"

    def __post_init__(self) -> None:
        if self.by not in ("patient", "image"):
            raise DataError(
                f"Folds are divided by patient or by image, got '{self.by}'; correct --by, or leave each source out with "
                "--leave-one-source-out."
            )


@dataclass(frozen=True)
class LeaveOneSourceOut:
    """Every source in turn is the test part, all of it, and the model learns from the others.

    Which sources can be left out, and who is kept out of training with them, says
    :func:`lungwise.data.folds.leave_one_source_out`.
    """

    by: str = field(default="source", init=False)


@dataclass(frozen=True, eq=False)
class FoldView:
    """The data set as one fold sees it.

    Args:
        fold: its number, from 1.
        repeat: the number of the repeat, from 1.
        name: such as "fold 1/5" or "source cohen".
        folder: the name of its run directory, such as "fold-1of5" or "source-1of3-cohen".
        data: the same pixels; a manifest with the fold's split, and a fingerprint of its own.
    """

    fold: int
    repeat: int
    name: str
    folder: str
    data: PreparedData


@dataclass(frozen=True, eq=False)
class Divided:
    """A data set and its folds.

    Args:
        views: the folds, repeat by repeat.
        whole: the data set with every image that some fold tests as "test" and the others as "none".
        said: how it was divided, in JSON types: folds, repeats, include_test, by; and "refused" where sources were left out.
    """

    views: tuple[FoldView, ...]
    whole: PreparedData
    said: dict[str, Any]

    @property
    def refused(self) -> Mapping[str, str]:
        """Sources that cannot be left out, each with one sentence that says why."""
        return dict(self.said.get("refused", {}))


def divide(data: PreparedData, division: Division | LeaveOneSourceOut) -> Divided:
    """Divide a data set.

    Raises:
        DataError: a number is out of range, a class has too few patients, or no source can be left out.
    """
    if isinstance(division, LeaveOneSourceOut):
        found = leave_one_source_out(data.manifest)
        views = tuple(_source_view(data, division, fold, place, len(found)) for place, fold in enumerate(found, 1))
        said = {**asdict(Division()), "folds": len(views), "include_test": True, **asdict(division)}
        said["refused"] = dict(found.refused)
        return Divided(views, _whole(data, division, views, list(found.refused.values())), said)
    table = data.manifest
    if division.by == "image":
        table = table.with_columns(patient=pl.col("image")).drop("group", strict=False)
    folds = k_folds(table, division.folds, repeats=division.repeats, include_test=division.include_test)
    views = tuple(_numbered_view(data, division, fold, number) for number, fold in enumerate(folds))
    return Divided(views, _whole(data, division, views, []), asdict(division))


def _numbered_view(data: PreparedData, division: Division, fold: Fold, number: int) -> FoldView:
    repeat, place = divmod(number, division.folds)
    folder = f"fold-{place + 1}of{division.folds}"
    if division.repeats > 1:
        folder = f"repeat-{repeat + 1}of{division.repeats}-{folder}"
    return FoldView(place + 1, repeat + 1, fold.name, folder, _seen_by(data, division, fold, []))


def _source_view(data: PreparedData, division: LeaveOneSourceOut, fold: Fold, place: int, number: int) -> FoldView:
    source = fold.name.removeprefix("source ")
    # Sources are named by users; the number keeps two folders apart whatever is left of the names.
    plain = re.sub("[^A-Za-z0-9]+", "-", source)[:40].strip("-")
    folder = f"source-{place}of{number}" + (f"-{plain}" if plain else "")
    absent = [label for label in data.labels if label not in fold.classes]
    lacks = f", which has no image of {some(absent)}" if absent else ""
    note = f"The test part is the source '{source}'{lacks}; the model learnt from the other sources."
    return FoldView(place, 1, fold.name, folder, _seen_by(data, division, fold, [note]))


def _seen_by(data: PreparedData, division: Division | LeaveOneSourceOut, fold: Fold, notes: list[str]) -> PreparedData:
    """The data set under the split of a fold."""
    said = {
        "fold": fold.name,
        "division": asdict(division),
        "split": hashlib.sha256("\n".join(fold.split).encode()).hexdigest(),
    }
    return _resplit(data, division, fold.split, said, notes)


def _whole(
    data: PreparedData, division: Division | LeaveOneSourceOut, views: tuple[FoldView, ...], notes: list[str]
) -> PreparedData:
    tested = pl.any_horizontal(*(view.data.manifest["split"] == "test" for view in views))
    split = data.manifest.select(split=pl.when(tested).then(pl.lit("test")).otherwise(pl.lit("none")))["split"]
    return _resplit(data, division, split, {"division": asdict(division)}, notes)


def _resplit(
    data: PreparedData, division: Division | LeaveOneSourceOut, split: pl.Series, said: dict[str, Any], notes: list[str]
) -> PreparedData:
    """The data set under another split: a fingerprint of its own, and what is known of the data where it still holds."""
    manifest = data.manifest.with_columns(split)
    derived = hashlib.sha256(json.dumps([data.fingerprint, said], sort_keys=True).encode()).hexdigest()
    audit = data.facts["audit"]
    kept = [note for note in data.facts["notes"] if not _OF_SPLIT.match(note)]
    if division.by == "image":
        kept.append(BY_IMAGE)
    else:
        # This one speaks of the split that the folds replace.
        audit = [finding for finding in audit if finding["check"] != "patient-across-splits"]
    facts = {
        **data.facts,
        "fingerprint": derived,
        "pixels": data.facts.get("pixels", data.fingerprint),
        "audit": audit,
        "notes": [*kept, *notes],
        "counts": counts(manifest),
    }
    return replace(data, manifest=manifest, facts=facts)
