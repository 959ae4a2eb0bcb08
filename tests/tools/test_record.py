"""Recorded results: figures, recipe, predictions and versions, and no place of the machine that they were made on."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import polars as pl
import pytest

from lungwise.errors import RunError
from lungwise.evaluation.evaluate import evaluate_run
from tests.evaluation.test_folds import table, write
from tools.record import FILES, record

PER_FOLD = ({1: 16, 2: 16, 3: 16}, "16 (per fold)"), ({1: 12, 2: 16, 3: 9}, "9–16 (per fold)")


def folds(folder: Path, epochs: dict[int, int], classes: tuple[str, ...] = ("normal", "sick")) -> Path:
    """An evaluated cross-validation with a history of so many epochs a fold, 30 seconds each."""
    write(folder, table(labels=classes), include_test=True)
    recipe = 'name = "r"\n\n[model]\nweights = "none"\n'
    (folder / "recipe.toml").write_text(recipe)
    history = [{"fold": fold, "repeat": 1, "epoch": n, "seconds": 30.0} for fold, many in epochs.items() for n in range(many)]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
    evaluate_run(folder)
    return folder


@pytest.fixture
def copy(small_run: Path, tmp_path: Path) -> Path:
    """A finished and evaluated run that may be changed."""
    return shutil.copytree(small_run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))


def test_a_run_is_copied_and_has_a_row(small_run: Path, tmp_path: Path) -> None:
    place = tmp_path / "results" / "phantoms" / "tiny"
    row = record(small_run, place)
    assert {path.name for path in place.iterdir()} == set(FILES)
    for name in FILES:
        assert (place / name).read_bytes() == (small_run / name).read_bytes()
    metrics = json.loads((place / "metrics.json").read_text())
    value = metrics["parts"]["test"]["accuracy"]["value"]
    assert row.startswith(f"| [tiny](results/phantoms/tiny) | {100 * value:.1f} % [")
    assert f"| {metrics['training']['epochs']} ({metrics['training']['kept_epoch']}) | 0 min |" in row
    assert "folds" not in row


@pytest.mark.parametrize(("epochs", "shown"), PER_FOLD)
def test_a_cross_validation_has_its_folds_in_the_row(tmp_path: Path, epochs: dict[int, int], shown: str) -> None:
    place = tmp_path / "results" / "phantoms" / "cv"
    row = record(folds(tmp_path / "cv", epochs), place)
    assert {path.name for path in place.iterdir()} == {*FILES, "crossval.json"}
    metrics = json.loads((place / "metrics.json").read_text())
    part, mean = metrics["parts"]["test"], metrics["folds"]["mean"]
    value, low, high = (100 * part["accuracy"][key] for key in ("value", "low", "high"))
    average, deviation = (100 * mean["accuracy"][key] for key in ("mean", "sd"))
    assert f"| {value:.1f} % [{low:.1f}, {high:.1f}]; folds {average:.1f} ± {deviation:.1f} % |" in row
    average, deviation = (mean["macro_auroc"][key] for key in ("mean", "sd"))
    assert f"; folds {average:.3f} ± {deviation:.3f} |" in row
    thresholds = sorted(fold["decision"]["threshold"] for fold in metrics["folds"]["each"])
    minutes = sum(epochs.values()) / 2
    assert row.endswith(f"| youden, {thresholds[0]:.3f}–{thresholds[2]:.3f} (per fold) | {shown} | {minutes:.0f} min |")
    assert set(pl.read_parquet(place / "predictions.parquet")["fold"]) == {1, 2, 3}


def test_what_no_fold_defines_is_a_dash(tmp_path: Path) -> None:
    folder = folds(tmp_path / "cv", {1: 2, 2: 2, 3: 2}, ("a", "b", "c"))
    rows = table(labels=("a", "b", "c")).filter((pl.col("split") == "validation") | (pl.col("label") != "c"))
    rows.write_parquet(folder / "predictions.parquet")
    evaluate_run(folder)
    assert "| – | – | largest probability | 2 (per fold) |" in record(folder, tmp_path / "results" / "a" / "b")


@pytest.mark.parametrize(
    ("weights", "kept"),
    [
        ("/home/anna/runs/kermany-pico/checkpoints/best.npz", "kermany-pico/checkpoints/best.npz"),
        ("/home/anna/coatnet.safetensors", "coatnet.safetensors"),
        ("runs/a/checkpoints/best.npz", "runs/a/checkpoints/best.npz"),
        ("timm/coatnet_0_rw_224.sw_in1k", "timm/coatnet_0_rw_224.sw_in1k"),
    ],
)
def test_weights_are_called_by_what_they_are_not_by_where_they_lie(copy: Path, tmp_path: Path, weights: str, kept: str) -> None:
    recipe = (copy / "recipe.toml").read_text()
    (copy / "recipe.toml").write_text(recipe.replace('weights = "none"', f'weights = "{weights}"'))
    record(copy, tmp_path / "results" / "a" / "b")
    found = tomllib.loads((tmp_path / "results" / "a" / "b" / "recipe.toml").read_text())
    assert found["model"]["weights"] == kept
    assert {**found, "model": {}} == {**tomllib.loads(recipe), "model": {}}


@pytest.mark.parametrize("place", ["/home/anna/xrays", "C:\\Users\\anna", "\\\\server\\films", "~/xrays", "file:/srv/pacs/1"])
@pytest.mark.parametrize("name", ["recipe.toml", "metrics.json", "environment.json", "history.jsonl", "predictions.parquet"])
def test_a_place_of_the_machine_in_any_file_is_refused_and_nothing_is_written(
    copy: Path, tmp_path: Path, name: str, place: str
) -> None:
    path = copy / name
    if name == "recipe.toml":
        path.write_text(f"description = '{place}'\n" + path.read_text().replace("description", "was", 1))
    elif name == "predictions.parquet":
        image = pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(f"{place}/a.png")).otherwise(pl.col("image"))
        pl.read_parquet(path).with_columns(image=image).write_parquet(path)
    else:
        lines = path.read_text().splitlines() if name == "history.jsonl" else [path.read_text()]
        first = {**json.loads(lines[0]), "in": [{"here": f"from {place}"}]}
        path.write_text("\n".join([json.dumps(first), *lines[1:]]))
    message = rf"^A record must name no place of a machine, but {name} says '.*'; change that and record it again\.$"
    with pytest.raises(RunError, match=message):
        record(copy, tmp_path / "results" / "a" / "b")
    assert not (tmp_path / "results").exists()


def test_neither_the_run_s_nor_the_data_s_folder_is_in_any_file(small_run: Path, tmp_path: Path) -> None:
    """Whatever is copied of a real run, and of a cross-validation, knows no folder of this machine."""
    record(small_run, tmp_path / "results" / "a" / "run")
    record(folds(tmp_path / "cv", {1: 1, 2: 1, 3: 1}), tmp_path / "results" / "a" / "cv")
    places = [small_run.parent, Path(json.loads((small_run / "data.json").read_text())["folder"]), tmp_path, Path.home()]
    for path in (tmp_path / "results").rglob("*.*"):
        text = pl.read_parquet(path).write_csv() if path.suffix == ".parquet" else path.read_text()
        for place in places:
            assert str(place) not in text, f"{path.name} names {place}"


@pytest.mark.parametrize("text", ["see https://example.org/a/b", "12 images/s", "train/NORMAL/x.png", "n/a", "and/or", "1/2/3"])
def test_what_is_no_place_may_be_said(copy: Path, tmp_path: Path, text: str) -> None:
    path = copy / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "description": text}))
    record(copy, tmp_path / "results" / "a" / "b")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("metrics.json", r"has no metrics\.json; first: lungwise evaluate .*run\.$"),
        ("predictions.parquet", r"has no predictions\.parquet; first: lungwise train DATA --out .*run\.$"),
    ],
)
def test_what_is_not_finished_or_evaluated_is_not_recorded(copy: Path, tmp_path: Path, name: str, message: str) -> None:
    (copy / name).unlink()
    with pytest.raises(RunError, match=message):
        record(copy, tmp_path / "results" / "a" / "b")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("name", "text"), [("metrics.json", "{"), ("history.jsonl", "{\n"), ("recipe.toml", "["), ("recipe.toml", "")]
)
def test_a_damaged_file_is_named(copy: Path, tmp_path: Path, name: str, text: str) -> None:
    (copy / name).write_text(text)
    with pytest.raises(RunError, match=rf"^{name} is damaged \(.*\); train"):
        record(copy, tmp_path / "results" / "a" / "b")


def test_metrics_of_another_kind_of_directory_are_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "crossval.json").write_text("{}")
    with pytest.raises(RunError, match="was evaluated as something else than it is; evaluate it again"):
        record(copy, tmp_path / "results" / "a" / "b")
