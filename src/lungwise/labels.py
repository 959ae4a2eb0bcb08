"""The one place where class names meet column numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lungwise.errors import DataError

_NEGATIVE = re.compile(r"^(normal|healthy|negative|no[ _-]?findings?|none|control)$", re.IGNORECASE)


@dataclass(frozen=True)
class LabelSet:
    """Class names in column order: column ``i`` of every probability array belongs to ``names[i]``.

    Args:
        names: at least two non-empty names that differ by more than capitals and outer blanks.

    Raises:
        DataError: fewer than two names, or one of them empty or repeated.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            came = f"only '{self.names[0]}'" if self.names else "none"
            raise DataError(f"A classifier needs at least two classes, got {came}; add images of another class.")
        if len(set(self.names)) != len(self.names) or not all(name.strip() for name in self.names):
            raise DataError(f"Class names must be different and not empty, got {list(self.names)}; rename them.")
        if len({name.strip().casefold() for name in self.names}) != len(self.names):
            raise DataError(f"Class names must differ by more than capitals and blanks, got {list(self.names)}; rename them.")

    @classmethod
    def of(cls, labels: Iterable[str]) -> LabelSet:
        """The distinct labels, sorted, so that the order never depends on the order of files."""
        return cls(tuple(sorted(set(labels))))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def index(self, name: str) -> int:
        """Column of a class name; an unknown name is a DataError that lists the known ones."""
        if name not in self.names:
            raise DataError(f"'{name}' is not one of the classes {list(self.names)}; check the label's spelling.")
        return self.names.index(name)

    @property
    def positive(self) -> int | None:
        """Of two classes, the column of the finding (the one not called normal or the like); else None."""
        if len(self.names) != 2:
            return None
        return 0 if _NEGATIVE.match(self.names[1]) else 1
