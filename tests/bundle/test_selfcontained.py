"""A network that keeps weights in another file is refused, wherever in the file the pointer hides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, SparseTensorProto, TensorProto, helper, load_from_string, numpy_helper

from lungwise.bundle import selfcontained
from lungwise.bundle.selfcontained import check_self_contained
from lungwise.bundle.store import SPEC, read_bundle, write_bundle
from lungwise.errors import BundleError
from tests.bundle_factory import make_bundle, make_head, make_onnx, make_spec

REFUSED = r"must hold all its weights, but keeps some in another file \(ONNX external data\); do not trust"


def pointer(place: str = "../../etc/passwd") -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "stolen")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place
    return tensor


def constant(tensor: TensorProto) -> GraphProto:
    graph = GraphProto(name="inner")
    graph.node.append(helper.make_node("Constant", [], ["out"], value=tensor))
    return graph


def in_weights(model: ModelProto) -> None:
    model.graph.initializer.append(pointer())


def in_a_constant(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["out"], value=pointer()))


def in_tensors_of_an_attribute(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Custom", [], ["out"], values=[pointer("a"), pointer("b")]))


def in_a_branch(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("If", ["x"], ["out"], then_branch=constant(pointer())))


def in_graphs_of_an_attribute(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Custom", ["x"], ["out"], bodies=[constant(pointer())]))


def in_sparse_weights(model: ModelProto) -> None:
    model.graph.sparse_initializer.append(SparseTensorProto(values=pointer(), dims=[4]))


def in_a_function(model: ModelProto) -> None:
    node = helper.make_node("Constant", [], ["out"], value=pointer())
    model.functions.append(helper.make_function("own", "F", [], ["out"], [node], []))


def in_training(model: ModelProto) -> None:
    model.training_info.add().initialization.CopyFrom(constant(pointer()))


HIDING = [
    *(in_weights, in_a_constant, in_tensors_of_an_attribute, in_a_branch),
    *(in_graphs_of_an_attribute, in_sparse_weights, in_a_function, in_training),
]


@pytest.mark.parametrize("hide", HIDING)
def test_a_pointer_to_another_file_is_found(hide: Callable[[ModelProto], None]) -> None:
    model = load_from_string(make_onnx(make_head()))
    hide(model)
    with pytest.raises(BundleError, match=rf"^model\.onnx {REFUSED}"):
        check_self_contained(model.SerializeToString(), "model.onnx")


def test_either_half_of_a_pointer_is_enough() -> None:
    for field in ("data_location", "external_data"):
        model = load_from_string(make_onnx(make_head()))
        tensor = pointer()
        tensor.ClearField(field)
        model.graph.initializer.append(tensor)
        with pytest.raises(BundleError, match=REFUSED):
            check_self_contained(model.SerializeToString(), "model.onnx")


def test_a_network_that_holds_its_weights_passes() -> None:
    check_self_contained(make_onnx(make_head()), "model.onnx")
    model = load_from_string(make_onnx(make_head()))
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.DEFAULT
    check_self_contained(model.SerializeToString(), "model.onnx")


def test_a_graph_in_two_pieces_is_one_to_a_reader_of_protocol_buffers() -> None:
    first, second = load_from_string(make_onnx(make_head())), ModelProto()
    second.graph.initializer.append(pointer())
    both = first.SerializeToString() + second.SerializeToString()
    assert len(load_from_string(both).graph.initializer) == len(first.graph.initializer) + 1
    with pytest.raises(BundleError, match=REFUSED):
        check_self_contained(both, "model.onnx")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x00\x00\x00ORTM" + bytes(8),
        b"\xff" * 20,
        b"\x3a\x7f\x00",
        b"\x0b",
        b"\x08",
        b"\x39\x00",
        b"no network at all",
    ],
)
def test_what_is_no_onnx_file_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"^model\.onnx must be an ONNX file, .*; export"):
        check_self_contained(data, "model.onnx")


def test_a_network_that_is_cut_off_is_refused_or_still_without_pointers() -> None:
    model = load_from_string(make_onnx(make_head()))
    in_a_branch(model)
    whole = model.SerializeToString()
    for end in range(0, len(whole), 7):
        with pytest.raises(BundleError):
            check_self_contained(whole[:end], "model.onnx")


def test_graphs_without_end_are_refused() -> None:
    def field(number: int, inside: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(inside)) + inside

    graph = b""
    for _ in range(60):  # graph.node, node.attribute, attribute.g
        graph = field(1, field(5, field(6, graph)))
    with pytest.raises(BundleError, match="must be an ONNX file"):
        check_self_contained(field(7, graph), "model.onnx")


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def test_a_file_of_nothing_but_fields_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcontained, "_FIELDS", 1000)
    check_self_contained(b"\x08\x08" * 1000, "model.onnx")
    with pytest.raises(BundleError, match="must be an ONNX file"):
        check_self_contained(b"\x08\x08" * 1001, "model.onnx")


def test_it_is_not_written(tmp_path: Path) -> None:
    model = load_from_string(make_onnx(make_head()))
    in_weights(model)
    with pytest.raises(BundleError, match=REFUSED):
        write_bundle(tmp_path / "model", make_spec(), model.SerializeToString(), make_head())
    assert list(tmp_path.iterdir()) == []


def forge(out: Path, name: str, data: bytes) -> None:
    """Change a file of a bundle and all hashes with it, as somebody would who means harm."""
    values = json.loads((out / SPEC).read_text())
    (out / name).write_bytes(data)
    values["files"] |= {name: hashlib.sha256(data).hexdigest(), SPEC: "0" * 64}
    text = json.dumps(values, indent=2)
    (out / SPEC).write_text(text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest()))


def test_a_forged_bundle_whose_hashes_fit_is_refused_before_the_network_is_loaded(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "model")
    forge(out, "model.onnx", make_onnx(make_head()))
    assert read_bundle(out).spec.name == "tiny"
    model = load_from_string(make_onnx(make_head()))
    in_a_constant(model)
    forge(out, "model.onnx", model.SerializeToString())
    with pytest.raises(BundleError, match=rf"model\.onnx of .* {REFUSED}"):
        read_bundle(out)
