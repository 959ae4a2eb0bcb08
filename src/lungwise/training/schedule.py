"""Image size, learning rate and stopping follow from the history alone, so that a resumed training decides as an unbroken one.

Where images grow (``fit.progressive``), only epochs at ``model.image_size`` are compared with each other: on images of another
size the same network has another loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lungwise.recipe import Fit, Recipe

History = Sequence[dict[str, Any]]
"""One dictionary an epoch, with at least "val_loss" and "val_accuracy"."""


def image_size(recipe: Recipe, epoch: int) -> int:
    """Side of the images of an epoch, counted from 0: equal parts for all sizes, what remains for ``model.image_size``."""
    sizes = (*recipe.fit.progressive, recipe.model.image_size)
    return sizes[min(epoch // (recipe.fit.epochs // len(sizes)), len(sizes) - 1)]


def small_epochs(fit: Fit) -> int:
    """Epochs at smaller sizes, which come before those at ``model.image_size``."""
    smaller = len(fit.progressive)
    return smaller * (fit.epochs // (smaller + 1))


def score(record: dict[str, Any], monitor: str) -> float:
    """The monitored quantity, turned so that larger is better."""
    return float(-record[monitor] if monitor.endswith("loss") else record[monitor])


def best_epoch(history: History, monitor: str) -> int:
    """Number of the best epoch, counted from 1, of those with the last one's image size; the first of equals."""
    size = history[-1].get("image_size")
    same = [number for number, record in enumerate(history) if record.get("image_size") == size]
    return max(same, key=lambda number: score(history[number], monitor)) + 1


def epochs_without_improvement(history: History, monitor: str) -> int:
    """Epochs since the best one."""
    return len(history) - best_epoch(history, monitor) if history else 0


def should_stop(history: History, fit: Fit) -> bool:
    """Early stopping: no improvement for ``fit.early_stopping`` epochs at ``model.image_size``."""
    return 0 < fit.early_stopping <= epochs_without_improvement(history[small_epochs(fit) :], fit.monitor)


def plateau_rate(history: History, recipe: Recipe) -> float:
    """Learning rate of the next epoch: lowered each time ``patience`` epochs in a row bring no improvement.

    Epochs at smaller sizes than ``model.image_size`` do not count.
    """
    fit, rate = recipe.fit, recipe.optimiser.learning_rate
    best, waited = -math.inf, 0
    for record in history[small_epochs(fit) :]:
        value = score(record, fit.monitor)
        best, waited = (value, 0) if value > best else (best, waited + 1)
        if waited >= fit.plateau.patience:
            # A recipe that starts below the plateau's minimum keeps its own rate.
            rate = min(rate, max(rate * fit.plateau.factor, fit.plateau.minimum))
            waited = 0
    return rate


def step_rate(recipe: Recipe, epoch_rate: float, progress: float) -> float:
    """Learning rate of one step.

    Args:
        recipe: its ``optimiser`` and ``fit.epochs`` are used.
        epoch_rate: the plateau schedule's rate of this epoch.
        progress: epochs done, with fractions.
    """
    spec = recipe.optimiser
    if progress < spec.warmup_epochs:
        return float(spec.learning_rate * (progress + 1e-3) / spec.warmup_epochs)
    if spec.schedule == "plateau":
        return epoch_rate
    share = (progress - spec.warmup_epochs) / max(recipe.fit.epochs - spec.warmup_epochs, 1e-9)
    return 0.5 * spec.learning_rate * (1 + math.cos(math.pi * min(share, 1.0)))
