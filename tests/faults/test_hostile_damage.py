"""Every small file of every format, cut at every place and with bits flipped at every place."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from lungwise.inference.sandbox import Sandbox
from tests.faults.mutants import dicoms, images, outcome, seeds

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no sandbox there")
DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
"""What follows the last fragment of encapsulated pixels, and says nothing (PS3.5 A.4)."""
SPARE = {"bmp 1": 3, "tiff jpeg": 2, "dicom deflated": 1}
"""Bytes at the end that a file can do without: padding."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(1, seconds=120) as made:
        yield made


def cut(sandbox: Sandbox, name: str, step: int) -> None:
    data = seeds()[name]
    read = [end for end in range(step // 2, len(data), step) if not outcome(sandbox, data[:end])]
    spare = SPARE.get(name, 8 if data.endswith(DELIMITER) else 0)
    assert all(end >= len(data) - spare for end in read), f"{name}: {len(data)} bytes, a picture of the first {read}"


def flip(sandbox: Sandbox, name: str, step: int, bits: range) -> None:
    data = seeds()[name]
    for at in range(step // 2, len(data), step):
        for bit in bits:
            # Each place has another bit where one is flipped, so that all take turns.
            outcome(sandbox, data[:at] + bytes([data[at] ^ 1 << (bit + at) % 8]) + data[at + 1 :])


@pytest.mark.parametrize("name", seeds())
def test_a_file_cut_at_many_places_is_refused(sandbox: Sandbox, name: str) -> None:
    cut(sandbox, name, 17 if name in images() else 41)


@pytest.mark.parametrize("name", seeds())
def test_a_flipped_bit_at_many_places_is_a_picture_or_a_sentence(sandbox: Sandbox, name: str) -> None:
    flip(sandbox, name, 19 if name in images() else 53, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", seeds())
def test_a_file_cut_at_every_place_is_refused(sandbox: Sandbox, name: str) -> None:
    cut(sandbox, name, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", seeds())
def test_every_bit_of_the_headers_flipped_is_a_picture_or_a_sentence(sandbox: Sandbox, name: str) -> None:
    flip(sandbox, name, 1, range(8) if name in images() else range(2))


def test_the_seeds_are_small() -> None:
    assert max(map(len, images().values())) < 5000
    assert max(map(len, dicoms().values())) < 15_000
