"""A source that the model never saw: the drop, and where it cannot be measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lungwise.errors import DataError, RunError
from lungwise.evaluation.cases import Cases, to_cases
from lungwise.evaluation.shortcuts.left_out import left_out_check, not_left_out, possible
from lungwise.files import write_json

NUMBER = 160
LABELS = ("normal", "sick")
COMMAND = "train it."


def table(right: float, seed: int) -> pl.DataFrame:
    """Predictions of two sources; the decision is right for this share."""
    rng = np.random.default_rng(seed)
    y = np.arange(NUMBER) // 2 % 2
    sick = np.where(rng.random(NUMBER) < right, y, 1 - y) * 0.6 + 0.2
    return pl.DataFrame(
        {
            "image": [f"i{row}" for row in range(NUMBER)],
            "patient": [f"p{row}" for row in range(NUMBER)],
            "source": ["east" if row % 2 else "west" for row in range(NUMBER)],
            "split": ["test"] * NUMBER,
            "label": [LABELS[column] for column in y],
            "prob_normal": 1 - sick,
            "prob_sick": sick,
        }
    )


def write_folds(folder: Path, right: float, by: str = "source") -> Path:
    """A finished and evaluated leave-one-source-out directory; validation is the other source, predicted rightly."""
    folder.mkdir()
    tested, sure, parts = table(right, 1), table(1.0, 0), []
    for number, source in enumerate(("east", "west"), 1):
        validation = sure.filter(pl.col("source") != source).with_columns(split=pl.lit("validation"))
        both = pl.concat([tested.filter(pl.col("source") == source), validation])
        parts.append(both.with_columns(fold=pl.lit(number), repeat=pl.lit(1), fold_name=pl.lit(f"source {source}")))
    pl.concat(parts).write_parquet(folder / "predictions.parquet")
    each = [{"name": f"source {source}", "images": NUMBER // 2, "accuracy": right} for source in ("east", "west")]
    write_json(folder / "metrics.json", {"folds": {"by": by, "each": each}})
    return folder


@pytest.fixture
def mixed() -> tuple[Cases, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """A model that knows both sources and is right for 95 of 100, on a part of the films."""
    cases = to_cases(table(0.95, 2)[:120])
    return cases, cases.prob.argmax(axis=1)


@pytest.mark.parametrize(("right", "severity"), [(0.95, "ok"), (0.80, "warning"), (0.55, "error")])
def test_the_drop_is_stated(tmp_path: Path, mixed: tuple[Cases, object], right: float, severity: str) -> None:
    cases, decided = mixed
    check = left_out_check(write_folds(tmp_path / "loso", right), cases, decided)  # type: ignore[arg-type]
    assert check.severity == severity, check.message
    assert "on the same 120 films)" in check.message
    assert check.details["films"] == 120
    assert check.details["sources"][0] == {"name": "source east", "images": 80, "accuracy": right}
    assert check.details["loss"]["value"] == pytest.approx(
        (check.rows[0].estimate.value or 0) - (check.rows[1].estimate.value or 0)
    )


def test_another_run_is_refused(tmp_path: Path, mixed: tuple[Cases, object]) -> None:
    cases, decided = mixed
    with pytest.raises(
        RunError, match="must be a cross-validation that leaves one source out, but it is another run; train one"
    ):
        left_out_check(write_folds(tmp_path / "folds", 0.9, by="patient"), cases, decided)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"has no metrics\.json; evaluate it first"):
        left_out_check(tmp_path, cases, decided)  # type: ignore[arg-type]


def test_other_films_are_refused(tmp_path: Path) -> None:
    other = to_cases(table(0.9, 0).with_columns(image="other " + pl.col("image")))
    with pytest.raises(DataError, match="must hold predictions of the test part's films, but it has none; train it on these"):
        left_out_check(write_folds(tmp_path / "loso", 0.9), other, other.prob.argmax(axis=1))


def test_other_classes_are_refused(tmp_path: Path) -> None:
    other = to_cases(table(0.9, 0).rename({"prob_sick": "prob_flu"}).with_columns(label=pl.lit("flu")))
    with pytest.raises(DataError, match=r"Both models must know the same classes, got \['normal', 'sick'\]"):
        left_out_check(write_folds(tmp_path / "loso", 0.9), other, other.prob.argmax(axis=1))


def names(values: list[str]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.array(values, np.str_)


def test_which_sources_can_be_left_out() -> None:
    found = possible(names(["covid", "normal", "sick", "sick"]), names(["cohen", "nih", "nih", "rsna"]))
    assert found == {"cohen": "covid", "nih": "normal", "rsna": ""}


def test_that_it_cannot_be_done_is_the_finding() -> None:
    check = not_left_out(names(["covid", "normal", "sick"]), names(["cohen", "nih", "nih"]), COMMAND)
    assert check.severity == "warning"
    assert check.message.startswith("Nobody can test this model on a source that it never saw")
    assert "without 'cohen' no film of 'covid' is left" in check.message


def test_what_was_not_done_is_a_note_with_the_command() -> None:
    check = not_left_out(names(["normal", "sick"] * 2), names(["east", "east", "west", "west"]), COMMAND)
    assert (check.severity, check.message) == ("note", "The model was not tested on a source that it never saw; train it.")
    assert not_left_out(names(["normal", "sick"]), names(["east", "east"]), COMMAND).severity == "note"
