"""Anyone's predictions are read whole, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lungwise.errors import DataError
from lungwise.evaluation.table import read_columns, read_predictions_table
from tests.evaluation.factory import predictions

ROWS = """image,label,prob_normal,prob_sick
a.png,normal,0.9,0.1
b.png,sick,0.2,0.8
c.png,normal,0.6,0.4
"""


def write(folder: Path, text: str | bytes, name: str = "p.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path, columns: Mapping[str, str] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_predictions_table(path, columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_least_that_a_table_needs(tmp_path: Path) -> None:
    found = read_predictions_table(write(tmp_path, ROWS))
    assert found.table.to_dicts()[1] == {
        "image": "b.png",
        "patient": "b.png",
        "source": "",
        "split": "test",
        "label": "sick",
        "prob_normal": 0.2,
        "prob_sick": 0.8,
    }
    assert [note.partition(":")[0] for note in found.notes] == [
        "There is no patient column, so every image counts as a patient of its own",
        "There is no split column",
    ]
    assert found.facts["counts"] == {"test": {"normal": 2, "sick": 1}}
    assert found.findings == ()


def test_every_form_gives_the_same_table(tmp_path: Path) -> None:
    table = pl.read_csv(ROWS.encode()).with_columns(patient=pl.Series([7, 7, 12]))
    table.write_csv(tmp_path / "p.csv")
    table.write_csv(tmp_path / "p.tsv", separator="\t")
    table.write_parquet(tmp_path / "p.PARQUET")
    (tmp_path / "mark.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "p.csv").read_bytes())
    first, *others = (read_predictions_table(tmp_path / name) for name in ("p.csv", "p.tsv", "p.PARQUET", "mark.csv"))
    assert first.table["patient"].to_list() == ["7", "7", "12"]
    assert all(other.table.equals(first.table) for other in others)


def test_a_runs_own_predictions_are_read_as_they_are(tmp_path: Path) -> None:
    table = predictions({"train": 4, "validation": 4, "test": 6})
    table.write_parquet(tmp_path / "p.parquet")
    found = read_predictions_table(tmp_path / "p.parquet")
    assert found.table.equals(table)
    assert (found.notes, found.findings) == ((), ())


def test_other_names_parts_and_columns(tmp_path: Path) -> None:
    text = "file,truth,who,part,p0,p1,sex\na,x,1,VAL,0.9,0.1,F\nb,y,2,Testing,0.3,0.7,M\nc,y,3,none,0.3,0.7,M\n"
    names = {"image": "file", "label": "truth", "patient": "who", "split": "part", "prob_x": "p0", "prob_y": "p1"}
    found = read_predictions_table(write(tmp_path, text), names)
    assert found.table.select("image", "split", "label", "prob_x", "prob_y", "sex").rows() == [
        ("a", "validation", "x", 0.9, 0.1, "F"),
        ("b", "test", "y", 0.3, 0.7, "M"),
    ]
    assert found.notes == ("1 row belongs to no part and took no part.",)


def test_columns_named_like_the_labels_are_taken_when_told_so(tmp_path: Path) -> None:
    path = write(tmp_path, ROWS.replace("prob_", ""))
    assert refusal(path) == (
        "p.csv must have a column prob_LABEL for each of at least two classes, it has image, label, normal, sick; add or name "
        "the others: --column prob_normal=normal --column prob_sick=sick."
    )
    table = read_predictions_table(path, {"prob_normal": "normal", "prob_sick": "sick"}).table
    assert table["prob_sick"].to_list() == [0.1, 0.8, 0.4]


def test_two_names_can_change_places(tmp_path: Path) -> None:
    text = "image,label,prob_a,prob_b\n1,a,0.1,0.9\n2,b,0.8,0.2\n"
    table = read_predictions_table(write(tmp_path, text), {"prob_a": "prob_b", "prob_b": "prob_a"}).table
    assert table.select("prob_a", "prob_b").rows() == [(0.9, 0.1), (0.2, 0.8)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.csv must have one row an image, it is empty; fill it."),
        ("image,label,prob_a,prob_b\n", "p.csv must have one row an image, it has none; fill it."),
        (b"image,label\n\xff\xfe,1\n", "p.csv must be UTF-8 text, but byte 12 is not; save it as UTF-8."),
        (ROWS.encode("utf-16"), "p.csv must be UTF-8 text, but byte 0 is not; save it as UTF-8."),
        (ROWS.encode("utf-16-le"), "p.csv must be text, but it holds zero bytes; save it as UTF-8 CSV."),
        (
            ROWS.replace(",", ";"),
            "Columns of p.csv must be divided by commas, but its first line has semicolons; save it so, with decimal points.",
        ),
        (ROWS + "d,sick,0.1,0.8,0.1\n", "p.csv cannot be read as a table (found more fields than defined in 'Schema')"),
        (ROWS.replace("label", "image", 1), "Each column of p.csv must have a name of its own, 'image' stands twice;"),
        (ROWS.replace("image", "file"), "p.csv must have a column 'image', it has file, label, prob_normal, prob_sick; name"),
        (ROWS.replace("label", "truth"), "must have a column 'label', it has image, truth, prob_normal, prob_sick; name the"),
        (
            "image,label,prob_sick\na,sick,0.4\nb,normal,0.4\n",
            "it has only prob_sick; add or name the others (with two classes it is 1 - prob_sick): --column prob_normal=NAME.",
        ),
        (ROWS + "d.png,,0.5,0.5\n", "Every row of p.csv must have a value in 'label', row 5 has none; fill or drop it."),
        (ROWS + " ,sick,0.5,0.5\n", "Every row of p.csv must have a value in 'image', row 5 has none; fill or drop it."),
        (ROWS + "a.png,sick,0.5,0.5\n", "Each image of p.csv must stand once, 'a.png' stands in rows 2 and 5; drop one (of a"),
        (
            ROWS + "d.png,Sick ,0.5,0.5\n",
            "'Sick' in row 5 has none among prob_normal, prob_sick; write it as 'sick'.",
        ),
        (
            ROWS + "d.png,ill,0.5,0.5\n",
            "'ill' in row 5 has none among prob_normal, prob_sick; add prob_ill, or correct the label",
        ),
        (
            ROWS + "d.png,sick,,0.5\n",
            "Column 'prob_normal' of p.csv must hold a number in every row, row 5 has none; correct it.",
        ),
        (
            ROWS + "d.png,sick,half,0.5\n",
            "'prob_normal' of p.csv must hold a number in every row, row 5 has 'half'; correct it.",
        ),
        (ROWS + 'd.png,sick,0.5,"0,5"\n', "Column 'prob_sick' of p.csv must hold a number in every row, row 5 has '0,5'"),
        (ROWS + "d.png,sick,NaN,0.5\n", "'prob_normal' of p.csv must hold a number in every row, row 5 has 'NaN'; correct it."),
        (ROWS + "d.png,sick,0.5,inf\n", "'prob_sick' of p.csv must hold a number in every row, row 5 has 'inf'; correct it."),
        (
            ROWS + "d.png,sick,-0.1,1.1\n",
            "must lie between 0 and 1, row 5 of p.csv (d.png) has -0.1 in 'prob_normal'; correct it",
        ),
        (ROWS + "d.png,sick,0,1.2\n", "must lie between 0 and 1, row 5 of p.csv (d.png) has 1.2 in 'prob_sick'; correct it."),
        (ROWS + "d.png,sick,0.5,0.7\n", "sum to 1 in every row, row 5 of p.csv (d.png) sums to 1.2 (0.5, 0.7); correct it."),
        (ROWS + "d.png,sick,0.33,0.66\n", "row 5 of p.csv (d.png) sums to 0.99 (0.33, 0.66); write at least four decimals."),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in refusal(write(tmp_path, text))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([(-1.5, 2.25), (0.3, -4.0), (8.0, 1.0)], "look like logits: row 2 of p.csv (i0) has -1.5, 2.25; give their softmax."),
        (
            [(30.0, 70.0), (99.5, 0.5), (100.0, 0.0)],
            "look like percentages: row 2 of p.csv (i0) has 30, 70; divide them by 100.",
        ),
        (
            [(np.log(0.2), np.log(0.8)), (np.log(0.5), np.log(0.5)), (0.0, -800.0)],
            "look like logarithms of probabilities: row 2",
        ),
        ([(0.9, 0.8), (0.1, 0.2), (0.4, 0.3)], "look like one sigmoid for each class: row 2 of p.csv (i0) has 0.9, 0.8; the"),
    ],
    ids=["logits", "percentages", "logarithms", "sigmoids"],
)
def test_numbers_that_are_something_else_are_recognised(
    tmp_path: Path, numbers: list[tuple[float, float]], message: str
) -> None:
    lines = "".join(f"i{row},{'ab'[row % 2]},{a},{b}\n" for row, (a, b) in enumerate(numbers))
    assert message in refusal(write(tmp_path, "image,label,prob_a,prob_b\n" + lines))


def test_rounded_probabilities_are_taken(tmp_path: Path) -> None:
    assert read_predictions_table(write(tmp_path, ROWS + "d,sick,0.3334,0.6667\n")).table.height == 4


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"truth": "label"},
            "--column takes one of ['image', 'patient', 'source', 'split', 'label'] or prob_LABEL on its left",
        ),
        ({"label": "truth"}, "p.csv has no column 'truth', it has image, label, prob_normal, prob_sick; correct --column."),
    ],
)
def test_names_that_are_not_there(tmp_path: Path, columns: dict[str, str], message: str) -> None:
    assert message in refusal(write(tmp_path, ROWS), columns)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("label", [["a"], ["b"]], "must hold text, one does not; convert it."),
        ("prob_a", [True, False], "Column 'prob_a' of p.parquet must hold numbers, got Boolean; convert it."),
        ("prob_a", [None, None], "'prob_a' of p.parquet must hold a number in every row, row 1 has none; correct it."),
        ("split", ["test", "exam"], "must be train, validation, test or none, row 2 has 'exam'; correct it."),
        ("split", ["none", "none"], "must have rows of a train, validation or test part, all are 'none'; correct 'split'."),
    ],
)
def test_a_column_of_another_kind_is_refused(tmp_path: Path, column: str, values: list[Any], message: str) -> None:
    table = pl.DataFrame({"image": ["1", "2"], "label": ["a", "b"], "prob_a": [0.4, 0.4], "prob_b": [0.6, 0.6]})
    table.with_columns(pl.Series(column, values)).write_parquet(tmp_path / "p.parquet")
    assert message in refusal(tmp_path / "p.parquet")


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "p.csv").endswith("p.csv must be a file, but there is none; correct the path.")
    (tmp_path / "d.csv").mkdir()
    assert refusal(tmp_path / "d.csv").endswith("d.csv must be a file, but it is a folder; correct the path.")
    expected = "A table must be a .csv, .tsv, .parquet file, got p.xlsx; save it as one of these."
    assert refusal(write(tmp_path, ROWS, "p.xlsx")) == expected
    assert "p.parquet cannot be read as a table (" in refusal(write(tmp_path, ROWS, "p.parquet"))


def test_a_name_is_no_pattern(tmp_path: Path) -> None:
    write(tmp_path, ROWS, "p1.csv")
    table = pl.DataFrame({"image": ["x"], "age": [40]})
    table.write_parquet(tmp_path / "p[1].parquet")
    assert read_columns(tmp_path / "p[1].parquet")["image"].to_list() == ["x"]


def test_a_patient_in_two_parts_is_an_error_of_the_data(tmp_path: Path) -> None:
    table = predictions({"validation": 4, "test": 4}, patient=["a", "a", "b", "b", "b", "c", "c", "d"])
    table.write_parquet(tmp_path / "p.parquet")
    (finding,) = read_predictions_table(tmp_path / "p.parquet").findings
    assert (finding["check"], finding["severity"]) == ("patient-across-splits", "error")
    assert finding["message"] == "1 patient stands in more than one part (b): the figures are better than the model"


def skilled(number: int, labels: tuple[str, ...], skill: float, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, len(labels), number)
    raw = rng.dirichlet(np.ones(len(labels)), number) + skill * np.eye(len(labels))[y]
    prob = raw / raw.sum(axis=1, keepdims=True)
    columns = {f"prob_{label}": prob[:, column] for column, label in enumerate(labels)}
    return pl.DataFrame({"image": [f"i{row}" for row in range(number)], "label": [labels[k] for k in y], **columns})


def order_of(table: pl.DataFrame, folder: Path) -> str | None:
    table.write_parquet(folder / "p.parquet")
    found = read_predictions_table(folder / "p.parquet").findings
    return found[0]["message"] if found else None


def test_two_columns_in_the_wrong_order_are_noticed(tmp_path: Path) -> None:
    table = skilled(60, ("a", "b"), 1.0).rename({"prob_a": "prob_b", "prob_b": "prob_a"})
    said = order_of(table, tmp_path)
    assert said is not None
    assert "with prob_b as a, prob_a as b it would be for" in said
    assert "check how they were written" in said


@pytest.mark.parametrize("order", ["bca", "acb"], ids=["turned round", "two of three"])
def test_the_order_that_fits_is_named(tmp_path: Path, order: str) -> None:
    table = skilled(200, ("a", "b", "c"), 1.0)
    table = table.rename({f"prob_{name}": f"prob_{other}" for name, other in zip("abc", order, strict=True)})
    said = order_of(table, tmp_path)
    assert said is not None
    for name, other in zip("abc", order, strict=True):
        assert (f"prob_{other} as {name}" in said) == (name != other)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_a_model_that_only_guesses_is_not_accused(tmp_path: Path, seed: int, classes: int) -> None:
    assert order_of(skilled(150, tuple("abcdef"[:classes]), 0.0, seed), tmp_path) is None


def test_a_few_wrong_images_accuse_nobody(tmp_path: Path) -> None:
    table = pl.DataFrame({"image": list("uvwxyz"), "label": list("ababab"), "prob_a": [0.1, 0.9] * 3, "prob_b": [0.9, 0.1] * 3})
    assert order_of(table, tmp_path) is None


def test_probabilities_outside_the_named_rows_do_not_count(tmp_path: Path) -> None:
    """A part that is left out is still checked: a broken file is not half believed."""
    text = "image,label,split,prob_a,prob_b\n1,a,test,0.9,0.1\n2,b,none,5,0.1\n"
    assert "row 3 of p.csv (2) has 5, 0.1" in refusal(write(tmp_path, text))
