"""Text from a user's data, made safe for a model card: a class called "a|b" must not add a column, nor a name a heading."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]+")
"""Line ends of every kind, control characters and halves of characters."""
_MARKUP = re.compile(r"[\\`*\[\]<>|~$]")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_LONGEST = 500


def line(text: object) -> str:
    """One line of text: whatever would end the line is a space, and what is very long is cut."""
    flat = " ".join(_CONTROL.sub(" ", str(text)).split())
    return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 1]}…"


def plain(text: object) -> str:
    """Text that Markdown shows as it is, within a line or a table's cell (GitHub Flavored Markdown, section 6)."""
    return _ENTITY.sub("&amp;", _MARKUP.sub(lambda found: f"\\{found[0]}", line(text)))


def quoted(text: object) -> str:
    """A YAML scalar in double quotes (YAML 1.2, section 7.3.1), of which JSON's strings are a part."""
    return json.dumps(line(text), ensure_ascii=False)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a Markdown table, its cells made safe, with an empty line after it."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return [*lines, *(f"| {' | '.join(map(plain, row))} |" for row in rows), ""]


def ends(estimate: dict[str, Any], digits: int = 3) -> str:
    """The interval of an estimate: "0.889 to 0.936"."""
    low, high = estimate.get("low"), estimate.get("high")
    return "unknown" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"


def share(estimate: dict[str, Any] | None) -> str:
    """An estimate with its interval: "0.915 (0.889 to 0.936)", or a dash where it has no value."""
    if not estimate or estimate.get("value") is None:
        return "–"
    interval = "" if estimate.get("low") is None else f" ({ends(estimate)})"
    return f"{estimate['value']:.3f}{interval}"
