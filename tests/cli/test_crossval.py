"""Cross-validation and tuning from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lungwise.data.store import PreparedData
from lungwise.training.crossval import BY_IMAGE
from tests.cli.test_main import lungwise
from tests.factory import TINY

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
    rows = json.loads(lungwise("compare", folds, small_run, "--json").stdout)
    assert {row["part"] for row in rows} == {"test", "test, 4 folds"}


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
        (["--folds", 2, "--by", "hospital"], "by patient or by image, got 'hospital'; correct --by"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(
    small_data: PreparedData, tmp_path: Path, options: list[object], message: str
) -> None:
    result = lungwise("train", small_data.folder, "--out", tmp_path / "run", *RECIPE, *options, code=2)
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_single_run_does_not_go_into_the_directory_of_folds(folds: Path, small_data: PreparedData) -> None:
    result = lungwise("train", small_data.folder, "--out", folds, *RECIPE, code=2)
    assert "holds a cross-validation; add its --folds, or choose another --out" in result.stderr


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
