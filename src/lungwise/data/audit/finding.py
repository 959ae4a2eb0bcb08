"""What an audit says: one finding a check, with its evidence and the command that repairs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

Severity = Literal["error", "warning", "note"]
"""An error misleads whoever trains on the data; a warning wants a look; a note is worth knowing."""


@final
@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        check: name of the check, such as "duplicate-across-splits".
        severity: how bad it is.
        count: how many things were found: pictures, pairs, patients.
        message: one sentence that says what was found, with the number and without a full stop.
        images: paths of the images concerned, sorted.
        groups: paths of images that belong together, such as pairs of near-duplicates.
        evidence: figures that a reader can check, JSON types only.
        repair: the command or option that takes the fault away.
    """

    check: str
    severity: Severity
    count: int
    message: str
    images: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    repair: str = ""

    def as_json(self) -> dict[str, Any]:
        """The finding in JSON types."""
        return {
            "check": self.check,
            "severity": self.severity,
            "count": self.count,
            "message": self.message,
            "images": list(self.images),
            "groups": [list(group) for group in self.groups],
            "evidence": dict(self.evidence),
            "repair": self.repair,
        }


def merged(findings: Sequence[Finding]) -> list[Finding]:
    """One finding a check: those that two ways of looking have found become one, with the evidence of both."""
    found: dict[str, Finding] = {}
    for finding in findings:
        first = found.get(finding.check)
        found[finding.check] = finding if first is None else _both(first, finding)
    return list(found.values())


def _both(first: Finding, second: Finding) -> Finding:
    images = tuple(sorted({*first.images, *second.images}))
    return replace(
        first,
        count=len(images),
        message=f"{first.message}; {second.message}",
        images=images,
        groups=(*first.groups, *second.groups),
        evidence={"first": dict(first.evidence), "second": dict(second.evidence)},
    )
