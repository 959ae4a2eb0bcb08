"""Ask a bundle about images: files, bytes or arrays in, results out, decoding in parallel with the network."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from lungwise.answer import decide, in_set, probabilities
from lungwise.bundle.store import Bundle, read_bundle
from lungwise.errors import ImageError, LungwiseError
from lungwise.imaging.png import write_png
from lungwise.imaging.preprocess import enough, to_square
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.views import MOST, mean_logits, to_inputs
from lungwise.inference.assess import Assessor
from lungwise.inference.engine import STANDARD, Engine, Outputs, joined
from lungwise.inference.engines import AUTO, open_engine
from lungwise.inference.explain import grad_cam, overlay
from lungwise.inference.inputs import Images, Item, Reader, is_single, load_item, read_image, text, walk
from lungwise.inference.many import BATCH as BATCH
from lungwise.inference.many import answers
from lungwise.inference.result import Result

if TYPE_CHECKING:
    from lungwise.inference.settle import Settled

ANYWAY = "answered although it cannot be assessed: {}"
_STEM = 50


@dataclass(frozen=True, eq=False)
class Ready:
    """An image that a thread has made ready for the network.

    Args:
        radiograph: as it was decoded.
        square: uint8 [stored, stored].
    """

    radiograph: Radiograph
    square: NDArray[np.uint8]


class Predictor:
    """A loaded bundle.

    Args:
        bundle: verified; see :func:`load`.
        threads: threads of one forward pass; 0 takes all cores.
        engine: what runs the network; see :func:`lungwise.inference.engines.open_engine`.
        views: views of an image whose logits are averaged, 1 to 16; None takes the bundle's number, with which its calibration
            was fitted, and every result warns of another. See :mod:`lungwise.imaging.views`.
        reader: what decodes files and bytes; see :class:`lungwise.inference.inputs.Reader`.
        assess_anyway: give a class for images that cannot be assessed, too, and the reasons as warnings; else such an image has
            the status "cannot assess" and no class.

    Raises:
        LungwiseError: there are no such views, or no such engine.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 0,
        engine: str = AUTO,
        *,
        views: int | None = None,
        reader: Reader = read_image,
        assess_anyway: bool = False,
    ) -> None:
        self.bundle, self.spec = bundle, bundle.spec
        self.views = self.spec.views if views is None else views
        if not 1 <= self.views <= MOST:
            raise LungwiseError(f"An image has 1 to {MOST} views, got {self.views}; choose a number in between.")
        self._reader, self.assess_anyway = reader, assess_anyway
        self._assessor = Assessor(bundle)
        self._wish, self._batch = (engine, threads), BATCH
        self._engine = open_engine(bundle.onnx, engine, threads)

    @property
    def engine(self) -> Engine:
        """What runs the network."""
        return self._engine

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in column order."""
        return self.spec.labels

    @overload
    def predict(self, image: bytes | NDArray[Any], heatmap: Path | None = None) -> Result: ...
    @overload
    def predict(self, image: Path | str, heatmap: Path | None = None) -> Any: ...
    @overload
    def predict(self, image: Images, heatmap: Path | None = None) -> Any: ...
    def predict(self, image: Images, heatmap: Path | None = None) -> Any:
        """The answer for one image; for a folder, pattern, zip archive or list the answers, as :meth:`predict_all`.

        Args:
            image: a path, bytes, array or DICOM data set, or what stands for several.
            heatmap: where to write the heat map of one image as PNG, or None.

        Returns:
            A :class:`Result`, or a list of them where several images are meant, even if one is found.

        Raises:
            ImageError: the one image cannot be read, or the folder, pattern or archive cannot or has none. In a list such an
                item has a result with status "error", as everywhere in batches.
        """
        if is_single(image):
            item = next(walk(image))
            result = self._answer([self.make_ready(item)], [item.name], [heatmap])[0]
            if result.status == "error":
                raise ImageError(result.reasons[0])
            return result
        if heatmap is not None:
            raise LungwiseError("heatmap is the picture of one image; for several use predict_all(images, heatmaps=FOLDER).")
        items = list(walk(image))
        if isinstance(image, Path | str) and isinstance(items[0].source, ImageError) and len(items) == 1:
            raise items[0].source  # the place itself: it cannot be listed, or has no image
        return [result for _, result in self.answers(items)]

    def predict_all(self, images: Images, heatmaps: Path | None = None) -> list[Result]:
        """:meth:`predict_many` as a list."""
        return list(self.predict_many(images, heatmaps))

    def predict_many(self, images: Images, heatmaps: Path | None = None) -> Generator[Result]:
        """Answers in the order of the images; one that cannot be read gives a result with status "error".

        Args:
            images: any number of images, folders, patterns and zip archives, or one of these; found and taken as they are
                needed, so memory stays flat.
            heatmaps: a folder for heat maps, or None.
        """
        with closing(self.answers(walk(images), heatmaps)) as answered:
            for _, result in answered:
                yield result

    def answers(self, items: Iterable[Item], heatmaps: Path | None = None) -> Generator[tuple[Item, Result]]:
        """Each item with its answer, in order; see :func:`lungwise.inference.inputs.walk` and :meth:`predict_many`."""
        return answers(self, items, heatmaps)

    def answer_batch(
        self, batch: Sequence[tuple[Item, Ready | ImageError]], heatmaps: Path | None
    ) -> list[tuple[Item, Result]]:
        """The answers for a few items that were made ready; safe in several threads, as all that it calls must be."""
        items, ready = zip(*batch, strict=True)
        places = [heatmaps / _picture(item) if heatmaps else None for item in items]
        return list(zip(items, self._answer(ready, [item.name for item in items], places), strict=True))

    def on_one_thread(self) -> Predictor:
        """The same with a network of its own that computes on one thread, for as many callers at once as there are cores."""
        other = copy(self)
        other._engine = open_engine(self.bundle.onnx, self._engine.name, 1)
        return other

    def probabilities(self, squares: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Calibrated probabilities [n, classes] of stored squares, uint8 [n, stored, stored], for work on prepared data."""
        batches = [squares[start : start + BATCH] for start in range(0, len(squares), BATCH)]
        outputs = [self._calibrated(self._run(batch, ()).logits) for batch in batches]
        return np.concatenate(outputs) if outputs else np.zeros((0, len(self.labels)))

    def heat_maps(self, squares: NDArray[np.uint8], columns: Sequence[int]) -> list[NDArray[np.float32]]:
        """Grad-CAM of stored squares, uint8 [n, stored, stored], each of its class' column; see :func:`grad_cam`."""
        outputs, head, pool = self._run(squares), self.bundle.head, self.spec.head
        pairs = zip(outputs.features, outputs.embedding, columns, strict=True)
        return [grad_cam(features, embedding, head, pool, column) for features, embedding, column in pairs]

    def settle(self, squares: NDArray[np.uint8] | None = None) -> Settled:
        """Take from now on what is fastest on this machine; see :func:`lungwise.inference.settle.settle`.

        It pays from ``lungwise.inference.engines.LONG`` images on, and when a service starts. A first call measures for some
        seconds, later ones remember. The engine and threads that the predictor was made with are kept.

        Args:
            squares: uint8 [n, stored, stored], real images to measure on, or None.
        """
        from lungwise.inference.settle import settle

        found = settle(self.bundle, *self._wish, squares)
        engine = open_engine(self.bundle.onnx, found.engine, found.threads)
        for number in {1, found.batch}:  # the first pass of a size is slow
            side = self.spec.preprocess.size
            engine.run(np.zeros((number, side, side, 1), np.float32), ())
        self._engine, self._batch = engine, found.batch
        return found

    def sets(self, prob: NDArray[np.floating]) -> NDArray[np.bool_] | None:
        """Which classes stand in the conformal sets of calibrated probabilities [n, classes]; None without quantiles."""
        found = self.spec.conformal_quantiles
        return in_set(prob, [found[label] for label in self.labels]) if found else None

    def _calibrated(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        return probabilities(logits, self.spec.temperature, self.spec.calibration_matrix, self.spec.calibration_bias)

    def _run(self, squares: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], wanted: Sequence[str] = STANDARD) -> Outputs:
        """Ask the network about stored squares: logits averaged over the views, what else is wanted of the first view."""
        views = self.views
        each = max(1, self._batch // views)  # as many inputs at a time as with one view, so that memory does not grow
        found = []
        for start in range(0, len(squares), each):
            inputs = [to_inputs(square, self.spec.preprocess, views) for square in squares[start : start + each]]
            outputs = self._engine.run(np.concatenate(inputs), wanted)
            found.append(outputs.of_views(mean_logits(outputs.logits, views), views))
        return joined(found)

    def make_ready(self, item: Item) -> Ready | ImageError:
        """Make one image ready, in a thread; its error is an answer too, so that a batch goes on."""
        try:
            radiograph = load_item(item, self._reader, enough(self.spec.preprocess))
        except ImageError as error:
            return error
        return Ready(radiograph, to_square(radiograph, self.spec.preprocess))

    def _answer(self, ready: Sequence[Ready | ImageError], names: Sequence[str], places: Sequence[Path | None]) -> list[Result]:
        good = [(index, item) for index, item in enumerate(ready) if isinstance(item, Ready)]
        results = [self._error(name, item) for name, item in zip(names, ready, strict=True)]
        if not good:
            return results
        outputs = self._run([item.square for _, item in good], STANDARD if any(places) else ("embedding",))
        prob = self._calibrated(outputs.logits)
        rule = self.spec.decision
        decided = decide(prob, rule.rule, rule.positive, rule.threshold)
        squares, radiographs = [item.square for _, item in good], [item.radiograph for _, item in good]
        doubts = self._assessor.reasons(radiographs, squares, outputs.embedding)
        for row, (index, item) in enumerate(good):
            radiograph, column, place = item.radiograph, int(decided[row]), places[index]
            if doubts[row] and not self.assess_anyway:
                results[index] = self._without_class(names[index], "cannot assess", doubts[row], radiograph.warnings)
                continue
            if place is not None:
                heat = grad_cam(outputs.features[row], outputs.embedding[row], self.bundle.head, self.spec.head, column)
                write_png(place, overlay(radiograph.pixels, heat, self.spec.preprocess.fit))
            radiograph = replace(radiograph, warnings=(*radiograph.warnings, *map(ANYWAY.format, doubts[row])))
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
            warnings=(*radiograph.warnings, *self._notes()),
            heatmap=str(place) if place else None,
            model=self.spec.name,
            bundle_sha256=self.bundle.sha256,
            intended_use=self.spec.intended_use,
            conformal_set=None if sets is None else tuple(np.array(self.labels)[sets[0]].tolist()),
        )

    def _notes(self) -> tuple[str, ...]:
        """What is to be known of every answer, whatever the image."""
        if self.views == self.spec.views:
            return ()
        return (f"averaged over {self.views} views, but calibrated and evaluated with {self.spec.views}",)

    def _error(self, name: str, item: Ready | ImageError) -> Result:
        reasons = (text(str(item)),) if isinstance(item, ImageError) else ()
        return self._without_class(name, "error", reasons, ())

    def _without_class(self, name: str, status: str, reasons: tuple[str, ...], warnings: tuple[str, ...]) -> Result:
        model, sha256, intended_use = self.spec.name, self.bundle.sha256, self.spec.intended_use
        return Result(name, status, None, {}, reasons, warnings, None, model, sha256, intended_use)


def _picture(item: Item) -> str:
    """The name of an image's heat map: the number keeps names apart, and a long stem would not leave room for it."""
    return f"{item.index:05d}_{Path(item.name).stem[:_STEM]}.png"


def load(
    path: Path | str,
    threads: int = 0,
    engine: str = AUTO,
    *,
    precision: str = "fp32",
    views: int | None = None,
    reader: Reader = read_image,
    assess_anyway: bool = False,
) -> Predictor:
    """Load a bundle (directory or zip) for prediction; see :class:`Predictor`.

    Raises:
        BundleError: it is none, lacks the precision ("fp32", "fp16" or "int8"), or one of its files was changed.
    """
    return Predictor(read_bundle(path, precision), threads, engine, views=views, reader=reader, assess_anyway=assess_anyway)
