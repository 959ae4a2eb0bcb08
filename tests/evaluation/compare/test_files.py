"""A comparison in every form, with names from outside that must do no harm."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lungwise.evaluation.compare import compare
from lungwise.evaluation.compare.comparison import of_runs
from lungwise.evaluation.compare.files import escaped, latex, markdown, write_comparison
from lungwise.evaluation.compare.page import curves, differences, page
from lungwise.evaluation.compare.runs import Evaluated, read_evaluated
from tests.evaluation.compare.factory import folds, shifted, write, write_folds
from tests.evaluation.factory import predictions

BASE = predictions({"train": 20, "validation": 8, "test": 80})
EVIL = "=cmd|<script>alert(1)</script>_50%&{x}"


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> list[Evaluated]:
    """Two runs that are paired, one with a name that means harm, and one on other data."""
    top = tmp_path_factory.mktemp("runs")
    other = predictions({"test": 20}, labels=("a", "b"))
    folders = [write(top / "good", BASE), write(top / "bad", shifted(BASE, 1)), write(top / "far", other, data="b" * 64)]
    found = read_evaluated(folders)
    return [
        Evaluated(run.folder, EVIL if run.name == "bad" else run.name, run.metrics, run.history, run.recipe) for run in found
    ]


@pytest.fixture(scope="module")
def found(sides: list[Evaluated]) -> dict[str, Any]:
    return of_runs(sides)


@pytest.fixture(scope="module")
def html(found: dict[str, Any], sides: list[Evaluated]) -> str:
    return page(found, sides)


def test_all_files_are_written(found: dict[str, Any], sides: list[Evaluated], tmp_path: Path) -> None:
    written = write_comparison(found, sides, tmp_path / "out")
    names = {"html", "md", "tex", "csv", "json"}
    assert {path.name for path in written} == {f"comparison.{name}" for name in names} | {"comparison-pairs.csv"}
    assert all(path.is_file() for path in written)
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == json.loads(json.dumps(found))


def test_the_comparison_says_whom_it_did_not_pair(found: dict[str, Any]) -> None:
    assert {frozenset((pair["a"], pair["b"])) for pair in found["pairs"]} == {frozenset({"good", EVIL})}
    assert len(found["unpaired"]) == 2
    assert found["runs"][0]["run"] in ("good", "far")
    assert found["notes"][0].startswith("The best of several runs on the same test images is flattered")
    assert any("McNemar's and DeLong's take every image for independent" in note for note in found["notes"])
    assert not any("prepared separately" in note for note in found["notes"])


def test_data_that_were_prepared_separately_are_told(tmp_path: Path) -> None:
    found = compare([write(tmp_path / "a", BASE), write(tmp_path / "b", BASE, data="b" * 64)])
    assert any("prepared separately" in note for note in found["notes"])


def test_one_run_alone_is_a_table(tmp_path: Path) -> None:
    found = compare([write(tmp_path / "a", BASE)])
    assert (len(found["runs"]), found["pairs"], found["unpaired"], found["notes"]) == (1, [], [], [])
    assert "Differences" not in markdown(found)


def test_markdown_cells_stay_cells(found: dict[str, Any]) -> None:
    text = markdown(found)
    table = text.split("\n\n")[0].splitlines()
    assert len(table) == 2 + 3
    assert {len(re.split(r"(?<!\\)\|", line)) for line in table} == {len(re.split(r"(?<!\\)\|", table[0]))}
    assert "<script>" not in text
    assert "are not paired: they know other classes" in text


def test_latex_is_escaped(found: dict[str, Any]) -> None:
    text = latex(found)
    assert r"=cmd\textbar{}\textless{}script\textgreater{}" in text
    assert r"\_50\%\&\{x\}" in text
    assert text.count(r"\toprule") == text.count(r"\end{tabular}") == 2
    for line in text.splitlines():
        if line.endswith(r"\\"):
            assert len(re.findall(r"(?<!\\)&", line)) in (13, 11)
    assert escaped("[a] *") == "{[}a] {*}"
    assert escaped("a\\b~c^d#e$f − g – h") == r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d\#e\$f $-$ g -- h"


def test_csv_holds_numbers_and_no_formula(found: dict[str, Any], sides: list[Evaluated], tmp_path: Path) -> None:
    write_comparison(found, sides, tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "comparison.csv").read_text())))
    by_name = {row["run"]: row for row in rows}
    assert set(by_name) == {"good", "far", f"'{EVIL}"}
    good = by_name["good"]
    assert float(good["accuracy"]) == pytest.approx(
        found["runs"][[r["run"] for r in found["runs"]].index("good")]["accuracy"]["test"]["value"]
    )
    assert float(good["accuracy_low"]) < float(good["accuracy"]) < float(good["accuracy_high"])
    assert float(good["train_accuracy"]) > 0
    assert (good["epochs"], good["recipe"]) == ("3", "quick")
    (pair,) = csv.DictReader(io.StringIO((tmp_path / "comparison-pairs.csv").read_text()))
    assert float(pair["accuracy"]) == pytest.approx(found["pairs"][0]["accuracy"]["difference"])
    assert pair["delong_p"].startswith("sick=")


def test_the_page_loads_nothing_and_runs_nothing(html: str) -> None:
    assert "<script" not in html
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:|//|/)", html)
    assert html.count("<html") == html.count("</html>") == 1


def test_the_page_says_what_the_comparison_says(html: str, found: dict[str, Any]) -> None:
    assert "Comparison of 3 runs" in html
    assert found["pairs"][0]["verdict"] in html
    assert "they know other classes" in html
    assert "Research use only" in html
    assert "Part: test." in html
    assert html.count("<svg") == 2
    assert "Fold by fold" not in html


def test_phantoms_are_called_phantoms(tmp_path: Path) -> None:
    sides = read_evaluated([write(tmp_path / "a", BASE, synthetic=True)])
    assert "synthetic phantoms" in page(of_runs(sides), sides)


def test_cross_validations_are_shown_fold_by_fold(tmp_path: Path) -> None:
    sides = read_evaluated([write_folds(tmp_path / name, folds(seed)) for seed, name in enumerate("ab")])
    text = page(of_runs(sides), sides)
    assert "Fold by fold" in text
    assert "Nadeau and Bengio 2003" in text
    assert text.count("<section>") == text.count("</section>")


def test_without_training_and_pairs_nothing_is_drawn(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", BASE)
    (folder / "history.jsonl").unlink()
    sides = read_evaluated([folder])
    assert (curves(sides), differences([])) == ("", "")
    assert "How they learned" not in page(of_runs(sides), sides)


def test_more_runs_than_colours_are_counted(sides: list[Evaluated], found: dict[str, Any]) -> None:
    text = page(found, [*sides * 3])
    assert "1 more are not drawn" in text
