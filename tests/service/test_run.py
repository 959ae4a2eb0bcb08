"""Where it listens, and patience with clients that send no request or read no answer."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from lungwise.errors import LungwiseError
from lungwise.service.app import create_app
from lungwise.service.run import address, listen, patient
from lungwise.service.settings import Settings
from tests.service.conftest import play, until


def test_a_service_needs_a_model() -> None:
    said = r"^A service needs a model, but none is named; give --model BUNDLE or set LUNGWISE_MODEL\.$"
    with pytest.raises(LungwiseError, match=said):
        create_app(Settings())


def test_it_listens_on_a_free_port() -> None:
    with listen(Settings(port=0)) as made:
        assert made.getsockname()[0] == "127.0.0.1"
        assert address(made) == f"http://127.0.0.1:{made.getsockname()[1]}"


def test_an_address_that_is_taken_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = rf"^127\.0\.0\.1:{port} must be free to listen on, but: Address already in use; choose another --port\.$"
        with pytest.raises(LungwiseError, match=said):
            listen(Settings(port=port))


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with more than the system's buffers hold."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": bytes(40_000_000)})


@pytest.mark.parametrize("sent", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_who_sends_no_request_or_reads_no_answer_is_hung_up_on(sent: bytes) -> None:
    async def scene() -> None:
        with listen(Settings(port=0)) as made:
            config = uvicorn.Config(large, http=patient(0.1), ws="none", lifespan="off", log_config=None, loop="asyncio")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server._serve([made]))
            while not server.started:
                await asyncio.sleep(0)
            # A reader with a small limit takes nothing more from the system once that is full.
            _, writer = await asyncio.open_connection(*made.getsockname(), limit=1000)
            await until(lambda: bool(server.server_state.connections))
            writer.write(sent)
            await until(lambda: not server.server_state.connections)
            writer.close()
            server.should_exit = True
            await serving

    play(scene())
