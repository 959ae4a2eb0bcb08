"""``lungwise predict`` with the tiny bundle: what it takes, where its answers go, and how it goes on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lungwise.inference.journal import Journal, journal_of
from tests.bundle_factory import make_bundle
from tests.cli.test_main import lungwise
from tests.conftest import Encode
from tests.inference.test_archive import pack


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "model")


@pytest.fixture
def films(tmp_path: Path, encode: Encode) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(60):
        (folder / f"{index:02d}.png").write_bytes(encode(rng.integers(0, 256, (40, 44), dtype=np.uint8)))
    return folder


def test_folders_patterns_archives_and_files_at_once(films: Path, model: Path, tmp_path: Path) -> None:
    archive = pack(tmp_path / "x.zip", {"a.png": (films / "00.png").read_bytes()})
    said = lungwise("predict", films, films / "0[0-4].png", archive, films / "00.png", "--model", model, "--json")
    found = [json.loads(line) for line in said.stdout.splitlines()]
    assert len(found) == 60 + 5 + 1 + 1
    assert [Path(found[index]["path"]).name for index in (0, 60, 65, 66)] == ["00.png", "00.png", "a.png", "00.png"]
    shares = [found[index]["probabilities"]["sick"] for index in (60, 65, 66)]
    assert shares == pytest.approx([found[0]["probabilities"]["sick"]] * 3, abs=1e-6)


def test_progress_is_said_in_lines_without_a_terminal(films: Path, model: Path, tmp_path: Path) -> None:
    said = lungwise("predict", films, "--model", model, "--out", tmp_path / "a.csv").stderr.splitlines()
    assert said[0] == "Predicting: 1 of 60"
    assert said[-1] == "Predicting: 60 of 60"
    assert lungwise("predict", films, "--model", model, "--out", tmp_path / "b.csv", "--quiet").stderr == ""


def test_the_ending_decides_the_format(films: Path, model: Path, tmp_path: Path) -> None:
    for ending in ("jsonl", "ndjson", "csv", "parquet"):
        assert lungwise("predict", films, "--model", model, "--out", tmp_path / f"a.{ending}").stdout == ""
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 60
    assert (tmp_path / "a.ndjson").read_bytes() == (tmp_path / "a.jsonl").read_bytes()
    assert len(list(csv.reader((tmp_path / "a.csv").read_text().splitlines()))) == 61
    assert pl.read_parquet(tmp_path / "a.parquet").height == 60
    assert sorted(file.name for file in tmp_path.glob("*a*")) == ["a.csv", "a.jsonl", "a.ndjson", "a.parquet"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "a.txt"], "Answers are written to a file ending in .jsonl, .ndjson, .csv, .parquet, got a.txt; rename it."),
        (["--out", "a.csv", "--json"], "The ending of --out decides the format, but a.csv is not --json; leave that out."),
        (["--json", "--csv"], "--json and --csv exclude each other; give one of them."),
        (["--out", "a.csv", "--resume", "b.csv"], "--out a.csv must be left out or the same."),
        (["--views", "17"], "An image has 1 to 16 views, got 17"),
        (["--engine", "abacus"], "engine must be one of"),
        (["--precision", "int8"], "but"),
    ],
)
def test_wrong_options_are_one_sentence(films: Path, model: Path, options: list[str], said: str) -> None:
    result = lungwise("predict", films, "--model", model, *options, code=2)
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_nothing_to_predict_is_refused_before_anything_is_done(films: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place, kind in (
        (tmp_path / "empty", "folder"),
        (tmp_path / "*.gif", "pattern"),
        (pack(tmp_path / "x.zip", {}), "zip archive"),
    ):
        said = lungwise("predict", films, place, "--model", model, "--out", tmp_path / "a.csv", code=2).stderr
        assert said == f"Error: A {kind} to predict must hold images, but {place} has none; name another.\n"
    assert list(tmp_path.glob("a.csv*")) == []


def test_a_missing_file_is_reported_and_the_rest_goes_on(films: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    said = lungwise("predict", tmp_path / "none.png", films, "--model", model, "--out", out, code=1).stderr.splitlines()
    assert said[-2:] == [
        f"not read: {tmp_path / 'none.png'}: An image must be a file, but {tmp_path / 'none.png'} does not exist.",
        "1 of 61 images could not be read.",
    ]
    assert json.loads(out.read_text().splitlines()[0])["status"] == "error"


def test_many_failures_are_counted_and_not_all_named(model: Path, tmp_path: Path) -> None:
    missing = [tmp_path / f"{index}.png" for index in range(130)]
    said = lungwise("predict", *missing, "--model", model, "--json", "--quiet", code=1).stderr.splitlines()
    assert len(said) == 102
    assert said[-2:] == ["not read: 30 more", "130 of 130 images could not be read."]


def test_views_are_averaged_and_noted(films: Path, model: Path) -> None:
    plain, averaged = (
        json.loads(lungwise("predict", films / "00.png", "--model", model, "--json", *more).stdout)
        for more in ([], ["--views", 4])
    )
    assert averaged["probabilities"] != plain["probabilities"]
    assert averaged["warnings"] == ["averaged over 4 views, but calibrated and evaluated with 1"]


def test_an_interruption_says_how_to_go_on(films: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, append = tmp_path / "a.parquet", Journal.append

    def stopped(journal: Journal, *answer: object) -> None:
        if len(journal) == 20:
            raise KeyboardInterrupt
        append(journal, *answer)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "append", stopped)
    said = lungwise("predict", films, "--model", model, "--out", out, code=130).stderr
    assert f"20 answers are kept; go on after them with --resume {out} in the place of --out." in said
    monkeypatch.undo()
    refused = lungwise("predict", films, "--model", model, "--out", out, code=2).stderr
    assert f"holds the answers of an interrupted batch; go on with --resume {out}" in refused
    said = lungwise("predict", films, "--model", model, "--resume", out).stderr
    assert f"{out}: 20 answers are there." in said
    assert "Predicting: 60 of 60" in said
    assert pl.read_parquet(out)["path"].to_list() == [str(file) for file in sorted(films.iterdir())]
    assert not journal_of(out).exists()
    assert f"{out}: 60 answers are there." in lungwise("predict", films, "--model", model, "--resume", out).stderr


def test_resuming_nothing_says_so(films: Path, model: Path, tmp_path: Path) -> None:
    said = lungwise("predict", films, "--model", model, "--resume", tmp_path / "a.csv").stderr
    assert f"{tmp_path / 'a.csv'}: there is nothing to go on with, so it begins anew." in said
