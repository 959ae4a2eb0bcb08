"""Pictures that are no upright frontal chest films, or hardly show one: by their names, the reader's notes and their pixels.

A folder of "COVID-19" chest films may hold films of the abdomen, lateral views and negatives. A network learns the class
from them as gladly as from lungs, so each finding says how the suspects spread over labels and sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.data.audit.finding import Finding
from lungwise.data.pixels import Squares
from lungwise.errors import DataError
from lungwise.imaging.quality import MAX_CLIPPED, MIN_CONTENT, MIN_CONTRAST, MIN_SIDE, flags, measure, reference

Mask = NDArray[np.bool_]

COLOUR_NOTE = "colour image converted to grey"
"""What the reader notes of a picture with visible colour."""
LATERAL_VIEWS = ("LL", "RL", "LATERAL")
"""DICOM View Position (0018,5101) of a lateral film, in the manifest's column ``view``."""

_BODY_PARTS = (
    "abd abdo abdomen abdominal kub belly pelvis pelvic hip hips spine lspine cspine tspine lumbar cervical sacrum coccyx knee "
    "knees hand hands finger fingers thumb wrist elbow forearm humerus shoulder clavicle scapula femur tibia fibula ankle foot "
    "feet toe toes calcaneus skull head sinus sinuses orbit orbits mandible mammogram mammography breast"
)
_FRONTAL = r"(?:pa|ap|paap|appa|frontal)"
_LATERAL = r"(?:lat|lateral|ll|rl)"
_AND = r"(?:and|or|with|plus|\+|&| )*"
# Names are read as words with one blank between and around them, see _words.
_BODY = re.compile(rf" (?:{'|'.join(_BODY_PARTS.split())}) ")
_MIXED = re.compile(rf" {_FRONTAL} {_AND} ?{_LATERAL} | {_LATERAL} {_AND} ?{_FRONTAL} ")
# Identifiers such as 3abd91f0-0c2e-4d5c-... and a39f8abd12 hold no words, though letters between digits may spell one.
_RANDOM = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?<![0-9a-z])(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,}(?![0-9a-z])"
)
_WORD = re.compile(r"[a-z]+|[0-9]+|[+&]")
_SIDE = re.compile(rf" {_LATERAL} ")
# A lone L means "lateral" as the last word or between hyphens; a small "-l-" marks a large figure in journals' file names.
_LONE_L = re.compile(r"-L(?=-|$)|-l$")
_DESCRIPTIONS = {
    "blank": "show nearly nothing: no contrast, plain black or white, or mostly border",
    "tiny": f"have a shorter side below {MIN_SIDE} pixels, so that the detail of lungs is missing",
    "inverted": "look like negatives: air is bright and bone is dark",
    "rotated": "look turned by a quarter or half, or mirrored top to bottom",
    "lateral": "are lateral views {how}",
    "not-chest": "do not look like frontal chest films",
    "colour": "have visible colour, as screenshots and photographs have and films have not",
    "body-part": "are films of another part of the body by file name",
    "mixed-views": "have a file name that says frontal and lateral view, so it does not tell which",
}
CHECKS = tuple(_DESCRIPTIONS)
"""Names of all checks of this module, in the order of the findings; ``--exclude`` takes them."""


def suspects(table: pl.DataFrame, squares: Squares) -> list[Finding]:
    """Findings by pixels, size and the reader's notes; :func:`name_suspects` finds the rest.

    Args:
        table: rows of a manifest; needs ``path``, ``label``, ``source``, ``width``, ``height`` and ``status``, and uses
            ``notes`` and ``view`` where there are. Only rows that are "ok" are judged.
        squares: uint8 [n, S, S], S at least 32; square i belongs to row i. The rows behind the last square have no
            picture. Read in blocks.

    Returns:
        Findings named by ``CHECKS``; "lateral" holds what looks lateral and is not yet told by view or name.

    Raises:
        DataError: there are more squares than rows.
    """
    if len(squares) > table.height:
        raise DataError(
            f"Every square must have a row, got {len(squares)} squares and {table.height} rows; prepare the data set again."
        )
    read = (table["status"] == "ok").to_numpy() & (np.arange(table.height) < len(squares))
    found = {"tiny": (table.select(pl.min_horizontal("width", "height")).to_series() < MIN_SIDE).to_numpy() & read}
    for check, failed in flags(measure(squares)).items():
        found[check] = read & np.pad(failed, (0, table.height - len(squares)))
    found["lateral"] &= ~_told_lateral(table)
    if "notes" in table.columns:
        found["colour"] = table["notes"].fill_null("").str.contains(COLOUR_NOTE, literal=True).to_numpy() & read
    return list(_findings(table, found, "by their look"))


def name_suspects(table: pl.DataFrame) -> list[Finding]:
    """The findings "lateral", "body-part" and "mixed-views" by file names and views, for pictures that may not be on disk.

    Args:
        table: rows with ``path``, ``label``, ``source`` and, where there is one, ``view``.
    """
    words = [_words(PurePosixPath(path).stem) for path in table["path"]]
    found = {
        "lateral": _told_lateral(table),
        "body-part": np.array([bool(_BODY.search(word)) for word in words], bool),
        "mixed-views": np.array([bool(_MIXED.search(word)) for word in words], bool),
    }
    return list(_findings(table, found, "by the file's view or name"))


def _told_lateral(table: pl.DataFrame) -> Mask:
    """Which rows are lateral by the column ``view`` or by a word of the name that is not part of "PA and lateral"."""
    stems = [PurePosixPath(path).stem for path in table["path"]]
    told = np.array([bool(_SIDE.search(_MIXED.sub(" ", _words(stem))) or _LONE_L.search(stem)) for stem in stems], bool)
    if "view" in table.columns:
        told |= table["view"].fill_null("").str.to_uppercase().is_in(LATERAL_VIEWS).to_numpy()
    return told


def _words(stem: str) -> str:
    """A file's stem as small words with single blanks between and around; a number becomes "#", a random id nothing."""
    words = _WORD.findall(_RANDOM.sub(" ", stem.lower()))
    return f" {' '.join('#' if word.isdigit() else word for word in words)} "


def _findings(table: pl.DataFrame, found: dict[str, Mask], how: str) -> Iterator[Finding]:
    for check in CHECKS:
        if check in found and found[check].any():
            yield _finding(check, table, found[check], how)


def _finding(check: str, table: pl.DataFrame, failed: Mask, how: str) -> Finding:
    chosen = table.filter(pl.Series(failed))
    shares = {column: _shares(table, failed, column) for column in ("label", "source")}
    count = chosen.height
    return Finding(
        check,
        "warning",
        count,
        f"{count} of {table.height} pictures {_DESCRIPTIONS[check].format(how=how)}; look at them before leaving them out",
        tuple(chosen["path"].sort().to_list()),
        evidence={"by_label": shares["label"], "by_source": shares["source"], **_evidence(check)},
        repair=f"lungwise prepare ... --exclude {check}",
    )


def _shares(table: pl.DataFrame, failed: Mask, column: str) -> dict[str, dict[str, float]]:
    """For each value of a column its pictures, how many of them fail, and their share; sorted by value."""
    rows = table.select(pl.col(column), pl.Series("failed", failed)).group_by(column).agg(pl.len(), pl.col("failed").sum())
    return {
        str(value): {"pictures": total, "suspects": hits, "share": round(hits / total, 4)}
        for value, total, hits in rows.sort(column).iter_rows()
    }


def _evidence(check: str) -> dict[str, Any]:
    """The limits that a check used."""
    limit = reference()
    frontal, sure = round(limit.frontal, 3), round(limit.sure, 3)
    limits: dict[str, dict[str, Any]] = {
        "blank": {"least_contrast": MIN_CONTRAST, "most_clipped": MAX_CLIPPED, "least_content": MIN_CONTENT},
        "tiny": {"least_side": MIN_SIDE},
        "inverted": {"least_score_as_negative": sure},
        "rotated": {"least_score_turned": sure},
        "lateral": {"views": list(LATERAL_VIEWS), "least_frontal_score": frontal},
        "not-chest": {"least_frontal_score": frontal},
        "colour": {"note": [COLOUR_NOTE]},
        "body-part": {"words": _BODY_PARTS.split()},
    }
    return limits.get(check, {})
