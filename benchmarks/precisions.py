"""Size and speed of a bundle's networks, float32 against its smaller ones in the same run.

    python benchmarks/precisions.py --model model/ [--turns 15]

Prints a line for each network: megabytes, milliseconds an image alone and in a batch of 16 (medians of turns taken in rotation,
so that a busy machine slows all of them alike), and the ratio to float32. Accuracy is not measured here: the bundle carries it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np

from lungwise.bundle.store import read_bundle
from lungwise.inference.onnx_engine import OnnxEngine


def main() -> None:
    """Load every network of the bundle and let them take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=0)
    wanted = parser.parse_args()
    first = read_bundle(wanted.model)
    networks = {name: read_bundle(wanted.model, name).onnx for name in first.spec.precisions}
    engines = {name: OnnxEngine(onnx, wanted.threads) for name, onnx in networks.items()}
    side, rng = first.spec.preprocess.size, np.random.default_rng(0)
    batches = {size: rng.uniform(-1, 1, (size, side, side, 1)).astype(np.float32) for size in (1, 16)}
    seconds: dict[tuple[str, int], list[float]] = {(name, size): [] for name in engines for size in batches}
    for turn in range(wanted.turns + 1):
        for size, batch in batches.items():
            for name, engine in engines.items():
                started = time.perf_counter()
                engine.run(batch)
                if turn:  # the first one warms up
                    seconds[name, size].append((time.perf_counter() - started) / size)
    typical = {key: 1000 * median(values) for key, values in seconds.items()}
    for name, onnx in networks.items():
        shown = [f"{name}: {len(onnx) / 1e6:.1f} MB ({len(onnx) / len(networks['fp32']):.2f})"]
        shown += [f"{typical[name, n]:.1f} ms an image in {n} ({typical[name, n] / typical['fp32', n]:.2f})" for n in batches]
        print(", ".join(shown))


if __name__ == "__main__":
    main()
