"""Near-duplicates among real films, in the folder that LUNGWISE_REALDATA names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lungwise.data.audit.near import group_pairs, near_duplicates
from lungwise.imaging.read import read
from tests.data.test_near import COPIES, Image, square

pytestmark = pytest.mark.realdata


def _films(*folders: Path) -> dict[str, Image]:
    files = [
        file for folder in folders for file in sorted(folder.rglob("*")) if file.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]
    return {f"{file.parent.name}/{file.name}": read(file).pixels for file in files}


@pytest.fixture(scope="module")
def films(real: Path) -> dict[str, Image]:
    """Adults, with several films of many patients, and children."""
    children = _films(real / "kermany" / "test")
    return {**_films(real / "darkcovidnet"), **dict(list(children.items())[::4])}


@pytest.mark.parametrize("name", COPIES)
def test_planted_copies_are_found_and_nothing_else(films: dict[str, Image], name: str) -> None:
    originals = np.stack([square(film, 192) for film in films.values()])
    copies = np.stack([square(COPIES[name](film), 192) for film in films.values()])
    n = len(originals)
    pairs = near_duplicates(np.concatenate([originals, copies])).rows
    group, known = group_pairs(pairs, 2 * n), group_pairs(near_duplicates(originals).rows, n)
    assert np.mean(group[:n] == group[n:]) >= 0.99
    assert np.mean(known[pairs[:, 0] % n] == known[pairs[:, 1] % n]) >= 0.99


def test_films_of_one_patient_are_no_copies_and_known_duplicates_are(films: dict[str, Image]) -> None:
    names = list(films)
    pairs = near_duplicates(np.stack([square(film, 192) for film in films.values()])).rows
    found = {(names[one], names[two]) for one, two in pairs}
    assert found >= {
        ("No_findings/00002658_001.jpg", "No_findings/00002658_002.jpg"),
        (
            "Covid-19/E63574A7-4188-4C8D-8D17-9D67A18A1AFA.jpg",
            "Covid-19/F4341CE7-73C9-45C6-99C8-8567A5484B63.jpg",
        ),
    }
    assert len(found) <= 4
    assert ("No_findings/00001280_004.jpg", "No_findings/00001280_005.jpg") not in found


def test_a_film_is_found_in_two_collections(real: Path) -> None:
    ours, theirs = _films(real / "darkcovidnet" / "Covid-19"), _films(real / "covidx9a" / "images")
    names = [*(Path(name).stem for name in ours), *(Path(name).stem for name in theirs)]
    squares = np.stack([square(film, 192) for film in [*ours.values(), *theirs.values()]])
    pairs = near_duplicates(squares).rows
    both = set(names[: len(ours)]) & set(names[len(ours) :])
    across = {names[one] for one, two in pairs if one < len(ours) <= two and names[one] == names[two]}
    assert len(across) >= 0.7 * len(both) > 40  # one of the collections is cropped, some films by more than a tenth
