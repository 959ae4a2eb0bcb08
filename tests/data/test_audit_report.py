"""The audit's page and JSON."""

from __future__ import annotations

import re

from lungwise.data.audit import Finding
from lungwise.data.audit.report import GROUPS, as_json, render
from lungwise.data.store import PreparedData


def pair(data: PreparedData, number: int = 1) -> Finding:
    paths = data.manifest["path"].to_list()
    groups = tuple((paths[2 * at], paths[2 * at + 1]) for at in range(number))
    images = tuple(path for group in groups for path in group)
    return Finding("near-duplicate", "error", number, f"{number} pictures <twice>", images, groups, repair="drop & go")


def test_pairs_stand_side_by_side_with_their_labels(small_data: PreparedData) -> None:
    page = render(small_data, [pair(small_data)])
    first, second = small_data.manifest.row(0, named=True), small_data.manifest.row(1, named=True)
    for row in (first, second):
        assert f"<b>{row['label']}</b> · {row['split']} · {row['patient']}<br>{row['path']}" in page
    assert page.count("data:image/jpeg;base64,") == 2
    assert "1 pictures &lt;twice&gt;" in page
    assert "drop &amp; go" in page
    assert "1 error" in page


def test_the_page_needs_no_network(small_data: PreparedData) -> None:
    page = render(small_data, [pair(small_data)])
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "http" not in page


def test_long_findings_are_cut_on_the_page_and_whole_in_the_json(small_data: PreparedData) -> None:
    finding = pair(small_data, GROUPS + 5)
    page, found = render(small_data, [finding]), as_json(small_data, [finding])
    assert page.count("data:image/jpeg;base64,") == 2 * GROUPS
    assert "5 more; all are named in audit.json" in page
    assert len(found["findings"][0]["images"]) == 2 * (GROUPS + 5)
    assert (found["errors"], found["warnings"], found["notes"]) == (1, 0, 0)


def test_missing_files_have_no_picture(small_data: PreparedData) -> None:
    finding = Finding(
        "missing", "warning", 1, "1 of 2 listed images are missing on disk", ("gone.png",), evidence={"listed": 2}
    )
    page = render(small_data, [finding, Finding("tiny", "warning", 1, "1 small", ("unknown.png",))])
    assert "data:image" not in page
    assert "<b></b> · not listed" in page
    assert "no error" in page


def test_an_audit_without_findings_does_not_boast(small_data: PreparedData) -> None:
    assert "An audit finds only what it looks for." in render(small_data, [])
