"""A sheet of sample pictures: one row a class, so that a person sees at once what a collection holds."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lungwise.data.pixels import Squares
from lungwise.labels import LabelSet

COLUMNS = 8
SIDE = 112
_GAP, _TITLE = 6, 26
_PAPER, _INK = 255, 32


def sample_sheet(table: pl.DataFrame, squares: Squares) -> NDArray[np.uint8]:
    """Some films of every class, from as many sources as there are, always the same for the same collection.

    Args:
        table: a manifest with the column ``row``.
        squares: the squares of the whole manifest.

    Returns:
        uint8 [height, width], grey, titles included.
    """
    used = table.filter((pl.col("status") == "ok") & (pl.col("split") != "none"))
    labels = list(LabelSet.of(used["label"]))
    sheet = Image.new("L", (_GAP + COLUMNS * (SIDE + _GAP), len(labels) * (SIDE + _TITLE + _GAP) + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for number, label in enumerate(labels):
        top = number * (SIDE + _TITLE + _GAP) + _GAP
        rows = used.filter(pl.col("label") == label)
        pen.text((_GAP, top), f"{label} ({rows.height} images)", fill=_INK, font=font)
        for column, row in enumerate(_chosen(rows)):
            small = cv2.resize(np.asarray(squares[row]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            sheet.paste(Image.fromarray(np.asarray(small, np.uint8)), (_GAP + column * (SIDE + _GAP), top + _TITLE))
    return np.asarray(sheet)


def _chosen(rows: pl.DataFrame) -> list[int]:
    """Row numbers of a class' samples: one of each source in turn, in the order of a hash of the path."""
    marks = [hashlib.sha256(path.encode()).hexdigest() for path in rows["path"]]
    marked = rows.select("row", "source").with_columns(mark=pl.Series(marks, dtype=pl.String)).sort("mark")
    turn = pl.int_range(pl.len()).over("source")
    return [int(row) for row in marked.with_columns(turn=turn).sort("turn", "mark")["row"].head(COLUMNS)]
