"""What a training asks of the framework below it, so that the same recipe, data and seed give the same weights."""

from __future__ import annotations

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
