"""One answer as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from lungwise.files import defuse
from lungwise.inference.result import Result, csv_header, csv_row

LABELS = ("normal", "sick")
OK = Result(
    path="a.png",
    status="ok",
    decision="sick",
    probabilities={"normal": 0.25, "sick": 0.75},
    reasons=(),
    warnings=("colour image converted to grey", "odd"),
    heatmap="heat/a.png",
    model="tiny",
    bundle_sha256="ab12",
    intended_use="Research use only.",
    conformal_set=("sick",),
)
FAILED = replace(
    OK,
    status="error",
    decision=None,
    probabilities={},
    conformal_set=None,
    reasons=("a.png is empty",),
    warnings=(),
    heatmap=None,
)


def strict(text: str) -> dict[str, object]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found: dict[str, object] = json.loads(text, parse_constant=refuse)
    return found


@pytest.mark.parametrize("result", [OK, FAILED])
def test_json_is_one_strict_line(result: Result) -> None:
    assert "\n" not in result.to_json()
    assert strict(result.to_json()) == result.to_dict()


def test_json_has_the_agreed_keys() -> None:
    assert list(OK.to_dict()) == [
        *("path", "status", "decision", "probabilities", "conformal_set", "reasons", "warnings", "heatmap", "model"),
        *("bundle_sha256", "intended_use"),
    ]


@pytest.mark.parametrize(
    ("found", "json_", "text"),
    [(None, None, ""), ((), [], "(none)"), (("normal", "sick"), ["normal", "sick"], "normal; sick")],
)
def test_a_set_that_is_empty_is_not_one_that_is_unknown(
    found: tuple[str, ...] | None, json_: list[str] | None, text: str
) -> None:
    result = replace(OK, conformal_set=found)
    assert strict(result.to_json())["conformal_set"] == json_
    assert dict(zip(csv_header(LABELS), csv_row(result, LABELS), strict=True))["conformal_set"] == text


def test_an_error_has_reasons_and_no_decision() -> None:
    found = strict(FAILED.to_json())
    assert (found["status"], found["decision"], found["probabilities"]) == ("error", None, {})
    assert found["reasons"] == ["a.png is empty"]


def test_a_line_break_in_a_name_stays_in_one_line() -> None:
    text = replace(OK, path="a\nb.png").to_json()
    assert "\n" not in text
    assert strict(text)["path"] == "a\nb.png"


def test_other_scripts_stay_readable() -> None:
    assert "Thorax-Röntgen 胸.png" in replace(OK, path="Thorax-Röntgen 胸.png").to_json()


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(OK, probabilities={"normal": float("nan"), "sick": 0.5}).to_json()


def test_a_row_has_a_cell_for_every_column() -> None:
    row = dict(zip(csv_header(LABELS), csv_row(OK, LABELS), strict=True))
    assert row == {
        "path": "a.png",
        "status": "ok",
        "decision": "sick",
        "prob_normal": "0.250000",
        "prob_sick": "0.750000",
        "conformal_set": "sick",
        "reasons": "",
        "warnings": "colour image converted to grey; odd",
        "heatmap": "heat/a.png",
        "model": "tiny",
        "bundle_sha256": "ab12",
    }


def test_the_row_of_an_error_has_empty_probabilities() -> None:
    row = dict(zip(csv_header(LABELS), csv_row(FAILED, LABELS), strict=True))
    assert (row["decision"], row["prob_normal"], row["prob_sick"], row["heatmap"]) == ("", "", "", "")
    assert row["reasons"] == "a.png is empty"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_formula_is_defused(start: str) -> None:
    assert defuse(f"{start}cmd|'/c calc'!A1") == f"'{start}cmd|'/c calc'!A1"


@pytest.mark.parametrize("text", ["", "a=b", "scan 1.png", "0.5", "/data/-x.png"])
def test_other_text_stays(text: str) -> None:
    assert defuse(text) == text


def test_every_text_of_a_row_is_defused() -> None:
    bad = replace(FAILED, path="=1+1", reasons=("@x",), warnings=("+y",), heatmap="-z", model="=m")
    row = dict(zip(csv_header(LABELS), csv_row(bad, LABELS), strict=True))
    assert [row[key] for key in ("path", "reasons", "warnings", "heatmap", "model")] == ["'=1+1", "'@x", "'+y", "'-z", "'=m"]


def test_a_class_named_like_a_formula_is_defused() -> None:
    labels = ("=a", "b")
    result = replace(OK, decision="=a", probabilities={"=a": 0.6, "b": 0.4})
    assert csv_row(result, labels)[2] == "'=a"
    assert csv_header(labels)[3] == "prob_=a"


def test_a_written_table_reads_back_the_same() -> None:
    rows = [csv_header(LABELS), csv_row(replace(OK, path='a,"b".png'), LABELS)]
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    assert list(csv.reader(io.StringIO(buffer.getvalue()))) == rows
