from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lungwise.errors import WeightsError
from lungwise.models.weights import fetch

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
