"""The inside of a SageMaker training container: where things lie, what the job asks for, how it is told of a failure.

Amazon SageMaker Developer Guide, "Containers with custom training algorithms": input below ``/opt/ml/input``, the model
in ``/opt/ml/model``, other results in ``/opt/ml/output/data``, the reason of a failure in ``/opt/ml/output/failure``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungwise.errors import DataError, LungwiseError
from lungwise.files import write_text

CHANNELS = ("training", "train", "data")
"""Names of the channel that holds the images; a job has one of them."""
PARTS = ("validation", "test")
"""Channels that would be overlooked, because a data set brings or makes its own parts."""
REASON_LIMIT = 1024
"""Characters of the failure file that SageMaker shows."""
_IMAGE = re.compile(r"( ?)[^,;:()'\"\n]*\.(?:png|jpe?g|jp2|dcm|dicom|bmp|gif|tiff?|webp|npz)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Container:
    """A training container.

    Args:
        root: ``/opt/ml``, or a folder that is laid out like it.
        environ: environment variables; ``SM_MODEL_DIR``, ``SM_OUTPUT_DATA_DIR``, ``SM_CHANNEL_*`` and
            ``TRAINING_JOB_NAME`` are used where they are set.
    """

    root: Path
    environ: Mapping[str, str]

    @property
    def model(self) -> Path:
        """What becomes ``model.tar.gz``."""
        return Path(self.environ.get("SM_MODEL_DIR") or self.root / "model")

    @property
    def output(self) -> Path:
        """What becomes ``output.tar.gz``."""
        return Path(self.environ.get("SM_OUTPUT_DATA_DIR") or self.root / "output" / "data")

    @property
    def checkpoints(self) -> Path:
        """What SageMaker copies to S3 while training goes on, and back when it begins again."""
        return self.root / "checkpoints"

    @property
    def job(self) -> str:
        """The job's name, or "lungwise"."""
        return self.environ.get("TRAINING_JOB_NAME") or "lungwise"

    def hyperparameters(self) -> dict[str, str]:
        """What the job gives, name to text.

        Raises:
            LungwiseError: the file is damaged, or a value is no text.
        """
        found = self._read("hyperparameters.json")
        wrong = [name for name, value in found.items() if not isinstance(value, str)]
        if wrong:
            raise LungwiseError(f"SageMaker gives every hyperparameter as text, but {wrong[0]} is none; put it in quotes.")
        return found

    def check_hosts(self) -> None:
        """Refuse a job on several instances.

        Raises:
            LungwiseError: there is more than one.
        """
        hosts = self._read("resourceconfig.json").get("hosts", [])
        if len(hosts) > 1:
            raise LungwiseError(f"Training runs on one instance, but the job has {len(hosts)}; set instance_count=1.")

    def channel(self) -> Path:
        """The folder of the images.

        Raises:
            LungwiseError: none or several of ``CHANNELS``, one of ``PARTS``, or a channel in Pipe mode.
        """
        configured = self._read("inputdataconfig.json")
        for name, how in configured.items():
            if isinstance(how, dict) and how.get("TrainingInputMode") == "Pipe":
                raise LungwiseError(f"Channels are read as files, but '{name}' is in Pipe mode; use File or FastFile.")
        below = self.root / "input" / "data"
        names = sorted({*configured, *(place.name for place in below.glob("*") if place.is_dir())})
        for name in PARTS:
            if name in names:
                raise LungwiseError(
                    f"All images come in one channel, but the job also has '{name}', which would be overlooked; put its "
                    "images into the training channel as a part of its own."
                )
        places = {name: Path(self.environ.get(f"SM_CHANNEL_{name.upper()}") or below / name) for name in CHANNELS}
        found = [name for name, place in places.items() if place.is_dir()]
        if len(found) != 1:
            has = ", ".join(found or names) or "none"
            raise LungwiseError(
                f"The images must come in one channel named {', '.join(CHANNELS)}, but the job has {has}; call "
                "fit({'training': 's3://BUCKET/FOLDER'})."
            )
        return places[found[0]]

    def fail(self, reason: str) -> None:
        """Write the reason of a failure for SageMaker, which shows it to everyone who may see the job.

        Args:
            reason: a sentence; names of image files and what lies in a channel are left out.
        """
        write_text(self.root / "output" / "failure", without_images(reason, self.root / "input" / "data")[:REASON_LIMIT])

    def _read(self, name: str) -> dict[str, Any]:
        """One of SageMaker's configuration files; nothing where it is absent, as in a run by hand."""
        path = self.root / "input" / "config" / name
        if not path.exists():
            return {}
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as cause:
            raise LungwiseError(f"{path} must be JSON, but it is damaged ({cause}); start the job again.") from cause
        if not isinstance(found, dict):
            raise LungwiseError(f"{path} must hold names and values, got {type(found).__name__}; start the job again.")
        return found


def inside(channel: Path, source: str) -> Path:
    """A folder or file of a channel.

    Args:
        channel: the channel's folder.
        source: a path inside it, or "" for all of it.

    Raises:
        DataError: there is no such thing in the channel, or the channel is empty.
    """
    place = channel / source
    if not place.resolve().is_relative_to(channel.resolve()) or not place.exists():
        raise DataError(f"The source must be inside the channel, but there is no {source!r} in it; correct the path.")
    if place.is_dir() and not any(place.iterdir()):
        raise DataError("The channel must hold images or a prepared data set, but it is empty; check its S3 address.")
    return place


def without_images(text: str, channels: Path) -> str:
    """A sentence without the names of images, which may name patients; the log has it in full.

    Args:
        text: what is said.
        channels: the folder below which all channels lie.
    """
    return re.sub(re.escape(str(channels)) + r"[^,;:()'\"\s]*", "[channel]", _IMAGE.sub(r"\1[image]", text))
