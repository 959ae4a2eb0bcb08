"""Probabilities that mean what they say: one temperature fitted on validation, and a linear map only where that is better.

Sources: temperature scaling, Guo et al., "On calibration of modern neural networks", ICML 2017; Dirichlet calibration,
see :mod:`.dirichlet`. The logarithms of the probabilities serve as logits, from which they differ by a constant a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.answer import softmax
from lungwise.errors import DataError
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.dirichlet import LinearMap, fit_dirichlet, patient_folds
from lungwise.evaluation.intervals import Bootstrap, Figures, Weights
from lungwise.evaluation.logarithms import checked, log_loss, log_prob
from lungwise.evaluation.temperature import fit_temperature

MIN_PATIENTS = 20
"""Fewer patients fit no temperature."""
MIN_PATIENTS_EACH = 10
"""A map of its own for each class needs as many patients of every class."""
FOLDS = 5

_KINDS = ("none", "temperature", "dirichlet")


@dataclass(frozen=True)
class Calibration:
    """A map from a model's probabilities to calibrated ones.

    Args:
        kind: "none" leaves them as they are, "temperature" divides logits, "dirichlet" maps them linearly.
        temperature: above 0; 1 for the other kinds.
        interval: for "temperature", its 95 % interval (sandwich formula, clustered by patient).
        matrix: for "dirichlet", [classes][classes], row = class to be.
        bias: for "dirichlet", [classes].
        fitted_on: "validation", or "" when nothing was fitted.
        sizes: images of each class it was fitted on.
        patients: patients it was fitted on.
        reason: in one sentence, why it is this kind.

    Raises:
        DataError: an unknown kind, or numbers that do not fit it.
    """

    kind: str = "none"
    temperature: float = 1.0
    interval: tuple[float, float] | None = None
    matrix: tuple[tuple[float, ...], ...] = ()
    bias: tuple[float, ...] = ()
    fitted_on: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    patients: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        number = len(self.bias)
        square = number >= 2 and len(self.matrix) == number and all(len(row) == number for row in self.matrix)
        finite = np.isfinite([self.temperature, *self.bias, *(entry for row in self.matrix for entry in row)]).all()
        fits = square if self.kind == "dirichlet" else not self.matrix and not self.bias
        if self.kind not in _KINDS or not finite or self.temperature <= 0 or not fits:
            raise DataError(
                f"A calibration must be none, a temperature above 0, or a square matrix with a bias, got '{self.kind}' with "
                f"temperature {self.temperature} and {len(self.matrix)} rows; fit it again."
            )

    def apply(self, prob: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated probabilities.

        Args:
            prob: float [n, classes], rows >= 0 that sum to 1; 0 counts as 1.4e-45, the smallest float32.

        Returns:
            float64 [n, classes]. A temperature keeps the order of classes, and for two classes every kind that of images.

        Raises:
            DataError: rows that are no distribution, or not the classes it was fitted for.
        """
        if self.kind == "none":
            return checked(prob)
        logs = log_prob(prob)
        if self.kind == "temperature":
            return softmax(logs, self.temperature)
        if logs.shape[1] != len(self.bias):
            raise DataError(f"This calibration is for {len(self.bias)} classes, got {logs.shape[1]}; fit it again.")
        return LinearMap(np.array(self.matrix), np.array(self.bias)).apply(logs)

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary of lists, numbers and texts."""
        found = asdict(self)
        listed = {"matrix": [list(row) for row in self.matrix], "bias": list(self.bias), "sizes": dict(self.sizes)}
        return {**found, **listed, "interval": list(self.interval) if self.interval else None}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Calibration:
        """The calibration that :meth:`to_json` wrote; anything else is a DataError."""
        try:
            matrix = tuple(tuple(float(entry) for entry in row) for row in found["matrix"])
            interval = found["interval"] and (float(found["interval"][0]), float(found["interval"][1]))
            numbers = {"matrix": matrix, "bias": tuple(float(entry) for entry in found["bias"]), "interval": interval}
            return cls(**{**found, **numbers, "temperature": float(found["temperature"])})
        except (KeyError, IndexError, TypeError, ValueError) as cause:
            raise DataError(f"A calibration must have the fields that Lungwise writes ({cause!r}); fit it again.") from cause


def mean_of(values: NDArray[np.float64], group: NDArray[np.integer]) -> Figures:
    """The means of some values a case, as a function of weights of patients; NaN without patients.

    Args:
        values: float64 [figures, n].
        group: int [n], to which patient each image belongs, from 0 on.
    """
    sums = np.stack([np.bincount(group, row) for row in values])
    images = np.bincount(group).astype(np.float64)

    def mean(weights: Weights) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            return np.asarray(sums @ weights / (images @ weights))

    return mean


def calibrated(cases: Cases, calibration: Calibration) -> Cases:
    """The same cases with calibrated probabilities."""
    return replace(cases, prob=calibration.apply(cases.prob))


def fit_calibration(validation: Cases, seed: int = 0) -> Calibration:
    """Fit on validation cases by log loss.

    A temperature, unless validation cannot tell one; then the probabilities stay and ``reason`` says why. A Dirichlet map
    takes its place only if, with at least ten patients of every class, the 95 % interval (bootstrap over patients) of its
    gain in log loss over the temperature lies above 0 in a five-fold cross-validation over validation patients, in which
    the map's penalty is chosen inside each fold.

    Args:
        validation: the validation part.
        seed: seed of the bootstrap.

    Raises:
        DataError: probabilities that are no distribution.
    """
    number = len(np.unique(validation.y))
    sizes = {name: int((validation.y == column).sum()) for column, name in enumerate(validation.labels)}
    kept = Calibration(sizes=sizes, patients=validation.patients)
    logs = log_prob(validation.prob)
    if number < 2 or validation.patients < MIN_PATIENTS:
        why = f"A temperature needs {MIN_PATIENTS} validation patients and images of two classes"
        return replace(kept, reason=f"{why}, there are {validation.patients} and {number}.")
    fit = fit_temperature(logs, validation.y, validation.patient)
    if fit.reason:
        return replace(kept, reason=fit.reason)
    better, reason = _prefers_map(validation, logs, seed)
    fitted = replace(kept, fitted_on="validation", reason=reason)
    if better:
        found = fit_dirichlet(logs, validation.y, validation.patient)
        rows = tuple(tuple(row) for row in found.matrix.tolist())
        return replace(fitted, kind="dirichlet", matrix=rows, bias=tuple(found.bias.tolist()))
    return replace(fitted, kind="temperature", temperature=fit.value, interval=(fit.low, fit.high))


def _prefers_map(validation: Cases, logs: NDArray[np.float64], seed: int) -> tuple[bool, str]:
    """Whether a map of its own for each class is better than a temperature beyond noise, and the finding as a sentence."""
    y, patient = validation.y, validation.patient
    fewest = min(len(np.unique(patient[y == column])) for column in range(len(validation.labels)))
    if fewest < MIN_PATIENTS_EACH:
        why = f"A map of its own for each class needs {MIN_PATIENTS_EACH} validation patients of every class"
        return False, f"{why}, one has {fewest}; one temperature serves all."
    gain = np.zeros(len(y))
    for learn, judge in patient_folds(y, patient, FOLDS):
        temperature = fit_temperature(logs[learn], y[learn], patient[learn]).value
        mapped = fit_dirichlet(logs[learn], y[learn], patient[learn]).apply(logs[judge])
        gain[judge] = log_loss(softmax(logs[judge], temperature), y[judge]) - log_loss(mapped, y[judge])
    bootstrap = Bootstrap(patient, seed=seed)
    found = bootstrap.sample(mean_of(gain[None], bootstrap.group)).estimate(0)
    better = found.low is not None and found.low > 0
    verdict = "better beyond noise" if better else "not better beyond noise"
    return better, (
        f"A map of its own for each class is {verdict} than one temperature: its gain in log loss by cross-validation over "
        f"validation patients is {found}."
    )
