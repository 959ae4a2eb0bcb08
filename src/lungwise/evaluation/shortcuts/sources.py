"""Does the model read the source? How well the source alone answers, and how well the model answers within a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import some
from lungwise.evaluation.curves import Ranking
from lungwise.evaluation.exact import newcombe
from lungwise.evaluation.intervals import Bootstrap, Estimate, Weights
from lungwise.evaluation.shortcuts.check import CHANCE, RESAMPLES, Check, Row, Severity, bounded, lower, text
from lungwise.evaluation.shortcuts.films import Answers, Films

DROP = 0.05
"""A warning where AUROC within sources surely lies lower than overall by more than this (the interval's lower end)."""
GRAVE = 0.15
"""An error from this drop on, or where with a sure drop nothing above chance is left within sources."""
FEW = 10
"""Films of each of two classes that a source must have for the model to be judged within it."""
_ORACLE, _WITHIN = "Does the source give the class away?", "Does the model tell the classes apart within one source?"

Names = NDArray[np.str_]


def oracle(label: Names, source: Names, patient: Names) -> tuple[Estimate, Estimate]:
    """How often knowing only the source is right (it answers the source's most frequent class), and the most frequent class.

    Args:
        label: str [n].
        source: str [n].
        patient: str [n].

    Returns:
        Both shares with patient-level intervals. In each resample the oracle learns anew.
    """
    bootstrap = Bootstrap(patient, RESAMPLES)
    sources, row = np.unique(source, return_inverse=True)
    labels, column = np.unique(label, return_inverse=True)
    sums = np.zeros((len(sources) * len(labels), bootstrap.patients))
    np.add.at(sums, (row * len(labels) + column, bootstrap.group), 1.0)

    def figures(weights: Weights) -> NDArray[np.float64]:
        counts = (sums @ weights).reshape(len(sources), len(labels), -1)
        right = counts.max(axis=1).sum(axis=0), counts.sum(axis=0).max(axis=0)
        return np.asarray(np.stack(right) / counts.sum(axis=(0, 1)))

    sample = bootstrap.sample(figures)
    knowing, guessing = (bounded(sample.estimate(which), bootstrap.patients) for which in (0, 1))
    return knowing, guessing


def oracle_check(label: Names, source: Names, patient: Names, severity: Severity, details: Mapping[str, Any]) -> Check:
    """The verdict of the data audit on class and source, with an interval.

    Args:
        label: str [n], of all films that take part.
        source: str [n].
        patient: str [n].
        severity: what the data audit says.
        details: its figures.
    """
    names = np.unique(source)
    if len(names) < 2:
        one = f"All films come from one source ('{names[0]}'), so whether the source gives the class away cannot be asked."
        return Check("source-oracle", _ORACLE, "note", one, details=details)
    knowing, guessing = oracle(label, source, patient)
    given = f"right for {text(knowing, percent=True)} of the films, always the most frequent class for {text(guessing, True)}"
    message = {
        "ok": f"Knowing where a film comes from does not tell its class (answering from the source alone is {given}).",
        "warning": f"Where a film comes from tells something of its class (answering from the source alone is {given}).",
    }.get(severity, _given_away(given, details.get("classes_of_own_sources", ())))
    rows = (Row("knowing only the source", knowing), Row("always the most frequent class", guessing))
    return Check("source-oracle", _ORACLE, severity, message, "accuracy", knowing, rows, {}, (), details)


def _given_away(given: str, alone: Sequence[str]) -> str:
    whose = f"; all films of {some(alone)} come from sources without any other class" if alone else ""
    return (
        f"Where a film comes from gives its class away (answering from the source alone is {given}{whose}): whoever recognises "
        "the source needs no lung."
    )


def within_check(films: Films, own: Answers) -> Check:
    """AUROC within sources that have two classes, against AUROC over all films.

    A model that recognises sources ranks films of one source by nothing; AUROC within it is 0.5, whatever accuracy says.
    """
    known = films.source[films.source != ""]
    if len(np.unique(known)) < 2:
        one = "All films come from one source, so the model cannot be compared within and across sources."
        return Check("within-sources", _WITHIN, "note", one)
    mixed = _mixed(films)
    if not mixed:
        none = (
            f"No source has {FEW} films of each of two classes, so nobody can tell whether the model reads lungs or sources; "
            "add films of every class from the same source."
        )
        return Check("within-sources", _WITHIN, "warning", none, details={"sources": _counts(films)})
    within, overall, drop, each = _areas(films, own, mixed)
    sure = lower(drop) > DROP
    grave = sure and (lower(drop) > GRAVE or lower(within) <= CHANCE)
    severity: Severity = "error" if grave else "warning" if sure else "ok"
    given = f"AUROC {text(within)} within sources, {text(overall)} over all films; 0.50 is guessing"
    message = {
        "ok": f"Within a source the model tells the classes apart about as well as over all films ({given}).",
        "warning": f"Within a source the model is worse than over all films ({given}): a part of its result is the source.",
        "error": f"Within a source little is left of the model's result ({given}): most of it is the source.",
    }[severity]
    alone = _alone(films)
    if alone:
        severity = "warning" if severity == "ok" else severity
        message = (
            f"Nobody can tell whether the model reads lungs or sources where {some(alone)} is concerned, which no source has "
            f"beside another class. {message.replace('Within a source', 'Of the other classes: within a source', 1)}"
        )
    rows = (
        Row("over all films", overall),
        Row("within sources", within),
        *(Row(f"within {name}", e) for name, e in each.items()),
    )
    details = {
        "drop": drop.to_json(), "sources": _counts(films), "classes_of_own_sources": alone,
        "limits": {"drop": DROP, "grave": GRAVE, "few": FEW},
    }  # fmt: skip
    return Check("within-sources", _WITHIN, severity, message, "AUROC", within, rows, {"guessing": CHANCE}, (), details)


def _mixed(films: Films) -> dict[str, list[int]]:
    """Sources with enough films of two classes, and those classes."""
    found = {}
    for name in np.unique(films.source[films.source != ""]).tolist():
        counts = np.bincount(films.y[films.source == name], minlength=len(films.labels))
        classes = np.flatnonzero(counts >= FEW).tolist()
        if len(classes) > 1:
            found[name] = classes
    return found


def _counts(films: Films) -> dict[str, dict[str, int]]:
    """Films by source and class."""
    return {
        name: {
            films.labels.names[column]: int(((films.source == name) & (films.y == column)).sum()) for column in films.present
        }
        for name in np.unique(films.source).tolist()
    }


def _alone(films: Films) -> list[str]:
    """Classes of which every film comes from a source without another class."""
    pure = {name for name in np.unique(films.source).tolist() if len(np.unique(films.y[films.source == name])) == 1}
    return [
        films.labels.names[column]
        for column in films.present
        if all(name in pure for name in films.source[films.y == column].tolist())
    ]


def _areas(
    films: Films, own: Answers, mixed: Mapping[str, Sequence[int]]
) -> tuple[Estimate, Estimate, Estimate, dict[str, Estimate]]:
    """AUROC within sources (their mean by number of films), overall, the drop, and of each source."""
    bootstrap = Bootstrap(films.patient, RESAMPLES)

    def ranked(rows: NDArray[np.int64], classes: Sequence[int]) -> list[Ranking]:
        columns = [int(np.searchsorted(films.present, column)) for column in classes]
        cases = own.cases
        return [Ranking(cases.y[rows] == c, cases.prob[rows, c], bootstrap.group[rows], bootstrap.patients) for c in columns]

    def mean(rankings: list[Ranking], weights: Weights) -> NDArray[np.float64]:
        return np.asarray(np.mean([ranking(weights)[0] for ranking in rankings], axis=0))

    places = {name: np.flatnonzero((films.source == name) & np.isin(films.y, mixed[name])) for name in mixed}
    sources = {name: ranked(rows, mixed[name]) for name, rows in places.items()}
    numbers = np.array([len(rows) for rows in places.values()], np.float64)
    whole = ranked(np.arange(len(films)), films.present.tolist())

    def figures(weights: Weights) -> NDArray[np.float64]:
        each = np.stack([mean(rankings, weights) for rankings in sources.values()])
        within, overall = numbers @ each / numbers.sum(), mean(whole, weights)
        return np.stack([within, overall, overall - within, *each])

    sample = bootstrap.sample(figures)
    drop, inside = sample.estimate(2), np.concatenate(list(places.values()))
    within, overall = _bounded(sample.estimate(0), films, inside), _bounded(sample.estimate(1), films, np.arange(len(films)))
    each = {name: _bounded(sample.estimate(3 + row), films, places[name]) for row, name in enumerate(sources)}
    return within, overall, drop, each


def _bounded(area: Estimate, films: Films, rows: NDArray[np.int64]) -> Estimate:
    """An area with Newcombe's interval for its rarest class, patients counted for images, where the bootstrap has none."""
    if area.value is None or area.low is not None:
        return area
    y, patient = films.y[rows], films.patient[rows]
    cases, others = min((len(np.unique(patient[y == c])), len(np.unique(patient[y != c]))) for c in np.unique(y))
    ends = newcombe(area.value, cases, others)
    return area if ends is None else Estimate(area.value, *ends, area.reason)
