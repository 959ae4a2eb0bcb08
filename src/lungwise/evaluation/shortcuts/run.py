"""All experiments on the films of the test part, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable

from lungwise.evaluation.shortcuts.check import Check
from lungwise.evaluation.shortcuts.films import Answers, Films, Model
from lungwise.evaluation.shortcuts.occlude import cover_all, lungs_covered_check, only_lungs_check
from lungwise.evaluation.shortcuts.probe import probe, probe_check
from lungwise.evaluation.shortcuts.sources import within_check
from lungwise.evaluation.shortcuts.stability import stability, stability_check

SAMPLE = 600
"""Films of the test part that are looked at, at most: intervals of accuracy are then within four points, in minutes."""
STABILITY = 300
"""Of these, the films that are changed in every way: each costs a dozen answers."""

Progress = Callable[[str], None]


def experiments(films: Films, model: Model, progress: Progress = lambda step: None) -> tuple[list[Check], Answers]:
    """The probe, covered lungs, accuracy within sources and stability.

    Args:
        films: of the test part, in random order.
        model: what is audited.
        progress: told the name of each step.

    Returns:
        The checks, and the model's answers to the films as they are.

    Raises:
        DataError: the model's probabilities are none.
    """
    progress("the films as they are")
    own = model.answer(films, films.squares)
    probes = probe(films, progress)
    progress("films without lungs")
    without = cover_all(films, model, "lungs")
    progress("lungs without the rest")
    only = cover_all(films, model, "rest")
    some = films.first(STABILITY)
    whole = own if len(some) == len(films) else model.answer(some, some.squares)
    checks = [
        probe_check(films, probes, own),
        lungs_covered_check(films, without, own, probes.outline if probes else None),
        only_lungs_check(films, only, without, own),
        within_check(films, own),
        stability_check(some, stability(some, model, whole, progress), whole),
    ]
    return checks, own
