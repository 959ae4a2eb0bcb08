"""A table that is written is read back as it was, whatever its names are."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from lungwise.evaluation.table import read_predictions_table

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
ROWS = st.lists(
    st.tuples(NAMES, NAMES, st.integers(0, 1), st.integers(0, 10**6)), min_size=1, max_size=12, unique_by=lambda row: row[0]
)


@settings(deadline=None)
@given(ROWS, st.sampled_from([".csv", ".tsv", ".parquet"]))
def test_round_trip(rows: list[tuple[str, str, int, int]], suffix: str) -> None:
    share = [row[3] / 10**6 for row in rows]
    table = pl.DataFrame(
        {
            "image": [row[0] for row in rows],
            "patient": [row[1] for row in rows],
            "source": [""] * len(rows),
            "split": ["test"] * len(rows),
            "label": ["ab"[row[2]] for row in rows],
            "prob_a": share,
            "prob_b": [1 - value for value in share],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"p{suffix}"
        if suffix == ".parquet":
            table.write_parquet(path)
        else:
            table.write_csv(path, separator="\t" if suffix == ".tsv" else ",")
        found = read_predictions_table(path)
    assert found.table.equals(table)
