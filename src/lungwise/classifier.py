"""The Python face, with scikit-learn's manners: fit, predict_proba, classes_."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.answer import probabilities
from lungwise.data.store import PreparedData, Subset
from lungwise.errors import DataError, RunError
from lungwise.evaluation.calibration import Calibration, fit_calibration
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.decision import Decision, fit_decision
from lungwise.evaluation.intervals import Bootstrap, Estimate
from lungwise.evaluation.metrics import statistics
from lungwise.imaging.preprocess import Preprocess
from lungwise.pipeline import export_run
from lungwise.recipe import load_recipe
from lungwise.training.fit import load_model, train
from lungwise.training.predict import predict_logits
from lungwise.training.run import Run


class XrayClassifier:
    """A classifier of chest X-rays.

    Args:
        backbone: a backbone's name, for example "coatnet0"; None takes the recipe's.
        recipe: name or path of the recipe that says everything else.
        image_size: side of the network's input in pixels; None takes the recipe's.
        epochs: epochs to train; None takes the recipe's.
        overrides: further changes to the recipe, such as ``["optimiser.learning_rate=1e-4"]``.
        out: the run directory; a temporary one, gone with the object, when None.

    After :meth:`fit`: ``classes_`` (str [classes], in column order), ``model_`` (a ``keras.Model`` that gives logits),
    ``calibration_`` and ``decision_`` (fitted on validation) and ``run_`` (the run directory).
    """

    classes_: NDArray[np.str_]
    model_: Any
    calibration_: Calibration
    decision_: Decision
    run_: Run

    def __init__(
        self,
        backbone: str | None = None,
        *,
        recipe: str = "default",
        image_size: int | None = None,
        epochs: int | None = None,
        overrides: list[str] | None = None,
        out: Path | str | None = None,
    ) -> None:
        given = {"model.backbone": backbone, "model.image_size": image_size, "fit.epochs": epochs}
        changes = [f"{key}={value}" for key, value in given.items() if value is not None]
        self.recipe = load_recipe(recipe, [*changes, *(overrides or [])])
        if out is None:
            folder = tempfile.mkdtemp(prefix="lungwise-")
            weakref.finalize(self, shutil.rmtree, folder)
            out = Path(folder) / "run"
        self.out = Path(out)

    def fit(self, data: PreparedData) -> XrayClassifier:
        """Train on the training part, choose epoch, calibration and threshold on the validation part.

        Raises:
            DataError: a part lacks a class.
            RunError: ``out`` belongs to another recipe or other data.
        """
        self.run_ = train(data, self.recipe, self.out)
        self.model_ = load_model(self.run_)
        self.classes_ = np.array(self.run_.labels)
        self.calibration_ = Calibration()
        raw = self._cases(data.validation)
        self.calibration_ = fit_calibration(raw)
        self.decision_ = fit_decision(replace(raw, prob=self.calibration_.apply(raw.prob)))
        return self

    def predict_proba(self, part: Subset) -> NDArray[np.float64]:
        """Calibrated probabilities of the images of a part: float64 [n, classes], columns as in ``classes_``."""
        if not hasattr(self, "model_"):
            raise RunError("A classifier must be fitted before it predicts; call fit(data) first.")
        spec, fitted = Preprocess(**self.run_.data["preprocess"]), self.calibration_
        logits = predict_logits(self.model_, part, spec, self.run_.recipe.predict.views)
        return probabilities(logits, fitted.temperature, fitted.matrix, fitted.bias)

    def predict(self, part: Subset) -> NDArray[np.str_]:
        """Classes decided for: str [n]."""
        return np.asarray(self.classes_[self.decision_.decide(self.predict_proba(part))])

    def export(self, out: Path | str, *, overwrite: bool = False) -> Path:
        """Freeze the classifier into a bundle; see :func:`lungwise.pipeline.export_run`."""
        if not hasattr(self, "run_"):
            raise RunError("A classifier must be fitted before it is exported; call fit(data) first.")
        return export_run(self.run_.folder, out, overwrite=overwrite)

    def _cases(self, part: Subset) -> Cases:
        rows = part.manifest
        return Cases(
            part.data.labels,
            part.y,
            self.predict_proba(part),
            rows["patient"].to_numpy().astype(np.str_),
            rows["image"].to_numpy().astype(np.str_),
        )


def evaluate(classifier: XrayClassifier, part: Subset) -> dict[str, Estimate]:
    """Metrics of a fitted classifier on a part, each with a patient-level 95 % interval.

    Args:
        classifier: fitted.
        part: for example ``data.test``.

    Returns:
        Name to estimate: "accuracy", "macro_auroc", "sensitivity/<label>" and the like.

    Raises:
        DataError: the part is empty, or its classes are not the classifier's.
    """
    if len(part) == 0:
        raise DataError("Evaluation needs at least one image, but the part is empty; prepare the data with such a part.")
    if part.data.labels.names != tuple(classifier.classes_):
        raise DataError(f"The part's classes must be {list(classifier.classes_)}, got {list(part.data.labels)}.")
    cases = classifier._cases(part)
    bootstrap = Bootstrap(cases.patient)
    weights = bootstrap.weights()
    decided = classifier.decision_.decide(cases.prob)
    return {name: bootstrap.estimate(statistic, weights) for name, statistic in statistics(cases, decided)}
