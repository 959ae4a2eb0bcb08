"""What the operating system refuses is one sentence too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lungwise.data.store import PreparedData
from tests.cli.test_main import lungwise


def test_place_that_cannot_exist_is_one_sentence(two_classes: Path, tmp_path: Path) -> None:
    said = lungwise("prepare", two_classes, "--out", tmp_path / ("x" * 300), "--size", 32, code=2).stderr
    assert said.startswith("Error: The operating system refused: File name too long")
    assert "Traceback" not in said


def test_heat_maps_into_a_file_are_refused(small_run: Path, small_data: PreparedData, tmp_path: Path) -> None:
    lungwise("export", small_run, "--out", tmp_path / "model")
    (tmp_path / "maps").write_text("")
    image = Path(small_data.facts["root"]) / small_data.manifest["path"][0]
    said = lungwise("predict", image, "--model", tmp_path / "model", "--heatmaps", tmp_path / "maps", code=2).stderr
    assert "must be a directory, but a file is in its place" in said


def test_part_that_is_not_installed_is_named_with_its_extra(
    two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imagehash", None)
    for name in ("lungwise.data.decode", "lungwise.data.prepare"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    said = lungwise("prepare", two_classes, "--out", tmp_path / "data", code=2).stderr
    assert said == "Error: This command needs 'imagehash', which is not installed: pip install 'lungwise[train]'.\n"
