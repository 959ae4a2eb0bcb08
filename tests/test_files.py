"""Artefacts are whole or absent."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lungwise.errors import LungwiseError
from lungwise.files import sha256, write_json, write_text, write_whole


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "text.txt", "Röntgen")
    assert (tmp_path / "a" / "b" / "text.txt").read_bytes() == "Röntgen".encode()


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "text.txt", "x")
    assert names(tmp_path) == ["text.txt"]


def test_the_draft_has_the_suffix_of_the_file(tmp_path: Path) -> None:
    seen: list[Path] = []
    write_whole(tmp_path / "m.parquet", lambda draft: (seen.append(draft), draft.write_bytes(b"x")))
    assert seen[0].suffix == ".parquet"
    assert seen[0].parent == tmp_path


def test_a_failed_write_keeps_the_old_file_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    write_text(path, "old")

    def fail(draft: Path) -> None:
        draft.write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_whole(path, fail)
    assert (path.read_text(), names(tmp_path)) == ("old", ["text.txt"])


def test_an_interruption_leaves_no_draft(tmp_path: Path) -> None:
    def interrupt(draft: Path) -> None:
        draft.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "text.txt", interrupt)
    assert names(tmp_path) == []


def test_a_place_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LungwiseError, match=r"must be a directory, but a file is in its place; choose another --out\.$"):
        write_text(tmp_path / "file" / "text.txt", "x")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_is_no_number(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"p": value})
    assert names(tmp_path) == []


def test_json_ends_with_a_line_break(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": 1})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": 1\n}\n'


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
