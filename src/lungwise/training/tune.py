"""Search for a better recipe: many short trainings, judged on validation alone. The test part is never opened.

Sampling is the tree-structured Parzen estimator (Bergstra et al., NIPS 2011) of Optuna, seeded by the recipe and the number of
finished trials, so that an interrupted search ends as an unbroken one. A trial whose validation loss is worse than the median
of the others at the same epoch is given up.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from lungwise.data.manifest import counts
from lungwise.data.store import PreparedData
from lungwise.errors import DataError, RecipeError, RunError, require
from lungwise.files import write_json
from lungwise.recipe import Recipe
from lungwise.training.features import SHARED, FeatureWatcher
from lungwise.training.fit import Silent, Watcher, train
from lungwise.training.run import Run, start_run
from lungwise.training.schedule import best_epoch, small_epochs
from lungwise.training.search import Search, applied
from lungwise.training.trials import Trial, best_of, shown, write_trials

STARTUP = 5
"""Trials that are neither guided by others nor given up."""


def without_test(data: PreparedData) -> PreparedData:
    """The same data without a test part: nothing that works on the result can read a test image by its split."""
    kept = pl.when(pl.col("split") == "test").then(pl.lit("none")).otherwise(pl.col("split"))
    manifest = data.manifest.with_columns(split=kept)
    derived = hashlib.sha256(f"{data.fingerprint}:without test".encode()).hexdigest()
    pixels = data.facts.get("pixels", data.fingerprint)
    return replace(
        data, manifest=manifest, facts={**data.facts, "fingerprint": derived, "pixels": pixels, "counts": counts(manifest)}
    )


def tune(
    data: PreparedData,
    base: Recipe,
    searches: Sequence[Search],
    out: Path | str,
    trials: int = 20,
    watcher: Watcher | None = None,
    *,
    stop: Callable[[], bool] = lambda: False,
    begin: Callable[[str], None] = lambda text: None,
) -> list[Trial]:
    """Search until so many trials are finished; called again after an interruption, it goes on where it was.

    Writes ``best.toml`` (a recipe), ``trials.csv`` and ``trials.md`` after every trial.

    Args:
        data: a prepared data set; its test part is not used.
        base: the recipe that is varied.
        searches: what may vary, and how far.
        out: a directory, new or begun by the same recipe, data and searches.
        trials: how many, given-up and failed ones included; with more than before, the search goes on.
        watcher: who is told how each training goes.
        stop: as for :func:`lungwise.training.fit.train`.
        begin: told which trial is about to be trained with what.

    Returns:
        All trials in the order in which they were finished.

    Raises:
        RunError: the directory holds something else, or no trial was completed.
        MissingExtraError: Optuna is not installed.
        TrainingStoppedError: ``stop`` answered True; the same call continues.
    """
    view = without_test(data)
    folder = _open(Path(out), base, view, searches)
    with _study(folder, base) as study:
        _repeat_interrupted(study)
        while (number := len(_finished(study))) < trials:
            trial = _ask(study, searches, base, number)
            name = trial.user_attrs["folder"]
            values = ", ".join(f"{key} {shown(value)}" for key, value in trial.params.items())
            begin(f"trial {number + 1} of {trials}: {values}")
            _run(study, trial, base, view, folder / "trials" / name, watcher or Silent(), stop)
            _report(study, base, folder)
        found = _report(study, base, folder) if trials > 0 else []
    if best_of(found) is None:
        reason = next((trial.reason for trial in found if trial.reason), "all were given up")
        raise RunError(f"At least one trial must be completed, but none of {len(found)} was ({reason}); narrow the ranges.")
    return found


def _open(folder: Path, base: Recipe, view: PreparedData, searches: Sequence[Search]) -> Path:
    """The directory, new or begun by the same recipe, data and searches."""
    record, asked = folder / "tune.json", [str(search) for search in searches]
    if not record.exists() and (folder / "history.jsonl").exists():
        raise RunError(f"Tuning needs a directory of its own, but {folder} holds a run; choose another --out.")
    start_run(folder, base, view)
    if record.exists():
        try:
            found = json.loads(record.read_text(encoding="utf-8"))["search"]
        except (ValueError, KeyError, TypeError) as cause:
            raise RunError(f"{record} is damaged ({cause}); tune into another directory.") from cause
        if found != asked:
            raise RunError(f"{folder} holds a search of {' '.join(found)}, not of {' '.join(asked)}; choose another --out.")
    else:
        write_json(record, {"search": asked})
    # Trials on a frozen backbone share what it makes of the images.
    (folder / SHARED).mkdir(exist_ok=True)
    return folder


@contextmanager
def _study(folder: Path, base: Recipe) -> Iterator[Any]:
    optuna = require("optuna", "tune", "tuning")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / 'study.db').resolve()}")
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=max(1, base.fit.epochs // 5))
    try:
        yield optuna.create_study(storage=storage, study_name="lungwise", load_if_exists=True, pruner=pruner)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _finished(study: Any) -> list[Any]:
    """Trials that need not be done again: those that failed have a reason, interrupted ones have none."""
    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    ended = [trial for trial in ended if trial.state.name != "FAIL" or "reason" in trial.user_attrs]
    return sorted(ended, key=lambda trial: (trial.datetime_complete, trial.number))


def _repeat_interrupted(study: Any) -> None:
    """Trials that a killed process left are marked failed, and stand first in the queue; their runs continue."""
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name == "RUNNING":
            study.tell(trial.number, state=type(trial.state).FAIL)
            study.enqueue_trial(trial.params, user_attrs=dict(trial.user_attrs))


def _ask(study: Any, searches: Sequence[Search], base: Recipe, number: int) -> Any:
    """The next trial; which one follows from the finished ones alone."""
    optuna = require("optuna", "tune", "tuning")
    study.sampler = optuna.samplers.TPESampler(
        seed=(base.seed + 7919 * number) % 2**32, n_startup_trials=STARTUP, constant_liar=False
    )
    trial = study.ask({search.key: _distribution(search) for search in searches})
    if "folder" not in trial.user_attrs:
        trial.set_user_attr("folder", f"{number + 1:04d}")
    return trial


def _distribution(search: Search) -> Any:
    kinds = require("optuna", "tune", "tuning").distributions
    if search.choices:
        return kinds.CategoricalDistribution(search.choices)
    kind = kinds.IntDistribution if isinstance(search.low, int) else kinds.FloatDistribution
    return kind(search.low, search.high, log=search.log)


class _Judge:
    """Tells the study of every epoch and gives a trial up when the study says so; passes everything on."""

    def __init__(self, trial: Any, watcher: Watcher) -> None:
        self._trial, self._watcher = trial, watcher

    def started(self, run: Run, first_epoch: int, steps: int) -> None:
        """Report what an interrupted run had done before."""
        self._watcher.started(run, first_epoch, steps)
        self._small = small_epochs(run.recipe.fit)
        for record in run.history():
            self._tell(record)

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        """Pass it on."""
        self._watcher.step(epoch, step, logs)

    def computed(self, done: int, total: int) -> None:
        """Pass it on."""
        if isinstance(self._watcher, FeatureWatcher):
            self._watcher.computed(done, total)

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """Report the epoch; raise Optuna's TrialPruned where it is not worth while to go on."""
        self._watcher.epoch(record, best)
        if self._tell(record) and self._trial.should_prune():
            raise require("optuna", "tune", "tuning").TrialPruned

    def _tell(self, record: dict[str, Any]) -> bool:
        """Report an epoch's validation loss; at a smaller image size it is another quantity and is kept back."""
        if record["epoch"] <= self._small:
            return False
        self._trial.report(record["val_loss"], record["epoch"])
        return True


def _run(
    study: Any, trial: Any, base: Recipe, view: PreparedData, folder: Path, watcher: Watcher, stop: Callable[[], bool]
) -> None:
    """Train one trial and tell the study how it ended; a recipe that cannot be trained is a failed trial."""
    optuna = require("optuna", "tune", "tuning")
    states = optuna.trial.TrialState
    try:
        run = train(view, applied(base, trial.params), folder, _Judge(trial, watcher), stop)
    except optuna.TrialPruned:
        _note(trial, folder)
        study.tell(trial, state=states.PRUNED)
    except (DataError, RecipeError, RunError) as fault:
        trial.set_user_attr("reason", str(fault))
        _note(trial, folder)
        study.tell(trial, state=states.FAIL)
    else:
        history = run.history()
        _note(trial, folder)
        study.tell(trial, history[best_epoch(history, run.recipe.fit.monitor) - 1]["val_loss"])


def _note(trial: Any, folder: Path) -> None:
    path = folder / "history.jsonl"
    history = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    trial.set_user_attr("epochs", len(history))
    trial.set_user_attr("seconds", round(sum(record["seconds"] for record in history), 1))


def _report(study: Any, base: Recipe, folder: Path) -> list[Trial]:
    """Write what is known so far; of the trials' weights only the best one's are kept."""
    found = [_trial(number, trial) for number, trial in enumerate(_finished(study), start=1)]
    best = best_of(found)
    write_trials(folder, found, applied(base, best.values) if best else None)
    for trial in found:
        if trial is not best:
            shutil.rmtree(folder / "trials" / trial.folder / "checkpoints", ignore_errors=True)
    return found


def _trial(number: int, trial: Any) -> Trial:
    state = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}[trial.state.name]
    said, loss = trial.user_attrs, trial.value if trial.state.name == "COMPLETE" else None
    return Trial(number, state, trial.params, loss, said["epochs"], said["seconds"], said["folder"], said.get("reason", ""))
