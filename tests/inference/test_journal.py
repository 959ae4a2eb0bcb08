"""A batch that is interrupted goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from lungwise.errors import LungwiseError
from lungwise.inference import journal as journal_module
from lungwise.inference.inputs import Images, Item, walk
from lungwise.inference.journal import Journal, journal_of, settings_of, stamp
from lungwise.inference.output import METADATA, from_dict
from lungwise.inference.predictor import Predictor
from lungwise.inference.result import Result
from tests.bundle_factory import make_predictor
from tests.conftest import Encode
from tests.inference.test_archive import pack

Grey = NDArray[np.uint8]
KINDS = [".parquet", ".jsonl", ".csv"]


@pytest.fixture
def films(tmp_path: Path, greys: list[Grey], encode: Encode) -> Path:
    """Thirty files of five different pictures, the third of which is none."""
    folder = tmp_path / "films"
    folder.mkdir()
    for index in range(30):
        (folder / f"{index:02d}.png").write_bytes(encode(greys[index % 5]) if index != 2 else b"none")
    return folder


def batch(predictor: Predictor, images: Images, out: Path, *, resume: bool = False, stop: int | None = None) -> list[str]:
    """Answer images into a file, perhaps only the first of them, and return the names that were asked about."""
    with Journal(out, settings_of(predictor, None), resume=resume) as journal:
        answers = journal.fill(predictor, walk(images))
        asked = [result.path for result in islice(answers, stop)]
        answers.close()
    return asked


def rows(out: Path) -> list[dict[str, Any]]:
    """What a file of answers says, without what tells files apart."""
    if out.suffix == ".parquet":
        return pl.read_parquet(out).drop("file_bytes", "file_version").to_dicts()
    if out.suffix == ".csv":
        return list(csv.DictReader(out.read_text().splitlines()))
    return [json.loads(line) for line in out.read_text().splitlines()]


def names(out: Path) -> list[str]:
    return [Path(row["path"]).name for row in rows(out)]


# Formats


def test_parquet_has_a_column_for_each_field_and_class(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    batch(predictor, films, tmp_path / "a.parquet")
    table = pl.read_parquet(tmp_path / "a.parquet")
    texts = dict.fromkeys(("path", "status", "decision", "heatmap", "model", "bundle_sha256", "intended_use"), pl.String)
    lists = dict.fromkeys(("conformal_set", "reasons", "warnings"), pl.List(pl.String))
    assert {**texts, **lists, "prob_normal": pl.Float64, "prob_sick": pl.Float64}.items() <= dict(table.schema).items()
    results = predictor.predict_all(films)
    assert table["prob_sick"].to_list() == [result.probabilities.get("sick") for result in results]
    assert table["reasons"].to_list() == [list(result.reasons) for result in results]
    assert table["decision"][2] is None
    assert table["file_bytes"].to_list() == [file.stat().st_size for file in sorted(films.iterdir())]
    said = json.loads(pl.read_parquet_metadata(tmp_path / "a.parquet")[METADATA])
    assert (said["bundle_sha256"], said["views"]) == (predictor.bundle.sha256, 1)


def test_no_field_of_a_result_is_left_out_of_parquet(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    batch(predictor, films, tmp_path / "a.parquet")
    shares = {f"prob_{label}" for label in predictor.labels}
    fields = {field.name for field in dataclasses.fields(Result)} - {"probabilities"}
    assert set(pl.read_parquet(tmp_path / "a.parquet").columns) == fields | shares | {"file_bytes", "file_version"}
    assert fields | {"probabilities"} == set(predictor.predict(films / "00.png").to_dict())


def test_another_version_is_refused(predictor: Predictor, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch(predictor, films, tmp_path / "a.jsonl", stop=5)
    monkeypatch.setattr(journal_module, "__version__", "99")
    with pytest.raises(LungwiseError, match=r"has lungwise \S+ and this is 99; use the same, or choose another --out\.$"):
        batch(predictor, films, tmp_path / "a.jsonl", resume=True)


def test_json_lines_are_the_results_themselves(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    batch(predictor, films, tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text().splitlines() == [result.to_json() for result in predictor.predict_many(films)]


def test_sets_and_warnings_are_kept_in_every_format(tmp_path: Path, greys: list[Grey], encode: Encode) -> None:
    predictor = make_predictor(tmp_path / "m", conformal_quantiles={"sick": 1.0, "normal": 0.0})
    (tmp_path / "a.png").write_bytes(encode(greys[4].astype(np.uint16) * 200))
    result = predictor.predict(tmp_path / "a.png")
    found = {
        kind: (batch(predictor, tmp_path / "a.png", tmp_path / f"a{kind}"), rows(tmp_path / f"a{kind}"))[1][0] for kind in KINDS
    }
    assert (found[".parquet"]["conformal_set"], found[".jsonl"]["conformal_set"], found[".csv"]["conformal_set"]) == (
        ["sick"], ["sick"], "sick",
    )  # fmt: skip
    assert found[".parquet"]["warnings"] == found[".jsonl"]["warnings"] == [found[".csv"]["warnings"]] == list(result.warnings)


def test_a_result_survives_its_dictionary(predictor: Predictor, films: Path) -> None:
    for result in predictor.predict_many(films):
        assert from_dict(json.loads(result.to_json())) == result


def test_another_ending_is_refused(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    rule = r"^Answers are written to a file ending in \.jsonl, \.ndjson, \.csv, \.parquet, got a\.txt; rename it\.$"
    with pytest.raises(LungwiseError, match=rule):
        batch(predictor, films, tmp_path / "a.txt")
    assert not journal_of(tmp_path / "a.txt").exists()


# Interruptions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [1, 3, 17, 29])
def test_an_interrupted_batch_ends_as_an_unbroken_one(
    predictor: Predictor, films: Path, tmp_path: Path, kind: str, stop: int
) -> None:
    batch(predictor, films, tmp_path / f"whole{kind}")
    out = tmp_path / f"a{kind}"
    first = batch(predictor, films, out, stop=stop)
    assert (out.exists(), journal_of(out).exists()) == (False, True)
    second = batch(predictor, films, out, resume=True)
    assert (out.exists(), journal_of(out).exists()) == (True, False)
    retried = [name for name in first if name.endswith("02.png")]  # the unreadable one is tried again
    assert sorted(first + second) == sorted([*map(str, films.iterdir()), *retried])
    for found, wanted in zip(rows(out), rows(tmp_path / f"whole{kind}"), strict=True):
        shares = [key for key in wanted if key.startswith("prob")]
        for key in wanted:
            close = key in shares and wanted[key]
            same = pytest.approx(wanted[key], abs=1e-6) if close and kind != ".csv" else wanted[key]
            assert found[key] == same or (close and float(found[key]) == pytest.approx(float(wanted[key]), abs=2e-6)), key


def test_a_torn_last_line_is_cut_off(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    batch(predictor, films, out, stop=17)
    journal = journal_of(out)
    lines = journal.read_bytes().splitlines(keepends=True)
    for torn in (b'{"file": [1, 2], "resu', lines[-1][:-1], b"\0\0\0\0"):
        journal.write_bytes(b"".join(lines[:11]) + torn)
        with Journal(out, settings_of(predictor, None), resume=True) as found:
            assert len(found) == 10
        assert journal.read_bytes() == b"".join(lines[:11])
    assert len(batch(predictor, films, out, resume=True)) == 21  # twenty that are left, and the one that was unreadable
    assert names(out) == [f"{index:02d}.png" for index in range(30)]


def test_a_journal_torn_in_its_first_line_begins_anew(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    journal_of(out).write_bytes(b'{"settings": {"bun')
    assert len(batch(predictor, films, out, resume=True)) == 30


def test_a_damaged_journal_is_refused(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    batch(predictor, films, out, stop=5)
    lines = journal_of(out).read_bytes().splitlines(keepends=True)
    journal_of(out).write_bytes(b"".join([*lines[:2], b"nonsense\n", *lines[2:]]))
    with pytest.raises(LungwiseError, match=r"partial\.jsonl is damaged \(.*\); delete it and begin anew\.$"):
        batch(predictor, films, out, resume=True)


def test_resuming_nothing_begins_anew(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    assert len(batch(predictor, films, tmp_path / "new" / "a.parquet", resume=True)) == 30


def test_an_interrupted_batch_is_not_overwritten(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    batch(predictor, films, out, stop=5)
    with pytest.raises(
        LungwiseError, match=r"holds the answers of an interrupted batch; go on with --resume .*a\.csv, or delete it"
    ):
        batch(predictor, films, out)


def test_a_batch_that_answers_nothing_leaves_nothing(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    def broken() -> Iterator[Item]:
        raise RuntimeError("no list")
        yield

    with pytest.raises(RuntimeError), Journal(tmp_path / "a.csv", {}) as journal:
        list(journal.fill(predictor, broken()))
    assert list(tmp_path.glob("a.csv*")) == []


# What changed meanwhile


def test_new_changed_and_removed_files(
    predictor: Predictor, films: Path, tmp_path: Path, greys: list[Grey], encode: Encode
) -> None:
    out = tmp_path / "a.parquet"
    batch(predictor, films, out)
    before = {row["path"]: row for row in rows(out)}
    (films / "00a.png").write_bytes(encode(greys[3]))
    (films / "05.png").write_bytes(encode(greys[4]))
    os.utime(films / "06.png", ns=(1, 1))
    (films / "07.png").unlink()
    asked = [Path(name).name for name in batch(predictor, films, out, resume=True)]
    assert asked == ["00a.png", "02.png", "05.png", "06.png"]
    assert names(out) == sorted(file.name for file in films.iterdir())
    for row in rows(out):
        same = before.get(row["path"])
        if same and Path(row["path"]).name not in asked:
            assert row == same
    changed = predictor.predict(films / "05.png").probabilities["sick"]
    assert next(row for row in rows(out) if row["path"].endswith("05.png"))["prob_sick"] == pytest.approx(changed, abs=1e-6)


def test_an_unreadable_file_that_was_mended_is_answered(
    predictor: Predictor, films: Path, tmp_path: Path, greys: list[Grey], encode: Encode
) -> None:
    out = tmp_path / "a.parquet"
    batch(predictor, films, out)
    (films / "02.png").write_bytes(encode(greys[2]))
    assert len(batch(predictor, films, out, resume=True)) == 1
    assert [row["status"] for row in rows(out)] == ["ok"] * 30


def test_a_finished_batch_is_not_asked_again(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    (films / "02.png").unlink()
    batch(predictor, films, out)
    before = rows(out)
    assert batch(predictor, films, out, resume=True) == []
    assert rows(out) == before


def test_members_of_archives_are_known_by_their_contents(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    data = {file.name: file.read_bytes() for file in sorted(films.iterdir())[3:9]}
    archive = pack(tmp_path / "x.zip", data)
    out = tmp_path / "a.parquet"
    batch(predictor, archive, out)
    pack(archive, {**data, "03.png": data["04.png"]})
    assert [name.partition("!/")[2] for name in batch(predictor, archive, out, resume=True)] == ["03.png"]


def test_a_file_named_twice_is_answered_twice(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    file, out = films / "00.png", tmp_path / "a.jsonl"
    batch(predictor, [file, file, films / "01.png"], out, stop=2)
    batch(predictor, [file, file, films / "01.png"], out, resume=True)
    assert names(out) == ["00.png", "00.png", "01.png"]


def test_heat_maps_keep_names_of_their_own_when_a_batch_goes_on(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    maps, out = tmp_path / "maps", tmp_path / "a.jsonl"
    for images, stop in (
        ([films / "01.png", films / "03.png"], 1),
        ([films / "00.png", films / "01.png", films / "03.png"], None),
    ):
        with Journal(out, settings_of(predictor, maps), resume=True) as journal:
            answers = journal.fill(predictor, walk(images), maps)
            list(islice(answers, stop))
            answers.close()
    found = [Path(row["heatmap"]).name for row in rows(out)]
    assert found == ["00001_00.png", "00000_01.png", "00002_03.png"]


# Other settings


@pytest.mark.parametrize("kind", [".parquet", ".jsonl"])
def test_another_bundle_is_refused_and_nothing_is_touched(predictor: Predictor, films: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"a{kind}"
    batch(predictor, films, out, stop=None if kind == ".parquet" else 5)
    other = make_predictor(tmp_path / "other", name="another")
    before = {file.name: file.read_bytes() for file in tmp_path.glob("a*")}
    rule = rf"^A batch is gone on with as it was begun, but .* has bundle_sha256 {predictor.bundle.sha256} and this is "
    with pytest.raises(LungwiseError, match=rule):
        batch(other, films, out, resume=True)
    assert {file.name: file.read_bytes() for file in tmp_path.glob("a*")} == before


def test_another_setting_is_refused(predictor: Predictor, films: Path, tmp_path: Path) -> None:
    batch(predictor, films, tmp_path / "a.jsonl", stop=5)
    other = Predictor(predictor.bundle, threads=1, views=2)
    with pytest.raises(LungwiseError, match="has views 1 and this is 2; use the same"):
        batch(other, films, tmp_path / "a.jsonl", resume=True)
    other = Predictor(predictor.bundle, threads=1, assess_anyway=not predictor.assess_anyway)
    with pytest.raises(LungwiseError, match=r"has assess_anyway \w+ and this is \w+; use the same"):
        batch(other, films, tmp_path / "a.jsonl", resume=True)


@pytest.mark.parametrize("kind", [".csv", ".jsonl"])
def test_only_a_finished_parquet_file_can_be_gone_on_with(predictor: Predictor, films: Path, tmp_path: Path, kind: str) -> None:
    batch(predictor, films, tmp_path / f"a{kind}")
    with pytest.raises(
        LungwiseError, match=r"is finished, and only a \.parquet file can be gone on with; choose another --out\.$"
    ):
        batch(predictor, films, tmp_path / f"a{kind}", resume=True)


@pytest.mark.parametrize("what", ["nonsense", "another table"])
def test_a_file_that_is_none_of_ours_is_refused(predictor: Predictor, films: Path, tmp_path: Path, what: str) -> None:
    out = tmp_path / "a.parquet"
    if what == "nonsense":
        out.write_bytes(b"nonsense")
    else:
        pl.DataFrame({"path": ["a"]}).write_parquet(out)
    with pytest.raises(LungwiseError, match=r"a\.parquet is no file of answers to resume \(.*\); choose another --resume\.$"):
        batch(predictor, films, out, resume=True)
    assert not journal_of(out).exists()


def test_stamps_of_what_is_no_file() -> None:
    assert [stamp(Item(0, "x", source)) for source in (b"bytes", Path("none.png"), Path("a\0b"))] == [None] * 3
