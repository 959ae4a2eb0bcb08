"""How fast a training step is: our networks beside timm's in the same run, and beside what matrix products alone would take.

    .venv/bin/python benchmarks/training.py --torch PYTHON [--model coatnet0] [--precision float32 mixed_bfloat16]

PYTHON is the interpreter of an environment with torch and timm. Every setting runs several times in a process of its own, all
settings in turn; figures are medians. The matrix limit is the rate at which a step's multiply-adds would be done by large
products of the same precision, measured in the same process.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

TIMM = {"coatnet0": "coatnet_0_224", "resnet50v2": "resnetv2_50"}
"""The peer of a network, where timm has one."""
TURNS = 3
HERE = Path(__file__).parent


def step(model: str, size: int, batch: int, precision: str, steps: int) -> None:
    """Time training steps of one of our networks and print a JSON line; runs in a process of its own."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    from lungwise.models.classifier import build_classifier
    from lungwise.recipe import load_recipe
    from lungwise.training.backend import one_operation_at_a_time
    from lungwise.training.optimise import loss, optimiser

    one_operation_at_a_time()
    recipe = load_recipe("coatnet-pico", [f"model.backbone={model}", f"model.image_size={size}", "data.balance=none"])
    keras.config.set_dtype_policy(precision)
    network = build_classifier(recipe.model, 3, pretrained=False)
    network.compile(optimiser(recipe.optimiser, network), loss(recipe, 3), jit_compile=False)
    images = np.random.default_rng(0).normal(size=(batch, size, size, 1)).astype(np.float32)
    labels, times = np.arange(batch) % 3, []
    for number in range(steps + 1):
        begin = time.perf_counter()
        network.train_on_batch(images, labels)
        if number:
            times.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # Backward takes twice what forward takes.
    limit = matrix_rate(precision) / (3 * multiply_adds(network))
    rate = batch / statistics.median(times)
    print(json.dumps({"rate": rate, "memory": peak, "share": rate / limit}))


def multiply_adds(network: Any) -> int:
    """Multiply-adds of one image in the convolutions, dense layers and attention of a Keras model."""
    from keras import Model, layers

    from lungwise.models.attention import RelativeAttention

    total = 0
    for layer in network.layers:
        if isinstance(layer, Model):
            total += multiply_adds(layer)
        elif isinstance(layer, RelativeAttention):
            tokens, dense = layer.rows * layer.columns, (layer.qkv.kernel, layer.project.kernel)
            total += tokens * sum(math.prod(kernel.shape) for kernel in dense) + 2 * tokens**2 * layer.inner
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
            places = math.prod(layer.output.shape[1:-1])
            total += places * math.prod(layer.kernel.shape)
    return total


def matrix_rate(precision: str) -> float:
    """Multiply-adds a second of large products on all cores."""
    import tensorflow as tf

    side, times = 3072, []
    one = tf.cast(tf.random.normal((side, side)), "bfloat16" if "bfloat16" in precision else "float32")
    for _ in range(7):
        begin = time.perf_counter()
        tf.matmul(one, one).numpy()
        times.append(time.perf_counter() - begin)
    return side**3 / statistics.median(times)


def measured(command: list[str]) -> dict[str, float]:
    """The JSON line that a process ends with."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    """Print one line a setting and the ratio to the fastest peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="coatnet0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--torch", help="interpreter of an environment with torch and timm")
    parser.add_argument("--precision", nargs="+", default=["float32", "mixed_bfloat16"])
    parser.add_argument("--one", action="store_true", help="time our network in this process")
    options = parser.parse_args()
    if options.one:
        step(options.model, options.size, options.batch, options.precision[0], options.steps)
        return
    shared = ["--size", str(options.size), "--batch", str(options.batch), "--steps", str(options.steps)]
    ours = [sys.executable, __file__, "--one", "--model", options.model, *shared]
    commands = {f"lungwise {precision}": [*ours, "--precision", precision] for precision in options.precision}
    if options.torch and options.model in TIMM:
        theirs = [options.torch, str(HERE / "peers" / "timm_step.py"), "--model", TIMM[options.model], *shared]
        commands |= {f"timm channels_last {kind}": [*theirs, "--precision", kind] for kind in ("float32", "bfloat16")}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(options.turns):
        for name, command in commands.items():
            runs[name].append(measured(command))
    report(options, runs)


def report(options: argparse.Namespace, runs: dict[str, list[dict[str, float]]]) -> None:
    """Print the medians and the ratios."""
    median = {name: {key: statistics.median(run[key] for run in found) for key in found[0]} for name, found in runs.items()}
    for name, found in median.items():
        share = f"   {found['share']:.2f} of the matrix limit" if "share" in found else ""
        setting = f"{options.model} {options.size}, batch {options.batch}: {name:<28}"
        print(f"{setting} {found['rate']:7.2f} images/s {found['memory']:7.0f} MB{share}")
    peers = {name: found for name, found in median.items() if name.startswith("timm")}
    if peers:
        best = max((found for name, found in median.items() if name not in peers), key=lambda found: found["rate"])
        fastest = max(peers.values(), key=lambda found: found["rate"])
        speed, room = best["rate"] / fastest["rate"], best["memory"] / fastest["memory"]
        print(f"ratio to timm's best: {speed:.2f} (least 1)   memory {room:.2f} (largest 1)")


if __name__ == "__main__":
    main()
