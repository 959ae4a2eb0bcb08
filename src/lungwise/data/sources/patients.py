"""Whose image is this? Patient identifiers from the names of files.

Two films of one person on both sides of a split make a classifier look better than it is, so every source must say
who each image belongs to. Where nothing does, a name's own parts are used, and grouping too much is the safe side.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lungwise.errors import DataError


@dataclass(frozen=True)
class NamingRule:
    """How a public collection writes the patient into a file's name.

    Args:
        source: what the manifest's column ``source`` will say.
        pattern: matches the file's stem; its first group is the patient.
    """

    source: str
    pattern: re.Pattern[str]


RULES = (
    # Kermany et al. 2018 (CC BY 4.0): person19_bacteria_62, IM-0129-0001, NORMAL2-IM-0373-0001-0002.
    NamingRule("kermany", re.compile(r"^(person\d+)_(?:bacteria|virus)_\d+")),
    NamingRule("kermany", re.compile(r"^(?:NORMAL\d*-)?(IM-\d{4})-\d{4}")),
    # The same films as Mendeley Data publishes them: BACTERIA-1008087-0001, VIRUS-1044118-0001, NORMAL-1003233-0001.
    NamingRule("kermany", re.compile(r"^(?:BACTERIA|VIRUS|NORMAL)-(\d{5,})-\d{4}$")),
    # NIH ChestX-ray8/14 (Wang et al. 2017): 00001280_004 is the fifth film of patient 00001280.
    NamingRule("nih", re.compile(r"^(\d{8})_\d{3}$")),
    # MIDRC-RICORD-1C (Tsai et al. 2021): MIDRC-RICORD-1C-419639-003251-46647-0.
    NamingRule("ricord", re.compile(r"^MIDRC-RICORD-1[A-C]-(\d+-\d+)-")),
    # lungwise.data.phantoms (made up): phantom-00012_2 is the second film of phantom-00012.
    NamingRule("phantom", re.compile(r"^(phantom-\d+)_\d+$")),
)
"""Names of public collections, tried in this order."""

_ONE_OF_A_SERIES = re.compile(
    r"(?:[-_ ](?:day[-_ ]?\d+|\d+[-_ ](?:hours?|days?)|admission|left|right|PA|AP|LL|lateral|frontal)"
    r"|(?:[-_](?:[a-h]|a\d|b\d))|(?<=\d)[a-h])$",
    re.IGNORECASE,
)
_PANEL_BEFORE_DATE = re.compile(r"-[a-h](?=-\d{4}_\d{2})")


def custom_pattern(text: str) -> re.Pattern[str]:
    """Compile a user's regular expression, which must have a group for the patient.

    Raises:
        DataError: the expression does not compile or has no group.
    """
    try:
        pattern = re.compile(text)
    except re.error as cause:
        raise DataError(f"--patient-pattern must be a regular expression, got '{text}' ({cause}); correct it.") from cause
    if pattern.groups < 1:
        raise DataError(f"--patient-pattern must have one group in brackets for the patient, got '{text}'; add (...).")
    return pattern


def patient_by(pattern: re.Pattern[str], stem: str) -> str:
    """The patient that a user's pattern finds in a file's stem; no match is a DataError that names the file."""
    match = pattern.search(stem)
    if match is None or not match[1]:
        raise DataError(f"--patient-pattern '{pattern.pattern}' must match every file, it finds nothing in '{stem}'.")
    return match[1]


def guess(stem: str) -> tuple[str, str]:
    """Patient and source from a file's stem.

    Returns:
        (patient, source); source is "" when no known collection writes names like this. The patient is then the stem
        without the marks of a series (``-day3``, ``-PA``, ``-b``), so that films of one case stay together.
    """
    for rule in RULES:
        if match := rule.pattern.search(stem):
            return match[1], rule.source
    core, before = _PANEL_BEFORE_DATE.sub("", stem), ""
    while core != before:
        before, core = core, _ONE_OF_A_SERIES.sub("", core)
    return core or stem, ""
