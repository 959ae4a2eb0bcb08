"""Work in threads: in order, in bounded memory, and gone when it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lungwise.inference.stream import loaded, mapped


def running() -> int:
    return sum(thread.name.startswith("lungwise") for thread in threading.enumerate())


def test_results_come_in_the_order_of_the_items() -> None:
    gate = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            gate.wait(10)  # the first is the last to be done
        if item == 3:
            gate.set()
        return item * item

    assert list(mapped(range(20), work, 4, 5)) == [item * item for item in range(20)]


def test_no_more_is_taken_than_allowed() -> None:
    taken = 0

    def source() -> Iterator[int]:
        nonlocal taken
        for item in range(50):
            taken += 1
            yield item

    for done, _ in enumerate(mapped(source(), lambda item: item, 3, 7)):
        assert taken - done <= 7
    assert taken == 50


def test_batches_hold_items_with_results() -> None:
    found = list(loaded(iter("abcde"), str.upper, 2))
    assert found == [[("a", "A"), ("b", "B")], [("c", "C"), ("d", "D")], [("e", "E")]]
    assert list(loaded([], str.upper, 2)) == []


@pytest.mark.parametrize("end", ["close", "error of the work", "error of the source"])
def test_no_thread_lingers(end: str) -> None:
    before = running()

    def source() -> Iterator[int]:
        yield from range(30)
        raise LookupError("the list broke")

    def work(item: int) -> int:
        if end == "error of the work" and item == 5:
            raise LookupError("the work broke")
        return item

    answers = loaded(source(), work, 4)
    next(answers)
    if end == "close":
        answers.close()
    else:
        with pytest.raises(LookupError, match="broke"):
            list(answers)
    assert running() == before
