"""The shortcut audit of a bundle on a prepared data set: where data, lungs, model and experiments meet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.data.audit.confounding import confounding, measure
from lungwise.data.store import PreparedData, Subset
from lungwise.errors import DataError
from lungwise.evaluation.decision import Decision
from lungwise.evaluation.shortcuts.check import Check, text
from lungwise.evaluation.shortcuts.films import COLUMNS, MIN_FILMS, Answers, Films, Model, films_of
from lungwise.evaluation.shortcuts.left_out import left_out_check, not_left_out, sources_of
from lungwise.evaluation.shortcuts.report import as_json, render
from lungwise.evaluation.shortcuts.run import SAMPLE, experiments
from lungwise.evaluation.shortcuts.sources import oracle_check
from lungwise.files import write_json, write_text
from lungwise.imaging.lungs import find_lungs
from lungwise.inference.predictor import Predictor
from lungwise.labels import LabelSet

SEED = 0
"""Seed of the sample of films."""

Progress = Callable[[str], None]


def audit_shortcuts(
    predictor: Predictor, data: PreparedData, out: Path, *, left_out: Path | None = None, progress: Progress = lambda step: None
) -> dict[str, Any]:
    """Audit a bundle and write ``shortcuts.json`` and ``shortcuts.html``.

    Args:
        predictor: the bundle.
        data: prepared as the bundle expects, with a test part that it has not learnt from.
        out: a folder.
        left_out: directory of a leave-one-source-out cross-validation on the same data.
        progress: told the name of each step.

    Returns:
        The contents of ``shortcuts.json``.

    Raises:
        DataError: other classes, another size, no test part, fewer than 20 films or one class in it.
        RunError: ``left_out`` is no such cross-validation.
    """
    check_ready(predictor, data, left_out)
    test = data.test
    films = _films(predictor, test, progress)
    model = Model(predictor.probabilities, Decision(**predictor.spec.decision.model_dump()).decide)
    checks, own = experiments(films, model, progress)
    used = data.part("train", "validation", "test").manifest
    checks = [_oracle(used), *checks, _left_out(used, own, left_out)]
    about = _about(predictor, data, films, len(test), own)
    found = as_json(checks, about)
    write_json(out / "shortcuts.json", found)
    write_text(out / "shortcuts.html", render(checks, about))
    return found


def check_ready(predictor: Predictor, data: PreparedData, left_out: Path | None = None) -> None:
    """Refuse what cannot be audited before any work is done; see :func:`audit_shortcuts`."""
    spec = predictor.spec
    unknown = sorted(set(data.labels) - set(spec.labels))
    if unknown:
        raise DataError(f"The data's classes must be the bundle's {list(spec.labels)}, but '{unknown[0]}' is not; rename it.")
    if (data.spec.stored, data.spec.fit) != (spec.preprocess.stored, spec.preprocess.fit):
        raise DataError(
            f"The data must be prepared as the bundle expects (--size {spec.preprocess.stored} --fit {spec.preprocess.fit}), "
            f"but they are {data.spec.stored} px, {data.spec.fit}; prepare them again."
        )
    if len(data.test) < MIN_FILMS:
        raise DataError(
            f"A shortcut audit needs at least {MIN_FILMS} films in the test part, {data.folder} has {len(data.test)}; prepare "
            "the data with a larger one."
        )
    if left_out is not None:
        sources_of(left_out)


def _films(predictor: Predictor, test: Subset, progress: Progress) -> Films:
    """A sample of the test part in random order, with its lungs."""
    chosen = np.random.default_rng(SEED).permutation(len(test))[:SAMPLE]
    # Squares on disk are read in ascending order, then brought into the order of the draw.
    rows = np.sort(test.rows[chosen])
    squares = np.asarray(test.data.pixels[rows])[np.searchsorted(rows, test.rows[chosen])]
    progress("where the lungs are")
    lungs = [find_lungs(square) for square in squares]
    covers = np.stack([found.cover(squares.shape[1]) for found in lungs])
    table = test.data.manifest[test.rows[chosen]].select(COLUMNS)
    return films_of(table, squares, covers, np.array([found.found for found in lungs]), LabelSet(predictor.labels))


def _names(table: pl.DataFrame, column: str) -> NDArray[np.str_]:
    return np.asarray(table[column].to_numpy().astype(np.str_))


def _oracle(used: pl.DataFrame) -> Check:
    """The data audit's verdict on class and source, with an interval."""
    findings = confounding(used)
    label, source, patient = (_names(used, name) for name in ("label", "source", "patient"))
    details = measure(used) if used["source"].n_unique() > 1 else {}
    return oracle_check(label, source, patient, findings[0].severity if findings else "ok", details)


def _left_out(used: pl.DataFrame, own: Answers, folder: Path | None) -> Check:
    if folder is not None:
        return left_out_check(folder, own.cases, own.decided)
    command = "train one with lungwise train DATA --leave-one-source-out --out RUN, evaluate it, and give it as --left-out RUN."
    return not_left_out(_names(used, "label"), _names(used, "source"), command)


def _about(predictor: Predictor, data: PreparedData, films: Films, of: int, own: Answers) -> dict[str, Any]:
    return {
        "model": predictor.spec.name,
        "bundle_sha256": predictor.bundle.sha256,
        "data": data.folder.resolve().name,
        "fingerprint": data.fingerprint,
        "synthetic": bool(data.facts.get("synthetic", False)),
        "films": len(films),
        "of": of,
        "patients": own.cases.patients,
        "seed": SEED,
        "accuracy": text(own.accuracy, percent=True),
        "auroc": own.auroc.to_json(),
        "lungs_found": int(films.found.sum()),
    }
