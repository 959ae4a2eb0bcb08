"""How fast the data room is: preparation, batches and memory, each as a ratio to peers on the same files in the same run.

    .venv/bin/python benchmarks/data.py [--images FOLDER] [--size 224] [--limit 400] [--only prepare|batches|memory]

FOLDER holds class folders of images; without it phantoms are drawn. Every figure is the median of several runs, in turn with
its peers, so that all see the same machine. A share below 1 breaks a budget that is a least value, one above 1 a largest value.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from PIL import Image

from lungwise.data.batches import TrainingBatches
from lungwise.data.decode import decode_all
from lungwise.data.phantoms import CLASSES, make_phantom
from lungwise.data.prepare import Request, prepare
from lungwise.data.store import PreparedData, open_data
from lungwise.imaging.preprocess import Preprocess, enough
from lungwise.imaging.read import SUFFIXES, read
from lungwise.recipe import Augment, load_recipe

RUNS = 5
LEAST = 400
PREPARE_SHARE, BATCH_RATE, GENERATOR_RATIO, STEP_SHARE = 0.8, 2000.0, 40.0, 0.05
AUGMENT = {"rotation": 10.0, "shift": 0.05, "zoom": 0.1, "shear": 0.05, "brightness": 0.1}


def line(name: str, value: str, budget: str = "") -> None:
    """One row of the output."""
    print(f"{name:<58} {value:>18}   {budget}", flush=True)


def medians(jobs: dict[str, Callable[[], int]], runs: int = RUNS) -> dict[str, float]:
    """Items a second of each job: all jobs in turn, several times, the median of each."""
    rates: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(runs + 1):
        for name, job in jobs.items():
            begin = time.perf_counter()
            items = job()
            if turn:  # the first turn fills the file cache
                rates[name].append(items / (time.perf_counter() - begin))
    return {name: statistics.median(found) for name, found in rates.items()}


def draw(folder: Path, per_class: int) -> Path:
    """Phantoms as JPEG files of 1,024 px and more, the size that hospitals' exports have."""
    for number, label in enumerate(CLASSES):
        place = folder / label
        place.mkdir(parents=True)
        for film in range(per_class):
            rng = np.random.default_rng([number, film])
            side = int(rng.integers(1024, 2049))
            pixels = cv2.resize(make_phantom(label, rng).pixels, (side, side), interpolation=cv2.INTER_CUBIC)
            noisy = np.clip(pixels + rng.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(place / f"phantom-{number}{film:04d}_1.jpg"), noisy, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return folder


def one_opencv(file: Path, size: int) -> None:
    """The peer: decode and shrink, nothing else."""
    cv2.resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), (size, size), interpolation=cv2.INTER_AREA)


def one_pillow(file: Path, size: int) -> None:
    """The peer, with Pillow's scaled JPEG decoding."""
    with Image.open(file) as image:
        image.draft("L", (2 * size, 2 * size))
        image.convert("L").resize((size, size), Image.Resampling.BOX, reducing_gap=2.0)


def preparation(files: list[Path], size: int) -> None:
    """Decode, shrink, hash and store on all cores, against decoders that only decode and shrink, on one."""
    spec = Preprocess(stored=size, size=size)
    paths = pl.Series([str(file) for file in files])
    cores = os.cpu_count() or 1

    def ours() -> int:
        with tempfile.TemporaryDirectory() as folder:
            decode_all(paths, lambda path: read(path, enough(spec)), spec, Path(folder))
        return len(files)

    def peer(one: Callable[[Path, int], None]) -> Callable[[], int]:
        def run() -> int:
            cv2.setNumThreads(1)
            for file in files:
                one(file, size)
            cv2.setNumThreads(cores)
            return len(files)

        return run

    rates = medians({"ours": ours, "OpenCV": peer(one_opencv), "Pillow": peer(one_pillow)})
    line("prepare: OpenCV, one core, decode and shrink only", f"{rates['OpenCV']:.0f} images/s")
    line("prepare: Pillow (scaled), one core, decode and shrink only", f"{rates['Pillow']:.0f} images/s")
    line(f"prepare: lungwise, {cores} cores, with hashes and store", f"{rates['ours']:.0f} images/s")
    share = rates["ours"] / (cores * max(rates["OpenCV"], rates["Pillow"]))
    line(
        "prepare: share of cores x fastest decoder", f"{share:.2f}", f"least {PREPARE_SHARE}: share {share / PREPARE_SHARE:.2f}"
    )


def on_one_core(job: Callable[[], int]) -> Callable[[], int]:
    """The same job, bound to one core."""

    def run() -> int:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        cv2.setNumThreads(1)
        try:
            return job()
        finally:
            os.sched_setaffinity(0, before)
            cv2.setNumThreads(len(before))

    return run


def epochs(batches: TrainingBatches, least: int) -> Callable[[], int]:
    """Whole epochs until at least so many images came."""

    def run() -> int:
        count = number = 0
        while count < least:
            count += sum(len(images) for images, _, _ in batches.epoch(number))
            number += 1
        return count

    return run


def batches_of(data: PreparedData, size: int, augment: Augment) -> TrainingBatches:
    """Training batches as a recipe would make them."""
    recipe = load_recipe("kaggle-cnn", [f"model.image_size={size}", "fit.batch_size=32"])
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"augment": augment})})
    return TrainingBatches(data.train, recipe, Preprocess(stored=data.spec.stored, size=size))


def generator(folder: Path, size: int, least: int, augment: bool) -> Callable[[], int]:
    """Keras' ImageDataGenerator on the files."""
    import tensorflow as tf

    changes = {"rotation_range": 10, "width_shift_range": 0.05, "height_shift_range": 0.05, "zoom_range": 0.1, "shear_range": 3}
    made = tf.keras.preprocessing.image.ImageDataGenerator(rescale=1 / 255, **(changes if augment else {}))
    flow = made.flow_from_directory(folder, (size, size), color_mode="grayscale", class_mode="sparse", batch_size=32, seed=0)

    def run() -> int:
        count = 0
        while count < least:
            count += len(next(flow)[0])
        return count

    return run


def tf_data(files: list[Path], size: int, least: int) -> Callable[[], int]:
    """tf.data: decode, shrink by area, batch, on one thread; no augmentation."""
    import tensorflow as tf

    def load(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(tf.io.read_file(path), channels=1, expand_animations=False)
        return tf.image.resize(image, (size, size), method="area") / 255.0

    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    names = tf.data.Dataset.from_tensor_slices([str(file) for file in files]).shuffle(len(files), seed=0).repeat()
    stream: Iterator[tf.Tensor] = iter(names.map(load, num_parallel_calls=1).batch(32).with_options(options))

    def run() -> int:
        count = 0
        while count < least:
            count += int(next(stream).shape[0])
        return count

    return run


def batching(folder: Path, files: list[Path], data: PreparedData, size: int) -> None:
    """Batches from the prepared set on one core, against what Keras and TensorFlow make of the files."""
    plain, changed = batches_of(data, size, Augment()), batches_of(data, size, Augment(**AUGMENT))
    jobs = {
        "plain": on_one_core(epochs(plain, 4000)),
        "changed": on_one_core(epochs(changed, 2000)),
        "generator": on_one_core(generator(folder, size, 96, augment=False)),
        "generator, changed": on_one_core(generator(folder, size, 96, augment=True)),
        "tf.data": on_one_core(tf_data(files, size, 96)),
    }
    rates = medians(jobs)
    for name, label in (("plain", ""), ("changed", ", augmented")):
        share = rates[name] / BATCH_RATE
        line(f"batches: lungwise, one core{label}", f"{rates[name]:.0f} images/s", f"least {BATCH_RATE:.0f}: share {share:.2f}")
    for name, ours in (("generator", "plain"), ("generator, changed", "changed"), ("tf.data", "plain")):
        ratio = rates[ours] / rates[name]
        budget = f"least {GENERATOR_RATIO:.0f}: share {ratio / GENERATOR_RATIO:.2f}" if "generator" in name else ""
        line(
            f"batches: {name} on the files, one core",
            f"{rates[name]:.0f} images/s",
            f"ours is {ratio:.0f} times as fast; {budget}",
        )
    step_share(changed, size)


def step_share(batches: TrainingBatches, size: int) -> None:
    """Time of making one augmented batch as a share of the training step it feeds."""
    import keras

    from lungwise.models.classifier import build_classifier

    recipe = load_recipe("coatnet-pico", [f"model.image_size={size - size % 32}"])
    model = build_classifier(recipe.model, 3)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    side = recipe.model.image_size
    images, y, _ = next(batches.epoch(0))
    images = images[:, :side, :side]
    y = np.zeros_like(y)

    def step() -> int:
        model.train_on_batch(images, y)
        return 1

    def batch() -> int:
        next(batches.epoch(0))
        return 1

    rates = medians({"step": step, "batch": batch})
    share = rates["step"] / rates["batch"]
    line(
        "batches: share of a step of coatnet-pico, batch 32",
        f"{share:.4f}",
        f"largest {STEP_SHARE}: share {share / STEP_SHARE:.2f}",
    )


def memory(size: int, rows: int) -> None:
    """Peak memory of reading batches from a synthetic data set of a million rows, in shards, on a sparse file."""
    from lungwise.data.manifest import SCHEMA, write_manifest
    from lungwise.data.pixels import shard_sizes
    from lungwise.files import write_json

    for number in (rows // 10, rows):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
            folder = Path(name)
            write_manifest(folder / "manifest.parquet", synthetic(number, SCHEMA))
            facts = {"preprocess": Preprocess(stored=size, size=size).model_dump(), "labels": ["normal", "pneumonia"]}
            write_json(folder / "dataset.json", facts | {"fingerprint": ""})
            for file, each in shard_sizes(number, size).items():
                with (folder / file).open("wb") as made:
                    np.lib.format.write_array_header_1_0(
                        made, {"descr": "|u1", "fortran_order": False, "shape": (each, size, size)}
                    )
                    made.truncate(made.tell() + each * size * size)  # sparse: zeros that take no room
            before = anonymous()
            data = open_data(folder)
            opened = peak = anonymous() - before
            for count, _ in enumerate(batches_of(data, size, Augment()).epoch(0)):
                peak = max(peak, anonymous() - before)
                if count == 200:
                    break
            files = len(shard_sizes(number, size))
            pixels = number * size * size / 1e9
            line(
                f"memory: {number:,} rows, {pixels:.0f} GB of pixels, {files} files",
                f"{peak:.0f} MB",
                f"of which the manifest takes {opened:.0f} MB; 200 batches were read",
            )


def synthetic(rows: int, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """A manifest of made-up rows, two films a patient."""
    number = pl.int_range(rows, eager=True)
    split = pl.Series(
        "split", np.where(np.arange(rows) % 10 == 0, "test", np.where(np.arange(rows) % 10 == 1, "validation", "train"))
    )
    text = pl.format("images/{}.png", number)
    table = pl.DataFrame({"number": number, "split": split}).with_columns(
        image=text, path=text, label=pl.when(pl.col("number") % 3 == 0).then(pl.lit("normal")).otherwise(pl.lit("pneumonia")),
        patient=pl.format("patient-{}", pl.col("number") // 2), source=pl.lit("made"), width=pl.lit(1024, pl.Int32),
        height=pl.lit(1024, pl.Int32), sha256=pl.col("number").cast(pl.String).str.zfill(64),
        phash=pl.col("number").cast(pl.String).str.zfill(16), view=pl.lit(""), status=pl.lit("ok"),
    )  # fmt: skip
    return table.select(list(schema))


def anonymous() -> float:
    """Memory of this process that is its own, in MB; pages of mapped files are the system's to drop."""
    fields = dict(part.split(":") for part in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["prepare", "batches", "memory"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        work = Path(name)
        if options.only != "memory":
            source = chosen(options.images, work / "files", options.limit) if options.images else draw(work / "files", 120)
            files = sorted(file for file in source.rglob("*") if file.is_file())
            megapixels = statistics.mean(np.prod(Image.open(file).size) for file in files) / 1e6
            line("files", f"{len(files)}", f"{megapixels:.2f} megapixels on average")
            if options.only != "batches":
                preparation(files, options.size)
            if options.only != "prepare":
                spec = Preprocess(stored=options.size, size=options.size)
                batching(source, files, prepare(source, work / "data", Request(spec)), options.size)
        if options.only in (None, "memory"):
            memory(options.size, options.rows)
    line("peak memory of this run", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def chosen(images: Path, folder: Path, limit: int) -> Path:
    """So many images of each class folder, as links, so that every peer sees the same files."""
    for place in sorted(path for path in images.iterdir() if path.is_dir()) or [images]:
        files = sorted(file for file in place.rglob("*") if file.suffix.lower() in SUFFIXES)
        (folder / place.name).mkdir(parents=True)
        taken = files[:: max(1, len(files) // limit)][:limit]
        for copy in range(-(-LEAST // max(1, len(taken)))):  # few files are repeated, so that a run takes seconds
            for file in taken:
                shutil.copy(file, folder / place.name / f"{copy}-{file.name}")
    return folder


if __name__ == "__main__":
    main()
