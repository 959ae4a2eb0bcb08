"""What an export takes from its run besides the network: validation images to measure on, and everything that was tested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.bundle.variants import Validation
from lungwise.data.store import PreparedData, open_data
from lungwise.errors import BundleError, DataError, RunError
from lungwise.evaluation.compare.runs import read_metrics
from lungwise.evaluation.run_files import find_shortcuts
from lungwise.training.run import Run

EXTERNAL = "external"
"""Folder of a run for evaluations of its bundle on other data, one folder each; they go into the model card."""
_SUBGROUP = ("column", "group", "images", "patients", "accuracy", "macro_auroc", "note")


def data_of(run: Run) -> PreparedData | None:
    """The data set that a run learnt from, where it is still there and unchanged and has a validation part."""
    try:
        data = open_data(run.data["folder"])
    except DataError:
        return None  # The prepared data may have been moved away.
    return data if data.fingerprint == run.data["fingerprint"] and len(data.validation) else None


def validation_of(run: Run) -> Validation:
    """The validation images of a run, to measure smaller networks on.

    Raises:
        BundleError: they are not at hand.
    """
    data = data_of(run)
    if data is None:
        raise BundleError(
            f"A variant is only exported with its measured change of accuracy, but the validation images of {run.folder} are "
            f"not in {run.data['folder']} as the run saw them; bring them back, or export without --variants."
        )
    part = data.validation

    def squares(places: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([np.asarray(part.data.pixels[row]) for row in part.rows[places]])

    return Validation(squares, part.y)


def evidence(run: Run, metrics: dict[str, Any], name: str) -> dict[str, Any]:
    """What the model card says of tests: the run's results and groups, the audit for shortcuts, and tests on other data.

    Args:
        run: the run.
        metrics: its ``metrics.json``.
        name: the model's name, by which an audit beside the run is recognised.

    Raises:
        RunError: a recorded audit or evaluation is damaged, or belongs to another model or to the run's own data.
    """
    audit = find_shortcuts(run.folder, name, run.data)
    groups = [{key: row[key] for key in _SUBGROUP} for row in metrics.get("subgroups") or []]
    return {
        "part": metrics["part"],
        "results": metrics["parts"][metrics["part"]],
        "subgroups": groups,
        "shortcuts": audit,
        "external": [_external(run, metrics, path.parent) for path in sorted(run.folder.glob(f"{EXTERNAL}/*/metrics.json"))],
    }


def _external(run: Run, metrics: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The figures of one evaluation on other data."""
    found = read_metrics(folder)
    try:
        # A bundle decides by the threshold of its run, to the last digit: no other model shares it.
        same = (found["labels"], found["decision"]) == (list(run.labels), metrics["decision"])
        fingerprint, part = found["data_fingerprint"], found["part"]
        kept = {"name": str(found["name"]), "fingerprint": str(fingerprint), "part": part, "results": found["parts"][part]}
    except (KeyError, TypeError) as cause:
        raise RunError(f"{folder / 'metrics.json'} is damaged ({cause}); evaluate the bundle again.") from cause
    if not same:
        raise RunError(f"An external test must be of the run's own bundle, but {folder} tested another model; remove it.")
    if fingerprint == run.data["fingerprint"]:
        raise RunError(
            f"An external test must be on other data, but {folder} used those that the model learnt from; remove it."
        )
    return kept
