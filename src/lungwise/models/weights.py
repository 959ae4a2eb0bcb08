"""Weights from elsewhere: download once into a cache, check, and say plainly when that is not possible."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.request
from collections.abc import Callable
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from lungwise.errors import WeightsError
from lungwise.files import cache_folder, write_whole

RESNET50V2_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
"""ImageNet weights of Keras' ResNet50V2 without its top (Apache-2.0)."""
RESNET50V2_MD5 = "fac2f116257151a9d068a22e544a4917"
HUB = "https://huggingface.co"
"""Where timm publishes; ``$HF_ENDPOINT`` names a mirror, as it does for the hub's own tools."""
SIZE_LIMIT = 1 << 30
"""Most bytes that a download may have."""
_TIMEOUT = 30.0
_CHUNK = 1 << 20
_HUB_NAME = re.compile(r"(timm/[A-Za-z0-9][\w.-]*)(?:@([A-Za-z0-9][\w.-]*))?")


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

    def check(draft: Path) -> None:
        with draft.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != md5:
            raise WeightsError(f"{url} must have the MD5 checksum {md5}, got {found}; try again or fetch it elsewhere.")

    return _cached(url, cache_folder() / url.rsplit("/", 1)[-1], check, instead)


def fetch_from_hub(name: str) -> Path:
    """The file ``model.safetensors`` of one of timm's repositories, from the cache or the hub.

    Args:
        name: "timm/<model>.<tag>", and "@<revision>" where another than "main" is meant.

    Raises:
        WeightsError: the name is not of that form, or the hub cannot be reached, or sends something else.
    """
    match = _HUB_NAME.fullmatch(name)
    if not match:
        raise WeightsError(f"Weights of the hub must be named timm/<model>.<tag>[@<revision>], got '{name}'; correct the name.")
    repository, revision = match[1], match[2] or "main"
    url = f"{os.environ.get('HF_ENDPOINT') or HUB}/{repository}/resolve/{revision}/model.safetensors"
    place = cache_folder() / repository / revision / "model.safetensors"
    instead = (
        "go online, set model.weights to the path of a copy of that file, or start from random ones with model.weights=none"
    )
    return _cached(url, place, lambda draft: None, instead)


def _cached(url: str, place: Path, check: Callable[[Path], None], instead: str) -> Path:
    if place.is_file():
        return place

    def write(draft: Path) -> None:
        _download(url, draft)
        check(draft)

    try:
        write_whole(place, write)
    except (OSError, HTTPException) as cause:
        raise WeightsError(
            f"{place.name} must be downloaded once, but {url} cannot be reached ({cause}); {instead}."
        ) from cause
    return place


class _Careful(urllib.request.HTTPRedirectHandler):
    """Follows a server only to addresses that are as safe as the first."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        """See the base class."""
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _check_address(url: str) -> None:
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise WeightsError(f"Weights are downloaded over https only, got {url}; fetch the file elsewhere.")


def _download(url: str, draft: Path) -> None:
    """Write what the address sends, up to the limit, all of it."""
    _check_address(url)
    with urllib.request.build_opener(_Careful).open(url, timeout=_TIMEOUT) as reply, draft.open("wb") as file:
        size = _copy(reply, file, url)
        promised = reply.headers.get("Content-Length")
        if promised is not None and int(promised) != size:
            raise ConnectionError(f"it sent {size} of {promised} bytes")


def _copy(reply: Any, file: IO[bytes], url: str) -> int:
    size = 0
    while chunk := reply.read(_CHUNK):
        size += len(chunk)
        if size > SIZE_LIMIT:
            raise WeightsError(f"A file of weights may have {SIZE_LIMIT} bytes, but {url} sends more; fetch it elsewhere.")
        file.write(chunk)
    return size
