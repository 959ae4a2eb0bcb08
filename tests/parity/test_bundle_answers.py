"""A bundle calibrates, decides and makes sets as the report of its run said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from lungwise.data.prepare import Request, prepare
from lungwise.data.store import PreparedData
from lungwise.errors import RunError
from lungwise.evaluation.calibration import Calibration, calibrated
from lungwise.evaluation.cases import Cases, to_cases
from lungwise.evaluation.compare.comparison import of_runs
from lungwise.evaluation.compare.runs import read_evaluated
from lungwise.evaluation.conformal import fit_conformal
from lungwise.evaluation.decision import Decision, Rule
from lungwise.evaluation.evaluate import evaluate_run
from lungwise.imaging.png import write_png
from lungwise.imaging.preprocess import Preprocess
from lungwise.inference.predictor import Predictor, load
from lungwise.pictures import pictures_of, run_pictures
from lungwise.pipeline import _spec, bundle_predictions, evaluate_bundle, export_run
from lungwise.training.fit import train
from lungwise.training.run import single_run
from tests.factory import tiny_recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Noise that is brighter where a patient is sick, so often that a network can be wrong about how sure it may be."""
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    for number in range(300):
        sick = number % 2
        pixels = rng.normal(100 + 34 * sick + rng.normal(0, 20), 25, (40, 40))
        write_png(folder / "films" / ("normal", "sick")[sick] / f"p{number}.png", np.clip(pixels, 0, 255).astype(np.uint8))
    return prepare(folder / "films", folder / "data", Request(spec=Preprocess(stored=40, size=40)))


@pytest.fixture(scope="module")
def run(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "noise"
    train(data, tiny_recipe("fit.epochs=5", "optimiser.learning_rate=1e-4"), folder)
    evaluate_run(folder, Rule("specificity", 0.8), pictures=run_pictures(folder, heatmaps=True))
    return folder


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(export_run(run, tmp_path_factory.mktemp("bundle") / "model"))


def sides(run: Path, bundle: Predictor, data: PreparedData) -> tuple[Cases, Cases]:
    """The test part as the report calibrates it, and as the bundle answers."""
    calibration = fitted(run)
    assert calibration.kind != "none", calibration.reason
    said = calibrated(to_cases(pl.read_parquet(run / "predictions.parquet"), "test"), calibration)
    return said, to_cases(bundle_predictions(bundle, data), "test")


def fitted(run: Path) -> Calibration:
    return Calibration.from_json(json.loads((run / "metrics.json").read_text())["calibration"]["calibration"])


def plain(bundle: Predictor, data: PreparedData) -> Cases:
    """The test part as the bundle's network answers, not calibrated."""
    bare = {"temperature": 1.0, "calibration_matrix": (), "calibration_bias": ()}
    spec = bundle.spec.model_copy(update=bare)
    return to_cases(bundle_predictions(Predictor(replace(bundle.bundle, spec=spec)), data), "test")


def error_allowed(calibration: Calibration) -> float:
    """What a difference of 1e-5 in the network's probabilities can become: a map that stretches log-odds stretches it too."""
    slopes = np.abs(calibration.matrix).max() if calibration.matrix else 1 / calibration.temperature
    return 1e-5 * max(1.0, float(slopes))


def held(sets: NDArray[np.bool_] | None, y: NDArray[np.int32]) -> float:
    assert sets is not None
    return float(sets[np.arange(len(y)), y].mean())


def test_probabilities_decisions_and_sets_are_those_of_the_report(run: Path, bundle: Predictor, data: PreparedData) -> None:
    metrics, (said, answered) = json.loads((run / "metrics.json").read_text()), sides(run, bundle, data)
    raw, network = to_cases(pl.read_parquet(run / "predictions.parquet"), "test"), plain(bundle, data)
    np.testing.assert_allclose(network.prob, raw.prob, atol=1e-5)
    np.testing.assert_allclose(answered.prob, fitted(run).apply(network.prob), atol=1e-12)
    np.testing.assert_allclose(answered.prob, said.prob, atol=error_allowed(fitted(run)))
    decision = Decision(**metrics["decision"])
    assert decision.rule == "specificity"
    assert bundle.spec.decision.model_dump() == metrics["decision"]
    decided = decision.decide(answered.prob)
    np.testing.assert_array_equal(decided, decision.decide(said.prob))
    assert (decided == answered.y).mean() == pytest.approx(metrics["parts"]["test"]["accuracy"]["value"])
    assert held(bundle.sets(answered.prob), answered.y) == metrics["conformal"]["coverage"]["value"]
    assert bundle.spec.conformal_quantiles == metrics["conformal"]["quantiles"]


def test_a_file_gets_the_answer_of_the_report(run: Path, bundle: Predictor, data: PreparedData) -> None:
    metrics, (said, _) = json.loads((run / "metrics.json").read_text()), sides(run, bundle, data)
    decided = Decision(**metrics["decision"]).decide(said.prob)
    raw = to_cases(pl.read_parquet(run / "predictions.parquet"), "validation")
    sharp = calibrated(raw, Calibration.from_json(metrics["calibration"]["calibration"]))
    sets = fit_conformal(sharp).sets(said.prob)
    paths = dict(data.manifest.select("image", "path").iter_rows())
    files = [Path(data.facts["root"]) / paths[image] for image in said.image]
    for row, result in enumerate(bundle.predict_many(files)):
        assert list(result.probabilities.values()) == pytest.approx(said.prob[row].tolist(), abs=error_allowed(fitted(run)))
        assert result.decision == said.labels.names[decided[row]]
        assert result.conformal_set == tuple(name for name, flag in zip(said.labels, sets[row], strict=True) if flag)


def test_a_bundle_evaluated_on_its_data_agrees_with_its_run(
    run: Path, bundle: Predictor, data: PreparedData, tmp_path: Path
) -> None:
    metrics, said = evaluate_bundle(bundle, data, tmp_path / "b"), json.loads((run / "metrics.json").read_text())
    assert metrics["parts"]["test"]["confusion"] == said["parts"]["test"]["confusion"]
    assert metrics["calibration"]["calibration"]["kind"] == "none"
    after = [found["calibration"]["after"]["log_loss"]["value"] for found in (metrics, said)]
    assert after[0] == pytest.approx(after[1], abs=1e-5)
    assert metrics["conformal"]["coverage"] == said["conformal"]["coverage"]
    assert metrics["conformal"]["sizes"] == said["conformal"]["sizes"]
    (pair,) = of_runs(read_evaluated([run, tmp_path / "b"]))["pairs"]
    assert pair["accuracy"]["difference"] == 0
    assert pair["macro_auroc"]["difference"] == pytest.approx(0, abs=1e-9)
    page = (tmp_path / "b" / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 * min(8, np.sum(metrics["parts"]["test"]["confusion"]) - np.trace(
        metrics["parts"]["test"]["confusion"]))  # fmt: skip


def test_heat_maps_of_keras_and_of_the_bundle_are_alike(run: Path, bundle: Predictor, data: PreparedData) -> None:
    from lungwise.evaluation.mistakes import Mistake

    keras = run_pictures(run, heatmaps=True)
    assert keras is not None
    mistakes = [Mistake(image, "normal", "sick", 0.9) for image in data.test.manifest["image"][:3]]
    ours, theirs = pictures_of(bundle, data)(mistakes), keras(mistakes)
    assert [len(pictures) for pictures in ours.values()] == [2, 2, 2]
    for image, pictures in ours.items():
        assert pictures[0] == theirs[image][0]
        assert abs(len(pictures[1]) - len(theirs[image][1])) < 200
    page = (run / "report.html").read_text()
    assert "data:image/jpeg;base64," in page
    assert "Grad-CAM" in page


def test_metrics_of_an_older_version_calibrate_nothing(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("calibration", "conformal"):
        del metrics[name]
    spec = _spec(single_run(run), metrics, "old", {})
    assert (spec.temperature, spec.calibration_matrix, spec.conformal_quantiles) == (1.0, (), {})


def test_a_map_of_each_class_goes_into_the_bundle(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    mapped = Calibration("dirichlet", 1.0, None, ((1.5, 0.0), (0.0, 0.5)), (0.25, 0.0), "validation")
    spec = _spec(single_run(run), {**metrics, "calibration": {"calibration": mapped.to_json()}}, "mapped", {})
    assert (spec.temperature, spec.calibration_matrix, spec.calibration_bias) == (1.0, mapped.matrix, mapped.bias)
    broken = {**metrics, "calibration": {"calibration": {"kind": "guess"}}}
    with pytest.raises(RunError, match=r"metrics\.json or environment\.json in .* is missing or damaged"):
        _spec(single_run(run), broken, "broken", {})
