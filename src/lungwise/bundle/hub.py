"""A bundle on the Hugging Face Hub, or on a server that speaks as it does: what is pushed and pulled is a verified bundle.

Nothing but the bundle's own files leaves the machine, and nothing that is no bundle comes to it: a download is verified
beside its place, and put there whole or not at all.
"""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lungwise.bundle.container import KNOWN, SPEC, opened
from lungwise.bundle.place import check_place, place
from lungwise.bundle.spec import BundleSpec
from lungwise.bundle.store import verify_bundle
from lungwise.errors import LungwiseError, require, writing

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_LOCAL = ("localhost", "127.0.0.1", "::1")
_EMPTY = {".gitattributes", "README.md"}
"""What the Hub itself may put into a new repository."""


class HubError(LungwiseError):
    """The Hub cannot be reached, refuses, or holds something else."""


def push_bundle(path: Path | str, repository: str, *, endpoint: str | None = None, private: bool = False) -> str:
    """Upload a bundle as one commit; the repository is made where it is absent.

    Args:
        path: the bundle, a directory or zip; verified first.
        repository: "owner/name".
        endpoint: the server's address; the Hugging Face Hub by default. The token of the login is sent to it.
        private: make a private repository, and refuse one that is public.

    Returns:
        The commit's address.

    Raises:
        BundleError: ``path`` is no bundle, or a file of it was changed.
        HubError: the Hub cannot be reached or refuses, or the repository holds something else than a bundle.
    """
    path, spec = Path(path), verify_bundle(path)
    library, where = _library(repository, endpoint)
    with opened(path, KNOWN) as files, _asking(repository, where):
        # A directory's files are read while they are sent, so that a large bundle needs no memory.
        sources = {name: str(path / name) if path.is_dir() else files.read(name) for name in sorted(spec.files)}
        additions = [library.CommitOperationAdd(name, source) for name, source in sources.items()]
        hub = library.HfApi(endpoint=where)
        hub.create_repo(repository, private=private or None, exist_ok=True)
        there = hub.model_info(repository)
        names = {item.rfilename for item in there.siblings or ()}
        _check_target(names, repository, open_to_all=private and there.private is False)
        # A network that this bundle no longer has must not stay behind from an older one.
        left = [library.CommitOperationDelete(name) for name in KNOWN if name in names and name not in spec.files]
        done = hub.create_commit(repository, [*additions, *left], commit_message=f"Lungwise bundle {spec.files[SPEC][:12]}")
    return str(done.commit_url)


def pull_bundle(
    repository: str, out: Path, *, revision: str | None = None, endpoint: str | None = None, overwrite: bool = False
) -> BundleSpec:
    """Download a bundle, verify it, and put it in its place whole or not at all.

    Args:
        repository: "owner/name".
        out: the place, a new directory or a name ending in ``.zip``.
        revision: a branch, tag or commit; the newest by default.
        endpoint: the server's address; the Hugging Face Hub by default.
        overwrite: replace a bundle that is there.

    Returns:
        The bundle's specification.

    Raises:
        BundleError: the place is taken, or what came is not the bundle that was exported.
        HubError: the Hub cannot be reached or refuses, or the repository holds no bundle.
        LungwiseError: it cannot be written.
    """
    check_place(out, overwrite)
    library, where = _library(repository, endpoint)
    with _asking(repository, where):
        found = library.HfApi(endpoint=where).model_info(repository, revision=revision)
        names = {item.rfilename for item in found.siblings or ()}
    if SPEC not in names:
        raise HubError(f"{repository} must hold a bundle, but it has no {SPEC}; check the name.")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            draft = Path(folder) / repository.rpartition("/")[2]
            _download(library, where, repository, found.sha, [name for name in KNOWN if name in names], draft)
            spec = verify_bundle(draft)
            with opened(draft, KNOWN) as files:
                place(out, {name: files.chunks(name) for name in files.names})
    return spec


def _download(library: Any, where: str, repository: str, commit: str, names: list[str], draft: Path) -> None:
    """Fetch files of one commit, so that a push in between mixes nothing."""
    with _asking(repository, where):
        for name in names:
            library.hf_hub_download(
                repository, name, revision=commit, endpoint=where, local_dir=draft, cache_dir=draft.parent / "cache"
            )


def _library(repository: str, endpoint: str | None) -> tuple[Any, str]:
    """``huggingface_hub`` and the server's address, after what was given has been checked."""
    if not _NAME.fullmatch(repository):
        raise HubError(f"A repository must be named owner/name, got '{repository}'; correct it.")
    library = require("huggingface_hub", "hub", "the Hugging Face Hub")
    where = str(endpoint or importlib.import_module("huggingface_hub.constants").ENDPOINT).rstrip("/")
    parts = urlsplit(where)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL)):
        raise HubError(f"The Hub's address must begin with https:// (http:// only on this machine), got '{where}'; correct it.")
    return library, where


def _check_target(names: set[str], repository: str, *, open_to_all: bool) -> None:
    """Refuse a repository that is not meant for this bundle."""
    if open_to_all:
        raise HubError(f"{repository} is public already, which --private cannot change; make it private on the Hub, or rename.")
    if SPEC not in names and names - _EMPTY:
        raise HubError(f"A bundle needs a repository of its own, but {repository} holds something else; choose another name.")


@contextmanager
def _asking(repository: str, where: str) -> Iterator[None]:
    """Turn what the library raises into one sentence each."""
    errors = importlib.import_module("huggingface_hub.errors")
    try:
        yield
    except errors.HfHubHTTPError as cause:
        raise HubError(_refusal(cause.response.status_code, repository, where)) from cause
    except errors.LocalEntryNotFoundError as cause:
        raise HubError(f"{where} must be reachable, but it stopped answering; check the connection and try again.") from cause
    except (errors.HTTPError, ConnectionError) as cause:
        raise HubError(f"{where} must be reachable, but it does not answer; check the address and the connection.") from cause
    except OSError as cause:
        if cause.errno is not None:
            raise  # the disk's own trouble has its own sentences
        raise HubError(f"A file of {repository} did not come whole from {where}; try again.") from cause
    except RuntimeError as cause:  # what the library makes of anything that ends an upload
        said = " ".join(str(cause).split())[:200]
        raise HubError(f"An upload to {where} must come to its end, but it broke off ({said}); try again.") from cause
    except (ValueError, KeyError, TypeError) as cause:
        said = " ".join(str(cause).split())[:200]
        raise HubError(f"{where} must answer as a Hugging Face Hub does, but it did not ({said}); check --endpoint.") from cause


def _refusal(status: int, repository: str, where: str) -> str:
    match status:
        case 401:
            return f"{where} must know you for {repository}, but it does not (401); run hf auth login, or check the name."
        case 403:
            return f"{where} must let you do this with {repository}, but it does not (403); take a token that may."
        case 404:
            return f"{repository} must exist on {where}, but it or the revision does not (404); check the name."
        case _:
            return f"{where} answered {status} for {repository}; try again later."
