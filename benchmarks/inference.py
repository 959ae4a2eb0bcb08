"""How fast a bundle answers: beside the bare engines, beside Keras, and beside timm's best setting in the same run.

    .venv/bin/python benchmarks/inference.py --work FOLDER [--torch PYTHON] [--model coatnet0 coatnet-lite] [--json FILE]

Networks have random weights; their bundles are made in FOLDER at the first run. PYTHON is the interpreter of an environment
with torch and timm. Each library runs in a process of its own, and all take turns; figures are medians over turns of medians in
one turn. "image" asks a predictor about a grey film of 303 x 357 pixels in memory, "square" about prepared pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
TIMM = {"coatnet0": ("coatnet_0_224", 224)}
"""The peer of a network, where timm has one."""
BATCHES = (1, 16)
BUDGETS = {"image": 1.1, "heat map": 1.05, "start": 1.5, "memory": 400.0}
SEED, BLOCKS = 7, 3
Found = dict[str, Any]


def make(model: str, folder: Path) -> Path:
    """The bundle of a network with random weights, in one of the shipped recipes' shapes."""
    place = folder / model
    if place.exists():
        return place
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    from lungwise.bundle.export import to_onnx
    from lungwise.bundle.head import head_of
    from lungwise.bundle.spec import BundleSpec, DecisionSpec
    from lungwise.bundle.store import write_bundle
    from lungwise.imaging.preprocess import Preprocess
    from lungwise.models.classifier import build_classifier, with_features

    recipe = recipe_of(model)
    keras.utils.set_random_seed(SEED)
    network = build_classifier(recipe.model, 3, pretrained=False)
    size = recipe.model.image_size
    spec = BundleSpec(
        name=model,
        labels=("COVID-19", "normal", "pneumonia"),
        preprocess=Preprocess(stored=size, size=size),
        decision=DecisionSpec(rule="argmax", positive=-1, threshold=0.5, fitted_on=""),
        head=recipe.model.head.pool,
        synthetic=True,
    )
    return write_bundle(place, spec, to_onnx(with_features(network), model), head_of(network))


def recipe_of(model: str) -> Any:
    """The recipe with this backbone."""
    from lungwise.recipe import load_recipe

    return load_recipe(model)


# In processes of their own: each prints a JSON line


def engines(place: Path, seconds: float) -> Found:
    """The bare engines, ours, and whole answers; all in turns within this process."""
    import onnxruntime
    import openvino

    from lungwise.bundle.store import read_bundle
    from lungwise.inference.engines import installed, open_engine

    bundle = read_bundle(place)
    side = bundle.spec.preprocess.size
    session = onnxruntime.InferenceSession(bundle.onnx, providers=["CPUExecutionProvider"])
    calls: dict[str, Callable[[Any], Any]] = {"raw onnxruntime": lambda images: session.run(["logits"], {"image": images})}
    core = openvino.Core()
    for hint in ("f32", "bf16"):
        compiled = core.compile_model(core.read_model(bundle.onnx), "CPU", {"INFERENCE_PRECISION_HINT": hint})
        calls[f"raw openvino {hint}"] = compiled
    for name in installed():
        calls[f"lungwise {name}"] = partial(open_engine(bundle.onnx, name).run, wanted=())
    found: Found = {}
    for batch in BATCHES:
        images = np.random.default_rng(SEED).uniform(-1, 1, (batch, side, side, 1)).astype(np.float32)
        found |= {
            f"{name}, {batch}": value
            for name, value in timed({key: (call, images) for key, call in calls.items()}, seconds).items()
        }
    return found


def answers(place: Path, seconds: float) -> Found:
    """What a predictor adds to its engine, and a heat map to the predictor, with each engine that keeps float32."""
    from lungwise.bundle.store import read_bundle
    from lungwise.data.phantoms import make_phantom
    from lungwise.imaging.preprocess import preprocess
    from lungwise.imaging.radiograph import Radiograph
    from lungwise.inference.engines import open_engine
    from lungwise.inference.predictor import Predictor

    bundle, found = read_bundle(place), {}
    spec = bundle.spec.preprocess
    pixels = np.ascontiguousarray(make_phantom("normal", np.random.default_rng(SEED)).pixels)
    one = preprocess(Radiograph(pixels), spec)[None]
    squares = np.random.default_rng(SEED).integers(0, 256, (16, spec.stored, spec.stored), dtype=np.uint8)
    for name in ("onnxruntime", "openvino"):
        predictor, engine = Predictor(bundle, engine=name), open_engine(bundle.onnx, name)
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "map.png"
            calls: dict[str, tuple[Callable[[Any], Any], Any]] = {
                f"{name} call": (partial(engine.run, wanted=()), one),
                f"{name} image": (predictor.predict, pixels),
                f"{name} image and picture": (partial(predictor.predict, heatmap=picture), pixels),
            }
            for batch in BATCHES:
                asked = squares[:batch]
                calls[f"{name} square, {batch}"] = (predictor.probabilities, asked)
                calls[f"{name} heat map, {batch}"] = (partial(predictor.heat_maps, columns=[0] * batch), asked)
            found |= timed(calls, seconds)
    return found


def keras_peer(model: str, seconds: float) -> Found:
    """Keras' own ways to ask the same network."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    from lungwise.models.classifier import build_classifier

    recipe, found = recipe_of(model), Found()
    network = build_classifier(recipe.model, 3, pretrained=False)
    plain = tf.function(lambda images: network(images, training=False), reduce_retracing=True)
    fused = tf.function(lambda images: network(images, training=False), jit_compile=True)
    calls: dict[str, Callable[[Any], Any]] = {
        "keras predict": lambda images: network.predict(images, verbose=0),
        "keras predict_on_batch": network.predict_on_batch,
        "keras tf.function": lambda images: plain(tf.constant(images)).numpy(),
        "keras tf.function XLA": lambda images: fused(tf.constant(images)).numpy(),
    }
    for batch in BATCHES:
        size = recipe.model.image_size
        images = np.random.default_rng(SEED).uniform(-1, 1, (batch, size, size, 1)).astype(np.float32)
        found |= {
            f"{name}, {batch}": value
            for name, value in timed({key: (call, images) for key, call in calls.items()}, seconds).items()
        }
    return found


def timed(calls: Mapping[str, tuple[Callable[[Any], Any], Any]], seconds: float) -> dict[str, float]:
    """Median seconds an image. Calls take turns by blocks: threads of an engine look for work a while after its last call."""
    for call, asked in calls.values():
        call(asked)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(BLOCKS):
        for name, (call, asked) in calls.items():
            call(asked)
            until = time.perf_counter() + seconds / BLOCKS
            while not times[name] or time.perf_counter() < until:
                begin = time.perf_counter()
                call(asked)
                times[name].append(time.perf_counter() - begin)
    # A film is one image, whatever its shape; batches and squares have a first axis.
    numbers = {name: len(asked) if asked.ndim > 2 else 1 for name, (_, asked) in calls.items()}
    return {name: statistics.median(found) / numbers[name] for name, found in times.items()}


def start(place: Path, folder: Path, turns: int) -> Found:
    """Seconds and MB of ``lungwise predict`` for one image, each time in a new process."""
    from lungwise.data.phantoms import make_phantom
    from lungwise.imaging.png import write_png

    image = folder / "one.png"
    write_png(image, make_phantom("normal", np.random.default_rng(SEED)).pixels)
    command, times = [sys.executable, "-m", "lungwise", "predict", str(image), "--model", str(place)], []
    for _ in range(turns + 1):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return {"start": statistics.median(times[1:]), "memory": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}


# The whole


def gathered(options: argparse.Namespace, model: str) -> Found:
    """Medians over the turns."""
    own = [sys.executable, __file__, "--work", str(options.work), "--seconds", str(options.seconds), "--model", model]
    commands = {part: [*own, "--one", part] for part in ("engines", "answers", "keras") if part in options.parts}
    if options.torch and model in TIMM and "timm" in options.parts:
        name, size = TIMM[model]
        peer = [options.torch, str(HERE / "peers" / "timm_answer.py"), "--model", name, "--size", str(size)]
        commands["timm"] = [*peer, "--seconds", str(options.seconds)]
    runs: dict[str, list[Any]] = {}
    for _ in range(options.turns):
        for command in commands.values():
            for name, value in last_line(command).items():
                runs.setdefault(name, []).append(value)
    found = {name: values[0] if isinstance(values[0], str) else statistics.median(values) for name, values in runs.items()}
    if "start" in options.parts:
        found |= last_line([*own, "--one", "start", "--turns", str(options.turns)])
    return found


def last_line(command: Sequence[str]) -> Found:
    """The JSON line that a process ends with."""
    # PyTorch takes fresh pages from the system at each pass unless the allocator keeps them; the peer's best setting counts.
    keep = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(keep if "timm" in command[1] else {})})
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def report(model: str, found: Found) -> Found:
    """Print figures and ratios; return the ratios."""
    for name, value in found.items():
        unit = "s" if name == "start" else "MB"
        said = (
            value
            if isinstance(value, str)
            else f"{value:9.2f} {unit}"
            if name in ("start", "memory")
            else f"{1000 * value:9.2f} ms/image"
        )
        print(f"{model}: {name:<34} {said}")
    ratios = dict(ratios_of(found))
    for name, value in ratios.items():
        print(f"{model}: {name:<60} {value:6.2f}")
    return ratios


def ratios_of(found: Found) -> Iterator[tuple[str, float]]:
    """Pairs of a name and a ratio."""

    def best(start: str, batch: int, half: bool | None) -> float | None:
        """The quickest of the settings in bfloat16, of those that are not, or of all."""
        fitting = {name: value for name, value in found.items() if name.startswith(start) and name.endswith(f", {batch}")}
        wanted = [value for name, value in fitting.items() if half is None or ("bf16" in name) == half]
        return min((value for value in wanted if not isinstance(value, str)), default=None)

    for batch in BATCHES:
        for peer, said in (("keras predict,", "Keras predict"), ("keras", "Keras' best"), ("timm", "timm's best")):
            for half, kind in ((False, "float32"), (True, "bfloat16"), (None, "any precision / our float32")):
                ours, theirs = best("lungwise", batch, bool(half)), best(peer, batch, half)
                if ours and theirs and not (half is None and peer != "timm"):
                    yield (
                        f"batch {batch}: {said}, {kind} / ours (least 1)".replace(" / our float32 / ours", " / our float32"),
                        theirs / ours,
                    )
        for name, raw in (("onnxruntime", "onnxruntime"), ("openvino", "openvino f32"), ("openvino-bf16", "openvino bf16")):
            if f"lungwise {name}, {batch}" in found:
                yield (
                    f"batch {batch}: our {name} / raw call (most 1.1)",
                    found[f"lungwise {name}, {batch}"] / found[f"raw {raw}, {batch}"],
                )
    for name in ("onnxruntime", "openvino"):
        if f"{name} image" in found:
            yield f"{name}: one image / call (most {BUDGETS['image']})", found[f"{name} image"] / found[f"{name} call"]
            yield f"{name}: image and written picture / image", found[f"{name} image and picture"] / found[f"{name} image"]
            for batch in BATCHES:
                share = found[f"{name} heat map, {batch}"] / found[f"{name} square, {batch}"]
                yield f"{name}: heat map / without, batch {batch} (most {BUDGETS['heat map']})", share
    for name in ("start", "memory"):
        if name in found:
            yield f"lungwise predict, {name} / limit (most 1)", found[name] / BUDGETS[name]


def main() -> None:
    """Print the figures of each network, and write them down where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the bundles that are measured")
    parser.add_argument("--model", nargs="+", default=["coatnet0", "coatnet-lite", "coatnet-pico"])
    parser.add_argument("--torch", help="interpreter of an environment with torch and timm")
    parser.add_argument("--parts", nargs="+", default=["engines", "answers", "keras", "timm", "start"])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of measuring for one setting in one turn")
    parser.add_argument("--json", type=Path, help="a file for figures and ratios; parts measured before are kept")
    parser.add_argument("--one", help="measure this part in this process")
    options = parser.parse_args()
    if options.one:
        model, seconds = options.model[0], options.seconds
        place = options.work / model
        parts = {
            "make": lambda: {"made": str(make(model, options.work))},
            "engines": lambda: engines(place, seconds),
            "answers": lambda: answers(place, seconds),
            "keras": lambda: keras_peer(model, seconds),
            "start": lambda: start(place, options.work, options.turns),
        }
        print(json.dumps(parts[options.one]()))
        return
    known: Found = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for model in options.model:
        last_line([sys.executable, __file__, "--work", str(options.work), "--model", model, "--one", "make"])
        found = {**known.get(model, {}).get("figures", {}), **gathered(options, model)}
        known[model] = {"figures": found, "ratios": report(model, found)}
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps({**known, "environment": environment()}, indent=1) + "\n")


def environment() -> Found:
    """Versions and the machine."""
    from importlib.metadata import version

    import lungwise
    from lungwise.inference.cores import usable_cores
    from lungwise.inference.remembered import machine

    names = ("onnxruntime", "openvino", "keras", "tensorflow-cpu", "numpy")
    found = {"lungwise": lungwise.__version__, **{name: version(name) for name in names}}
    return {"cores": usable_cores(), "processor": machine().partition(" fpu")[0], **found}


if __name__ == "__main__":
    main()
