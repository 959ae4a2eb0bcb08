"""Which group an image belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from lungwise.errors import DataError
from lungwise.evaluation.groupings import Grouping, groups_of, joined, parse_grouping


def of(values: list[Any], grouping: Grouping | None = None, **options: Any) -> list[str]:
    names = [f"i{row}" for row in range(len(values))]
    table = pl.DataFrame({"image": names, "x": pl.Series(values, **options)})
    return groups_of(table, grouping or Grouping("x"), np.array(names)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sex", Grouping("sex")),
        (" age:20 ", Grouping("age", 20)),
        ("a:b:0.5", Grouping("a:b", 0.5)),
        ("x:01", Grouping("x", 1)),
    ],
)
def test_what_by_takes(text: str, expected: Grouping) -> None:
    assert parse_grouping(text) == expected


@pytest.mark.parametrize("text", ["", ":20", "age:", "age:0", "age:-5", "age:ten", "age:nan", "age:inf", "age:1e3"])
def test_what_by_does_not_take(text: str) -> None:
    with pytest.raises(DataError, match=r"^--by takes COLUMN or COLUMN:WIDTH with a width above 0, for example age:20, got"):
        parse_grouping(text)


def test_values_are_groups_and_the_unknown_is_one() -> None:
    assert of(["F", " M", "", None]) == ["F", "M", "unknown", "unknown"]


def test_numbers_are_groups_when_there_are_few() -> None:
    assert of([1, 2, None]) == ["1", "2", "unknown"]
    assert of([1.0, 2.0, float("nan")]) == ["1", "2", "unknown"]
    assert of([0.5, 2.0]) == ["0.5", "2.0"]
    assert of([True, False]) == ["true", "false"]


def test_whole_numbers_in_bands_of_years() -> None:
    ages = ["0", "19", "20", "39", "40", "100", ""]
    assert of(ages, Grouping("x", 20)) == ["0–19", "0–19", "20–39", "20–39", "40–59", "100–119", "unknown"]


def test_other_numbers_in_bands() -> None:
    assert of([0.2, 0.5, 0.74, -0.1], Grouping("x", 0.5)) == [
        "0 to below 0.5",
        "0.5 to below 1",
        "0.5 to below 1",
        "-0.5 to below 0",
    ]
    assert of([19.5, 20.0], Grouping("x", 20)) == ["0 to below 20", "20 to below 40"]


def test_images_find_their_group_by_name_in_any_order_and_number() -> None:
    table = pl.DataFrame({"image": ["b", "a", "a"], "x": ["B", "A", "A"]})
    assert groups_of(table, Grouping("x"), np.array(["a", "b", "a", "c"])).tolist() == ["A", "B", "A", "unknown"]


@pytest.mark.parametrize(
    ("values", "grouping", "message"),
    [
        (["a", "b"], Grouping("sex"), "--by must name a column, 'sex' is none of image, x; give a table that has it, with the"),
        (["a", "a"], Grouping("x"), "A column must tell images apart, but in 'x' all are 'a'; choose another."),
        (["", None], Grouping("x"), "A column must tell images apart, but in 'x' all are 'unknown'; choose another."),
        ([str(n) for n in range(31)], Grouping("x"), "at most 30 groups, 'x' has 31; divide numbers into bands, for example"),
        (
            ["31", "058Y"],
            Grouping("x", 20),
            "Bands of 'x' need numbers, got '058Y'; correct it, or take the values as they are: --by x.",
        ),
        (["31", "inf"], Grouping("x", 20), "Bands of 'x' need numbers, got 'inf'"),
        ([[1], [2]], Grouping("x"), "Column 'x' must hold text or numbers, got List(Int64); convert it."),
    ],
)
def test_columns_that_make_no_groups_are_refused(values: list[Any], grouping: Grouping, message: str) -> None:
    with pytest.raises(DataError) as caught:
        of(values, grouping)
    assert message in str(caught.value)


PREDICTED = pl.DataFrame({"image": ["a", "b", "c"], "label": ["x", "y", "x"], "source": ["s"] * 3, "prob_x": [0.1, 0.2, 0.3]})


def test_another_table_adds_and_replaces_columns() -> None:
    more = pl.DataFrame(
        {"image": [" c", "a"], "sex": ["F", "M"], "source": ["t", "u"], "label": ["no", "no"], "prob_x": [9, 9]}
    )
    found = joined(PREDICTED, more, "more.csv")
    assert found.select("image", "label", "prob_x").equals(PREDICTED.select("image", "label", "prob_x"))
    assert found["sex"].to_list() == ["M", None, "F"]
    assert found["source"].to_list() == ["u", None, "t"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"file": ["a"]}, "more.csv must have a column 'image', it has file; rename the one with the images."),
        ({"image": ["a", "a"]}, "Each image of more.csv must stand once, 'a' stands more often; drop one."),
        ({"image": ["a.png"]}, "more.csv must name the images as the predictions do ('a'), but none is there; rename."),
    ],
)
def test_another_table_must_fit(more: dict[str, list[str]], message: str) -> None:
    with pytest.raises(DataError) as caught:
        joined(PREDICTED, pl.DataFrame(more), "more.csv")
    assert str(caught.value) == message
