from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeJob = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own job, whatever surrounds them."""
    names = ("MODEL_DIR", "OUTPUT_DATA_DIR", "CHANNEL_TRAINING", "CHANNEL_TRAIN", "CHANNEL_DATA")
    for name in ("TRAINING_JOB_NAME", *(f"SM_{name}" for name in names)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """``make_job(images, {"fit.epochs": "3"}, channel="training", hosts=1)``: a folder laid out as SageMaker does."""

    def make(
        images: Path | None = None,
        given: dict[str, Any] | None = None,
        channel: str = "training",
        hosts: int = 1,
        mode: str = "File",
        name: str = "ml",
    ) -> Path:
        root = tmp_path / name
        config, data = root / "input" / "config", root / "input" / "data"
        for folder in (config, data, root / "model", root / "output", root / "checkpoints"):
            folder.mkdir(parents=True)
        names = [f"algo-{number + 1}" for number in range(hosts)]
        channels = {}
        if images is not None:
            (data / channel).symlink_to(images, target_is_directory=True)
            channels[channel] = {
                "TrainingInputMode": mode,
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
        (config / "hyperparameters.json").write_text(json.dumps(given or {}))
        (config / "inputdataconfig.json").write_text(json.dumps(channels))
        (config / "resourceconfig.json").write_text(json.dumps({"current_host": names[0], "hosts": names}))
        return root

    return make
