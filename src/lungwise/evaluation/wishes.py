"""What a report shall say besides the usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from lungwise.evaluation.decision import Rule
from lungwise.evaluation.groupings import Grouping, joined
from lungwise.labels import LabelSet


@dataclass(frozen=True)
class Wishes:
    """What a report shall say besides the usual.

    Args:
        by: columns by which results are told apart.
        more: a table with ``image`` and the columns that the predictions themselves do not have.
        source: where ``more`` comes from, for an error's sentence.
        prevalence: how common classes are where the model is to be used, in (0, 1): PPV and NPV are given there as well, and
            the rule "cost" reckons with it.
        images: show the worst mistakes, by name and where possible as pictures; a report that is passed on may want none.
    """

    by: Sequence[Grouping] = ()
    more: pl.DataFrame | None = None
    source: str = "The table"
    prevalence: Mapping[str, float] = field(default_factory=dict)
    images: bool = True

    def table(self, predictions: pl.DataFrame) -> pl.DataFrame:
        """Predictions with the other table's columns beside them."""
        return predictions if self.more is None else joined(predictions, self.more, self.source)

    def rule(self, rule: Rule | None, labels: LabelSet) -> Rule:
        """The rule by which a threshold is chosen, Youden's by default; "cost" is told how common the finding is."""
        rule, positive = rule or Rule(), labels.positive
        if positive is None or rule.name != "cost" or rule.prevalence is not None:
            return rule
        finding, other = labels.names[positive], labels.names[1 - positive]
        if finding in self.prevalence:
            return replace(rule, prevalence=self.prevalence[finding])
        return replace(rule, prevalence=1 - self.prevalence[other]) if other in self.prevalence else rule


NONE = Wishes()
"""Nothing besides the usual."""
