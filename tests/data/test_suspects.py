from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from lungwise.data.audit.finding import Finding
from lungwise.data.audit.suspects import CHECKS, name_suspects, suspects
from lungwise.data.phantoms import CLASSES, make_phantom
from lungwise.errors import DataError
from lungwise.imaging.preprocess import resize


def rows(paths: Sequence[str], **columns: Any) -> pl.DataFrame:
    """A manifest's rows; a column given as one value is the same for all."""
    fixed = {
        "label": "normal",
        "source": "here",
        "width": 512,
        "height": 512,
        "view": "",
        "status": "ok",
        "notes": "",
    } | columns
    wide = {name: value if isinstance(value, list) else [value] * len(paths) for name, value in fixed.items()}
    return pl.DataFrame({"path": list(paths), **wide})


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    named = {finding.check: finding for finding in findings}
    assert len(named) == len(findings)
    assert [finding.check for finding in findings] == [check for check in CHECKS if check in named]
    return named


def told(*names: str) -> dict[str, tuple[str, ...]]:
    return {finding.check: finding.images for finding in name_suspects(rows(names))}


@pytest.fixture(scope="module")
def film() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return resize(make_phantom(CLASSES[1], np.random.default_rng(5)).pixels, 64)


def test_pictures_are_found_by_their_look(film: np.ndarray[Any, Any]) -> None:
    rng = np.random.default_rng(0)
    squares = np.stack([film, 255 - film, np.rot90(film), np.full_like(film, 7), rng.integers(0, 256, film.shape), film])
    table = rows(["ok.png", "neg.png", "turned.png", "blank.png", "noise.png", "broken.png"], status=["ok"] * 5 + ["damaged"])
    found = by_check(suspects(table, squares.astype(np.uint8)))
    images = {check: finding.images for check, finding in found.items()}
    assert images == {
        "blank": ("blank.png",),
        "inverted": ("neg.png",),
        "rotated": ("turned.png",),
        "not-chest": ("noise.png",),
    }
    assert {finding.severity for finding in found.values()} == {"warning"}
    assert found["inverted"].repair == "lungwise prepare ... --exclude inverted"
    assert found["inverted"].message == (
        "1 of 6 pictures look like negatives: air is bright and bone is dark; look at them before leaving them out"
    )
    assert found["not-chest"].evidence["least_frontal_score"] < found["inverted"].evidence["least_score_as_negative"]


def test_size_and_colour_are_found(film: np.ndarray[Any, Any]) -> None:
    note = "16-bit image without a window; colour image converted to grey"
    table = rows(["c.png", "b.png", "a.png"], width=[127, 128, 900], height=[600, 128, 90], notes=["", note, ""])
    found = by_check(suspects(table, np.stack([film] * 3)))
    assert found["tiny"].images == ("a.png", "c.png")
    assert found["tiny"].evidence["least_side"] == 128
    assert found["colour"].images == ("b.png",)
    assert set(found) == {"tiny", "colour"}


def test_a_table_without_notes_or_views_is_enough(film: np.ndarray[Any, Any]) -> None:
    table = rows(["a.png"]).drop("notes", "view")
    assert suspects(table, film[None]) == []
    assert name_suspects(table.select("path", "label", "source")) == []


def test_shares_by_label_and_source_tell_of_confounding(film: np.ndarray[Any, Any]) -> None:
    table = rows(list("abcd"), label=["x", "x", "y", "y"], source=["s", "t", "t", "t"])
    evidence = by_check(suspects(table, np.stack([255 - film, film, film, film])))["inverted"].evidence
    assert evidence["by_label"] == {
        "x": {"pictures": 2, "suspects": 1, "share": 0.5},
        "y": {"pictures": 2, "suspects": 0, "share": 0.0},
    }
    assert evidence["by_source"]["s"] == {"pictures": 1, "suspects": 1, "share": 1.0}


def test_rows_without_a_picture_are_left_alone(film: np.ndarray[Any, Any]) -> None:
    table = rows(["a.png", "b.png"], status=["ok", "missing"], width=[512, 0], height=[512, 0])
    assert suspects(table, film[None]) == []
    with pytest.raises(
        DataError, match=r"Every square must have a row, got 3 squares and 2 rows; prepare the data set again\."
    ):
        suspects(table, np.stack([film] * 3))


def test_every_finding_is_json(film: np.ndarray[Any, Any]) -> None:
    import json

    findings = suspects(rows(["a.png"]), 255 - film[None]) + name_suspects(
        rows(["knee_1.png", "PA-and-LAT.png", "x-lateral.png"])
    )
    kept = json.loads(json.dumps([finding.as_json() for finding in findings], allow_nan=False))
    assert [finding["check"] for finding in kept] == ["inverted", "lateral", "body-part", "mixed-views"]


@pytest.mark.parametrize(
    "name",
    [
        "A1-NA-FLAT_PLATE_OF_ABDOMEN_PORTABLE-19496-3.0-AP-1.jpg",
        "A1-NA-ABD_UPRT_VIEWONLY-1.jpg",
        "kub.png",
        "x/Left-Knee2.png",
        "12hand.png",
        "3.Pelvis.ap.dcm",
        "L-spine_04.png",
    ],
)
def test_other_parts_of_the_body_are_found_by_name(name: str) -> None:
    assert told(name)["body-part"] == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "handmade.png",
        "abdul-12.png",
        "orbiting_skullcap.jpg",
        "knee/chest_01.png",
        "0b5c3abd-91f0-4abd-9d5c-0123456789ab.png",
        "4ad30bc6abd9fedc.png",
        "covid-19-pneumonia-bilateral.jpg",
        "jkms-35-e79-g001-l-a.jpg",
        "figure1-98-left.jpeg",
        "A1-NA-CHEST_OVER_PENETRATED_PA_AP_PORTABLE-2.0-AP-1.jpg",
        "all_14-PA.png",
    ],
)
def test_names_that_only_look_suspicious_are_left_alone(name: str) -> None:
    assert told(name) == {}


@pytest.mark.parametrize(
    "name", ["PA_AP_AND_LATERAL-3.0-AP.jpg", "chest-PAAP_AND_LATERAL.png", "lat+pa.png", "frontal lateral.png"]
)
def test_names_with_both_views_are_found(name: str) -> None:
    assert told(name) == {"mixed-views": (name,)}


@pytest.mark.parametrize(
    "name",
    ["a-lateral.png", "a_LL.png", "b_lat2.png", "c-L-1.png", "c-14-L.png", "day1-l.png", "CHEST_AP_PORT-76-1.0-LATERAL-3.jpg"],
)
def test_lateral_views_are_found_by_name(name: str) -> None:
    assert told(name) == {"lateral": (name,)}


def test_a_lateral_file_of_a_study_with_both_views_is_both() -> None:
    name = "CHEST_ROUTINE_PA_AP_AND_LATERAL-67-4.0-LATERAL-5.jpg"
    assert told(name) == {"lateral": (name,), "mixed-views": (name,)}


def test_lateral_views_are_found_by_the_view_that_the_file_states() -> None:
    table = rows(["d.png", "c.png", "b.png", "a.png"], view=["LL", "PA", "rl", "AP"], status=["ok", "ok", "missing", "ok"])
    found = by_check(name_suspects(table))["lateral"]
    assert found.images == ("b.png", "d.png")
    assert found.evidence["views"] == ["LL", "RL", "LATERAL"]
    assert found.message.startswith("2 of 4 pictures are lateral views by the file's view or name;")


def test_images_are_sorted_by_path() -> None:
    assert told("z_knee.png", "a_hip.png", "m_skull.png")["body-part"] == ("a_hip.png", "m_skull.png", "z_knee.png")


def test_an_empty_table_has_no_suspects(film: np.ndarray[Any, Any]) -> None:
    table = rows(["a.png"]).clear()
    assert suspects(table, film[None][:0]) == name_suspects(table) == []
