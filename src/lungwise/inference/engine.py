"""Run the bundle's network with ONNX Runtime; Keras is not needed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from lungwise.errors import BundleError

Array = NDArray[np.float32]
_state = onnxruntime.capi.onnxruntime_pybind11_state
_REFUSALS = (
    *(_state.Fail, _state.InvalidArgument, _state.InvalidGraph, _state.InvalidProtobuf, _state.NotImplemented),
    *(_state.NoModel, _state.NoSuchFile, _state.RuntimeException, RuntimeError, ValueError),
)
"""What ONNX Runtime raises; its own exceptions have no common base."""


class Outputs(NamedTuple):
    """One forward pass.

    Args:
        logits: float32 [n, classes].
        features: float32 [n, rows, columns, channels], the last feature map.
        embedding: float32 [n, channels], the pooled map.
    """

    logits: Array
    features: Array
    embedding: Array


class OnnxEngine:
    """A network loaded into ONNX Runtime on the CPU.

    Args:
        onnx: the ONNX file.
        threads: threads of one forward pass; 0 takes all cores.

    Raises:
        BundleError: the file is no network of a bundle.
    """

    def __init__(self, onnx: bytes, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except _REFUSALS as cause:
            raise BundleError(f"model.onnx cannot be loaded ({cause}); export the bundle again.") from cause
        inputs = [value.name for value in self._session.get_inputs()]
        if inputs != ["image"]:
            raise BundleError(f"model.onnx must have the one input 'image', it has {inputs}; export it again.")
        names = [output.name for output in self._session.get_outputs()]
        lost = [name for name in Outputs._fields if name not in names]
        if lost:
            raise BundleError(f"model.onnx must have the outputs {list(Outputs._fields)}, it lacks {lost}; export it again.")

    def run(self, batch: Array) -> Outputs:
        """One forward pass of float32 [n, size, size, 1].

        Raises:
            BundleError: the network does not take such a batch, or a logit is not a number.
        """
        try:
            outputs = Outputs(*self._session.run(list(Outputs._fields), {"image": batch}))
        except _REFUSALS as cause:
            shape = list(batch.shape)
            raise BundleError(f"model.onnx cannot take float32 {shape} ({cause}); export the bundle again.") from cause
        if not np.isfinite(outputs.logits).all():
            raise BundleError("The network must answer with numbers, but a logit is not; its weights are damaged.")
        return outputs
