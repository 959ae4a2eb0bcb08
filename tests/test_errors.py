"""Errors are one sentence: the rule, what came, what to do."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import numpy as np
import pytest

from lungwise import errors
from lungwise.errors import LungwiseError, MissingExtraError, require, some, writing

SENTENCES = [
    (errno.ENOSPC, "There is no room left to write out; free some space or choose another --out."),
    (errno.EDQUOT, "There is no room left to write out; free some space or choose another --out."),
    (errno.EFBIG, "There is no room left to write out; free some space or choose another --out."),
    (errno.EACCES, "out must be writable, but it is read-only here; choose another --out."),
    (errno.EPERM, "out must be writable, but it is read-only here; choose another --out."),
    (errno.EROFS, "out must be writable, but it is read-only here; choose another --out."),
    (errno.ENOTDIR, "out must be a directory, but a file is in its place; choose another --out."),
    (errno.EEXIST, "out must be a directory, but a file is in its place; choose another --out."),
]


@pytest.mark.parametrize(("number", "sentence"), SENTENCES, ids=lambda value: errno.errorcode.get(value, ""))
def test_a_refused_write_is_one_sentence(number: int, sentence: str) -> None:
    with pytest.raises(LungwiseError) as caught, writing(Path("out")):
        raise OSError(number, "refused")
    assert str(caught.value) == sentence


def test_a_refused_write_names_the_file_that_the_system_names() -> None:
    with pytest.raises(LungwiseError, match=r"no room left to write out/pixels\.npy;"), writing(Path("out")):
        raise OSError(errno.ENOSPC, "full", "out/pixels.npy")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_an_array_that_finds_no_room_is_told_as_any_file(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with (
            pytest.raises(LungwiseError, match=r"^There is no room left to write .*a\.npy; free some"),
            writing(tmp_path / "a.npy"),
        ):
            np.save(tmp_path / "a.npy", np.zeros(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_unknown_refusal_is_left_as_it_is() -> None:
    with pytest.raises(OSError, match="bad disk"), writing(Path("out")):
        raise OSError(errno.EIO, "bad disk")


def test_other_errors_pass_through() -> None:
    with pytest.raises(errors.DataError, match="mine"), writing(Path("out")):
        raise errors.DataError("mine")


def test_require_gives_the_module() -> None:
    assert require("json", "train", "training").dumps([]) == "[]"


def test_require_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError) as caught:
        require("lungwise_absent", "dicom", "reading DICOM")
    assert str(caught.value) == (
        "reading DICOM needs 'lungwise_absent', which is not installed: pip install 'lungwise[dicom]'."
    )


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c"], "a, b and 1 more"), ([1, 2], "1, 2")]
)
def test_some_names_the_first_and_counts_the_rest(names: list[object], text: str) -> None:
    assert some(names, limit=2) == text


@pytest.mark.parametrize(
    "kind", ["DataError", "ImageError", "RecipeError", "RunError", "WeightsError", "BundleError", "MissingExtraError"]
)
def test_every_error_is_a_lungwise_error(kind: str) -> None:
    assert issubclass(getattr(errors, kind), LungwiseError)
