"""Keep a finished and evaluated run under docs/results/, and print its row for docs/results.md.

    .venv/bin/python tools/record.py runs/a docs/results/kermany/kaggle-cnn

Only figures, recipe, predictions and versions are kept: no pixels, no weights, no path of the machine.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from lungwise.evaluation.report import decimal, percent

FILES = ("recipe.toml", "metrics.json", "predictions.parquet", "environment.json", "history.jsonl")


def main(run: Path, place: Path) -> None:
    """Copy the record and print the table's row."""
    place.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(run / name, place / name)
    metrics = json.loads((place / "metrics.json").read_text())
    part = metrics["parts"][metrics["part"]]
    training, decision = metrics["training"], metrics["decision"]
    threshold = "largest probability" if decision["rule"] == "argmax" else f"{decision['rule']}, {decision['threshold']:.3f}"
    cells = [
        f"[{place.name}](results/{place.parent.name}/{place.name})",
        percent(part["accuracy"]),
        percent(part["balanced_accuracy"]),
        decimal(part["macro_auroc"]),
        threshold,
        f"{training['epochs']} ({training['kept_epoch']})",
        f"{training['seconds'] / 60:.0f} min",
    ]
    print("| " + " | ".join(cells).replace("\u00a0", " ") + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
