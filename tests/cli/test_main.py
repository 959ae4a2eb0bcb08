"""The command line from end to end, in this process; see also tests/faults for interruptions in one of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lungwise.cli.main import app
from lungwise.data.store import PreparedData

runner = CliRunner()


def lungwise(*arguments: object, code: int = 0) -> Result:
    """Run a command and check its exit code."""
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def bundle(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "model.zip"
    lungwise("export", small_run, "--out", out, "--name", "tiny")
    return out


def test_help_lists_every_command() -> None:
    text = lungwise("--help").output
    data, use = ("prepare", "audit", "train", "tune", "evaluate", "compare"), ("export", "predict", "push", "pull", "serve")
    for command in ("demo", *data, *use, "doctor"):
        assert f"  {command} " in text


def test_version_is_printed() -> None:
    assert lungwise("--version").output.startswith("lungwise 0.")


def test_prepare_prints_its_facts_as_json(two_classes: Path, tmp_path: Path) -> None:
    (two_classes / "NORMAL" / "broken.png").write_bytes(b"")
    facts = json.loads(lungwise("prepare", two_classes, "--out", tmp_path / "data", "--size", 32, "--json").stdout)
    assert facts["labels"] == ["NORMAL", "PNEUMONIA"]
    assert facts["not_read"] == [
        {"path": "NORMAL/broken.png", "reason": "broken.png is empty (0 bytes); fetch the file again."}
    ]


def test_prepare_lists_what_it_could_not_read_and_goes_on(two_classes: Path, tmp_path: Path) -> None:
    (two_classes / "NORMAL" / "broken.png").write_text("not an image")
    text = lungwise("prepare", two_classes, "--out", tmp_path / "data", "--size", 32).stderr
    assert "not read: NORMAL/broken.png: broken.png is not a PNG" in text
    assert f"Prepared data set: {tmp_path / 'data'}" in text


def test_user_mistake_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    result = lungwise("prepare", tmp_path / "absent", "--out", tmp_path / "data", code=2)
    assert result.stderr.startswith("Error: A source must be a folder or a table, but ")
    assert "Traceback" not in result.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fit", "squeeze"], "--fit must be stretch, pad or crop, got 'squeeze'"),
        (["--column", "label"], "--column takes OURS=THEIRS"),
        (["--test", "0.9", "--validation", "0.9"], "must lie between 0 and 1 and leave some for training"),
    ],
)
def test_bad_options_of_prepare(two_classes: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in lungwise("prepare", two_classes, "--out", tmp_path / "data", *arguments, code=2).stderr


def test_keep_split_takes_over_an_earlier_split(two_classes: Path, tmp_path: Path) -> None:
    lungwise("prepare", two_classes, "--out", tmp_path / "a", "--size", 32)
    lungwise("prepare", two_classes, "--out", tmp_path / "b", "--size", 40, "--seed", 9, "--keep-split", tmp_path / "a")
    import polars as pl

    first, second = (pl.read_parquet(tmp_path / name / "manifest.parquet") for name in "ab")
    assert first.select("image", "split").equals(second.select("image", "split"))


def test_train_refuses_an_unknown_recipe_key(small_data: PreparedData, tmp_path: Path) -> None:
    result = lungwise("train", small_data.folder, "--out", tmp_path / "run", "--set", "optimiser.lr=1", code=2)
    assert "A recipe has no key 'optimiser.lr'; known here are: name, learning_rate" in result.stderr


def test_train_again_in_a_finished_run_says_what_comes_next(small_run: Path, small_data: PreparedData) -> None:
    result = lungwise("train", small_data.folder, "--out", small_run, "--recipe", small_run / "recipe.toml", "--json")
    assert len(json.loads(result.stdout)["history"]) == 3


def test_evaluate_prints_metrics(small_run: Path) -> None:
    metrics = json.loads(lungwise("evaluate", small_run, "--json").stdout)
    assert metrics == json.loads((small_run / "metrics.json").read_text())
    assert "accuracy" in lungwise("evaluate", small_run).stderr


def test_evaluate_a_bundle_needs_a_place_for_the_report(bundle: Path, small_data: PreparedData, tmp_path: Path) -> None:
    assert "add --out DIR" in lungwise("evaluate", bundle, "--data", small_data.folder, code=2).stderr
    lungwise("evaluate", bundle, "--data", small_data.folder, "--out", tmp_path / "report")
    assert (tmp_path / "report" / "report.html").exists()


def test_compare_prints_a_row_for_each_run(small_run: Path) -> None:
    found = json.loads(lungwise("compare", small_run, small_run, "--json").stdout)
    assert [row["run"].rpartition("/")[2] for row in found["runs"]] == ["tiny", "tiny (2)"]
    assert "epochs to best" in lungwise("compare", small_run).stdout


def test_predict_as_table_json_and_csv(bundle: Path, small_data: PreparedData, tmp_path: Path) -> None:
    image = Path(small_data.facts["root"]) / small_data.manifest["path"][0]
    table = lungwise("predict", image, "--model", bundle)
    assert "COVID-19" in table.stdout
    assert "Research use only" in table.stderr
    line = json.loads(lungwise("predict", image, "--model", bundle, "--json", "--heatmaps", tmp_path / "maps").stdout)
    assert line["status"] == "ok"
    assert Path(line["heatmap"]).is_file()
    assert sum(line["probabilities"].values()) == pytest.approx(1.0)
    rows = list(csv.DictReader(io.StringIO(lungwise("predict", image, "--model", bundle, "--csv").stdout)))
    assert rows[0]["decision"] == line["decision"]


def test_predict_goes_on_past_a_bad_file_and_reports_it_at_the_end(
    bundle: Path, small_data: PreparedData, tmp_path: Path
) -> None:
    good = Path(small_data.facts["root"]) / small_data.manifest["path"][0]
    (tmp_path / "bad.png").write_bytes(good.read_bytes()[:500])
    result = lungwise("predict", tmp_path / "bad.png", good, "--model", bundle, "--json", code=1)
    assert [json.loads(line)["status"] for line in result.stdout.splitlines()] == ["error", "ok"]
    assert result.stderr.splitlines()[-1] == "1 of 2 images could not be read."


def test_predict_writes_its_answers_whole_or_not_at_all(bundle: Path, small_data: PreparedData, tmp_path: Path) -> None:
    folder = Path(small_data.facts["root"]) / "normal"
    lungwise("predict", folder, "--model", bundle, "--csv", "--out", tmp_path / "answers.csv")
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 1 + len(list(folder.iterdir()))
    (tmp_path / "file").write_text("")
    result = lungwise("predict", folder, "--model", bundle, "--csv", "--out", tmp_path / "file" / "a.csv", code=2)
    assert "must be a directory, but a file is in its place" in result.stderr


def test_predict_needs_a_bundle_and_images(bundle: Path, tmp_path: Path) -> None:
    assert "A bundle must be a directory or a zip" in lungwise("predict", "x.png", "--model", tmp_path / "no", code=2).stderr
    assert "must hold images, but" in lungwise("predict", tmp_path, "--model", bundle, code=2).stderr
    assert "exclude each other" in lungwise("predict", "x", "--model", bundle, "--json", "--csv", code=2).stderr


def test_predict_command_never_loads_keras(bundle: Path, small_data: PreparedData) -> None:
    image = Path(small_data.facts["root"]) / small_data.manifest["path"][0]
    code = (
        "import sys; from lungwise.cli.main import app\n"
        f"try: app(['predict', {str(image)!r}, '--model', {str(bundle)!r}, '--json'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'keras', 'tensorflow', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    reply = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert reply.stdout.splitlines()[-1] == "[]"
