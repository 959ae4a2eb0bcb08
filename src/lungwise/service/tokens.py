"""Bearer tokens: random, shown once, and kept only as their SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from lungwise.errors import LungwiseError

_SHA256 = re.compile(r"[0-9a-f]{64}")


def new_token() -> tuple[str, str]:
    """A fresh token of 256 random bits, and the SHA-256 to configure.

    They need no salt and no slow hash: nobody guesses 256 random bits.
    """
    token = secrets.token_urlsafe(32)
    return token, fingerprint(token)


def fingerprint(token: str) -> str:
    """SHA-256 of a token, 64 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """The tokens that are accepted.

    Args:
        hashes: SHA-256 of each, 64 hexadecimal digits.
        file: a file with more of them, one a line; empty lines and those that begin with # are passed over.

    Raises:
        LungwiseError: the file cannot be read, or something is no SHA-256.
    """

    def __init__(self, hashes: Iterable[str], file: Path | None) -> None:
        self._known = tuple(_checked(text, f"tokens, number {place}") for place, text in enumerate(hashes, 1))
        if file:
            self._known += tuple(_read(file))

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._known)

    def find(self, token: str) -> str | None:
        """The SHA-256 of a token that is accepted, else None; takes as long whichever it is."""
        given, found = fingerprint(token), None
        for one in self._known:
            if hmac.compare_digest(one, given):
                found = one
        return found


def _read(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise LungwiseError(f"tokens_file must be a text file that can be read, but {file} is not; correct it.") from cause
    kept = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    found = [_checked(line, f"{file}, line {number}") for number, line in kept if line and not line.startswith("#")]
    if not found:
        raise LungwiseError(f"tokens_file must hold at least one SHA-256, but {file} has none; see lungwise serve --new-token.")
    return found


def _checked(text: str, place: str) -> str:
    """The text is not repeated: it may be a token in the wrong place."""
    small = text.strip().lower()
    if not _SHA256.fullmatch(small):
        raise LungwiseError(
            f"A token is configured by its SHA-256, 64 hexadecimal digits, but {place} is none; "
            "lungwise serve --new-token shows a fresh token with its own."
        )
    return small
