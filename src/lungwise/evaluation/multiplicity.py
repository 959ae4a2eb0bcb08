"""Who looks at many comparisons finds differences by chance; these p-values take the search into account."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

LEVEL = 0.05
"""An adjusted p-value below this is called a difference."""

Key = TypeVar("Key", bound=Hashable)


def holm(p: Mapping[Key, float | None]) -> dict[Key, float | None]:
    """Adjusted p-values: with ``LEVEL`` on them, at most one search in twenty names any difference that is none.

    Holds whatever the tests have to do with each other. Source: Holm, "A simple sequentially rejective multiple test
    procedure", Scandinavian Journal of Statistics 6, 1979.

    Args:
        p: p-values in [0, 1] by any key; None was not tested, does not count and stays None.

    Returns:
        The same keys, in the same order.
    """
    tested = sorted((value, place) for place, value in enumerate(p.values()) if value is not None)
    adjusted: list[float | None] = [None] * len(p)
    least = 0.0
    for done, (value, place) in enumerate(tested):
        least = max(least, min(1.0, value * (len(tested) - done)))
        adjusted[place] = least
    return dict(zip(p, adjusted, strict=True))
