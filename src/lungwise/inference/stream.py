"""Work on many images at once, in bounded memory and in order: decoding beside the network, batches beside each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from lungwise.inference.cores import hardware_threads

In = TypeVar("In")
Out = TypeVar("Out")


def loaded(items: Iterable[In], load: Callable[[In], Out], batch: int) -> Generator[list[tuple[In, Out]]]:
    """Batches of items with what ``load`` made of them, in order; the next ones are loaded while one is worked on.

    Args:
        items: any number; they are taken as they are needed, so memory stays flat.
        load: called in threads, where decoders of images run in parallel; it must not raise for a bad item.
        batch: items of a batch; the last may have fewer.
    """
    threads = hardware_threads()
    with_results = mapped(items, lambda item: (item, load(item)), threads, batch + threads)
    try:
        while found := list(islice(with_results, batch)):
            yield found
    finally:
        with_results.close()


def mapped(items: Iterable[In], work: Callable[[In], Out], threads: int, ahead: int) -> Generator[Out]:
    """``work`` of each item, in order, done in threads.

    Args:
        items: any number.
        work: what to do with each; what it raises ends everything.
        threads: how many work at once.
        ahead: items that are taken before the first of them is finished, at least as many as threads.
    """
    waiting: deque[Future[Out]] = deque()
    source = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="lungwise")
    try:
        while True:
            waiting += (pool.submit(work, item) for item in islice(source, ahead - len(waiting)))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        # Left early (an interruption, a reader who has enough): what has not begun is dropped, so that nothing lingers.
        pool.shutdown(cancel_futures=True)
