"""Images are left out by check, file and pattern, and the pixels are not decoded again for it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lungwise.data import prepare as preparing
from lungwise.data.phantoms import write_phantoms
from lungwise.data.prepare import Request, prepare
from lungwise.errors import DataError
from lungwise.imaging.preprocess import Preprocess
from tests.conftest import Encode

SPEC = Preprocess(stored=64)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Six phantoms of each class, one of them once more with a darker exposure under another patient's name."""
    import cv2

    source = write_phantoms(tmp_path / "films", 6, 3)
    one = min((source / "normal").iterdir())
    dark = cv2.convertScaleAbs(cv2.imread(str(one), cv2.IMREAD_GRAYSCALE), alpha=0.92)
    cv2.imwrite(str(source / "normal" / "phantom-99999_1.png"), dark)
    return source


def statuses(folder: Path, source: Path, **options: object) -> dict[str, str]:
    table = prepare(source, folder, Request(SPEC, **options), overwrite=True).manifest  # type: ignore[arg-type]
    return dict(table.filter(pl.col("status") != "ok").select("path", "status").iter_rows())


def test_by_pattern_and_by_file(films: Path, tmp_path: Path) -> None:
    first = sorted(file.name for file in (films / "pneumonia").iterdir())[0]
    (tmp_path / "bad.txt").write_text(f"pneumonia/{first}\n\n")
    left_out = statuses(tmp_path / "data", films, exclude=(str(tmp_path / "bad.txt"), "normal/*-99999_*"))
    assert left_out == {
        f"pneumonia/{first}": f"excluded: {tmp_path / 'bad.txt'}", "normal/phantom-99999_1.png": "excluded: normal/*-99999_*",
    }  # fmt: skip


def test_by_check(films: Path, tmp_path: Path, encode: Encode) -> None:
    import numpy as np

    (films / "normal" / "phantom-77777_1.png").write_bytes(encode(np.full((200, 200), 9, np.uint8)))
    left_out = statuses(tmp_path / "data", films, exclude=("blank",))
    assert left_out == {"normal/phantom-77777_1.png": "excluded: blank"}


def test_of_a_picture_that_occurs_twice_one_is_kept(films: Path, tmp_path: Path) -> None:
    left_out = statuses(tmp_path / "data", films, drop_duplicates=True)
    ((path, reason),) = left_out.items()
    assert path == "normal/phantom-99999_1.png"
    assert reason.startswith("excluded: duplicate of normal/phantom-0")


def test_patients_that_share_a_picture_stay_in_one_part(films: Path, tmp_path: Path) -> None:
    for seed in range(6):
        table = prepare(films, tmp_path / f"data{seed}", Request(SPEC, seed=seed)).manifest
        twin = table.filter(pl.col("path") == "normal/phantom-99999_1.png").row(0, named=True)
        others = table.filter(pl.col("group") == twin["group"])
        assert others["patient"].n_unique() == 2
        assert set(others["split"]) == {twin["split"]}


def test_nothing_is_decoded_twice(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare(films, tmp_path / "data", Request(SPEC))
    monkeypatch.setattr(preparing, "decode_all", None)
    after = prepare(films, tmp_path / "data", Request(SPEC, drop_duplicates=True), overwrite=True)
    assert (before.pixels.shape, after.facts["excluded"]) == (after.pixels.shape, 1)
    assert after.fingerprint != before.fingerprint
    again = prepare(films, tmp_path / "data", Request(SPEC), overwrite=True)
    assert again.fingerprint == before.fingerprint
    assert again.manifest.equals(before.manifest)


def test_a_changed_file_is_decoded_again(films: Path, tmp_path: Path) -> None:
    before = prepare(films, tmp_path / "data", Request(SPEC))
    one, other = sorted((films / "normal").iterdir())[:2]
    one.write_bytes(other.read_bytes())
    after = prepare(films, tmp_path / "data", Request(SPEC), overwrite=True)
    path = f"normal/{one.name}"
    old, new = (data.manifest.filter(pl.col("path") == path)["sha256"][0] for data in (before, after))
    assert old != new


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (
            "no/*/such",
            r"^--exclude takes a check \(blank, .*\), a file of paths or a pattern, but no image matches 'no/\*/such';",
        ),
        (
            "list",
            r"^Every line of list\.txt must be the path of an image as the manifest has it, but 1 are none \(nowhere\.png\);",
        ),
        ("*", r"^Some images must remain, but every one was left out; exclude less\.$"),
    ],
)
def test_wishes_that_cannot_be_met(films: Path, tmp_path: Path, wish: str, message: str) -> None:
    (tmp_path / "list.txt").write_text("nowhere.png\n")
    with pytest.raises(DataError, match=message):
        statuses(tmp_path / "data", films, exclude=(str(tmp_path / "list.txt") if wish == "list" else wish,))


def test_a_file_of_paths_that_is_no_utf_8_is_refused(films: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"normal/R\xf6ntgen.png\n")
    with pytest.raises(DataError, match=r"^list\.txt must be UTF-8 text, but byte 8 is not; save it as UTF-8\.$"):
        statuses(tmp_path / "data", films, exclude=(str(tmp_path / "list.txt"),))
