"""What the quality measures say of real films that the reference did not learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from lungwise.data.audit.suspects import name_suspects
from lungwise.data.sources.patients import guess
from lungwise.imaging.preprocess import Preprocess, to_square
from lungwise.imaging.quality import Measures, flags, measure
from lungwise.imaging.read import read

pytestmark = pytest.mark.realdata
HELD_OUT = {
    "children": ("kermany/test/NORMAL", "kermany/test/PNEUMONIA"),
    "nih": ("darkcovidnet/No_findings", "darkcovidnet/Pneumonia"),
    "covid": ("darkcovidnet/Covid-19", "covidx9a/images"),
}
Squares = NDArray[np.uint8]


def held_out(file: Path) -> bool:
    """Whether the reference may not have seen this file; the rule of tools/make_chest_reference.py."""
    return "kermany" in file.parts or hashlib.sha256(guess(file.stem)[0].encode()).digest()[0] % 2 == 1


@pytest.fixture(scope="module")
def films(real: Path) -> dict[str, Squares]:
    spec = Preprocess(stored=224, size=224)
    files = {
        name: [file for folder in folders for file in sorted((real / folder).iterdir())] for name, folders in HELD_OUT.items()
    }
    return {name: np.stack([to_square(read(file), spec) for file in some if held_out(file)]) for name, some in files.items()}


def suspected(found: Measures) -> NDArray[np.bool_]:
    """Whatever is no upright frontal film; how many are not whole is another question."""
    return np.asarray(np.any([failed for check, failed in flags(found).items() if check != "cut-off"], axis=0))


def auroc(films: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Share of pairs in which the film scores higher."""
    return float((films[:, None] > others).mean() + (films[:, None] == others).mean() / 2)


@pytest.mark.parametrize("collection", HELD_OUT)
def test_at_most_two_per_cent_of_real_frontal_films_are_suspected(films: dict[str, Squares], collection: str) -> None:
    assert suspected(measure(films[collection])).mean() <= 0.02


@pytest.mark.parametrize(("collection", "most"), [("children", 0), ("nih", 1), ("covid", 3)])
def test_hardly_a_real_film_counts_as_cut_off(films: dict[str, Squares], collection: str, most: int) -> None:
    assert flags(measure(films[collection]))["cut-off"].sum() <= most  # the three of the covid collection are


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda films: 255 - films, "inverted"),
        (lambda films: np.rot90(films, -1, axes=(1, 2)), "rotated"),
        (lambda films: films[:, ::-1, ::-1], "rotated"),
        (lambda films: np.rot90(films, 1, axes=(1, 2)), "rotated"),
        (lambda films: films[:, ::-1], "rotated"),
    ],
    ids=["negative", "90", "180", "270", "flipped"],
)
def test_real_films_that_stand_wrongly_are_found(
    films: dict[str, Squares], change: Callable[[Squares], Squares], check: str
) -> None:
    upright = measure(np.concatenate(list(films.values())))
    wrong = measure(np.concatenate([change(squares) for squares in films.values()]))
    assert auroc(upright.frontal, wrong.frontal) >= 0.99
    assert suspected(wrong).mean() >= 0.99
    assert flags(wrong)[check].mean() >= 0.93


def test_the_film_that_hangs_upside_down_in_the_nih_collection_is_found(real: Path) -> None:
    square = to_square(read(real / "darkcovidnet/No_findings/00003490_011.jpg"), Preprocess())
    assert flags(measure(square[None]))["rotated"].all()


def test_covidx_9a_lists_487_abdominal_films_and_32_of_mixed_views(real: Path) -> None:
    lines = (real / "covidx9a/train_COVIDx9A.txt").read_text().splitlines()
    names = [line.rsplit(maxsplit=2)[0].split(maxsplit=1)[1] for line in lines]
    table = pl.DataFrame(
        {"path": names, "label": [line.split()[-2] for line in lines], "source": [line.split()[-1] for line in lines]}
    )
    found = {finding.check: finding for finding in name_suspects(table)}
    assert {check: finding.count for check, finding in found.items()} == {"lateral": 10, "body-part": 487, "mixed-views": 32}
    assert found["body-part"].evidence["by_source"]["stonybrook"] == {"pictures": 14132, "suspects": 487, "share": 0.0345}
    assert found["body-part"].evidence["by_label"]["normal"]["suspects"] == 0
