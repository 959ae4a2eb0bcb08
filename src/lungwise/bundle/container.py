"""A bundle's files as bytes, from a directory or a zip: nothing is unpacked to disk, and no declared size is believed."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lungwise.errors import BundleError

SPEC = "lungwise.json"
FILES = ("model.onnx", "head.npz", "README.md")
"""What every bundle holds besides its specification."""
EXTRAS = ("novelty.npz", "model_fp16.onnx", "model_int8.onnx")
"""What a bundle may hold; the specification names those that it does."""
KNOWN = (SPEC, *FILES, *EXTRAS)
"""Every name that a bundle's file can have."""
MAX_BYTES = 20_000_000_000
MAX_RATIO = 100
"""How many times larger than its zip a bundle may be. Weights hardly shrink (1.1 times); a zip bomb does up to 1,032 times."""
_CHUNK = 1 << 20
_ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError)
"""What ``zipfile`` raises on damaged, encrypted and unsupported archives."""


@dataclass(frozen=True)
class Container:
    """The files of a bundle that is open.

    Args:
        path: the directory or zip.
        names: the files that are there, of those asked for.
        chunks: the contents of one of them, piece by piece, so that a file need not be held in memory to be checked.
    """

    path: Path
    names: tuple[str, ...]
    chunks: Callable[[str], Iterator[bytes]]

    def read(self, name: str) -> bytes:
        """The contents of a file."""
        return b"".join(self.chunks(name))

    def digest(self, name: str) -> str:
        """SHA-256 of a file's contents, as 64 hexadecimal digits."""
        found = hashlib.sha256()
        for chunk in self.chunks(name):
            found.update(chunk)
        return found.hexdigest()


@contextmanager
def opened(path: Path, known: Sequence[str]) -> Iterator[Container]:
    """Open a directory or zip.

    Args:
        path: where it is.
        known: names that a bundle's files can have; whatever else is there is never read.

    Raises:
        BundleError: it is neither, cannot be read, or is made to do harm: links, a name twice, or more bytes than allowed.
    """
    if path.is_dir():
        yield _directory(path, known)
        return
    if not path.is_file():
        raise BundleError(f"A bundle must be a directory or a zip file, but {path} does not exist; correct --model.")
    try:
        with zipfile.ZipFile(path) as archive:
            yield _zip(path, archive, known)
    except _ZIP_DAMAGE as cause:
        raise BundleError(f"{path} is not a readable bundle ({cause}); fetch or export it again.") from cause


def _directory(path: Path, known: Sequence[str]) -> Container:
    names = tuple(name for name in known if (path / name).is_symlink() or (path / name).is_file())
    linked = [name for name in names if (path / name).is_symlink()]
    if linked:
        raise BundleError(f"A bundle's files must be plain files, but {linked[0]} of {path} is a link; copy the file itself.")

    def chunks(name: str) -> Iterator[bytes]:
        try:
            with (path / name).open("rb") as file:
                yield from _pieces(file)
        except OSError as cause:
            raise BundleError(f"{path} cannot be read ({cause}); check its permissions.") from cause

    return Container(path, names, chunks)


def _zip(path: Path, archive: zipfile.ZipFile, known: Sequence[str]) -> Container:
    entries = [info for info in archive.infolist() if info.filename in known]
    names = tuple(info.filename for info in entries)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BundleError(f"A bundle's zip must hold every file once, but {path} holds {twice[0]} twice; fetch it again.")
    most = min(MAX_BYTES, MAX_RATIO * path.stat().st_size)
    if sum(info.file_size for info in entries) > most:
        raise BundleError(
            f"A bundle must have at most {most} bytes ({MAX_RATIO} times its zip and never more than {MAX_BYTES}), but {path} "
            "unpacks to more; do not trust it."
        )

    def chunks(name: str) -> Iterator[bytes]:
        # zipfile gives no more bytes than the size that was added up above; asked for all at once it would inflate the
        # whole entry before it cuts it there, so it is asked for pieces.
        with archive.open(name) as file:
            yield from _pieces(file)

    return Container(path, names, chunks)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_CHUNK):
        yield piece
