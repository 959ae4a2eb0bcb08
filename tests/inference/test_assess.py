"""Images that cannot be assessed get no class, and plain reasons."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.bundle.spec import NoveltySpec
from lungwise.bundle.store import Bundle, read_bundle
from lungwise.data.phantoms import CLASSES, make_phantom
from lungwise.errors import BundleError
from lungwise.imaging.grey import PHOTOGRAPH
from lungwise.imaging.radiograph import Radiograph
from lungwise.inference.assess import Assessor, looks
from lungwise.inference.novelty import FILE, Novelty
from lungwise.inference.predictor import Predictor
from tests.bundle_factory import CHANNELS, make_bundle

Grey = NDArray[np.uint8]
ALL = ("blank", "tiny", "inverted", "rotated", "lateral", "not-chest", "cut-off", "colour")


def novelty(place: float) -> Novelty:
    """Training images that all had the same features, give or take one."""
    eye = np.eye(CHANNELS, dtype=np.float32)
    return Novelty(np.full((1, CHANNELS), place, np.float32), eye, np.ones(CHANNELS, np.float32), np.ones(1, np.float32))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return read_bundle(make_bundle(tmp_path_factory.mktemp("plain") / "model"))


@pytest.fixture(scope="module")
def film() -> Grey:
    return make_phantom(CLASSES[0], np.random.default_rng(5)).pixels


def asking(bundle: Bundle, place: float | None = None, *, assess_anyway: bool = False, **block: Any) -> Predictor:
    """A predictor of the tiny bundle with a block of the specification, and features that are usual around ``place``."""
    spec = bundle.spec.model_copy(update={"novelty": NoveltySpec(**block)})
    extras = {} if place is None else {FILE: novelty(place).to_bytes()}
    return Predictor(replace(bundle, spec=spec, extras=extras), threads=1, assess_anyway=assess_anyway)


def test_a_film_is_answered(plain: Bundle, film: Grey) -> None:
    result = asking(plain, checks=ALL).predict(film)
    assert (result.status, result.reasons, result.warnings) == ("ok", (), ())
    assert result.decision in plain.spec.labels


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda film: 255 - film, "inverted: air is bright and bone is dark"),
        (lambda film: film[::-1], "upside down: turned by 180 degrees or mirrored"),
        (lambda film: np.full((300, 300), 90, np.uint8), "mostly border or blank: only 0% of the picture show something"),
        (lambda film: cv2.resize(film, (100, 120)), "tiny: its shorter side has 100 pixels, 128 are needed"),
        (lambda film: np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8), "not a frontal chest film"),
    ],
    ids=["inverted", "rotated", "blank", "tiny", "noise"],
)
def test_what_is_no_upright_film_gets_no_class(plain: Bundle, film: Grey, tmp_path: Path, change: Any, reason: str) -> None:
    place = tmp_path / "map.png"
    result = asking(plain, checks=ALL).predict(np.ascontiguousarray(change(film)), place)
    assert (result.status, result.decision, result.probabilities) == ("cannot assess", None, {})
    assert (result.conformal_set, result.heatmap, result.reasons) == (None, None, (reason,))
    assert not place.exists()
    said = json.loads(result.to_json())
    assert said["status"] == "cannot assess"
    assert said["reasons"] == [reason]
    assert said["model"] == "tiny"


def test_only_the_checks_of_the_bundle_count(plain: Bundle, film: Grey) -> None:
    small = np.asarray(cv2.resize(255 - film, (100, 100)), np.uint8)
    assert asking(plain, checks=("tiny",)).predict(small).reasons == ("tiny: its shorter side has 100 pixels, 128 are needed",)
    assert asking(plain, checks=()).predict(small).status == "ok"
    assert Predictor(plain, threads=1).predict(small).status == "ok"  # a bundle from before


def test_the_original_size_counts_and_not_that_of_the_decoded_part(plain: Bundle, film: Grey) -> None:
    large = Radiograph(np.asarray(cv2.resize(film, (100, 100)), np.uint8), original=(800, 800))
    assert asking(plain, checks=ALL).predict(large).status == "ok"


def test_far_from_the_training_images_there_is_no_class(plain: Bundle, film: Grey) -> None:
    result = asking(plain, 1000.0, limit=1.5).predict(film)
    assert (result.status, result.decision) == ("cannot assess", None)
    found = result.reasons[0]
    assert found.startswith("unlike the films that the model learnt from (distance ")
    assert found.endswith(", limit 1.50)")
    assert asking(plain, 0.0, limit=1000.0).predict(film).status == "ok"


def test_look_and_distance_both_give_their_reasons(plain: Bundle, film: Grey) -> None:
    first, second = asking(plain, 1000.0, limit=1.5, checks=ALL).predict(255 - film).reasons
    assert first == "inverted: air is bright and bone is dark"
    assert second.startswith("unlike the films")


def test_a_distance_that_is_not_a_number_is_too_far(plain: Bundle, film: Grey) -> None:
    assessor = Assessor(
        replace(
            plain, spec=plain.spec.model_copy(update={"novelty": NoveltySpec(limit=9.0)}), extras={FILE: novelty(0).to_bytes()}
        )
    )
    reasons = assessor.reasons([Radiograph(film)], [film[:40, :40]], np.full((1, CHANNELS), np.nan, np.float32))
    assert reasons == [("unlike the films that the model learnt from (distance inf, limit 9.00)",)]


def test_a_class_can_be_had_all_the_same(plain: Bundle, film: Grey, tmp_path: Path) -> None:
    result = asking(plain, checks=ALL, assess_anyway=True).predict(255 - film, tmp_path / "map.png")
    assert (result.status, result.reasons) == ("ok", ())
    assert result.decision in result.probabilities
    assert result.warnings == ("answered although it cannot be assessed: inverted: air is bright and bone is dark",)
    assert (tmp_path / "map.png").exists()


def test_in_a_batch_each_image_is_judged_by_itself(plain: Bundle, film: Grey) -> None:
    images = [film, 255 - film, b"no image", film[::-1].copy(), film]
    found = asking(plain, checks=ALL).predict_all(images)
    assert [result.status for result in found] == ["ok", "cannot assess", "error", "cannot assess", "ok"]
    assert found[0].probabilities == found[4].probabilities
    assert found[1].path == "image 1"


def test_prepared_squares_are_answered_without_a_question(plain: Bundle) -> None:
    squares = np.zeros((3, 40, 40), np.uint8)
    strict = asking(plain, 1000.0, limit=0.1, checks=ALL)
    np.testing.assert_array_equal(strict.probabilities(squares), Predictor(plain, threads=1).probabilities(squares))


def test_a_colour_photograph_is_named_as_one(plain: Bundle, film: Grey) -> None:
    assert asking(plain, checks=("colour",)).predict(Radiograph(film, (PHOTOGRAPH,))).reasons == (
        "a colour photograph, not a film",
    )
    assert looks(film[None, :200, :200], [(200, 200)], [[]]) == looks(film[None, :200, :200], [(200, 200)], [["other"]])


def test_a_limit_without_its_file_is_refused(plain: Bundle) -> None:
    with pytest.raises(BundleError, match=r"states a limit for novelty\.npz, but the bundle has no such file; export it again"):
        asking(plain, limit=1.5)


def test_a_damaged_reference_is_refused(plain: Bundle) -> None:
    spec = plain.spec.model_copy(update={"novelty": NoveltySpec(limit=1.5)})
    with pytest.raises(BundleError, match=r"novelty\.npz of the bundle is damaged"):
        Assessor(replace(plain, spec=spec, extras={FILE: b"no archive"}))


@pytest.mark.parametrize("block", [{"limit": 0}, {"limit": float("inf")}, {"checks": ("ugly",)}, {"off": {"blank": "x"}}])
def test_a_block_must_make_sense(block: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        NoveltySpec(**block)
