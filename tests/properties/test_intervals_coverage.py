"""Do 95 % intervals hold the truth 95 times in 100? Studies are simulated whose truth is known.

400 images of a fair classifier (accuracy 0.864, AUROC 0.940), in three designs: every image of another patient, 200 patients
with two images, and 100 with four. A patient's images mostly share their class, and more than half of what moves their
score. ``pytest -m slow -k coverage -s`` prints the whole table.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from lungwise.evaluation.cases import Cases
from lungwise.evaluation.intervals import Bootstrap, Estimate
from lungwise.evaluation.metric_table import MACRO, MetricTable
from lungwise.evaluation.scarce import filled
from tests.evaluation.factory import scored

FEWER = 1000
"""Studies that are enough to see how far intervals over images fall short."""
IMAGES, FAIR, NEARLY_PERFECT = 400, 2.2, 3.6
DESIGNS = {"400 patients": 1, "200 patients, 2 images each": 2, "100 patients, 4 images each": 4}
FIGURES = ("accuracy", "sensitivity/sick", "auroc/sick", "brier")


@cache
def truth(apart: float = FAIR) -> dict[str, float]:
    """What the figures would be with infinitely many patients: scores are normal, so many standard deviations apart."""
    squared = quad(lambda x: expit(1.5 * (x - apart / 2)) ** 2 * norm.pdf(x), -9, 9)[0]
    right, area = norm.cdf(apart / 2), norm.cdf(apart / np.sqrt(2))
    return dict(zip(FIGURES, (right, right, area, 2 * squared), strict=True))


def study(films: int, rng: np.random.Generator, apart: float = FAIR) -> Cases:
    """One study: patients are sick with probability 0.35, an image differs from its patient's class once in ten times."""
    patients = IMAGES // films
    sick = rng.uniform(size=(patients, 1)) < 0.35
    y = np.where(rng.uniform(size=(patients, films)) < 0.9, sick, rng.uniform(size=(patients, films)) < 0.35)
    own, shared = rng.normal(size=(patients, films)), rng.normal(size=(patients, 1))
    score = apart * y + np.sqrt(0.6) * shared + np.sqrt(0.4) * own
    owners = np.repeat([f"p{number}" for number in range(patients)], films).tolist()
    return scored(y.astype(int).ravel().tolist(), expit(1.5 * (score - apart / 2)).ravel().tolist(), owners)


def resampled(cases: Cases, resamples: int, seed: int) -> tuple[dict[str, Estimate], NDArray[np.float64]]:
    """The product's estimates, and the draws of ``FIGURES``."""
    bootstrap, decided = Bootstrap(cases.patient, resamples, seed), (cases.prob[:, 1] >= 0.5).astype(np.int64)
    table = MetricTable(cases, decided, bootstrap.group)
    sample = bootstrap.sample(table)
    found = {name: sample.estimate(row) for row, name in enumerate(table.names)}
    return filled(found, cases, decided, MACRO), sample.draws[[table.names.index(name) for name in FIGURES]]


@dataclass
class Held:
    """In which studies each interval held the truth: bool [studies, figures]; over images in the first of them only."""

    ours: NDArray[np.bool_]
    percentile: NDArray[np.bool_]
    by_image: NDArray[np.bool_]


def simulate(films: int, studies: int, resamples: int, apart: float = FAIR) -> Held:
    """The product's interval, the percentile interval of the same draws, and the product's if images were patients."""
    rng, true = np.random.default_rng(films), np.array([truth(apart)[name] for name in FIGURES])
    held = Held(*(np.zeros((number, len(FIGURES)), bool) for number in (studies, studies, min(studies, FEWER))))
    for number in range(studies):
        cases = study(films, rng, apart)
        found, draws = resampled(cases, resamples, number)
        held.ours[number] = _inside(found, true)
        low, high = np.quantile(draws, [0.025, 0.975], axis=1)
        held.percentile[number] = (low <= true) & (true <= high)
        if number < len(held.by_image):
            by_image = replace(cases, patient=cases.image)
            held.by_image[number] = _inside(resampled(by_image, resamples, number)[0] if films > 1 else found, true)
    return held


def _inside(found: dict[str, Estimate], true: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each interval holds the truth; one that is not given does not."""
    ends = np.array([(found[name].low, found[name].high) for name in FIGURES], float)
    return np.asarray((ends[:, 0] <= true) & (true <= ends[:, 1]))


def told(title: str, held: Held) -> tuple[NDArray[np.float64], ...]:
    """Percent of studies that each interval held the truth in, and prints them."""
    shares = tuple(100 * part.mean(axis=0) for part in (held.ours, held.percentile, held.by_image))
    lines = [f"\n{title}, {len(held.ours)} studies: {', '.join(FIGURES)}"]
    for name, share in zip(("BCa", "percentile", "BCa over images"), shares, strict=True):
        lines.append(f"  {name:16}" + " ".join(f"{value:6.1f}" for value in share))
    sys.stdout.write("\n".join(lines) + "\n")
    return shares


def test_the_truth_of_the_simulation_is_what_a_huge_study_finds() -> None:
    rng = np.random.default_rng(0)
    parts = [study(1, rng) for _ in range(250)]
    y, score = (np.concatenate([values(part) for part in parts]) for values in (lambda p: p.y, lambda p: p.prob[:, 1]))
    huge = scored(y.tolist(), score.tolist())
    table = MetricTable(huge, (score >= 0.5).astype(np.int64))
    for name, value in truth().items():
        assert table.one(name, np.ones((1, len(huge))))[0] == pytest.approx(value, abs=0.004)


@pytest.mark.parametrize("films", DESIGNS.values(), ids=DESIGNS.keys())
def test_coverage_is_near_95_percent_in_a_few_studies(films: int) -> None:
    held = simulate(films, studies=80, resamples=300)
    share = held.ours.mean(axis=0)
    # Four standard errors of 80 studies.
    assert (share > 0.85).all(), share
    assert held.ours.mean() > 0.91
    if films == 4:
        assert held.by_image.mean() < held.ours.mean() - 0.05


@pytest.mark.slow
@pytest.mark.parametrize("films", DESIGNS.values(), ids=DESIGNS.keys())
def test_coverage_is_95_percent_within_one(films: int) -> None:
    ours, percentile, by_image = told(f"{films} images a patient", simulate(films, studies=4000, resamples=2000))
    assert (np.abs(ours - 95) <= 1).all(), ours
    if films > 1:
        assert by_image.mean() < {2: 93, 4: 86}[films], by_image
    if films == 4:
        assert percentile[1:3].max() < 94, percentile


@pytest.mark.slow
def test_with_a_nearly_perfect_model_coverage_falls_less_than_that_of_percentiles() -> None:
    held = simulate(4, studies=2000, resamples=2000, apart=NEARLY_PERFECT)
    ours, percentile, _ = told("4 images a patient, nearly perfect", held)
    assert (ours >= 89).all(), ours
    assert (ours[1:3] > percentile[1:3] + 4).all(), percentile
