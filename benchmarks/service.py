"""How many images a second the service answers for eight clients, beside the bare network and beside prediction from files.

    .venv/bin/python benchmarks/service.py MODEL FOLDER [--clients 8] [--images 200] [--turns 5] [--json FILE]

MODEL is a bundle, FOLDER holds images. Every turn measures all ways one after the other; figures are medians over turns. The
clients run on the same machine and cost their share of it. Budget: at least 0.9 of the bare network, decoding included.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from lungwise.imaging.preprocess import to_square
from lungwise.imaging.read import read
from lungwise.inference.inputs import find_images
from lungwise.inference.predictor import Predictor, load

BUDGET = 0.9
BATCH = 16


@contextmanager
def service(model: Path, *, sandbox: bool) -> Iterator[tuple[str, int]]:
    """A running service: host and port."""
    said = {"LUNGWISE_SANDBOX": str(sandbox).lower(), "LUNGWISE_RATE_PER_MINUTE": "1e9", "LUNGWISE_RATE_BURST": "1000000"}
    command = [sys.executable, "-m", "lungwise", "serve", "--model", str(model), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | said
    ) as process:
        found = re.search(r"http://\S+", process.stdout.readline() if process.stdout else "")
        if not found:
            raise SystemExit("the service did not start")
        place = urlsplit(found[0])
        try:
            yield str(place.hostname), int(place.port or 0)
        finally:
            process.terminate()


def over_http(place: tuple[str, int], files: list[bytes], clients: int) -> None:
    """All files, one a request, by so many clients at once."""
    waiting, lock = iter(files), threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection(*place)
        while True:
            with lock:
                data = next(waiting, None)
            if data is None:
                connection.close()
                return
            connection.request("POST", "/v1/predict", data, {"Content-Type": "application/octet-stream"})
            reply = connection.getresponse()
            (result,) = json.loads(reply.read())["results"]
            if result["status"] == "error":
                raise SystemExit(result["reasons"])

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def rate(work: Callable[[], object], number: int) -> float:
    """Images a second."""
    began = time.perf_counter()
    work()
    return number / (time.perf_counter() - began)


def measure(model: Path, folder: Path, clients: int, number: int, turns: int) -> dict[str, float]:
    """Way to images a second, the median over turns."""
    paths = find_images([folder])
    paths = (paths * (number // len(paths) + 1))[:number]
    files = [path.read_bytes() for path in paths]
    predictor: Predictor = load(model)
    predictor.settle()
    spec = predictor.spec.preprocess
    squares = np.stack([to_square(read(path), spec) for path in paths[:BATCH]])
    found: dict[str, list[float]] = {}
    with ExitStack() as running:
        guarded, plain = (running.enter_context(service(model, sandbox=sandbox)) for sandbox in (True, False))
        ways: dict[str, Callable[[], object]] = {
            "network": lambda: [predictor.probabilities(squares) for _ in range(number // BATCH)],
            "files": lambda: predictor.predict_all(paths),
            "http": lambda: over_http(guarded, files, clients),
            "http, no sandbox": lambda: over_http(plain, files, clients),
        }
        for turn in range(turns + 1):
            for way, work in ways.items():
                speed = rate(work, number // BATCH * BATCH if way == "network" else number)
                if turn:  # the first is for warming up
                    found.setdefault(way, []).append(speed)
    return {way: statistics.median(speeds) for way, speeds in found.items()}


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("model", type=Path)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--clients", type=int, default=8)
    asked.add_argument("--images", type=int, default=200)
    asked.add_argument("--turns", type=int, default=5)
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    found = measure(given.model, given.folder, given.clients, given.images, given.turns)
    for way, speed in found.items():
        beside = [f"{speed / found[other]:.2f} of {other}" for other in ("network", "files")]
        print(f"{way:18} {speed:8.1f} images/s   {'   '.join(beside)}")
    print(f"budget: http at least {BUDGET} of the network")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
