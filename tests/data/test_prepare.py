"""From a source to a prepared data set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lungwise.data.prepare import Request, prepare
from lungwise.data.sources import SourceOptions
from lungwise.data.split import Fractions
from lungwise.data.store import open_data
from lungwise.errors import DataError, LungwiseError
from lungwise.imaging.preprocess import Preprocess, to_square
from lungwise.imaging.read import read
from tests.conftest import MakeFolder

SMALL = Request(Preprocess(stored=32))


def test_a_folder_becomes_manifest_pixels_and_facts(two_classes: Path, tmp_path: Path) -> None:
    data = prepare(two_classes, tmp_path / "data", SMALL)
    assert {file.name for file in data.folder.iterdir()} == {
        "manifest.parquet", "pixels.npy", "dataset.json", "audit.json", "README.md", "samples.png"
    }  # fmt: skip
    assert (data.manifest.height, data.pixels.shape, data.pixels.dtype) == (20, (20, 32, 32), np.uint8)
    assert data.labels.names == ("NORMAL", "PNEUMONIA")
    assert {key: data.facts[key] for key in ("kind", "missing", "unreadable", "seed")} == {
        "kind": "folder", "missing": 0, "unreadable": 0, "seed": 0
    }  # fmt: skip


def test_row_i_of_the_pixels_is_row_i_of_the_manifest(two_classes: Path, tmp_path: Path) -> None:
    data = prepare(two_classes, tmp_path / "data", SMALL)
    for row, path in enumerate(data.manifest["path"]):
        np.testing.assert_array_equal(data.pixels[row], to_square(read(two_classes / path), SMALL.spec))


def test_the_manifest_says_what_each_image_is(two_classes: Path, tmp_path: Path) -> None:
    first = prepare(two_classes, tmp_path / "data", SMALL).manifest.row(0, named=True)
    assert {key: first[key] for key in ("image", "path", "label", "patient", "source", "width", "height", "status")} == {
        "image": "NORMAL/normal0-a.png", "path": "NORMAL/normal0-a.png", "label": "NORMAL", "patient": "normal0",
        "source": "xrays", "width": 40, "height": 32, "status": "ok",
    }  # fmt: skip
    assert (len(first["sha256"]), len(first["phash"])) == (64, 16)


def test_parts_are_disjoint_by_patient_and_cover_everything(two_classes: Path, tmp_path: Path) -> None:
    data = prepare(two_classes, tmp_path / "data", SMALL)
    assert len(data.train) + len(data.validation) + len(data.test) == 20
    assert data.manifest.group_by("patient").agg(pl.col("split").n_unique())["split"].max() == 1


def test_what_is_prepared_can_be_opened(two_classes: Path, tmp_path: Path) -> None:
    made = prepare(two_classes, tmp_path / "data", SMALL)
    opened = open_data(tmp_path / "data")
    assert opened.fingerprint == made.fingerprint
    assert opened.manifest.equals(made.manifest)


def test_the_same_source_and_settings_give_the_same_fingerprint(two_classes: Path, tmp_path: Path) -> None:
    assert prepare(two_classes, tmp_path / "a", SMALL).fingerprint == prepare(two_classes, tmp_path / "b", SMALL).fingerprint


@pytest.mark.parametrize(
    "request_", [Request(Preprocess(stored=40)), Request(Preprocess(stored=32, fit="pad")), Request(SMALL.spec, seed=5)],
    ids=["size", "fit", "seed"],
)  # fmt: skip
def test_other_settings_give_another_fingerprint(two_classes: Path, tmp_path: Path, request_: Request) -> None:
    assert prepare(two_classes, tmp_path / "a", SMALL).fingerprint != prepare(two_classes, tmp_path / "b", request_).fingerprint


def test_another_pixel_gives_another_fingerprint(two_classes: Path, tmp_path: Path) -> None:
    before = prepare(two_classes, tmp_path / "a", SMALL).fingerprint
    first, second = sorted((two_classes / "NORMAL").iterdir())[:2]
    first.write_bytes(second.read_bytes())
    assert prepare(two_classes, tmp_path / "b", SMALL).fingerprint != before


def test_preparing_again_does_no_work(two_classes: Path, tmp_path: Path) -> None:
    prepare(two_classes, tmp_path / "data", SMALL)
    done: list[int] = []
    prepare(two_classes, tmp_path / "data", SMALL, progress=lambda number, total: done.append(number))
    assert done == []


def test_other_settings_are_refused_unless_overwriting(two_classes: Path, tmp_path: Path) -> None:
    prepare(two_classes, tmp_path / "data", SMALL)
    other = Request(Preprocess(stored=40))
    with pytest.raises(LungwiseError) as caught:
        prepare(two_classes, tmp_path / "data", other)
    assert str(caught.value) == (
        f"{tmp_path / 'data'} already holds a data set of another source or other settings; choose another --out, or add "
        "--overwrite."
    )
    assert prepare(two_classes, tmp_path / "data", other, overwrite=True).spec.stored == 40


def test_progress_counts_up_to_all(two_classes: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    prepare(two_classes, tmp_path / "data", SMALL, progress=lambda done, total: seen.append((done, total)))
    assert (seen[0], seen[-1]) == ((0, 20), (20, 20))


def test_a_table_gives_labels_patients_and_parts(two_classes: Path, tmp_path: Path) -> None:
    paths = sorted(file.relative_to(two_classes).as_posix() for file in two_classes.rglob("*.png"))
    parts = ["train", "validation", "test", "train", "train"] * 4
    (tmp_path / "t.csv").write_text(
        "path,label,patient,split\n"
        + "".join(f"{path},{path[0]},{path},{part}\n" for path, part in zip(paths, parts, strict=True))
    )
    data = prepare(tmp_path / "t.csv", tmp_path / "data", SMALL, SourceOptions(images=two_classes))
    assert data.manifest["split"].to_list() == parts
    assert data.labels.names == ("N", "P")


def test_a_given_split_can_be_set_aside(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder({"train/A": 6, "train/B": 6, "test/A": 2, "test/B": 2}, films=1)
    for file in sorted(source.glob("test/*/*")):
        file.rename(file.with_stem(f"late{file.stem}"))  # other patients than those in train
    given = prepare(source, tmp_path / "a", SMALL)
    again = prepare(source, tmp_path / "b", Request(SMALL.spec, resplit=True))
    assert given.manifest.filter(pl.col("split") == "test")["path"].str.starts_with("test/").all()
    assert not again.manifest.filter(pl.col("split") == "test")["path"].str.starts_with("test/").all()


def test_patients_of_an_earlier_split_stay_where_they_were(two_classes: Path, tmp_path: Path) -> None:
    first = prepare(two_classes, tmp_path / "a", SMALL)
    keep = dict(first.manifest.select("patient", "split").iter_rows())
    for label in ("NORMAL", "PNEUMONIA"):
        extra = two_classes / label / f"{label.lower()}77-a.png"
        extra.write_bytes((two_classes / label / f"{label.lower()}0-a.png").read_bytes())
    second = prepare(two_classes, tmp_path / "b", Request(SMALL.spec, keep_split=keep))
    found = dict(second.manifest.select("patient", "split").iter_rows())
    assert {patient: found[patient] for patient in keep} == keep


def test_copies_are_reported(two_classes: Path, tmp_path: Path) -> None:
    (two_classes / "PNEUMONIA" / "copy.png").write_bytes((two_classes / "NORMAL" / "normal0-a.png").read_bytes())
    data = prepare(two_classes, tmp_path / "data", SMALL)
    finding, *others = json.loads((tmp_path / "data" / "audit.json").read_text())
    assert finding["check"] == "duplicate-label-conflict"
    assert {other["severity"] for other in others} == {"warning"}  # the pictures are small noise
    assert finding["images"] == ["NORMAL/normal0-a.png", "PNEUMONIA/copy.png"]
    assert data.facts["audit"][0]["count"] == 1


def test_a_part_without_a_class_is_noted(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder({"train/A": 6, "train/B": 6, "test/A": 2}, films=1)
    data = prepare(source, tmp_path / "data", SMALL)
    assert "The test part has no image of B." in data.facts["notes"]


def refusal(source: Path, out: Path, request: Request = SMALL) -> str:
    with pytest.raises(DataError) as caught:
        prepare(source, out, request)
    assert not (out / "dataset.json").exists()
    return str(caught.value)


def test_one_class_is_refused(make_folder: MakeFolder, tmp_path: Path) -> None:
    assert refusal(make_folder({"NORMAL": 5}), tmp_path / "data") == (
        "A classifier needs at least two classes, got only 'NORMAL'; add images of another class."
    )
    assert not (tmp_path / "data").exists()


def test_classes_that_differ_in_capitals_only_are_refused(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder({"train/NORMAL": 5, "train/SICK": 5, "test/Normal": 5})
    assert refusal(source, tmp_path / "data").startswith("Class names must differ by more than capitals and blanks")


def test_a_class_with_one_patient_is_refused_before_anything_is_decoded(make_folder: MakeFolder, tmp_path: Path) -> None:
    assert refusal(make_folder({"NORMAL": 5, "RARE": 1}), tmp_path / "data") == (
        "Each class needs at least 3 patients, one for each of train, test, validation, but class 'RARE' has 1; "
        "add patients or remove the class."
    )
    assert not (tmp_path / "data").exists()


def test_an_image_that_is_listed_twice_is_refused(two_classes: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\nxrays/a.png,x\nxrays/a.png,y\n")
    assert refusal(tmp_path / "t.csv", tmp_path / "data") == (
        "Every image must be listed once, but 1 stand there twice (xrays/a.png); drop the rows."
    )


@pytest.fixture
def listed(two_classes: Path, tmp_path: Path) -> Path:
    """A table of twenty images that are there and two that are not."""
    paths = sorted(file.relative_to(tmp_path).as_posix() for file in two_classes.rglob("*.png"))
    rows = [f"{path},{Path(path).parent.name},{Path(path).stem[:-2]}" for path in paths]
    (tmp_path / "t.csv").write_text(
        "\n".join(["path,label,patient", "gone/1.png,NORMAL,g", *rows, f"{'z' * 300},NORMAL,g"]) + "\n"
    )
    return tmp_path / "t.csv"


def test_missing_files_are_counted_and_listed(listed: Path, tmp_path: Path) -> None:
    names = tmp_path / "data.missing.txt"
    assert refusal(listed, tmp_path / "data") == (
        f"Every listed image must exist, but 2 of 22 are missing under {tmp_path} (no split 2; gone/1.png, {'z' * 300}; "
        f"all are named in {names}); fetch them, or go on without them with --allow-missing."
    )
    assert names.read_text().splitlines() == ["gone/1.png", "z" * 300]


def test_missing_files_can_be_listed_beside_the_working_folder(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    refusal(listed, Path())
    assert (tmp_path / "work.missing.txt").exists()


def test_missing_files_that_are_allowed_are_recorded(listed: Path, tmp_path: Path) -> None:
    data = prepare(listed, tmp_path / "data", Request(SMALL.spec, allow_missing=True))
    assert data.facts["missing"] == 2
    assert data.pixels.shape[0] == 20
    assert data.manifest["status"].to_list() == ["ok"] * 20 + ["missing"] * 2
    assert set(data.manifest["split"][20:]) == {"none"}


def test_when_all_files_are_missing_their_folder_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\na.png,x\nb.png,y\n")
    assert refusal(tmp_path / "t.csv", tmp_path / "data", Request(allow_missing=True)) == (
        f"All 2 listed images are missing under {tmp_path}; name their folder with --images."
    )


def test_fractions_decide_the_sizes(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder({"A": 10, "B": 10}, films=1)
    data = prepare(source, tmp_path / "data", Request(SMALL.spec, Fractions(0.3, 0.5)))
    assert [len(data.train), len(data.validation), len(data.test)] == [4, 6, 10]


class TestOpenData:
    """What is no prepared data set is refused by name."""

    def refusal(self, folder: Path) -> str:
        with pytest.raises(DataError) as caught:
            open_data(folder)
        return str(caught.value)

    def test_another_folder(self, tmp_path: Path) -> None:
        assert self.refusal(tmp_path) == f"{tmp_path} is not a prepared data set; run lungwise prepare SOURCE --out {tmp_path}."

    def test_an_interrupted_preparation(self, tmp_path: Path) -> None:
        (tmp_path / ".partial").mkdir()
        assert self.refusal(tmp_path).startswith(f"{tmp_path} is a preparation that was interrupted; run lungwise prepare")

    @pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"preprocess": 3}'])
    def test_damaged_facts(self, two_classes: Path, tmp_path: Path, content: str) -> None:
        prepare(two_classes, tmp_path / "data", SMALL)
        (tmp_path / "data" / "dataset.json").write_text(content)
        assert "dataset.json is damaged (" in self.refusal(tmp_path / "data")

    @pytest.mark.parametrize("keep", [0, 50, 2000])
    def test_damaged_pixels(self, two_classes: Path, tmp_path: Path, keep: int) -> None:
        pixels = prepare(two_classes, tmp_path / "data", SMALL).folder / "pixels.npy"
        pixels.write_bytes(pixels.read_bytes()[:keep])
        assert "pixels.npy is damaged or absent (" in self.refusal(tmp_path / "data")

    def test_pixels_of_another_data_set(self, two_classes: Path, tmp_path: Path) -> None:
        np.save(prepare(two_classes, tmp_path / "data", SMALL).folder / "pixels.npy", np.zeros((3, 32, 32), np.uint8))
        assert "must be uint8 (20, 32, 32) to fit the manifest, got uint8 (3, 32, 32)" in self.refusal(tmp_path / "data")
