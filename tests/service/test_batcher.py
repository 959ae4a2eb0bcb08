"""Batches across requests, a queue with an end, time-outs, and clients that leave."""

from __future__ import annotations

import asyncio
from typing import Any

from lungwise.errors import BundleError
from lungwise.inference.predictor import Predictor, Ready
from lungwise.service.batcher import MOST
from lungwise.service.settings import Settings
from tests.service.conftest import Held, Serve, play, running, until

PNG = {"content-type": "image/png"}


def test_images_of_different_requests_are_answered_together(held: Held, png: bytes) -> None:
    async def scene() -> None:
        async with running(Settings(sandbox=False), held) as client:
            batcher = client.app.state.service.batcher  # type: ignore[attr-defined]
            asked = [asyncio.create_task(client.post("/v1/predict", content=png, headers=PNG)) for _ in range(MOST + 3)]
            await until(lambda: held.busy.is_set() and batcher.depth == MOST + 3)
            await until(lambda: client.app.state.service.readers.coming == 0)  # type: ignore[attr-defined]
            held.go.set()
            replies = await asyncio.gather(*asked)
            assert {reply.status_code for reply in replies} == {200}
            assert len({str(reply.json()) for reply in replies}) == 1
            assert batcher.depth == 0
        assert sum(held.batches) == MOST + 3
        assert len(held.batches) <= 3
        assert max(held.batches) <= MOST

    play(scene())


def test_a_full_queue_says_when_to_come_again(held: Held, png: bytes) -> None:
    async def scene() -> None:
        async with running(Settings(queue_length=4, max_files=4, sandbox=False), held) as client:
            files = [("files", ("a.png", png))] * 3
            first = asyncio.create_task(client.post("/v1/predict", files=files))
            await until(held.busy.is_set)
            reply = await client.post("/v1/predict", files=files)
            assert (reply.status_code, reply.json()["code"]) == (429, "queue-full")
            assert 1 <= int(reply.headers["retry-after"]) <= 60
            small = asyncio.create_task(client.post("/v1/predict", content=png, headers=PNG))
            held.go.set()
            assert (await first).status_code == (await small).status_code == 200
            assert (await client.post("/v1/predict", files=files)).status_code == 200

    play(scene())


def test_an_answer_that_takes_too_long_is_given_up(held: Held, png: bytes) -> None:
    async def scene() -> None:
        async with running(Settings(request_seconds=0.05, sandbox=False), held) as client:
            reply = await client.post("/v1/predict", content=png, headers=PNG)
            assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (503, "timeout", "10")
            service = client.app.state.service  # type: ignore[attr-defined]
            assert (service.batcher.depth, service.budget.used) == (0, 0)
            held.go.set()

    play(scene())


def test_a_client_that_leaves_frees_its_place(held: Held, png: bytes) -> None:
    async def scene() -> None:
        async with running(Settings(sandbox=False), held) as client:
            service = client.app.state.service  # type: ignore[attr-defined]
            busy = asyncio.create_task(client.post("/v1/predict", content=png, headers=PNG))
            await until(held.busy.is_set)
            left = asyncio.Event()
            sent: list[Any] = []
            body = iter([{"type": "http.request", "body": png, "more_body": False}])

            async def receive() -> Any:
                if (message := next(body, None)) is not None:
                    return message
                await left.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {
                "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": "/v1/predict",
                "raw_path": b"/v1/predict", "root_path": "", "query_string": b"", "scheme": "http", "state": {},
                "headers": [(b"content-type", b"image/png"), (b"host", b"localhost")], "client": None, "server": None,
            }  # fmt: skip
            leaving = asyncio.create_task(client.app(scope, receive, send))  # type: ignore[attr-defined]
            await until(lambda: service.batcher.depth == 2 and service.readers.coming == 0)
            left.set()
            await leaving
            assert service.batcher.depth == 1
            assert sent[0]["status"] == 499
            held.go.set()
            assert (await busy).status_code == 200
        assert held.batches == [1]  # nobody was asked about the image of the client that left

    play(scene())


class Fussy(Predictor):
    """A predictor whose network fails on one image."""

    def answer_batch(self, batch: Any, heatmaps: Any) -> Any:
        if any(item.name == "poison" and isinstance(ready, Ready) for item, ready in batch):
            raise BundleError("The network must answer with numbers, but a logit is not; its weights are damaged.")
        return super().answer_batch(batch, heatmaps)


def test_an_image_on_which_the_network_fails_does_not_harm_the_others(serve: Serve, predictor: Predictor, png: bytes) -> None:
    client = serve(Fussy(predictor.bundle, threads=1))
    found = client.post("/v1/predict", files=[("files", (name, png)) for name in ("a", "poison", "b")]).json()["results"]
    assert [one["status"] for one in found] == ["ok", "error", "ok"]
    assert found[1]["reasons"] == ["The network must answer with numbers, but a logit is not; its weights are damaged."]


class Broken(Predictor):
    """A predictor with a fault that nobody thought of."""

    fault = False

    def answer_batch(self, batch: Any, heatmaps: Any) -> Any:
        if self.fault:
            raise ZeroDivisionError("secret-name.png")
        return super().answer_batch(batch, heatmaps)


def test_a_fault_of_ours_ends_one_request_and_tells_nothing(predictor: Predictor, png: bytes) -> None:
    async def scene() -> None:
        broken = Broken(predictor.bundle, threads=1)
        async with running(Settings(sandbox=False), broken) as client:
            broken.fault = True
            reply = await client.post("/v1/predict", content=png, headers=PNG)
            assert (reply.status_code, reply.json()["code"]) == (500, "internal")
            assert "secret" not in reply.text
            broken.fault = False
            assert (await client.post("/v1/predict", content=png, headers=PNG)).status_code == 200

    play(scene())


def test_who_waits_when_the_service_stops_is_told(held: Held, predictor: Predictor, png: bytes) -> None:
    async def scene() -> None:
        async with running(Settings(sandbox=False), held) as client:
            waiting = [asyncio.create_task(client.post("/v1/predict", content=png, headers=PNG)) for _ in range(3)]
            await until(held.busy.is_set)
            service = client.app.state.service  # type: ignore[attr-defined]
            # All three have been read: one that is admitted may not have begun to.
            await until(lambda: service.batcher._queue.qsize() + len(service.batcher._asked) == 3)
        replies = await asyncio.gather(*waiting)
        assert {(reply.status_code, reply.json()["code"]) for reply in replies} == {(503, "stopping")}

    play(scene())
