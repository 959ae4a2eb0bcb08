"""Work goes on only as long as somebody waits for it, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from lungwise.service.problems import Problem

Out = TypeVar("Out")


async def awaited(request: Request, work: Coroutine[Any, Any, Out], seconds: float) -> Out:
    """What ``work`` gives; it is cancelled when the client leaves or the time is over.

    Args:
        request: whose body has been received in full.
        work: what is to be done.
        seconds: the most that it may take.

    Raises:
        Problem: "client-gone" or "timeout".
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({working, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if leaving.done():
            raise Problem("client-gone", "The client left before the answer was ready.")
        raise Problem("timeout", f"An answer must be ready within {seconds:g} s, it was not; try again later.", retry_after=10)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait({working, leaving})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
