"""Near-duplicates: copies of made-up films are found, other films and blank ones are not."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data.audit.confirm import Film, similarity
from lungwise.data.audit.near import THRESHOLD, group_pairs, near_duplicates
from lungwise.data.audit.signature import KEPT, SIDE, features
from lungwise.data.phantoms import CLASSES, _Body, _film, _Opacity, make_phantom
from lungwise.errors import DataError
from lungwise.imaging.preprocess import Preprocess, to_square
from lungwise.imaging.radiograph import Radiograph

Image = NDArray[np.uint8]


def jpeg(film: Image) -> Image:
    """Through a JPEG file of quality 60."""
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_GRAYSCALE), np.uint8
    )


def half(film: Image) -> Image:
    """Half as many pixels a side."""
    return np.asarray(cv2.resize(film, (film.shape[1] // 2, film.shape[0] // 2), interpolation=cv2.INTER_AREA), np.uint8)


def lit(film: Image, gain: float, plus: float) -> Image:
    """Brighter or darker."""
    return np.clip(np.rint(film * gain + plus), 0, 255).astype(np.uint8)


def cropped(film: Image, top: float, bottom: float, left: float, right: float) -> Image:
    """Without a share of each side."""
    high, wide = film.shape
    return film[round(top * high) : high - round(bottom * high), round(left * wide) : wide - round(right * wide)]


COPIES: dict[str, Callable[[Image], Image]] = {
    "jpeg": jpeg,
    "half": half,
    "times 1.1": lambda film: lit(film, 1.1, 0.0),
    "times 0.9": lambda film: lit(film, 0.9, 0.0),
    "plus 10 %": lambda film: lit(film, 1.0, 25.5),
    "minus 10 %": lambda film: lit(film, 1.0, -25.5),
    "cropped": lambda film: cropped(film, 0.03, 0.03, 0.03, 0.03),
    "cropped left": lambda film: cropped(film, 0.0, 0.0, 0.03, 0.0),
    "all of it": lambda film: jpeg(lit(half(cropped(film, 0.03, 0.0, 0.01, 0.02)), 0.92, 0.0)),
}


def square(film: Image, side: int = 128) -> Image:
    """As a prepared data set keeps it."""
    return to_square(Radiograph(film), Preprocess(stored=side, size=side))


@pytest.fixture(scope="module")
def films() -> list[Image]:
    """Thirty films of thirty made-up patients."""
    return [make_phantom(CLASSES[number % 3], np.random.default_rng([5, number])).pixels for number in range(30)]


@pytest.mark.parametrize("name", COPIES)
def test_every_copy_is_found_and_nothing_else(films: list[Image], name: str) -> None:
    squares = np.stack([square(film) for film in films] + [square(COPIES[name](film)) for film in films])
    pairs = near_duplicates(squares)
    assert pairs.rows.dtype == np.int64
    assert pairs.similarity.dtype == np.float32
    np.testing.assert_array_equal(pairs.rows, [(row, row + 30) for row in range(30)])
    assert (pairs.similarity >= THRESHOLD).all()
    assert (pairs.similarity <= 1.0).all()


@pytest.mark.parametrize(("side", "fit"), [(192, "pad"), (512, "stretch")])
def test_other_sizes_and_padded_films(films: list[Image], side: int, fit: str) -> None:
    spec = Preprocess(stored=side, size=side, fit=fit)  # type: ignore[arg-type]
    some = films[:8]
    squares = np.stack([to_square(Radiograph(film), spec) for film in [*some, *(COPIES["all of it"](film) for film in some)]])
    np.testing.assert_array_equal(near_duplicates(squares).rows, [(row, row + 8) for row in range(8)])


def test_another_film_of_the_same_patient_is_no_copy() -> None:
    squares = []
    for patient in range(12):
        rng = np.random.default_rng([8, patient])
        body, opacity = _Body(rng), _Opacity("normal", rng)
        squares += [square(_film(body, opacity, rng).pixels) for _ in range(2)]
    assert len(near_duplicates(np.stack(squares))) == 0


def test_equal_squares_are_linked_to_the_first_however_many(films: list[Image]) -> None:
    one, other = square(films[0]), square(films[1])
    pairs = near_duplicates(np.stack([other, *[one] * 3000]))
    np.testing.assert_array_equal(pairs.rows, [(1, row) for row in range(2, 3001)])
    assert (pairs.similarity == 1.0).all()


def test_near_copies_of_one_film_make_one_group_with_as_few_pairs_as_possible(films: list[Image]) -> None:
    rng = np.random.default_rng(0)
    many = [square(cropped(films[0], *rng.uniform(0.0, 0.03, 4))) for _ in range(60)]
    pairs = near_duplicates(np.stack([*many, *(square(film) for film in films[1:4])]))
    assert len(pairs) == 59
    group = group_pairs(pairs.rows, 63)
    assert len(set(group[:60])) == 1
    assert len(set(group)) == 4


def test_two_copies_are_found_without_any_other_film(films: list[Image]) -> None:
    squares = np.stack([square(films[0]), square(jpeg(films[0]))])
    np.testing.assert_array_equal(near_duplicates(squares).rows, [(0, 1)])


def test_blank_films_take_no_part(films: list[Image]) -> None:
    blank = [np.full((128, 128), grey, np.uint8) for grey in (0, 0, 0, 128, 255, 255)]
    noise = np.random.default_rng(0).integers(120, 122, (128, 128)).astype(np.uint8)
    squares = np.stack([*blank, noise, noise, square(films[0]), square(jpeg(films[0]))])
    np.testing.assert_array_equal(near_duplicates(squares).rows, [(8, 9)])
    assert len(near_duplicates(squares[:8])) == 0


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_films_have_no_pairs(films: list[Image], n: int) -> None:
    pairs = near_duplicates(np.stack([square(films[0])])[:n])
    assert pairs.rows.shape == (0, 2)
    assert pairs.similarity.shape == (0,)
    assert len(pairs) == 0


def test_the_same_squares_give_the_same_pairs_and_progress_runs_to_the_end(films: list[Image]) -> None:
    squares = np.stack([square(film) for film in films] + [square(half(film)) for film in films])
    shares = list[float]()
    one, two = near_duplicates(squares, progress=shares.append), near_duplicates(squares)
    np.testing.assert_array_equal(one.rows, two.rows)
    np.testing.assert_array_equal(one.similarity, two.similarity)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_similarity_is_one_for_a_film_and_itself_and_small_for_strangers(films: list[Image]) -> None:
    assert similarity(Film(square(films[0])), Film(square(films[0]))) == pytest.approx(1.0, abs=1e-6)
    assert similarity(Film(square(films[0])), Film(square(films[1]))) < 0.4


def test_features_are_the_same_in_other_light_and_of_length_one(films: list[Image]) -> None:
    small = square(films[0], SIDE).astype(np.float32)
    vectors, textured = features(np.stack([small, 0.6 * small + 30.0, np.zeros_like(small)]))
    assert vectors.shape == (3, KEPT * KEPT)
    assert textured.tolist() == [True, True, False]
    assert np.linalg.norm(vectors, axis=1).tolist() == pytest.approx([1.0, 1.0, 0.0], abs=1e-5)
    assert float(vectors[0] @ vectors[1]) > 0.999


def test_groups_follow_links_through_others() -> None:
    group = group_pairs(np.array([(0, 3), (3, 5), (1, 2)]), 6)
    assert group[0] == group[3] == group[5] != group[1] == group[2]
    assert len(set(group)) == 3
    assert len(set(group_pairs(np.zeros((0, 2), np.int64), 4))) == 4


def test_what_is_no_square_or_threshold_is_refused() -> None:
    with pytest.raises(DataError, match=r"uint8 \[n, side, side\], got float64 of shape \(2, 8, 8\); pass a"):
        near_duplicates(np.zeros((2, 8, 8)))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"got uint8 of shape \(2, 8, 9\)"):
        near_duplicates(np.zeros((2, 8, 9), np.uint8))
    with pytest.raises(DataError, match=r"must be above 0 and at most 1, got 0.0; use 0.7"):
        near_duplicates(np.zeros((2, 8, 8), np.uint8), threshold=0.0)
