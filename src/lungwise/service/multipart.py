"""Multipart bodies: Starlette's streaming parser, with the caps that it lacks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import BinaryIO, cast

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from lungwise.service.problems import Problem
from lungwise.service.settings import MB

_PART_HEADERS = 16_384
_FIELD_BYTES = 65_536


class Parser(MultiPartParser):
    """Starlette's parser with a cap on each file and on a part's headers, and with knowledge of the end.

    Args:
        request: whose headers name the boundary.
        stream: its body.
        most: most files.
        max_file: largest file, in bytes.
    """

    def __init__(self, request: Request, stream: AsyncGenerator[bytes, None], most: int, max_file: int) -> None:
        super().__init__(request.headers, stream, max_files=most, max_fields=64, max_part_size=_FIELD_BYTES)
        self._most, self._max_file, self._size, self._header_bytes = most, max_file, 0, 0
        self.complete = False

    @property
    def opened(self) -> list[BinaryIO]:
        """All files that were begun, also those that the body breaks off in."""
        return [cast(BinaryIO, file) for file in self._files_to_close_on_error]

    def on_part_begin(self) -> None:
        """A part begins."""
        super().on_part_begin()
        self._size = self._header_bytes = 0

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        """A piece of a header of a part."""
        self._header_bytes += end - start
        if self._header_bytes > _PART_HEADERS:
            raise Problem("bad-body", f"The headers of a part must have at most {_PART_HEADERS} bytes; shorten them.")
        super().on_header_value(data, start, end)

    def on_headers_finished(self) -> None:
        """The headers of a part are whole."""
        try:
            super().on_headers_finished()
        except MultiPartException as cause:
            if self._current_files > self._most:
                raise too_many(self._most) from cause
            raise

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """A piece of a part."""
        self._size += end - start
        check_file(self._size, self._max_file)
        super().on_part_data(data, start, end)

    def on_end(self) -> None:
        """The last boundary has come."""
        self.complete = True


def check_file(size: int, most: int) -> None:
    """Refuse a file that is too large, as soon as it is.

    Raises:
        Problem: "too-large".
    """
    if size > most:
        raise Problem("too-large", f"A file must have at most {most / MB:g} MB; shrink it or raise LUNGWISE_MAX_FILE_MB.")


def too_many(most: int) -> Problem:
    """The refusal of more files than ``most``."""
    return Problem("too-many-files", f"A request must hold at most {most} files; send the rest in another one.")
