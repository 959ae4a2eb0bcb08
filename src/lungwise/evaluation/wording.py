"""Differences and p-values as texts, the same in the terminal, in tables and on pages."""

from __future__ import annotations

from typing import Any

_MINUS = "\u2212"
_TIGHT = "\u00a0"
"""A no-break space: an interval is never torn apart at the end of a line."""


def points(found: dict[str, Any]) -> str:
    """A difference of shares as "+3.8 points [+1.5, +6.4]", or a dash."""
    return _with_interval(found, 100, 1, " points")


def change(found: dict[str, Any]) -> str:
    """A difference as "+0.024 [+0.009, +0.042]", or a dash."""
    return _with_interval(found, 1, 3, "")


def _with_interval(found: dict[str, Any], times: float, digits: int, unit: str) -> str:
    if found["difference"] is None:
        return "–"
    value, low, high = (None if found[key] is None else times * found[key] for key in ("difference", "low", "high"))
    ends = "unknown" if low is None or high is None else f"{low:+.{digits}f},{_TIGHT}{high:+.{digits}f}"
    return f"{value:+.{digits}f}{unit} [{ends}]".replace("-", _MINUS)


def p_value(p: float | None) -> str:
    """A p-value with three decimals, "< 0.001" below, a dash where there is none."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
