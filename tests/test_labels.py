"""Class names and column numbers."""

from __future__ import annotations

import pytest

from lungwise.errors import DataError
from lungwise.labels import LabelSet


def test_labels_are_sorted_and_distinct() -> None:
    assert LabelSet.of(["b", "a", "b", "c"]).names == ("a", "b", "c")


def test_the_order_of_files_does_not_matter() -> None:
    assert LabelSet.of(["b", "a"]) == LabelSet.of(["a", "b", "a"])


def test_index_is_the_place_in_the_names() -> None:
    labels = LabelSet(("z", "a"))
    assert [labels.index(name) for name in labels] == [0, 1]
    assert len(labels) == 2


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "A classifier needs at least two classes, got none; add images of another class."),
        (("normal",), "A classifier needs at least two classes, got only 'normal'; add images of another class."),
        (("a", "a"), "Class names must be different and not empty, got ['a', 'a']; rename them."),
        (("a", " "), "Class names must be different and not empty, got ['a', ' ']; rename them."),
        (
            ("NORMAL", "Normal"),
            "Class names must differ by more than capitals and blanks, got ['NORMAL', 'Normal']; rename them.",
        ),
        (("a", "a "), "Class names must differ by more than capitals and blanks, got ['a', 'a ']; rename them."),
    ],
)
def test_names_that_cannot_be_classes_are_refused(names: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        LabelSet(names)
    assert str(caught.value) == sentence


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DataError) as caught:
        LabelSet(("a", "b")).index("c")
    assert str(caught.value) == "'c' is not one of the classes ['a', 'b']; check the label's spelling."


@pytest.mark.parametrize(
    ("names", "positive"),
    [
        (("NORMAL", "PNEUMONIA"), 1),
        (("Covid-19", "No_findings"), 0),
        (("covid", "healthy"), 0),
        (("bacteria", "virus"), 1),
        (("COVID-19", "normal", "pneumonia"), None),
    ],
)
def test_positive_is_the_finding_of_two_classes(names: tuple[str, ...], positive: int | None) -> None:
    assert LabelSet(names).positive == positive
