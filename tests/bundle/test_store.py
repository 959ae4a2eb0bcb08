"""A bundle is written whole and read verified."""

from __future__ import annotations

import hashlib
import json
import re
import tracemalloc
import zipfile
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from onnx import load_from_string

from lungwise.bundle.card import model_card
from lungwise.bundle.container import FILES, SPEC
from lungwise.bundle.store import read_bundle, verify_bundle, write_bundle
from lungwise.errors import BundleError
from tests.bundle_factory import make_bundle, make_cost, make_full, make_head, make_onnx, make_spec, youden

PLACES = ["model", "model.zip"]


@pytest.mark.parametrize("place", PLACES)
def test_what_is_written_is_read(tmp_path: Path, place: str) -> None:
    head, spec = make_head(), make_spec(decision=youden(0.3), synthetic=True)
    out = write_bundle(tmp_path / place, spec, make_onnx(head), head)
    bundle = read_bundle(out)
    assert bundle.spec.model_copy(update={"files": {}}) == spec
    assert bundle.onnx == make_onnx(head)
    for ours, theirs in zip(astuple(head), astuple(bundle.head), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_path_may_be_text(tmp_path: Path) -> None:
    assert read_bundle(str(make_bundle(tmp_path / "model"))).spec.name == "tiny"


def test_a_directory_holds_four_plain_files_and_nothing_else(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "a" / "model")
    assert sorted(file.name for file in out.iterdir()) == sorted([SPEC, *FILES])
    assert [file.name for file in out.parent.iterdir()] == ["model"]
    assert (out / "README.md").read_text() == model_card(make_spec())


def test_a_zip_holds_the_same_bytes_as_a_directory(tmp_path: Path) -> None:
    folder, file = make_bundle(tmp_path / "model"), make_bundle(tmp_path / "model.zip")
    with zipfile.ZipFile(file) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            child.name: child.read_bytes() for child in folder.iterdir()
        }
    assert read_bundle(folder).sha256 == read_bundle(file).sha256


def test_the_same_bundle_has_the_same_bytes(tmp_path: Path) -> None:
    first, second = make_bundle(tmp_path / "a.zip"), make_bundle(tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()


def test_the_bundle_is_named_by_the_hash_of_its_specification(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model")
    assert read_bundle(out).sha256 == hashlib.sha256((out / SPEC).read_bytes()).hexdigest()


def test_hashes_of_all_files_are_in_the_specification(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model")
    hashes = json.loads((out / SPEC).read_text())["files"]
    assert set(hashes) == {SPEC, *FILES}
    for name in FILES:
        assert hashes[name] == hashlib.sha256((out / name).read_bytes()).hexdigest()


def test_an_empty_directory_is_a_free_place(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert read_bundle(make_bundle(tmp_path / "model")).spec.name == "tiny"


@pytest.mark.parametrize("place", PLACES)
def test_another_bundle_is_not_replaced_unasked(tmp_path: Path, place: str) -> None:
    make_bundle(tmp_path / place)
    with pytest.raises(BundleError, match=r"holds another bundle; add --overwrite or choose another --out\.$"):
        make_bundle(tmp_path / place, name="new")
    assert read_bundle(tmp_path / place).spec.name == "tiny"


@pytest.mark.parametrize("place", PLACES)
def test_another_bundle_is_replaced_when_asked(tmp_path: Path, place: str) -> None:
    head = make_head()
    make_bundle(tmp_path / place)
    write_bundle(tmp_path / place, make_spec(name="new"), make_onnx(head), head, overwrite=True)
    assert read_bundle(tmp_path / place).spec.name == "new"
    assert [child.name for child in tmp_path.iterdir()] == [place]


def test_a_link_to_a_bundle_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    head = make_head()
    make_bundle(tmp_path / "old")
    (tmp_path / "model").symlink_to(tmp_path / "old")
    write_bundle(tmp_path / "model", make_spec(name="new"), make_onnx(head), head, overwrite=True)
    assert read_bundle(tmp_path / "model").spec.name == "new"
    assert read_bundle(tmp_path / "old").spec.name == "tiny"


def occupy(place: Path, what: str) -> None:
    if what == "file":
        place.write_text("my notes")
    elif what == "folder":
        place.mkdir()
        (place / "notes.txt").write_text("mine")
    elif what == "bundle with more":
        make_bundle(place)
        (place / "notes.txt").write_text("mine")
    else:
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr("photo.jpg", b"mine")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("what", ["file", "folder", "bundle with more", "zip of something else"])
def test_something_else_is_never_replaced(tmp_path: Path, what: str, overwrite: bool) -> None:
    place, head = tmp_path / "model", make_head()
    occupy(place, what)
    with pytest.raises(BundleError, match=r"holds something else; choose another --out\.$"):
        write_bundle(place, make_spec(), make_onnx(head), head, overwrite=overwrite)
    assert [child.name for child in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("place", [".", ".."])
def test_a_place_without_a_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    with pytest.raises(BundleError, match="A bundle needs a name of its own, but --out is"):
        make_bundle(Path(place))


def test_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"must be a directory or a zip file, but .*none does not exist; correct --model\.$"):
        read_bundle(tmp_path / "none")


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(
        BundleError, match=r"is not a bundle: it has no lungwise\.json; make one with lungwise export RUN --out"
    ):
        read_bundle(tmp_path)


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"no zip")
    with pytest.raises(
        BundleError, match=r"model\.zip is not a readable bundle \(File is not a zip file\); fetch or export it again\."
    ):
        read_bundle(tmp_path / "model.zip")


@pytest.mark.parametrize("place", PLACES)
def test_the_network_of_a_precision_is_read_and_the_others_are_not_held(tmp_path: Path, place: str) -> None:
    out = make_full(tmp_path / place)
    found = {precision: read_bundle(out, precision) for precision in ("fp32", "fp16", "int8")}
    assert [found[name].onnx for name in found] == [make_onnx(make_head(seed=seed)) for seed in range(3)]
    for precision, bundle in found.items():
        assert bundle.precision == precision
        assert bundle.spec.precisions == ("fp32", "fp16", "int8")
        assert bundle.extras == {"novelty.npz": b"reference"}
    assert read_bundle(out).onnx == found["fp32"].onnx
    assert verify_bundle(out) == found["fp32"].spec


@pytest.mark.parametrize("precision", ["int8", "fp64", "", "../fp16"])
def test_a_precision_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path, precision: str) -> None:
    out = make_bundle(tmp_path / "model")
    with pytest.raises(
        BundleError,
        match=rf"^The precision must be one that the bundle has \(fp32\), but .* was asked for "
        rf"'{re.escape(precision)}'; take one of these, or export with --variants\.$",
    ):
        read_bundle(out, precision)


def test_a_smaller_network_is_not_written_without_its_measurement(tmp_path: Path) -> None:
    head = make_head()
    with pytest.raises(BundleError, match=r"for model_int8\.onnx of .* lungwise\.json does not say what it costs; export it"):
        write_bundle(tmp_path / "a", make_spec(), make_onnx(head), head, extras={"model_int8.onnx": make_onnx(head)})
    with pytest.raises(BundleError, match=r"for model_fp16\.onnx of .* the file is not listed; export it with --variants\.$"):
        write_bundle(tmp_path / "a", make_spec(variants={"fp16": make_cost()}), make_onnx(head), head)
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_that_is_not_wanted_needs_no_memory(tmp_path: Path) -> None:
    head, cost = make_head(), {"fp16": make_cost()}
    large = load_from_string(make_onnx(head))
    large.metadata_props.add(key="more", value="x" * 30_000_000)
    for place in PLACES:
        extras = {"model_fp16.onnx": large.SerializeToString()}
        out = write_bundle(tmp_path / place, make_spec(variants=cost), make_onnx(head), head, extras=extras)
        if place == "model.zip":
            with zipfile.ZipFile(out, "w") as archive:  # not compressed: so much repetition would be taken for a zip bomb
                for file in (tmp_path / "model").iterdir():
                    archive.write(file, file.name)
        tracemalloc.start()
        read_bundle(out)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
        tracemalloc.stop()


def test_a_head_of_other_classes_is_refused(tmp_path: Path) -> None:
    head = make_head(classes=3)
    write_bundle(tmp_path / "model", make_spec(), make_onnx(head), head)
    with pytest.raises(BundleError, match=r"must have a column for each of \['normal', 'sick'\], not 3; export it again\.$"):
        read_bundle(tmp_path / "model")


def test_more_files_do_no_harm(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model")
    (out / ".gitattributes").write_text("*.onnx filter=lfs")
    assert read_bundle(out).spec.name == "tiny"
