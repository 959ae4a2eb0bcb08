"""The audit as one page to look at: every finding with its pictures side by side, its evidence and its repair."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib import resources
from itertools import islice
from typing import Any

import cv2
import numpy as np

import lungwise
from lungwise.data.audit.finding import Finding
from lungwise.data.store import PreparedData
from lungwise.errors import require

GROUPS, MEMBERS = 12, 4
"""Pictures shown of one finding: so many groups of at most so many; all are named in the JSON."""
_SINGLES = 24
_SIDE = 160
_QUALITY = 80


def as_json(data: PreparedData, findings: Sequence[Finding]) -> dict[str, Any]:
    """The audit in JSON types; every finding names its images by path."""
    severities = [finding.severity for finding in findings]
    return {
        "data": str(data.folder),
        "fingerprint": data.fingerprint,
        "counts": data.facts["counts"],
        "errors": severities.count("error"),
        "warnings": severities.count("warning"),
        "notes": severities.count("note"),
        "findings": [finding.as_json() for finding in findings],
    }


def render(data: PreparedData, findings: Sequence[Finding]) -> str:
    """The page, self-contained: pictures are inside, nothing is loaded from elsewhere."""
    jinja2 = require("jinja2", "train", "writing an audit")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = resources.files("lungwise.data.audit").joinpath("templates", "audit.html").read_text(encoding="utf-8")
    used = data.part("train", "validation", "test")
    shown = _Pictures(data)
    return str(
        environment.from_string(text).render(
            name=data.folder.resolve().name,
            images=len(used),
            patients=used.manifest["patient"].n_unique(),
            fingerprint=data.fingerprint,
            version=lungwise.__version__,
            errors=sum(finding.severity == "error" for finding in findings),
            findings=[_section(finding, shown) for finding in findings],
        )
    )


class _Pictures:
    """Thumbnails with what the manifest says of them."""

    def __init__(self, data: PreparedData) -> None:
        self._data = data
        rows = data.manifest.with_row_index("row").select("path", "row", "label", "split", "patient", "status")
        self._rows = {row["path"]: row for row in rows.iter_rows(named=True)}

    def of(self, path: str) -> dict[str, Any]:
        """One picture; files that no list names have neither row nor thumbnail."""
        row = self._rows.get(path)
        if row is None:
            return {"path": path, "label": "", "split": "not listed", "patient": "", "image": ""}
        return {**row, "image": self._thumbnail(row["row"]) if row["status"] != "missing" else ""}

    def _thumbnail(self, row: int) -> str:
        small = cv2.resize(np.asarray(self._data.pixels[row]), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        _, coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        return base64.b64encode(coded.tobytes()).decode()


def _section(finding: Finding, shown: _Pictures) -> dict[str, Any]:
    groups = finding.groups[:GROUPS] or [(path,) for path in islice(_with_pictures(finding), _SINGLES)]
    whole = len(finding.groups) or len(finding.images)
    return {
        "check": finding.check,
        "severity": finding.severity,
        "message": finding.message,
        "repair": finding.repair,
        "pictures": [[shown.of(path) for path in group[:MEMBERS]] for group in groups],
        "more": whole - len(groups) if groups else 0,
        "tables": _tables(finding),
        "evidence": json.dumps(_short(finding.evidence), indent=2, ensure_ascii=False) if finding.evidence else "",
    }


def _with_pictures(finding: Finding) -> Sequence[str]:
    """Missing files and findings on whole collections have no pictures worth showing one by one."""
    return () if finding.check in ("missing", "source-confounding", "not-listed") else finding.images


def _tables(finding: Finding) -> list[tuple[str, list[list[str]]]]:
    """Counts by source and class, where a finding has them."""
    if finding.check != "source-confounding":
        return []
    tables = []
    for part, found in finding.evidence["parts"].items():
        labels = list(next(iter(found["counts"].values())))
        rows = [[source, *(str(row[label]) for label in labels)] for source, row in found["counts"].items()]
        v = "–" if found["cramers_v"] is None else f"{found['cramers_v']:.2f}"
        title = (
            f"{part}: {found['images']:,} images; source alone {found['oracle_accuracy']:.1%}, most frequent class "
            f"{found['majority_accuracy']:.1%}, Cramér's V {v}"
        )
        tables.append((title, [["source", *labels], *rows]))
    return tables


def _short(value: Any, limit: int = 40) -> Any:
    """Evidence with its long lists and dictionaries cut, for the page; the JSON has all."""
    if isinstance(value, dict):
        cut = {key: _short(inside, limit) for key, inside in islice(value.items(), limit)}
        return cut | ({"…": f"{len(value) - limit} more"} if len(value) > limit else {})
    if isinstance(value, list | tuple):
        return [_short(inside, limit) for inside in value[:limit]] + (
            [f"{len(value) - limit} more"] if len(value) > limit else []
        )
    return value
