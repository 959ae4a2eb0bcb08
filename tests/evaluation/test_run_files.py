"""Where the shortcut audit of a run's model is found, and when it is not taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lungwise.errors import RunError
from lungwise.evaluation.run_files import find_shortcuts, read_json, read_recipe

CHECK = {"name": "probe", "severity": "warning", "message": "Without lungs too."}
FOUND = {"model": "mine", "severity": "warning", "films": 40, "fingerprint": "f", "checks": [{**CHECK, "rows": []}]}
KEPT = {**FOUND, "checks": [CHECK]}


def write(folder: Path, **changes: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shortcuts.json").write_text(json.dumps({**FOUND, **changes}))


def test_in_the_run_directory_it_is_taken_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "mine", model="another")
    assert find_shortcuts(tmp_path / "mine", "mine", {}) == {**KEPT, "model": "another"}


@pytest.mark.parametrize("place", ["", "data"])
def test_elsewhere_it_must_be_of_this_model_and_these_data(tmp_path: Path, place: str) -> None:
    run, data = tmp_path / "mine", {"folder": str(tmp_path / "data"), "fingerprint": "f"}
    assert find_shortcuts(run, "mine", data) is None
    write(tmp_path / place)
    assert find_shortcuts(run, "mine", data) == KEPT
    assert find_shortcuts(run, "other", data) is None
    assert find_shortcuts(run, "mine", {**data, "fingerprint": "g"}) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"checks": [1]}', '{"checks": []}'])
def test_a_damaged_one_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "shortcuts.json").write_text(text)
    with pytest.raises(
        RunError, match=r"shortcuts\.json is damaged \(.*\); audit the model again: lungwise audit DATA --model"
    ):
        find_shortcuts(tmp_path, "mine", {})


@pytest.mark.parametrize(
    ("name", "contents", "why"),
    [
        ("recipe.toml", b"\xff\xfe", "'utf-8' codec can't decode byte 0xff"),
        ("recipe.toml", b"[model", "Expected ']'"),
        ("recipe.toml", b"", "it is empty"),
        ("data.json", b"\xaa{}", "'utf-8' codec can't decode byte 0xaa"),
        ("data.json", b"[1]", "cannot convert dictionary update sequence"),
        ("data.json", b"3", "'int' object is not iterable"),
        ("data.json", b"{}", "it lacks 'fingerprint'"),
        ("data.json", b'{"fingerprint": "f"', "Expecting ',' delimiter"),
    ],
)
def test_a_damaged_file_of_a_run_is_one_sentence(tmp_path: Path, name: str, contents: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(RunError) as caught:
        read_recipe(tmp_path) if name == "recipe.toml" else read_json(tmp_path, name, ("fingerprint",))
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / name} is damaged ({why}")
    assert said.endswith("); train again into another directory.")


def test_each_line_of_a_history_is_one_object(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    assert read_json(tmp_path, "history.jsonl", ("epoch",)) == [{"epoch": 1}, {"epoch": 2}]
    with pytest.raises(RunError, match=r"history\.jsonl is damaged \(it lacks 'loss'\)"):
        read_json(tmp_path, "history.jsonl", ("epoch", "loss"))
