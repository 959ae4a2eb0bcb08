"""Distances from the training images' features, and the file that keeps them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lungwise.assessable import DIRECTIONS, fit
from lungwise.errors import BundleError
from lungwise.inference.novelty import Novelty, pooled

Floats = NDArray[np.float64]
PLAIN = Novelty(
    means=np.float32([[0, 0, 0], [10, 0, 0]]),
    directions=np.float32([[1, 0], [0, 1], [0, 0]]),
    deviations=np.float32([2, 1]),
    rest=np.float32([0.5]),
)
"""Two classes, ten apart along the widest of three axes."""


def cloud(images: int, channels: int, classes: int = 2, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Features that vary much along a few axes, with the classes apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(images) % classes
    widths = 1 / (1 + np.arange(channels))
    return rng.normal(size=(images, channels)) * widths + 3 * y[:, None], y


@pytest.mark.parametrize(
    ("features", "squared"),
    [
        ([0, 0, 0], 0),
        ([4, 0, 0], 4),  # two deviations along the first direction
        ([0, 3, 0], 9),
        ([0, 0, 1], 4),  # beside both directions: the rest's deviation
        ([12, 3, 1], 1 + 9 + 4),  # the second class is nearer
    ],
)
def test_distances_by_hand(features: list[float], squared: float) -> None:
    assert PLAIN.distances(np.float32([features])) == pytest.approx([np.sqrt(squared / 3)], abs=1e-6)


def test_a_flattened_map_is_averaged_over_its_places() -> None:
    places = np.float32([[0, 0, 0, 8, 0, 0]])
    assert PLAIN.distances(places) == pytest.approx(PLAIN.distances(np.float32([[4, 0, 0]])))
    np.testing.assert_array_equal(pooled(places, 3), [[4, 0, 0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_infinitely_far_and_harms_no_other_image(bad: float) -> None:
    found = PLAIN.distances(np.float32([[4, 0, 0], [0, bad, 0], [0, 3, 0]]))
    assert found[1] == np.inf
    assert found[[0, 2]] == pytest.approx(np.sqrt(np.array([4, 9]) / 3))
    huge = PLAIN.distances(np.array([[1e300, 0, 0]]))
    assert huge[0] == np.inf


def test_no_images_have_no_distances() -> None:
    assert PLAIN.distances(np.zeros((0, 3), np.float32)).shape == (0,)


@pytest.mark.parametrize("shape", [(2, 4), (2, 0), (6,)])
def test_another_networks_features_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BundleError, match=r"novelty\.npz must be of the bundle's own network with 3 channels, got \[.*export"):
        PLAIN.distances(np.zeros(shape, np.float32))


def test_the_file_gives_the_same_distances_and_holds_no_image() -> None:
    known = fit(*cloud(200, 400))
    data = known.to_bytes()
    features, _ = cloud(30, 400, seed=1)
    np.testing.assert_array_equal(Novelty.from_bytes(data).distances(features), known.distances(features))
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        shapes = {name: file[name].shape for name in file.files}
    assert shapes == {"means": (2, 400), "directions": (400, DIRECTIONS), "deviations": (DIRECTIONS,), "rest": (1,)}
    assert len(data) < 60_000


def npz(**changes: NDArray[np.generic]) -> bytes:
    arrays = {"means": PLAIN.means, "directions": PLAIN.directions, "deviations": PLAIN.deviations, "rest": PLAIN.rest}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in {**arrays, **changes}.items() if value.size})
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        npz()[:200],
        npz(rest=np.zeros(0)),
        npz(means=np.float32([[0, 0]])),
        npz(means=np.float32([[np.nan, 0, 0]])),
        npz(deviations=np.float32([1, 0])),
        npz(rest=np.float32([-1])),
        npz(directions=np.float32([1, 0])),
        npz(directions=np.array([["a"]])),
        npz(means=np.array([[None, 1, 2]], dtype=object)),
    ],
)
def test_damaged_files_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"novelty\.npz of the bundle is damaged \(.*\); export it again\."):
        Novelty.from_bytes(data)


# Fitting


def test_training_images_lie_about_one_and_strange_ones_far_away() -> None:
    features, y = cloud(600, 50)
    known = fit(features, y)
    fresh, _ = cloud(400, 50, seed=1)
    assert 0.9 < np.median(known.distances(features)) < 1.1
    assert np.median(known.distances(fresh)) == pytest.approx(np.median(known.distances(features)), rel=0.1)
    rng = np.random.default_rng(2)
    assert known.distances(rng.normal(size=(50, 50)) * 3).min() > 2 * known.distances(fresh).max()


def test_with_all_directions_it_is_mahalanobis_distance() -> None:
    features, y = cloud(5000, 6, classes=1)
    whole = np.linalg.inv(np.cov(features.T))
    away = features[:50] - features.mean(axis=0)
    expected = np.sqrt(np.einsum("nd,de,ne->n", away, whole, away) / 6)
    np.testing.assert_allclose(fit(features, y).distances(features[:50]), expected, rtol=0.02)


@given(
    images=st.integers(1, 60),
    channels=st.integers(1, 80),
    classes=st.integers(1, 4),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e6]),
)
def test_any_features_can_be_fitted(images: int, channels: int, classes: int, scale: float) -> None:
    """Fewer images than channels, one class, one image, no variation: always a distance that is a number."""
    features, y = cloud(images, channels, classes)
    known = fit(scale * features, y)
    assert len(known.means) == min(images, classes)
    assert known.directions.shape == (channels, min(channels, DIRECTIONS))
    distances = Novelty.from_bytes(known.to_bytes()).distances(scale * features)
    assert np.isfinite(distances).all()
    assert (distances >= 0).all()


def test_features_that_are_no_numbers_are_refused() -> None:
    features, y = cloud(30, 5)
    features[3, 2] = np.nan
    with pytest.raises(BundleError, match=r"The network must give numbers, but a feature of a training image is not"):
        fit(features, y)
