"""The audit log: who asked what and when, as JSON lines, with nothing of a patient in it.

A line holds only what is named here, and none of it is text that a client chose: no file name, no header, no query, no path
(only the route's template), no pixel. Whoever asked is a keyed hash; the key lies beside the log, so that lines of one client
can be put together on this machine, and nobody can find a token or an address by trying all of them without the key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lungwise.errors import LungwiseError
from lungwise.service.settings import MB, Settings

if TYPE_CHECKING:
    from lungwise.service.security import Identity

NAME, KEY = "audit.jsonl", "audit.key"
_KEY_BYTES = 32
_log = logging.getLogger("lungwise.service")


@dataclass(frozen=True)
class Entry:
    """One request that was answered.

    Args:
        who: who asked; None where the service was too busy to find that out.
        request: the id that the answer also has.
        method: one that HTTP knows, else "OTHER".
        route: template of the route, "/v1/workspaces/{workspace}"; "(none)" where there is none.
        status: of the answer; 0 where the client left before it.
        code: of the problem document, or None.
        outcomes: results of each status.
        received: bytes of the body that were read.
        seconds: from the head of the request to the end of the answer.
    """

    who: Identity | None
    request: str | None
    method: str
    route: str
    status: int
    code: str | None
    outcomes: Mapping[str, int]
    received: int
    seconds: float


class AuditLog:
    """Writes entries to a folder, or to standard error where none is set.

    Args:
        settings: the folder, and how much is kept there.
        model: SHA-256 of the bundle that answers.
        now: seconds since 1970.

    Raises:
        LungwiseError: the folder cannot be written to, or others may read the key.
    """

    def __init__(self, settings: Settings, model: str, now: Callable[[], float] = time.time) -> None:
        self._model, self._now = model, now
        self.failures = 0
        self._handler: logging.Handler
        if settings.logs is None:
            self._key, self._handler = secrets.token_bytes(_KEY_BYTES), _Stderr(self)
        else:
            self._key = _prepared(settings.logs)
            self._handler = _File(self, settings.logs / NAME, int(settings.log_mb * MB), settings.log_files)

    def write(self, entry: Entry) -> None:
        """Add one line."""
        at = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at,
            "who": self.pseudonym(entry.who),
            "request": entry.request,
            "method": entry.method,
            "route": entry.route,
            "status": entry.status,
            "code": entry.code,
            "model": self._model,
            "outcomes": dict(entry.outcomes),
            "bytes_in": entry.received,
            "ms": round(entry.seconds * 1000, 1),
        }
        self._handler.handle(logging.makeLogRecord({"msg": json.dumps(line)}))

    def pseudonym(self, who: Identity | None) -> str | None:
        """The same word for the same client, as long as the key is the same."""
        if who is None:
            return None
        found = hmac.new(self._key, f"{who.kind}:{who.name}".encode(), hashlib.sha256).hexdigest()
        return f"{who.kind}-{found[:20]}"

    def failed(self) -> None:
        """A line could not be written: the service goes on, says so once, and counts it (metrics)."""
        self.failures += 1
        if self.failures == 1:
            _log.error("the audit log cannot be written: %s", type(sys.exception()).__name__)

    def close(self) -> None:
        """Write no more."""
        self._handler.close()


class _Stderr(logging.StreamHandler[TextIO]):
    def __init__(self, audit: AuditLog) -> None:
        super().__init__(sys.stderr)
        self._audit = audit

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - named by the base class
        self._audit.failed()


class _File(RotatingFileHandler):
    """Files that only their owner may read: audit.jsonl, audit.jsonl.1 and so on."""

    def __init__(self, audit: AuditLog, path: Path, most: int, keep: int) -> None:
        super().__init__(path, maxBytes=most, backupCount=keep, encoding="utf-8", delay=True)
        self._audit = audit

    def _open(self) -> TextIO:  # type: ignore[override]
        return open(self.baseFilename, "a", encoding="utf-8", opener=_private)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - named by the base class
        self._audit.failed()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _prepared(folder: Path) -> bytes:
    """Make the folder and its key, and see that both can be used."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(folder / NAME, "a", encoding="utf-8", opener=_private):
            pass
        key = _key(folder / KEY)
    except OSError as cause:
        raise LungwiseError(
            f"The folder of the audit log must be writable, but {folder} is not ({cause.strerror}); "
            "set LUNGWISE_LOGS to another."
        ) from cause
    if len(key) != _KEY_BYTES:
        raise LungwiseError(f"{folder / KEY} must have {_KEY_BYTES} bytes, it has {len(key)}; remove it to get a new one.")
    return key


def _key(path: Path) -> bytes:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
    except FileExistsError:
        if (mode := path.stat().st_mode & 0o777) & 0o077:
            raise LungwiseError(f"Only its owner may read {path}, but its mode is {mode:o}; run chmod 600 on it.") from None
    return path.read_bytes()
