"""The shortcut audit as JSON for machines and as one page to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import lungwise
from lungwise.answer import INTENDED_USE
from lungwise.errors import require
from lungwise.evaluation.shortcuts.check import RESAMPLES, Check, text, worst
from lungwise.evaluation.shortcuts.figures import embedded, intervals

HEADLINES = {
    "error": "A good result of this model on these films does not show that it reads lungs.",
    "warning": "A part of the result may come from elsewhere than the lungs.",
    "note": "Nothing was found; what could not be measured is said below.",
    "ok": "Nothing was found. An audit finds only what it looks for.",
}


def as_json(checks: Sequence[Check], about: Mapping[str, Any]) -> dict[str, Any]:
    """The audit in JSON types.

    Args:
        checks: what was found.
        about: data, model, sample and so on, JSON types only.
    """
    return {
        "lungwise": lungwise.__version__,
        **about,
        "severity": worst(checks),
        "interval": f"95 % bootstrap over patients, {RESAMPLES} resamples",
        "checks": [check.to_json() for check in checks],
    }


def render(checks: Sequence[Check], about: Mapping[str, Any]) -> str:
    """The page, self-contained: pictures are inside, nothing is loaded from elsewhere.

    Args:
        checks: what was found.
        about: as for :func:`as_json`; "model", "data", "accuracy", "films", "of", "patients", "synthetic" are shown.
    """
    jinja2 = require("jinja2", "train", "writing an audit")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    place = resources.files("lungwise.evaluation.shortcuts").joinpath("templates", "shortcuts.html")
    return str(
        environment.from_string(place.read_text(encoding="utf-8")).render(
            about=about,
            version=lungwise.__version__,
            intended_use=INTENDED_USE,
            severity=worst(checks),
            headline=HEADLINES[worst(checks)],
            sections=[_section(check) for check in checks],
        )
    )


def _section(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "title": check.title,
        "severity": check.severity,
        "message": check.message,
        "figure": intervals(check),
        "rows": [(row.name, text(row.estimate), row.remark) for row in check.rows],
        "quantity": check.quantity,
        "pictures": [(picture.caption, embedded(picture.pixels)) for picture in check.pictures],
        "details": json.dumps(dict(check.details), indent=2, ensure_ascii=False) if check.details else "",
    }
