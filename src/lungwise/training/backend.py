"""What a training asks of the framework below it, so that the same recipe, data and seed give the same weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import keras


def one_operation_at_a_time() -> bool:
    """Let TensorFlow run operations one after another, each on all cores.

    Side by side they finish in varying order, and the sums of gradients differ in their last bit from run to run. On a CPU
    nothing is lost, because each operation uses all cores by itself.

    Returns:
        Whether it is so; False where TensorFlow was at work before it could be asked, or another backend is used.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow

    threading = tensorflow.config.threading
    if threading.get_inter_op_parallelism_threads() != 1:
        try:
            threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:  # it can be set only before the first operation
            return False
    return True


@contextmanager
def several_models() -> Iterator[None]:
    """Let a process train one model after the other without TensorFlow's advice on retracing.

    TensorFlow counts how often it traces the functions of Keras, and takes a new model for an old one with new shapes.
    Everything else that it logs still gets through.
    """
    logger = logging.getLogger("tensorflow")
    logger.addFilter(_not_of_retracing)
    try:
        yield
    finally:
        logger.removeFilter(_not_of_retracing)


def _not_of_retracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()
