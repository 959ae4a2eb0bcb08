"""Where the rooms meet: steps that need the training side and the frozen side at once."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lungwise.assessable import fit_assessable
from lungwise.bundle.export import prove, to_onnx
from lungwise.bundle.head import head_of
from lungwise.bundle.place import check_place
from lungwise.bundle.spec import LICENSE, PRECISIONS, BundleSpec, DecisionSpec
from lungwise.bundle.store import write_bundle
from lungwise.bundle.variants import check_wanted, make_variants
from lungwise.data.batches import plain_batches
from lungwise.data.store import PreparedData
from lungwise.errors import BundleError, DataError, LungwiseError, RunError
from lungwise.evaluation.calibration import Calibration
from lungwise.evaluation.compare.runs import read_metrics
from lungwise.evaluation.conformal import Conformal
from lungwise.evaluation.decision import Decision
from lungwise.evaluation.evaluate import Background, evaluate_predictions, evaluate_run
from lungwise.evaluation.wishes import NONE, Wishes
from lungwise.exports import data_of, evidence, validation_of
from lungwise.files import write_whole
from lungwise.imaging.preprocess import Preprocess
from lungwise.inference.novelty import FILE as NOVELTY_FILE
from lungwise.inference.predictor import Predictor
from lungwise.pictures import pictures_of
from lungwise.training.run import Run, single_run

_SAMPLES = 16
_BLOCK = 512


def export_run(
    folder: Path | str,
    out: Path | str,
    *,
    name: str | None = None,
    variants: Sequence[str] = (),
    license: str = "other",
    contact: str = "",
    overwrite: bool = False,
) -> Path:
    """Freeze a finished run into a bundle.

    The run is evaluated first where it was not, because the bundle carries its threshold and results.

    Args:
        folder: the run directory.
        out: the bundle's place, a new directory or a name ending in ``.zip``.
        name: the model's name; the run directory's by default.
        variants: smaller networks beside the float32 one, "fp16" and "int8"; see :mod:`lungwise.bundle.variants`.
        license: of the model, as the Hugging Face Hub names licences ("cc-by-nc-4.0").
        contact: whom to ask about the model, for its card.
        overwrite: replace a bundle that is there.

    Returns:
        ``out`` as a path.

    Raises:
        RunError: the run is none, a cross-validation, or not finished.
        BundleError: ONNX differs from Keras, a variant costs too much or cannot be measured, or the place is taken; nothing
            was written.
    """
    # Imported here, because the other half of this module works without Keras.
    from lungwise.models.classifier import with_features
    from lungwise.training.fit import load_model

    run, out = single_run(folder), Path(out)
    check_place(out, overwrite)
    check_wanted(variants)
    _check_license(license)
    validation = validation_of(run) if variants else None
    metrics = read_metrics(run.folder) if (run.folder / "metrics.json").exists() else evaluate_run(run.folder)
    model = with_features(load_model(run))
    head = head_of(model)
    spec = _spec(run, metrics, name or run.folder.resolve().name, {"license": license, "contact": contact})
    onnx = to_onnx(model, str(run.folder))
    worst = prove(onnx, model, head, _samples(run, spec.preprocess))
    smaller = make_variants(onnx, spec, variants, validation) if validation else {}
    costs = {key: cost for key, (_, cost) in smaller.items()}
    novelty, reference = fit_assessable(onnx, spec, data_of(run))
    found = {"variants": costs, "novelty": novelty}
    spec = spec.model_copy(update={"provenance": {**spec.provenance, "onnx_difference": worst}, **found})
    extras = {PRECISIONS[key]: network for key, (network, _) in smaller.items()}
    extras |= {NOVELTY_FILE: reference.to_bytes()} if reference else {}
    return write_bundle(out, spec, onnx, head, extras=extras, overwrite=overwrite)


def _check_license(name: str) -> None:
    if not re.fullmatch(LICENSE, name):
        raise BundleError(
            f"A licence must be named as the Hugging Face Hub does (cc-by-nc-4.0), got '{name}'; correct --license."
        )


def _spec(run: Run, metrics: dict[str, Any], name: str, said: dict[str, str]) -> BundleSpec:
    data = {key: run.data[key] for key in ("fingerprint", "counts", "audit", "notes")} | {"kind": run.data.get("kind", "")}
    try:
        packages = json.loads((run.folder / "environment.json").read_text(encoding="utf-8"))["packages"]
        decision, answers, found = DecisionSpec(**metrics["decision"]), _answers(metrics), evidence(run, metrics, name)
    except (FileNotFoundError, ValueError, KeyError, TypeError, DataError) as cause:
        raise RunError(
            f"A bundle carries the results of its run, but metrics.json or environment.json in {run.folder} is missing or "
            f"damaged ({cause}); evaluate it again, or train again into another directory."
        ) from cause
    return BundleSpec(
        name=name,
        labels=run.labels,
        preprocess=Preprocess(**run.data["preprocess"]),
        views=run.recipe.predict.views,
        **answers,
        decision=decision,
        head=run.recipe.model.head.pool,
        synthetic=run.data["synthetic"],
        metrics=found,
        provenance={**data, "recipe": run.recipe.model_dump(mode="json"), "packages": packages},
        **said,
    )


def _answers(metrics: dict[str, Any]) -> dict[str, Any]:
    """The fields of a bundle that calibrate and make sets, as the evaluation fitted them; an older one fitted nothing."""
    fitted = metrics.get("calibration")
    calibration = Calibration.from_json(fitted["calibration"]) if fitted else Calibration()
    found = {
        "temperature": calibration.temperature,
        "calibration_matrix": calibration.matrix,
        "calibration_bias": calibration.bias,
    }
    sets = metrics.get("conformal")
    return {**found, "conformal_alpha": sets["alpha"], "conformal_quantiles": sets["quantiles"]} if sets else found


def _conformal(spec: BundleSpec) -> Conformal | None:
    """The bundle's quantiles as evaluation knows them, with the sizes that its provenance names."""
    sizes = spec.provenance.get("counts", {}).get("validation", {})
    if not spec.conformal_quantiles or set(sizes) != set(spec.labels):
        return None
    quantiles = {label: spec.conformal_quantiles[label] for label in spec.labels}
    return Conformal(spec.conformal_alpha, quantiles, {label: sizes[label] for label in spec.labels})


def _samples(run: Run, spec: Preprocess) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Inputs to prove the export on: validation images where the data set is still there, else seeded noise."""
    data = data_of(run)
    if data is not None:
        return next(plain_batches(data.validation, spec, _SAMPLES))
    rng = np.random.default_rng(0)
    return rng.uniform(spec.low, spec.high, (_SAMPLES, spec.size, spec.size, 1)).astype(np.float32)


def bundle_predictions(predictor: Predictor, data: PreparedData) -> pl.DataFrame:
    """A bundle's predictions on a prepared data set, in the layout of ``predictions.parquet``.

    Raises:
        DataError: the classes differ, or the data were prepared in another way than the bundle expects.
    """
    spec = predictor.spec
    unknown = sorted(set(data.labels) - set(spec.labels))
    if unknown:
        raise DataError(f"The data's classes must be the bundle's {list(spec.labels)}, but '{unknown[0]}' is not; rename it.")
    if (data.spec.stored, data.spec.fit) != (spec.preprocess.stored, spec.preprocess.fit):
        raise DataError(
            f"The data must be prepared as the bundle expects (--size {spec.preprocess.stored} --fit {spec.preprocess.fit}), "
            f"but they are {data.spec.stored} px, {data.spec.fit}; prepare them again."
        )
    part = data.part("train", "validation", "test")
    blocks = np.array_split(part.rows, max(1, math.ceil(len(part) / _BLOCK)))  # read in portions, so that memory stays flat
    prob = np.concatenate([predictor.probabilities(data.pixels[rows]) for rows in blocks])
    columns = [pl.Series(f"prob_{label}", prob[:, column]) for column, label in enumerate(spec.labels)]
    return part.manifest.select("image", "patient", "source", "split", "label").with_columns(columns)


def evaluate_bundle(predictor: Predictor, data: PreparedData, out: Path, wishes: Wishes = NONE) -> dict[str, Any]:
    """Evaluate a bundle on a prepared data set, with the bundle's own threshold, into ``out``.

    Args:
        predictor: the bundle, opened.
        data: a prepared data set with the bundle's classes.
        out: a folder; besides the report it gets the predictions, so that it can be compared with others.
        wishes: what the report shall say besides the usual.
    """
    if out.exists() and not out.is_dir():
        raise LungwiseError(f"--out must be a directory, but {out} is a file; choose another.")
    decision = Decision(**predictor.spec.decision.model_dump())
    background = Background(
        name=f"{predictor.spec.name} on {data.folder.resolve().name}",
        description=f"Bundle {predictor.bundle.sha256[:12]}, evaluated on a prepared data set.",
        data=data.facts,
        decision=decision,
        conformal=_conformal(predictor.spec),
        wishes=wishes,
        pictures=pictures_of(predictor, data),
        model=predictor.spec.name,
    )
    table = bundle_predictions(predictor, data)
    metrics = evaluate_predictions(table, background, out)
    write_whole(out / "predictions.parquet", table.write_parquet)
    return metrics
