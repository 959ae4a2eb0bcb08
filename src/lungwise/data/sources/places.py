"""Where listed files lie: a list names files, the disk holds them in whatever folders they were put."""

from __future__ import annotations

import filecmp
from pathlib import Path

from lungwise.data.sources.folder import SPLIT_FOLDERS
from lungwise.data.sources.tree import by_stem, images_by_name, stem
from lungwise.errors import DataError, some


class Places:
    """The images below a folder, found by name after one pass over it.

    A name that lies in several places is taken from a folder that is called like the part it is listed for (``train``,
    ``val``, ``test``). When that leaves several, they must be the same byte for byte, and the first path is taken;
    different files of one name are an error. A name that is not there is looked for with another ending of an image,
    as lists name the PNG that somebody made of a DICOM file.

    Args:
        base: the folder.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._by_name = images_by_name(base)
        self._by_stem: dict[str, list[str]] | None = None
        self._renamed = 0

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def find(self, name: str, split: str, where: str) -> str:
        """The path of a listed file, relative to the base; the name itself when it is nowhere.

        Args:
            name: the file's name.
            split: the part that the file is listed for, or "".
            where: what to begin an error with: the list and its line.

        Raises:
            DataError: different files have this name.
        """
        places = self._by_name.get(name) or self._with_another_ending(name)
        if len(places) < 2:
            return places[0] if places else name
        fitting = [place for place in places if split and split in _splits(place)] or places
        first = fitting[0]
        different = [place for place in fitting[1:] if not self._same(first, place)]
        if different:
            raise DataError(
                f"{where}: {name} must be one file, but {some([first, *different], 3)} differ; "
                "remove those that are not meant, or name the right folder with --images."
            )
        return first

    def notes(self) -> tuple[str, ...]:
        """What the user should know of the search."""
        return (f"{self._renamed} images were found under another ending than the listed one.",) if self._renamed else ()

    def _with_another_ending(self, name: str) -> list[str]:
        if self._by_stem is None:
            self._by_stem = by_stem(self._by_name)
        names = self._by_stem.get(stem(name), [])
        if len(names) != 1:
            return []
        self._renamed += 1
        return self._by_name[names[0]]

    def _same(self, one: str, other: str) -> bool:
        return filecmp.cmp(self._base / one, self._base / other, shallow=False)


def _splits(place: str) -> set[str]:
    return {SPLIT_FOLDERS[part.lower()] for part in place.split("/")[:-1] if part.lower() in SPLIT_FOLDERS}
