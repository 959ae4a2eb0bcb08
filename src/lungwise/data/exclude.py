"""Leave images out by name, by check or because they are copies; rows stay in the manifest and say why."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl

from lungwise.data.audit.duplicates import Pairs, grouped
from lungwise.data.audit.finding import merged
from lungwise.data.audit.suspects import CHECKS, name_suspects, suspects
from lungwise.data.pixels import Chosen, Squares
from lungwise.errors import DataError, some
from lungwise.files import read_text

_RANK = {"test": 0, "validation": 1, "train": 2}
"""Of copies in several parts that the source gives, the test part keeps its own: it must stay comparable with others'."""


def exclude(table: pl.DataFrame, squares: Squares, wishes: Sequence[str]) -> pl.DataFrame:
    """Leave out what a user names.

    Args:
        table: a manifest with the column ``row``.
        squares: the squares of the whole manifest.
        wishes: names of checks (see ``CHECKS``), text files with one path a line, or patterns on paths such as ``*/bad_*``.

    Returns:
        The manifest with ``status`` "excluded: ..." and ``split`` "none" for the images meant.

    Raises:
        DataError: a wish is no check and no file, and matches no image.
    """
    readable = table.filter(pl.col("status") == "ok")
    found: dict[str, list[str]] = {}
    if any(wish in CHECKS for wish in wishes):
        pictures = Chosen(squares, readable["row"].to_numpy().astype("int64"))
        both = merged([*name_suspects(readable), *suspects(readable, pictures)])
        found = {finding.check: list(finding.images) for finding in both}
    for wish in wishes:
        paths = found.get(wish, []) if wish in CHECKS else _named(wish, table["path"].to_list())
        table = set_aside(table, dict.fromkeys(paths, f"excluded: {wish}"))
    return table


def drop_copies(table: pl.DataFrame, pairs: Pairs) -> pl.DataFrame:
    """Keep one of each picture.

    Of copies with one label, the test part's is kept before the validation part's before the training part's, then the
    largest. Copies with different labels are all left out, because nobody knows which label is right.

    Args:
        table: a manifest with the column ``row``; ``split`` is "" where it is still open.
        pairs: rows that show the same picture.
    """
    used = table.filter((pl.col("status") == "ok") & (pl.col("split") != "none"))
    facts = {
        path: (split, area) for path, split, area in used.select("path", "split", pl.col("width") * pl.col("height")).rows()
    }
    why: dict[str, str] = {}
    for paths, kind in grouped(used, pairs).select("paths", "kind").iter_rows():
        if kind == 0:
            why |= dict.fromkeys(paths, "excluded: the same picture stands under different labels")
            continue
        ranked = sorted(paths, key=lambda path: (_RANK.get(facts[path][0], 2), -facts[path][1], path))
        why |= dict.fromkeys(ranked[1:], f"excluded: duplicate of {ranked[0]}")
    return set_aside(table, why)


def set_aside(table: pl.DataFrame, why: dict[str, str]) -> pl.DataFrame:
    """Give readable rows the status ``why[path]`` and the split "none"."""
    hit = pl.col("path").is_in(list(why)) & (pl.col("status") == "ok")
    reason = pl.col("path").replace_strict(why, default="", return_dtype=pl.String)
    return table.with_columns(
        status=pl.when(hit).then(reason).otherwise(pl.col("status")),
        split=pl.when(hit).then(pl.lit("none")).otherwise(pl.col("split")),
    )


def _named(wish: str, paths: list[str]) -> list[str]:
    file = Path(wish)
    if file.is_file():
        lines = {line.strip() for line in read_text(file).splitlines()} - {""}
        strange = sorted(lines - set(paths))
        if strange:
            raise DataError(
                f"Every line of {file.name} must be the path of an image as the manifest has it, but {len(strange)} are none "
                f"({some(strange, 3)}); correct them."
            )
        return sorted(lines)
    matching = [path for path in paths if fnmatchcase(path, wish)]
    if not matching:
        raise DataError(
            f"--exclude takes a check ({', '.join(CHECKS)}), a file of paths or a pattern, but no image matches '{wish}'; "
            "correct it."
        )
    return matching
