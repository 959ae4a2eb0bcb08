"""Cross-validation and tuning from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from lungwise.data.manifest import write_manifest
from lungwise.data.store import PreparedData
from lungwise.training.division import BY_IMAGE
from tests.cli.test_main import lungwise
from tests.factory import TINY, with_sources

CHANGES = [*TINY, "fit.epochs=1", "model.frozen=true", "data.augment={}"]
RECIPE = ["--recipe", "kaggle-cnn", *(text for change in CHANGES for text in ("--set", change))]


@pytest.fixture(scope="module")
def folds(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds, repeated, by image."""
    out = tmp_path_factory.mktemp("cli") / "cv"
    options = ["--folds", 2, "--repeats", 2, "--include-test", "--by", "image"]
    result = lungwise("train", small_data.folder, "--out", out, *RECIPE, *options)
    assert "fold 2/2, repeat 1/2" in result.stderr
    assert "images through the backbone: 54 of 54" in result.stderr
    assert f"Finished folds: {out}. Next: lungwise evaluate {out}" in result.stderr
    return out


def test_folds_are_trained_evaluated_and_compared(folds: Path, small_run: Path) -> None:
    assert sorted(path.name for path in folds.iterdir() if path.is_dir()) == [
        f"repeat-{repeat}of2-fold-{fold}of2" for repeat in (1, 2) for fold in (1, 2)
    ]
    metrics = json.loads(lungwise("evaluate", folds, "--json").stdout)
    part = metrics["parts"]["test"]
    assert (part["images"], part["predictions"], len(metrics["folds"]["each"])) == (54, 108, 4)
    text = lungwise("evaluate", folds).stderr
    assert "over 4 folds, mean ± SD: accuracy 0." in text
    found = json.loads(lungwise("compare", folds, small_run, "--json").stdout)
    assert {(row["part"], row["folds"]) for row in found["runs"]} == {("test", 0), ("test", 4)}
    assert found["unpaired"][0]["reason"].startswith("one is a cross-validation and the other a single run")
    (pair,) = json.loads(lungwise("compare", folds, folds, "--json").stdout)["pairs"]
    assert [fold["accuracy"] for fold in pair["folds"]["each"]] == [0, 0, 0, 0]


def test_the_report_warns_of_a_split_by_image_and_shows_the_folds(folds: Path) -> None:
    lungwise("evaluate", folds)
    page = (folds / "report.html").read_text()
    assert BY_IMAGE in page
    assert "Fold by fold" in page
    assert "each predicted 2 times" in page
    assert "Divided by image." in page
    assert "Parts compared" not in page


def test_the_finished_folds_are_not_trained_again(folds: Path, small_data: PreparedData) -> None:
    options = ["--folds", 2, "--repeats", 2, "--include-test", "--by", "image"]
    result = lungwise("train", small_data.folder, "--out", folds, *RECIPE, *options, "--json")
    assert len(json.loads(result.stdout)["history"]) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--repeats", 2], "--repeats belongs to cross-validation; add --folds, for example --folds 5"),
        (["--include-test"], "--include-test belongs to cross-validation; add --folds"),
        (["--by", "image"], "--by belongs to cross-validation; add --folds"),
        (["--folds", 1], "at least 2 folds, got 1"),
        (["--folds", 1000], "at least 1000 patients for 1000 folds with train, validation and test, but class 'COVID-19' has"),
        (["--folds", 2, "--repeats", 0], "must be done at least once, got 0 repeats; raise the number of repeats."),
        (["--folds", 2, "--by", "hospital"], "by patient or by image, got 'hospital'; correct --by"),
        (["--leave-one-source-out", "--folds", 2], "--leave-one-source-out and --folds exclude each other; give one of them."),
        (["--leave-one-source-out", "--repeats", 2], "--leave-one-source-out and --repeats exclude each other"),
        (["--leave-one-source-out", "--by", "image"], "--leave-one-source-out and --by exclude each other"),
        (["--leave-one-source-out"], "at least two sources, but all 54 images come from 'phantom'; use k folds"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(
    small_data: PreparedData, tmp_path: Path, options: list[object], message: str
) -> None:
    result = lungwise("train", small_data.folder, "--out", tmp_path / "run", *RECIPE, *options, code=2)
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_single_run_does_not_go_into_the_directory_of_folds(folds: Path, small_data: PreparedData) -> None:
    result = lungwise("train", small_data.folder, "--out", folds, *RECIPE, code=2)
    assert "holds a cross-validation; add its --folds or --leave-one-source-out, or choose another --out" in result.stderr


def test_a_cross_validation_is_not_exported(folds: Path, tmp_path: Path) -> None:
    said = lungwise("export", folds, "--out", tmp_path / "model", code=2).stderr
    assert said == (
        f"Error: A run with one model is needed, but {folds} is a cross-validation, which has one for every fold; take the "
        f"directory of one fold, such as {folds / 'repeat-1of2-fold-1of2'}, or train once on all images: lungwise train DATA "
        "--out RUN.\n"
    )
    assert not (tmp_path / "model").exists()


def test_each_source_is_left_out_and_the_one_that_cannot_be_is_said(small_data: PreparedData, tmp_path: Path) -> None:
    data = with_sources(small_data, "a", "b")
    alone = pl.when(pl.col("label") == "pneumonia").then(pl.lit("alone")).otherwise(pl.col("source")).alias("source")
    shutil.copytree(small_data.folder, tmp_path / "data")
    write_manifest(tmp_path / "data" / "manifest.parquet", data.manifest.with_columns(alone))
    out = tmp_path / "cv"
    options = [*RECIPE, "--set", "fit.batch_size=4", "--leave-one-source-out"]
    said = lungwise("train", tmp_path / "data", "--out", out, *options).stderr
    assert said.startswith("Leaving a source out must leave 2 patients of every class, one for each of train and validation, ")
    assert said.splitlines()[0].endswith(
        "without 'alone' class 'pneumonia' has 0; add images of this class from another source."
    )
    assert "\nsource b\n" in said
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["source-1of2-a", "source-2of2-b"]
    metrics = json.loads(lungwise("evaluate", out, "--json").stdout)
    assert [fold["name"] for fold in metrics["folds"]["each"]] == ["source a", "source b"]
    assert "over 2 folds, mean ± SD: accuracy 0." in lungwise("evaluate", out).stderr
    (row,) = json.loads(lungwise("compare", out, "--json").stdout)["runs"]
    assert (row["part"], row["folds"]) == ("test", 2)


def test_folds_that_are_not_finished_are_not_evaluated(folds: Path, tmp_path: Path) -> None:
    for name in ("recipe.toml", "data.json", "crossval.json"):
        (tmp_path / name).write_bytes((folds / name).read_bytes())
    assert "the run is not finished; train it to its end first" in lungwise("evaluate", tmp_path, code=2).stderr


def test_a_recipe_is_tuned_and_the_best_one_trains(small_data: PreparedData, tmp_path: Path) -> None:
    search = ["--search", "optimiser.learning_rate=1e-4:1e-2:log", "--search", "data.balance=weights,none"]
    out = tmp_path / "tune"
    result = lungwise("tune", small_data.folder, "--out", out, *RECIPE, *search, "--trials", 2, "--json")
    found = json.loads(result.stdout)
    assert len(found["trials"]) == 2
    assert found["best"]["val_loss"] == min(trial["val_loss"] for trial in found["trials"])
    said = lungwise("tune", small_data.folder, "--out", out, *RECIPE, *search, "--trials", 2).stderr
    assert f"Next: lungwise train {small_data.folder} --recipe {out / 'best.toml'}" in said
    lungwise("train", small_data.folder, "--out", tmp_path / "run", "--recipe", out / "best.toml", "--quiet")


def test_a_bad_search_is_one_sentence(small_data: PreparedData, tmp_path: Path) -> None:
    result = lungwise("tune", small_data.folder, "--out", tmp_path / "tune", "--search", "optimiser.lr=1:2", code=2)
    assert "A recipe has no key 'optimiser.lr'; known here are: name, learning_rate" in result.stderr
    assert not (tmp_path / "tune").exists()
