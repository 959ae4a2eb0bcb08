"""The texts of the report; its looks are for people to judge."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lungwise.evaluation.decision import Decision
from lungwise.evaluation.evaluate import Background, evaluate_predictions
from lungwise.evaluation.report import _beside_guessing, _in_words, differing
from lungwise.evaluation.texts import decimal, percent
from tests.evaluation.factory import history, predictions

EVIL = '<script>alert("x")</script>'
NOTHING = {"value": None, "low": None, "high": None}


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_an_estimate_in_percent() -> None:
    assert plain(percent({"value": 0.8812, "low": 0.854, "high": 0.906})) == "88.1 % [85.4, 90.6]"


def test_an_estimate_as_a_number() -> None:
    assert plain(decimal({"value": 0.94423, "low": 0.927, "high": 0.96})) == "0.944 [0.927, 0.960]"


def test_zero_is_a_number() -> None:
    zero = {"value": 0.0, "low": 0.0, "high": 0.0}
    assert plain(percent(zero)) == "0.0 % [0.0, 0.0]"
    assert plain(decimal(zero)) == "0.000 [0.000, 0.000]"


def test_an_undefined_estimate_is_a_dash() -> None:
    assert percent(NOTHING) == decimal(NOTHING) == "–"


def test_an_interval_stays_in_one_line() -> None:
    assert "\u00a0" in percent({"value": 0.5, "low": 0.4, "high": 0.6})


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report in which every text from outside tries to be a script."""
    folder = tmp_path_factory.mktemp("evil")
    data: dict[str, Any] = {
        "counts": {"train": {EVIL: 1}},
        "audit": [{"severity": "warning", "message": EVIL}],
        "notes": [EVIL],
        "fingerprint": EVIL,
    }
    environment = {"packages": {EVIL: EVIL}, "python": EVIL, "system": EVIL, "cores": 2}
    background = Background(EVIL, EVIL, data, history(3), 2, EVIL, environment)
    evaluate_predictions(predictions({"train": 8, "validation": 8, "test": 8}, ("normal", EVIL)), background, folder)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_names_and_texts_from_outside_are_escaped(evil: str) -> None:
    assert "<script" not in evil.lower()
    assert "&lt;script&gt;" in evil


def test_nothing_is_loaded_from_elsewhere(evil: str) -> None:
    targets = re.findall(r"""(?:src|href|action|data)\s*=\s*["']([^"']*)""", evil) + re.findall(r"url\(([^)]*)", evil)
    assert [target for target in targets if not target.startswith(("#", "data:"))] == []
    assert "@import" not in evil
    assert re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", evil) == []


def test_it_is_one_whole_page(evil: str) -> None:
    assert evil.startswith("<!doctype html>")
    assert evil.rstrip().endswith("</html>")
    assert evil.count("<svg") == evil.count("</svg>") >= 4


def page(folder: Path, parts: dict[str, int], background: Background, **columns: Any) -> str:
    evaluate_predictions(predictions(parts, **columns), background, folder)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_an_absent_class_is_undefined_and_drawn(tmp_path: Path) -> None:
    labels = {"labels": ("a", "b", "c"), "label": ["a", "b"] * 4}
    text = page(tmp_path, {"test": 8}, Background("r"), **labels)
    assert "–" in text
    assert re.findall(r">[^<]*\bnan\b", text, re.IGNORECASE) == []


def test_one_image_is_drawn(tmp_path: Path) -> None:
    assert "<svg" in page(tmp_path, {"test": 1}, Background("r", decision=Decision("youden", 1, 0.5, "validation")))


def test_one_epoch_is_drawn(tmp_path: Path) -> None:
    assert "<svg" in page(tmp_path, {"test": 4}, Background("r", history=history(1), kept_epoch=1))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$\\frac$", "_hidden", "a$b$c"])
def test_class_names_are_drawn_to_the_letter(tmp_path: Path, name: str) -> None:
    table = predictions({"test": 12, "validation": 12}, labels=("normal", name))
    evaluate_predictions(table, Background(name="run", history=history(2), kept_epoch=1), tmp_path)
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_what_cannot_be_known_is_said_in_words() -> None:
    unknown: dict[str, float | None] = {"value": None, "low": None, "high": None}
    half: dict[str, float | None] = {"value": 0.5, "low": 0.4, "high": 0.6}
    absent = {"sensitivity": unknown, "ppv": unknown, "prevalence": half}
    silent = {"sensitivity": half, "ppv": unknown, "prevalence": half}
    assert _in_words("sick", absent) == "There is no image of sick here, so nothing can be said about recognising it."
    assert _in_words("sick", silent) == "Of 100 images of sick it recognises 50; it never says sick."


def estimate(value: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.65, 0.8, "; it is better than that beyond chance."),
        (0.55, 0.8, "; it is not shown to be better than that."),
        (0.4, 0.55, "; it is worse than that beyond chance."),
        (None, None, "."),
    ],
)
def test_accuracy_stands_beside_the_most_frequent_answer(low: float | None, high: float | None, words: str) -> None:
    classes = {name: {"prevalence": estimate(value, 0, 1)} for name, value in (("a", 0.4), ("b", 0.6))}
    part = {"accuracy": estimate(0.7, low, high), "classes": classes}
    assert _beside_guessing(part) == [f"Always saying b would be right for 60.0 %{words}"]
    assert _beside_guessing({**part, "classes": {"a": {"prevalence": estimate(1.0, 1, 1)}}}) == []


def test_intervals_by_formula_are_told_where_they_differ() -> None:
    class_ = {"sensitivity": estimate(0.8, 0.7, 0.9), "ppv": estimate(0.9, None, None)}
    exact = {"sensitivity": {"low": 0.709, "high": 0.891}, "ppv": {"low": 0.8, "high": 0.95}}
    part = {"accuracy": estimate(0.8, 0.75, 0.85), "classes": {"sick": class_}}
    formula = {"accuracy": {"low": 0.77, "high": 0.85}, "classes": {"sick": exact}}
    found = [{key: plain(text) for key, text in row.items()} for row in differing({**part, "exact": formula})]
    assert found == [
        {"name": "accuracy", "bootstrap": "0.800 [0.750, 0.850]", "formula": "0.800 [0.770, 0.850]"},
        {"name": "PPV, sick", "bootstrap": "0.900 [unknown]", "formula": "0.900 [0.800, 0.950]"},
    ]
    assert differing(part) == []


def test_the_verdict_stands_before_everything_else(tmp_path: Path) -> None:
    audit = [{"severity": "error", "check": "source-confounding", "message": "the source gives the class away"}]
    data = {"audit": audit, "notes": ["Ask the clinic."]}
    text = page(tmp_path, {"validation": 8, "test": 8}, Background("r", data=data))
    order = ["Verdict", "do not rely on them", "The data: the source gives the class away.", "Few test patients", "it decides"]
    order += [
        "Results by class",
        "What to know about the data",
        "Do probabilities mean",
        "Does it read lungs?",
        "Worst mistakes",
    ]
    places = [text.index(words) for words in [*order, "For a paper", "</html>"]]
    assert places == sorted(places)
