"""What every reader produces: one grey image with what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray


@final
@dataclass(frozen=True)
class Radiograph:
    """A decoded X-ray, before any resizing.

    Args:
        pixels: uint8 [height, width], 0 black to 255 white, air dark and bone bright.
        warnings: what a reader of the result should know, such as "colour image converted to grey".
        view: "PA", "AP", "LL" or "RL" where the file says so, else empty.
        original: (height, width) of the file's picture, where ``pixels`` were decoded at a part of its size.
    """

    pixels: NDArray[np.uint8]
    warnings: tuple[str, ...] = field(default=())
    view: str = ""
    original: tuple[int, int] | None = None

    @property
    def height(self) -> int:
        """Rows of the file's picture."""
        return self.original[0] if self.original else int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of the file's picture."""
        return self.original[1] if self.original else int(self.pixels.shape[1])
