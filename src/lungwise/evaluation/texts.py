"""Estimates as texts, the same in reports and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping

_ENDS = ("value", "low", "high")
_TIGHT = "\u00a0"
"""A no-break space: an interval is never torn apart at the end of a line."""

Found = Mapping[str, float | None]


def percent(estimate: Found) -> str:
    """An estimate as "88.1 % [85.4, 90.6]", its interval as "unknown" and itself as a dash where they are undefined."""
    return _with_interval(estimate, 100, 1, " %")


def decimal(estimate: Found) -> str:
    """An estimate as "0.944 [0.927, 0.960]", its interval as "unknown" and itself as a dash where they are undefined."""
    return _with_interval(estimate, 1, 3, "")


def _with_interval(estimate: Found, times: int, digits: int, unit: str) -> str:
    value, low, high = (None if estimate[key] is None else times * float(estimate[key] or 0.0) for key in _ENDS)
    if value is None:
        return "–"
    ends = "unknown" if low is None or high is None else f"{low:.{digits}f},{_TIGHT}{high:.{digits}f}"
    return f"{value:.{digits}f}{unit} [{ends}]"


def plus_minus(found: Found, digits: int = 3) -> str:
    """Mean and standard deviation as "0.812 ± 0.023", or a dash where they are undefined."""
    if found["mean"] is None:
        return "–"
    return f"{found['mean']:.{digits}f}" + ("" if found["sd"] is None else f"{_TIGHT}±{_TIGHT}{found['sd']:.{digits}f}")
