"""Pseudonyms of patients: a keyed hash that stays the same for one person and cannot be undone without the key.

HMAC (RFC 2104) and not a plain hash, because a hospital's numbers are few enough to be tried out.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from lungwise.errors import DataError, writing

KEY_BYTES = 32
"""Length of a new key, and the shortest that is accepted."""
_DIGITS = 16
_OTHERS = 0o077


def pseudonym(key: bytes, value: bytes) -> str:
    """HMAC-SHA256 as "p-" and 16 hexadecimal digits; of a million patients, two share one with a chance of 3e-8."""
    return f"p-{hmac.new(key, value, hashlib.sha256).hexdigest()[:_DIGITS]}"


def default_key() -> Path:
    """Where the key is kept: ``lungwise/patient.key`` in the user's configuration folder (XDG Base Directory)."""
    given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".config") / "lungwise" / "patient.key"


def load_key(file: Path | None = None) -> bytes:
    """The key of pseudonyms; it is made when there is none.

    Args:
        file: where the key is; by default :func:`default_key`.

    Raises:
        DataError: the file cannot be read, is too short, or can be read by others.
        LungwiseError: a new key cannot be written.
    """
    file = file or default_key()
    try:
        if not file.exists():
            _make(file)
        mode = file.stat().st_mode & 0o777
        key = file.read_bytes()
    except OSError as cause:
        raise DataError(
            f"The key of patient pseudonyms must be readable, but {file} is not ({cause.strerror}); "
            "name another with --patient-key."
        ) from cause
    if mode & _OTHERS and os.name == "posix":
        raise DataError(
            f"The key of patient pseudonyms must be readable by you alone, but {file} has mode {mode:o}; run chmod 600 on it."
        )
    if len(key) < KEY_BYTES:
        raise DataError(
            f"The key of patient pseudonyms must have at least {KEY_BYTES} bytes, {file} has {len(key)}; fetch the whole "
            "key, or remove the file and a new one is made."
        )
    return key


def _make(file: Path) -> None:
    """Write a new key, whole, for the owner alone; when another process is first, its key stays."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(secrets.token_bytes(KEY_BYTES))
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(draft, file)
            except FileExistsError:
                return
        finally:
            draft.unlink(missing_ok=True)
