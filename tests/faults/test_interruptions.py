"""Commands in a process of their own, stopped in the middle; the same command then ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lungwise.data.store import PreparedData, open_data
from lungwise.training.run import open_run
from tests.cli.test_main import lungwise
from tests.factory import TINY


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "lungwise", *(str(argument) for argument in arguments)]


def stop_at(line: str, how: signal.Signals, arguments: list[str]) -> tuple[int, str]:
    """Run a command, send a signal as soon as it says ``line``, and return its exit code and what it said after."""
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, bufsize=1) as process:
        if process.stderr is None:
            raise ValueError("the process has no standard error")
        said = next(text for text in process.stderr if line in text)
        process.send_signal(how)
        rest = process.stderr.read()
    return process.returncode, said + rest


def test_training_stopped_in_the_middle_continues_to_the_same_weights(
    small_run: Path, small_data: PreparedData, tmp_path: Path
) -> None:
    """Killed in its second epoch, stopped with Ctrl-C in its third, and then left alone."""
    changes = [part for change in TINY for part in ("--set", change)]
    train = ["train", small_data.folder, "--recipe", "kaggle-cnn", *changes, "--out", tmp_path / "run"]
    code, said = stop_at("epoch   1/3", signal.SIGKILL, command(*train))
    assert (code, "the same command continues" in said, "Traceback" in said) == (-signal.SIGKILL, False, False)
    code, said = stop_at("epoch   2/3", signal.SIGINT, command(*train))
    assert (code, "the same command continues" in said, "Traceback" in said) == (130, True, False)
    assert not (tmp_path / "run" / "predictions.parquet").exists()
    assert "continuing after epoch 2" in lungwise(*train).stderr
    unbroken, resumed = open_run(small_run).load("last"), open_run(tmp_path / "run").load("last")
    assert unbroken is not None
    assert resumed is not None
    for name, value in unbroken[0].items():
        np.testing.assert_array_equal(resumed[0][name], value, err_msg=name)


@pytest.mark.slow
def test_training_killed_where_images_grow_continues_to_the_same_weights(small_data: PreparedData, tmp_path: Path) -> None:
    changes = [*TINY, "model.image_size=40", "fit.progressive=[32]"]
    arguments = [part for change in changes for part in ("--set", change)]
    train = command("train", small_data.folder, "--recipe", "kaggle-cnn", *arguments, "--out")
    subprocess.run([*train, str(tmp_path / "unbroken")], capture_output=True, check=True)
    stop_at("epoch   1/3", signal.SIGKILL, [*train, str(tmp_path / "run")])  # the only one of 32 px
    assert [record["image_size"] for record in open_run(tmp_path / "run").history()] == [32]
    subprocess.run([*train, str(tmp_path / "run")], capture_output=True, check=True)
    for name in ("last", "best"):
        unbroken, resumed = open_run(tmp_path / "unbroken").load(name), open_run(tmp_path / "run").load(name)
        assert unbroken is not None
        assert resumed is not None
        for key, value in unbroken[0].items():
            np.testing.assert_array_equal(resumed[0][key], value, err_msg=key)


def test_preparation_stopped_with_ctrl_c_continues_to_the_same_data(small_data: PreparedData, tmp_path: Path) -> None:
    # Enough copies for several chunks, so that the interruption falls between them.
    source = tmp_path / "xrays"
    for number, path in enumerate(small_data.manifest["path"].to_list() * 12):
        place = source / Path(path).parent / f"phantom-{number:05d}_1.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(Path(small_data.facts["root"]) / path, place)
    broken = ["prepare", source, "--out", tmp_path / "broken", "--size", 40]
    code, said = stop_at("Reading images: 256", signal.SIGINT, command(*broken))
    assert (code, "the same command continues" in said) == (130, True)
    assert {path.name for path in (tmp_path / "broken").iterdir()} == {".partial"}
    lungwise(*broken)
    lungwise("prepare", source, "--out", tmp_path / "whole", "--size", 40)
    assert open_data(tmp_path / "broken").fingerprint == open_data(tmp_path / "whole").fingerprint
    assert {path.name for path in (tmp_path / "broken").iterdir()} == {
        "README.md", "audit.json", "dataset.json", "manifest.parquet", "pixels.npy", "samples.png",
    }  # fmt: skip
