"""A long batch in a process of its own, killed in the middle; the same command then ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.bundle_factory import make_bundle
from tests.cli.test_main import lungwise
from tests.conftest import Encode
from tests.faults.test_interruptions import command, stop_at

NUMBER = 1200


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_batch_stopped_in_the_middle_goes_on_to_the_same_answers(tmp_path: Path, encode: Encode, how: signal.Signals) -> None:
    model, films, out = make_bundle(tmp_path / "model"), tmp_path / "films", tmp_path / "results.parquet"
    films.mkdir()
    rng = np.random.default_rng(0)
    for index in range(5):
        (films / f"{index:05d}.png").write_bytes(encode(rng.integers(0, 256, (40, 44), dtype=np.uint8)))
    for index in range(5, NUMBER):
        os.link(films / f"{index % 5:05d}.png", films / f"{index:05d}.png")
    predict = ["predict", films, "--model", model]
    code, said = stop_at(f"Predicting: {NUMBER // 10} of", how, command(*predict, "--out", out))
    assert (code, "Traceback" in said) == (-how if how == signal.SIGKILL else 130, False)
    assert not out.exists()
    kept = (tmp_path / "results.parquet.partial.jsonl").read_bytes().count(b"\n") - 1
    assert NUMBER // 10 <= kept < NUMBER
    assert f"{kept} answers are there." in lungwise(*predict, "--resume", out).stderr
    lungwise(*predict, "--out", tmp_path / "unbroken.jsonl")
    wanted = [json.loads(line) for line in (tmp_path / "unbroken.jsonl").read_text().splitlines()]
    found = pl.read_parquet(out)
    assert found["path"].to_list() == [row["path"] for row in wanted] == [str(file) for file in sorted(films.iterdir())]
    shares = [row["probabilities"]["sick"] for row in wanted]
    np.testing.assert_allclose(found["prob_sick"], shares, atol=1e-6)
    assert sorted(file.name for file in tmp_path.glob("*results*")) == ["results.parquet"]
