"""Weights from elsewhere: download once into a cache, check, and say plainly when that is not possible."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.request
from pathlib import Path

from lungwise.errors import WeightsError
from lungwise.files import write_whole

RESNET50V2_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
"""ImageNet weights of Keras' ResNet50V2 without its top (Apache-2.0)."""
RESNET50V2_MD5 = "fac2f116257151a9d068a22e544a4917"
_TIMEOUT = 30.0


def cache_folder() -> Path:
    """Where downloads are kept: ``$LUNGWISE_CACHE`` or ``~/.cache/lungwise``."""
    return Path(os.environ.get("LUNGWISE_CACHE") or Path.home() / ".cache" / "lungwise")


def fetch(url: str, md5: str, instead: str) -> Path:
    """A file from the cache, downloaded first when it is not there.

    Args:
        url: where it is published.
        md5: the published checksum.
        instead: what the user can do when the download fails, as the end of the sentence.

    Returns:
        The path of a file with that checksum.

    Raises:
        WeightsError: the server cannot be reached, or sends something else.
    """
    name = url.rsplit("/", 1)[-1]
    place = cache_folder() / name
    if not place.is_file():
        try:
            write_whole(place, lambda draft: _download(url, md5, draft))
        except OSError as cause:
            raise WeightsError(f"{name} must be downloaded once, but {url} cannot be reached ({cause}); {instead}.") from cause
    return place


def _download(url: str, md5: str, draft: Path) -> None:
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise WeightsError(f"Weights are downloaded over https only, got {url}; fetch the file elsewhere.")
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as reply, draft.open("wb") as file:  # noqa: S310 - checked above
        shutil.copyfileobj(reply, file)
    with draft.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        raise WeightsError(f"{url} must have the MD5 checksum {md5}, got {found}; try again or fetch it elsewhere.")
