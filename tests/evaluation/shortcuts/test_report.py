"""The page and the JSON: whole, self-contained, and safe with any class's name."""

from __future__ import annotations

import json
import re

import numpy as np

from lungwise.evaluation.intervals import Estimate
from lungwise.evaluation.shortcuts.check import Check, Picture, Row
from lungwise.evaluation.shortcuts.report import HEADLINES, as_json, render

ABOUT = {
    "model": "tiny <b>", "bundle_sha256": "a" * 64, "data": "clinic", "fingerprint": "b" * 64, "synthetic": True, "films": 600,
    "of": 1234, "patients": 500, "seed": 0, "accuracy": "91 % [88, 94]",
}  # fmt: skip
CHECKS = [
    Check(
        "probe", "Can it?", "error", "It <can>.", "AUROC", Estimate(0.9, 0.8, 0.95),
        (Row("_corner $x$", Estimate(0.9, 0.8, 0.95), "accuracy 80 %"), Row("whole", Estimate(1.0, None, None)),
         Row("nothing", Estimate(None, None, None))),
        {"guessing": 0.5}, (Picture("a film", np.zeros((40, 40), np.uint8)),), {"limits": {"clear": 0.6}},
    ),
    Check("left-out-source", "Does it?", "note", "Unknown."),
]  # fmt: skip


def test_the_page_is_self_contained_and_escaped() -> None:
    page = render(CHECKS, ABOUT)
    assert page.startswith("<!doctype html>")
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "tiny &lt;b&gt;" in page
    assert "It &lt;can&gt;." in page
    assert HEADLINES["error"] in page
    assert "600 of 1,234 test films of clinic, 500 patients (drawn at random, seed 0)" in page
    assert "synthetic phantoms" in page
    assert page.count("<svg") == 1
    assert page.count("data:image/jpeg;base64,") == 1
    assert "0.90 [0.80, 0.95]" in page


def test_the_whole_test_part_is_no_sample() -> None:
    page = render(CHECKS[1:], {**ABOUT, "of": 600, "synthetic": False})
    assert "drawn at random" not in page
    assert "synthetic phantoms" not in page
    assert HEADLINES["note"] in page


def test_json_is_for_machines() -> None:
    found = json.loads(json.dumps(as_json(CHECKS, ABOUT), allow_nan=False))
    assert found["severity"] == "error"
    assert [check["name"] for check in found["checks"]] == ["probe", "left-out-source"]
    assert {"name", "severity", "message", "value", "low", "high", "details"} <= set(found["checks"][0])
    assert found["interval"] == "95 % bootstrap over patients, 2000 resamples"
