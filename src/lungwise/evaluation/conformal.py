"""Sets of classes that hold the true one as often as promised: split conformal prediction, class by class.

The score of a class is 1 - p(class). Every class has a quantile of its own from validation images of that class (Mondrian,
or label-conditional), so the promise holds for the rare class as for the common one. This score gives the smallest sets on
average among all with class-wise coverage, and needs no random numbers; adaptive sets (APS) are larger and meant for many
classes. Sources: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, section 4.5; Sadinle, Lei and
Wasserman, "Least ambiguous set-valued classifiers with bounded error levels", JASA 114, 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom

from lungwise.answer import in_set
from lungwise.errors import DataError
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.exact import wilson
from lungwise.evaluation.logarithms import checked

Sets = NDArray[np.bool_]

ALPHA = 0.1
"""The share of true classes that may be missing from the sets."""

UNLIKELY = 0.025
"""A coverage that images like those of validation give more rarely is called beyond chance."""

CAVEATS = (
    "The promise holds for images drawn like the validation images, and not for another hospital, machine or mix of patients.",
    "Validation also chose the epoch, the temperature and the threshold, so its scores look a little better than those of new "
    "images, and coverage may fall a little short of the promise.",
    "Images of one patient are alike: where patients have several, there are fewer independent cases than images, and coverage "
    "varies more than the intervals say.",
)


@dataclass(frozen=True)
class Conformal:
    """A quantile for each class.

    Args:
        alpha: the share of true classes that may be missing, in (0, 1).
        quantiles: label to the largest score 1 - p that is still in the set, in [0, 1], in column order; 1 where validation
            has too few images of the class, and then every set holds it.
        sizes: label to the number of validation images.
        fitted_on: "validation".

    Raises:
        DataError: an alpha or a quantile out of range, or labels that differ.
    """

    alpha: float
    quantiles: Mapping[str, float] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    fitted_on: str = "validation"

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)
        if list(self.quantiles) != list(self.sizes) or not all(0 <= value <= 1 for value in self.quantiles.values()):
            raise DataError(
                f"Conformal quantiles must lie between 0 and 1 and have a size each, got {dict(self.quantiles)} and "
                f"{dict(self.sizes)}; fit them again."
            )

    @property
    def always(self) -> tuple[str, ...]:
        """Classes that every set holds, because validation has too few images of them."""
        return tuple(name for name, number in self.sizes.items() if _rank(number, self.alpha) > number)

    def sets(self, prob: NDArray[np.floating]) -> Sets:
        """Which classes stand in each image's set; it can be empty.

        Args:
            prob: float [n, classes], in the order of ``quantiles``, calibrated as they were for the fit.

        Returns:
            bool [n, classes].

        Raises:
            DataError: another number of classes, or rows that are no distribution.
        """
        found = checked(prob)
        if found.shape[1] != len(self.quantiles):
            raise DataError(f"These quantiles are for {list(self.quantiles)}, got {found.shape[1]} classes; fit them again.")
        return in_set(found, list(self.quantiles.values()))

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return {**asdict(self), "quantiles": dict(self.quantiles), "sizes": dict(self.sizes)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Conformal:
        """The quantiles that :meth:`to_json` wrote; anything else is a DataError."""
        try:
            quantiles = {str(name): float(value) for name, value in found["quantiles"].items()}
            sizes = {str(name): int(value) for name, value in found["sizes"].items()}
            return cls(**{**found, "alpha": float(found["alpha"]), "quantiles": quantiles, "sizes": sizes})
        except (AttributeError, KeyError, TypeError, ValueError) as cause:
            raise DataError(f"Conformal quantiles must have the fields that Lungwise writes ({cause!r}); fit again.") from cause

    def describe(self, cases: Cases) -> dict[str, Any]:
        """How the sets do on some cases, ready for ``metrics.json``.

        Args:
            cases: test cases, calibrated as they were for the fit.

        Raises:
            DataError: other classes.
        """
        if list(cases.labels) != list(self.quantiles):
            raise DataError(f"These quantiles are for {list(self.quantiles)}, got {list(cases.labels)}; fit them again.")
        sets = self.sets(cases.prob)
        number = sets.sum(axis=1)
        held = sets[np.arange(len(cases)), cases.y]
        classes = {name: _part(sets, held, cases.y == column) for column, name in enumerate(cases.labels)}
        return {
            **self.to_json(),
            "score": "1 - probability of the class, one quantile a class",
            "always": list(self.always),
            "images": len(cases),
            "patients": cases.patients,
            **_part(sets, held, np.ones(len(cases), bool)),
            "singletons_right": _share(held[number == 1]),
            "classes": classes,
            "notes": _notes(self, classes),
            "caveats": list(CAVEATS),
            "interval": "Wilson's 95 % interval, images taken as independent",
        }


def fit_conformal(validation: Cases, alpha: float = ALPHA) -> Conformal:
    """The finite-sample quantile of each class' scores on validation: the ceil((n + 1)(1 - alpha))-th smallest of n.

    Args:
        validation: the validation part, calibrated where there is a calibration.
        alpha: the share of true classes that may be missing, in (0, 1).

    Raises:
        DataError: an alpha out of range, or probabilities that are no distribution.
    """
    _check_alpha(alpha)
    score = 1 - checked(validation.prob)
    quantiles, sizes = {}, {}
    for column, name in enumerate(validation.labels):
        own = np.sort(score[validation.y == column, column])
        rank = _rank(len(own), alpha)
        sizes[name] = len(own)
        quantiles[name] = float(own[rank - 1]) if rank <= len(own) else 1.0
    return Conformal(alpha, quantiles, sizes)


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise DataError(f"The share that sets may miss must lie between 0 and 1, got {alpha}; correct alpha.")


def _rank(number: int, alpha: float) -> int:
    """Which of the sorted scores is the quantile; what rounding adds to a whole number must not raise it."""
    return ceil((number + 1) * (1 - alpha) - 1e-9)


def _share(flags: NDArray[np.bool_]) -> dict[str, float | None]:
    """A share with Wilson's interval, None where there is nothing to share."""
    found = wilson(int(flags.sum()), len(flags))
    return (
        {"value": float(flags.mean()), "low": found[0], "high": found[1]} if found else dict.fromkeys(("value", "low", "high"))
    )


def _part(sets: Sets, held: NDArray[np.bool_], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Coverage and sizes of the sets of some rows."""
    number = sets[rows].sum(axis=1)
    return {
        "coverage": _share(held[rows]),
        "number": int(rows.sum()),
        "mean_size": float(number.mean()) if len(number) else None,
        "singletons": float((number == 1).mean()) if len(number) else None,
        "empty": float((number == 0).mean()) if len(number) else None,
    }


def _falls_short(conformal: Conformal, name: str, found: Mapping[str, Any]) -> bool:
    """Whether a class's coverage is lower than 97.5 of 100 draws of validation and test images alike would give.

    The quantile was drawn too: the coverage that k of n validation images promise varies as Beta(k, n + 1 - k) (Vovk,
    "Conditional validity of inductive conformal predictors", ACML 2012), so the number of sets that hold the true class is
    beta-binomial. Wilson's interval knows of the test images only.
    """
    known, images = conformal.sizes[name], found["number"]
    rank = _rank(known, conformal.alpha)
    if rank > known or not images:
        return False
    held = round(found["coverage"]["value"] * images)
    return bool(betabinom.cdf(held, images, rank, known + 1 - rank) < UNLIKELY)


def _notes(conformal: Conformal, classes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a reader must know of these sets, in sentences."""
    promised = f"{100 * (1 - conformal.alpha):.4g} %"
    least = ceil(1 / conformal.alpha - 1 - 1e-9)
    notes = [
        f"Validation has {conformal.sizes[name]} images of {name}, {promised} needs {least}: every set holds {name}."
        for name in conformal.always
    ]
    for name, found in classes.items():
        if _falls_short(conformal, name, found):
            notes.append(
                f"Of images of {name} the sets hold the true class for {100 * found['coverage']['value']:.1f} %, fewer than "
                f"the {promised} promised and beyond chance: these images are not like the validation images."
            )
    return notes
