"""Read a PyTorch checkpoint of the first format (before 1.6) without PyTorch and without trusting its pickle.

Such a file is a sequence of pickles - magic number, protocol, facts on the machine, the object itself, names of the storages -
followed by the storages' bytes. A pickle may name any function to call; this reader knows three names and refuses all others.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import WeightsError

_MAGIC = 0x1950A86A20F9469CFC6C
_TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_LIMIT = 1 << 31


@dataclass(frozen=True)
class _Storage:
    key: str
    kind: np.dtype[Any]
    numel: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(stride))


class _Unpickler(pickle.Unpickler):
    """Knows dictionaries, tensors and storages, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The few things that a file of weights needs."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage that follows the pickles."""
        match pid:
            case ("storage", np.dtype() as kind, str() as key, str(), int() as numel, *_) if 0 <= numel < _LIMIT:
                return _Storage(key, kind, numel)
        raise pickle.UnpicklingError("it refers to something that is not a storage")


def read_torch_file(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a checkpoint: a flat dictionary of tensors, as ``state_dict`` gives it.

    Returns:
        Name to float32 or int64 array.

    Raises:
        WeightsError: the file is damaged, of another format, or holds anything but arrays.
    """
    try:
        with path.open("rb") as file:
            if _Unpickler(file).load() != _MAGIC:
                raise WeightsError(f"{path} must be a PyTorch checkpoint of the format before 1.6; convert it to safetensors.")
            _Unpickler(file).load(), _Unpickler(file).load()
            tensors, keys = _Unpickler(file).load(), _Unpickler(file).load()
            storages = _storages(file, tensors, keys)
        return {str(name): _view(tensor, storages) for name, tensor in tensors.items()}
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as cause:
        raise WeightsError(f"{path} must hold plain arrays, but cannot be read so ({cause}); fetch it again.") from cause


def _storages(file: IO[bytes], tensors: Any, keys: list[str]) -> dict[str, NDArray[Any]]:
    """The storages' numbers, in the order of ``keys``; each begins with its length."""
    known = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    found = {}
    for key in keys:
        storage = known[key]
        size = storage.numel * storage.kind.itemsize
        head, data = file.read(8), file.read(size)
        if int.from_bytes(head, "little") != storage.numel or len(data) != size:
            raise ValueError("it ends too early")
        found[key] = np.frombuffer(data, storage.kind)
    return found


def _view(tensor: _Tensor, storages: dict[str, NDArray[Any]]) -> NDArray[Any]:
    flat = storages[tensor.storage.key]
    if any(step < 0 for step in (tensor.offset, *tensor.stride, *tensor.shape)):
        raise ValueError("a tensor has negative steps")
    last = tensor.offset + sum((length - 1) * step for length, step in zip(tensor.shape, tensor.stride, strict=True))
    if 0 not in tensor.shape and last >= len(flat):
        raise ValueError("a tensor reaches beyond its storage")
    steps = tuple(step * flat.itemsize for step in tensor.stride)
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps, writeable=False).copy()
