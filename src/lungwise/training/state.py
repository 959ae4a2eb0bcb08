"""A model's and optimiser's variables as named arrays, and back."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lungwise.errors import RunError
from lungwise.training.run import Run

_STREAM = re.compile(r"seed_generator(_\d+)?")


def variables(model: keras.Model, *, optimiser: bool) -> dict[str, Any]:
    """Every variable under a name that tells where it belongs; numbered, because names may repeat."""
    # Keras counts the names of random streams over the whole process, so that count says nothing of the place.
    named = {f"model/{i}/{_STREAM.sub('seed', variable.path)}": variable for i, variable in enumerate(model.variables)}
    if optimiser:
        named |= {f"optimiser/{i}/{variable.path}": variable for i, variable in enumerate(model.optimizer.variables)}
    return named


def assign(named: dict[str, Any], arrays: dict[str, NDArray[Any]], run: Run) -> None:
    """Give variables the values of a checkpoint.

    Raises:
        RunError: names differ; some of both sides are listed.
    """
    missing, unused = sorted(named.keys() - arrays.keys()), sorted(arrays.keys() - named.keys())
    if missing or unused:
        raise RunError(
            f"The checkpoint of {run.folder} does not fit this version's model: only in the model {missing[:3]}, only in "
            f"the file {unused[:3]}; train again into another directory."
        )
    for name, variable in named.items():
        variable.assign(arrays[name])


def to_arrays(named: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The values of variables, copied."""
    return {name: np.asarray(keras.ops.convert_to_numpy(variable)) for name, variable in named.items()}
