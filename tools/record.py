"""Keep a finished and evaluated run or cross-validation under docs/results/, and print its row for docs/results.md.

    .venv/bin/python tools/record.py runs/a docs/results/kermany/kaggle-cnn

Only figures, recipe, predictions and versions are kept: no pixels, no weights, no path of the machine.
"""

from __future__ import annotations

import io
import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import tomli_w

from lungwise.errors import LungwiseError, RunError
from lungwise.evaluation.texts import decimal, percent
from lungwise.files import write_whole

FILES = ("recipe.toml", "metrics.json", "predictions.parquet", "environment.json", "history.jsonl")
CROSSVAL = "crossval.json"
_PATH = re.compile(r"(?<![\w./])(/[^/\s]+){2,}|\b[A-Za-z]:\\|\\\\\w|(?<!\S)~/")
"""A place on some machine, not the end of a web address: /a/b, C:\\, \\\\server, ~/."""


def record(run: Path, place: Path) -> str:
    """Copy the record and make the table's row.

    Args:
        run: the directory of a run or cross-validation, evaluated.
        place: where to keep it, such as docs/results/<data set>/<recipe>.

    Returns:
        The row: name, accuracy, balanced accuracy, AUROC, decision, epochs, training time. A cross-validation has what all
        test parts give together, with its interval, and mean and standard deviation over the folds.

    Raises:
        RunError: a file is missing or damaged, or names a place of this machine; nothing was written.
    """
    files = {name: _content(run, name) for name in FILES}
    if (run / CROSSVAL).exists():
        files[CROSSVAL] = _content(run, CROSSVAL)
    files["recipe.toml"] = _portable(files["recipe.toml"])
    for name, content in files.items():
        _check_no_place(name, content)
    row = _row(run, place, files)
    for name, content in files.items():
        write_whole(place / name, lambda draft, content=content: draft.write_bytes(content))
    return row


def _content(run: Path, name: str) -> bytes:
    try:
        return (run / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as cause:
        step = f"evaluate {run}" if name == "metrics.json" else f"train DATA --out {run}"
        raise RunError(f"A record needs a finished, evaluated run, but {run} has no {name}; first: lungwise {step}.") from cause


def _portable(recipe: bytes) -> bytes:
    """The recipe with weights from a file called by what they are, not by where they lie here."""
    try:
        values = tomllib.loads(recipe.decode())
        weights = Path(values["model"]["weights"])
    except (ValueError, KeyError, TypeError) as cause:
        raise RunError(f"recipe.toml is damaged ({cause}); train again into another directory.") from cause
    if not weights.is_absolute():
        return recipe
    # The name of a run says more than "best.npz" does.
    values["model"]["weights"] = "/".join(weights.parts[-3:]) if weights.parent.name == "checkpoints" else weights.name
    return tomli_w.dumps(values).encode()


def _check_no_place(name: str, content: bytes) -> None:
    for text in _texts(name, content):
        if found := _PATH.search(text):
            raise RunError(
                f"A record must name no place of a machine, but {name} says '{text[found.start() :][:80]}'; change that and "
                "record it again."
            )


def _texts(name: str, content: bytes) -> Iterator[str]:
    """Every text that a file holds, keys and columns' names too."""
    if name.endswith(".parquet"):
        table = pl.read_parquet(io.BytesIO(content))
        yield from table.columns
        yield from (value for key, value in pl.read_parquet_metadata(io.BytesIO(content)).items() if key != "ARROW:schema")
        for column in table.select(pl.col(pl.String)):
            yield from column.drop_nulls().unique()
    elif name.endswith(".toml"):
        yield from _strings(tomllib.loads(content.decode()))
    else:
        yield from _strings(_json(name, content))


def _json(name: str, content: bytes) -> Any:
    try:
        return [json.loads(line) for line in content.splitlines()] if name.endswith(".jsonl") else json.loads(content)
    except ValueError as cause:
        raise RunError(f"{name} is damaged ({cause}); train or evaluate again.") from cause


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from (text for part in value.values() for text in _strings(part))
    elif isinstance(value, list):
        yield from (text for part in value for text in _strings(part))


def _row(run: Path, place: Path, files: dict[str, bytes]) -> str:
    metrics, history = (_json(name, files[name]) for name in ("metrics.json", "history.jsonl"))
    part, folds = metrics["parts"][metrics["part"]], metrics.get("folds")
    if (folds is None) is (CROSSVAL in files):
        raise RunError(f"{run} was evaluated as something else than it is; evaluate it again: lungwise evaluate {run}.")
    shown = (
        ("accuracy", percent, 100, 1, " %"),
        ("balanced_accuracy", percent, 100, 1, " %"),
        ("macro_auroc", decimal, 1, 3, ""),
    )
    cells = [
        f"[{place.name}](results/{place.parent.name}/{place.name})",
        *(text(part[name]) + (_spread(folds["mean"][name], *how) if folds else "") for name, text, *how in shown),
        _decision(metrics["decision"], folds),
        _epochs(history) if folds else f"{metrics['training']['epochs']} ({metrics['training']['kept_epoch']})",
        f"{sum(epoch['seconds'] for epoch in history) / 60:.0f} min",
    ]
    return "| " + " | ".join(cells).replace("\u00a0", " ") + " |"


def _spread(found: dict[str, float | None], times: float, digits: int, unit: str) -> str:
    """Mean and standard deviation over the folds, as an addition to what all test parts give together."""
    mean, deviation = found["mean"], found["sd"]
    if mean is None:
        return ""
    spread = "" if deviation is None else f" ± {times * deviation:.{digits}f}"
    return f"; folds {times * mean:.{digits}f}{spread}{unit}"


def _decision(decision: dict[str, Any], folds: dict[str, Any] | None) -> str:
    if decision["rule"] == "argmax":
        return "largest probability"
    if folds is None:
        return f"{decision['rule']}, {decision['threshold']:.3f}"
    thresholds = [fold["decision"]["threshold"] for fold in folds["each"] if fold["decision"]["rule"] != "argmax"]
    return f"{decision['rule']}, {min(thresholds):.3f}–{max(thresholds):.3f} (per fold)"


def _epochs(history: list[dict[str, Any]]) -> str:
    """How many epochs the folds were trained."""
    number = Counter((epoch["repeat"], epoch["fold"]) for epoch in history).values()
    low, high = min(number), max(number)
    return f"{low if low == high else f'{low}–{high}'} (per fold)"


if __name__ == "__main__":
    try:
        print(record(Path(sys.argv[1]), Path(sys.argv[2])))
    except LungwiseError as error:
        sys.exit(f"Error: {error}")
