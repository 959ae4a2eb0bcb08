"""What training a head costs: epochs on a frozen backbone as a ratio to one pass over the same images, in the same run.

    .venv/bin/python benchmarks/frozen.py [--data DATA] [--images 1200] [--size 224] [--backbone resnet50v2] [--epochs 12]

DATA is a prepared data set; without it phantoms are drawn. The pass is the whole model's prediction of every image. Training is
all that ``lungwise train`` does: embeddings, epochs with validation and checkpoints, predictions. A ratio above 1.3 breaks the
budget of the design.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from lungwise.cli.quiet import import_keras
from lungwise.data.phantoms import CLASSES, write_phantoms
from lungwise.data.prepare import Request, prepare
from lungwise.data.store import PreparedData, open_data
from lungwise.imaging.preprocess import Preprocess
from lungwise.recipe import Recipe, load_recipe

BUDGET = 1.3


def draw(folder: Path, images: int, size: int) -> PreparedData:
    """A prepared data set of phantoms."""
    source = write_phantoms(folder / "phantoms", images // len(CLASSES))
    return prepare(source, folder / "data", Request(Preprocess(stored=size, size=size)))


def one_pass(data: PreparedData, recipe: Recipe, folder: Path) -> float:
    """Seconds that the whole model takes to predict every image."""
    from lungwise.training.fit import build
    from lungwise.training.predict import predict_logits
    from lungwise.training.run import start_run

    run = start_run(folder, recipe, data)
    model, spec, part = build(run), Preprocess(**run.data["preprocess"]), data.part("train", "validation", "test")
    predict_logits(model, data.validation, spec)  # compiles
    begin = time.perf_counter()
    predict_logits(model, part, spec)
    return time.perf_counter() - begin


def training(data: PreparedData, recipe: Recipe, folder: Path) -> float:
    """Seconds of a whole training."""
    from lungwise.training.fit import train

    begin = time.perf_counter()
    train(data, recipe, folder)
    return time.perf_counter() - begin


def main() -> None:
    """Print both times and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--backbone", default="resnet50v2")
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    changes = {
        "backbone": options.backbone, "image_size": options.size, "frozen": "true", "weights": "none", "channels": 3,
        "standardise": "true", "drop_path": 0,
    }  # fmt: skip
    recipe = load_recipe(
        "quick",
        [*(f"model.{key}={value}" for key, value in changes.items()), f"fit.epochs={options.epochs}", "data.augment={}"],
    )
    import_keras("the benchmark")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = open_data(options.data) if options.data else draw(folder, options.images, options.size)
        number = len(data.part("train", "validation", "test"))
        passes = [one_pass(data, recipe, folder / "pass-before")]
        took = training(data, recipe, folder / "run")
        passes.append(one_pass(data, recipe, folder / "pass-after"))
    alone = sum(passes) / len(passes)
    print(f"{number} images of {options.size} px through {options.backbone}: {alone:.1f} s ({passes[0]:.1f}, {passes[1]:.1f})")
    print(f"training the head for {options.epochs} epochs: {took:.1f} s")
    print(f"ratio {took / alone:.2f}, budget {BUDGET}")


if __name__ == "__main__":
    main()
