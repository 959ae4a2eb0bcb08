"""Run the bundle's network with OpenVINO, in float32 or, on processors that have it, in bfloat16."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from lungwise.errors import LungwiseError, require
from lungwise.inference.engine import INPUT, Array, Engine, Refused

BFLOAT16 = "openvino-bf16"


class OpenvinoEngine(Engine):
    """A network loaded into OpenVINO on the CPU, in float32; see :class:`lungwise.inference.engine.Engine`.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        LungwiseError: the processor cannot compute in this precision.
        BundleError: the file is no network of a bundle.
    """

    name = "openvino"
    _hint = "f32"

    def _load(self, onnx: bytes) -> tuple[Sequence[str], Sequence[str]]:
        openvino = require("openvino", "openvino", f"The engine '{self.name}'")
        core = openvino.Core()
        if self._hint == "bf16" and not _has_bfloat16(core):
            raise LungwiseError(
                f"The engine '{self.name}' needs a processor that computes in bfloat16, this one does not; take 'openvino'."
            )
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            # Left to itself OpenVINO takes bfloat16 wherever the processor has it, and answers differ from machine to machine.
            "INFERENCE_PRECISION_HINT": self._hint,
            "INFERENCE_NUM_THREADS": self.threads,
            # Two processes that pin their threads would pin them to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            # OpenVINO lends the thread that loads a network a stack for signals and unmaps it with the network. A thread that
            # lives on would run its next signal handler there, and crash.
            with ThreadPoolExecutor(1) as aside:
                self._compiled = aside.submit(lambda: core.compile_model(core.read_model(onnx), "CPU", settings)).result()
            ports = {_name(port): port for port in self._compiled.outputs}
        except RuntimeError as cause:
            raise Refused(_reason(cause)) from cause
        # A request is for one caller at a time; those that are free wait here. Both ends of a deque are safe between threads.
        self._free: deque[Any] = deque([self._compiled.create_infer_request()])
        self._ports = ports
        return [_name(port) for port in self._compiled.inputs], list(ports)

    def _forward(self, batch: Array, wanted: Sequence[str]) -> Sequence[Array]:
        try:
            request = self._free.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            # A shared input is not copied; it must lie in memory as the network wants it.
            request.infer({INPUT: np.ascontiguousarray(batch)}, share_inputs=True, share_outputs=True)
            return [np.array(request.get_tensor(self._ports[name]).data, np.float32) for name in wanted]
        except RuntimeError as cause:
            raise Refused(_reason(cause)) from cause
        finally:
            self._free.append(request)


class OpenvinoBfloat16Engine(OpenvinoEngine):
    """The same in bfloat16, whose 8 bits of mantissa move probabilities by some thousandths."""

    name = BFLOAT16
    precision = "bfloat16"
    _hint = "bf16"


def _has_bfloat16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _name(port: Any) -> str:
    """The name of an input or output in the ONNX file; OpenVINO may add names of its own."""
    return min(port.get_names(), key=len, default="")


def _reason(cause: RuntimeError) -> str:
    """OpenVINO's reason without the places in its own source."""
    return " ".join(line for line in str(cause).splitlines() if not line.startswith("Exception from "))
