"""Zip files that were sent: members are read one by one, with caps on their number, size and ratio; nothing gets a path."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from lungwise.imaging.read import hidden
from lungwise.service.problems import Problem
from lungwise.service.settings import MB, Settings

_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, NotImplementedError)
"""What ``zipfile`` raises on damaged, encrypted and unsupported archives."""
Member = tuple[str, BinaryIO | str, int]
_PIECE = 65_536
_END, _COMMENT, _LOCATOR = 22, 65_536, 20
_DIRECTORY = 1_000_000
"""Largest directory of an archive that is read, in bytes; one of a million members would take a gigabyte of memory."""
_SMALL = 10_000
"""Bytes below which a ratio says nothing: a small black image packs well."""


def spooled(settings: Settings) -> BinaryIO:
    """A file in memory that moves to a private, nameless one on disk when it grows."""
    return cast(BinaryIO, SpooledTemporaryFile(max_size=int(settings.spool_mb * MB)))


def is_zip(file: BinaryIO) -> bool:
    """Whether a file begins as a zip file with members does."""
    file.seek(0)
    start = file.read(4)
    file.seek(0)
    return start in (b"PK\x03\x04", b"PK\x05\x06")


def unpack(file: BinaryIO, settings: Settings, most: int, count: Callable[[int], None]) -> Iterator[Member]:
    """The members of a zip file; folders and hidden files are passed over.

    Args:
        file: the zip file.
        settings: the caps.
        most: most members.
        count: is told of bytes as they are unpacked; may refuse them.

    Yields:
        (name, open file, bytes); in the place of the file a sentence, where it is damaged.

    Raises:
        Problem: the archive has too many members or unpacks to more than is allowed.
    """
    if _directory(file) > _DIRECTORY:
        raise Problem("too-many-files", f"A request must hold at most {settings.max_files} files, the zip file has more.")
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE:
        yield "archive", "The zip file must be whole, but it is not; pack it again.", 0
        return
    with archive:
        members = [info for info in archive.infolist() if not (info.is_dir() or hidden(Path(info.filename)))]
        if len(members) > most:
            raise Problem("too-many-files", f"A request must hold at most {settings.max_files} files, the zip file has more.")
        left = settings.max_request_mb * MB
        for info in members:
            try:
                data, size = _member(archive, info, settings, left, count)
            except _DAMAGE:
                yield info.filename, "This member of the zip file is damaged or has a password; pack it again.", 0
                continue
            left -= size
            yield info.filename, data, size


def _directory(file: BinaryIO) -> int:
    """Bytes of the archive's directory, before it is read (APPNOTE 4.3.16); 64-bit archives count as far too many."""
    file.seek(0, 2)
    file.seek(max(0, file.tell() - _END - _COMMENT - _LOCATOR))
    tail = file.read()
    file.seek(0)
    # The same two places in the same order as in zipfile, or the two could see different directories.
    plain = tail[-_END:].startswith(b"PK\x05\x06") and tail.endswith(b"\0\0")
    place = len(tail) - _END if plain else tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + _END:
        return 0
    if tail[max(0, place - _LOCATOR) : place].startswith(b"PK\x06\x07"):
        return _DIRECTORY + 1
    return int.from_bytes(tail[place + 12 : place + 16], "little")


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, settings: Settings, left: float, count: Callable[[int], None]
) -> tuple[BinaryIO, int]:
    most = min(settings.max_file_mb * MB, left)
    ratio = max(_SMALL, info.compress_size * settings.zip_ratio)
    size = 0
    with ExitStack() as open_files:
        spool = open_files.enter_context(spooled(settings))
        with archive.open(info) as packed:
            while piece := packed.read(_PIECE):
                size += len(piece)
                if size > most or size > ratio:  # what the archive declares may be wrong, so what comes is counted
                    raise Problem("too-large", "The zip file unpacks to more than is allowed; send smaller ones or the files.")
                count(len(piece))
                spool.write(piece)
        open_files.pop_all()  # from here on the caller closes it
    return spool, size
