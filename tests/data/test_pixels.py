from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data import pixels as module
from lungwise.data.pixels import Chosen, PixelWriter, Shards, open_pixels, shard_sizes
from lungwise.errors import DataError

SIDE = 32


@pytest.fixture(params=[10**9, 4 * SIDE**2], ids=["one file", "shards of four rows"])
def limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "SHARD_BYTES", request.param)
    return int(request.param)


@pytest.fixture
def squares() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (11, SIDE, SIDE), dtype=np.uint8)


def write(folder: Path, squares: NDArray[np.uint8], portion: int, total: int | None = None) -> None:
    with PixelWriter(folder, total or len(squares), SIDE) as store:
        assert store.resume(0) == 0
        for start in range(0, len(squares), portion):
            store.append(squares[start : start + portion])


@pytest.mark.parametrize("portion", [1, 3, 11])
def test_what_is_written_is_read(limit: int, squares: NDArray[np.uint8], tmp_path: Path, portion: int) -> None:
    write(tmp_path, squares, portion)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == (["pixels.npy"] if limit > 10**8 else ["pixels-00000.npy", "pixels-00001.npy", "pixels-00002.npy"])
    found = open_pixels(tmp_path, 11, SIDE)
    assert found.shape == (11, SIDE, SIDE)
    assert len(found) == 11
    np.testing.assert_array_equal(found[np.arange(11)], squares)
    np.testing.assert_array_equal(found[np.array([10, 0, 4, 3, 4])], squares[[10, 0, 4, 3, 4]])
    np.testing.assert_array_equal(found[2:9], squares[2:9])
    np.testing.assert_array_equal(found[-1], squares[-1])
    np.testing.assert_array_equal(Chosen(found, np.array([9, 1, 5]))[1:], squares[[1, 5]])


@pytest.mark.parametrize("cut", [1, SIDE**2 // 2, 5 * SIDE**2])
def test_what_was_written_half_is_cut_off_and_written_again(
    limit: int, squares: NDArray[np.uint8], tmp_path: Path, cut: int
) -> None:
    write(tmp_path, squares[:9], 9, total=11)
    last = sorted(tmp_path.iterdir())[-1]
    with last.open("r+b") as file:
        file.truncate(max(0, last.stat().st_size - cut))
    with PixelWriter(tmp_path, 11, SIDE) as store:
        kept = store.resume(9)
        assert kept < 9
        store.append(squares[kept:])
    np.testing.assert_array_equal(open_pixels(tmp_path, 11, SIDE)[np.arange(11)], squares)


def test_rows_that_the_journal_does_not_know_are_cut_off(limit: int, squares: NDArray[np.uint8], tmp_path: Path) -> None:
    write(tmp_path, squares, 11)
    with PixelWriter(tmp_path, 11, SIDE) as store:
        assert store.resume(3) == 3
        store.append(squares[:8])
    np.testing.assert_array_equal(open_pixels(tmp_path, 11, SIDE)[np.arange(3, 11)], squares[:8])


def test_a_million_large_squares_make_files_of_at_most_8_gb() -> None:
    sizes = shard_sizes(1_000_000, 224)
    assert sum(sizes.values()) == 1_000_000
    assert max(sizes.values()) * 224**2 <= 8 * 10**9
    assert len(sizes) == 7


def test_a_row_beyond_the_end_is_an_error(squares: NDArray[np.uint8]) -> None:
    with pytest.raises(IndexError, match="row 11 of 11"):
        Shards([squares[:6], squares[6:]])[11]


@pytest.mark.parametrize("wrong", [np.zeros((10, SIDE, SIDE), np.uint8), np.zeros((11, SIDE, SIDE), np.int16)])
def test_pixels_that_do_not_fit_are_refused(tmp_path: Path, wrong: NDArray[np.generic]) -> None:
    np.save(tmp_path / "pixels.npy", wrong)
    with pytest.raises(DataError, match=r"pixels.npy must be uint8 \(11, 32, 32\) to fit the manifest, got"):
        open_pixels(tmp_path, 11, SIDE)


def test_an_absent_shard_is_named(monkeypatch: pytest.MonkeyPatch, squares: NDArray[np.uint8], tmp_path: Path) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 4 * SIDE**2)
    write(tmp_path, squares, 11)
    (tmp_path / "pixels-00001.npy").unlink()
    with pytest.raises(DataError, match=r"pixels-00001.npy is damaged or absent .*; prepare the data set again"):
        open_pixels(tmp_path, 11, SIDE)
