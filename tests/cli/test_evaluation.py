"""Evaluating and comparing from the command line: runs, bundles, anyone's tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from lungwise.data.store import PreparedData
from tests.cli.test_main import lungwise
from tests.evaluation.factory import predictions
from tests.evaluation.test_evaluate import write_run

PARTS = {"train": 8, "validation": 16, "test": 48}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by hand, evaluated."""
    folder = write_run(tmp_path_factory.mktemp("evaluated") / "ours", predictions(PARTS))
    lungwise("evaluate", folder)
    return folder


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's table on the same images, without parts and patients."""
    path = tmp_path_factory.mktemp("tables") / "theirs.csv"
    table = predictions(PARTS, seed=3).filter(pl.col("split") == "test")
    more = pl.Series("sex", ["F", "M", "M"] * 16)
    table.select("image", "label", p0="prob_normal", p1="prob_sick").with_columns(more).write_csv(path)
    return path


NAMED = ["--column", "prob_normal=p0", "--column", "prob_sick=p1"]


def test_a_table_becomes_a_report(theirs: Path, tmp_path: Path) -> None:
    result = lungwise("evaluate", theirs, "--out", tmp_path / "t", *NAMED, "--by", "sex", "--json")
    metrics = json.loads(result.stdout)
    assert (metrics["name"], metrics["part"], metrics["decision"]["rule"]) == ("theirs", "test", "argmax")
    assert {row["group"] for row in metrics["subgroups"]} == {"F", "M"}
    assert len(metrics["notes"]) == 2
    page = (tmp_path / "t" / "report.html").read_text(encoding="utf-8")
    assert "every image counts as a patient of its own" in page
    assert "Predictions of theirs.csv, taken as they are." in page
    assert metrics == json.loads((tmp_path / "t" / "metrics.json").read_text())


def test_a_table_and_a_run_are_compared(theirs: Path, run: Path, tmp_path: Path) -> None:
    lungwise("evaluate", theirs, "--out", tmp_path / "t", *NAMED, "--quiet")
    result = lungwise("compare", run, tmp_path / "t", "--out", tmp_path / "c")
    assert "adjusted p" in result.stdout
    assert "patients as the side with fewer of them tells them apart" in result.stdout
    assert result.stderr == f"Comparison: {tmp_path / 'c' / 'comparison.html'}\n"
    assert len(list((tmp_path / "c").iterdir())) == 6


def test_a_threshold_comes_from_validation_rows_by_the_wanted_rule(tmp_path: Path) -> None:
    predictions(PARTS).write_parquet(tmp_path / "p.parquet")
    options = [["--specificity", 0.9], ["--rule", "specificity"], ["--miss-cost", 5], ["--sensitivity", 0.8]]
    rules = ["specificity", "specificity", "cost", "sensitivity"]
    for option, rule in zip(options, rules, strict=True):
        result = lungwise("evaluate", tmp_path / "p.parquet", "--out", tmp_path / "t", *option, "--json")
        assert json.loads(result.stdout)["decision"]["rule"] == rule
        assert "on validation." in (tmp_path / "t" / "report.html").read_text(encoding="utf-8")


def test_the_rule_cost_reckons_with_the_prevalence(tmp_path: Path) -> None:
    predictions({"validation": 100, "test": 20}).write_parquet(tmp_path / "p.parquet")
    thresholds = []
    for share in ("sick=0.5", "sick=0.02", "normal=0.98"):
        call = ["evaluate", tmp_path / "p.parquet", "--out", tmp_path / "t", "--rule", "cost", "--prevalence", share, "--json"]
        thresholds.append(json.loads(lungwise(*call).stdout)["decision"]["threshold"])
    assert thresholds[0] < thresholds[1] == thresholds[2]


def test_predictive_values_at_another_prevalence(run: Path) -> None:
    result = lungwise("evaluate", run, "--prevalence", "sick=0.02")
    assert "where 0.02 are sick: PPV " in result.stderr
    assert "Where 2 of 100 images are sick" in (run / "report.html").read_text(encoding="utf-8")


def test_groups_of_a_run_from_its_own_data_set(small_run: Path, small_data: PreparedData) -> None:
    metrics = json.loads(lungwise("evaluate", small_run, "--by", "phash", "--json").stdout)
    hashes = set(small_data.test.manifest["phash"])
    assert {row["group"] for row in metrics["subgroups"]} == hashes
    said = lungwise("evaluate", small_run, "--by", "sex", code=2).stderr
    assert f"'sex' is a column neither of the predictions nor of {small_data.folder}" in said
    assert "give a table with the columns image and sex as --subgroups TABLE" in said


def test_films_of_mistakes_are_shown_or_left_out(small_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(small_run, folder)
    lungwise("evaluate", folder, "--quiet")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<img src="data:image/jpeg;base64,' in page
    lungwise("evaluate", folder, "--quiet", "--no-images")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "Left out of this report on request" in page


def test_groups_of_a_run_from_another_table(run: Path, tmp_path: Path) -> None:
    images = pl.read_parquet(run / "predictions.parquet")["image"]
    table = pl.DataFrame({"image": images, "age": [str(20 + row % 50) for row in range(len(images))]})
    table.write_csv(tmp_path / "more.csv")
    result = lungwise("evaluate", run, "--by", "age:30", "--subgroups", tmp_path / "more.csv")
    assert "age by 30" in result.stderr
    assert "0–29" in result.stderr
    assert "30–59" in result.stderr


def test_a_data_set_that_has_gone_is_one_sentence(run: Path) -> None:
    facts = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({**facts, "folder": "/nowhere"}))
    said = lungwise("evaluate", run, "--by", "sex", code=2).stderr
    assert "'sex' is sought in the prepared data set /nowhere, but it is not there any more; give a table with" in said


def test_a_data_set_prepared_anew_is_not_trusted(run: Path, small_data: PreparedData) -> None:
    facts = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({**facts, "folder": str(small_data.folder)}))
    assert "but it was prepared anew since" in lungwise("evaluate", run, "--by", "height", code=2).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "age:x"], "--by takes COLUMN or COLUMN:WIDTH with a width above 0, for example age:20, got 'age:x'"),
        (["--prevalence", "sick"], "--prevalence takes LABEL=SHARE, for example COVID-19=0.02, got 'sick'; correct it."),
        (["--prevalence", "sick=2"], "A prevalence must lie between 0 and 1, got 2.0 for sick"),
        (["--prevalence", "ill=0.2"], "'ill' is not one of the classes ['normal', 'sick']"),
        (["--rule", "best"], "A threshold's rule must be youden, sensitivity, specificity, cost or argmax, got 'best'"),
        (["--rule", "cost", "--sensitivity", 0.9], "--sensitivity belongs to --rule sensitivity, not to cost; leave one"),
        (["--miss-cost", 2, "--specificity", 0.9], "--miss-cost belongs to --rule cost, not to specificity; leave one"),
        (["--sensitivity", 1.5], "The wanted sensitivity must lie between 0 and 1, got 1.5; correct --sensitivity."),
        (["--column", "label=x"], "--column names the columns of a table of predictions; leave it out."),
        (["--heatmaps", "--no-images"], "--heatmaps draws the worst mistakes of a run (a bundle's always have some); leave it"),
        (["--out", "elsewhere"], "The report of a run goes into its directory; leave --out out."),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(run: Path, options: list[object], message: str) -> None:
    assert message in lungwise("evaluate", run, *options, code=2).stderr


def test_places_that_do_not_fit_are_one_sentence(run: Path, theirs: Path, tmp_path: Path) -> None:
    assert "Evaluating a table needs a folder for the report; add --out DIR." in lungwise("evaluate", theirs, code=2).stderr
    said = lungwise("evaluate", theirs, "--out", run, code=2).stderr
    assert f"--out must not be a run or a bundle, but {run} is one; choose another." in said
    (tmp_path / "notes.txt").write_text("x")
    assert (
        "A table must be a .csv, .tsv, .parquet file, got notes.txt"
        in lungwise("evaluate", tmp_path / "notes.txt", "--out", tmp_path / "t", code=2).stderr
    )
    (tmp_path / "more.csv").write_text("image,age\ni1,5\n")
    said = lungwise("evaluate", run, "--subgroups", tmp_path / "more.csv", code=2).stderr
    assert "--subgroups brings columns and --by says which to look at; add --by with one of age." in said


def test_a_bad_table_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("image,label,prob_a,prob_b\n1,a,0.9,0.2\n")
    said = lungwise("evaluate", tmp_path / "p.csv", "--out", tmp_path / "t", code=2).stderr
    assert said.startswith("Error: Probabilities must sum to 1 in every row, but these look like one sigmoid for each class")
    assert not (tmp_path / "t").exists()


def test_a_swapped_order_is_told_to_people_and_machines(tmp_path: Path) -> None:
    table = predictions({"test": 60}).rename({"prob_normal": "prob_sick", "prob_sick": "prob_normal"})
    table.write_csv(tmp_path / "p.csv")
    assert (
        "warning: The columns of probabilities seem to be in the wrong order"
        in lungwise("evaluate", tmp_path / "p.csv", "--out", tmp_path / "t").stderr
    )
    assert json.loads((tmp_path / "t" / "metrics.json").read_text())["audit"][0]["check"] == "label-order"


def test_a_bundle_is_evaluated_by_groups_and_compared(small_run: Path, small_data: PreparedData, tmp_path: Path) -> None:
    lungwise("export", small_run, "--out", tmp_path / "model", "--quiet")
    call = ["evaluate", tmp_path / "model", "--data", small_data.folder]
    said = lungwise(*call, "--out", tmp_path / "t", "--rule", "youden", code=2).stderr
    assert "A bundle decides by the threshold that it carries; leave --rule and its numbers out." in said
    assert (
        "which holds no predictions; add --data DATA and --out DIR" in lungwise("evaluate", tmp_path / "model", code=2).stderr
    )
    lungwise(*call, "--out", tmp_path / "t", "--quiet")
    (pair,) = json.loads(lungwise("compare", small_run, tmp_path / "t", "--json").stdout)["pairs"]
    assert pair["accuracy"]["difference"] == 0


def test_compare_is_quiet_when_told(run: Path, tmp_path: Path) -> None:
    result = lungwise("compare", run, "--quiet", "--out", tmp_path / "c")
    assert (result.stdout, result.stderr) == ("", "")
    assert (tmp_path / "c" / "comparison.md").is_file()
