"""Paired differences, and what may be said of them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lungwise.evaluation.compare.cases import matched
from lungwise.evaluation.compare.pairs import area_test, compare_pairs, compared, swap_test, verdict
from lungwise.evaluation.compare.runs import read_evaluated
from lungwise.evaluation.multiplicity import holm
from lungwise.evaluation.paired import delong_test, mcnemar
from tests.evaluation.compare.factory import folds, shifted, write, write_folds
from tests.evaluation.factory import predictions, random_cases

BASE = predictions({"test": 80})


def names(number: int) -> np.ndarray:
    return np.array([f"p{row}" for row in range(number)])


class TestSwap:
    @pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 5), (9, 2), (40, 16), (300, 250)])
    def test_single_images_are_mcnemars_exact_test(self, only_a: int, only_b: int) -> None:
        total = only_a + only_b + 7
        a = np.arange(total) < only_a
        b = (np.arange(total) >= only_a) & (np.arange(total) < only_a + only_b)
        assert swap_test(a, b, names(total)) == pytest.approx(mcnemar(a, b).p)

    def test_patients_are_exchanged_whole(self) -> None:
        """All 2^4 exchanges of four patients, counted one by one."""
        surplus = [3, -1, 2, 1]
        a = np.array([True] * 3 + [False] + [True] * 2 + [True])
        patient = np.repeat(names(4), [3, 1, 2, 1])
        b = ~a
        far = [abs(sum(s * x for s, x in zip(signs, surplus, strict=True))) >= 5 for signs in product((1, -1), repeat=4)]
        assert swap_test(a, b, patient) == pytest.approx(np.mean(far))

    def test_copies_of_a_patients_images_add_nothing(self) -> None:
        rng = np.random.default_rng(0)
        a, b = rng.random(60) < 0.8, rng.random(60) < 0.65
        once, often = swap_test(a, b, names(60)), swap_test(np.repeat(a, 5), np.repeat(b, 5), np.repeat(names(60), 5))
        assert often == pytest.approx(once)
        assert mcnemar(np.repeat(a, 5), np.repeat(b, 5)).p < once / 10


class TestAreas:
    def test_single_images_are_delongs_test(self) -> None:
        rng = np.random.default_rng(1)
        y = (np.arange(400) % 2).astype(np.int32)
        a, b = (np.clip(0.5 + 0.2 * (2 * y - 1) + rng.normal(0, s, 400), 0.001, 0.999) for s in (0.25, 0.35))
        found = area_test(y, np.stack([1 - a, a], 1), np.stack([1 - b, b], 1), names(400))
        assert found == pytest.approx(delong_test(y == 1, a, b).p, rel=0.05)

    def test_copies_of_a_patients_images_add_nothing(self) -> None:
        first, second = random_cases(90, 3, seed=1), random_cases(90, 3, seed=1)
        other = np.roll(second.prob, 1, axis=0)
        once = area_test(first.y, first.prob, other, names(90))
        again = [np.repeat(array, 4, axis=0) for array in (first.y, first.prob, other)]
        assert area_test(*again, np.repeat(names(90), 4)) == pytest.approx(once, rel=0.02)

    def test_chance_is_called_a_difference_once_in_twenty(self) -> None:
        rng, found = np.random.default_rng(2), []
        for _ in range(300):
            y = np.repeat(rng.integers(0, 2, 60), 2).astype(np.int32)
            shared = np.repeat(rng.normal(0, 1, 60), 2)
            a, b = (1 / (1 + np.exp(-(y + shared + rng.normal(0, 1, 120)))) for _ in range(2))
            p = area_test(y, np.stack([1 - a, a], 1), np.stack([1 - b, b], 1), np.repeat(names(60), 2))
            found.append(p is not None and p < 0.05)
        assert 0.02 <= np.mean(found) <= 0.09

    def test_equal_scores_and_absent_classes_say_nothing(self) -> None:
        cases = random_cases(30, 2)
        assert area_test(cases.y, cases.prob, cases.prob, cases.patient) is None
        assert area_test(np.zeros(30, np.int32), cases.prob, cases.prob, cases.patient) is None


class TestPairs:
    def test_a_pair_says_what_differs(self, tmp_path: Path) -> None:
        a, b = read_evaluated([write(tmp_path / "a", BASE), write(tmp_path / "b", shifted(BASE, 1))])
        found = compared(matched(a, b))
        assert (found["images"], found["patients"]) == (80, 40)
        accuracy = found["accuracy"]
        assert accuracy["difference"] == pytest.approx(accuracy["a"] - accuracy["b"])
        assert accuracy["low"] < accuracy["difference"] < accuracy["high"]
        signs = found["mcnemar"]
        assert (signs["only_a"] - signs["only_b"]) / 80 == pytest.approx(accuracy["difference"])
        assert list(found["delong"]) == ["sick"]
        assert found["delong"]["sick"]["difference"] == pytest.approx(found["macro_auroc"]["difference"])

    def test_p_values_are_adjusted_over_all_pairs(self, tmp_path: Path) -> None:
        tables = [BASE, shifted(BASE, 1), shifted(BASE, 2, 0.9)]
        runs = read_evaluated([write(tmp_path / name, table) for name, table in zip("abc", tables, strict=True)])
        pairs, apart = compare_pairs(runs)
        assert (len(pairs), apart) == (3, [])
        for metric in ("accuracy", "macro_auroc"):
            expected = holm({place: pair[metric]["p"] for place, pair in enumerate(pairs)})
            assert [pair[metric]["adjusted_p"] for pair in pairs] == list(expected.values())
        assert all(pair["accuracy"]["difference"] >= 0 for pair in pairs)

    def test_what_cannot_be_paired_is_told_and_the_rest_is_paired(self, tmp_path: Path) -> None:
        fewer = BASE.head(60)
        runs = read_evaluated(
            [write(tmp_path / "a", BASE), write(tmp_path / "b", shifted(BASE, 1)), write(tmp_path / "c", fewer)]
        )
        pairs, apart = compare_pairs(runs)
        assert len(pairs) == 1
        assert {frozenset((one["a"], one["b"])) for one in apart} == {frozenset("ac"), frozenset("bc")}
        assert all("only 60 images are the same" in one["reason"] for one in apart)
        assert len(compare_pairs(runs, common=True)[0]) == 3

    def test_a_run_and_itself_answer_alike(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "a", BASE)
        (pair,), _ = compare_pairs(read_evaluated([folder, folder]))
        assert (pair["accuracy"]["difference"], pair["accuracy"]["p"], pair["macro_auroc"]["p"]) == (0, 1, None)
        assert pair["verdict"] == "no difference in accuracy was shown; of AUROC nothing can be said"

    def test_three_classes_have_delong_for_each(self, tmp_path: Path) -> None:
        table = predictions({"test": 60}, labels=("a", "b", "c"))
        other = predictions({"test": 60}, labels=("a", "b", "c"), seed=4)
        (pair,), _ = compare_pairs(read_evaluated([write(tmp_path / "a", table), write(tmp_path / "b", other)]))
        assert list(pair["delong"]) == ["a", "b", "c"]
        assert pair["macro_auroc"]["p"] is not None

    def test_a_class_that_is_absent_leaves_accuracy(self, tmp_path: Path) -> None:
        table = BASE.filter(pl.col("label") == "normal")
        (pair,), _ = compare_pairs(read_evaluated([write(tmp_path / "a", table), write(tmp_path / "b", shifted(table, 1))]))
        assert pair["accuracy"]["p"] is not None
        assert (pair["macro_auroc"]["difference"], pair["macro_auroc"]["p"], pair["delong"]) == (None, None, {})

    def test_cross_validations_have_folds_and_single_runs_have_none(self, tmp_path: Path) -> None:
        runs = read_evaluated([write_folds(tmp_path / name, folds(seed)) for seed, name in enumerate("ab")])
        (pair,), _ = compare_pairs(runs)
        assert len(pair["folds"]["each"]) == 3
        single = read_evaluated([write(tmp_path / "c", BASE), write(tmp_path / "d", shifted(BASE, 1))])
        assert compare_pairs(single)[0][0]["folds"] is None


@pytest.mark.parametrize(
    ("accuracy", "area", "said"),
    [
        ((0.1, 0.01), (0.1, 0.001), "x is better in accuracy and AUROC"),
        ((0.1, 0.01), (-0.1, 0.01), "x is better in accuracy; y is better in AUROC"),
        ((0.1, 0.05), (0.1, 0.049), "x is better in AUROC; no difference in accuracy was shown"),
        ((0.1, 0.5), (0.1, 0.5), "no difference in accuracy or AUROC was shown"),
        ((0.1, 0.5), (None, None), "no difference in accuracy was shown; of AUROC nothing can be said"),
    ],
)
def test_the_verdict(accuracy: tuple[float, float], area: tuple[float | None, float | None], said: str) -> None:
    found = [{"difference": difference, "adjusted_p": p} for difference, p in (accuracy, area)]
    assert verdict({"a": "x", "b": "y", "accuracy": found[0], "macro_auroc": found[1]}) == said
