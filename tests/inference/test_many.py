"""A long batch runs networks beside each other, and answers as a short one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.bundle.store import read_bundle
from lungwise.errors import BundleError, LungwiseError
from lungwise.inference import many
from lungwise.inference.many import BATCH, FEW
from lungwise.inference.predictor import Predictor
from tests.bundle_factory import make_bundle, make_head, make_onnx

Grey = NDArray[np.uint8]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """The tiny bundle on two threads, whatever the machine has."""
    return Predictor(read_bundle(make_bundle(tmp_path_factory.mktemp("wide") / "m")), threads=2)


@pytest.mark.parametrize("number", [FEW - 1, FEW, FEW + 1, FEW + BATCH, 3 * FEW + 5])
def test_any_number_is_answered_in_order_and_as_on_one_thread(
    wide: Predictor, predictor: Predictor, greys: list[Grey], number: int
) -> None:
    images = [greys[index % 5] for index in range(number)]
    found = list(wide.predict_many(images))
    assert [result.path for result in found] == [f"image {index}" for index in range(number)]
    assert [result.probabilities for result in found] == [result.probabilities for result in predictor.predict_many(images)]


def test_networks_run_beside_each_other_only_in_a_long_batch(
    wide: Predictor, greys: list[Grey], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = many.beside_each_other

    def counted(predictor: Predictor) -> tuple[Predictor, int]:
        asked.append(predictor.engine.threads)
        return real(predictor)

    monkeypatch.setattr(many, "beside_each_other", counted)
    list(wide.predict_many([greys[0]] * FEW))
    assert asked == []
    list(wide.predict_many([greys[0]] * (FEW + 1)))
    assert asked == [2]


def test_who_runs_beside_each_other(wide: Predictor, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    lean, callers = many.beside_each_other(wide)
    assert (lean.engine.threads, callers, wide.engine.threads) == (1, 2, 2)
    assert many.beside_each_other(predictor) == (predictor, 1)
    monkeypatch.setattr(many, "LARGE", 10)
    assert many.beside_each_other(wide) == (wide, 1)


def test_a_long_batch_takes_no_more_than_a_few_batches_ahead(wide: Predictor, greys: list[Grey]) -> None:
    taken = 0

    def source() -> object:
        nonlocal taken
        for index in range(3 * FEW):
            taken += 1
            yield greys[index % 5]

    for done, _ in enumerate(wide.predict_many(source())):  # type: ignore[arg-type]
        assert taken - done <= 6 * BATCH + 64
    assert taken == 3 * FEW


def test_an_error_in_a_long_batch_is_passed_on(tmp_path: Path, wide: Predictor, greys: list[Grey]) -> None:
    damaged = make_head()
    damaged.b2[0] = np.nan
    broken = Predictor(wide.bundle, threads=2)
    broken.bundle = read_bundle(make_bundle(tmp_path / "m"))
    object.__setattr__(broken.bundle, "onnx", make_onnx(damaged))
    answers = broken.predict_many([greys[0]] * (2 * FEW))
    with pytest.raises(BundleError, match="a logit is not; its weights are damaged"):
        list(answers)


@pytest.mark.parametrize("views", [0, 17, -1])
def test_so_many_views_there_are_not(wide: Predictor, views: int) -> None:
    with pytest.raises(LungwiseError, match=rf"^An image has 1 to 16 views, got {views}; choose a number in between\.$"):
        Predictor(wide.bundle, views=views)


def test_other_views_than_the_bundles_are_averaged_and_noted(tmp_path: Path, wide: Predictor, greys: list[Grey]) -> None:
    told = Predictor(wide.bundle, threads=1, views=5).predict(greys[0])
    made = Predictor(read_bundle(make_bundle(tmp_path / "m", views=5)), threads=1).predict(greys[0])
    assert told.probabilities == made.probabilities != wide.predict(greys[0]).probabilities
    assert made.warnings == ()
    assert told.warnings == ("averaged over 5 views, but calibrated and evaluated with 1",)
