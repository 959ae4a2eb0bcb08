"""PneumoniaMNIST and ChestMNIST in their .npz files."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data.sources import SourceOptions, list_source
from lungwise.data.sources.medmnist import CHEST
from lungwise.errors import DataError, ImageError
from lungwise.imaging.radiograph import Radiograph

COUNTS = {"train": 150, "val": 3, "test": 2}


def arrays(side: int = 32, columns: int = 1) -> dict[str, NDArray[np.uint8]]:
    """Images whose pixels are their row number; every second one is of the last class."""
    made = {}
    for part, number in COUNTS.items():
        made[f"{part}_images"] = np.broadcast_to(np.arange(number, dtype=np.uint8)[:, None, None], (number, side, side)).copy()
        labels = np.zeros((number, columns), np.uint8)
        labels[1::2, CHEST.index("pneumonia") if columns > 1 else 0] = 1
        made[f"{part}_labels"] = labels
    return made


def save(file: Path, compressed: bool = False, **changes: NDArray[Any] | None) -> Path:
    side, columns = 32, 14 if file.name.startswith("chest") else 1
    content = {name: value for name, value in {**arrays(side, columns), **changes}.items() if value is not None}
    (np.savez_compressed if compressed else np.savez)(file, allow_pickle=True, **content)
    return file


def refusal(file: Path, *classes: str) -> str:
    with pytest.raises(DataError) as caught:
        list_source(file, SourceOptions(classes=classes))
    return str(caught.value)


def reader_of(file: Path) -> Callable[[str], Radiograph]:
    reader = list_source(file).reader
    assert reader is not None
    return reader


def test_rows_are_paths(tmp_path: Path) -> None:
    listing = list_source(save(tmp_path / "pneumoniamnist_64.npz"))
    assert (listing.kind, listing.root, listing.licence) == ("medmnist", tmp_path, "CC BY 4.0")
    assert listing.rows.height == 155
    assert listing.rows.rows()[:3] == [
        ("pneumoniamnist_64.npz/test/000000", "normal", "test-000000", "kermany", "test"),
        ("pneumoniamnist_64.npz/test/000001", "pneumonia", "test-000001", "kermany", "test"),
        ("pneumoniamnist_64.npz/train/000000", "normal", "train-000000", "kermany", "train"),
    ]
    assert listing.rows["split"].value_counts(sort=True).rows() == [("train", 150), ("validation", 3), ("test", 2)]
    assert listing.notes[-1].startswith("MedMNIST names no patients")


@pytest.mark.parametrize("compressed", [False, True])
def test_every_row_is_read_by_many_threads(tmp_path: Path, compressed: bool) -> None:
    listing = list_source(save(tmp_path / "pneumoniamnist_64.npz", compressed))
    assert listing.reader is not None
    paths = listing.rows["path"].to_list()
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(listing.reader, paths))
    assert [image.pixels[0, 0] for image in images] == [int(path[-6:]) for path in paths]
    assert {(image.pixels.shape, image.pixels.dtype) for image in images} == {((32, 32), np.dtype(np.uint8))}


def test_rows_may_be_read_in_any_order(tmp_path: Path) -> None:
    read = reader_of(save(tmp_path / "pneumoniamnist_64.npz", compressed=True))
    for row in (149, 0, 70, 3, 149):
        assert (read(f"pneumoniamnist_64.npz/train/{row:06d}").pixels == row).all()


def test_an_image_is_its_callers_own(tmp_path: Path) -> None:
    read = reader_of(save(tmp_path / "pneumoniamnist_64.npz"))
    read("pneumoniamnist_64.npz/train/000001").pixels[:] = 99
    assert (read("pneumoniamnist_64.npz/train/000001").pixels == 1).all()


@pytest.mark.parametrize(
    "path", ["train/000001", "pneumoniamnist_64.npz/train/000150", "pneumoniamnist_64.npz/all/000001", "x"]
)
def test_another_path_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ImageError, match=r"is not an image of pneumoniamnist_64\.npz; prepare the data set again\.$"):
        reader_of(save(tmp_path / "pneumoniamnist_64.npz"))(path)


def test_chestmnist_has_findings(tmp_path: Path) -> None:
    labels = np.zeros((3, 14), np.uint8)
    labels[1, [CHEST.index("pneumonia"), CHEST.index("effusion")]] = 1
    labels[2, CHEST.index("hernia")] = 1
    file = save(tmp_path / "chestmnist_64.npz", val_labels=labels)
    listing = list_source(file)
    found = listing.rows.filter(listing.rows["split"] == "validation")
    assert found.select("path", "label", "source").rows() == [
        ("chestmnist_64.npz/val/000000", "normal", "nih"), ("chestmnist_64.npz/val/000001", "pneumonia", "nih")
    ]  # fmt: skip
    assert listing.notes[0] == "1 images that show none of normal, pneumonia were left out (hernia 1)."
    assert list_source(file, SourceOptions(classes=("Hernia", "effusion"))).rows["label"].to_list() == ["effusion", "hernia"]


def test_a_folder_with_one_set_is_enough(tmp_path: Path) -> None:
    save(tmp_path / "pneumoniamnist_64.npz")
    assert list_source(tmp_path).rows.height == 155
    save(tmp_path / "chestmnist_64.npz")
    assert refusal(tmp_path) == (
        f"A source must be one set of MedMNIST, but {tmp_path} holds chestmnist_64.npz, pneumoniamnist_64.npz; "
        "name one of the files."
    )


def test_28_pixels_are_too_few(tmp_path: Path) -> None:
    file = save(tmp_path / "pneumoniamnist.npz", **arrays(28))
    assert refusal(file) == (
        "An image must have at least 32 pixels on each side, those of pneumoniamnist.npz have 28; "
        "fetch pneumoniamnist_64.npz, pneumoniamnist_128.npz or pneumoniamnist_224.npz."
    )


def test_other_sets_are_refused(tmp_path: Path) -> None:
    assert refusal(save(tmp_path / "breastmnist_64.npz")) == (
        "Of MedMNIST only pneumoniamnist and chestmnist are chest X-rays, got breastmnist_64.npz; "
        "keep the published name of the file."
    )


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    sentence = refusal(save(tmp_path / "pneumoniamnist_64.npz", val_labels=None))
    assert sentence.startswith("pneumoniamnist_64.npz must hold the array val_labels, it has train_images.npy, ")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"val_labels": np.full((3, 1), 2)},
         "val_labels of pneumoniamnist_64.npz must be 3 x 1 of 0 or 1, got int64 (3, 1); refetch it."),
        ({"val_labels": np.zeros((2, 1))},
         "val_labels of pneumoniamnist_64.npz must be 3 x 1 of 0 or 1, got float64 (2, 1); refetch it."),
        ({"val_images": np.zeros((3, 40, 40, 3), np.uint8)},
         "val_images of pneumoniamnist_64.npz must be uint8 [n, side, side], got uint8 (3, 40, 40, 3); refetch it."),
        ({"val_images": np.zeros((3, 40, 40))},
         "val_images of pneumoniamnist_64.npz must be uint8 [n, side, side], got float64 (3, 40, 40); refetch it."),
        ({"val_images": np.asfortranarray(np.zeros((3, 40, 40), np.uint8))},
         "val_images of pneumoniamnist_64.npz must be numbers in C order, got uint8 (3, 40, 40); fetch the file again."),
    ],
)  # fmt: skip
def test_arrays_of_another_form_are_refused(tmp_path: Path, change: dict[str, NDArray[Any]], sentence: str) -> None:
    assert refusal(save(tmp_path / "pneumoniamnist_64.npz", **change)) == sentence


class Bomb:
    """What must never be unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled",))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    file = save(tmp_path / "pneumoniamnist_64.npz", val_labels=None)
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (3, 1), }".ljust(117) + "\n"
    with zipfile.ZipFile(file, "a") as archive:
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + pickle.dumps(Bomb())
        archive.writestr("val_labels.npy", content)
    assert refusal(file) == (
        "val_labels of pneumoniamnist_64.npz must be numbers in C order, got object (3, 1); fetch the file again."
    )


@pytest.mark.parametrize("damage", ["no zip", "cut", "early"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, damage: str) -> None:
    file = save(tmp_path / "pneumoniamnist_64.npz")
    if damage == "early":
        with zipfile.ZipFile(file) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data[:-1] if name == "train_labels.npy" else data)
    else:
        file.write_bytes(b"text" if damage == "no zip" else file.read_bytes()[:5000])
    sentence = refusal(file)
    assert sentence.startswith("pneumoniamnist_64.npz is damaged or no .npz file (")
    assert sentence.endswith("); fetch the file again.")


def test_damage_inside_an_image_is_of_that_image(tmp_path: Path) -> None:
    file = save(tmp_path / "pneumoniamnist_64.npz", compressed=True)
    read = reader_of(file)
    data = bytearray(file.read_bytes())
    data[200:260] = bytes(60)
    file.write_bytes(bytes(data))
    with pytest.raises(
        ImageError, match=r"^pneumoniamnist_64\.npz is damaged or no \.npz file \(.*\); fetch the file again\.$"
    ):
        read("pneumoniamnist_64.npz/train/000149")
