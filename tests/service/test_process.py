"""``lungwise serve`` as a process: started, asked, stopped while it works."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest


@pytest.fixture
def process(bundle: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "lungwise", "serve", "--model", str(bundle), "--port", "0"]
    with (tmp_path / "errors.txt").open("w") as errors:
        # A cache of its own: the first start measures which engine is fastest.
        environment = {**os.environ, "LUNGWISE_CACHE": str(tmp_path / "cache")}
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        if started.stdout:
            started.stdout.close()


def address(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout else ""
    found = re.fullmatch(r"Lungwise answers at (http://127\.0\.0\.1:\d+) \(Ctrl-C stops it\)\. Research use only.*\n", line)
    assert found, line
    return found[1]


@pytest.mark.slow
def test_it_answers_and_stops_in_order_under_load(process: subprocess.Popen[str], png: bytes, tmp_path: Path) -> None:
    base = address(process)
    assert httpx.get(f"{base}/v2/health/ready", timeout=30).json() == {"ready": True}
    found: list[int | str] = []
    working = threading.Semaphore(0)

    def client() -> None:
        with httpx.Client(base_url=base, timeout=30) as connection:
            while True:
                try:
                    reply = connection.post("/v1/predict", files=[("files", ("secret-name.png", png))] * 8)
                except httpx.TransportError as error:
                    found.append(type(error).__name__)
                    return
                found.append(reply.status_code)
                working.release()
                if reply.status_code != 200:
                    return

    clients = [threading.Thread(target=client) for _ in range(8)]
    for one in clients:
        one.start()
    for _ in range(16):
        assert working.acquire(timeout=60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    for one in clients:
        one.join(30)
    # Whoever was being answered got the answer; the rest was told, or found the door closed.
    assert {status for status in found if isinstance(status, int)} <= {200, 503}
    assert {error for error in found if isinstance(error, str)} <= {
        "ConnectError",
        "RemoteProtocolError",
        "ReadError",
        "WriteError",
    }
    said = (tmp_path / "errors.txt").read_text()
    assert "Traceback" not in said
    assert "secret-name" not in said
