"""Ask a bundle about images: files, bytes or arrays in, results out, decoding in parallel with the network."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungwise.answer import decide, in_set, probabilities
from lungwise.bundle.store import Bundle, read_bundle
from lungwise.errors import ImageError, LungwiseError
from lungwise.imaging.png import write_png
from lungwise.imaging.preprocess import enough, to_square
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import MIN_SIDE, SUFFIXES, decode, hidden, read
from lungwise.imaging.views import mean_logits, to_inputs
from lungwise.inference.engine import OnnxEngine, Outputs
from lungwise.inference.explain import grad_cam, overlay
from lungwise.inference.result import Result

Image = Path | str | bytes | NDArray[np.uint8]
"""A file's path, a file's bytes, or grey pixels uint8 [height, width]."""
BATCH = 16
"""Images that are answered together, and inputs of one forward pass."""
_STEM = 50


class Predictor:
    """A loaded bundle.

    Args:
        bundle: verified; see :func:`load`.
        threads: threads of one forward pass; 0 takes all cores.
    """

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        self.bundle, self.spec = bundle, bundle.spec
        self._engine = OnnxEngine(bundle.onnx, threads)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in column order."""
        return self.spec.labels

    def predict(self, image: Image, heatmap: Path | None = None) -> Result:
        """The answer for one image.

        Args:
            image: a path, bytes or array.
            heatmap: where to write the heat map as PNG, or None.

        Raises:
            ImageError: the image cannot be read.
        """
        result = self._answer([self._load(image)], [_name(image, 0)], [heatmap])[0]
        if result.status != "ok":
            raise ImageError(result.reasons[0])
        return result

    def predict_many(self, images: Iterable[Image], heatmaps: Path | None = None) -> Iterator[Result]:
        """Answers in the order of the images; one that cannot be read gives a result with status "error".

        Args:
            images: any number of paths, bytes or arrays; taken as they are needed, so memory stays flat.
            heatmaps: a folder for heat maps, or None.
        """
        numbered = enumerate(images)
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            waiting: deque[tuple[str, Path | None, Future[Radiograph | ImageError]]] = deque()
            while True:
                for index, image in islice(numbered, 2 * BATCH - len(waiting)):
                    name = _name(image, index)
                    # The number keeps names apart; a long stem would not leave room for it.
                    place = heatmaps / f"{index:05d}_{Path(name).stem[:_STEM]}.png" if heatmaps else None
                    waiting.append((name, place, pool.submit(self._load, image)))
                if not waiting:
                    return
                batch = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
                names, places = [name for name, _, _ in batch], [place for _, place, _ in batch]
                yield from self._answer([future.result() for _, _, future in batch], names, places)

    def probabilities(self, squares: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Calibrated probabilities [n, classes] of stored squares, uint8 [n, stored, stored], for work on prepared data."""
        batches = [squares[start : start + BATCH] for start in range(0, len(squares), BATCH)]
        outputs = [self._calibrated(self._run(batch).logits) for batch in batches]
        return np.concatenate(outputs) if outputs else np.zeros((0, len(self.labels)))

    def heat_maps(self, squares: NDArray[np.uint8], columns: Sequence[int]) -> list[NDArray[np.float32]]:
        """Grad-CAM of stored squares, uint8 [n, stored, stored], each of its class' column; see :func:`grad_cam`."""
        outputs, head, pool = self._run(squares), self.bundle.head, self.spec.head
        pairs = zip(outputs.features, outputs.embedding, columns, strict=True)
        return [grad_cam(features, embedding, head, pool, column) for features, embedding, column in pairs]

    def sets(self, prob: NDArray[np.floating]) -> NDArray[np.bool_] | None:
        """Which classes stand in the conformal sets of calibrated probabilities [n, classes]; None without quantiles."""
        found = self.spec.conformal_quantiles
        return in_set(prob, [found[label] for label in self.labels]) if found else None

    def _calibrated(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        return probabilities(logits, self.spec.temperature, self.spec.calibration_matrix, self.spec.calibration_bias)

    def _run(self, squares: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> Outputs:
        """Ask the network about stored squares: logits averaged over the views, features and embedding of the first view."""
        views = self.spec.views
        each = max(1, BATCH // views)  # as many inputs at a time as with one view, so that memory does not grow
        found = []
        for start in range(0, len(squares), each):
            inputs = [to_inputs(square, self.spec.preprocess, views) for square in squares[start : start + each]]
            logits, features, embedding = self._engine.run(np.concatenate(inputs))
            found.append((mean_logits(logits, views), features[::views], embedding[::views]))
        return Outputs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _load(self, image: Image) -> Radiograph | ImageError:
        """Read one image; its error is an answer too, so that a batch goes on."""
        try:
            if isinstance(image, bytes):
                return decode(image, shortest=enough(self.spec.preprocess))
            if isinstance(image, np.ndarray):
                return _from_array(image)
            return read(Path(image), enough(self.spec.preprocess))
        except ImageError as error:
            return error

    def _answer(
        self, loaded: Sequence[Radiograph | ImageError], names: Sequence[str], places: Sequence[Path | None]
    ) -> list[Result]:
        good = [(index, item) for index, item in enumerate(loaded) if isinstance(item, Radiograph)]
        results = [self._error(name, item) for name, item in zip(names, loaded, strict=True)]
        if not good:
            return results
        squares = [to_square(radiograph, self.spec.preprocess) for _, radiograph in good]
        outputs = self._run(squares)
        prob = self._calibrated(outputs.logits)
        rule = self.spec.decision
        decided = decide(prob, rule.rule, rule.positive, rule.threshold)
        for row, (index, radiograph) in enumerate(good):
            column, place = int(decided[row]), places[index]
            if place is not None:
                heat = grad_cam(outputs.features[row], outputs.embedding[row], self.bundle.head, self.spec.head, column)
                write_png(place, overlay(radiograph.pixels, heat, self.spec.preprocess.fit))
            results[index] = self._result(names[index], radiograph, prob[row], column, place)
        return results

    def _result(self, name: str, radiograph: Radiograph, prob: NDArray[np.float64], column: int, place: Path | None) -> Result:
        sets = self.sets(prob[None])
        return Result(
            path=name,
            status="ok",
            decision=self.labels[column],
            probabilities=dict(zip(self.labels, prob.tolist(), strict=True)),
            reasons=(),
            warnings=radiograph.warnings,
            heatmap=str(place) if place else None,
            model=self.spec.name,
            bundle_sha256=self.bundle.sha256,
            intended_use=self.spec.intended_use,
            conformal_set=None if sets is None else tuple(np.array(self.labels)[sets[0]].tolist()),
        )

    def _error(self, name: str, item: Radiograph | ImageError) -> Result:
        reasons = (_text(str(item)),) if isinstance(item, ImageError) else ()
        return Result(name, "error", None, {}, reasons, (), None, self.spec.name, self.bundle.sha256, self.spec.intended_use)


def load(path: Path | str, threads: int = 0) -> Predictor:
    """Load a bundle (directory or zip) for prediction.

    Raises:
        BundleError: it is none, or one of its files was changed.
    """
    return Predictor(read_bundle(path), threads)


def find_images(inputs: Sequence[Path]) -> list[Path]:
    """Files named one by one, and those with an image's ending in folders and below, in order; hidden ones are passed over.

    Raises:
        LungwiseError: a folder holds no image.
    """
    found: list[Path] = []
    for place in inputs:
        if not place.is_dir():
            found.append(place)
            continue
        inside = sorted(
            file
            for file in place.rglob("*")
            if file.suffix.lower() in SUFFIXES and not hidden(file.relative_to(place)) and not file.is_dir()
        )
        if not inside:
            raise LungwiseError(f"A folder to predict must hold images, but {place} has none; name another.")
        found += inside
    return found


def _from_array(pixels: NDArray[np.uint8]) -> Radiograph:
    if pixels.ndim != 2 or pixels.dtype != np.uint8 or not pixels.size:
        raise ImageError(f"An array must be uint8 [height, width], got {pixels.dtype} {list(pixels.shape)}; convert it first.")
    if min(pixels.shape) < MIN_SIDE:
        raise ImageError(
            f"An array must have at least {MIN_SIDE} pixels on each side, got {list(pixels.shape)}; take the original."
        )
    return Radiograph(np.ascontiguousarray(pixels))


def _name(image: Image, index: int) -> str:
    return _text(str(image)) if isinstance(image, Path | str) else f"image {index}"


def _text(text: str) -> str:
    """Text that can be written as UTF-8: a file's name may hold bytes that are none."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
