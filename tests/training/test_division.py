"""How data are divided: the same pixels under another split, nobody on both sides, sources left out as they can be."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace

import polars as pl
import pytest

from lungwise.data.store import PreparedData
from lungwise.errors import DataError
from lungwise.training.division import BY_IMAGE, Division, FoldView, LeaveOneSourceOut, divide
from tests.factory import with_sources

DIVISION = Division(3, include_test=True)


def parts(view: FoldView) -> dict[str, set[str]]:
    return {name: set(view.data.part(name).manifest["patient"]) for name in ("train", "validation", "test")}


def test_a_fold_is_the_same_pixels_under_another_split(small_data: PreparedData) -> None:
    divided = divide(small_data, Division(3, repeats=2, include_test=True))
    views = divided.views
    assert [(view.repeat, view.fold, view.folder) for view in views[:4]] == [
        (1, 1, "repeat-1of2-fold-1of3"), (1, 2, "repeat-1of2-fold-2of3"), (1, 3, "repeat-1of2-fold-3of3"),
        (2, 1, "repeat-2of2-fold-1of3"),
    ]  # fmt: skip
    assert len({data.fingerprint for data in (small_data, divided.whole, *(view.data for view in views))}) == 8
    for view in views:
        found = parts(view)
        assert sum(len(names) for names in found.values()) == len(set().union(*found.values()))
        assert view.data.pixels is small_data.pixels
        assert view.data.facts["counts"]["test"] == dict(view.data.test.manifest.group_by("label").len().iter_rows())
    for repeat in (1, 2):
        tested = Counter(name for view in views if view.repeat == repeat for name in view.data.test.manifest["image"])
        assert tested == Counter(small_data.manifest["image"])
    assert set(divided.whole.manifest["split"]) == {"test"}
    assert divided.said == {"folds": 3, "repeats": 2, "include_test": True, "by": "patient"}
    assert divided.refused == {}


def test_the_test_part_stays_out_unless_it_is_asked_for(small_data: PreparedData) -> None:
    held_out = set(small_data.test.manifest["image"])
    divided = divide(small_data, Division(2))
    for view in divided.views:
        assert not held_out & set(view.data.part("train", "validation", "test").manifest["image"])
    assert set(divided.whole.test.manifest["image"]) == set(small_data.manifest["image"]) - held_out


def test_folds_do_not_depend_on_the_recipe_and_are_the_same_again(small_data: PreparedData) -> None:
    first, again = (divide(small_data, DIVISION).views for _ in range(2))
    assert [view.data.fingerprint for view in first] == [view.data.fingerprint for view in again]


def test_fingerprints_of_folds_stay_those_of_directories_that_were_begun_before(small_data: PreparedData) -> None:
    fixed = replace(small_data, facts={**small_data.facts, "fingerprint": "f" * 64})
    divided = divide(fixed, DIVISION)
    assert divided.whole.fingerprint[:16] == "79efba92a1cd7c85"
    assert divided.views[0].data.fingerprint[:16] == "78c496d8cbc9e638"


def test_what_is_known_of_the_replaced_split_is_not_said_of_the_folds(small_data: PreparedData) -> None:
    torn = {"check": "patient-across-splits", "severity": "error", "message": "x", "count": 1}
    other = {"check": "resolution", "severity": "note", "message": "y", "count": 1}
    notes = ["The test part has no image of normal.", "Read from a table."]
    data = replace(small_data, facts={**small_data.facts, "audit": [torn, other], "notes": notes})
    facts = divide(data, DIVISION).views[0].data.facts
    assert (facts["audit"], facts["notes"]) == ([other], ["Read from a table."])
    facts = divide(data, Division(3, by="image")).views[0].data.facts
    assert (facts["audit"], facts["notes"]) == ([torn, other], ["Read from a table.", BY_IMAGE])


def test_by_image_tears_patients_and_says_so(small_data: PreparedData) -> None:
    views = divide(small_data, Division(3, include_test=True, by="image")).views
    assert any(parts(view)["train"] & parts(view)["test"] for view in views)
    for view in views:
        assert BY_IMAGE in view.data.facts["notes"]
        assert view.data.manifest.drop("split").equals(small_data.manifest.drop("split"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": 1}, r"at least 2 folds, got 1; raise the number of folds\.$"),
        ({"repeats": 0}, r"at least once, got 0 repeats; raise the number of repeats\.$"),
        ({"folds": 1000}, r"at least 1000 patients for 1000 folds .* has \d+; take fewer folds or add patients\.$"),
        ({"by": "hospital"}, r"by patient or by image, got 'hospital'; correct --by, or leave each source out with"),
        ({"by": "source"}, r"got 'source'; correct --by, or leave each source out with --leave-one-source-out\.$"),
    ],
)
def test_a_bad_division_is_one_sentence(small_data: PreparedData, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        divide(small_data, Division(**arguments))  # type: ignore[arg-type]


def test_each_source_is_tested_whole_by_a_model_of_the_others(small_data: PreparedData) -> None:
    data = with_sources(small_data, "a", "b")
    views = divide(data, LeaveOneSourceOut()).views
    assert [(view.fold, view.repeat, view.name, view.folder) for view in views] == [
        (1, 1, "source a", "source-1of2-a"), (2, 1, "source b", "source-2of2-b"),
    ]  # fmt: skip
    for view, source in zip(views, "ab", strict=True):
        tested = data.manifest.filter(pl.col("source") == source)
        assert set(view.data.test.manifest["image"]) == set(tested["image"])
        assert not parts(view)["test"] & (parts(view)["train"] | parts(view)["validation"])
        assert view.data.facts["notes"][-1] == (
            f"The test part is the source '{source}'; the model learnt from the other sources."
        )


def test_a_source_that_cannot_be_left_out_is_said_and_the_others_are(small_data: PreparedData) -> None:
    label = pl.col("label")
    data = with_sources(small_data, "cohen", "ricord")
    alone = pl.when(label == "pneumonia").then(pl.lit("nih")).otherwise(pl.col("source")).alias("source")
    divided = divide(replace(data, manifest=data.manifest.with_columns(alone)), LeaveOneSourceOut())
    assert [view.name for view in divided.views] == ["source cohen", "source ricord"]
    (sentence,) = divided.refused.values()
    assert list(divided.refused) == ["nih"]
    assert sentence.endswith("without 'nih' class 'pneumonia' has 0; add images of this class from another source.")
    assert divided.whole.facts["notes"][-1] == sentence
    assert divided.said == {
        **asdict(Division(2, include_test=True)), "by": "source", "refused": {"nih": sentence},
    }  # fmt: skip
    for view in divided.views:
        assert "pneumonia" not in view.data.facts["counts"]["test"]
        assert "which has no image of pneumonia; the model learnt" in view.data.facts["notes"][-1]
    assert divided.whole.facts["counts"]["none"] == {"pneumonia": 18}


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (("../x", "x"), ["source-1of2-x", "source-2of2-x"]),
        (("", "São Paulo / 2"), ["source-1of2", "source-2of2-S-o-Paulo-2"]),
        (("z" * 300, "日本"), ["source-1of2-" + "z" * 40, "source-2of2"]),
    ],
)
def test_any_name_of_a_source_gives_a_folder_of_its_own(
    small_data: PreparedData, names: tuple[str, str], folders: list[str]
) -> None:
    views = divide(with_sources(small_data, *names), LeaveOneSourceOut()).views
    assert [view.folder for view in views] == folders
    assert [view.name for view in views] == [f"source {name}" for name in sorted(names)]


def test_one_source_alone_cannot_be_left_out(small_data: PreparedData) -> None:
    with pytest.raises(DataError, match="needs at least two sources, but all 54 images come from 'phantom'; use k folds"):
        divide(small_data, LeaveOneSourceOut())
