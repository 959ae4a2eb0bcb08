"""Images in a zip archive, read one by one from where they are: nothing is unpacked to disk, so no name can lead astray.

An archive may be made to do harm: a few kilobytes that swell to gigabytes, millions of entries, archives in archives
(42.zip). So the directory is capped before it is read, every member by what it declares, and again by what it really holds.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lungwise.errors import ImageError
from lungwise.imaging.read import MAX_BYTES, hidden

MAX_MEMBERS = 500_000
"""Most entries of an archive."""
MAX_DIRECTORY = 256 * 2**20
"""Most bytes of an archive's list of entries: 500 for each."""
MAX_RATIO = 200
"""How many times its packed size a member may have. Deflate cannot pass 1,032; X-rays stay below 20, but for made-up ones."""
_SMALL = 2**20
"""Bytes below which the ratio does not matter."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, NotImplementedError, struct.error)
"""What ``zipfile`` raises on damaged, encrypted and unsupported archives."""
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


@dataclass(frozen=True, eq=False)
class Member:
    """An image in an archive.

    Args:
        archive: opened; it closes when the last member that refers to it is gone.
        info: the entry; names need not be unique, so this is what the member is read by.
        name: how to call it in an error.
    """

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    name: str

    def head(self) -> bytes:
        """The first 132 bytes; none where they cannot be had."""
        try:
            with self.archive.open(self.info) as stream:
                return stream.read(132)
        except _DAMAGE:
            return b""

    def read(self) -> bytes:
        """The member's bytes; any number of threads may read members of one archive.

        Raises:
            ImageError: it is encrypted, too large, swells too much, is damaged or an archive itself.
        """
        info = self.info
        if info.flag_bits & 1:
            raise ImageError(f"{self.name} is encrypted; unpack the archive with its password and name the folder.")
        if PurePosixPath(info.filename).suffix.lower() == ".zip":
            raise ImageError(f"{self.name} is an archive in an archive, which is not opened; unpack it first.")
        if info.file_size > MAX_BYTES:
            raise ImageError(f"An image file must have at most {MAX_BYTES} bytes, {self.name} has {info.file_size}.")
        if info.file_size > max(_SMALL, MAX_RATIO * info.compress_size):
            raise ImageError(
                f"A member of a zip must be packed at most {MAX_RATIO} to 1, {self.name} grows from {info.compress_size} to "
                f"{info.file_size} bytes; check where it is from."
            )
        try:
            with self.archive.open(info) as stream:
                data = stream.read(info.file_size + 1)
        except _DAMAGE as cause:
            raise ImageError(f"{self.name} cannot be unpacked ({cause}); fetch the archive again.") from cause
        if len(data) != info.file_size:
            raise ImageError(f"{self.name} is not as long as its archive declares; fetch the archive again.")
        return data


def members(path: Path, is_image: Callable[[PurePosixPath, Callable[[], bytes]], bool]) -> Iterator[Member]:
    """The images of an archive in the order that a folder of them would have; hidden ones are passed over.

    Archives in it are given as well, so that they are refused by name.

    Args:
        path: the archive.
        is_image: whether to take a member, from its name and a way to its first bytes.

    Raises:
        ImageError: it is no zip archive, damaged, or lists too much.
    """
    try:
        with path.open("rb") as file:
            _check_directory(file, path.name)
        archive = zipfile.ZipFile(path)
    except _DAMAGE as cause:
        raise ImageError(f"{path.name} is not a readable zip archive ({cause}); fetch it again.") from cause
    entries = [(PurePosixPath(info.filename), info) for info in archive.infolist() if not info.is_dir()]
    for place, info in sorted(entries, key=lambda entry: entry[0].parts):
        member = Member(archive, info, f"{path}!/{info.filename}")
        if not hidden(Path(place)) and (place.suffix.lower() == ".zip" or is_image(place, member.head)):
            yield member


def _check_directory(file: BinaryIO, name: str) -> None:
    """Refuse an archive by what its end says of its list of entries (APPNOTE 4.3.16), which ``zipfile`` reads as a whole."""
    end = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, end - 22 - 2**16))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("it has no end")
    entries, size = struct.unpack_from("<HL", tail, at + 10)
    if tail[max(at - 20, 0) : at][:4] == _LOCATOR_64:  # what does not fit stands in another record (APPNOTE 4.3.14)
        file.seek(struct.unpack_from("<Q", tail, at - 12)[0])
        record = file.read(56)
        if record[:4] == _END_64 and len(record) == 56:
            entries, size = struct.unpack_from("<QQ", record, 32)
    if entries > MAX_MEMBERS or size > MAX_DIRECTORY:
        raise ImageError(
            f"A zip archive must have at most {MAX_MEMBERS} entries, {name} lists {entries} in {size} bytes; divide it."
        )
    if size > start + at:
        raise zipfile.BadZipFile("its list of entries is longer than the file")
