"""Predictions are checked before they are believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lungwise.errors import DataError
from lungwise.evaluation.cases import read_predictions, to_cases
from tests.evaluation.factory import predictions


def test_columns_follow_the_order_of_the_probabilities() -> None:
    table = predictions({"test": 4}, labels=("z", "a"))
    found = to_cases(table)
    assert found.labels.names == ("z", "a")
    assert found.y.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(found.prob, table.select("prob_z", "prob_a").to_numpy())


def test_types() -> None:
    found = to_cases(predictions({"test": 4}))
    assert (found.y.dtype, found.prob.dtype) == (np.int32, np.float64)
    assert (len(found), found.patients, found.image[0]) == (4, 2, "i0.png")


def test_one_part_is_taken() -> None:
    found = to_cases(predictions({"train": 4, "test": 6}), "test")
    assert len(found) == 6
    assert set(found.patient) == {"test2", "test3", "test4"}


def test_a_part_without_images_has_no_cases() -> None:
    found = to_cases(predictions({"train": 4}), "test")
    assert (len(found), found.patients, found.prob.shape) == (0, 0, (0, 2))


def test_rounded_probabilities_are_accepted() -> None:
    table = predictions({"test": 1}, prob_normal=[0.3334], prob_sick=[0.6667])
    assert to_cases(table).prob[0].tolist() == [0.3334, 0.6667]


@pytest.mark.parametrize(
    "pair", [(0.5, 0.6), (0.2, 0.2), (-0.1, 1.1), (float("nan"), 0.5), (float("inf"), 0.0), (None, 1.0)], ids=str
)
def test_what_is_no_distribution_is_refused_by_the_images_name(pair: tuple[float | None, float]) -> None:
    table = predictions({"test": 3}, prob_normal=[0.5, 0.5, pair[0]], prob_sick=[0.5, 0.5, pair[1]])
    with pytest.raises(DataError, match=r"^Probabilities of an image must be >= 0 and sum to 1, got \[.*\] for i2\.png\.$"):
        to_cases(table)


def test_an_unknown_label_is_refused() -> None:
    table = predictions({"test": 2}, label=["normal", "ill"])
    with pytest.raises(
        DataError, match=r"^'ill' is not one of the classes \['normal', 'sick'\]; check the label's spelling\.$"
    ):
        to_cases(table)


def test_a_table_without_probabilities_is_refused() -> None:
    table = predictions({"test": 2}).select("image", "patient", "split", "label")
    with pytest.raises(DataError, match="A classifier needs at least two classes, got none"):
        to_cases(table)


@pytest.mark.parametrize("column", ["image", "patient", "split", "label"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(DataError, match=rf"of every image, but '{column}' is missing; predict again\.$"):
        to_cases(predictions({"test": 2}).drop(column))


def test_a_missing_patient_is_not_one_patient_for_all() -> None:
    table = predictions({"test": 3}, patient=["a", None, None])
    with pytest.raises(DataError, match="but 'patient' is missing"):
        to_cases(table)


def test_a_written_table_is_read(tmp_path: Path) -> None:
    table = predictions({"test": 4})
    table.write_parquet(tmp_path / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet").equals(table)


def test_an_absent_table_is_an_unfinished_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"p\.parquet does not exist: the run is not finished; train it to its end first\.$"):
        read_predictions(tmp_path / "p.parquet")


@pytest.mark.parametrize("data", [b"", b"PAR1 no table PAR1"])
def test_a_damaged_table_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "p.parquet").write_bytes(data)
    with pytest.raises(DataError, match=r"p\.parquet cannot be read \((.|\n)*\); train again into another directory\.$"):
        read_predictions(tmp_path / "p.parquet")


def test_a_table_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    predictions({"test": 40}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"p\.parquet cannot be read"):
        read_predictions(path)


def test_another_table_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "p.parquet")
    with pytest.raises(DataError, match="Predictions must say"):
        read_predictions(tmp_path / "p.parquet")
