"""Frozen backbones: every image goes through the backbone once, and the head learns from what came out.

What is kept is the layer "embedding" (the pooled or flattened last feature map), float32, in chunks beside the run. All that
decides its values is part of the chunks' names, so a resumed run takes up what fits and never what does not.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np
from numpy.typing import NDArray

from lungwise.data.augment import augment
from lungwise.data.batches import MEMORY_BYTES, TrainingBatches, check_size, load_squares
from lungwise.data.store import PreparedData, Subset
from lungwise.errors import RunError, TrainingStoppedError
from lungwise.files import write_whole
from lungwise.imaging.preprocess import Preprocess, scale
from lungwise.models.classifier import backbone_of
from lungwise.recipe import Augment, Recipe
from lungwise.training.run import Run

CHUNK = 256
"""Images of one file: what a killed process loses at most."""
SHARED = ".features"
"""A folder of this name beside the run is used in place of its own; runs on the same pixels then share the work."""
_BATCH = 64
Array = NDArray[np.float32]
Told = Callable[[int, int], None]


@runtime_checkable
class FeatureWatcher(Protocol):
    """A watcher that also wants to hear how the pass over the images goes."""

    def computed(self, done: int, total: int) -> None:
        """So many inputs of so many went through the backbone."""


@dataclass(frozen=True)
class Stored:
    """Embeddings of some images.

    Args:
        rows: int64 [n], their row numbers in the manifest, ascending.
        chunks: float32 [m, variants, width] each, memory-mapped; all but the last have as many rows as the first.
    """

    rows: NDArray[np.int64]
    chunks: list[Array]

    @property
    def variants(self) -> int:
        """Embeddings of each image."""
        return int(self.chunks[0].shape[1])

    def take(self, rows: NDArray[np.int64], variant: NDArray[np.int64] | int = 0) -> Array:
        """The embeddings of manifest rows that are stored: float32 [rows, width].

        Args:
            rows: int64 [n], in any order, repetitions allowed.
            variant: which one of each, int64 [n] or the same for all.
        """
        place = np.searchsorted(self.rows, rows)
        variant = np.broadcast_to(np.asarray(variant), place.shape)
        each = len(self.chunks[0])
        found = np.empty((len(place), self.chunks[0].shape[2]), np.float32)
        for number in np.unique(place // each):
            here = np.flatnonzero(place // each == number)
            found[here] = self.chunks[number][place[here] % each, variant[here]]
        return found


class FrozenClassifier(keras.Model):  # type: ignore[misc]
    """A classifier that takes embeddings in place of images; its variables and optimiser are the whole model's.

    Args:
        whole: the whole model, compiled.
        stored: the unchanged images' embeddings.
    """

    def __init__(self, whole: keras.Model, stored: Stored) -> None:
        super().__init__(name="frozen_classifier")
        names = [layer.name for layer in whole.layers]
        self.whole, self.stored = whole, stored
        self.head_names = names[names.index("embedding") + 1 :]
        self.compile(whole.optimizer, whole.loss, metrics=["accuracy"], jit_compile=False)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The whole model's."""
        shape: tuple[int | None, ...] = self.whole.output_shape
        return shape

    def call(self, embedding: Any, training: bool | None = None) -> Any:
        """Logits [n, classes] from embeddings [n, width]."""
        for name in self.head_names:
            embedding = self.whole.get_layer(name)(embedding)
        return embedding

    def batches(self, part: Subset, size: int) -> Iterator[Array]:
        """The embeddings of a part's images in order, float32 [n, width]."""
        for start in range(0, len(part), size):
            yield self.stored.take(part.rows[start : start + size])


class FeatureBatches(TrainingBatches):
    """The training part as batches of embeddings, drawn, weighted and mixed as images would be.

    With several variants of each image, one is drawn every time the image comes.

    Args:
        part: the training images.
        recipe: as for images.
        spec: as for images.
        stored: their embeddings.
    """

    def __init__(self, part: Subset, recipe: Recipe, spec: Preprocess, stored: Stored) -> None:
        self.stored = stored
        super().__init__(part, recipe, spec)

    def load(self) -> None:
        """Nothing: images are not needed any more."""

    def inputs(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Array:
        """Embeddings at positions of the plan, float32 [n, width]."""
        rows = self.rows[self.places[positions]]
        return self.stored.take(rows, rng.integers(self.stored.variants, size=len(rows)))


def keeps_features(recipe: Recipe) -> bool:
    """Whether the images need to pass the backbone only once: it is frozen, and no new variants are drawn every epoch."""
    return recipe.model.frozen and (recipe.data.augment == Augment() or recipe.model.augmented_copies > 0)


def on_features(
    run: Run, model: keras.Model, data: PreparedData, watcher: object, stop: Callable[[], bool]
) -> tuple[FrozenClassifier, FeatureBatches]:
    """What the training loop needs to train the head alone: a model that steps on embeddings, and batches of them.

    Args:
        run: its recipe has a frozen backbone.
        model: the whole model, compiled.
        data: the images; their embeddings are computed here where they are not stored yet.
        watcher: told how that goes if it is a :class:`FeatureWatcher`.
        stop: asked after every file of embeddings.

    Raises:
        RunError: a stored file does not hold what it should.
        DataError: as :class:`~lungwise.data.batches.TrainingBatches`.
        TrainingStoppedError: ``stop`` answered True; the same call continues.
    """
    recipe, spec = run.recipe, Preprocess(**run.data["preprocess"])

    def told(done: int, total: int) -> None:
        if isinstance(watcher, FeatureWatcher):
            watcher.computed(done, total)
        if stop():
            raise TrainingStoppedError(f"Training was stopped after {done} of {total} images; call it again to go on.")

    everything = data.part("train", "validation", "test")
    plain = _stored(run, model, everything, told, copies=0)
    learnt = plain
    if recipe.data.augment != Augment():
        # Where runs share, the training part of one is the test part of another.
        part = everything if _place(run).name == SHARED else data.train
        learnt = _stored(run, model, part, told, copies=recipe.model.augmented_copies)
    return FrozenClassifier(model, plain), FeatureBatches(data.train, recipe, spec, learnt)


def discard(run: Run) -> None:
    """Remove the run's own stored embeddings, which a finished run needs no more."""
    shutil.rmtree(run.folder / "features", ignore_errors=True)


def _place(run: Run) -> Path:
    shared = run.folder.parent / SHARED
    return shared if shared.is_dir() else run.folder / "features"


def _stored(run: Run, model: keras.Model, part: Subset, told: Told, *, copies: int) -> Stored:
    """Embeddings of a part's images, or of random variants of each: those on disk, and the others computed."""
    spec, pixels = Preprocess(**run.data["preprocess"]), part.data.pixels
    check_size(pixels, spec.size)
    network = keras.Model(model.input, model.get_layer("embedding").output, name="backbone_only")
    network.compile(jit_compile=False)
    variants, width = max(copies, 1), int(network.output_shape[-1])
    stem, folder = _key(run, model, part, copies)[:24], _place(run)
    numbers = range(0, len(part), CHUNK)
    chunks = []
    for number, start in enumerate(numbers):
        rows, path = part.rows[start : start + CHUNK], folder / f"{stem}-{number:05d}.npy"
        if not path.exists():
            squares = load_squares(pixels, rows, spec.size)
            if copies:
                squares = _variants(squares, rows, run.recipe, copies)
            values = _embed(network, scale(squares, spec)[..., None]).reshape(len(rows), variants, width)
            write_whole(path, _saver(values))
        chunks.append(_open(path, (len(rows), variants, width)))
        told((start + len(rows)) * variants, len(part) * variants)
    small = len(part) * variants * width * 4 <= MEMORY_BYTES
    return Stored(part.rows, [np.concatenate(chunks)] if small else chunks)


def _variants(squares: NDArray[np.uint8], rows: NDArray[np.int64], recipe: Recipe, copies: int) -> NDArray[np.uint8]:
    """Random variants of each image, uint8 [rows x copies, size, size]; a row's are the same in whatever chunk it stands."""
    return np.stack([
        augment(square, recipe.data.augment, np.random.default_rng([recipe.seed, row, copy]))
        for square, row in zip(squares, rows.tolist(), strict=True)
        for copy in range(copies)
    ])  # fmt: skip


def _embed(network: keras.Model, images: Array) -> Array:
    parts = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    return np.concatenate([np.asarray(network.predict_on_batch(part), np.float32) for part in parts])


def _saver(values: Array) -> Callable[[Path], None]:
    def write(draft: Path) -> None:
        with draft.open("wb") as file:
            np.save(file, values)

    return write


def _open(path: Path, shape: tuple[int, ...]) -> Array:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as cause:
        raise RunError(f"{path} is damaged ({cause}); remove it, and it is computed again.") from cause
    if values.shape != shape or values.dtype != np.float32:
        raise RunError(f"{path} must be float32 {shape}, got {values.dtype} {values.shape}; remove it.")
    return np.asarray(values)


def _key(run: Run, model: keras.Model, part: Subset, copies: int) -> str:
    """SHA-256 of everything that decides the embeddings: pixels, rows, network, its weights, preparation of its input."""
    recipe = run.recipe
    facts: dict[str, Any] = {
        "pixels": part.data.facts.get("pixels", part.data.fingerprint),
        "preprocess": run.data["preprocess"],
        "model": recipe.model.model_dump(mode="json", exclude={"head", "weights", "augmented_copies", "drop_path"}),
        "pool": recipe.model.head.pool,
        "pretrained": recipe.model.weights,
        "precision": recipe.fit.precision,
        "augment": [recipe.data.augment.model_dump(mode="json"), recipe.seed, copies] if copies else [],
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(part.rows.tobytes())
    for variable in backbone_of(model).variables:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    return digest.hexdigest()
