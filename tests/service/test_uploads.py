"""Bodies that are too large, too many, too slow, cut off, or made to swell."""

from __future__ import annotations

import asyncio
import io
import struct
import zipfile
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from starlette.testclient import TestClient

from lungwise.inference.predictor import Predictor
from lungwise.service.settings import Settings
from tests.service.conftest import Serve, play, running

MULTIPART = {"content-type": "multipart/form-data; boundary=b"}
PNG = {"content-type": "image/png"}


def part(data: bytes, name: str = "files", file: str = "a.png") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode() + data + b"\r\n"


def packed(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def refused(reply: httpx.Response, status: int, code: str) -> str:
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    return str(reply.json()["detail"])


def test_a_file_that_is_too_large_is_refused_on_the_way(serve: Serve) -> None:
    client = serve(max_file_mb=0.01)
    said = refused(client.post("/v1/predict", content=b"x" * 10_001, headers=PNG), 413, "too-large")
    assert said == "A file must have at most 0.01 MB; shrink it or raise LUNGWISE_MAX_FILE_MB."
    refused(client.post("/v1/predict", files=[("files", ("a.png", b"x" * 10_001))]), 413, "too-large")
    assert client.post("/v1/predict", content=b"x" * 10_000, headers=PNG).status_code == 200


def endless(sent: list[int], piece: bytes = b"x" * 65_536) -> Iterator[bytes]:
    while True:
        sent.append(len(piece))
        yield piece


async def flowing(sent: list[int], start: bytes) -> AsyncIterator[bytes]:
    yield start
    for piece in endless(sent):
        yield piece


def test_a_body_without_length_and_end_is_cut(predictor: Predictor) -> None:
    async def scene() -> None:
        settings = Settings(max_file_mb=1, max_request_mb=1, sandbox=False)
        async with running(settings, predictor) as client:
            for headers, start in ((PNG, b"x"), (MULTIPART, part(b"")[:-2])):
                sent: list[int] = []
                refused(await client.post("/v1/predict", content=flowing(sent, start), headers=headers), 413, "too-large")
                assert sum(sent) < 1_300_000

    play(scene())


def test_a_length_that_is_announced_is_believed_when_it_is_too_large(serve: Serve) -> None:
    client = serve(max_file_mb=1, max_request_mb=1)
    reply = client.post("/v1/predict", content=b"x", headers={**PNG, "content-length": "1000001"})
    assert refused(reply, 413, "too-large") == "A request must have at most 1 MB; send fewer or smaller files."


def test_a_slow_client_is_told(predictor: Predictor) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield part(b"x")
        await asyncio.Event().wait()

    async def scene() -> None:
        async with running(Settings(idle_seconds=0.05, sandbox=False), predictor) as client:
            refused(await client.post("/v1/predict", content=stuck(), headers=MULTIPART), 408, "upload-timeout")
            assert client.app.state.service.budget.used == 0  # type: ignore[attr-defined]
        async with running(Settings(upload_seconds=0.05, sandbox=False), predictor) as client:
            sent: list[int] = []
            refused(await client.post("/v1/predict", content=trickling(sent), headers=MULTIPART), 408, "upload-timeout")

    async def trickling(sent: list[int]) -> AsyncIterator[bytes]:
        yield part(b"x")[:-2]
        while True:
            await asyncio.sleep(0)
            sent.append(1)
            yield b"x"

    play(scene())


def test_too_many_files_parts_and_fields_are_refused(serve: Serve, png: bytes) -> None:
    client = serve(max_files=3, queue_length=3)
    said = refused(client.post("/v1/predict", files=[("files", ("a.png", png))] * 4), 413, "too-many-files")
    assert said == "A request must hold at most 3 files; send the rest in another one."
    fields = b"".join(b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' for _ in range(1000)) + b"--b--\r\n"
    refused(client.post("/v1/predict", content=fields, headers=MULTIPART), 400, "bad-body")
    long = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\nX: ' + b"y" * 20_000 + b"\r\n\r\n"
    refused(client.post("/v1/predict", content=long, headers=MULTIPART), 400, "bad-body")


@pytest.mark.parametrize(
    "body",
    [
        part(b"x"),  # its last boundary is missing
        b"--c\r\n",
        b"",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b"\0" * 100,
    ],
)
def test_a_damaged_body_is_refused(client: TestClient, body: bytes) -> None:
    refused(client.post("/v1/predict", content=body, headers=MULTIPART), 400, "bad-body")


def test_a_request_without_a_file_is_refused(client: TestClient) -> None:
    said = refused(client.post("/v1/predict", content=b"--b--\r\n", headers=MULTIPART), 400, "no-file")
    assert said == "The request must hold a file, but there is none; send it in 'files'."
    refused(client.post("/v1/predict", files={"photo": ("a.png", b"x")}), 400, "bad-request")
    refused(client.post("/v1/predict", content=packed(), headers={"content-type": "application/zip"}), 400, "no-file")


def test_a_body_of_another_kind_is_refused(client: TestClient) -> None:
    said = refused(client.post("/v1/predict", json={"a": 1}), 415, "unsupported-media-type")
    assert said.endswith("but it is application/json; set Content-Type.")
    refused(client.post("/v1/predict"), 415, "unsupported-media-type")


def zipped(client: TestClient, data: bytes) -> httpx.Response:
    return client.post("/v1/predict", content=data, headers={"content-type": "application/zip"})


def test_a_zip_that_swells_is_refused(serve: Serve) -> None:
    client = serve(max_file_mb=1, max_request_mb=2)
    refused(zipped(client, packed(("a", bytes(900_000)))), 413, "too-large")  # by its ratio
    noise = bytes(range(256)) * 4
    refused(zipped(client, packed(("a", noise * 1100), method=zipfile.ZIP_STORED)), 413, "too-large")  # by its size
    three = packed(*((name, noise * 800) for name in "abc"), method=zipfile.ZIP_STORED)
    refused(zipped(client, three), 413, "too-large")  # by all together
    assert client.app.state.service.budget.used == 0  # type: ignore[attr-defined]


def test_a_zip_with_too_many_members_is_refused_before_they_are_listed(serve: Serve) -> None:
    client = serve(max_files=3, queue_length=3)
    refused(zipped(client, packed(*((f"{index}.png", b"x") for index in range(4)))), 413, "too-many-files")
    long, wide = (b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, size, 0, 0) for size in (2_000_000, 46))
    refused(zipped(client, b"PK\x03\x04" + long), 413, "too-many-files")  # a directory of some 40,000 entries
    refused(zipped(client, b"PK\x03\x04" + b"PK\x06\x07" + bytes(16) + wide), 413, "too-many-files")  # a 64-bit archive


def test_what_is_damaged_in_a_zip_is_one_error(client: TestClient, png: bytes) -> None:
    data = bytearray(packed(("a.png", png), ("b.png", png), method=zipfile.ZIP_STORED))
    data[data.index(b"IDAT") + 20] ^= 255  # the first member's CRC no longer fits
    found = zipped(client, bytes(data)).json()["results"]
    assert [(one["path"], one["status"]) for one in found] == [("a.png", "error"), ("b.png", "ok")]
    assert found[0]["reasons"] == ["This member of the zip file is damaged or has a password; pack it again."]
    (whole,) = zipped(client, bytes(data[:100])).json()["results"]
    assert (whole["status"], whole["reasons"]) == ("error", ["The zip file must be whole, but it is not; pack it again."])


def test_a_zip_in_a_zip_is_not_opened(client: TestClient, png: bytes) -> None:
    (found,) = zipped(client, packed(("inner.zip", packed(("a.png", png))))).json()["results"]
    assert (found["path"], found["status"]) == ("inner.zip", "error")


def test_all_uploads_together_have_a_bound(predictor: Predictor) -> None:
    async def scene() -> None:
        go, waits = asyncio.Event(), asyncio.Event()

        async def first() -> AsyncIterator[bytes]:
            yield part(b"x" * 60_000)
            waits.set()
            await go.wait()
            yield b"--b--\r\n"

        async with running(Settings(inflight_mb=0.1, max_file_mb=1, max_request_mb=1, sandbox=False), predictor) as client:
            slow = asyncio.create_task(client.post("/v1/predict", content=first(), headers=MULTIPART))
            await waits.wait()
            reply = await client.post("/v1/predict", content=b"x" * 60_000, headers=PNG)
            refused(reply, 503, "busy")
            assert reply.headers["retry-after"] == "5"
            go.set()
            assert (await slow).status_code == 200
            assert (await client.post("/v1/predict", content=b"x" * 60_000, headers=PNG)).status_code == 200
            assert client.app.state.service.budget.used == 0  # type: ignore[attr-defined]

    play(scene())
