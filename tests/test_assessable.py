"""What an export fits: checks that suit the collection, a reference of the training part, a limit from the validation part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from lungwise import assessable
from lungwise.assessable import CHECKS, FEWEST, MARGIN, evenly, fit_assessable
from lungwise.bundle.store import read_bundle, write_bundle
from lungwise.data.phantoms import CLASSES, make_phantom
from lungwise.data.store import PreparedData
from lungwise.imaging.grey import PHOTOGRAPH
from lungwise.imaging.preprocess import Preprocess, resize
from lungwise.inference.novelty import FILE
from lungwise.inference.predictor import Predictor
from tests.bundle_factory import CHANNELS, kernels, make_head, make_onnx, make_spec

NUMBER = 60
SIDE = 64


def prepared(squares: NDArray[np.uint8], **columns: list[object]) -> PreparedData:
    """A data set in memory: two of three rows for training, one for validation."""
    number = len(squares)
    plain: dict[str, list[object]] = {
        "image": [str(row) for row in range(number)],
        "label": [("normal", "sick")[row % 2] for row in range(number)],
        "split": [("train", "train", "validation")[row % 3] for row in range(number)],
        "status": ["ok"] * number,
        "width": [400] * number,
        "height": [400] * number,
    }
    made = Preprocess(stored=SIDE, size=32)
    facts = {"preprocess": made.model_dump(), "labels": ["normal", "sick"], "fingerprint": "f"}
    return PreparedData(Path("nowhere"), pl.DataFrame({**plain, **columns}), squares, facts)


@pytest.fixture(scope="module")
def films() -> NDArray[np.uint8]:
    rng = np.random.default_rng(3)
    return np.stack([resize(make_phantom(CLASSES[row % 3], rng).pixels, SIDE) for row in range(NUMBER)])


ONNX = make_onnx(make_head())
SPEC = make_spec(preprocess=Preprocess(stored=SIDE, size=32))


def test_phantoms_are_accepted_by_a_bundle_of_phantoms(films: NDArray[np.uint8]) -> None:
    block, novelty = fit_assessable(ONNX, SPEC, prepared(films))
    assert (block.checks, block.off, block.note) == (CHECKS, {}, "")
    assert (block.fitted, block.validation) == (40, 20)
    assert block.rejected is not None
    assert block.rejected <= 0.05
    assert novelty is not None
    assert novelty.means.shape == (2, CHANNELS)


def test_the_limit_lies_a_tenth_beyond_the_validation_images(films: NDArray[np.uint8]) -> None:
    made = SPEC
    block, novelty = fit_assessable(ONNX, made, prepared(films))
    data = prepared(films)
    assert novelty is not None
    features = assessable._features(assessable.open_engine(ONNX), made, data.validation)
    assert block.limit == pytest.approx(MARGIN * novelty.distances(features).max())


def test_checks_that_do_not_suit_the_collection_are_switched_off_and_named(films: NDArray[np.uint8]) -> None:
    data = prepared(255 - films, width=[100] * NUMBER)
    block, _ = fit_assessable(ONNX, SPEC, data)
    assert block.off["inverted"] >= 0.9
    assert block.off["tiny"] == 1
    assert set(block.checks) | set(block.off) == set(CHECKS)
    assert not set(block.checks) & set(block.off)


def test_one_bad_film_of_twenty_switches_nothing_off(films: NDArray[np.uint8]) -> None:
    spoilt = films.copy()
    spoilt[2] = 255 - spoilt[2]
    block, _ = fit_assessable(ONNX, SPEC, prepared(spoilt))
    assert block.off == {}
    assert block.rejected == pytest.approx(1 / 20)


def test_notes_of_colour_are_counted(films: NDArray[np.uint8]) -> None:
    data = prepared(films, notes=[f"colour image converted to grey; {PHOTOGRAPH}"] * NUMBER)
    block, _ = fit_assessable(ONNX, SPEC, data)
    assert block.off == {"colour": 1.0}


def test_without_the_data_every_check_counts_and_it_is_said() -> None:
    block, novelty = fit_assessable(ONNX, make_spec(), None)
    assert novelty is None
    assert (block.checks, block.limit, block.rejected) == (CHECKS, None, None)
    assert block.note == "the data that it learnt from were not at hand, or had no validation part"


def test_too_few_validation_images_give_no_limit(films: NDArray[np.uint8]) -> None:
    block, novelty = fit_assessable(ONNX, SPEC, prepared(films[:30]))
    assert novelty is None
    assert block.limit is None
    assert block.note == f"a limit needs {FEWEST} images of each part, one has 10"


def test_many_images_are_thinned_out_evenly(films: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assessable, "MOST", 10)
    chosen = evenly(prepared(films, label=["normal"] * 50 + ["sick"] * 10).train)
    assert len(chosen) == 10
    assert np.bincount(chosen.y).tolist() == [5, 5]
    assert (np.diff(chosen.rows) > 0).all()
    np.testing.assert_array_equal(chosen.rows, evenly(prepared(films, label=["normal"] * 50 + ["sick"] * 10).train).rows)


@pytest.mark.parametrize("pool", ["average", "flatten"])
def test_a_bundle_with_its_reference_answers_films_and_turns_others_away(
    films: NDArray[np.uint8], tmp_path: Path, pool: str
) -> None:
    head = make_head(pool)
    made, onnx = SPEC.model_copy(update={"head": pool}), make_onnx(head, pool)
    block, novelty = fit_assessable(onnx, made, prepared(films))
    assert novelty is not None
    place, only_far = tmp_path / "model", block.model_copy(update={"checks": ()})
    write_bundle(place, made.model_copy(update={"novelty": only_far}), onnx, head, extras={FILE: novelty.to_bytes()})
    predictor = Predictor(read_bundle(place), threads=1)
    assert sum(result.status == "ok" for result in predictor.predict_all(list(films))) >= 0.95 * NUMBER
    # What the first channel looks for, all over: nothing that a film has.
    tile = np.kron(kernels()[0][0] > 0, np.ones((2, 2))).astype(np.uint8) * 255
    result = predictor.predict(np.tile(tile, (4, 4)))
    assert result.status == "cannot assess"
    assert result.reasons[0].startswith("unlike the films that the model learnt from (distance ")
