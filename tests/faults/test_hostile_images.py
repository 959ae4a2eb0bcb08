"""Bombs: a few kilobytes that ask for gigabytes or hours. Each must be refused, or read, within a stated amount of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import hostile
from tests.faults.hostile import DICOM, IMAGES


def measured(folder: Path, attacks: dict[str, tuple[hostile.Callable[[], bytes], int, str]]) -> dict[str, tuple[str, float]]:
    """Outcome and MB of every attack, all read in one process that has nothing else to do."""
    paths = [folder / str(number) / "x" for number in range(len(attacks))]
    for path, (build, _, _) in zip(paths, attacks.values(), strict=True):
        path.parent.mkdir()
        path.write_bytes(build())
    command = [sys.executable, "-m", "tests.faults.appetite", *map(str, paths)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=600)
    return dict(zip(attacks, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.fixture(scope="module")
def appetites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, float]]:
    return measured(tmp_path_factory.mktemp("bombs"), IMAGES) | measured(tmp_path_factory.mktemp("dicom"), DICOM_NAMED)


DICOM_NAMED = {f"DICOM: {name}": attack for name, attack in DICOM.items()}
ATTACKS = IMAGES | DICOM_NAMED


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident memory as Linux does")
@pytest.mark.parametrize("name", ATTACKS)
def test_a_bomb_takes_no_more_memory_than_stated(appetites: dict[str, tuple[str, float]], name: str) -> None:
    (_, limit, begins), (outcome, taken) = ATTACKS[name], appetites[name]
    assert outcome.startswith(begins), outcome
    assert outcome == "read" or (outcome.endswith(".") and outcome.isprintable()), outcome
    assert taken <= limit, f"{taken:.0f} MB, {outcome}"
