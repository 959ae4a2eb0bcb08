from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data.phantoms import CLASSES, make_phantom
from lungwise.errors import ImageError
from lungwise.imaging import quality
from lungwise.imaging.preprocess import Preprocess, resize, to_square
from lungwise.imaging.quality import CHECKS, POSES, assess, flags, measure, reference
from lungwise.imaging.radiograph import Radiograph

Squares = NDArray[np.uint8]


@pytest.fixture(scope="module")
def phantoms() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(5)
    return [make_phantom(CLASSES[number % 3], rng).pixels for number in range(30)]


@pytest.fixture(scope="module")
def films(phantoms: list[NDArray[np.uint8]]) -> Squares:
    return np.stack([resize(pixels, 96) for pixels in phantoms])


def ellipse(x: float, y: float, wide: float, tall: float, angle: float = 0.0, thick: int = -1) -> NDArray[np.float32]:
    layer = np.zeros((128, 128), np.float32)
    cv2.ellipse(layer, (round(x), round(y)), (round(wide), round(tall)), angle, 0, 360, (1.0,), thick, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), 1.5), np.float32)


def expose(film: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    return np.uint8(np.clip(film * rng.uniform(0.9, 1.1) + rng.normal(0, 0.015, film.shape), 0, 1) * 255)


def abdomen(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A spine in the middle, a pelvis below, bubbles of gas, no lungs."""
    film = 0.45 * ellipse(64, 64, 58, 95) + 0.05
    for y in range(0, 100, 13):
        film += 0.2 * ellipse(64, y, 8, 5)
    for side in (-1, 1):
        film += 0.22 * ellipse(64 + side * 32, 100, 22, 18, side * -30) + 0.2 * ellipse(64 + side * 34, 126, 10, 10)
    for _ in range(8):
        film -= rng.uniform(0.1, 0.2) * ellipse(
            64 + rng.uniform(-40, 40), rng.uniform(15, 80), rng.uniform(4, 12), rng.uniform(3, 7)
        )
    return expose(film, rng)


def hand(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Five rays of bone in flesh on black."""
    film = 0.35 * ellipse(64, 95, 26, 20) + 0.03
    for finger, angle in enumerate(np.linspace(-0.6, 0.6, 5) + rng.normal(0, 0.05)):
        for part in range(3):
            reach = 28 + part * 19
            x, y = 64 + reach * np.sin(angle) + (finger - 2) * 5, 95 - reach * np.cos(angle)
            film += 0.3 * ellipse(x, y, 6, 11, np.degrees(angle)) + 0.35 * ellipse(x, y, 3, 8, np.degrees(angle))
    return expose(np.minimum(film, 0.95), rng)


def side_view(rng: np.random.Generator) -> NDArray[np.uint8]:
    """One spine at the back, one dark field, the heart in front of it and low."""
    film = 0.55 * ellipse(64, 75, 45, 75) + 0.04 - 0.3 * ellipse(62, 58, 34, 38)
    film += rng.uniform(0.2, 0.3) * ellipse(50, 76, 16, 19, -25) + 0.25 * ellipse(60, 3, 26, 12)
    for y in range(8, 128, 8):
        film += 0.15 * ellipse(90 + 5 * np.sin(y / 35), y, 7, 3)
    turned = expose(film, rng)
    return turned if rng.random() < 0.5 else np.ascontiguousarray(turned[:, ::-1])


def page(rng: np.random.Generator) -> NDArray[np.uint8]:
    paper = np.full((256, 256), 245, np.uint8)
    for line in range(12):
        words = " ".join(rng.choice(["the", "lungs", "are", "clear", "no", "effusion", "seen"], 7))
        cv2.putText(paper, words, (8, 20 + 20 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (20,), 1, cv2.LINE_AA)
    return resize(paper, 128)


def noise(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (128, 128)).astype(np.uint8)


def share(failed: NDArray[np.bool_]) -> float:
    return float(failed.mean())


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("side", [32, 64, 224])
def test_phantoms_pass_as_frontal_chest_films(phantoms: list[NDArray[np.uint8]], fit: str, side: int) -> None:
    spec = Preprocess.model_validate({"stored": side, "size": side, "fit": fit})
    found = measure(np.stack([to_square(Radiograph(pixels), spec) for pixels in phantoms]))
    assert sum(int(failed.sum()) for failed in flags(found).values()) == 0


def test_negatives_are_found(films: Squares) -> None:
    failed = flags(measure(255 - films))
    assert share(failed["inverted"]) >= 0.9
    assert share(failed["inverted"] | failed["not-chest"]) == 1
    assert not failed["rotated"].any()


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_films_are_found_with_their_angle(films: Squares, quarters: int) -> None:
    found = measure(np.rot90(films, -quarters, axes=(1, 2)))
    failed = flags(found)
    assert share(failed["rotated"]) >= 0.9
    right = POSES[1:] if quarters == 2 else (str(90 * quarters),)
    assert {POSES[pose] for pose in found.pose[failed["rotated"]]} <= set(right)


def test_films_mirrored_top_to_bottom_are_found(films: Squares) -> None:
    assert share(flags(measure(films[:, ::-1]))["rotated"]) >= 0.9


def test_a_film_can_be_turned_and_negative_at_once(films: Squares) -> None:
    failed = flags(measure(255 - np.rot90(films, 1, axes=(1, 2))))
    assert share(failed["inverted"] & failed["rotated"]) >= 0.8


@pytest.mark.parametrize("draw", [abdomen, hand, side_view, page, noise])
def test_other_pictures_are_no_frontal_chest_films(draw: Callable[[np.random.Generator], Squares]) -> None:
    rng = np.random.default_rng(2)
    failed = flags(measure(np.stack([draw(rng) for _ in range(20)])))
    assert share(np.any(list(failed.values()), axis=0)) >= 0.9
    assert share(failed["lateral"]) == (1 if draw is side_view else 0)


def test_the_score_does_not_hang_on_exposure(films: Squares) -> None:
    as_is, pale = measure(films), measure(96 + films // 4)
    np.testing.assert_allclose(as_is.frontal, pale.frontal, atol=1.5)
    assert not flags(pale)["not-chest"].any()


@pytest.mark.parametrize(
    ("square", "reason"),
    [
        (np.full((64, 64), 90, np.uint8), "mostly border or blank: only 0% of the picture show something"),
        (np.pad(np.tile(np.uint8([0, 200]), (16, 8)), 24), "mostly border or blank: only 6% of the picture show something"),
        (np.tile(np.repeat(np.uint8([0, 255]), 32), (64, 1)), "mostly border or blank: only 0% of the picture show something"),
        (np.kron(np.eye(2), np.ones((32, 32))).astype(np.uint8) * 255, "blank: 100% of the pixels are plain black or white"),
        (np.kron(np.eye(2), np.ones((32, 32))).astype(np.uint8) * 11 + 90, "blank: its grey values differ by 5.5 on average"),
    ],
)
def test_blank_pictures_say_why(square: Squares, reason: str) -> None:
    found = assess(square, 512, 512)
    assert (found.checks, found.reasons) == (("blank",), (reason,))


def test_a_good_film_has_no_reasons_and_a_tiny_one_has(films: Squares) -> None:
    good, tiny = assess(films[0], 300, 128), assess(films[0], 300, 127)
    assert (good.checks, good.reasons) == ((), ())
    assert tiny.checks == ("tiny",)
    assert tiny.reasons == ("tiny: its shorter side has 127 pixels, 128 are needed",)


def test_reasons_are_plain_and_in_the_order_of_the_checks(films: Squares) -> None:
    turned = assess(np.ascontiguousarray(np.rot90(255 - films[1], -1)), 60, 60)
    assert turned.checks == ("tiny", "inverted", "rotated")
    assert turned.reasons[1:] == ("inverted: air is bright and bone is dark", "turned clockwise by 90 degrees")
    for head_down in (films[1][::-1], films[1][::-1, ::-1]):
        assert assess(head_down, 300, 300).reasons == ("upside down: turned by 180 degrees or mirrored",)
    assert assess(page(np.random.default_rng(0)), 300, 300).reasons == ("not a frontal chest film",)
    assert assess(side_view(np.random.default_rng(0)), 300, 300).reasons == ("a lateral view, not a frontal one",)
    assert list(turned.checks) == [name for name in CHECKS if name in turned.checks]
    with pytest.raises(FrozenInstanceError):
        turned.frontal = 1.0  # type: ignore[misc]


def test_one_and_many_agree_whatever_the_block(films: Squares, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(films)
    monkeypatch.setattr(quality, "_BLOCK", 7)
    np.testing.assert_allclose(measure(films).frontal, whole.frontal, atol=1e-3)
    assert assess(films[3], 300, 300).frontal == pytest.approx(float(whole.frontal[3]), abs=1e-3)
    assert len(measure(films[:0])) == 0


@pytest.mark.parametrize("shape", [(40, 40), (2, 40, 41), (2, 31, 31), (1, 40, 40, 1)])
def test_what_is_no_stack_of_squares_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ImageError, match=r"Squares must be uint8 \[n, S, S\] with S of at least 32, got uint8 \[.*; prepare them\."
    ):
        measure(np.zeros(shape, np.uint8))
    with pytest.raises(ImageError, match="got float32"):
        measure(np.zeros((2, 40, 40), np.float32))  # type: ignore[arg-type]


def test_the_reference_is_small_attributed_and_coarse() -> None:
    file = quality.Path(quality.__file__).with_name("chest.npz")
    assert file.stat().st_size < 150_000
    for words in ("Kermany", "CC BY 4.0", "ChestX-ray8"):
        assert words in reference().about
    with np.load(file, allow_pickle=False) as stored:
        assert stored["basis"].dtype == np.int8
        assert stored["hidden"].dtype == stored["out"].dtype == np.float16
    assert reference().frontal < reference().sure
