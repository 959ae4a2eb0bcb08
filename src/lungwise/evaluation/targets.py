"""The three targets that the original project set itself, and whether a run meets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ACCURACY = 0.85
CONVERGED_BY = 20
CONVERGED_WITHIN = 0.01
SMALL_GAP = 0.05
"""The project asked for a "small" gap; we take five points."""


def learning(history: Sequence[dict[str, Any]], train_accuracy: float | None, test_accuracy: float | None) -> dict[str, Any]:
    """What the learning curves say.

    Args:
        history: one dictionary an epoch.
        train_accuracy: of the final model on training images without augmentation; None when it was not predicted.
        test_accuracy: of the final model on the test part; None when there is none.

    Returns:
        epochs, epochs_to_best (validation accuracy), converged_at (first epoch whose training accuracy is within one
        point of its best), train_test_gap, seconds.
    """
    validation = [float(record["val_accuracy"]) for record in history]
    training = [float(record["accuracy"]) for record in history]
    best = max(training, default=0.0)
    known = train_accuracy is not None and test_accuracy is not None
    # Epochs with smaller images do not compete.
    size = history[-1].get("image_size") if history else None
    rivals = [index for index, record in enumerate(history) if record.get("image_size") == size]
    return {
        "epochs": len(history),
        "epochs_to_best": max(rivals, key=validation.__getitem__) + 1 if rivals else None,
        "converged_at": next((i for i, value in enumerate(training, 1) if value >= best - CONVERGED_WITHIN), None),
        "train_test_gap": train_accuracy - test_accuracy if known else None,  # type: ignore[operator]
        "seconds": round(sum(float(record["seconds"]) for record in history), 1),
    }


def targets(test_accuracy: float | None, learned: dict[str, Any]) -> list[dict[str, Any]]:
    """The three targets, each with what was wanted, what came, and whether it is met (None: cannot be said)."""
    converged, gap = learned["converged_at"], learned["train_test_gap"]
    return [
        {
            "target": "test accuracy",
            "wanted": f"at least {ACCURACY:.0%}",
            "got": "no test part" if test_accuracy is None else f"{test_accuracy:.1%}",
            "met": None if test_accuracy is None else test_accuracy >= ACCURACY,
        },
        {
            "target": "training accuracy converged",
            "wanted": f"within {CONVERGED_BY} epochs",
            "got": "no epochs" if converged is None else f"within one point of its best at epoch {converged}",
            "met": None if converged is None else converged <= CONVERGED_BY,
        },
        {
            "target": "gap between training and test accuracy",
            "wanted": f"small: at most {SMALL_GAP * 100:.0f} points",
            "got": "not known" if gap is None else f"{gap * 100:+.1f} points",
            "met": None if gap is None else gap <= SMALL_GAP,
        },
    ]
