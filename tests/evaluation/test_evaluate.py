"""From predictions to ``metrics.json`` and ``report.html``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import lungwise
from lungwise.errors import DataError, LungwiseError, RunError
from lungwise.evaluation import evaluate
from lungwise.evaluation.calibration import calibrated, fit_calibration
from lungwise.evaluation.cases import to_cases
from lungwise.evaluation.conformal import Conformal
from lungwise.evaluation.decision import Decision, Rule, fit_decision
from lungwise.evaluation.evaluate import Background, describe, evaluate_predictions, evaluate_run
from lungwise.evaluation.intervals import EMPTY
from lungwise.evaluation.metrics import measure
from lungwise.evaluation.mistakes import Mistake
from lungwise.evaluation.wishes import Wishes
from lungwise.labels import LabelSet
from tests.evaluation.factory import history, predictions

ALL = {"train": 16, "validation": 16, "test": 16}
FACTS = {
    "recipe": "quick",
    "description": "A small net.",
    "kept_epoch": 2,
    "packages": {"keras": "3.12"},
    "python": "3.12.1",
    "system": "Linux",
    "cores": 2,
}


def strict(path: Path) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    return found


def write_run(folder: Path, table: pl.DataFrame | None = None, **data: Any) -> Path:
    """A finished run directory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text('name = "quick"\n')
    facts = {"counts": {"train": {"normal": 8, "sick": 8}}, "audit": [], "notes": [], "fingerprint": "f" * 64}
    (folder / "data.json").write_text(json.dumps({**facts, "missing": 3, "unreadable": 1, "synthetic": False, **data}))
    (folder / "environment.json").write_text(json.dumps(FACTS))
    (folder / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in history(3)))
    (predictions(ALL) if table is None else table).write_parquet(folder / "predictions.parquet")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that was evaluated."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "mine", synthetic=True)
    evaluate_run(folder)
    return folder


def test_both_files_are_written_whole(run: Path) -> None:
    made = {file.name for file in run.iterdir()} - {"recipe.toml", "data.json", "environment.json", "history.jsonl"}
    assert made == {"predictions.parquet", "metrics.json", "report.html"}


def test_metrics_are_strict_json_and_returned(run: Path, tmp_path: Path) -> None:
    again = evaluate_run(write_run(tmp_path / "mine", synthetic=True))
    assert strict(run / "metrics.json") == json.loads(json.dumps(again))


def test_metrics_say_what_they_are_of(run: Path) -> None:
    found = strict(run / "metrics.json")
    assert (found["name"], found["labels"], found["part"]) == ("mine", ["normal", "sick"], "test")
    assert (found["lungwise"], found["data_fingerprint"], found["synthetic"]) == (lungwise.__version__, "f" * 64, True)
    assert set(found["parts"]) == {"train", "validation", "test"}


def test_metrics_are_those_of_each_part(run: Path) -> None:
    table = pl.read_parquet(run / "predictions.parquet")
    decision = fit_decision(to_cases(table, "validation"))
    assert strict(run / "metrics.json")["parts"]["test"] == measure(to_cases(table, "test"), decision)


def test_the_threshold_comes_from_validation(run: Path) -> None:
    validation = to_cases(pl.read_parquet(run / "predictions.parquet"), "validation")
    assert strict(run / "metrics.json")["decision"] == fit_decision(validation).to_json()


def test_the_test_part_does_not_move_the_threshold(run: Path, tmp_path: Path) -> None:
    table = pl.read_parquet(run / "predictions.parquet")
    wrong = pl.when(pl.col("split") == "test").then(pl.lit("sick")).otherwise(pl.col("label")).alias("label")
    changed = evaluate_run(write_run(tmp_path / "mine", table.with_columns(wrong)))
    assert changed["decision"] == strict(run / "metrics.json")["decision"]


def test_the_training_is_summed_up(run: Path) -> None:
    found = strict(run / "metrics.json")
    parts, training = found["parts"], found["training"]
    gap = parts["train"]["accuracy"]["value"] - parts["test"]["accuracy"]["value"]
    assert (training["epochs"], training["epochs_to_best"], training["kept_epoch"]) == (3, 2, 2)
    assert training["train_test_gap"] == pytest.approx(gap)
    assert found["targets"][0]["target"] == "test accuracy"


def test_the_report_says_the_numbers_of_the_metrics(run: Path) -> None:
    text, part = (run / "report.html").read_text(encoding="utf-8"), strict(run / "metrics.json")["parts"]["test"]
    assert f"{100 * part['accuracy']['value']:.1f} %" in text
    assert f"{100 * part['accuracy']['low']:.1f}" in text
    assert f"{part['macro_auroc']['value']:.3f}" in text
    for found in part["classes"].values():
        assert f"{found['sensitivity']['value']:.3f}" in text
        assert f"{found['ppv']['value']:.3f}" in text


def test_the_report_says_where_it_comes_from(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    for words in ("mine", "Recipe quick: A small net.", "keras 3.12", "Research use only. Not a medical device"):
        assert words in text


def test_a_synthetic_run_says_so(run: Path) -> None:
    assert "synthetic" in (run / "report.html").read_text(encoding="utf-8")


def test_a_real_run_is_not_called_synthetic(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r")
    evaluate_run(folder)
    assert "synthetic" not in (folder / "report.html").read_text(encoding="utf-8")


def test_evaluating_again_gives_the_same_files(run: Path) -> None:
    before = [(run / name).read_bytes() for name in ("metrics.json", "report.html")]
    evaluate_run(run)
    assert [(run / name).read_bytes() for name in ("metrics.json", "report.html")] == before


def test_a_run_without_a_test_part_is_judged_on_validation(tmp_path: Path) -> None:
    found = evaluate_run(write_run(tmp_path / "r", predictions({"train": 16, "validation": 16})))
    assert (found["part"], found["training"]["train_test_gap"]) == ("validation", None)
    assert found["targets"][0] == {
        "target": "test accuracy",
        "wanted": "at least 85%",
        "got": "no test part",
        "met": None,
    }


def test_a_test_part_without_validation_takes_the_largest_probability(tmp_path: Path) -> None:
    found = evaluate_predictions(predictions({"test": 8}), Background("b"), tmp_path)
    assert found["decision"] == Decision().to_json()
    assert (found["training"], found["targets"]) == (None, [])


def test_an_earlier_decision_is_kept(tmp_path: Path) -> None:
    decision = Decision("youden", 1, 0.9, "validation")
    table = predictions({"validation": 8, "test": 8})
    assert evaluate_predictions(table, Background("b", decision=decision), tmp_path)["decision"] == decision.to_json()


@pytest.mark.parametrize("parts", [{"train": 8}, {"none": 4}, {}])
def test_predictions_of_training_images_alone_are_refused(tmp_path: Path, parts: dict[str, int]) -> None:
    with pytest.raises(DataError, match=r"needs test or validation images, the predictions hold neither; prepare the data"):
        evaluate_predictions(predictions(parts or {"train": 1}).head(sum(parts.values())), Background("b"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_row_writes_nothing(tmp_path: Path) -> None:
    table = predictions({"test": 2}, prob_normal=[0.5, np.nan], prob_sick=[0.5, 0.5])
    with pytest.raises(DataError, match=r"sum to 1, got \[nan, 0\.5\] for i1\.png"):
        evaluate_predictions(table, Background("b"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_three_classes_and_one_patient_are_measured(tmp_path: Path) -> None:
    table = predictions({"validation": 9, "test": 9}, ("a", "b", "c"), patient=["p"] * 18)
    found = evaluate_predictions(table, Background("b"), tmp_path)
    assert found["parts"]["test"]["patients"] == 1
    assert strict(tmp_path / "metrics.json") == json.loads(json.dumps(found))


def test_a_class_absent_from_test_is_null(tmp_path: Path) -> None:
    table = predictions({"test": 4}, label=["normal"] * 4)
    evaluate_predictions(table, Background("b"), tmp_path)
    part = strict(tmp_path / "metrics.json")["parts"]["test"]
    nothing = {"value": None, "low": None, "high": None, "reason": EMPTY}
    assert part["classes"]["sick"]["sensitivity"] == part["macro_auroc"] == nothing


def test_a_failure_keeps_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics.json").write_text("old")
    (tmp_path / "report.html").write_text("old")

    def fail(context: dict[str, Any]) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "render", fail)
    with pytest.raises(KeyboardInterrupt):
        evaluate_predictions(predictions({"test": 8}), Background("b"), tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"metrics.json": "old", "report.html": "old"}


def test_a_place_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LungwiseError, match=r"must be a directory, but a file is in its place; choose another --out\.$"):
        evaluate_predictions(predictions({"test": 4}), Background("b"), tmp_path / "file")


@pytest.mark.parametrize("place", ["none", "file"])
def test_what_is_no_run_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"is not a run directory: it has no recipe\.toml; train one with lungwise train DATA"):
        evaluate_run(tmp_path / place)


@pytest.mark.parametrize("name", ["recipe.toml", "data.json", "history.jsonl", "environment.json"])
def test_a_run_that_lacks_a_file_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "r")
    (folder / name).unlink()
    with pytest.raises(RunError, match=rf"is not a run directory: it has no {name}"):
        evaluate_run(folder)


@pytest.mark.parametrize("name", ["data.json", "history.jsonl", "environment.json"])
def test_a_run_with_a_damaged_file_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "r")
    (folder / name).write_text('{"epoch": 1, "lo')
    with pytest.raises(RunError, match=rf"{name} is damaged \(.*\); train again into another directory\.$"):
        evaluate_run(folder)


def test_a_run_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r")
    (folder / "predictions.parquet").unlink()
    with pytest.raises(DataError, match="the run is not finished; train it to its end first"):
        evaluate_run(folder)


def test_the_decision_in_one_sentence() -> None:
    labels = LabelSet(("covid", "normal"))
    assert describe(Decision(), labels) == "The class with the largest probability is decided for."
    assert describe(Decision("youden", 0, 0.25, "validation"), labels) == (
        "covid is decided for from a probability of 0.250 on, the threshold with the largest Youden index on validation."
    )
    assert describe(Decision("sensitivity", 0, 0.25, "validation"), labels).endswith(
        "0.250 on, the highest threshold that keeps the wanted sensitivity on validation."
    )


def test_a_run_is_evaluated_by_the_wanted_rule(tmp_path: Path) -> None:
    found = evaluate_run(write_run(tmp_path / "r"), Rule("sensitivity", 0.9))
    assert found["decision"]["rule"] == "sensitivity"
    assert found["parts"]["validation"]["classes"]["sick"]["sensitivity"]["value"] >= 0.9


def too_sure(parts: dict[str, int], films: int = 1) -> pl.DataFrame:
    """Predictions whose probabilities are too sure, one or more films a patient."""
    rng, number = np.random.default_rng(4), sum(parts.values())
    sick = rng.beta(0.7, 0.7, number).clip(0.02, 0.98)
    label = np.where(rng.random(number) < sick, "sick", "normal").tolist()
    odds = (sick / (1 - sick)) ** 3
    patient = [f"p{row // films}" for row in range(number)]
    return predictions(parts, prob_normal=1 / (1 + odds), prob_sick=odds / (1 + odds), label=label, patient=patient)


def test_all_figures_are_those_of_calibrated_probabilities(tmp_path: Path) -> None:
    table = too_sure({"train": 60, "validation": 120, "test": 120})
    found = evaluate_run(write_run(tmp_path / "r", table))
    raw = {split: to_cases(table, split) for split in ("train", "validation", "test")}
    calibration = fit_calibration(raw["validation"])
    sharp = {split: calibrated(part, calibration) for split, part in raw.items()}
    decision = fit_decision(sharp["validation"])
    assert calibration.temperature > 1.5
    assert (found["calibration"]["calibration"], found["decision"]) == (calibration.to_json(), decision.to_json())
    for split, part in sharp.items():
        assert found["parts"][split] == measure(part, decision)
    assert found["calibration"]["after"]["log_loss"]["value"] < found["calibration"]["before"]["log_loss"]["value"]
    assert set(found["conformal"]["classes"]) == {"normal", "sick"}
    assert found["operating_points"]["classes"]["sick"]["threshold"] == decision.threshold
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    for words in (
        f"One temperature, {calibration.temperature:.2f} [",
        "the network was too sure of itself there",
        "Sets that hold the true class",
        "Operating points",
        "Precision-recall curves",
        "For a paper: what guidelines ask",
    ):
        assert words in page


def test_the_test_part_does_not_move_calibration_sets_and_points(tmp_path: Path) -> None:
    table = too_sure({"validation": 120, "test": 120})
    first = evaluate_predictions(table, Background("b"), tmp_path)
    wrong = pl.when(pl.col("split") == "test").then(pl.lit("sick")).otherwise(pl.col("label")).alias("label")
    second = evaluate_predictions(table.with_columns(wrong), Background("b"), tmp_path)
    for name in ("calibration", "conformal", "operating_points"):
        assert first[name] != second[name]
    assert first["calibration"]["calibration"] == second["calibration"]["calibration"]
    assert first["conformal"]["quantiles"] == second["conformal"]["quantiles"]
    points = [found["operating_points"]["classes"]["sick"]["threshold"] for found in (first, second)]
    assert points[0] == points[1]


def test_a_bundles_probabilities_are_taken_as_they_are(tmp_path: Path) -> None:
    table, decision = too_sure({"validation": 120, "test": 120}), Decision("youden", 1, 0.4, "validation")
    sets = Conformal(0.1, {"normal": 0.7, "sick": 0.6}, {"normal": 50, "sick": 60})
    found = evaluate_predictions(table, Background("b", decision=decision, conformal=sets), tmp_path)
    assert found["calibration"]["calibration"]["kind"] == "none"
    assert found["parts"]["test"] == measure(to_cases(table, "test"), decision)
    assert found["conformal"] == sets.describe(to_cases(table, "test"))
    assert "operating_points" not in found
    assert "calibrated already" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_patients_of_each_class_are_counted(run: Path) -> None:
    assert strict(run / "metrics.json")["patients_by_class"] == {"normal": 8, "sick": 8}


def test_a_shortcut_audit_stands_in_verdict_and_metrics(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r")
    evaluate_run(folder)
    assert "lungwise audit DATA --model BUNDLE" in (folder / "report.html").read_text(encoding="utf-8")
    check = {"name": "probe", "severity": "error", "message": "Without lungs it is as good."}
    audit = {"model": "r", "severity": "error", "films": 40, "fingerprint": "another", "checks": [check]}
    (folder / "shortcuts.json").write_text(json.dumps(audit))
    found = evaluate_run(folder)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert found["shortcuts"] == audit
    assert '<li class="grave">Shortcuts: Without lungs it is as good.</li>' in page
    assert "of other data than these" in page


def test_the_worst_mistakes_are_shown_or_left_out(tmp_path: Path) -> None:
    asked: list[Mistake] = []

    def pictures(mistakes: Sequence[Mistake]) -> dict[str, list[bytes]]:
        asked.extend(mistakes)
        return {mistakes[0].image: [b"\xff\xd8film", b"\xff\xd8heat"]}

    table = too_sure({"validation": 40, "test": 120})
    background = Background("b", pictures=pictures)
    evaluate_predictions(table, background, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 1 <= len(asked) <= 8
    assert page.count('<img src="data:image/jpeg;base64,') == 2
    assert all(mistake.image in page for mistake in asked)
    evaluate_predictions(table, replace(background, pictures=None), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert all(f"<td>{mistake.image}</td>" in page for mistake in asked)
    evaluate_predictions(table, replace(background, wishes=Wishes(images=False)), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert not any(mistake.image in page for mistake in asked)
    assert "Left out of this report on request" in page
