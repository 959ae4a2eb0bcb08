"""Collections on Kaggle: ``kaggle:owner/dataset`` is downloaded once into kagglehub's cache and then used as a folder.

Licence and citation are those of the collection; where its kind is recognised, the listing says them.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from lungwise.errors import DataError, require

PREFIX = "kaggle:"
_HANDLE = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:/versions/\d+)?", re.ASCII)
_PAGE = "https://www.kaggle.com/datasets"


def is_kaggle(source: Path | str) -> bool:
    """Whether a source is named as one of Kaggle."""
    return str(source).startswith(PREFIX)


def fetch(source: Path | str) -> Path:
    """Download a data set of Kaggle, unless the cache has it, and say where it is.

    Credentials and cache are kagglehub's own: ``KAGGLE_API_TOKEN``, or ``KAGGLE_USERNAME`` and ``KAGGLE_KEY``, or
    ``~/.kaggle``; ``KAGGLEHUB_CACHE``. Public sets need none.

    Args:
        source: ``kaggle:owner/dataset`` or ``kaggle:owner/dataset/versions/3``.

    Raises:
        DataError: the name is of another form, there is no such set, it is not open to the user, or Kaggle is out of reach.
        MissingExtraError: kagglehub is not installed.
    """
    handle = str(source).removeprefix(PREFIX)
    if not _HANDLE.fullmatch(handle):
        raise DataError(f"A source on Kaggle must be kaggle:owner/dataset, got '{source}'; copy the name from its address.")
    hub = require("kagglehub", "hub", "A source on Kaggle")
    requests = require("requests", "hub", "A source on Kaggle")
    damage = (hub.exceptions.DataCorruptionError, zipfile.BadZipFile, requests.exceptions.ContentDecodingError)
    try:
        return Path(hub.dataset_download(handle))
    except requests.exceptions.HTTPError as cause:
        raise DataError(_refusal(handle, getattr(cause.response, "status_code", None))) from cause
    except (hub.exceptions.CredentialError, hub.exceptions.UnauthenticatedError) as cause:
        raise DataError(_refusal(handle, 401)) from cause
    except (*damage, requests.exceptions.ChunkedEncodingError) as cause:
        raise DataError(f"The download of kaggle:{handle} is damaged or broke off; start it again.") from cause
    except requests.exceptions.RequestException as cause:
        raise DataError(
            f"Kaggle must be reachable to fetch {handle}, but it is not ({type(cause).__name__}); check the network, or "
            "download it elsewhere and name its folder."
        ) from cause
    except ValueError as cause:
        raise DataError(
            f"kaggle:{handle} cannot be fetched ({str(cause).partition(chr(10))[0]}); check Kaggle's credentials, or download "
            "it elsewhere and name its folder."
        ) from cause
    except OSError as cause:
        raise DataError(
            f"kaggle:{handle} cannot be stored ({cause.strerror or type(cause).__name__}); free some space, or name another "
            "place in KAGGLEHUB_CACHE."
        ) from cause


def _refusal(handle: str, status: int | None) -> str:
    """What Kaggle's answer means for the user."""
    if status == 404:
        return f"Kaggle has no data set {handle}; copy the name from its address."
    if status in (401, 403):
        return (
            f"Kaggle must know who asks for {handle}, but no valid token was sent (HTTP {status}); set KAGGLE_API_TOKEN and "
            f"accept the terms at {_PAGE}/{handle.partition('/versions')[0]}."
        )
    if status == 429:
        return f"Kaggle takes no more requests for {handle} now (HTTP 429); try again later."
    return f"Kaggle cannot give {handle} now (HTTP {status}); try again later."
