"""A model's and optimiser's variables as named arrays, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lungwise.errors import RunError, WeightsError
from lungwise.models.classifier import backbone_of
from lungwise.models.transfer import fit_table, table_grids
from lungwise.training.run import Run

_STREAM = re.compile(r"seed_generator(_\d+)?")


def variables(model: keras.Model, *, optimiser: bool) -> dict[str, Any]:
    """Every variable under a name that tells where it belongs; numbered, because names may repeat."""
    # Keras counts the names of random streams over the whole process, so that count says nothing of the place.
    named = {f"model/{i}/{_STREAM.sub('seed', variable.path)}": variable for i, variable in enumerate(model.variables)}
    if optimiser:
        named |= {f"optimiser/{i}/{variable.path}": variable for i, variable in enumerate(model.optimizer.variables)}
    return named


def restore(model: keras.Model, arrays: Mapping[str, NDArray[Any]], run: Run, *, optimiser: bool) -> None:
    """Give a model the values of a checkpoint, which may come from images of another size.

    What depends on the size are the tables of relative positions; they are resized as in
    :func:`lungwise.models.transfer.resize_table`, and so is what the optimiser keeps of each (moments, averages).

    Args:
        model: the model, with its optimiser.
        arrays: name, as from :func:`variables`, to values.
        run: where the checkpoint comes from, for an error.
        optimiser: whether the optimiser's values are among them.

    Raises:
        RunError: names or shapes differ; some are listed. Nothing was changed then.
    """
    named = variables(model, optimiser=optimiser)
    missing, unused = sorted(named.keys() - arrays.keys()), sorted(arrays.keys() - named.keys())
    if missing or unused:
        raise RunError(
            f"The checkpoint of {run.folder} does not fit this version's model: only in the model {missing[:3]}, only in "
            f"the file {unused[:3]}; train again into another directory."
        )
    fitted = {name: _fitted(name, arrays[name], variable, model, run) for name, variable in named.items()}
    for name, variable in named.items():
        variable.assign(fitted[name])


def _fitted(name: str, values: NDArray[Any], variable: Any, model: keras.Model, run: Run) -> NDArray[Any]:
    """Values in a variable's shape; those that have it are not touched."""
    if values.shape == tuple(variable.shape):
        return values
    # Keras calls what an optimiser keeps of a variable by that variable's path with other strokes.
    tables = {path.replace("/", "_"): grid for path, grid in table_grids(backbone_of(model)).items()}
    grid = next((grid for path, grid in tables.items() if path in name.replace("/", "_")), None)
    try:
        fitted = fit_table(name, values, grid) if grid else values
    except WeightsError as cause:
        raise RunError(f"The checkpoint of {run.folder} does not fit: {cause}") from cause
    if fitted.shape != tuple(variable.shape):
        raise RunError(
            f"The checkpoint of {run.folder} does not fit this version's model: {name} has the shape {values.shape} in the "
            f"file and {tuple(variable.shape)} in the model; train again into another directory."
        )
    return fitted


def to_arrays(named: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The values of variables, copied."""
    return {name: np.asarray(keras.ops.convert_to_numpy(variable)) for name, variable in named.items()}
