"""Settings from four places, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.errors import LungwiseError
from lungwise.service.settings import Settings, read_settings
from tools.settings_docs import PLACE, page


def test_the_command_line_wins_over_the_environment_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "service.toml"
    file.write_text('port = 1\nmax_files = 2\nhost = "localhost"\n')
    monkeypatch.setenv("LUNGWISE_PORT", "3")
    monkeypatch.setenv("LUNGWISE_MAX_FILES", "4")
    found = read_settings(file, port=5, model=None)
    assert (found.port, found.max_files, found.host, found.queue_length) == (5, 4, "localhost", 256)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", r"^'prot' is not a setting; the settings are: batch_wait_ms, connections, "),
        ("port = 70000", r"^The setting port: Input should be less than or equal to 65535; correct it\.$"),
        ("port =", r"^--config must be TOML, but .*service\.toml is not \("),
        (
            "max_files = 300",
            r"queue_length \(256\) must be at least max_files \(300\), or some requests never fit; correct it\.$",
        ),
        ("max_file_mb = 900", r"max_request_mb \(500\) must be at least max_file_mb \(900\), or the largest file never fits"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "service.toml"
    file.write_text(text)
    with pytest.raises(LungwiseError, match=said):
        read_settings(file)


def test_a_slip_in_the_environment_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGWISE_TOKEN", "x")
    with pytest.raises(LungwiseError, match=r"^LUNGWISE_TOKEN is not a setting; is LUNGWISE_TOKENS meant\?$"):
        read_settings()


def test_variables_of_other_parts_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGWISE_REALDATA", "/x")
    monkeypatch.setenv("LUNGWISE_ENGINE", "openvino")
    assert read_settings() == Settings()


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LungwiseError, match=r"^--config must be a file that can be read, but .*no\.toml is not: No such file"):
        read_settings(tmp_path / "no.toml")


def test_only_this_machine_is_listened_to_by_default() -> None:
    assert Settings().loopback
    assert not Settings(host="0.0.0.0").loopback


def test_the_page_of_settings_is_up_to_date() -> None:
    assert page() == PLACE.read_text(encoding="utf-8"), "run python tools/settings_docs.py"


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
