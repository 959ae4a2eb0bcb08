"""Folds are judged by their own thresholds, together and one by one; repeats do not pass for more patients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lungwise.errors import DataError, RunError
from lungwise.evaluation.calibration import Calibration, calibrated, fit_calibration
from lungwise.evaluation.calibration_report import describe
from lungwise.evaluation.cases import to_cases
from lungwise.evaluation.compare.cases import as_tested
from lungwise.evaluation.compare.runs import read_evaluated
from lungwise.evaluation.decision import Rule, fit_decision
from lungwise.evaluation.evaluate import evaluate_run
from lungwise.evaluation.folds import calibration_of_folds, common_decision, describe_folds, judge, pooled, summary
from tests.evaluation.factory import predictions

DIVISION = {"folds": 3, "repeats": 1, "include_test": False, "by": "patient"}


def table(folds: int = 3, repeats: int = 1, labels: tuple[str, ...] = ("normal", "sick")) -> pl.DataFrame:
    """Predictions of folds, each of which tests images of its own; a repeat tests the same images again."""
    parts = []
    for repeat in range(1, repeats + 1):
        for fold in range(1, folds + 1):
            made = predictions({"test": 24, "validation": 16}, labels, seed=10 * repeat + fold)
            named = made.with_columns(
                pl.format("f{}-{}", pl.lit(fold), pl.col(name)).alias(name) for name in ("image", "patient")
            )
            parts.append(named.with_columns(fold=pl.lit(fold, pl.Int32), repeat=pl.lit(repeat, pl.Int32)))
    return pl.concat(parts)


def write(folder: Path, rows: pl.DataFrame, **division: Any) -> Path:
    folder.mkdir()
    counts = {"test": {"normal": 36, "sick": 36}}
    files: dict[str, Any] = {
        "data.json": {"counts": counts, "audit": [], "notes": [], "missing": 0, "unreadable": 0, "fingerprint": "d" * 64},
        "environment.json": {
            "recipe": "r", "description": "d", "packages": {"keras": "3"}, "python": "3", "system": "Linux", "cores": 2,
        },
        "crossval.json": {"division": {**DIVISION, **division}, "data_fingerprint": "a" * 64, "runs": []},
    }  # fmt: skip
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value))
    (folder / "recipe.toml").write_text('name = "r"\n')
    rows.write_parquet(folder / "predictions.parquet")
    return folder


def test_every_fold_decides_by_its_own_validation_part() -> None:
    found = judge(table())
    assert [(fold.repeat, fold.fold, len(fold.cases)) for fold in found] == [(1, 1, 24), (1, 2, 24), (1, 3, 24)]
    thresholds = {fold.decision.threshold for fold in found}
    assert len(thresholds) == 3
    rows = table().filter(pl.col("fold") == 2)
    assert found[1].decision == fit_decision(to_cases(rows, "validation"))
    changed = table().with_columns(prob_sick=pl.when(pl.col("split") == "test").then(0.5).otherwise(pl.col("prob_sick")))
    changed = changed.with_columns(prob_normal=1 - pl.col("prob_sick"))
    assert [fold.decision for fold in judge(changed)] == [fold.decision for fold in found]


def test_the_pool_holds_every_test_image_decided_by_its_fold() -> None:
    found = judge(table())
    cases, part = pooled(found)
    right = sum(int((fold.decided == fold.cases.y).sum()) for fold in found)
    assert (len(cases), part["images"], part["predictions"], part["patients"]) == (72, 72, 72, 36)
    assert part["accuracy"]["value"] == pytest.approx(right / 72)
    assert np.sum(part["confusion"]) == 72


def test_repeats_count_as_the_same_patients() -> None:
    once, (_, twice) = judge(table()), pooled(judge(table(repeats=2)))
    assert (twice["images"], twice["predictions"], twice["patients"]) == (72, 144, 36)
    double = pl.concat([table(), table().with_columns(repeat=pl.lit(2, pl.Int32))])
    assert pooled(judge(double))[1]["accuracy"] == pooled(once)[1]["accuracy"]


def test_mean_and_deviation_are_those_of_the_folds() -> None:
    found = judge(table())
    whole = summary(found, DIVISION)
    values = [fold["macro_auroc"] for fold in whole["each"]]
    assert whole["mean"]["macro_auroc"] == pytest.approx({"mean": np.mean(values), "sd": np.std(values, ddof=1), "folds": 3})
    assert {"accuracy", "balanced_accuracy", "sensitivity/sick", "auroc/normal"} <= set(whole["mean"])
    json.dumps(whole, allow_nan=False)


def test_what_is_undefined_in_a_fold_is_left_out_of_the_mean() -> None:
    rows = table()
    label = pl.when((pl.col("fold") == 1) & (pl.col("split") == "test")).then(pl.lit("normal")).otherwise(pl.col("label"))
    whole = summary(judge(rows.with_columns(label=label)), DIVISION)
    assert whole["each"][0]["macro_auroc"] is None
    assert whole["mean"]["macro_auroc"]["folds"] == 2
    assert summary(judge(rows)[:1], DIVISION)["mean"]["accuracy"]["sd"] is None


def test_folds_have_names_and_say_what_their_test_parts_hold() -> None:
    assert [fold["name"] for fold in summary(judge(table()), DIVISION)["each"]] == ["fold 1/3", "fold 2/3", "fold 3/3"]
    twice = summary(judge(table(2, repeats=2)), DIVISION)["each"]
    assert [fold["name"] for fold in twice][1:3] == ["fold 2/2, repeat 1/2", "fold 1/2, repeat 2/2"]
    rows = table(2).with_columns(fold_name=pl.format("source {}", pl.col("fold")))
    assert [fold["name"] for fold in summary(judge(rows), DIVISION)["each"]] == ["source 1", "source 2"]
    assert twice[0]["counts"] == {"normal": 12, "sick": 12}


def test_a_class_that_no_test_part_holds_is_undefined_and_the_rest_is_not(tmp_path: Path) -> None:
    """As where each source is left out in turn, and one that holds all of a class cannot be."""
    kept = (pl.col("split") == "validation") | (pl.col("label") != "c")
    rows = table(2, labels=("a", "b", "c")).filter(kept).with_columns(fold_name=pl.format("source {}", pl.col("fold")))
    folder = write(tmp_path / "cv", rows, folds=2, by="source", include_test=True, refused={"z": "Sentence."})
    metrics = evaluate_run(folder)
    part, folds = metrics["parts"]["test"], metrics["folds"]
    assert (part["classes"]["c"]["sensitivity"]["value"], part["macro_auroc"]["value"]) == (None, None)
    assert (part["accuracy"]["value"], part["classes"]["a"]["auroc"]["value"]) != (None, None)
    assert folds["refused"] == {"z": "Sentence."}
    assert [(fold["name"], fold["counts"]["c"], fold["macro_auroc"]) for fold in folds["each"]] == [
        ("source 1", 0, None), ("source 2", 0, None),
    ]  # fmt: skip
    assert folds["mean"]["accuracy"]["folds"] == 2
    assert folds["mean"]["sensitivity/c"] == {"mean": None, "sd": None, "folds": 0}
    assert "Divided by source." in (folder / "report.html").read_text()


def test_the_decisions_in_one_sentence() -> None:
    found = judge(table())
    thresholds = sorted(fold.decision.threshold for fold in found)
    assert common_decision(found).threshold == thresholds[1]
    assert describe_folds(found) == (
        "Every fold decides for sick from a threshold on that was chosen on its own validation part, between "
        f"{thresholds[0]:.3f} and {thresholds[2]:.3f}."
    )
    without = judge(table(), Rule("argmax"))
    assert common_decision(without).rule == "argmax"
    assert describe_folds(without) == "The class with the largest probability is decided for."
    assert describe_folds([*found, without[0]]).endswith(
        "; in 1 of 4 folds no threshold helped, and the larger probability decides."
    )


@pytest.mark.parametrize("classes", [("normal", "sick"), ("a", "b", "c")])
def test_a_directory_of_folds_is_evaluated_in_place(tmp_path: Path, classes: tuple[str, ...]) -> None:
    folder = write(tmp_path / "cv", table(repeats=2, labels=classes), repeats=2)
    metrics = evaluate_run(folder)
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert (metrics["part"], list(metrics["parts"]), metrics["training"], metrics["targets"]) == ("test", ["test"], None, [])
    assert (metrics["data_fingerprint"], len(metrics["folds"]["each"])) == ("a" * 64, 6)
    page = (folder / "report.html").read_text()
    for text in (
        "Fold by fold",
        "mean ± SD",
        '<td class="number">fold 2/3, repeat 1/2</td>',
        "each predicted 2 times",
        "own test part took no part",
    ):
        assert text in page
    assert ("the median of the folds&#39; thresholds" in page) == (len(classes) == 2)


def test_a_single_run_says_nothing_of_folds(tmp_path: Path) -> None:
    from lungwise.evaluation.evaluate import Background, evaluate_predictions

    metrics = evaluate_predictions(predictions({"validation": 8, "test": 8}), Background("b"), tmp_path)
    assert "folds" not in metrics
    assert "Fold by fold" not in (tmp_path / "report.html").read_text()


def test_predictions_that_are_no_folds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must say 'fold' of every image"):
        judge(predictions({"validation": 8, "test": 8}))
    with pytest.raises(DataError, match="fold 2 of repeat 1 lacks some; run the cross-validation again"):
        judge(table().filter((pl.col("fold") != 2) | (pl.col("split") == "test")))
    folder = write(tmp_path / "cv", table())
    (folder / "crossval.json").write_text("{")
    with pytest.raises(RunError, match=r"crossval\.json is damaged"):
        evaluate_run(folder)


def sure(folds: int = 2) -> pl.DataFrame:
    """Folds whose models are too sure, each by another factor."""
    parts = []
    for fold in range(1, folds + 1):
        rng = np.random.default_rng(fold)
        sick = rng.beta(0.7, 0.7, 160).clip(0.02, 0.98)
        odds = (sick / (1 - sick)) ** (1 + fold)
        parts.append(
            predictions(
                {"test": 60, "validation": 100},
                label=np.where(rng.random(160) < sick, "sick", "normal").tolist(),
                image=[f"f{fold}-{row}" for row in range(160)],
                patient=[f"f{fold}-p{row}" for row in range(160)],
                prob_normal=1 / (1 + odds),
                prob_sick=odds / (1 + odds),
            ).with_columns(fold=pl.lit(fold, pl.Int32), repeat=pl.lit(1, pl.Int32))
        )
    return pl.concat(parts)


def test_every_fold_is_calibrated_by_its_own_validation_part() -> None:
    found = judge(sure())
    temperatures = []
    for fold in found:
        rows = sure().filter(pl.col("fold") == fold.fold)
        validation, test = to_cases(rows, "validation"), to_cases(rows, "test")
        assert fold.calibration == fit_calibration(validation)
        assert fold.decision == fit_decision(calibrated(validation, fold.calibration))
        np.testing.assert_array_equal(fold.raw.prob, test.prob)
        np.testing.assert_array_equal(fold.cases.prob, fold.calibration.apply(test.prob))
        temperatures.append(fold.calibration.temperature)
    assert 1.2 < temperatures[0] < temperatures[1]
    told = calibration_of_folds(found)
    assert told["calibration"]["temperatures"] == temperatures
    assert told["calibration"]["reason"] == (
        "Each of 2 folds was calibrated by its own validation part: a temperature in 2 "
        f"({temperatures[0]:.2f} to {temperatures[1]:.2f})."
    )
    assert (told["images"], told["after"]["log_loss"]["value"] < told["before"]["log_loss"]["value"]) == (120, True)


def test_folds_that_cannot_be_calibrated_say_why() -> None:
    found = judge(table())
    assert {fold.calibration.kind for fold in found} == {"none"}
    told = calibration_of_folds(found)
    assert told["calibration"]["kind"] == "none"
    assert told["calibration"]["reason"].startswith("Each of 3 folds was calibrated by its own validation part: nothing in 3 (")
    assert told["before"] == told["after"] == describe(pooled(found)[0], pooled(found)[0], Calibration())["before"]


def test_the_report_of_folds_and_a_comparison_calibrate_alike(tmp_path: Path) -> None:
    folder = write(tmp_path / "cv", sure(), folds=2)
    metrics = evaluate_run(folder)
    page = (folder / "report.html").read_text()
    assert "each fold by its own" in page
    assert metrics["calibration"]["calibration"]["reason"] in page
    assert '<td class="number">fold 2/2</td>' in page
    (side,) = read_evaluated([folder])
    tested = as_tested(side)
    np.testing.assert_allclose(tested.cases.prob, pooled(judge(sure()))[0].prob)
    assert (tested.decided == tested.cases.y).mean() == pytest.approx(metrics["parts"]["test"]["accuracy"]["value"])
