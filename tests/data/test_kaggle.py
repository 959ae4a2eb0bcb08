"""Collections on Kaggle, from a stand-in for Kaggle on this machine that kagglehub itself talks to."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lungwise.data.sources import list_source
from lungwise.data.sources.kaggle import fetch, is_kaggle
from lungwise.errors import DataError, MissingExtraError

pytest.importorskip("kagglehub")


class Kaggle(ThreadingHTTPServer):
    """Answers GetDataset and DownloadDataset as Kaggle does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.archive = b""


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: Kaggle

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = self.path.rsplit("/", 1)[-1]
        self.server.calls.append((call, request))
        if self.server.status != 200:
            self.reply(
                json.dumps({"code": self.server.status, "message": "no"}).encode(), "application/json", self.server.status
            )
        elif call == "GetDataset":
            self.reply(json.dumps({"currentVersionNumber": 3}).encode(), "application/json")
        else:
            self.reply(self.server.archive, "application/zip")

    def reply(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    from kagglesdk import kaggle_env

    server = Kaggle()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, f"http://127.0.0.1:{server.server_port}")
    for name, value in {
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST", "KAGGLEHUB_CACHE": str(tmp_path / "cache"), "NO_PROXY": "127.0.0.1",
        "KAGGLE_CONFIG_DIR": str(tmp_path / "none"), "HOME": str(tmp_path),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "1 a.png positive cohen\n" if name.endswith("train.txt") else b"x")
    return buffer.getvalue()


def refusal(source: str) -> str:
    with pytest.raises(DataError) as caught:
        list_source(source)
    return str(caught.value)


def test_a_set_is_downloaded_once_and_then_a_folder(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.archive = archive("train.txt", "train/a.png")
    listing = list_source("kaggle:andyczhao/covidx-cxr2")
    assert (listing.kind, listing.root.is_relative_to(tmp_path / "cache")) == ("covidx", True)
    assert listing.rows.rows() == [("train/a.png", "positive", "1", "cohen", "train")]
    assert list_source(Path("kaggle:andyczhao/covidx-cxr2")).root == listing.root
    assert [call for call, _ in kaggle.calls] == ["GetDataset", "DownloadDataset", "GetDataset"]
    assert kaggle.calls[0][1] == {"ownerSlug": "andyczhao", "datasetSlug": "covidx-cxr2"}


def test_a_version_may_be_named(kaggle: Kaggle) -> None:
    kaggle.archive = archive("A/x.png")
    assert list_source("kaggle:owner/set/versions/2").rows["path"].to_list() == ["A/x.png"]
    assert [call for call, _ in kaggle.calls] == ["DownloadDataset"]
    assert kaggle.calls[0][1]["datasetVersionNumber"] in (2, "2")


@pytest.mark.parametrize(
    "handle", ["", "covidx", "a/b/c", "a/b/versions/x", "../x", "https://www.kaggle.com/datasets/a/b", "a /b"]
)
def test_a_name_of_another_form_is_refused(handle: str) -> None:
    assert refusal(f"kaggle:{handle}") == (
        f"A source on Kaggle must be kaggle:owner/dataset, got 'kaggle:{handle}'; copy the name from its address."
    )


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, "Kaggle has no data set owner/set; copy the name from its address."),
        (401, "Kaggle must know who asks for owner/set, but no valid token was sent (HTTP 401); set KAGGLE_API_TOKEN and "
         "accept the terms at https://www.kaggle.com/datasets/owner/set."),
        (403, "Kaggle must know who asks for owner/set, but no valid token was sent (HTTP 403); set KAGGLE_API_TOKEN and "
         "accept the terms at https://www.kaggle.com/datasets/owner/set."),
        (429, "Kaggle takes no more requests for owner/set now (HTTP 429); try again later."),
        (500, "Kaggle cannot give owner/set now (HTTP 500); try again later."),
    ],
)  # fmt: skip
def test_a_refusal_is_one_sentence(kaggle: Kaggle, status: int, sentence: str) -> None:
    kaggle.status = status
    assert refusal("kaggle:owner/set") == sentence


def test_no_network_is_one_sentence(kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch) -> None:
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, "http://127.0.0.1:9")
    assert refusal("kaggle:owner/set") == (
        "Kaggle must be reachable to fetch owner/set, but it is not (ConnectionError); check the network, or download it "
        "elsewhere and name its folder."
    )


def test_an_archive_that_is_none_is_one_sentence(kaggle: Kaggle) -> None:
    kaggle.archive = b"<html>"
    assert refusal("kaggle:owner/set").startswith("kaggle:owner/set cannot be fetched (Unsupported archive type.); ")


def test_broken_credentials_are_one_sentence(kaggle: Kaggle, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "kaggle.json").write_text("{")
    assert refusal("kaggle:owner/set").startswith("kaggle:owner/set cannot be fetched (Invalid Kaggle credentials file at ")


def test_without_kagglehub_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, *args: Any, **options: Any) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(MissingExtraError, match=r"needs 'kagglehub', which is not installed: pip install 'lungwise\[hub\]'\.$"):
        fetch("kaggle:owner/set")


def test_other_sources_are_not_of_kaggle() -> None:
    assert not is_kaggle("data/kaggle:x")
    assert not is_kaggle(Path("kaggle"))
