"""A prepared data set on disk: manifest, memory-mapped pixels, facts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.data.manifest import read_manifest
from lungwise.data.pixels import Squares, open_pixels
from lungwise.errors import DataError
from lungwise.imaging.preprocess import Preprocess
from lungwise.labels import LabelSet


@dataclass(frozen=True)
class Subset:
    """Some rows of a prepared data set, such as its training part.

    Args:
        data: the whole data set.
        rows: int64 [n], row numbers in manifest and pixels.
    """

    data: PreparedData
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def manifest(self) -> pl.DataFrame:
        """The manifest's rows of this part, in order."""
        return self.data.manifest[self.rows]

    @cached_property
    def y(self) -> NDArray[np.int32]:
        """int32 [n], the column of each image's label."""
        labels = self.data.labels
        return np.array([labels.index(label) for label in self.manifest["label"]], dtype=np.int32)


@dataclass(frozen=True)
class PreparedData:
    """A prepared data set.

    Args:
        folder: where it lies.
        manifest: one row an image; see :mod:`lungwise.data.manifest`.
        pixels: uint8 [n, stored, stored], memory-mapped; row i belongs to row i of the manifest, whose rows of missing
            files come last and have none.
        facts: the contents of ``dataset.json``.
    """

    folder: Path
    manifest: pl.DataFrame
    pixels: Squares
    facts: dict[str, Any]

    @property
    def spec(self) -> Preprocess:
        """How the pixels were made."""
        return Preprocess(**self.facts["preprocess"])

    @property
    def labels(self) -> LabelSet:
        """The classes, in column order."""
        return LabelSet(tuple(self.facts["labels"]))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over specification, rows and pixels."""
        return str(self.facts["fingerprint"])

    def part(self, *splits: str) -> Subset:
        """The readable images of the given splits."""
        chosen = (self.manifest["status"] == "ok") & self.manifest["split"].is_in(splits)
        return Subset(self, np.flatnonzero(chosen.to_numpy()))

    @property
    def train(self) -> Subset:
        """The training part."""
        return self.part("train")

    @property
    def validation(self) -> Subset:
        """The validation part."""
        return self.part("validation")

    @property
    def test(self) -> Subset:
        """The test part."""
        return self.part("test")


def open_data(folder: Path | str) -> PreparedData:
    """Open a prepared data set.

    Raises:
        DataError: ``folder`` is none, is unfinished, or its parts do not fit together.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        side = facts["preprocess"]["stored"]
    except (FileNotFoundError, NotADirectoryError) as cause:
        unfinished = (folder / ".partial").exists()
        what = "is a preparation that was interrupted" if unfinished else "is not a prepared data set"
        raise DataError(f"{folder} {what}; run lungwise prepare SOURCE --out {folder}.") from cause
    except (ValueError, KeyError, TypeError) as cause:
        raise DataError(f"{folder / 'dataset.json'} is damaged ({cause}); prepare the data set again.") from cause
    manifest = read_manifest(folder / "manifest.parquet")
    present = int((manifest["status"] != "missing").sum())
    pixels = open_pixels(folder, present, side)
    return PreparedData(folder, manifest, pixels, facts)
