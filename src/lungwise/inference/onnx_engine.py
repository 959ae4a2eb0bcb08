"""Run the bundle's network with ONNX Runtime: the engine that is always there, and the quickest to start."""

from __future__ import annotations

from collections.abc import Sequence

import onnxruntime

from lungwise.inference.engine import INPUT, Array, Engine, Refused

_state = onnxruntime.capi.onnxruntime_pybind11_state
_REFUSALS = (
    *(_state.Fail, _state.InvalidArgument, _state.InvalidGraph, _state.InvalidProtobuf, _state.NotImplemented),
    *(_state.NoModel, _state.NoSuchFile, _state.RuntimeException, RuntimeError, ValueError),
)
"""What ONNX Runtime raises; its own exceptions have no common base."""


class OnnxEngine(Engine):
    """A network loaded into ONNX Runtime on the CPU, in float32; see :class:`lungwise.inference.engine.Engine`."""

    name = "onnxruntime"

    def _load(self, onnx: bytes) -> tuple[Sequence[str], Sequence[str]]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 4  # what it would log as an error it also raises
        try:
            self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except _REFUSALS as cause:
            raise Refused(cause) from cause
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        return [value.name for value in inputs], [value.name for value in outputs]

    def _forward(self, batch: Array, wanted: Sequence[str]) -> Sequence[Array]:
        try:
            found: Sequence[Array] = self._session.run(list(wanted), {INPUT: batch})
        except _REFUSALS as cause:
            raise Refused(cause) from cause
        return found
