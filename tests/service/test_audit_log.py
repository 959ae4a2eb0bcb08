"""The audit log: what it holds, who may read it, and when a service does not start without it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lungwise.errors import LungwiseError
from lungwise.inference.predictor import Predictor
from lungwise.service.app import create_app
from lungwise.service.audit_log import AuditLog, Entry
from lungwise.service.security import Identity
from lungwise.service.settings import Settings
from lungwise.service.tokens import fingerprint
from tests.service.conftest import Serve

ENTRY = Entry(Identity("address", "10.0.0.1"), "id", "GET", "/v1/model", 200, None, {}, 0, 0.0123)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]


def test_a_line_says_who_asked_what_and_what_came_out(serve: Serve, tmp_path: Path, png: bytes, predictor: Predictor) -> None:
    client = serve(logs=tmp_path / "logs", tokens=(fingerprint("secret"),))
    headers = {"authorization": "Bearer secret"}
    reply = client.post("/v1/predict?heatmaps=false", files=[("files", ("a", png)), ("files", ("b", b"x"))], headers=headers)
    client.post("/v1/workspaces/abc/close")
    client.get("/v1/workspaces/abc")
    client.request("BREW", "/secret/path")
    first, second, third, fourth = lines(tmp_path / "logs")
    assert set(first) == {"time", "who", "request", "method", "route", "status", "code", "model", "outcomes", "bytes_in", "ms"}
    assert (first["method"], first["route"], first["status"], first["code"]) == ("POST", "/v1/predict", 200, None)
    assert first["outcomes"] == {"ok": 1, "error": 1}
    assert first["request"] == reply.headers["x-request-id"]
    assert first["model"] == predictor.bundle.sha256
    assert first["bytes_in"] > len(png)
    assert first["ms"] > 0
    assert re.fullmatch(r"token-[0-9a-f]{20}", first["who"])
    assert re.fullmatch(r"address-[0-9a-f]{20}", second["who"])
    assert (second["route"], second["status"]) == ("/v1/workspaces/{workspace}/close", 204)
    assert (third["route"], third["status"], third["code"]) == ("/v1/workspaces/{workspace}", 401, "unauthorized")
    assert third["who"] == second["who"]
    assert (fourth["method"], fourth["route"]) == ("OTHER", "(none)")
    text = (tmp_path / "logs" / "audit.jsonl").read_text()
    for hidden in ("secret", fingerprint("secret"), "abc", "testclient", "heatmaps"):
        assert hidden not in text


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    made = AuditLog(Settings(logs=tmp_path / "logs"), "m")
    made.write(ENTRY)
    made.close()
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "logs").iterdir()} == {
        "audit.jsonl": 0o600,
        "audit.key": 0o600,
    }
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700


def test_a_client_has_the_same_word_as_long_as_the_key_is_the_same(tmp_path: Path) -> None:
    who = Identity("token", "x")
    first, again, other = (AuditLog(Settings(logs=tmp_path / name), "m") for name in ("a", "a", "b"))
    assert first.pseudonym(who) == again.pseudonym(who) != other.pseudonym(who)
    assert first.pseudonym(who) != first.pseudonym(Identity("oidc", "x"))


def test_the_time_is_that_of_the_clock(tmp_path: Path) -> None:
    made = AuditLog(Settings(logs=tmp_path), "m", now=lambda: 1_800_000_000.25)
    made.write(ENTRY)
    made.close()
    (line,) = lines(tmp_path)
    assert (line["time"], line["ms"]) == ("2027-01-15T08:00:00.250+00:00", 12.3)


def test_files_are_rotated_by_size_and_old_ones_go(tmp_path: Path) -> None:
    made = AuditLog(Settings(logs=tmp_path, log_mb=0.001, log_files=2), "m")
    for _ in range(40):
        made.write(ENTRY)
    made.close()
    found = sorted(tmp_path.glob("audit.jsonl*"))
    assert [path.name for path in found] == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    assert all(path.stat().st_size <= 1000 and path.stat().st_mode & 0o777 == 0o600 for path in found)


def test_a_folder_that_cannot_be_written_is_refused_at_start(tmp_path: Path, predictor: Predictor) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "logs"):
        with pytest.raises(LungwiseError, match=r"^The folder of the audit log must be writable, but .* is not \("):
            create_app(Settings(logs=folder, sandbox=False), predictor)


def test_a_key_that_others_may_read_or_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    AuditLog(Settings(logs=tmp_path), "m")
    key = tmp_path / "audit.key"
    key.chmod(0o644)
    with pytest.raises(LungwiseError, match=r"^Only its owner may read .*audit\.key, but its mode is 644; run chmod 600"):
        AuditLog(Settings(logs=tmp_path), "m")
    key.chmod(0o600)
    key.write_bytes(b"short")
    with pytest.raises(LungwiseError, match=r"audit\.key must have 32 bytes, it has 5; remove it to get a new one\.$"):
        AuditLog(Settings(logs=tmp_path), "m")


def test_a_log_that_fails_later_is_said_once_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = AuditLog(Settings(logs=tmp_path / "logs"), "m")
    for path in (tmp_path / "logs").iterdir():
        path.unlink()
    (tmp_path / "logs").rmdir()
    made.write(ENTRY)
    made.write(ENTRY)
    assert made.failures == 2
    assert [one.getMessage() for one in caplog.records] == ["the audit log cannot be written: FileNotFoundError"]


def test_without_a_folder_it_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    AuditLog(Settings(), "m").write(ENTRY)
    assert json.loads(capsys.readouterr().err)["route"] == "/v1/model"
