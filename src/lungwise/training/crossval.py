"""Cross-validation: one run directory a fold, and the test predictions of all folds in one file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import polars as pl

from lungwise.data.store import PreparedData
from lungwise.errors import RunError
from lungwise.files import write_json, write_whole
from lungwise.recipe import Recipe
from lungwise.training.backend import several_models
from lungwise.training.division import Divided, Division, FoldView, LeaveOneSourceOut, divide
from lungwise.training.features import SHARED, keeps_features
from lungwise.training.fit import Watcher, train
from lungwise.training.run import CROSSVAL, Run, environment, open_run, start_run


def cross_validate(
    data: PreparedData,
    recipe: Recipe,
    out: Path | str,
    division: Division | LeaveOneSourceOut,
    watcher: Watcher | None = None,
    *,
    stop: Callable[[], bool] = lambda: False,
    begin: Callable[[str], None] = lambda name: None,
    refused: Callable[[str], None] = lambda sentence: None,
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
        refused: told one sentence for each source that cannot be left out; the others are.

    Returns:
        The directory as a run. Its ``predictions.parquet`` has the columns of any run's, and ``fold``, ``repeat`` and
        ``fold_name``, for the test and validation images of every fold.

    Raises:
        DataError: a class has too few patients, no source can be left out, or a part is too small.
        RunError: the directory holds something else.
        TrainingStoppedError: ``stop`` answered True; the same call continues.
    """
    divided = divide(data, division)
    top = _open(Path(out), recipe, data, division, divided)
    if top.finished:
        return top
    for sentence in divided.refused.values():
        refused(sentence)
    if keeps_features(recipe):
        (top.folder / SHARED).mkdir(exist_ok=True)
    runs = []
    with several_models():
        for view in divided.views:
            begin(view.name)
            runs.append(train(view.data, recipe, top.folder / view.folder, watcher, stop))
    _gather(top, divided.views, runs)
    shutil.rmtree(top.folder / SHARED, ignore_errors=True)
    return top


def _open(folder: Path, recipe: Recipe, data: PreparedData, division: Division | LeaveOneSourceOut, divided: Divided) -> Run:
    """The directory of the whole, new or begun by the same recipe, data and division."""
    record = folder / CROSSVAL
    if record.exists():
        _check_division(record, division)
    elif (folder / "recipe.toml").exists() and open_run(folder).data["fingerprint"] != divided.whole.fingerprint:
        raise RunError(f"Cross-validation needs a directory of its own, but {folder} holds a single run; choose another --out.")
    top = start_run(folder, recipe, divided.whole)
    if not record.exists():
        runs = [{"folder": view.folder, "name": view.name, "fold": view.fold, "repeat": view.repeat} for view in divided.views]
        write_json(record, {"division": divided.said, "data_fingerprint": data.fingerprint, "runs": runs})
    return top


def _check_division(record: Path, division: Division | LeaveOneSourceOut) -> None:
    try:
        found = dict(json.loads(record.read_text(encoding="utf-8"))["division"])
    except (ValueError, KeyError, TypeError) as cause:
        raise RunError(f"{record} is damaged ({cause}); train into another directory.") from cause
    wanted = asdict(division)
    for key in ("by", *wanted):
        if found.get(key) != wanted[key]:
            raise RunError(
                f"{record.parent} holds a cross-validation whose {key.replace('_', '-')} is {found.get(key)}, not "
                f"{wanted[key]}; choose another --out."
            )


def _gather(top: Run, views: tuple[FoldView, ...], runs: list[Run]) -> None:
    """Put the folds' predictions together; the file's presence marks the whole as finished."""
    tables, histories = [], []
    for view, run in zip(views, runs, strict=True):
        place = {"fold": view.fold, "repeat": view.repeat}
        table = _predictions(run.folder / "predictions.parquet").filter(pl.col("split").is_in(["test", "validation"]))
        numbers = [pl.lit(number, pl.Int32).alias(name) for name, number in place.items()]
        tables.append(table.with_columns(*numbers, fold_name=pl.lit(view.name)))
        histories += [{**place, **record} for record in run.history()]
    top.write_history(histories)
    facts = {"recipe": top.recipe.name, "description": top.recipe.description}
    seconds = round(sum(record["seconds"] for record in histories), 1)
    write_json(top.folder / "environment.json", {**facts, **environment(), "training_seconds": seconds})
    write_whole(top.folder / "predictions.parquet", pl.concat(tables).write_parquet)


def _predictions(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except pl.exceptions.PolarsError as cause:
        raise RunError(f"{path} is damaged ({cause}); remove it, and the same command predicts again.") from cause
