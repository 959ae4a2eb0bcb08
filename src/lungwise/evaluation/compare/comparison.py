"""The whole comparison, ready for JSON and for every other form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lungwise
from lungwise.evaluation.compare.pairs import compare_pairs
from lungwise.evaluation.compare.runs import Evaluated, read_evaluated
from lungwise.evaluation.compare.table import figures

_CHOSEN = (
    "The best of several runs on the same test images is flattered by the choice: only images that took no part in it say how "
    "good it is."
)
_CLUSTERED = (
    "Patients have several images here. The p-values of accuracy and AUROC and all intervals keep a patient's images together; "
    "McNemar's and DeLong's take every image for independent and promise too much."
)
_OTHER_DATA = (
    "The runs were trained on data sets that were prepared separately; cases are paired by the names, labels and patients of "
    "their images."
)


def compare(folders: Sequence[Path], *, common: bool = False) -> dict[str, Any]:
    """Compare evaluated runs, cross-validations and tables of predictions.

    Args:
        folders: each holds a ``metrics.json`` and, to be paired with others, the ``predictions.parquet`` it was made of.
        common: pair runs on the cases that both have, where they do not have the same.

    Returns:
        "runs" (see :func:`lungwise.evaluation.compare.table.figures`), the highest accuracy first; "pairs" and "unpaired" (see
        :func:`lungwise.evaluation.compare.pairs.compare_pairs`); "notes", one sentence each; "synthetic".

    Raises:
        RunError: a folder was not evaluated, or a file of it is damaged.
    """
    return of_runs(read_evaluated(folders), common=common)


def of_runs(runs: Sequence[Evaluated], *, common: bool = False) -> dict[str, Any]:
    """As :func:`compare`, for runs that were read."""
    pairs, apart = compare_pairs(runs, common=common)
    prints = {run.name: run.metrics.get("data_fingerprint", "") for run in runs}
    notes = [_CHOSEN] if len(runs) > 1 else []
    notes += [_CLUSTERED] if any(pair["patients"] < pair["images"] for pair in pairs) else []
    notes += [_OTHER_DATA] if any(prints[pair["a"]] != prints[pair["b"]] for pair in pairs) else []
    return {
        "lungwise": lungwise.__version__,
        "runs": [figures(run) for run in runs],
        "pairs": pairs,
        "unpaired": apart,
        "notes": notes,
        "synthetic": any(bool(run.metrics.get("synthetic")) for run in runs),
    }
