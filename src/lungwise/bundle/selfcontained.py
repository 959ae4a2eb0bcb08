"""Does an ONNX file keep all its weights inside? Seen from the bytes alone, before any runtime opens the file.

An ONNX tensor may point to another file (``TensorProto.external_data``), and the path it names is the writer's choice:
"../../etc/passwd" as well as "weights.bin". A bundle's network is one file, so every such pointer is refused. The format is
Protocol Buffers' wire format (protobuf.dev/programming-guides/encoding); only messages that can lead to a tensor are entered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lungwise.errors import BundleError

_PATHS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Of each message of onnx.proto3 the fields that lead to tensors, and the message that they hold."""
_EXTERNAL, _LOCATION = 13, 14
"""TensorProto.external_data and TensorProto.data_location, of which 0 means "in this file"."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEPTH = 100
"""How deep messages may lie in each other, as in the runtime's own reader."""
_FIELDS = 3_000_000
"""How many fields are looked at (coatnet-lite has 6,736), so that a file of nothing but fields takes no minutes."""


class _Field(NamedTuple):
    number: int
    value: int
    """Of a number; of bytes where they begin."""
    end: int
    """Where the bytes end; -1 of a number."""


class _Malformed(Exception):  # noqa: N818 - never leaves this module
    pass


def check_self_contained(onnx: bytes, name: str) -> None:
    """Refuse a network that keeps weights in other files, and what is no ONNX file.

    Args:
        onnx: the file's bytes.
        name: what it is called, for the error.

    Raises:
        BundleError: with the file's name.
    """
    # ONNX Runtime also takes its own format, known by these letters, and it can point to other files as well.
    if onnx[4:8] == b"ORTM" or not onnx:
        raise BundleError(f"{name} must be an ONNX file, which this is not; export the bundle again.")
    waiting, seen = [("model", 0, len(onnx), 0)], 0
    try:
        while waiting:
            kind, start, end, depth = waiting.pop()
            if depth > _DEPTH:
                raise _Malformed
            for field in _fields(onnx, start, end):
                seen += 1
                if seen > _FIELDS:
                    raise _Malformed
                if kind == "tensor" and (field.number == _EXTERNAL or (field.number == _LOCATION and field.value)):
                    raise BundleError(
                        f"{name} must hold all its weights, but keeps some in another file (ONNX external data); do not trust "
                        "this bundle, or export it again."
                    )
                inside = _PATHS[kind].get(field.number)
                if inside and field.end >= 0:
                    waiting.append((inside, field.value, field.end, depth + 1))
    except (_Malformed, IndexError) as cause:
        raise BundleError(f"{name} must be an ONNX file, but its bytes are not in that format; export it again.") from cause


def _fields(data: bytes, at: int, end: int) -> Iterator[_Field]:
    """The fields of a message in ``data[at:end]``."""
    while at < end:
        tag, at = _number(data, at, 5)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _number(data, at, 10)
            found = _Field(number, value, -1)
        elif wire == _BYTES:
            length, at = _number(data, at, 5)
            found = _Field(number, at, at + length)
            at += length
        elif wire in (_FIXED64, _FIXED32):
            found = _Field(number, at, -1)
            at += 8 if wire == _FIXED64 else 4
        else:
            raise _Malformed
        if at > end:
            raise _Malformed
        yield found


def _number(data: bytes, at: int, most: int) -> tuple[int, int]:
    """A varint of at most ``most`` bytes, and where it ends."""
    value = 0
    for place in range(most):
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise _Malformed
