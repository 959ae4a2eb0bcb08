"""The outcome of a search: a table of its trials for machines and for people, and the best recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import tomli_w

from lungwise.files import write_text, write_whole
from lungwise.recipe import Recipe


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Args:
        number: from 1, in the order in which trials were finished.
        state: "complete", "pruned" (given up) or "failed".
        values: key to value.
        val_loss: of the epoch that was kept; None unless complete.
        epochs: how many were trained.
        seconds: that they took.
        folder: the name of its run directory.
        reason: why it failed, or "".
    """

    number: int
    state: str
    values: dict[str, Any]
    val_loss: float | None
    epochs: int
    seconds: float
    folder: str
    reason: str


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the smallest validation loss, the first of equals; None where none is complete."""
    complete = {trial.number: trial.val_loss for trial in trials if trial.val_loss is not None}
    if not complete:
        return None
    number = min(complete, key=lambda key: (complete[key], key))
    return next(trial for trial in trials if trial.number == number)


def write_trials(folder: Path, trials: Sequence[Trial], recipe: Recipe | None) -> None:
    """Write ``trials.csv`` and ``trials.md``, and ``best.toml`` where a trial is complete.

    Args:
        folder: the search's directory.
        trials: in the order in which they were finished.
        recipe: the best trial's.
    """
    write_whole(folder / "trials.csv", _table(trials).write_csv)
    write_text(folder / "trials.md", _page(trials))
    best = best_of(trials)
    if best is not None and recipe is not None:
        said = f"{recipe.name}, tuned: validation loss {best.val_loss:.4f}, the best of {len(trials)} trials."
        tuned = recipe.model_copy(update={"name": f"{recipe.name}-tuned", "description": said})
        write_text(folder / "best.toml", tomli_w.dumps(tuned.model_dump(mode="json")))


def shown(value: Any) -> str:
    """A value with four digits at most where it is a fraction."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(trials: Sequence[Trial]) -> pl.DataFrame:
    rows = [
        {
            "trial": trial.number,
            "state": trial.state,
            "val_loss": trial.val_loss,
            "epochs": trial.epochs,
            "seconds": trial.seconds,
            **trial.values,
            "folder": f"trials/{trial.folder}",
            "reason": trial.reason,
        }
        for trial in trials
    ]
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"val_loss": pl.Float64()})


def _page(trials: Sequence[Trial]) -> str:
    best, keys = best_of(trials), list(trials[0].values)
    states = [trial.state for trial in trials]
    seconds = sum(trial.seconds for trial in trials)
    head = ["trial", "validation loss", "epochs", *keys]
    ordered = sorted(trials, key=lambda trial: (trial.val_loss is None, trial.val_loss or 0.0, trial.number))
    lines = [
        "# Trials",
        "",
        f"{len(trials)} trials: {states.count('complete')} complete, {states.count('pruned')} given up early, "
        f"{states.count('failed')} failed; {seconds / 60:.1f} minutes of training.",
        "",
        f"Best: trial {best.number}, validation loss {best.val_loss:.4f}, in `best.toml`." if best else "None is complete yet.",
        "The best of many looks better on validation than it is; the test part was not used and can say what it is worth.",
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
    ]
    for trial in ordered:
        loss = trial.state if trial.val_loss is None else f"{trial.val_loss:.4f}"
        cells = [str(trial.number), loss, str(trial.epochs), *(shown(trial.values[key]) for key in keys)]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    reasons = [f"- Trial {trial.number}: {trial.reason}" for trial in trials if trial.reason]
    return "\n".join([*lines, *(["", "Failed:", "", *reasons] if reasons else [])]) + "\n"
