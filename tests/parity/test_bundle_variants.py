"""A trained run with smaller networks and tests on other data: what its bundle and card say is what was measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lungwise.bundle.store import read_bundle
from lungwise.data.phantoms import write_phantoms
from lungwise.data.prepare import Request, prepare
from lungwise.data.store import PreparedData
from lungwise.errors import BundleError
from lungwise.imaging.preprocess import Preprocess
from lungwise.inference.predictor import load
from lungwise.pipeline import evaluate_bundle, export_run
from tests.cli.test_main import lungwise


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    """A copy of the run that may be written into."""
    return Path(shutil.copytree(small_run, tmp_path / "run"))


def test_a_variant_is_exported_with_what_it_costs(small_run: Path, small_data: PreparedData, tmp_path: Path) -> None:
    lungwise("export", small_run, "--out", tmp_path / "model", "--variants", "fp16", "--contact", "A | B", "--license", "mit")
    bundle = read_bundle(tmp_path / "model", "fp16")
    cost, part = bundle.spec.variants["fp16"], small_data.validation
    full, half = (
        load(tmp_path / "model", precision=name).probabilities(small_data.pixels[part.rows]) for name in ("fp32", "fp16")
    )
    assert (cost.images, cost.bytes) == (len(part), len(bundle.onnx))
    assert cost.largest == pytest.approx(np.abs(half - full).max(), abs=1e-6)
    assert cost.accuracy == (half.argmax(axis=1) == part.y).mean()
    assert len(bundle.onnx) < 0.6 * len(read_bundle(tmp_path / "model").onnx)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| model_fp16.onnx | weights stored as float16, computed in float32 |" in card
    assert "license: mit\n" in card
    assert "A \\| B" in card


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--variants", "fp16,fp8"], "A variant must be one of fp16, int8, got 'fp8'; correct --variants."),
        (["--license", "My Own!"], "A licence must be named as the Hugging Face Hub does (cc-by-nc-4.0), got 'My Own!'"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(small_run: Path, tmp_path: Path, options: list[str], said: str) -> None:
    result = lungwise("export", small_run, "--out", tmp_path / "model", *options, code=2)
    assert f"Error: {said}" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_its_validation_images_no_variant_is_written(run: Path, tmp_path: Path) -> None:
    facts = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({**facts, "folder": str(tmp_path / "gone")}))
    with pytest.raises(BundleError, match="A variant is only exported with its measured change of accuracy"):
        export_run(run, tmp_path / "model", variants=["fp16"])
    assert not (tmp_path / "model").exists()


def test_a_test_on_other_data_stands_in_the_next_card(run: Path, tmp_path: Path) -> None:
    first = export_run(run, tmp_path / "first")
    source = write_phantoms(tmp_path / "elsewhere", 10, 3)
    other = prepare(source, tmp_path / "other", Request(spec=Preprocess(stored=40, size=40)))
    metrics = evaluate_bundle(load(first), other, run / "external" / "other")
    card = (export_run(run, tmp_path / "second") / "README.md").read_text().split("## External test")[1].split("\n## ")[0]
    found = metrics["parts"]["test"]
    assert f"On {found['images']} test images of {found['patients']} patients of run on other" in card
    assert f"| accuracy | {found['accuracy']['value']:.3f} |" in card
