"""Made-up inputs to measure engines on, where no real image is at hand: their numbers are spread as a radiograph's are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SLOPE = 1.5
"""The amplitude of a radiograph's frequencies falls about with this power, its energy with the third (Burgess et al., "Human
observer detection experiments with mammograms and power-law noise", 2001)."""


def film_like(number: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
    """Squares that a network meets as it would meet radiographs: two dark lungs on a bright body, and noise of their spectrum.

    Args:
        number: how many.
        side: pixels of a side.
        seed: of the random numbers.

    Returns:
        uint8 [number, side, side].
    """
    rng, grid = np.random.default_rng(seed), np.linspace(-1, 1, side)
    x, y = np.meshgrid(grid, grid)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf  # no constant part
    squares = []
    for _ in range(number):
        spectrum = np.fft.rfft2(rng.normal(size=(side, side))) * frequency**-_SLOPE
        texture = np.fft.irfft2(spectrum, s=(side, side))
        apart, width, height = rng.uniform((0.35, 0.2, 0.5), (0.5, 0.35, 0.8))
        lungs = np.exp(-(np.minimum(((x - apart) / width) ** 2, ((x + apart) / width) ** 2) ** 2) - (y / height) ** 4)
        body = rng.uniform(120, 210) - rng.uniform(60, 120) * lungs + rng.uniform(10, 25) * texture / texture.std()
        squares.append(np.clip(body, 0, 255).astype(np.uint8))
    return np.stack(squares) if squares else np.zeros((0, side, side), np.uint8)
