"""Only what was tested on the same cases is paired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lungwise.errors import DataError
from lungwise.evaluation.compare.cases import Pair, as_tested, matched
from lungwise.evaluation.compare.runs import Evaluated, read_evaluated
from tests.evaluation.compare.factory import folds, shifted, write, write_folds
from tests.evaluation.factory import predictions

BASE = predictions({"validation": 8, "test": 40})


def run(folder: Path, table: pl.DataFrame = BASE, **changes: Any) -> Evaluated:
    return read_evaluated([write(folder, table, **changes)])[0]


def pair(tmp_path: Path, other: pl.DataFrame, *, common: bool = False) -> Pair:
    return matched(run(tmp_path / "a"), run(tmp_path / "b", other), common=common)


def refusal(a: Evaluated, b: Evaluated, *, common: bool = False) -> str:
    with pytest.raises(DataError) as caught:
        matched(a, b, common=common)
    return str(caught.value)


def test_the_same_images_in_another_order_are_paired(tmp_path: Path) -> None:
    found = pair(tmp_path, shifted(BASE, 1).sample(fraction=1.0, shuffle=True, seed=3))
    assert found.note == ""
    assert found.a.cases.image.tolist() == found.b.cases.image.tolist()
    assert (found.a.cases.y == found.b.cases.y).all()
    other = dict(zip(shifted(BASE, 1)["image"], shifted(BASE, 1)["prob_sick"], strict=True))
    assert found.b.cases.prob[:, 1] == pytest.approx([other[name] for name in found.b.cases.image])


def test_validation_images_do_not_matter(tmp_path: Path) -> None:
    assert len(pair(tmp_path, BASE.filter(pl.col("split") == "test")).b.cases) == 40


def test_classes_are_brought_into_one_order(tmp_path: Path) -> None:
    other = BASE.select("image", "patient", "source", "split", "label", "prob_sick", "prob_normal")
    found = pair(tmp_path, other)
    assert found.b.cases.labels.names == ("normal", "sick")
    np.testing.assert_array_equal(found.a.cases.prob, found.b.cases.prob)
    assert (found.a.cases.y == found.b.cases.y).all()
    assert (found.a.decided == found.b.decided).all()


def test_decisions_are_those_of_the_evaluation(tmp_path: Path) -> None:
    scores = BASE.filter(pl.col("split") == "test")["prob_sick"].to_numpy()
    decision = {"rule": "youden", "positive": 1, "threshold": 0.9, "fitted_on": "validation"}
    truth = (BASE.filter(pl.col("split") == "test")["label"] == "sick").to_numpy()
    right = float(((scores >= 0.9) == truth).mean())
    found = {"images": 40, "accuracy": {"value": right}}
    side = as_tested(run(tmp_path / "a", decision=decision, parts={"test": found}))
    assert side.decided.tolist() == (scores >= 0.9).astype(int).tolist()


def test_other_images_are_refused_and_common_ones_taken_when_asked(tmp_path: Path) -> None:
    table = BASE.filter(pl.col("image") != "i10.png")
    a, b = run(tmp_path / "a"), run(tmp_path / "b", table)
    assert refusal(a, b) == (
        "only 39 images are the same, 1 stand on the first side alone and 0 on the second; --common compares them on those "
        "that both have"
    )
    found = matched(a, b, common=True)
    assert (len(found.a.cases), len(found.b.decided)) == (39, 39)
    assert found.note == "on the 39 images that both have (1 and 0 left out)"


def test_no_common_image_is_refused_either_way(tmp_path: Path) -> None:
    other = BASE.with_columns(image=pl.lit("x") + pl.col("image"))
    a, b = run(tmp_path / "a"), run(tmp_path / "b", other)
    assert {refusal(a, b), refusal(a, b, common=True)} == {"they were tested on other images"}


def test_an_image_with_two_labels_is_refused(tmp_path: Path) -> None:
    first = pl.col("image") == "i8.png"
    other = BASE.with_columns(label=pl.when(first).then(pl.lit("sick")).otherwise(pl.col("label")))
    said = refusal(run(tmp_path / "a"), run(tmp_path / "b", other))
    assert said == "1 image has another label on either side, the first is i8.png"


def test_other_classes_are_refused(tmp_path: Path) -> None:
    other = predictions({"test": 40}, labels=("normal", "ill"))
    said = refusal(run(tmp_path / "a"), run(tmp_path / "b", other))
    assert said == "they know other classes: ['normal', 'sick'] and ['normal', 'ill']"


def test_other_parts_are_refused(tmp_path: Path) -> None:
    said = refusal(run(tmp_path / "a"), run(tmp_path / "b", predictions({"validation": 8})))
    assert said == "one is judged on test, the other on validation"


def test_figures_alone_cannot_be_paired(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a"), run(tmp_path / "b")
    (b.folder / "predictions.parquet").unlink()
    assert refusal(a, b) == "of b only the figures are known: its folder has no predictions.parquet"


@pytest.mark.parametrize("other", [BASE.filter(pl.col("image") != "i10.png"), shifted(BASE, 5, 0.9)], ids=["fewer", "others"])
def test_predictions_of_another_evaluation_are_refused(tmp_path: Path, other: pl.DataFrame) -> None:
    a, b = run(tmp_path / "a"), run(tmp_path / "b")
    other.write_parquet(b.folder / "predictions.parquet")
    assert refusal(a, b) == "metrics.json and predictions.parquet of b do not belong together; evaluate it again"


def test_who_parts_a_patients_images_gives_way(tmp_path: Path) -> None:
    alone = BASE.with_columns(patient=pl.col("image"))
    found = pair(tmp_path, alone)
    assert found.note == "patients as the side with fewer of them tells them apart"
    assert found.a.cases.patients == found.b.cases.patients == 20
    back = matched(run(tmp_path / "c", alone), run(tmp_path / "d"))
    assert back.a.cases.patients == 20


def test_patients_that_cross_are_refused(tmp_path: Path) -> None:
    names = [f"q{row // 3}" for row in range(BASE.height)]
    said = refusal(run(tmp_path / "a"), run(tmp_path / "b", BASE.with_columns(patient=pl.Series(names))))
    assert said == "they tell patients apart differently, and neither side's patients contain the other's"


class TestFolds:
    def test_the_same_division_is_paired_fold_by_fold(self, tmp_path: Path) -> None:
        a, b = (read_evaluated([write_folds(tmp_path / name, folds(seed))])[0] for seed, name in enumerate("ab"))
        found = matched(a, b)
        assert len(found.a.cases) == 72
        assert set(found.a.fold) == {"1/1", "1/2", "1/3"}
        assert found.a.cases.image.tolist() == found.b.cases.image.tolist()
        assert found.a.cases.image[0].startswith("1/1: test1-")

    def test_repeats_keep_an_image_apart_and_its_patient_together(self, tmp_path: Path) -> None:
        run = read_evaluated([write_folds(tmp_path / "a", folds(repeats=2))])[0]
        cases = as_tested(run).cases
        assert (len(cases), len(np.unique(cases.image)), cases.patients) == (144, 144, 36)

    def test_another_division_is_refused(self, tmp_path: Path) -> None:
        turned = folds().with_columns(fold=pl.col("fold") % 3 + 1)
        a, b = (read_evaluated([write_folds(tmp_path / n, t)])[0] for n, t in (("a", folds()), ("b", turned)))
        assert refusal(a, b) == "their folds test other images"

    def test_a_single_run_is_no_cross_validation(self, tmp_path: Path) -> None:
        a = read_evaluated([write_folds(tmp_path / "a", folds())])[0]
        assert refusal(a, run(tmp_path / "b")).startswith("one is a cross-validation and the other a single run")

    def test_predictions_without_folds_are_refused(self, tmp_path: Path) -> None:
        a = read_evaluated([write_folds(tmp_path / "a", folds())])[0]
        folds().drop("fold").write_parquet(a.folder / "predictions.parquet")
        assert "of a do not belong together" in refusal(a, a)
