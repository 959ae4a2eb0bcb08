"""Zip archives: honest ones are read member by member, hostile ones cost nothing and are refused by name."""

from __future__ import annotations

import io
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.errors import ImageError
from lungwise.inference import archive
from lungwise.inference.archive import Member
from lungwise.inference.inputs import load_item, read_image, walk
from lungwise.inference.predictor import Predictor
from tests.conftest import Encode

Grey = NDArray[np.uint8]


def pack(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def error_of(path: Path) -> str:
    """The one error that an archive, or its one member, ends with."""
    (item,) = walk(path)
    with pytest.raises(ImageError) as caught:
        load_item(item, read_image, 0)
    return str(caught.value)


def test_members_come_in_the_order_that_a_folder_has(tmp_path: Path) -> None:
    names = ["b.png", "a/z.JPEG", "a/c.tif", "notes.txt", "__MACOSX/a.png", ".thumb.png", "a/"]
    path = pack(tmp_path / "x.zip", dict.fromkeys(names, b"1"))
    assert [item.name for item in walk(path)] == [f"{path}!/{name}" for name in ("a/c.tif", "a/z.JPEG", "b.png")]


def test_dicom_members_without_an_ending_are_found(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"IM1": bytes(128) + b"DICM", "IM2": b"text"})
    assert [item.name for item in walk(path)] == [f"{path}!/IM1"]


def test_members_of_one_name_are_both_read(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"a.png": b"one", "b.png": b"two"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"b.png", b"a.png"))
    found = [item.source for item in walk(path)]
    assert [member.read() for member in found if isinstance(member, Member)] == [b"one", b"two"]


def test_many_threads_read_one_archive(tmp_path: Path) -> None:
    data = {f"{index:03d}.png": bytes([index]) * 5000 for index in range(100)}
    members = [item.source for item in walk(pack(tmp_path / "x.zip", data))]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda member: member.read() if isinstance(member, Member) else b"", members))
    assert found == list(data.values())


def test_a_zip_answers_as_its_folder(tmp_path: Path, predictor: Predictor, files: list[Path], greys: list[Grey]) -> None:
    path = pack(tmp_path / "x.ZIP", {file.name: file.read_bytes() for file in files})
    found, wanted = predictor.predict(path), predictor.predict(files[0].parent)
    assert [result.probabilities for result in found] == [result.probabilities for result in wanted]
    assert [result.path for result in found] == [f"{path}!/{file.name}" for file in files]


def test_a_bad_member_fails_alone(tmp_path: Path, predictor: Predictor, greys: list[Grey], encode: Encode) -> None:
    good = encode(greys[0])
    path = pack(tmp_path / "x.zip", {"a.png": good, "b.png": b"nonsense", "c.png": b"", "d.png": good})
    assert [result.status for result in predictor.predict(path)] == ["ok", "error", "error", "ok"]


# Refusals


def test_an_archive_in_an_archive_is_not_opened(tmp_path: Path) -> None:
    inner = pack(tmp_path / "inner.zip", {"a.png": b"1"}).read_bytes()
    path = pack(tmp_path / "x.zip", {"more/inner.zip": inner})
    assert error_of(path) == f"{path}!/more/inner.zip is an archive in an archive, which is not opened; unpack it first."


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"a.png": bytes(20_000_000)})
    assert path.stat().st_size < 30_000
    assert "must be packed at most 200 to 1" in error_of(path)


def test_a_large_member_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    path = pack(tmp_path / "x.zip", {"a.png": bytes(101)})
    assert error_of(path) == f"An image file must have at most 100 bytes, {path}!/a.png has 101."


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"a.png": b"12345"}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    assert error_of(path).endswith("a.png is encrypted; unpack the archive with its password and name the folder.")


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"a.png": b"12345"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"12345", b"12X45", 1))
    assert "a.png cannot be unpacked (Bad CRC-32" in error_of(path)


def test_a_member_longer_than_declared_is_refused(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(4000)
    path = pack(tmp_path / "x.zip", {"a.png": data})
    raw = bytearray(path.read_bytes())
    struct.pack_into("<L", raw, raw.index(b"PK\x01\x02") + 24, 10)
    path.write_bytes(bytes(raw))
    assert "a.png" in error_of(path)


def test_a_long_list_of_entries_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tmp_path / "x.zip", {f"{index}.png": b"" for index in range(5)})
    monkeypatch.setattr(archive, "MAX_MEMBERS", 4)
    assert error_of(path).startswith("A zip archive must have at most 4 entries, x.zip lists 5 in ")
    monkeypatch.setattr(archive, "MAX_MEMBERS", 10)
    monkeypatch.setattr(archive, "MAX_DIRECTORY", 50)
    assert error_of(path).endswith("bytes; divide it.")


def test_a_list_of_entries_in_the_large_form_is_measured(tmp_path: Path) -> None:
    """An archive that says 65,535 in the usual place and its true number in the record for large ones (APPNOTE 4.3.14)."""
    path = pack(tmp_path / "x.zip", {"a.png": b""})
    data = path.read_bytes()
    end = data.index(b"PK\x05\x06")
    record = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**9, 10**9, 10**12, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    last = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(data[:end] + record + locator + last)
    assert error_of(path).startswith("A zip archive must have at most 500000 entries, x.zip lists 1000000000 in ")


@pytest.mark.parametrize("data", [b"", b"no zip at all", b"PK\x05\x06", b"PK\x05\x06" + bytes(18) + b"x"])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    if data[:4] == b"PK\x05\x06" and len(data) > 4:
        assert "must hold images" in error_of(tmp_path / "x.zip")
    else:
        assert error_of(tmp_path / "x.zip").startswith("x.zip is not a readable zip archive (")


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {f"{index}.png": b"abc" for index in range(20)})
    data = path.read_bytes()
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        assert error_of(path).startswith("x.zip is not a readable zip archive (")


def test_a_missing_archive_is_a_missing_file(tmp_path: Path) -> None:
    assert error_of(tmp_path / "x.zip") == f"An image must be a file, but {tmp_path / 'x.zip'} does not exist."


def test_flipped_bytes_end_in_sentences_or_members(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", b"abc" * 50)
        file.writestr("b.png", b"def" * 50)
    data, path = buffer.getvalue(), tmp_path / "x.zip"
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        for item in walk(path):
            with pytest.raises(ImageError):
                load_item(item, read_image, 0)
