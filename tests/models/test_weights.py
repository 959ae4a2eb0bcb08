from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lungwise.errors import WeightsError
from lungwise.models import weights
from lungwise.models.weights import fetch, fetch_from_hub

CONTENT = b"weights"
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A local server with one file, ``w.h5``, and an empty cache."""
    monkeypatch.setenv("LUNGWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "w.h5").write_bytes(CONTENT)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served")))
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/w.h5"


def test_file_is_fetched_once_and_then_kept(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    place = fetch(address(server), MD5, "go online")
    assert place.read_bytes() == CONTENT
    (tmp_path / "served" / "w.h5").unlink()
    assert fetch(address(server), MD5, "go online") == place


def test_file_with_another_checksum_is_refused_and_not_kept(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="must have the MD5 checksum"):
        fetch(address(server), "0" * 32, "go online")
    assert list((tmp_path / "cache").iterdir()) == []


def test_server_that_does_not_answer_gives_one_sentence(server: ThreadingHTTPServer) -> None:
    url = address(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError, match=r"must be downloaded once, but .* cannot be reached .*; set a path\.$"):
        fetch(url, MD5, "set a path")


NAME = "timm/coatnet_0_rw_224.sw_in1k"


@pytest.fixture
def hub(server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same server as a hub with one repository; returns its file."""
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    place = tmp_path / "served" / NAME / "resolve" / "main" / "model.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    return place


def test_hubs_file_is_fetched_once_for_each_revision(hub: Path, tmp_path: Path) -> None:
    place = fetch_from_hub(NAME)
    assert place == tmp_path / "cache" / NAME / "main" / "model.safetensors"
    assert place.read_bytes() == CONTENT
    hub.unlink()
    assert fetch_from_hub(f"{NAME}@main") == place
    with pytest.raises(WeightsError, match=r"resolve/v2/model\.safetensors cannot be reached \(HTTP Error 404"):
        fetch_from_hub(f"{NAME}@v2")


def test_no_network_gives_one_sentence_with_what_to_do(server: ThreadingHTTPServer, hub: Path) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError) as caught:
        fetch_from_hub(NAME)
    assert str(caught.value).startswith(
        f"model.safetensors must be downloaded once, but http://127.0.0.1:{server.server_address[1]}"
    )
    assert str(caught.value).endswith(
        "; go online, set model.weights to the path of a copy of that file, or start from random ones with model.weights=none."
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["timm/../etc", "timm/a/b", "other/model", "timm/a@../x", "timm/"])
def test_a_name_that_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(WeightsError, match=r"must be named timm/<model>\.<tag>\[@<revision>\], got '.*'; correct the name\."):
        fetch_from_hub(name)


def test_a_file_beyond_the_limit_is_refused_and_not_kept(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SIZE_LIMIT", 3)
    with pytest.raises(WeightsError, match=r"may have 3 bytes, but .* sends more; fetch it elsewhere\."):
        fetch_from_hub(NAME)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


class Odd(BaseHTTPRequestHandler):
    """Promises more than it sends, or sends elsewhere."""

    def do_GET(self) -> None:
        if self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(CONTENT)
        else:
            self.send_response(302)
            self.send_header("Location", "http://example.org/w.h5")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("short", r"cannot be reached \((it sent 7 of 100 bytes|IncompleteRead.*)\); x\."),
        ("moved", r"over https only, got http://example\.org/w\.h5; fetch the file elsewhere\."),
    ],
)
def test_a_server_that_breaks_off_or_sends_elsewhere(
    path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUNGWISE_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Odd) as odd:
        thread = threading.Thread(target=odd.serve_forever)
        thread.start()
        try:
            with pytest.raises(WeightsError, match=message):
                fetch(f"http://127.0.0.1:{odd.server_address[1]}/{path}", MD5, "x")
        finally:
            odd.shutdown()
            thread.join()
    assert list(tmp_path.iterdir()) == []
