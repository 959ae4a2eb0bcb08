"""One contract for every engine: the same answers, and the same refusals."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load_from_string

from lungwise.errors import BundleError, LungwiseError
from lungwise.inference.engine import STANDARD, Engine, Outputs, joined
from lungwise.inference.onnx_engine import OnnxEngine
from lungwise.inference.openvino_engine import OpenvinoBfloat16Engine, OpenvinoEngine
from tests.bundle_factory import CHANNELS, GRID, SIZE, make_head, make_onnx, numpy_forward

pytest.importorskip("openvino", reason="the engine openvino is an extra")
ENGINES: list[type[Engine]] = [OnnxEngine, OpenvinoEngine]
BATCH = np.random.default_rng(2).uniform(0, 1, (3, SIZE, SIZE, 1)).astype(np.float32)
Make = Callable[..., Engine]


@pytest.fixture(params=ENGINES, ids=lambda kind: kind.name)
def make(request: pytest.FixtureRequest) -> Make:
    """``make(onnx)``: an engine of each kind in turn."""
    return lambda onnx, threads=1: request.param(onnx, threads)


def with_output(name: str) -> bytes:
    """The tiny network with one more output, the convolution before its ReLU."""
    model = load_from_string(make_onnx(make_head()))
    model.graph.node.append(helper.make_node("Abs", ["convolved"], [name]))
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return bytes(model.SerializeToString())


# Answers


@pytest.mark.parametrize("pool", ["average", "flatten"])
def test_the_outputs_are_those_of_the_network(make: Make, pool: str) -> None:
    head = make_head(pool)
    outputs = make(make_onnx(head, pool)).run(BATCH)
    for name, expected in numpy_forward(BATCH, head, pool).items():
        np.testing.assert_allclose(getattr(outputs, name), expected, rtol=1e-5, atol=1e-5)


def test_shapes_and_types(make: Make) -> None:
    outputs = make(make_onnx(make_head())).run(BATCH)
    assert [value.shape for value in outputs[:3]] == [(3, 2), (3, GRID, GRID, CHANNELS), (3, CHANNELS)]
    assert {value.dtype for value in outputs[:3]} == {np.dtype(np.float32)}
    assert outputs.further == {}


def test_batches_of_any_size_and_layout_answer_alike(make: Make) -> None:
    engine = make(make_onnx(make_head()))
    together = engine.run(BATCH).logits
    for row in (2, 0, 1):
        np.testing.assert_allclose(engine.run(BATCH[row : row + 1]).logits[0], together[row], atol=1e-6)
    mirrored = BATCH[:, :, ::-1]  # a view that does not lie in one piece
    np.testing.assert_allclose(engine.run(mirrored).logits, engine.run(mirrored.copy()).logits, atol=1e-6)


def test_only_what_is_wanted_comes(make: Make) -> None:
    engine = make(make_onnx(make_head()))
    whole, bare = engine.run(BATCH), engine.run(BATCH, ())
    np.testing.assert_array_equal(bare.logits, whole.logits)
    assert (bare.features.size, bare.embedding.size) == (0, 0)
    some = engine.run(BATCH, ("embedding",))
    np.testing.assert_array_equal(some.embedding, whole.embedding)
    assert (some.logits.shape, some.features.size) == ((3, 2), 0)


def test_further_outputs_of_a_network_come_when_asked_for(make: Make) -> None:
    engine = make(with_output("attention"))
    assert sorted(engine.outputs) == ["attention", "embedding", "features", "logits"]
    assert engine.run(BATCH).further == {}
    found = engine.run(BATCH, ("attention", "features"))
    assert list(found.further) == ["attention"]
    planes = found.further["attention"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(np.where(found.features > 0, planes, 0), found.features, atol=1e-6)


def test_an_answer_stays_when_the_next_batch_comes(make: Make) -> None:
    engine = make(make_onnx(make_head()))
    first = engine.run(BATCH)
    kept = [value.copy() for value in first[:3]]
    engine.run(1 - BATCH)
    for value, copy in zip(first[:3], kept, strict=True):
        np.testing.assert_array_equal(value, copy)


def test_several_threads_may_ask_at_once(make: Make) -> None:
    engine, head = make(make_onnx(make_head())), make_head()
    batches = [
        np.random.default_rng(seed).uniform(0, 1, (1 + seed % 4, SIZE, SIZE, 1)).astype(np.float32) for seed in range(40)
    ]
    with ThreadPoolExecutor(8) as pool:
        for batch, outputs in zip(batches, pool.map(engine.run, batches), strict=True):
            np.testing.assert_allclose(outputs.logits, numpy_forward(batch, head)["logits"], rtol=1e-5, atol=1e-5)


def test_an_engine_says_what_it_is() -> None:
    onnx = make_onnx(make_head())
    assert (OnnxEngine(onnx, 2).name, OnnxEngine(onnx, 2).precision, OnnxEngine(onnx, 2).threads) == (
        "onnxruntime",
        "float32",
        2,
    )
    assert (OpenvinoEngine(onnx, 1).name, OpenvinoEngine(onnx, 1).precision) == ("openvino", "float32")


def test_openvino_computes_in_float32_even_where_the_processor_has_bfloat16() -> None:
    # bfloat16 has 8 bits of mantissa: it would be off by some 0.003 here.
    logits = OpenvinoEngine(make_onnx(make_head()), 1).run(BATCH).logits
    assert np.abs(logits - numpy_forward(BATCH, make_head())["logits"]).max() < 2e-6


def test_bfloat16_comes_close_or_is_refused_by_the_processor() -> None:
    try:
        engine = OpenvinoBfloat16Engine(make_onnx(make_head()), 1)
    except LungwiseError as refusal:
        assert str(refusal) == (  # noqa: PT017 - which of the two happens is the processor's choice
            "The engine 'openvino-bf16' needs a processor that computes in bfloat16, this one does not; take 'openvino'."
        )
        return
    change = np.abs(engine.run(BATCH).logits - numpy_forward(BATCH, make_head())["logits"]).max()
    assert 1e-6 < change < 0.05
    assert engine.precision == "bfloat16"


# Refusals


@pytest.mark.parametrize("data", [b"", b"no network", make_onnx(make_head())[:300]])
def test_what_is_no_network_is_refused(make: Make, data: bytes) -> None:
    with pytest.raises(BundleError, match=r"^model\.onnx cannot be loaded \(.+\); export the bundle again\.$"):
        make(data)


def test_a_network_without_a_feature_map_is_refused(make: Make) -> None:
    data = make_onnx(make_head(), names=("logits", "map", "embedding"))
    with pytest.raises(BundleError, match=r"must have the outputs .*, it lacks \['features'\]; export it again\.$"):
        make(data)


def test_a_network_with_another_input_is_refused(make: Make) -> None:
    with pytest.raises(BundleError, match=r"must have the one input 'image', it has \['x'\]; export it again\.$"):
        make(make_onnx(make_head(), image="x"))


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (np.zeros((1, 64, 64, 1), np.float32), r"float32 \[1, 64, 64, 1\]"),
        (BATCH[..., 0], r"float32 \[3, 32, 32\]"),
        (BATCH.astype(np.float64), r"float64 \[3, 32, 32, 1\]"),
        (BATCH[:0], r"float32 \[0, 32, 32, 1\]"),
    ],
)
def test_another_batch_is_refused_and_the_next_is_answered(make: Make, batch: np.ndarray, said: str) -> None:
    engine = make(make_onnx(make_head()))
    with pytest.raises(BundleError, match=rf"^model\.onnx cannot take {said} \(.+\); export the bundle again\.$"):
        engine.run(batch)
    np.testing.assert_allclose(engine.run(BATCH).logits, numpy_forward(BATCH, make_head())["logits"], rtol=1e-5, atol=1e-5)


def test_an_output_that_a_network_lacks_is_refused(make: Make) -> None:
    with pytest.raises(
        BundleError, match=r"^model\.onnx has no output \['attention'\], only \['logits', 'features', 'embedding'\]"
    ):
        make(make_onnx(make_head())).run(BATCH, ("attention",))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_logit_that_is_no_number_is_refused(make: Make, value: float) -> None:
    head = make_head()
    head.b2[0] = value
    with pytest.raises(BundleError, match=r"a logit is not; its weights are damaged\.$"):
        make(make_onnx(head)).run(BATCH)


# Outputs


def test_outputs_of_batches_are_joined() -> None:
    engine = OnnxEngine(with_output("attention"), 1)
    wanted = (*STANDARD, "attention")
    whole = engine.run(BATCH, wanted)
    parts = joined([engine.run(BATCH[:2], wanted), engine.run(BATCH[2:], wanted)])
    for name in STANDARD:
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-6)
    np.testing.assert_allclose(parts.further["attention"], whole.further["attention"], atol=1e-6)
    assert joined([]) == Outputs()


def test_the_first_view_stands_for_an_image() -> None:
    engine = OnnxEngine(with_output("attention"), 1)
    outputs = engine.run(BATCH, ("features", "attention"))
    found = outputs.of_views(outputs.logits[:1], 3)
    assert [len(value) for value in (found.logits, found.features, found.further["attention"])] == [1, 1, 1]
    np.testing.assert_array_equal(found.features, outputs.features[:1])


def test_a_signal_is_handled_after_an_openvino_network_is_gone(tmp_path: Path) -> None:
    """OpenVINO lends the thread that loads a network a stack for signals, and takes it back with the network."""
    (tmp_path / "model.onnx").write_bytes(make_onnx(make_head()))
    script = (
        "import gc, os, pathlib, signal, sys\n"
        "from lungwise.inference.openvino_engine import OpenvinoEngine\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('handled'))\n"
        "engine = OpenvinoEngine(pathlib.Path(sys.argv[1]).read_bytes(), 1)\n"
        "del engine; gc.collect()\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "model.onnx"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
