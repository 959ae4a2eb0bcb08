"""What lies in a folder, by one pass over its directories and without asking the disk about each file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lungwise.imaging.read import SUFFIXES

HIDDEN = "__MACOSX"
"""What macOS adds to archives; like names that begin with a dot, it is passed over."""


def entries(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the visible folders and of the visible other entries of one folder, both sorted."""
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(str(folder)) as scan:
        for entry in scan:
            if visible(entry.name):
                (folders if _is_folder(entry) else files).append(entry.name)
    return sorted(folders), sorted(files)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link that leads back to itself is none, and not an error."""
    try:
        return entry.is_dir()
    except OSError as cause:
        if cause.errno == errno.ELOOP:
            return False
        raise


def files_below(root: Path, inside: str = "", *, follow: bool = False) -> Iterator[str]:
    """Paths of all visible files at any depth, relative to ``root``, with forward slashes.

    A folder that cannot be opened is an OSError and not an empty one.

    Args:
        root: the folder that paths are relative to.
        inside: the folder below ``root`` to search.
        follow: enter folders that are links as well; each is entered once.
    """
    waiting, seen = [inside], {os.path.realpath(root / inside)} if follow else set()
    while waiting:
        here = waiting.pop()
        with os.scandir(str(root / here)) as scan:
            for entry in scan:
                if not visible(entry.name):
                    continue
                path = f"{here}/{entry.name}" if here else entry.name
                if not _is_folder(entry):
                    yield path
                elif not entry.is_symlink():
                    waiting.append(path)
                elif follow and (real := os.path.realpath(entry.path)) not in seen:
                    seen.add(real)
                    waiting.append(path)


def images_by_name(root: Path) -> dict[str, list[str]]:
    """Where files with an image's ending lie below ``root``: name to sorted relative paths, links followed."""
    found: dict[str, list[str]] = {}
    for path in files_below(root, follow=True):
        name = path.rpartition("/")[2]
        if suffix(name) in SUFFIXES:
            found.setdefault(name, []).append(path)
    for places in found.values():
        places.sort()
    return found


def by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    """Names with the same stem: stem to sorted names."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        found.setdefault(stem(name), []).append(name)
    return found


def visible(name: str) -> bool:
    """Whether a file or folder of this name is looked at."""
    return not name.startswith(".") and name != HIDDEN


def suffix(path: str) -> str:
    """The ending of a path in lower case, with its dot, or ""; as ``Path.suffix``, without making a Path."""
    return os.path.splitext(path)[1].lower()  # noqa: PTH122 - a hundred thousand Path objects take seconds


def stem(path: str) -> str:
    """The name of a path without its ending; as ``Path.stem``."""
    return os.path.splitext(path.rpartition("/")[2])[0]  # noqa: PTH122
