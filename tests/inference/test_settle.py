"""What is fastest is measured once, checked against ONNX Runtime, and remembered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lungwise.bundle.store import Bundle, read_bundle
from lungwise.errors import BundleError, MissingExtraError
from lungwise.inference import settle as module
from lungwise.inference.engine import Array, Engine
from lungwise.inference.onnx_engine import OnnxEngine
from lungwise.inference.predictor import Predictor
from lungwise.inference.remembered import machine, notes_folder, recall, remember
from lungwise.inference.samples import film_like
from lungwise.inference.settle import Settled, moved, settle
from tests.bundle_factory import make_bundle, make_head, make_spec

NOTE = Settled(engine="onnxruntime", threads=1, batch=4, rate=1.5, rates={"onnxruntime": 1.0}, moves={"onnxruntime": 0.0})


class Offset(OnnxEngine):
    """An engine whose first logit is off."""

    by = 0.0

    def _forward(self, batch: Array, wanted: Sequence[str]) -> Sequence[Array]:
        logits, *rest = super()._forward(batch, wanted)
        return [logits + np.float32([self.by, 0]), *rest]


class Unloadable(OnnxEngine):
    def _load(self, onnx: bytes) -> tuple[Sequence[str], Sequence[str]]:
        return ["x"], []


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUNGWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LUNGWISE_ENGINE", raising=False)
    return tmp_path / "cache" / "engines"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return read_bundle(make_bundle(tmp_path / "m"))


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[type[OnnxEngine], float]]:
    """Name to kind and seconds of a forward pass; time stands still but for them."""
    known: dict[str, tuple[type[OnnxEngine], float]] = {"onnxruntime": (OnnxEngine, 1.0)}
    clock = [0.0]

    def opened(onnx: bytes, name: str, threads: int) -> Engine:
        kind, seconds = known[name]

        class Timed(kind):  # type: ignore[valid-type, misc]
            def _forward(self, batch: Array, wanted: Sequence[str]) -> Sequence[Array]:
                clock[0] += seconds
                return list(super()._forward(batch, wanted))

        return Timed(onnx, threads)

    monkeypatch.setattr(module, "open_engine", opened)
    monkeypatch.setattr(module, "installed", lambda: tuple(known))
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(module, "usable_cores", lambda: 2)
    monkeypatch.setattr(module, "hardware_threads", lambda: 2)
    return known


Known = dict[str, tuple[type[OnnxEngine], float]]


def kind(by: float, precision: str = "float32") -> type[OnnxEngine]:
    return type("Kind", (Offset,), {"by": by, "precision": precision})


# Choice


def test_the_fastest_is_taken(bundle: Bundle, engines: Known) -> None:
    engines["openvino"] = (OnnxEngine, 0.5)
    found = settle(bundle)
    assert (found.engine, found.threads) == ("openvino", 2)
    assert found.rates == {"onnxruntime": 8.0, "openvino": 16.0}
    assert found.moves == {"onnxruntime": 0.0, "openvino": 0.0}
    assert (found.batch, found.rate) == (16, 32.0)  # a pass takes as long with 16 images as with one here


def test_what_is_hardly_faster_is_not_worth_another_engine(bundle: Bundle, engines: Known) -> None:
    engines["openvino"] = (OnnxEngine, 0.97)
    assert settle(bundle).engine == "onnxruntime"


@pytest.mark.parametrize(
    ("by", "precision", "taken"),
    [
        (0.0001, "float32", True),
        (0.01, "float32", False),
        (0.01, "bfloat16", True),
        (0.05, "bfloat16", False),
    ],
)
def test_what_moves_probabilities_is_not_taken(bundle: Bundle, engines: Known, by: float, precision: str, taken: bool) -> None:
    engines["openvino"] = (kind(by, precision), 0.1)
    found = settle(bundle)
    assert found.engine == ("openvino" if taken else "onnxruntime")
    assert ("openvino" in found.rates) is taken
    assert found.moves["openvino"] == pytest.approx(np.tanh(by / 4), rel=0.02)


def test_an_engine_that_cannot_load_the_network_is_passed_over(bundle: Bundle, engines: Known) -> None:
    engines["openvino"] = (Unloadable, 0.1)
    found = settle(bundle)
    assert (found.engine, list(found.moves)) == ("onnxruntime", ["onnxruntime"])


def test_an_engine_that_was_asked_for_is_kept(bundle: Bundle, engines: Known) -> None:
    engines["openvino"] = (kind(0.05), 3.0)
    assert settle(bundle, "openvino").engine == "openvino"
    assert settle(bundle, "onnxruntime").engine == "onnxruntime"
    engines["openvino"] = (Unloadable, 0.1)
    with pytest.raises(BundleError, match="must have the one input 'image'"):
        settle(bundle, "openvino", again=True)


def test_threads_that_were_asked_for_are_kept(bundle: Bundle, engines: Known) -> None:
    assert settle(bundle, threads=1).threads == 1


def test_both_threads_of_a_core_are_taken_if_that_is_faster(
    bundle: Bundle, engines: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "hardware_threads", lambda: 4)
    assert settle(bundle).threads == 2  # no faster here
    opened, clock = module.open_engine, module.time.perf_counter
    made: list[int] = []

    def counted(onnx: bytes, name: str, threads: int) -> Engine:
        made.append(threads)
        engines["onnxruntime"] = (OnnxEngine, 2.0 / threads)
        return opened(onnx, name, threads)

    monkeypatch.setattr(module, "open_engine", counted)
    assert settle(bundle, again=True).threads == 4
    assert made == [2, 4]
    assert clock() > 0


def test_an_engine_that_is_not_installed_is_named(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"^The engine 'openvino' needs 'openvino'"):
        settle(bundle, "openvino")


def test_real_images_are_measured_where_there_are_some(bundle: Bundle, engines: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Array] = []
    monkeypatch.setattr(OnnxEngine, "run", lambda self, batch, wanted: seen.append(batch) or Engine.run(self, batch, wanted))
    settle(bundle, squares=np.full((3, 40, 40), 255, np.uint8))
    assert len(seen[0]) == 16
    assert all((batch == seen[0][0]).all() for batch in seen)
    settle(bundle, squares=np.zeros((0, 40, 40), np.uint8), again=True)
    assert seen[-1].std() > 0.1  # made up


def test_real_engines_settle(bundle: Bundle) -> None:
    found = settle(bundle)
    assert found.rate > 0
    assert found.moves["onnxruntime"] == 0
    assert found.moves.get("openvino", 0.0) < 1e-6
    assert found.engine in found.rates


# How far a probability moves


def test_a_probability_moves_most_at_one_half() -> None:
    logits, other = np.float32([[0.5, -0.5]]), np.float32([[0.7, -0.5]])
    found = moved(other, logits, make_spec())
    turned = 1 / (1 + np.exp(-0.1)) - 1 / (1 + np.exp(0.1))  # the same change, from -0.1 to 0.1
    assert found == pytest.approx(turned, abs=1e-6)


def test_a_sure_network_hides_nothing() -> None:
    sure = np.float32([[30.0, 0.0]])
    assert moved(sure + np.float32([0.4, 0]), sure, make_spec()) == pytest.approx(np.tanh(0.1), abs=1e-6)


def test_what_moves_all_logits_moves_no_probability() -> None:
    logits = np.float32([[1.0, 2.0], [3.0, -1.0]])
    assert moved(logits + 8, logits, make_spec()) == 0


def test_calibration_counts() -> None:
    logits, other = np.float32([[1.0, 2.0]]), np.float32([[1.2, 2.0]])
    assert moved(other, logits, make_spec(temperature=0.5)) == pytest.approx(np.tanh(0.1), abs=1e-6)
    mapped = make_spec(calibration_matrix=((3.0, 0.0), (0.0, 1.0)), calibration_bias=(0.0, 0.0))
    assert moved(other, logits, mapped) == pytest.approx(np.tanh(0.15), abs=1e-6)


# Memory


def test_it_is_measured_once(bundle: Bundle, engines: Known, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = settle(bundle)
    (note,) = notes.iterdir()
    assert json.loads(note.read_text()) == first.model_dump()
    engines["onnxruntime"] = (OnnxEngine, 0.25)
    assert settle(bundle) == first
    assert settle(bundle, again=True).rate == 4 * first.rate == settle(bundle).rate
    monkeypatch.setattr(module, "usable_cores", lambda: 1)
    assert settle(bundle).threads == 1


def test_another_bundle_is_another_question(tmp_path: Path, bundle: Bundle, engines: Known, notes: Path) -> None:
    settle(bundle)
    settle(read_bundle(make_bundle(tmp_path / "other", make_head(seed=5))))
    assert len(list(notes.iterdir())) == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"engine": 3}', NOTE.model_dump_json().replace("1.5", "-1.5"), "\udcff", "x" * 100_000]
)
def test_a_damaged_note_is_measured_anew(bundle: Bundle, engines: Known, notes: Path, text: str) -> None:
    first = settle(bundle)
    (note,) = notes.iterdir()
    note.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert settle(bundle) == first
    assert json.loads(note.read_text()) == first.model_dump()


def test_a_folder_that_cannot_be_written_to_is_no_error(bundle: Bundle, engines: Known, notes: Path) -> None:
    notes.parent.parent.mkdir(exist_ok=True)
    notes.parent.write_text("a file where the folder should be")
    assert settle(bundle).engine == "onnxruntime"
    assert notes.parent.is_file()


def test_without_a_home_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    remember(["a"], NOTE)
    assert recall(["a"], Settled) is None


def test_where_notes_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert notes_folder() == tmp_path / "cache" / "engines"
    monkeypatch.delenv("LUNGWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert notes_folder() == tmp_path / "xdg" / "lungwise" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert notes_folder() == tmp_path / ".cache" / "lungwise" / "engines"


def test_another_machine_or_library_is_another_question(monkeypatch: pytest.MonkeyPatch) -> None:
    remember(["a", 1], NOTE)
    assert recall(["a", 1], Settled) == NOTE
    assert recall(["a", 2], Settled) is None
    with monkeypatch.context() as changed:
        changed.setattr("lungwise.inference.remembered.machine", lambda: "another")
        assert recall(["a", 1], Settled) is None
    monkeypatch.setattr("lungwise.inference.remembered.version", lambda name: "99")
    assert recall(["a", 1], Settled) is None


def test_a_machine_is_described() -> None:
    assert machine().strip()
    assert "\n" not in machine()


# Predictor


def test_a_predictor_takes_what_was_found(bundle: Bundle, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (60, 50), dtype=np.uint8)
    predictor = Predictor(bundle, threads=1)
    before = predictor.predict(grey)
    found = predictor.settle()
    assert (found.threads, predictor._engine.name, predictor._batch) == (1, found.engine, found.batch)
    after = predictor.predict(grey)
    assert before.decision == after.decision
    np.testing.assert_allclose(list(after.probabilities.values()), list(before.probabilities.values()), atol=1e-4)
    assert len(list(notes.iterdir())) == 1
    assert Predictor(bundle, threads=1).settle() == found


def test_a_predictor_keeps_the_engine_that_it_was_made_with(bundle: Bundle) -> None:
    predictor = Predictor(bundle, 1, "onnxruntime")
    assert predictor.settle().engine == "onnxruntime"


def test_one_image_neither_measures_nor_looks_into_notes(tmp_path: Path) -> None:
    make_bundle(tmp_path / "m")
    code = (
        "import sys, numpy as np, lungwise; lungwise.load(sys.argv[1]).predict(np.zeros((40, 40), np.uint8)); "
        "print(sorted(name for name in sys.modules if name in ('openvino', 'lungwise.inference.settle')))"
    )
    reply = subprocess.run([sys.executable, "-c", code, tmp_path / "m"], capture_output=True, text=True, check=True)
    assert reply.stdout.strip() == "[]"
    assert not (tmp_path / "cache").exists()


# Made-up images


def test_made_up_squares_are_films_of_a_kind() -> None:
    found = film_like(3, 64)
    assert (found.shape, found.dtype) == ((3, 64, 64), np.dtype(np.uint8))
    assert (found == film_like(3, 64)).all()
    assert (found != film_like(3, 64, seed=1)).any()
    assert (found[0] != found[1]).any()
    lungs, middle = found[:, 28:36, 10:20].mean(), found[:, 28:36, 30:34].mean()
    assert lungs < middle - 20
    assert film_like(0, 64).shape == (0, 64, 64)
