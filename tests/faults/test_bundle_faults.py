"""Bundles that were damaged, and bundles whose writing was stopped."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungwise.bundle import container, store
from lungwise.bundle.container import EXTRAS, FILES, SPEC
from lungwise.bundle.spec import FORMAT
from lungwise.bundle.store import read_bundle, write_bundle
from lungwise.errors import BundleError, LungwiseError
from tests.bundle_factory import make_bundle, make_full, make_head, make_onnx, make_spec

PLACES = ["model", "model.zip"]
Files = list[tuple[str, bytes]]


def rewrite(out: Path, change: Callable[[Files], Files], method: int = zipfile.ZIP_DEFLATED) -> None:
    """Write a zip anew with other entries."""
    with zipfile.ZipFile(out) as archive:
        files = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in change(files):
            archive.writestr(name, data)


def reseal(out: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a specification and its own hash with it, as somebody would who means harm."""
    values = json.loads((out / SPEC).read_text())
    change(values)
    values["files"][SPEC] = "0" * 64
    text = json.dumps(values, indent=2)
    (out / SPEC).write_text(text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest()))


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


@pytest.mark.parametrize("name", EXTRAS)
def test_every_region_of_every_extra_file_counts(tmp_path: Path, name: str) -> None:
    out = make_full(tmp_path / "model")
    size = (out / name).stat().st_size
    for at in {0, 1, size // 3, size // 2, size - 1}:
        flip(out / name, at)
        for precision in ("fp32", "fp16", "int8"):
            with pytest.raises(BundleError, match=rf"{name} is not the file that was exported \(SHA-256 [0-9a-f]{{64}}\)"):
                read_bundle(out, precision)
        flip(out / name, at)
    assert read_bundle(out).extras == {"novelty.npz": b"reference"}


@pytest.mark.parametrize("name", [SPEC, *FILES, *EXTRAS])
def test_every_byte_of_small_files_and_every_region_of_large_ones_counts(tmp_path: Path, name: str) -> None:
    out = make_full(tmp_path / "model")
    size = (out / name).stat().st_size
    for at in range(0, size, max(1, size // 40)):
        flip(out / name, at)
        with pytest.raises(BundleError, match=re.escape(name)):
            read_bundle(out)
        flip(out / name, at)


@pytest.mark.parametrize("name", [SPEC, *FILES, *EXTRAS])
def test_bytes_behind_the_end_count(tmp_path: Path, name: str) -> None:
    out = make_full(tmp_path / "model")
    with (out / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleError, match=re.escape(name)):
        read_bundle(out)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_file_that_is_missing_is_named(tmp_path: Path, name: str, place: str) -> None:
    out = make_full(tmp_path / place)
    if place == "model":
        (out / name).unlink()
    else:
        rewrite(out, lambda files: [item for item in files if item[0] != name])
    with pytest.raises(BundleError, match=rf"{name} is not the file that was exported \(SHA-256 no such file\)"):
        read_bundle(out)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_file_that_was_not_exported_is_refused(tmp_path: Path, name: str, place: str) -> None:
    out = make_bundle(tmp_path / place)
    if place == "model":
        (out / name).write_bytes(b"slipped in")
    else:
        rewrite(out, lambda files: [*files, (name, b"slipped in")])
    with pytest.raises(BundleError, match=rf"{name} is not the file that was exported"):
        read_bundle(out)


def test_a_forged_specification_cannot_name_files_that_nobody_verifies(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model")
    reseal(out, lambda values: values["files"].update({"../../weights.bin": "0" * 63 + "1"}))
    with pytest.raises(BundleError, match=r"names '../../weights\.bin'; take a newer version of Lungwise\.$"):
        read_bundle(out)


def test_a_variant_without_its_measurement_is_refused(tmp_path: Path) -> None:
    out = make_full(tmp_path / "model")
    reseal(out, lambda values: values["variants"].pop("int8"))
    with pytest.raises(BundleError, match=r"for model_int8\.onnx of .* lungwise\.json does not say what it costs; export it"):
        read_bundle(out)


def test_a_measurement_without_its_variant_is_refused(tmp_path: Path) -> None:
    out = make_full(tmp_path / "model")
    reseal(out, lambda values: values["files"].pop("model_fp16.onnx"))
    with pytest.raises(BundleError, match=r"for model_fp16\.onnx of .* the file is not listed; export it with --variants\.$"):
        read_bundle(out)


def test_a_specification_nested_without_end_is_refused(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model")
    (out / SPEC).write_text("[" * 200_000)
    with pytest.raises(BundleError, match=r"lungwise\.json of .* is damaged"):
        read_bundle(out)


def test_a_specification_of_any_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = make_bundle(tmp_path / "model")
    monkeypatch.setattr(store, "_MAX_SPEC", 100)
    with pytest.raises(BundleError, match=r"damaged or of another version \(it must have at most 100 bytes, it has \d+\)"):
        read_bundle(out)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model.zip")
    rewrite(out, lambda files: [*files, ("novelty.npz", bytes(50_000_000))])
    tracemalloc.start()
    with pytest.raises(
        BundleError, match=r"must have at most \d+ bytes \(100 times its zip .*, but .* unpacks to more; do not trust"
    ):
        read_bundle(out)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_a_zip_bomb_that_lies_about_its_size_is_not_inflated(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model.zip")
    rewrite(out, lambda files: [*files, ("novelty.npz", bytes(50_000_000))])
    data = out.read_bytes()
    out.write_bytes(data.replace((50_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    with zipfile.ZipFile(out) as archive:
        assert archive.getinfo("novelty.npz").file_size == 1000
    tracemalloc.start()
    with pytest.raises(BundleError, match=r"is not a readable bundle|novelty\.npz is not the file"):
        read_bundle(out)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("name", [SPEC, "model.onnx"])
def test_a_zip_with_a_file_twice_is_refused(tmp_path: Path, name: str) -> None:
    out = make_bundle(tmp_path / "model.zip")
    rewrite(out, lambda files: [*files, *(item for item in files if item[0] == name)])
    with pytest.raises(BundleError, match=rf"must hold every file once, but .* holds {name} twice; fetch it again\.$"):
        read_bundle(out)


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\evil.txt", "sub/model.onnx", "./model.onnx"]
)
def test_names_that_leave_the_zip_are_never_read_or_written(tmp_path: Path, name: str) -> None:
    out = make_bundle(tmp_path / "a" / "model.zip")
    sha256 = read_bundle(out).sha256
    rewrite(out, lambda files: [*files, (name, b"evil")])
    assert read_bundle(out).sha256 == sha256
    assert sorted(child.name for child in tmp_path.rglob("*")) == ["a", "model.zip"]


def test_a_zip_whose_files_lie_in_a_folder_is_no_bundle(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model.zip")
    rewrite(out, lambda files: [(f"model/{name}", data) for name, data in files])
    with pytest.raises(BundleError, match=r"is not a bundle: it has no lungwise\.json"):
        read_bundle(out)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_another_compression_is_the_same_bundle(tmp_path: Path, method: int) -> None:
    out = make_full(tmp_path / "model.zip")
    sha256 = read_bundle(out).sha256
    rewrite(out, lambda files: files, method)
    assert read_bundle(out, "int8").sha256 == sha256


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model.zip")
    data = bytearray(out.read_bytes())
    start = data.index(b"PK\x01\x02")
    while start >= 0:  # the flag of every entry in the central directory
        data[start + 8] |= 1
        start = data.find(b"PK\x01\x02", start + 4)
    out.write_bytes(bytes(data))
    with pytest.raises(
        BundleError, match=r"is not a readable bundle \(.*(encrypted|password).*\); fetch or export it again\.$"
    ):
        read_bundle(out)


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_what_is_no_plain_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    out = make_bundle(tmp_path / "model")
    (out / "README.md").unlink()
    if kind == "fifo":
        os.mkfifo(out / "README.md")
    else:
        (out / "README.md").mkdir()
    with pytest.raises(BundleError, match=r"README\.md is not the file that was exported \(SHA-256 no such file\)"):
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
    monkeypatch.setattr(container, "MAX_BYTES", 1000)
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
