"""JSON web tokens of an OpenID Connect issuer (OpenID Connect Core 1.0; RFC 7519, best practice of RFC 8725)."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.util import urlsafe_b64decode

from lungwise.errors import LungwiseError
from lungwise.service.settings import Settings

ALGORITHMS = ("RS256", "ES256")
"""Signatures that are accepted; no token chooses another, least of all none or one by a shared secret."""
LEEWAY_SECONDS = 30
KEEP_SECONDS = 600
RETRY_SECONDS = 60
FETCH_SECONDS = 5.0
MOST_BYTES = 1_000_000
MOST_TOKEN = 8192
Keys = dict[str | None, RSAKey | ECKey]


class Oidc:
    """Checks the tokens of one issuer.

    Args:
        issuer: what ``iss`` must be.
        audience: what ``aud`` must be or hold.
        jwks: an https address or a file.
        now: seconds since 1970.
        fetch: gives the bytes at an https address.

    Raises:
        LungwiseError: ``jwks`` is a file without usable keys, or an address that is not https.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        jwks: str,
        now: Callable[[], float] = time.time,
        fetch: Callable[[str], bytes] | None = None,
    ) -> None:
        self._jwks, self._now, self._fetch = jwks, now, fetch or fetched
        self._remote = "://" in jwks
        self._keys: Keys = {}
        self._read_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(self._now()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        if self._remote and not jwks.startswith("https://"):
            raise LungwiseError("oidc_jwks must be an https address or a file, it is another address; correct it.")
        if not self._remote:
            self._keys = self._of_file()

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """As the settings say; None where they name no issuer.

        Raises:
            LungwiseError: only some of the three settings are there, or one is not as it must be.
        """
        given = (settings.oidc_issuer, settings.oidc_audience, settings.oidc_jwks)
        if not any(given):
            return None
        issuer, audience, jwks = given
        if not (issuer and audience and jwks):
            raise LungwiseError("oidc_issuer, oidc_audience and oidc_jwks go together, but only some are set; set all three.")
        return cls(issuer, audience, jwks)

    async def subject(self, token: str) -> str | None:
        """Whose token it is; None when it is not accepted, for whatever reason."""
        if len(token) > MOST_TOKEN or token.count(".") != 2:
            return None
        keys = await self._current(_key_id(token))
        try:
            found = jwt.decode(token, lambda one: _chosen(one.headers(), keys), algorithms=ALGORITHMS)
            self._claims.validate(found.claims)
        except (JoseError, ValueError, RecursionError):  # the last from brackets within brackets
            return None
        return str(found.claims["sub"])

    async def _current(self, name: str | None) -> Keys:
        """The issuer's keys; read again when they are old, or when a token names one that is not among them."""
        async with self._lock:
            now = self._now()
            wanted = now - self._read_at >= KEEP_SECONDS or name not in self._keys
            if wanted and now - self._tried_at >= RETRY_SECONDS:
                self._tried_at = now
                try:
                    async with asyncio.timeout(2 * FETCH_SECONDS):
                        self._keys = await asyncio.to_thread(self._again)
                    self._read_at = now
                except (OSError, HTTPException, LungwiseError):
                    # An issuer that is down for a while does not lock everybody out; after a day its old keys are not trusted.
                    if now - self._read_at > 86_400:
                        self._keys = {}
            return self._keys

    def _again(self) -> Keys:
        return parsed(self._fetch(self._jwks), "the answer at oidc_jwks") if self._remote else self._of_file()

    def _of_file(self) -> Keys:
        try:
            data = Path(self._jwks).read_bytes()
        except OSError as cause:
            raise LungwiseError(f"oidc_jwks must be a file that can be read, but {self._jwks} is not; correct it.") from cause
        return parsed(data, self._jwks)


def parsed(data: bytes, place: str) -> Keys:
    """Keys by their name, only those that verify RS256 or ES256.

    Raises:
        LungwiseError: it is no key set, or has no such key.
    """
    try:
        listed = json.loads(data)["keys"]
        usable = [one for one in listed if one.get("kty") in ("RSA", "EC") and one.get("use", "sig") == "sig"]
        found = [key for key in KeySet.import_key_set({"keys": usable}).keys if _strong(key)]
    except (ValueError, KeyError, TypeError, AttributeError, JoseError) as cause:
        raise LungwiseError(f"oidc_jwks must be a set of keys (RFC 7517), but {place} is none; correct it.") from cause
    keys: Keys = {key.kid: key for key in found if isinstance(key, RSAKey | ECKey)}
    if not keys:
        raise LungwiseError(f"oidc_jwks must hold a key for {' or '.join(ALGORITHMS)}, but {place} has none; correct it.")
    return keys


def fetched(address: str) -> bytes:
    """The bytes at an https address, without following it elsewhere.

    Raises:
        OSError: it does not answer in time, or with something else.
    """

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            return None

    with urllib.request.build_opener(Stay).open(address, timeout=FETCH_SECONDS) as answer:
        data: bytes = answer.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise urllib.error.URLError("a key set must have at most 1 MB")
    return data


def _strong(key: Any) -> bool:
    if isinstance(key, RSAKey):
        return bool(key.public_key.key_size >= 2048)
    return isinstance(key, ECKey) and key.curve_name == "P-256"


def _key_id(token: str) -> str | None:
    try:
        name = json.loads(urlsafe_b64decode(token.split(".")[0].encode())).get("kid")
    except (ValueError, AttributeError, RecursionError):
        return None
    return name if isinstance(name, str) else None


def _chosen(headers: Any, keys: Keys) -> RSAKey | ECKey:
    """The key that a token names; one without a name may use the only key that there is."""
    name, kind = headers.get("kid"), RSAKey if headers.get("alg") == "RS256" else ECKey
    key = keys.get(name) if isinstance(name, str) else next(iter(keys.values())) if len(keys) == 1 else None
    if not isinstance(key, kind):
        raise ValueError("no such key")
    return key
