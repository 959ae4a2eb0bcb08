"""Bundles that were damaged, and bundles whose writing was stopped."""

from __future__ import annotations

import errno
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lungwise.bundle import store
from lungwise.bundle.spec import FORMAT
from lungwise.bundle.store import FILES, SPEC, read_bundle, write_bundle
from lungwise.errors import BundleError, LungwiseError
from tests.bundle_factory import make_bundle, make_head, make_onnx, make_spec

PLACES = ["model", "model.zip"]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.999])
@pytest.mark.parametrize("name", [SPEC, *FILES])
def test_one_flipped_bit_is_refused_by_the_files_name(tmp_path: Path, name: str, share: float) -> None:
    out = make_bundle(tmp_path / "model")
    flip(out / name, int(share * (out / name).stat().st_size))
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        read_bundle(out)


def test_a_changed_threshold_is_refused(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model")
    text = (out / SPEC).read_text()
    (out / SPEC).write_text(text.replace('"threshold": 0.5', '"threshold": 0.1'))
    with pytest.raises(BundleError, match=r"lungwise\.json is not the file that was exported \(SHA-256 [0-9a-f]{64}\)"):
        read_bundle(out)


def test_every_byte_of_the_specification_counts(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model")
    whole = (out / SPEC).read_bytes()
    for at in range(len(whole)):
        flip(out / SPEC, at)
        with pytest.raises(BundleError, match=r"lungwise\.json"):
            read_bundle(out)
        (out / SPEC).write_bytes(whole)


def test_a_damaged_zip_is_refused_or_harmless(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model.zip")
    whole, sha256 = out.read_bytes(), read_bundle(out).sha256
    for at in range(0, len(whole), 3):
        data = bytearray(whole)
        data[at] ^= 0xFF
        out.write_bytes(bytes(data))
        try:
            assert read_bundle(out).sha256 == sha256
        except BundleError as error:
            assert str(out) in str(error)  # noqa: PT017


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_zip_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    out = make_bundle(tmp_path / "model.zip")
    out.write_bytes(out.read_bytes()[: int(share * out.stat().st_size)])
    with pytest.raises(BundleError, match=r"is not a readable bundle \(.*\); fetch or export it again\.$"):
        read_bundle(out)


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = make_bundle(tmp_path / "model.zip")
    monkeypatch.setattr(store, "_MAX_BYTES", 1000)
    with pytest.raises(BundleError, match="A bundle must have at most 1000 bytes"):
        read_bundle(out)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    out = make_bundle(tmp_path / "model")
    (out / name).unlink()
    with pytest.raises(BundleError, match=rf"{name} is not the file that was exported \(SHA-256 no such file\)"):
        read_bundle(out)


def test_a_file_missing_from_a_zip_is_named(tmp_path: Path) -> None:
    whole = make_bundle(tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for name in (SPEC, "head.npz", "README.md"):
            archive.write(whole / name, name)
    with pytest.raises(BundleError, match=r"model\.onnx is not the file that was exported \(SHA-256 no such file\)"):
        read_bundle(tmp_path / "model.zip")


@pytest.mark.parametrize("name", [SPEC, *FILES])
def test_a_link_instead_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    out = make_bundle(tmp_path / "model")
    (out / name).rename(tmp_path / "elsewhere")
    (out / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=rf"must be plain files, but {name} of .* is a link; copy the file itself\.$"):
        read_bundle(out)


def test_another_format_is_refused(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model")
    values = json.loads((out / SPEC).read_text())
    (out / SPEC).write_text(json.dumps({**values, "format": FORMAT + 1}))
    with pytest.raises(BundleError, match=rf"of another version \(.*format must be {FORMAT} .* got {FORMAT + 1}\)"):
        read_bundle(out)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "\ufeff{}"])
def test_a_specification_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    out = make_bundle(tmp_path / "model")
    (out / SPEC).write_text(text)
    with pytest.raises(
        BundleError, match=r"lungwise\.json of .* is damaged or of another version .*; export the bundle again\."
    ):
        read_bundle(out)


def test_a_specification_that_is_not_text_is_refused(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model")
    (out / SPEC).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match=r"lungwise\.json of .* is damaged"):
        read_bundle(out)


def failing(number: int, cause: BaseException) -> Callable[[int], None]:
    """An ``os.fsync`` that raises at its call ``number``, counted from 1."""
    calls = []

    def fsync(handle: int) -> None:
        calls.append(handle)
        if len(calls) == number:
            raise cause

    return fsync


@pytest.mark.parametrize(("place", "number"), [("model", 1), ("model", 3), ("model", 4), ("model.zip", 1)])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interruption_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, number: int, overwrite: bool
) -> None:
    head, out = make_head(), tmp_path / place
    if overwrite:
        make_bundle(out)
    monkeypatch.setattr(os, "fsync", failing(number, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_bundle(out, make_spec(name="new"), make_onnx(head), head, overwrite=overwrite)
    assert [child.name for child in tmp_path.iterdir()] == ([place] if overwrite else [])
    if overwrite:
        assert read_bundle(out).spec.name == "tiny"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, number: int
) -> None:
    monkeypatch.setattr(os, "fsync", failing(1, OSError(number, "full")))
    with pytest.raises(LungwiseError, match=r"^There is no room left to write .*; free some space or choose another --out\.$"):
        make_bundle(tmp_path / place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", PLACES)
def test_a_read_only_place_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(os, "fsync", failing(1, PermissionError(errno.EACCES, "denied")))
    with pytest.raises(LungwiseError, match=r"must be writable, but it is read-only here; choose another --out\.$"):
        make_bundle(tmp_path / place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", PLACES)
def test_a_place_below_a_file_is_one_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LungwiseError, match=r"must be a directory, but a file is in its place; choose another --out\.$"):
        make_bundle(tmp_path / "file" / place)


def test_an_old_bundle_is_put_back_when_the_new_one_cannot_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head, out, replace = make_head(), make_bundle(tmp_path / "model"), os.replace
    calls: list[Path] = []

    def second_fails(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(LungwiseError, match="There is no room left"):
        write_bundle(out, make_spec(name="new"), make_onnx(head), head, overwrite=True)
    assert read_bundle(out).spec.name == "tiny"
    assert [child.name for child in tmp_path.iterdir()] == ["model"]
