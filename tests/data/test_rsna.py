"""RSNA Pneumonia Detection Challenge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lungwise.data.sources import SourceOptions, list_source
from lungwise.errors import DataError
from tests.data.test_deidentify import write_dicom

OTHER = "No Lung Opacity / Not Normal"
LABELS = "aaaa,,,,,0\nbbbb,1,2,3,4,1\nbbbb,5,6,7,8,1\ncccc,,,,,0\n"
CLASSES = f"aaaa,Normal\nbbbb,Lung Opacity\nbbbb,Lung Opacity\ncccc,{OTHER}\n"


def make(root: Path, labels: str = LABELS, classes: str | None = CLASSES) -> Path:
    (root / "stage_2_train_labels.csv").write_text(f"patientId,x,y,width,height,Target\n{labels}")
    if classes is not None:
        (root / "stage_2_detailed_class_info.csv").write_text(f"patientId,class\n{classes}")
    for name, sex in (("aaaa", "M"), ("bbbb", "F"), ("cccc", "F")):
        write_dicom(root / "stage_2_train_images" / f"{name}.dcm", PatientID=name, PatientSex=sex, PatientAge="051Y")
    return root


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        list_source(root)
    return str(caught.value)


def test_boxes_of_one_image_are_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "rsna").mkdir()
    listing = list_source(make(tmp_path / "rsna"))
    assert (listing.kind, listing.secondary) == ("rsna", True)
    assert listing.rows.columns == ["path", "label", "patient", "source", "split", "sex", "age"]
    assert listing.rows.rows() == [
        ("stage_2_train_images/aaaa.dcm", "normal", "aaaa", "rsna", "", "M", "51"),
        ("stage_2_train_images/bbbb.dcm", "pneumonia", "bbbb", "rsna", "", "F", "51"),
    ]
    assert listing.notes[0] == f"1 images that show none of normal, pneumonia were left out ({OTHER} 1)."
    assert listing.notes[1].startswith("Without pneumonia-challenge-dataset-mappings_2018.json each image counts as a patient")
    assert not (tmp_path / "config").exists()  # public identifiers need no key
    assert "e180041" in listing.citation


def test_the_third_class_may_be_chosen(tmp_path: Path) -> None:
    rows = list_source(make(tmp_path), SourceOptions(classes=("normal", OTHER))).rows
    assert rows["label"].to_list() == ["normal", OTHER]


def test_the_table_of_origins_joins_the_films_of_one_person(tmp_path: Path) -> None:
    names = [("aaaa", "00000013_005.png"), ("bbbb", "00000013_026.png")]
    entries = [{"subset_img_id": ours, "img_id": theirs} for ours, theirs in names]
    (tmp_path / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(entries))
    listing = list_source(make(tmp_path))
    assert listing.rows["patient"].to_list() == ["00000013", "00000013"]
    assert len(listing.notes) == 1


@pytest.mark.parametrize("text", ["{", "[1]", '[{"a": 1}]'])
def test_another_table_of_origins_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pneumonia-challenge-dataset-mappings_2018.json").write_text(text)
    assert refusal(make(tmp_path)) == (
        "pneumonia-challenge-dataset-mappings_2018.json must be RSNA's JSON list with 'subset_img_id' and 'img_id', "
        "but is not; fetch or remove it."
    )


def test_images_may_be_png_and_elsewhere(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "png").mkdir()
    (tmp_path / "png" / "aaaa.png").write_bytes(b"x")
    listing = list_source(tmp_path, SourceOptions(images=tmp_path / "png"))
    assert listing.rows["path"].to_list() == ["aaaa.png", "stage_2_train_images/bbbb.dcm"]


def test_without_the_classes_it_cannot_be_used(tmp_path: Path) -> None:
    assert refusal(make(tmp_path, classes=None)) == (
        f"{tmp_path} must hold stage_2_detailed_class_info.csv, but it does not; fetch the whole collection."
    )


@pytest.mark.parametrize(
    ("labels", "classes", "sentence"),
    [
        ("aaaa,,,,,2\n", CLASSES, "stage_2_train_labels.csv:2: 'Target' must be 0 or 1, got 'aaaa,2'"),
        (LABELS + "dddd,,,,,0\n", CLASSES,
         "stage_2_train_labels.csv:6: 'patientId' must be in stage_2_detailed_class_info.csv as well, got 'dddd,0,'"),
        ("aaaa,,,,,1\n", CLASSES, "stage_2_train_labels.csv:2: 'Target' must be 1 for Lung Opacity and 0 otherwise, "
         "got 'aaaa,1,Normal'"),
        (LABELS, CLASSES + "aaaa,Lung Opacity\n", "stage_2_detailed_class_info.csv:6: an image must be of one class, "
         "got 'aaaa,Lung Opacity,Normal'"),
        (LABELS, "aaaa,\n", "stage_2_detailed_class_info.csv:2: 'class' must not be empty, got 'aaaa,'"),
        (LABELS, CLASSES + "../a,Normal\n", "stage_2_detailed_class_info.csv:6: 'patientId' must not be a path, "
         "got '../a,Normal'"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named(tmp_path: Path, labels: str, classes: str, sentence: str) -> None:
    assert refusal(make(tmp_path, labels, classes)) == f"{sentence}; correct the row."
