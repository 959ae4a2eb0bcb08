"""Groups are compared with the rest, like with like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from lungwise.errors import DataError
from lungwise.evaluation import subgroup_tests
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.evaluate import Background, evaluate_predictions, evaluate_run
from lungwise.evaluation.exact import wilson
from lungwise.evaluation.groupings import Grouping
from lungwise.evaluation.subgroup_tests import class_weights, difference, p_values, share
from lungwise.evaluation.subgroups import SMALL, subgroups
from lungwise.evaluation.wishes import Wishes
from tests.evaluation.factory import cases as made
from tests.evaluation.factory import predictions
from tests.evaluation.test_evaluate import write_run


def names(number: int, prefix: str = "p") -> NDArray[np.str_]:
    return np.array([f"{prefix}{row}" for row in range(number)])


def world(right: dict[tuple[str, int], tuple[int, int]], films: int = 1) -> tuple[Cases, NDArray[np.int64], NDArray[np.str_]]:
    """Cases of two classes from (group, class) to (right, all) patients, each with some films that fare alike."""
    y, called, group = [], [], []
    for (name, k), (hits, total) in right.items():
        for number in range(total):
            y += [k] * films
            called += [k if number < hits else 1 - k] * films
            group += [name] * films
    prob = np.where(np.array(called)[:, None] == np.arange(2), 0.8, 0.2)
    patients = [f"p{row // films}" for row in range(len(y))]
    return made(y, prob, patient=patients), np.array(called), np.array(group)


def by_name(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["group"]: row for row in found}


class TestShares:
    @pytest.mark.parametrize(("hits", "total"), [(0, 7), (7, 7), (3, 10), (25, 40)])
    def test_single_images_have_wilsons_interval(self, hits: int, total: int) -> None:
        found = share(np.arange(total) < hits, names(total))
        wanted = wilson(hits, total)
        assert found.value == hits / total
        if 0 < hits < total:
            # The spread among patients is the one between images but for n / (n - 1).
            assert (found.low, found.high) == pytest.approx(wanted, abs=0.5 / total)
        else:
            assert (found.low, found.high) == pytest.approx(wanted)

    def test_copies_of_an_image_add_nothing(self) -> None:
        right = np.arange(30) < 20
        once, thrice = share(right, names(30)), share(np.repeat(right, 3), np.repeat(names(30), 3))
        assert thrice == pytest.approx(once)

    def test_a_perfect_group_has_as_much_weight_as_patients(self) -> None:
        found = share(np.ones(60, bool), np.repeat(names(20), 3))
        assert (found.low, found.high) == pytest.approx(wilson(20, 20))

    def test_one_patient_says_almost_nothing(self) -> None:
        found = share(np.array([True, True, False, True]), names(4).astype("U1"))
        assert found.value == 0.75
        assert found.high - found.low > 0.7

    def test_classes_count_by_their_weights(self) -> None:
        right = np.array([True] * 9 + [False] + [True, False])
        y = np.array([0] * 10 + [1] * 2, np.int32)
        assert share(right, names(12), y, np.array([0.5, 0.5])).value == pytest.approx(0.7)


class TestDifferences:
    def test_the_value_by_hand(self) -> None:
        """Class 0: 8/10 against 27/30, weight 7.5; class 1: 5/10 against 9/10, weight 5."""
        cases, called, group = world({("a", 0): (8, 10), ("b", 0): (27, 30), ("a", 1): (5, 10), ("b", 1): (9, 10)})
        found = difference(called == cases.y, cases.y, cases.patient, group == "a")
        assert found is not None
        assert found.value == pytest.approx((7.5 * (0.8 - 0.9) + 5 * (0.5 - 0.9)) / 12.5)
        assert class_weights(cases.y, group == "a") == pytest.approx([0.6, 0.4])

    def test_another_mix_of_classes_is_no_difference(self) -> None:
        cases, called, group = world({("a", 0): (90, 100), ("b", 0): (18, 20), ("a", 1): (10, 20), ("b", 1): (50, 100)})
        right = called == cases.y
        assert right[group == "a"].mean() - right[group == "b"].mean() > 0.2
        found = difference(right, cases.y, cases.patient, group == "a")
        assert found is not None
        assert found.value == pytest.approx(0)

    def test_two_groups_are_each_others_mirror(self) -> None:
        cases, called, group = world({("a", 0): (8, 10), ("b", 0): (27, 30), ("a", 1): (5, 10), ("b", 1): (9, 10)})
        one, other = (difference(called == cases.y, cases.y, cases.patient, group == name) for name in "ab")
        assert one is not None
        assert other is not None
        assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))

    def test_newcombes_example(self) -> None:
        """56/70 against 48/80: [0.0524, 0.3339] (Newcombe 1998, table II, method 10)."""
        cases, called, group = world({("a", 0): (56, 70), ("b", 0): (48, 80)})
        found = difference(called == cases.y, cases.y, cases.patient, group == "a")
        assert found is not None
        assert found.value == pytest.approx(0.2)
        assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=0.002)

    def test_no_shared_class_is_no_comparison(self) -> None:
        cases, called, group = world({("a", 0): (8, 10), ("b", 1): (27, 30)})
        assert difference(called == cases.y, cases.y, cases.patient, group == "a") is None
        assert p_values(called == cases.y, cases.y, cases.patient, group) == {}


class TestPermutation:
    def test_a_p_value_near_fishers(self) -> None:
        """30 of 30 against 475 of 500 is chance: Fisher's exact p is 0.39. A bootstrap would swear to a difference."""
        cases, called, group = world({("a", 0): (30, 30), ("b", 0): (475, 500)})
        p = p_values(called == cases.y, cases.y, cases.patient, group)
        assert p["a", None] == pytest.approx(0.39, abs=0.03)
        assert p["a", None] == p["a", 0]

    def test_films_of_a_patient_stay_together(self) -> None:
        once = world({("a", 0): (12, 20), ("b", 0): (18, 20)})
        often = world({("a", 0): (12, 20), ("b", 0): (18, 20)}, films=8)
        p = [p_values(called == cases.y, cases.y, cases.patient, group)["a", 0] for cases, called, group in (once, often)]
        assert p[1] == pytest.approx(p[0], abs=0.02)

    def test_a_clear_difference_has_the_smallest_p_value(self) -> None:
        cases, called, group = world({("a", 0): (10, 60), ("b", 0): (55, 60), ("a", 1): (30, 30), ("b", 1): (30, 30)})
        p = p_values(called == cases.y, cases.y, cases.patient, group)
        assert p["a", 0] == 1 / (subgroup_tests.PERMUTATIONS + 1)
        assert p["a", 1] == 1.0

    def test_chance_is_called_a_difference_once_in_twenty(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subgroup_tests, "PERMUTATIONS", 199)
        rng, found = np.random.default_rng(5), []
        for _ in range(200):
            number = rng.integers(1, 4, 80)
            group, y = np.where(rng.random(80) < 0.3, "a", "b"), rng.integers(0, 2, 80).astype(np.int32)
            skill = rng.beta(4, 1, 80)
            owner = np.repeat(np.arange(80), number)
            right = rng.random(len(owner)) < skill[owner]
            found.append(p_values(right, y[owner], owner.astype(np.str_), group[owner])["a", None] <= 0.05)
        assert 0.01 <= np.mean(found) <= 0.09


class TestSubgroups:
    def test_the_worst_group_stands_first_in_its_column(self) -> None:
        cases, called, group = world({("a", 0): (29, 30), ("b", 0): (20, 30), ("c", 0): (25, 30), ("a", 1): (30, 30)})
        found = subgroups(cases, called, {"site": group, "again": np.where(group == "a", "x", "y")})
        assert [(row["column"], row["group"]) for row in found] == [
            ("site", "b"),
            ("site", "c"),
            ("site", "a"),
            ("again", "y"),
            ("again", "x"),
        ]

    def test_a_row_says_what_the_group_is(self) -> None:
        cases, called, group = world({("a", 0): (27, 30), ("b", 0): (20, 40), ("a", 1): (25, 25), ("b", 1): (36, 40)}, films=2)
        row = by_name(subgroups(cases, called, {"site": group}))["a"]
        assert (row["images"], row["patients"], row["small"]) == (110, 55, False)
        assert row["accuracy"]["value"] == pytest.approx(52 / 55)
        assert row["balanced_accuracy"]["value"] == pytest.approx((27 / 30 + 1) / 2)
        assert row["classes"]["normal"] == {
            "images": 60,
            "sensitivity": row["classes"]["normal"]["sensitivity"],
            "specificity": row["classes"]["normal"]["specificity"],
            "auroc": row["classes"]["normal"]["auroc"],
        }
        assert row["classes"]["normal"]["sensitivity"]["value"] == pytest.approx(0.9)
        assert row["macro_auroc"]["value"] == pytest.approx(0.95)
        assert list(row["differences"]) == ["accuracy", "sensitivity/normal", "sensitivity/sick"]
        assert row["differences"]["sensitivity/normal"]["difference"] == pytest.approx(0.4)
        first, second = row["note"].split("; ")
        assert first.startswith("better than the rest in accuracy (+")
        assert second.startswith("better than the rest in sensitivity for normal (+40.0 points [+")

    def test_a_threshold_that_suits_one_group_only_is_seen_though_accuracy_is_equal(self) -> None:
        cases, called, group = world({("a", 0): (40, 40), ("b", 0): (20, 40), ("a", 1): (20, 40), ("b", 1): (40, 40)})
        row = by_name(subgroups(cases, called, {"sex": group}))["a"]
        assert row["differences"]["accuracy"]["difference"] == pytest.approx(0)
        first, second = row["note"].split("; ")
        assert first.startswith("better than the rest in sensitivity for normal (+50.0 points [")
        assert second.startswith("worse than the rest in sensitivity for sick (−50.0 points [−")
        assert second.endswith(", adjusted p < 0.001)")

    def test_small_groups_have_intervals_and_no_verdict(self) -> None:
        cases, called, group = world({("a", 0): (2, SMALL - 1), ("b", 0): (90, 100), ("c", 0): (50, 50)})
        row = by_name(subgroups(cases, called, {"site": group}))["a"]
        one = row["differences"]["accuracy"]
        assert (row["small"], one["p"], one["adjusted_p"]) == (True, None, None)
        assert one["high"] < 0
        assert row["note"] == "fewer than 20 patients here or elsewhere: no verdict"

    def test_images_do_not_make_a_group_large(self) -> None:
        cases, called, group = world({("a", 0): (2, 10), ("b", 0): (90, 100)}, films=5)
        assert by_name(subgroups(cases, called, {"site": group}))["a"]["small"]

    def test_a_class_of_few_patients_is_not_tested(self) -> None:
        cases, called, group = world({("a", 0): (28, 30), ("a", 1): (1, 5), ("b", 0): (90, 100), ("b", 1): (90, 100)})
        found = by_name(subgroups(cases, called, {"site": group}))["a"]["differences"]
        assert found["sensitivity/sick"]["p"] is None
        assert found["sensitivity/normal"]["p"] is not None

    def test_a_group_with_its_own_class_cannot_be_told_from_the_class(self) -> None:
        cases, called, group = world({("a", 0): (28, 30), ("b", 1): (40, 50), ("c", 1): (45, 50)})
        rows = by_name(subgroups(cases, called, {"source": group}))
        assert rows["a"]["differences"] == {}
        assert rows["a"]["note"] == "cannot be compared: no other group has its classes (normal)"
        assert rows["a"]["balanced_accuracy"]["value"] is None
        assert rows["a"]["macro_auroc"]["value"] is None
        assert rows["b"]["differences"]["accuracy"]["difference"] == pytest.approx(-0.1)

    def test_a_class_of_one_group_alone_is_named(self) -> None:
        cases, called, group = world({("a", 0): (28, 30), ("a", 1): (28, 30), ("b", 1): (29, 30)})
        note = by_name(subgroups(cases, called, {"source": group}))["a"]["note"]
        assert note == "no difference from the rest was shown; normal: in no other group and not compared"

    def test_chance_among_many_groups_is_adjusted(self) -> None:
        rng = np.random.default_rng(3)
        cases, called, _ = world({("a", 0): (270, 300)})
        group = rng.integers(0, 8, 300).astype(np.str_)
        found = subgroups(cases, called, {"site": group})
        p = [row["differences"]["accuracy"]["p"] for row in found]
        assert min(p) < 0.05
        assert not any("than the rest in" in row["note"] for row in found)

    def test_two_groups_are_one_comparison(self) -> None:
        cases, called, group = world({("a", 0): (50, 60), ("b", 0): (59, 60)})
        one, other = subgroups(cases, called, {"sex": group})
        # Accuracy and sensitivity for the only class: two comparisons, not four.
        worst = max(one["differences"]["accuracy"]["p"], other["differences"]["accuracy"]["p"])
        assert one["differences"]["accuracy"]["adjusted_p"] == pytest.approx(2 * worst, abs=1e-3)
        assert one["differences"]["accuracy"]["adjusted_p"] == other["differences"]["accuracy"]["adjusted_p"]

    def test_the_same_groups_give_the_same_numbers(self) -> None:
        cases, called, group = world({("a", 0): (20, 30), ("b", 0): (25, 30), ("a", 1): (20, 30), ("b", 1): (25, 30)})
        assert subgroups(cases, called, {"x": group}) == subgroups(cases, called, {"x": group})


class TestInReports:
    def test_predictions_by_a_column(self, tmp_path: Path) -> None:
        table = predictions(
            {"validation": 8, "test": 120}, sex=["F", "F", "M", "M"] * 32, age=[str(n % 80) for n in range(128)]
        )
        background = Background("b", wishes=Wishes((Grouping("sex"), Grouping("age", 40))))
        found = evaluate_predictions(table, background, tmp_path)
        assert sorted((row["column"], row["group"], row["images"]) for row in found["subgroups"]) == [
            ("age by 40", "0–39", 72),
            ("age by 40", "40–79", 48),
            ("sex", "F", 60),
            ("sex", "M", 60),
        ]
        assert json.loads((tmp_path / "metrics.json").read_text())["subgroups"] == json.loads(json.dumps(found["subgroups"]))
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert "Whom it serves how well" in page
        assert "40–79" in page

    def test_without_a_column_there_are_no_groups(self, tmp_path: Path) -> None:
        found = evaluate_predictions(predictions({"test": 8}), Background("b"), tmp_path)
        assert found["subgroups"] == []
        assert "Whom it serves" not in (tmp_path / "report.html").read_text(encoding="utf-8")

    def test_a_run_and_another_table(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "r")
        more = pl.DataFrame({"image": [f"i{n}.png" for n in range(48)], "view": ["PA", "PA", "AP", "AP"] * 12})
        found = evaluate_run(run, wishes=Wishes([Grouping("view")], more, "more.csv"))
        assert sorted(row["group"] for row in found["subgroups"]) == ["AP", "PA"]

    def test_a_cross_validation_by_its_folds(self, tmp_path: Path) -> None:
        """Images are validation images of another fold as well, which is not their group."""
        each = predictions({"test": 20})
        turned = each.with_columns(split=pl.lit("validation"))
        tables = [each.head(10), turned.tail(10), each.tail(10), turned.head(10)]
        rows = pl.concat(
            [part.with_columns(fold=pl.lit(place // 2 + 1), repeat=pl.lit(1)) for place, part in enumerate(tables)]
        )
        run = write_run(tmp_path / "cv", rows)
        division = {"folds": 2, "repeats": 1, "include_test": True, "by": "patient"}
        (run / "crossval.json").write_text(json.dumps({"division": division, "data_fingerprint": "f" * 64}))
        found = evaluate_run(run, wishes=Wishes([Grouping("fold")], prevalence={"sick": 0.1}))
        assert sorted((row["group"], row["images"]) for row in found["subgroups"]) == [("1", 10), ("2", 10)]
        assert found["parts"]["test"]["classes"]["sick"]["at_prevalence"]["prevalence"] == 0.1

    def test_a_column_that_nobody_has_writes_nothing(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "r")
        with pytest.raises(DataError, match="'sex' is none of image, patient, source, split, label; give a table that has it"):
            evaluate_run(run, wishes=Wishes([Grouping("sex")]))
        assert not (run / "metrics.json").exists()
