"""Guidelines' questions are answered from the run or left to its authors, never guessed."""

from __future__ import annotations

import re
from typing import Any

from lungwise.evaluation.checklist import UNKNOWN, checklist

BARE: dict[str, Any] = {"audit": []}
FULL: dict[str, Any] = {
    "audit": [1],
    "training": {"epochs": 3},
    "calibration": {"calibration": {"reason": "One temperature serves all."}},
    "subgroups": [1],
    "shortcuts": {"checks": []},
    "folds": {"by": "source"},
}


def answers(*args: Any) -> dict[str, str]:
    return {item.question: item.answer for item in checklist(*args)}


def test_what_only_authors_know_is_never_answered() -> None:
    found = answers(FULL, {"counts": {"test": {"a": 1}}}, "x", {"packages": {"keras": "3"}})
    for word in ("ethics", "registered", "included", "true, how", "earlier work", "public involved"):
        (question,) = [question for question in found if word in question]
        assert found[question] == UNKNOWN


def test_more_is_known_of_a_run_than_of_a_table() -> None:
    bare, full = (answers(*args) for args in ((BARE, {}, "", {}), (FULL, {"counts": {"a": 1}}, "x", {"packages": {"k": "3"}})))
    assert list(bare) == list(full)
    gained = {question for question in bare if bare[question] == UNKNOWN != full[question]}
    assert len(gained) == 11
    assert full["How good is it elsewhere, on images of another origin?"] == "Fold by fold: each source was left out in turn."
    assert full["How were the parts divided, and do they share patients?"].endswith("has 1 finding, which stand in the report.")


def test_items_name_numbers_that_the_guidelines_have() -> None:
    for item in checklist(BARE, {}, "", {}):
        assert item.known == (item.answer != UNKNOWN)
        assert item.question.endswith("?")
        assert (item.tripod, item.claim) != ("–", "–")
        assert all(1 <= int(number) <= 27 for number in re.findall(r"\d+", item.tripod))
        assert all(1 <= int(number) <= 42 for number in re.findall(r"\d+", item.claim))
