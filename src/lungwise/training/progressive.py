"""Images that grow during training (Tan and Le 2021, arXiv 2104.00298, section 4): the early epochs cost a fraction.

The network is built anew for each size. Its weights and all that the optimiser keeps go on: moments, iterations and averages.
Only the tables of relative positions belong to one size; they are interpolated, and so is what the optimiser keeps of them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace

import keras

from lungwise.data.batches import TrainingBatches
from lungwise.data.store import PreparedData
from lungwise.imaging.preprocess import Preprocess
from lungwise.training.run import Run
from lungwise.training.state import restore, to_arrays, variables

Build = Callable[[Run], keras.Model]


@dataclass
class Learner:
    """What learns, at one image size.

    Args:
        run: the run as it is at that size; see :func:`at_size`.
        model: its model, compiled.
        batches: what the model steps on.
    """

    run: Run
    model: keras.Model
    batches: TrainingBatches

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.run.recipe.model.image_size


def at_size(run: Run, size: int) -> Run:
    """The same run directory with recipe and preparation for images of another size, in pixels."""
    model = run.recipe.model.model_copy(update={"image_size": size})
    preprocess = {**run.data["preprocess"], "size": size}
    return replace(run, recipe=run.recipe.model_copy(update={"model": model}), data={**run.data, "preprocess": preprocess})


def image_batches(run: Run, data: PreparedData) -> TrainingBatches:
    """The training part at the run's image size, from the stored pixels."""
    return TrainingBatches(data.train, run.recipe, Preprocess(**run.data["preprocess"]))


def shrunk(model: keras.Model, run: Run, build: Build) -> keras.Model:
    """A fresh model for the run's image size with the weights of one that is made for another.

    Pretrained weights must fit ``model.image_size`` whether or not training begins with smaller images, so they get there by
    way of a model of that size.
    """
    smaller = build(run)
    restore(smaller, to_arrays(variables(model, optimiser=False)), run, optimiser=False)
    return smaller


def grow(learner: Learner, run: Run, data: PreparedData, build: Build) -> None:
    """Go on with images of another size.

    Args:
        learner: changed in place, so that nobody else holds the old model: two at a time need not fit into memory.
        run: the run at the new size.
        data: the images.
        build: makes a compiled model for a run; its weights are replaced.
    """
    arrays = to_arrays(variables(learner.model, optimiser=True))
    del learner.model, learner.batches
    gc.collect()  # a model refers to itself
    learner.run, learner.model, learner.batches = run, build(run), image_batches(run, data)
    restore(learner.model, arrays, run, optimiser=True)
