"""What is wished for reaches the rule and the table."""

from __future__ import annotations

import polars as pl
import pytest

from lungwise.evaluation.decision import Rule
from lungwise.evaluation.wishes import NONE, Wishes
from lungwise.labels import LabelSet

TWO, THREE = LabelSet(("normal", "sick")), LabelSet(("a", "b", "c"))


def test_without_wishes_all_stays_as_it_is() -> None:
    table = pl.DataFrame({"image": ["a"]})
    assert NONE.table(table) is table
    assert NONE.rule(None, TWO) == Rule()
    assert NONE.rule(Rule("cost", miss_cost=3), TWO) == Rule("cost", miss_cost=3)


@pytest.mark.parametrize("prevalence", [{"sick": 0.02}, {"normal": 0.98}, {"sick": 0.02, "normal": 0.5}])
def test_costs_are_reckoned_at_the_prevalence_of_the_finding(prevalence: dict[str, float]) -> None:
    found = Wishes(prevalence=prevalence).rule(Rule("cost", miss_cost=3), TWO)
    assert (found.miss_cost, found.prevalence) == (3, pytest.approx(0.02))


def test_a_prevalence_that_the_rule_has_is_kept() -> None:
    rule = Rule("cost", prevalence=0.3)
    assert Wishes(prevalence={"sick": 0.02}).rule(rule, TWO) is rule


@pytest.mark.parametrize("rule", [Rule(), Rule("sensitivity"), Rule("argmax")])
def test_other_rules_do_not_ask_for_it(rule: Rule) -> None:
    assert Wishes(prevalence={"sick": 0.02}).rule(rule, TWO) is rule


def test_more_classes_and_unknown_ones_leave_the_rule_alone() -> None:
    rule = Rule("cost")
    assert Wishes(prevalence={"a": 0.1}).rule(rule, THREE) is rule
    assert Wishes(prevalence={"ill": 0.1}).rule(rule, TWO) is rule
