"""Fifty clients at once: memory stays bounded, the refused are told when to come again, the answered do not wait for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from tests.conftest import Encode
from tests.service.test_process import address

CLIENTS, EACH, FILES = 50, 4, 4
LIMITS = {
    "QUEUE_LENGTH": "32",
    "MAX_FILES": "8",
    "DECODED_MB": "50",
    "INFLIGHT_MB": "200",
    "MAX_REQUEST_MB": "100",
    "SPOOL_MB": "0.5",
}


def memory(process: psutil.Process) -> int:
    """Resident bytes of the service, its decoders not counted: they have limits of their own."""
    return int(process.memory_info().rss)


@pytest.mark.slow
def test_fifty_clients(bundle: Path, tmp_path: Path, encode: Encode) -> None:
    picture = encode(np.random.default_rng(0).integers(0, 256, (1500, 1500), dtype=np.uint8))
    settings = {f"LUNGWISE_{name}": value for name, value in LIMITS.items()}
    environment = {**os.environ, **settings, "LUNGWISE_CACHE": str(tmp_path / "cache"), "LUNGWISE_REQUEST_SECONDS": "60"}
    command = [sys.executable, "-m", "lungwise", "serve", "--model", str(bundle), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as service:
        try:
            base, found, seconds, lock = address(service), Counter[int](), list[float](), threading.Lock()
            httpx.post(f"{base}/v1/predict", content=picture, headers={"content-type": "image/png"}, timeout=60)
            watched = psutil.Process(service.pid)
            before = peak = memory(watched)

            def client() -> None:
                with httpx.Client(base_url=base, timeout=90) as connection:
                    for _ in range(EACH):
                        began = time.monotonic()
                        reply = connection.post("/v1/predict", files=[("files", ("a.png", picture))] * FILES)
                        with lock:
                            found[reply.status_code] += 1
                            if reply.status_code == 200:
                                seconds.append(time.monotonic() - began)
                                assert [one["status"] for one in reply.json()["results"]] == ["ok"] * FILES
                            else:
                                assert int(reply.headers["retry-after"]) >= 1

            clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
            for one in clients:
                one.start()
            while any(one.is_alive() for one in clients):
                clients[0].join(0.05)
                peak = max(peak, memory(watched))
        finally:
            service.terminate()
            assert service.wait(30) == 0
    assert sum(found.values()) == CLIENTS * EACH
    assert set(found) <= {200, 429, 503}
    assert found[200] >= EACH
    assert found[429] + found[503] > 0  # fifty times four images do not fit into a queue of 32
    # 800 images of 2 MB were sent, 450 MB at one time; decoded they have 1.8 GB.
    assert peak - before < 300_000_000, f"{(peak - before) / 1e6:.0f} MB"
    assert np.percentile(seconds, 99) < 60
