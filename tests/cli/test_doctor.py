"""``lungwise doctor``: a sound installation is called healthy, and each fault is one line with its cure."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lungwise.imaging import dicom_syntax
from lungwise.inference import doctor, doctor_trial, engines
from lungwise.inference.doctor import EXTRAS, PACKAGES, Check, examine
from lungwise.inference.machine import memory, processor
from lungwise.inference.settle import Settled
from tests.bundle_factory import make_bundle
from tests.cli.test_main import lungwise

ROOT = Path(__file__).parents[2]


def found(*arguments: object, code: int = 0) -> dict[str, Check]:
    """The checks by name."""
    document = json.loads(lungwise("doctor", "--json", *arguments, code=code).stdout)
    assert document["healthy"] is (code == 0)
    return {check["name"]: Check(**check) for check in document["checks"]}


@pytest.fixture(scope="module")
def checks() -> list[Check]:
    return list(examine())


def test_this_installation_is_healthy(checks: list[Check]) -> None:
    assert [check for check in checks if check.state == "broken"] == []
    assert [check.name for check in checks if check.part == "packages"] == ["lungwise", "python", *PACKAGES]


def test_every_codec_is_proved_by_a_picture(checks: list[Check]) -> None:
    names = [check.name for check in checks if check.part == "codecs"]
    syntaxes = (*dicom_syntax.NATIVE, *dicom_syntax.DECODERS)
    assert names == ["PNG", "JPEG", "TIFF", "BMP", *(f"DICOM {syntax.keyword}" for syntax in syntaxes)]


def test_every_engine_answers(checks: list[Check]) -> None:
    tests = {check.name: check for check in checks if check.part == "self-test"}
    assert list(tests) == [*engines.NAMES[1:], "sandbox"]
    assert tests["onnxruntime"].said.startswith("answers as expected (")


def test_the_text_fits_in_80_columns_and_ends_healthy() -> None:
    text = lungwise("doctor").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[0] == "Packages"
    assert text.endswith("Healthy.\n")
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_it_needs_no_training_package() -> None:
    code = "import sys; sys.modules.update(dict.fromkeys(['keras', 'tensorflow', 'onnx', 'matplotlib', 'scipy', 'sklearn']))\n"
    code += "from lungwise.cli.main import main; sys.argv = ['lungwise', 'doctor', '--json']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["healthy"]


def test_the_embedded_files_are_small() -> None:
    assert doctor_trial.SAMPLES.stat().st_size < 100_000


# A bundle of the user's


def test_a_bundle_is_verified_loaded_and_tried(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "model", name="mine")
    said = found("--model", model)
    assert said["loaded"].said.startswith("mine: normal, sick, ")
    assert len(said["SHA-256"].said) == 64
    assert said["predicted"].said.endswith(" ms")


def test_a_damaged_bundle_is_broken(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "model")
    (model / "model.onnx").write_bytes(b"x")
    result = lungwise("doctor", "--model", model, code=1)
    assert "Broken: model, model: " in result.stderr
    assert "model.onnx is not the file that was exported" in result.stderr
    assert "fetch the bundle again" in result.stderr
    assert "Healthy" not in result.stdout


def test_a_bundle_that_is_not_there_is_broken(tmp_path: Path) -> None:
    check = found("--model", tmp_path / "none", code=1)["none"]
    assert check.said.endswith("does not exist")
    assert check.cure == "correct --model."


def test_speeds_are_measured_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Settled(
        engine="openvino", threads=2, batch=8, rate=21.5, rates={"onnxruntime": 9.0, "openvino": 20.0},
        moves={"onnxruntime": 0.0, "openvino": 1e-6},
    )  # fmt: skip
    monkeypatch.setattr("lungwise.inference.settle.settle", lambda bundle: settled)
    model = make_bundle(tmp_path / "model")
    said = [check for check in examine(model, settle=True) if check.part == "speed"]
    assert said[1].said == "20.0 images/s, moves a probability by 1e-06 at most"
    assert said[-1].said == "openvino, 2 threads, batches of 8: 21.5 images/s"


def test_speeds_are_those_of_a_bundle() -> None:
    assert "--settle measures a bundle; name it with --model." in lungwise("doctor", "--settle", code=2).stderr


# What may be wrong


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def without(name: str) -> str:
        if name in ("polars", "opencv-python-headless"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "5.0" if name == "opencv-python" else version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    said = found(code=1)
    assert (said["polars"].said, said["polars"].cure) == ("not installed", "pip install polars")
    assert said["opencv-python-headless"].state == "ok"  # another build of it is there


def test_a_codec_that_is_not_installed_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    real = dicom_syntax.get_decoder

    def without(syntax: Any) -> Any:
        kept = tuple(plugin for plugin in real(syntax).available_plugins if plugin not in ("gdcm", "pyjpegls"))
        return SimpleNamespace(available_plugins=kept)

    monkeypatch.setattr(dicom_syntax, "get_decoder", without)
    said = {check.name: check for check in doctor_trial.codecs()}
    assert said["DICOM JPEGLossless"] == Check(
        "codecs", "DICOM JPEGLossless", "absent", "its decoder is not installed", "pip install python-gdcm"
    )
    assert said["DICOM JPEGLSLossless"].cure == "pip install pyjpegls"
    assert said["DICOM RLELossless"].state == "ok"


def test_a_codec_that_gives_another_picture_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor_trial.decode

    def wrong(data: bytes) -> Any:
        found = real(data)
        return SimpleNamespace(pixels=255 - found.pixels) if data[:2] == b"BM" else found

    monkeypatch.setattr(doctor_trial, "decode", wrong)
    said = {check.name: check for check in doctor_trial.codecs()}
    assert (said["BMP"].state, said["BMP"].said) == ("broken", "decodes to another picture")
    assert said["TIFF"].state == "ok"


def test_an_engine_that_answers_wrongly_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor_trial.sample
    wrong = json.dumps({"normal": 0.5, "opacity": 0.5}).encode()
    monkeypatch.setattr(doctor_trial, "sample", lambda name: wrong if name == "expected.json" else real(name))
    said = {check.name: check for check in doctor_trial.self_test()}
    assert said["onnxruntime"].said == "answers 0.44 away from what is expected"
    assert said["sandbox"].state == "ok"


def test_an_engine_that_is_not_installed_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    said = {check.name: check for check in doctor_trial.self_test()}
    assert (said["openvino"].state, said["openvino"].cure) == ("absent", "pip install 'lungwise[openvino]'")


def test_an_extra_that_is_missing_or_incomplete_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda module: None if module in ("optuna", "gdcm") else True)
    said = {check.name: check for check in doctor._extras()}
    assert (said["tune"].said, said["tune"].cure) == ("not installed", "pip install 'lungwise[tune]'")
    assert said["dicom"].said == "without gdcm"
    assert said["train"].state == "ok"


def test_a_temporary_folder_that_cannot_be_written_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    check = doctor._temporary()
    assert (check.state, check.said) == ("broken", "cannot be written (No such file or directory)")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=3_000_000))
    assert doctor._temporary().said.endswith(", 3 MB free")


def test_too_little_memory_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "memory", lambda: (512_000_000, 100_000_000))
    check = next(check for check in doctor._machine() if check.name == "memory")
    assert (check.state, check.said, check.cure) == ("broken", "0.1 of 0.5 GB free", "Give it at least 400 MB.")


def test_the_extras_are_those_of_the_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == set(declared["optional-dependencies"]) - {"dev", "imagenet"}
    assert sorted(PACKAGES) == sorted(requirement.split(">=")[0] for requirement in declared["dependencies"])


# The machine


def system(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_features_of_an_x86_processor(tmp_path: Path) -> None:
    text = "processor : 0\nmodel name\t: Xeon\nflags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16 amx_tile\n"
    assert processor(system(tmp_path, {"proc/cpuinfo": text * 2})) == ("Xeon", ["AVX2", "AVX-512", "VNNI", "bf16", "AMX"])


def test_features_of_an_arm_processor(tmp_path: Path) -> None:
    name, features = processor(system(tmp_path, {"proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd i8mm bf16\n"}))
    assert name
    assert features == ["bf16", "NEON", "I8MM"]


MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"


@pytest.mark.parametrize(
    ("files", "total", "free"),
    [
        ({}, 16_384_000_000, 8_192_000_000),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 16_384_000_000, 8_192_000_000),
        (
            {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "10\n", "sys/fs/cgroup/a/memory.current": "4\n"},
            10,
            6,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/\n2:memory:/a\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "10\n",
                "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "12\n",
            },
            10,
            0,
        ),
    ],
)
def test_memory_is_what_the_process_may_have(tmp_path: Path, files: dict[str, str], total: int, free: int) -> None:
    assert memory(system(tmp_path, {"proc/meminfo": MEMINFO, **files})) == (total, free)


def test_the_samples_show_one_picture() -> None:
    truth = doctor_trial.decode(doctor_trial.sample("ExplicitVRLittleEndian.dcm")).pixels
    assert truth.shape == (64, 96)
    assert np.ptp(truth) > 200


@pytest.mark.slow
def test_the_embedded_files_are_those_of_the_tool(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    specification = importlib.util.spec_from_file_location("make_selftest", ROOT / "tools" / "make_selftest.py")
    assert specification
    assert specification.loader
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    expected = dict(zip(tool.LABELS, tool.expected(doctor_trial.sample("film.png")), strict=True))
    assert json.loads(doctor_trial.sample("expected.json")) == pytest.approx(expected, abs=1e-9)
