"""Tokens of an OpenID Connect issuer, made here."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from lungwise.errors import LungwiseError
from lungwise.service.oidc import Oidc, parsed
from lungwise.service.security import Access
from lungwise.service.settings import Settings
from tests.service.conftest import Serve

ISSUER, AUDIENCE, NOW = "https://id.example.org/realm", "lungwise", 1_800_000_000
RSA = RSAKey.generate_key(2048, {"kid": "r", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "e"})
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 600, "nbf": NOW - 10}


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def signed(key: Any = RSA, alg: str = "RS256", kid: str | None = "r", **changes: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return jwt.encode({"alg": alg, **({"kid": kid} if kid else {})}, claims, key, algorithms=[alg])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "jwks.json"
    made.write_bytes(key_set(RSA, EC))
    return made


@pytest.fixture
def subject(file: Path) -> Callable[[str], str | None]:
    checks = Oidc(ISSUER, AUDIENCE, str(file), now=lambda: NOW)
    return lambda token: asyncio.run(checks.subject(token))


def test_tokens_of_the_issuer_are_accepted(subject: Callable[[str], str | None]) -> None:
    assert subject(signed()) == "alice"
    assert subject(signed(EC, "ES256", "e")) == "alice"
    assert subject(signed(aud=["other", AUDIENCE])) == "alice"
    assert subject(signed(nbf=None)) == "alice"


@pytest.mark.parametrize(
    "changes",
    [{"iss": "https://evil.example"}, {"iss": None}, {"iss": ISSUER + "/"}, {"aud": "other"}, {"aud": None}, {"aud": []},
     {"exp": NOW - 31}, {"exp": None}, {"exp": "9999999999"}, {"exp": float("nan")}, {"nbf": NOW + 60}, {"sub": None},
     {"sub": 7}],
)  # fmt: skip
def test_wrong_claims_are_refused(subject: Callable[[str], str | None], changes: dict[str, Any]) -> None:
    assert subject(signed(**changes)) is None


def test_other_signatures_are_refused(subject: Callable[[str], str | None]) -> None:
    good = signed()
    head, body, mark = good.split(".")
    shared = OctKey.import_key({"kty": "oct", "k": str(RSA.as_dict(private=False)["n"])})
    unsigned = urlsafe_b64encode(b'{"alg":"none","kid":"r"}').decode().rstrip("=")
    nested = urlsafe_b64encode(b"[" * 5000).decode().rstrip("=")  # too deep for a parser
    stranger = RSAKey.generate_key(2048, {"kid": "r"})
    for token in (
        f"{unsigned}.{body}.",
        f"{unsigned}.{body}.{mark}",
        signed(shared, "HS256"),  # what is public of the key as a shared secret
        signed(RSA, "RS512"),
        signed(RSA, "PS256"),
        signed(stranger),
        signed(kid="other"),
        signed(kid=None),  # there are two keys
        signed(EC, "ES256", "r"),
        f"{head}.{signed(sub='bob').split('.')[1]}.{mark}",
        f"{head}.{body}.",
        f"{head}.{body}",
        "..",
        f"{nested}.{body}.{mark}",
        f"{unsigned}.{nested}.{mark}",
        "é.é.é",
        good + "A" * 9000,
    ):
        assert subject(token) is None, token[:60]


def test_a_set_of_keys_keeps_only_strong_ones_for_signatures() -> None:
    listed = [RSA.as_dict(private=False), EC.as_dict(private=False), OctKey.generate_key(256, {"kid": "o"}).as_dict()]
    listed += [{**RSA.as_dict(private=False), "kid": "x", "use": "enc"}, ECKey.generate_key("P-384", {"kid": "p"}).as_dict()]
    assert set(parsed(json.dumps({"keys": listed}).encode(), "x")) == {"r", "e"}
    with pytest.raises(LungwiseError, match=r"^oidc_jwks must hold a key for RS256 or ES256, but x has none; correct it\.$"):
        parsed(json.dumps({"keys": listed[2:]}).encode(), "x")
    for bad in (b"", b"[]", b'{"keys": 3}', b'{"keys": [3]}', b'{"keys": [{"kty": "RSA"}]}'):
        with pytest.raises(LungwiseError, match=r"^oidc_jwks must be a set of keys \(RFC 7517\), but x is none; correct it\.$"):
            parsed(bad, "x")


def test_keys_are_fetched_seldom_and_changed_ones_are_found() -> None:
    now, asked, answers = [float(NOW)], [0], [key_set(RSA)]

    def fetch(address: str) -> bytes:
        assert address == "https://id.example.org/keys"
        asked[0] += 1
        if not answers[0]:
            raise ConnectionError
        return answers[0]

    async def scene() -> None:
        checks = Oidc(ISSUER, AUDIENCE, "https://id.example.org/keys", now=lambda: now[0], fetch=fetch)
        fresh: dict[str, Any] = {"exp": NOW + 10**6}
        for _ in range(5):
            assert await checks.subject(signed(**fresh)) == "alice"
        assert asked == [1]
        for number in range(5):  # names that nobody has do not make the service ask again and again
            assert await checks.subject(signed(kid=f"unknown{number}")) is None
        assert asked == [1]
        answers[0] = key_set(EC)
        now[0] += 61
        assert await checks.subject(signed(EC, "ES256", "e", **fresh)) == "alice"
        assert await checks.subject(signed(**fresh)) is None
        answers[0] = b""  # the issuer is down: its keys stay good for a day
        now[0] += 3600
        assert await checks.subject(signed(EC, "ES256", "e", **fresh)) == "alice"
        now[0] += 86_400
        assert await checks.subject(signed(EC, "ES256", "e", **fresh)) is None

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"oidc_jwks": None}, r"^oidc_issuer, oidc_audience and oidc_jwks go together, but only some are set; "),
        ({"oidc_jwks": "http://x/keys"}, r"^oidc_jwks must be an https address or a file, it is another address; "),
        ({"oidc_jwks": "/nowhere/keys"}, r"^oidc_jwks must be a file that can be read, but /nowhere/keys is not; "),
    ],
)
def test_wrong_settings_are_refused_at_start(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(LungwiseError, match=said):
        Access(Settings(**{"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE, "oidc_jwks": "x", **changes}))


def test_the_service_asks_for_such_a_token(serve: Serve, file: Path) -> None:
    client = serve(oidc_issuer=ISSUER, oidc_audience=AUDIENCE, oidc_jwks=str(file))
    good = {"authorization": f"bearer {signed(exp=4_000_000_000, nbf=None)}"}
    assert client.get("/v1/model", headers=good).status_code == 200
    late = client.get("/v1/model", headers={"authorization": f"Bearer {signed(exp=1_000_000_000, nbf=None)}"})
    assert (late.status_code, late.headers["www-authenticate"]) == (401, 'Bearer realm="lungwise", error="invalid_token"')
    assert client.get("/v1/model").status_code == 401
