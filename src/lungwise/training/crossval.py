"""Cross-validation: one run directory a fold, and the test predictions of all folds in one file."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from lungwise.data.folds import Fold, k_folds
from lungwise.data.manifest import counts
from lungwise.data.store import PreparedData
from lungwise.errors import DataError, RunError
from lungwise.files import write_json, write_whole
from lungwise.recipe import Recipe
from lungwise.training.features import SHARED, keeps_features
from lungwise.training.fit import Watcher, train
from lungwise.training.run import Run, environment, open_run, start_run

RECORD = "crossval.json"
"""Marks the directory of a cross-validation."""
BY_IMAGE = "split by image: films of one patient stand on both sides; the figure is too good"


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
            raise DataError(f"Folds are divided by patient or by image, got '{self.by}'; correct --by.")


@dataclass(frozen=True, eq=False)
class FoldView:
    """The data set as one fold sees it.

    Args:
        fold: its number, from 1.
        repeat: the number of the repeat, from 1.
        name: such as "fold 1/5".
        folder: the name of its run directory, such as "fold-1of5".
        data: the same pixels; a manifest with the fold's split, and a fingerprint of its own.
    """

    fold: int
    repeat: int
    name: str
    folder: str
    data: PreparedData


def fold_views(data: PreparedData, division: Division) -> list[FoldView]:
    """The folds of a data set, repeat by repeat.

    Raises:
        DataError: a number is out of range, or a class has too few patients.
    """
    table = data.manifest
    if division.by == "image":
        table = table.with_columns(patient=pl.col("image")).drop("group", strict=False)
    made = k_folds(table, division.folds, repeats=division.repeats, include_test=division.include_test)
    return [_view(data, division, fold, number) for number, fold in enumerate(made)]


def cross_validate(
    data: PreparedData,
    recipe: Recipe,
    out: Path | str,
    division: Division,
    watcher: Watcher | None = None,
    *,
    stop: Callable[[], bool] = lambda: False,
    begin: Callable[[str], None] = lambda name: None,
) -> Run:
    """Train and test a recipe on every fold; called again after an interruption, it goes on where it was.

    Args:
        data: a prepared data set.
        recipe: how to train.
        out: a directory, new or begun by the same recipe, data and division.
        division: how to divide.
        watcher: who is told how each training goes.
        stop: as for :func:`lungwise.training.fit.train`.
        begin: told the name of each fold that is about to be trained.

    Returns:
        The directory as a run. Its ``predictions.parquet`` has the columns of any run's, and ``fold`` and ``repeat``, for
        the test and validation images of every fold.

    Raises:
        DataError: a class has too few patients, or a part is too small.
        RunError: the directory holds something else.
        TrainingStoppedError: ``stop`` answered True; the same call continues.
    """
    views = fold_views(data, division)
    top = _open(Path(out), recipe, data, division, views)
    if top.finished:
        return top
    if keeps_features(recipe):
        (top.folder / SHARED).mkdir(exist_ok=True)
    runs = []
    for view in views:
        begin(view.name)
        runs.append(train(view.data, recipe, top.folder / view.folder, watcher, stop))
    _gather(top, views, runs)
    shutil.rmtree(top.folder / SHARED, ignore_errors=True)
    return top


def _view(data: PreparedData, division: Division, fold: Fold, number: int) -> FoldView:
    repeat, place = divmod(number, division.folds)
    folder = f"fold-{place + 1}of{division.folds}"
    if division.repeats > 1:
        folder = f"repeat-{repeat + 1}of{division.repeats}-{folder}"
    manifest = data.manifest.with_columns(fold.split)
    said = {
        "fold": fold.name,
        "division": asdict(division),
        "split": hashlib.sha256("\n".join(fold.split).encode()).hexdigest(),
    }
    facts = _facts(data, division, said) | {"counts": counts(manifest)}
    return FoldView(place + 1, repeat + 1, fold.name, folder, replace(data, manifest=manifest, facts=facts))


def _facts(data: PreparedData, division: Division, said: dict[str, Any]) -> dict[str, Any]:
    """The facts of a view: a fingerprint of its own, and what is known of the data where it still holds."""
    pixels = data.facts.get("pixels", data.fingerprint)
    derived = hashlib.sha256(json.dumps([data.fingerprint, said], sort_keys=True).encode()).hexdigest()
    audit, notes = data.facts["audit"], data.facts["notes"]
    if division.by == "image":
        notes = [*notes, BY_IMAGE]
    else:
        # This one speaks of the split that the folds replace.
        audit = [finding for finding in audit if finding["check"] != "patient-across-splits"]
    return {**data.facts, "fingerprint": derived, "pixels": pixels, "audit": audit, "notes": notes}


def _open(folder: Path, recipe: Recipe, data: PreparedData, division: Division, views: list[FoldView]) -> Run:
    """The directory of the whole, new or begun by the same recipe, data and division."""
    tested = pl.any_horizontal(*(view.data.manifest["split"] == "test" for view in views[: division.folds]))
    manifest = data.manifest.with_columns(split=pl.when(tested).then(pl.lit("test")).otherwise(pl.lit("none")))
    facts = _facts(data, division, {"division": asdict(division)}) | {"counts": counts(manifest)}
    record = folder / RECORD
    if record.exists():
        _check_division(folder, division)
    elif (folder / "recipe.toml").exists() and open_run(folder).data["fingerprint"] != facts["fingerprint"]:
        raise RunError(f"Cross-validation needs a directory of its own, but {folder} holds a single run; choose another --out.")
    top = start_run(folder, recipe, replace(data, manifest=manifest, facts=facts))
    runs = [{"folder": view.folder, "name": view.name, "fold": view.fold, "repeat": view.repeat} for view in views]
    write_json(record, {"division": asdict(division), "data_fingerprint": data.fingerprint, "runs": runs})
    return top


def _check_division(folder: Path, division: Division) -> None:
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))["division"]
    except (ValueError, KeyError, TypeError) as cause:
        raise RunError(f"{folder / RECORD} is damaged ({cause}); train into another directory.") from cause
    for key, value in asdict(division).items():
        if found.get(key) != value:
            raise RunError(
                f"{folder} holds a cross-validation whose {key.replace('_', '-')} is {found.get(key)}, not {value}; choose "
                "another --out."
            )


def _gather(top: Run, views: list[FoldView], runs: list[Run]) -> None:
    """Put the folds' predictions together; the file's presence marks the whole as finished."""
    tables, histories = [], []
    for view, run in zip(views, runs, strict=True):
        place = {"fold": view.fold, "repeat": view.repeat}
        table = pl.read_parquet(run.folder / "predictions.parquet").filter(pl.col("split").is_in(["test", "validation"]))
        tables.append(table.with_columns(pl.lit(number, pl.Int32).alias(name) for name, number in place.items()))
        histories += [{**place, **record} for record in run.history()]
    top.write_history(histories)
    facts = {"recipe": top.recipe.name, "description": top.recipe.description}
    seconds = round(sum(record["seconds"] for record in histories), 1)
    write_json(top.folder / "environment.json", {**facts, **environment(), "training_seconds": seconds})
    write_whole(top.folder / "predictions.parquet", pl.concat(tables).write_parquet)
