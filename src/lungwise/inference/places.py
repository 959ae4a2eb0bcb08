"""Paths that stand for any number of images: folders, patterns and zip archives, listed as they are needed."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import TypeAlias

from lungwise.errors import ImageError
from lungwise.imaging.read import SUFFIXES, hidden
from lungwise.inference.archive import Member, members

Found: TypeAlias = "tuple[str, Path | Member | ImageError]"
"""A name, and the file or archive's member of that name, or why there is none."""
_PATTERN = frozenset("*?[")
_MARK = slice(128, 132)
"""Where a DICOM file says that it is one (PS3.10 7.1)."""


class NoImagesError(ImageError):
    """A folder, pattern or archive has nothing to answer."""


def is_place(path: str) -> bool:
    """Whether a path is that of a folder or zip archive, or a pattern and not the name of a file."""
    if is_folder(path) or path.lower().endswith(".zip"):
        return True
    return bool(_PATTERN & set(path)) and not os.path.lexists(path)


def images_of(path: str) -> Iterator[Found]:
    """The images of a place, in the order of their names; a place without any yields a :class:`NoImagesError`.

    A folder is searched to any depth for image files (see :func:`is_image`), also behind links. A pattern (``*``, ``?``, ``[``,
    and ``**`` for any depth) takes all files that it matches. Hidden files are passed over.
    """
    kind, found = "pattern", _matches(path)
    if is_folder(path):
        kind, found = "folder", _below(path, set())
    elif path.lower().endswith(".zip"):
        kind, found = "zip archive", _members(Path(path))
    empty = True
    for one in found:
        empty = False
        yield one
    if empty:
        yield path, NoImagesError(f"A {kind} to predict must hold images, but {path} has none; name another.")


def is_folder(path: str) -> bool:
    """Whether a path is that of a folder; one that cannot even be looked at is none."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def is_image(name: PurePath, head: Callable[[], bytes]) -> bool:
    """Whether a searched folder's file is taken for an image: by its ending, or as a DICOM file that has none.

    Args:
        name: the file's name. What stands behind the last point of a UID, as PACS name files, is no ending.
        head: reads the file's first 132 bytes.
    """
    ending = name.suffix.lower()
    if ending in SUFFIXES:
        return True
    return not ending.strip(".0123456789") and name.stem.upper() != "DICOMDIR" and head()[_MARK] == b"DICM"


def _matches(pattern: str) -> Iterator[Found]:
    files = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    for path in sorted(files, key=lambda file: Path(file).parts):
        if is_folder(path):
            continue
        if path.lower().endswith(".zip"):
            yield from images_of(path)
        else:
            yield path, Path(path)


def _members(path: Path) -> Iterator[Found]:
    if not path.is_file():
        yield str(path), ImageError(f"An image must be a file, but {path} does not exist.")
        return
    try:
        for member in members(path, is_image):
            yield member.name, member
    except ImageError as error:
        yield str(path), error


def _below(folder: str, seen: set[tuple[int, int]]) -> Iterator[Found]:
    """Images in a folder and below. Each folder is entered once, however many links lead to it, so that loops end."""
    try:
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as cause:
        yield folder, ImageError(f"{folder} cannot be opened: {cause.strerror}; check its permissions.")
        return
    for name in names:
        path = Path(folder, name)
        if hidden(Path(name)):
            continue
        if is_folder(str(path)):
            yield from _below(str(path), seen)
        elif is_image(path, lambda path=path: _head(path)):  # type: ignore[misc]
            yield str(path), path


def _head(path: Path) -> bytes:
    """The first bytes of a plain file; of anything else (a pipe would wait for ever) none."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(_MARK.stop)
    except OSError:
        return b""
