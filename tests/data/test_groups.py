"""Patients who share pictures belong together."""

from __future__ import annotations

import polars as pl
import pytest

from lungwise.data.groups import groups, units
from lungwise.errors import DataError


def test_patients_without_links_stand_alone() -> None:
    patients = pl.Series(["b", "a", "b"])
    found = groups(patients, [])
    assert (found.name, found.to_list()) == ("group", ["b", "a", "b"])


def test_links_join_patients_directly_and_through_others() -> None:
    patients = pl.Series(["d", "c", "c", "b", "a", "e"])
    assert groups(patients, [(0, 1), (2, 3)]).to_list() == ["b", "b", "b", "b", "a", "e"]


def test_the_smallest_id_names_the_group_by_text() -> None:
    assert groups(pl.Series(["10", "9", "x"]), [(1, 0)]).to_list() == ["10", "10", "x"]


def test_a_link_may_stand_twice_or_join_films_of_one_patient() -> None:
    assert groups(pl.Series(["a", "a", "b"]), [(0, 1), (1, 2), (2, 1), (2, 2)]).to_list() == ["a", "a", "a"]


def test_no_rows_have_no_groups() -> None:
    assert groups(pl.Series([], dtype=pl.String), []).to_list() == []


@pytest.mark.parametrize("link", [(0, 3), (-1, 0)])
def test_a_link_to_nowhere_is_refused(link: tuple[int, int]) -> None:
    with pytest.raises(DataError) as caught:
        groups(pl.Series(["a", "b", "c"]), [(0, 1), link])
    assert str(caught.value) == f"A link must join two of the 3 rows, numbered from 0, got {link}; correct it."


def test_without_groups_the_patient_is_split_as_a_whole() -> None:
    table = pl.DataFrame({"patient": ["a", "b"]})
    assert units(table).to_list() == ["a", "b"]
    assert units(table.with_columns(group=pl.lit("a"))).to_list() == ["a", "a"]


@pytest.mark.parametrize("empty", [None, ""])
def test_a_row_without_a_group_is_named(empty: str | None) -> None:
    with pytest.raises(DataError) as caught:
        units(pl.DataFrame({"patient": ["a", "b"], "group": ["a", empty]}))
    assert str(caught.value) == (
        "Every row must have a group where there is a column 'group', patient 'b' has none; fill in the patient's id or drop "
        "the column."
    )


def test_a_patient_of_two_groups_is_named() -> None:
    with pytest.raises(DataError) as caught:
        units(pl.DataFrame({"patient": ["a", "b", "b"], "group": ["a", "b", "a"]}))
    assert str(caught.value) == "A patient must stand in one group, 'b' stands in several; join these groups."
