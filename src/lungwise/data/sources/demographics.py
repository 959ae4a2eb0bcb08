"""Sex and age in one form, however a collection writes them."""

from __future__ import annotations

import re

OLDEST = 120
"""Years; a higher age is a slip of the pen (NIH ChestX-ray14 has one of 414)."""

_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "w": "F"}
_AGE = re.compile(r"^0*(\d{1,3})(?:\.\d*)?\s*([DWMY]?)$", re.IGNORECASE)


def sex(text: str | None) -> str:
    """One of "M" and "F", or "" for anything else."""
    return _SEXES.get((text or "").strip().lower(), "")


def age(text: str | None) -> str:
    """Age in whole years as text, "" when it is unknown or higher than ``OLDEST``.

    Args:
        text: a number of years ("58"), or DICOM's Age String with days, weeks, months or years ("058Y", PS3.5 6.2).
    """
    match = _AGE.match((text or "").strip())
    if match is None:
        return ""
    number, unit = int(match[1]), match[2].upper()
    years = {"D": number // 365, "W": number // 52, "M": number // 12}.get(unit, number)
    return str(years) if years <= OLDEST else ""
