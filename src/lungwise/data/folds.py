"""Cross-validation: every patient is tested once per repeat, or every source is left out once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.data.groups import units
from lungwise.data.split import assign, in_hash_order, strata
from lungwise.errors import DataError


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of a manifest into train, validation and test.

    Args:
        name: such as "fold 1/5, repeat 1/2", "fold 1/5" where nothing is repeated, or "source ricord".
        split: String [rows of the manifest], named "split": "train", "validation", "test", or "none" for a row that takes no
            part; ``manifest.with_columns(fold.split)`` is the manifest of this fold.
        classes: the labels of the test part, sorted.
    """

    name: str
    split: pl.Series
    classes: tuple[str, ...]

    def rows(self, part: str) -> NDArray[np.int64]:
        """Row numbers of one part, int64 [n], ascending."""
        return np.flatnonzero((self.split == part).to_numpy()).astype(np.int64)


@dataclass(frozen=True, eq=False)
class SourceFolds:
    """The folds of :func:`leave_one_source_out`; iterate over it.

    Args:
        folds: one for each source that can be left out, by name.
        refused: source to one sentence that says why it cannot.
    """

    folds: tuple[Fold, ...]
    refused: Mapping[str, str]

    def __iter__(self) -> Iterator[Fold]:
        return iter(self.folds)

    def __len__(self) -> int:
        return len(self.folds)


def k_folds(
    table: pl.DataFrame,
    k: int = 5,
    seed: int = 0,
    repeats: int = 1,
    *,
    validation: float = 0.15,
    include_test: bool = False,
) -> list[Fold]:
    """k-fold cross-validation by patient (by group, where the table has a column ``group``), repeated if wanted.

    In every repeat each patient is in exactly one test part. A patient with two labels is dealt under the rarer one. The
    patients of a label differ by at most one between test parts, those of a label and source by at most one for each size
    class (1 film, 2-3, 4-7, ...; the largest are dealt first), so that a patient of very many films upsets the number of
    images of one fold only. Patients are cut into folds in the order of a seeded hash: an added patient moves at most
    k - 1 others of its label, source and size class, and at most k (k - 1) / 2 of each other source and size class.

    Args:
        table: a manifest. Rows with split "none" or a status other than "ok" take no part; nor does its test part, which
            stays untouched for the final test, unless ``include_test``.
        k: number of folds, at least 2.
        seed: another seed gives other folds.
        repeats: how often everything is divided anew, at least 1.
        validation: share of each fold's training patients that becomes its validation part, in (0, 1).
        include_test: the manifest's test part takes part too.

    Returns:
        k x repeats folds, repeat by repeat; every class stands in every part of each.

    Raises:
        DataError: an argument is out of range, or a class has too few patients.
    """
    _check_share(validation)
    if k < 2:
        raise DataError(f"Cross-validation needs at least 2 folds, got {k}; raise the number of folds.")
    if repeats < 1:
        raise DataError(f"Cross-validation must be done at least once, got {repeats} repeats; raise the number of repeats.")
    used = _used(table, include_test=include_test)
    unit, members, labels = units(used), strata(used), _labels(used)
    _check_enough(members, labels, k)
    folds = []
    for repeat in range(repeats):
        salt = f"{seed}:folds:{repeat}"
        dealt = _deal(members, k, salt)
        for number in range(k):
            test = {name for name, fold in dealt.items() if fold == number}
            rest = members.filter(~pl.col("unit").is_in(test))
            part = assign(rest, labels, {"validation": validation}, f"{salt}:{number}") | dict.fromkeys(test, "test")
            name = f"fold {number + 1}/{k}" + (f", repeat {repeat + 1}/{repeats}" if repeats > 1 else "")
            folds.append(_fold(name, table, used, _parts(unit, part)))
    return folds


def leave_one_source_out(table: pl.DataFrame, seed: int = 0, *, validation: float = 0.15) -> SourceFolds:
    """Each source in turn is the test part; the model learns from the others alone.

    All images of the source are tested, whatever their split. Patients (or groups) of the source who also stand in other
    sources are left out of training with those images.

    Args:
        table: a manifest. Rows with split "none" or a status other than "ok" take no part.
        seed: decides the validation parts.
        validation: share of the remaining patients that becomes the validation part, in (0, 1).

    Returns:
        One fold for each source without which every class still stands in training and validation, and the reasons for
        the others. ``fold.classes`` says which classes the source has: often not all.

    Raises:
        DataError: there is one source only, or none can be left out.
    """
    _check_share(validation)
    used = _used(table, include_test=True)
    sources = sorted(set(used["source"]))
    if len(sources) < 2:
        raise DataError(
            f"Leaving one source out needs at least two sources, but all {used.height} images come from '{sources[0]}'; use "
            "k folds, or name the sources in the column 'source'."
        )
    unit, labels = units(used), _labels(used)
    folds, refused = [], {}
    for source in sources:
        test = used["source"] == source
        members = strata(used.filter(~unit.is_in(unit.filter(test).unique().implode())))
        if lost := _too_few(members, labels, 2):
            refused[source] = (
                f"Leaving a source out must leave 2 patients of every class, one for each of train and validation, but without "
                f"'{source}' class '{lost[0]}' has {lost[1]}; add images of this class from another source."
            )
            continue
        part = _parts(unit, assign(members, labels, {"validation": validation}, f"{seed}:source:{source}"))
        folds.append(_fold(f"source {source}", table, used, part.set(test, "test")))
    if not folds:
        raise DataError(refused[sources[0]])
    return SourceFolds(tuple(folds), refused)


def _deal(members: pl.DataFrame, k: int, salt: str) -> dict[str, int]:
    """Fold of each patient or group.

    scikit-learn's StratifiedGroupKFold is not used: it sorts groups by the spread of their labels and puts each where it
    fits best at the moment, so that one added patient may move all others, and its folds depend on the order of rows.
    """
    fold_of: dict[str, int] = {}
    sized = members.with_columns(size=pl.Series([films.bit_length() for films in members["films"]]))
    for turn, label in enumerate(members["label"].unique().sort()):
        rows = sized.filter(pl.col("label") == label)
        patients, films = np.zeros(k, np.int64), np.zeros(k, np.int64)
        of_source = {source: np.zeros(k, np.int64) for source in rows["source"].unique()}
        # Ties go to another fold for each label, so that the first fold does not collect all that is left over.
        turned = (np.arange(k) - turn) % k
        for size, source in rows.select("size", "source").unique().sort("size", "source", descending=[True, False]).iter_rows():
            stratum = rows.filter((pl.col("size") == size) & (pl.col("source") == source))
            images = dict(stratum.select("unit", "films").iter_rows())
            whole, left = divmod(len(images), k)
            places = np.full(k, whole)
            places[np.lexsort((turned, films, of_source[source], patients))[:left]] += 1
            numbers = np.repeat(np.arange(k), places)
            names = in_hash_order(list(images), salt)
            fold_of |= dict(zip(names, numbers.tolist(), strict=True))
            patients += places
            of_source[source] += places
            films += np.bincount(numbers, weights=[images[name] for name in names], minlength=k).astype(np.int64)
    return fold_of


def _used(table: pl.DataFrame, *, include_test: bool) -> pl.DataFrame:
    """The rows that take part, with their row numbers in the column ``row``."""
    left_out = ["none"] if include_test else ["none", "test"]
    used = table.with_row_index("row").filter((pl.col("status") == "ok") & ~pl.col("split").is_in(left_out))
    if used.height == 0:
        raise DataError(f"Folds need readable images, but none of the {table.height} rows may take part; prepare them again.")
    return used


def _labels(used: pl.DataFrame) -> list[str]:
    return sorted(set(used["label"]))


def _parts(unit: pl.Series, part: Mapping[str, str]) -> pl.Series:
    return unit.replace_strict(part, default="none", return_dtype=pl.String)


def _fold(name: str, table: pl.DataFrame, used: pl.DataFrame, part: pl.Series) -> Fold:
    """A fold over all rows of the manifest from the parts of those that take part."""
    split = pl.repeat("none", table.height, eager=True).scatter(used["row"], part).alias("split")
    return Fold(name, split, tuple(sorted(set(used.filter(part == "test")["label"]))))


def _check_share(validation: float) -> None:
    if not 0 < validation < 1:
        raise DataError(f"The share of validation must lie between 0 and 1, got {validation}; correct it.")


def _check_enough(members: pl.DataFrame, labels: list[str], k: int) -> None:
    """Each class must reach every test part and leave two patients, one to learn from and one for validation."""
    needed = 4 if k == 2 else k
    if few := _too_few(members, labels, needed):
        raise DataError(
            f"Each class needs at least {needed} patients for {k} folds with train, validation and test, but class "
            f"'{few[0]}' has {few[1]}; take fewer folds or add patients."
        )


def _too_few(members: pl.DataFrame, labels: list[str], needed: int) -> tuple[str, int] | None:
    """The first class with fewer patients than needed, and how many it has."""
    number = dict(members.group_by("label").len().iter_rows())
    return next(((label, number.get(label, 0)) for label in labels if number.get(label, 0) < needed), None)
