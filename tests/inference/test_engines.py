"""Which engine is taken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lungwise.cli.main import app
from lungwise.errors import LungwiseError, MissingExtraError
from lungwise.imaging.png import write_png
from lungwise.inference.cores import usable_cores
from lungwise.inference.engines import installed, open_engine, wanted_engine
from lungwise.inference.predictor import Predictor, load
from tests.bundle_factory import make_bundle, make_head, make_onnx

ONNX = make_onnx(make_head())
GREY = np.random.default_rng(3).integers(0, 256, (60, 50), dtype=np.uint8)


@pytest.fixture(autouse=True)
def no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUNGWISE_ENGINE", raising=False)


def test_onnx_runtime_is_taken_unasked() -> None:
    engine = open_engine(ONNX)
    assert (engine.name, engine.threads) == ("onnxruntime", usable_cores())


def test_an_engine_can_be_asked_for() -> None:
    pytest.importorskip("openvino")
    assert open_engine(ONNX, "openvino", 1).name == "openvino"
    assert open_engine(ONNX, "onnxruntime", 3).threads == 3


def test_the_environment_is_asked_for_auto_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGWISE_ENGINE", " OpenVINO ")
    assert (wanted_engine(), wanted_engine("auto"), wanted_engine("onnxruntime")) == ("openvino", "openvino", "onnxruntime")
    monkeypatch.setenv("LUNGWISE_ENGINE", "")
    assert wanted_engine() == "auto"


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = "auto, onnxruntime, openvino, openvino-bf16"
    with pytest.raises(LungwiseError, match=rf"^engine must be one of {known}, got 'tensorrt'; correct it\.$"):
        open_engine(ONNX, "tensorrt")
    monkeypatch.setenv("LUNGWISE_ENGINE", "fast")
    with pytest.raises(LungwiseError, match=rf"^\$LUNGWISE_ENGINE must be one of {known}, got 'fast'; correct it\.$"):
        open_engine(ONNX)


@pytest.mark.parametrize("name", ["openvino", "openvino-bf16"])
def test_an_engine_that_is_not_installed_is_named_with_its_cure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    said = rf"^The engine '{name}' needs 'openvino', which is not installed: pip install 'lungwise\[openvino\]'\.$"
    with pytest.raises(MissingExtraError, match=said):
        open_engine(ONNX, name)


def test_what_is_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungwise.inference.engines.find_spec", lambda name: None)
    assert installed() == ("onnxruntime",)
    monkeypatch.setattr("lungwise.inference.engines.find_spec", lambda name: object())
    assert installed() == ("onnxruntime", "openvino", "openvino-bf16")


def test_a_predictor_answers_alike_with_each(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    bundle = make_bundle(tmp_path / "m")
    first, second = (load(bundle, 1, engine).predict(GREY) for engine in ("onnxruntime", "openvino"))
    assert first.decision == second.decision
    np.testing.assert_allclose(list(first.probabilities.values()), list(second.probabilities.values()), atol=1e-6)


def test_the_engine_that_is_not_asked_for_is_not_imported() -> None:
    code = "import lungwise.inference.engines, sys; print(sorted({'openvino', 'onnxruntime'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    reply = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert reply.stdout.strip() == "[]"


@pytest.mark.parametrize(("limit", "settled"), [(3, 0), (2, 1)])
def test_a_long_batch_on_the_command_line_settles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, settled: int
) -> None:
    called: list[Predictor] = []
    monkeypatch.setattr("lungwise.inference.engines.LONG", limit)
    monkeypatch.setattr(Predictor, "settle", lambda self: called.append(self))
    for name in ("a.png", "b.png"):
        write_png(tmp_path / "films" / name, GREY)
    bundle = make_bundle(tmp_path / "m")
    reply = CliRunner().invoke(app, ["predict", str(tmp_path / "films"), "--model", str(bundle), "--json"])
    assert (reply.exit_code, len(called)) == (0, settled)
    assert len(reply.output.splitlines()) == 2
