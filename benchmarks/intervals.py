"""How long intervals of all metrics take: 10,000 resamples of 10,000 images, beside peers on the same images.

    .venv/bin/python benchmarks/intervals.py [--images 10000] [--resamples 10000] [--runs 3]

Three classes, every image of another patient (the slowest case). Ours is everything that ``estimates`` does: draws, all 35
metrics, jackknife, BCa. The peers are plain loops over resamples, timed on a few and multiplied: scikit-learn's functions for
the same metrics, and ``scipy.stats.bootstrap`` with one class' AUROC alone. A ratio to a budget above 1 breaks it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy.stats
import sklearn.metrics as reference
from numpy.typing import NDArray

from lungwise.evaluation.cases import Cases
from lungwise.evaluation.metrics import estimates
from lungwise.labels import LabelSet

SECONDS, MEGABYTES = 10.0, 1000.0
FEW = 4


def line(name: str, value: str, budget: str = "") -> None:
    """One row of the output."""
    print(f"{name:<62} {value:>14}   {budget}", flush=True)


def make(images: int) -> Cases:
    """A fair classifier's answers; no two scores are equal."""
    rng = np.random.default_rng(0)
    y = rng.choice(3, images, p=[0.6, 0.3, 0.1]).astype(np.int32)
    logits = rng.normal(size=(images, 3)) + 2 * np.eye(3)[y]
    prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = np.array([f"p{row:06d}" for row in range(images)])
    return Cases(LabelSet(("normal", "pneumonia", "covid")), y, prob, names, names)


def with_sklearn(y: NDArray[np.int32], prob: NDArray[np.float64]) -> list[float]:
    """The same metrics by scikit-learn."""
    decided = prob.argmax(axis=1)
    found = [
        reference.accuracy_score(y, decided),
        reference.balanced_accuracy_score(y, decided),
        reference.f1_score(y, decided, average="macro"),
        reference.cohen_kappa_score(y, decided),
        reference.log_loss(y, prob),
    ]
    for column in range(prob.shape[1]):
        truth, called, score = y == column, decided == column, prob[:, column]
        for side in (True, False):
            found.append(reference.recall_score(truth, called, pos_label=side))
            found.append(reference.precision_score(truth, called, pos_label=side))
        found.append(reference.f1_score(truth, called))
        found.append(reference.roc_auc_score(truth, score))
        found.append(reference.average_precision_score(truth, score))
        found.append(reference.brier_score_loss(truth, score))
    return found


def loop(cases: Cases, resamples: int) -> None:
    """Draw patients, take their images, compute anew; then percentiles."""
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(resamples):
        rows = rng.integers(0, len(cases), len(cases))
        draws.append(with_sklearn(cases.y[rows], cases.prob[rows]))
    np.quantile(draws, [0.025, 0.975], axis=0)


def scipys(cases: Cases, resamples: int) -> None:
    """One class' AUROC by scipy.stats.bootstrap."""
    data = (cases.y == 1, cases.prob[:, 1])
    scipy.stats.bootstrap(
        data, reference.roc_auc_score, paired=True, vectorized=False, n_resamples=resamples, method="percentile", random_state=0
    )


def seconds(job: Callable[[], object], runs: int) -> float:
    """The median duration."""
    found = []
    for _ in range(runs):
        begin = time.perf_counter()
        job()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def peak() -> float:
    """The most memory that this process had so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    wanted = parser.parse_args()
    cases = make(wanted.images)
    decided = cases.prob.argmax(axis=1)
    start = peak()
    estimates(cases, decided, resamples=wanted.resamples // 10)
    tenth = peak()
    ours = seconds(lambda: estimates(cases, decided, resamples=wanted.resamples), wanted.runs)
    whole = peak()
    named = f"{wanted.resamples} resamples of {wanted.images} images"
    line(f"lungwise: {named}, all metrics", f"{ours:.2f} s", f"most {SECONDS:.0f} s: ratio {ours / SECONDS:.2f}")
    line("lungwise: memory at the peak", f"{whole:.0f} MB", f"most {MEGABYTES:.0f} MB: ratio {whole / MEGABYTES:.2f}")
    line("lungwise: memory before, and with a tenth of the resamples", f"{start:.0f}, {tenth:.0f} MB")
    for name, job in (("scikit-learn in a loop, all metrics", loop), ("scipy.stats.bootstrap, one AUROC", scipys)):
        whole_loop = seconds(lambda job=job: job(cases, FEW), wanted.runs) * wanted.resamples / FEW
        line(f"{name}, from {FEW} resamples", f"{whole_loop:.0f} s", f"{whole_loop / ours:.0f} x ours")


if __name__ == "__main__":
    main()
