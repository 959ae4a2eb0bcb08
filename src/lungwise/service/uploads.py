"""Bodies of requests: streamed with caps on bytes, parts and time; in memory while small, then in a private temporary file."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from lungwise.errors import ImageError
from lungwise.service.multipart import Parser, check_file, too_many
from lungwise.service.problems import Problem
from lungwise.service.settings import MB, Settings
from lungwise.service.unpacking import is_zip, spooled, unpack

RAW = (
    "application/dicom",
    "application/octet-stream",
    "application/x-image",
    "application/zip",
    "application/x-zip-compressed",
)
"""Kinds of a body that is one file; ``image/…`` are others."""


@dataclass(frozen=True)
class Upload:
    """One file of a request.

    Args:
        name: as the client calls it; for that client's own answer and for nothing else.
        file: open for reading; in its place a sentence, where it came damaged.
        size: bytes.
    """

    name: str
    file: BinaryIO | str
    size: int

    def read(self) -> bytes:
        """The whole file.

        Raises:
            ImageError: it came damaged.
        """
        if isinstance(self.file, str):
            raise ImageError(self.file)
        self.file.seek(0)
        return self.file.read()

    def start(self, number: int) -> bytes:
        """The first bytes; none where it came damaged."""
        if isinstance(self.file, str):
            return b""
        self.file.seek(0)
        return self.file.read(number)


class Budget:
    """Bytes of all uploads that are open at one time.

    Args:
        limit: the most.
    """

    def __init__(self, limit: float) -> None:
        self.limit, self.used, self._lock = limit, 0, threading.Lock()

    def take(self, number: int) -> None:
        """Count bytes that have come.

        Raises:
            Problem: "busy", there is no room for them.
        """
        with self._lock:  # zip files are unpacked in threads
            fits = self.used + number <= self.limit
            self.used += number if fits else 0
        if not fits:
            raise Problem("busy", "The uploads of other clients fill the service; send the request again soon.", retry_after=5)

    def give_back(self, number: int) -> None:
        """Forget bytes that were counted."""
        with self._lock:
            self.used -= number


class Receiver:
    """Takes the files of one request.

    Args:
        settings: the caps.
        budget: of all requests together.
        max_bytes: largest body; that of the settings by default.
    """

    def __init__(self, settings: Settings, budget: Budget, max_bytes: float | None = None) -> None:
        self._settings, self._budget = settings, budget
        self._max_bytes = int(max_bytes or settings.max_request_mb * MB)
        self._max_file = int(settings.max_file_mb * MB)
        self._taken = 0
        self._open: list[BinaryIO] = []

    @asynccontextmanager
    async def files(
        self, request: Request, *fields: str, most: int | None = None, unzip: bool = True
    ) -> AsyncIterator[list[Upload]]:
        """The files of a request, one after the other; zip files are replaced by what is in them.

        Args:
            request: multipart, or one file as its body.
            fields: names of the multipart fields that hold files.
            most: most files; that of the settings by default.
            unzip: whether zip files are opened.

        Raises:
            Problem: the request itself is wrong: no file, too many, too large, too slow, damaged, or of another kind.
        """
        most = most or self._settings.max_files
        with self._closing():
            found = await self._received(request, fields, most)
            if unzip and any(not isinstance(upload.file, str) and is_zip(upload.file) for upload in found):
                found = await run_in_threadpool(self._unpacked, found, most)
            if not found:
                raise Problem("no-file", f"The request must hold a file, but there is none; send it in '{fields[0]}'.")
            yield found

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[Upload]:
        """The body as one file, of whatever kind it is."""
        with self._closing():
            yield await self._one(request)

    @contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            for file in self._open:
                file.close()
            self._budget.give_back(self._taken)
            self._taken = 0

    async def _received(self, request: Request, fields: Sequence[str], most: int) -> list[Upload]:
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return await self._multipart(request, fields, most)
        if kind in RAW or kind.startswith("image/"):
            return [await self._one(request)]
        raise Problem(
            "unsupported-media-type",
            "The body must be multipart/form-data, image/…, application/dicom or application/zip, "
            f"but it is {kind[:80] or 'of no stated kind'}; set Content-Type.",
            headers={"Accept-Post": "multipart/form-data, image/*, application/dicom, application/zip"},
        )

    async def _multipart(self, request: Request, fields: Sequence[str], most: int) -> list[Upload]:
        parser = Parser(request, self._stream(request), most, self._max_file)
        parser.spool_max_size = int(self._settings.spool_mb * MB)
        try:
            form = await parser.parse()
        except MultiPartException as cause:
            raise Problem("bad-body", f"The body must be multipart/form-data, but: {cause.message}") from cause
        files = [(key, value) for key, value in form.multi_items() if isinstance(value, UploadFile)]
        self._open += parser.opened
        if not parser.complete:
            raise Problem("bad-body", "The body must end with its boundary, but it is cut off; send it again.")
        strange = [key for key, _ in files if key not in fields]
        if strange:
            raise Problem("bad-request", f"Files must be sent in '{fields[0]}', but one is in '{strange[0][:80]}'; rename it.")
        return [Upload(value.filename or "file", value.file, value.size or 0) for _, value in files]

    async def _one(self, request: Request) -> Upload:
        spool = spooled(self._settings)
        self._open.append(spool)
        size = 0
        async for chunk in self._stream(request):
            size += len(chunk)
            check_file(size, self._max_file)
            if size <= self._settings.spool_mb * MB:
                spool.write(chunk)  # to memory
            else:
                await run_in_threadpool(spool.write, chunk)
        return Upload("file", spool, size)

    async def _stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The body in pieces, with caps on what came and on when; a length that is announced is checked before."""
        announced = request.headers.get("content-length", "")
        self._check_body(int(announced) if announced.isdecimal() and len(announced) < 20 else 0)
        ends = time.monotonic() + self._settings.upload_seconds
        pieces = request.stream()
        received = 0
        while True:
            left = min(self._settings.idle_seconds, ends - time.monotonic())
            try:
                async with asyncio.timeout(left):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError as cause:
                raise Problem("upload-timeout", "The upload must go on without long pauses; send it again.") from cause
            except ClientDisconnect as cause:
                raise Problem("client-gone", "The client left during the upload.") from cause
            received += len(piece)
            self._check_body(received)
            self._count(len(piece))
            yield piece

    def _check_body(self, number: int) -> None:
        if number > self._max_bytes:
            most = f"{self._max_bytes / MB:g} MB"
            raise Problem("too-large", f"A request must have at most {most}; send fewer or smaller files.")

    def _unpacked(self, uploads: Sequence[Upload], most: int) -> list[Upload]:
        found: list[Upload] = []
        for upload in uploads:
            if isinstance(upload.file, str) or not is_zip(upload.file):
                found.append(upload)
                continue
            for name, file, size in unpack(upload.file, self._settings, most - len(found), self._count):
                if not isinstance(file, str):
                    self._open.append(file)
                found.append(Upload(name, file, size))
        if len(found) > most:  # files after a zip file
            raise too_many(most)
        return found

    def _count(self, number: int) -> None:
        self._budget.take(number)
        self._taken += number
