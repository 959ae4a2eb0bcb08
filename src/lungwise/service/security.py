"""Who may ask what: the Host header, tokens, the Origin of a page, and how often; before any route sees a request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from lungwise.errors import LungwiseError
from lungwise.service.oidc import Oidc
from lungwise.service.problems import Problem
from lungwise.service.rates import Rates, network
from lungwise.service.settings import Settings
from lungwise.service.tokens import Tokens

PROBES = ("/v2/health/live", "/v2/health/ready", "/ping")
"""Asked by orchestrators under whatever name, without a token, as often as they like; the answers hold nothing."""
SAFE = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:@/\[\]]+)(:\d{1,5})?")


@dataclass(frozen=True)
class Identity:
    """Who asks.

    Args:
        kind: how that is known.
        name: the SHA-256 of a token, a subject, or an address. Never to be logged as it is.
    """

    kind: Literal["token", "oidc", "address"]
    name: str


class Access:
    """The rules of one service.

    Args:
        settings: what is accepted.
        oidc: checks JSON web tokens; by the settings.
        rates: counts requests; by the settings.

    Raises:
        LungwiseError: others could reach the service, but nothing would ask who they are; or a setting is not as it must be.
    """

    def __init__(self, settings: Settings, oidc: Oidc | None = None, rates: Rates | None = None) -> None:
        self._tokens = Tokens(settings.tokens, settings.tokens_file)
        self._oidc = oidc or Oidc.of(settings)
        self._rates = rates or Rates(settings.rate_per_minute, settings.rate_burst)
        self._hosts = {name.lower() for name in settings.hosts}
        if settings.host.strip("0.:"):  # 0.0.0.0 and :: are no names, though browsers take them for some
            self._hosts |= {settings.host.lower(), f"[{settings.host.lower()}]"}
        self.closed = bool(self._tokens or self._oidc)
        self._metrics_open = settings.metrics_open or not self.closed
        if not self.closed and not settings.loopback:
            raise LungwiseError(
                f"On an address that others can reach a service needs tokens or OIDC, but {settings.host} would be open to "
                "everybody; run lungwise serve --new-token and set LUNGWISE_TOKENS, or listen on 127.0.0.1."
            )
        if not self.closed and "*" in self._hosts:
            raise LungwiseError("hosts may be * only where tokens or OIDC are asked for, but none are set; list the names.")

    async def check(self, scope: Scope) -> None:
        """Find out who asks, for ``state["identity"]``, and whether the request may pass.

        Raises:
            Problem: "misdirected", "unauthorized", "rate-limit" or "forbidden".
        """
        headers, path, method = Headers(scope=scope), route_path(scope), scope["method"]
        who = Identity("address", network((scope.get("client") or ("unknown",))[0]))
        state = scope.setdefault("state", {})
        state["identity"] = who
        if path in PROBES and method in SAFE:
            return
        self._check_host(headers)
        token = _bearer(headers) if self.closed else None
        known = await self._known(token) if token else None
        state["identity"] = who = known or who
        if seconds := self._rates.wait(f"{who.kind}:{who.name}"):
            raise Problem("rate-limit", f"Too many requests in a short time; go on after {seconds} s.", retry_after=seconds)
        if self.closed and not known and not self._is_open(path, method):
            said = 'Bearer realm="lungwise"' + (', error="invalid_token"' if token else "")
            detail = "The token is not accepted; ask for another." if token else "A token is needed; send it as a bearer token."
            raise Problem("unauthorized", detail, headers={"WWW-Authenticate": said})
        if method not in SAFE:
            _check_origin(headers)

    def _check_host(self, headers: Headers) -> None:
        """A page on another name that was made to point here must not be able to ask (DNS rebinding)."""
        given = headers.getlist("host")
        if "*" not in self._hosts and (len(given) != 1 or _host_name(given[0]) not in self._hosts):
            raise Problem("misdirected", "The Host header names no host of this service; LUNGWISE_HOSTS lists them.")

    async def _known(self, token: str) -> Identity | None:
        if found := self._tokens.find(token):
            return Identity("token", found)
        subject = await self._oidc.subject(token) if self._oidc else None
        return Identity("oidc", subject) if subject is not None else None

    def _is_open(self, path: str, method: str) -> bool:
        """What is answered without a token: nothing of the model or of a reader, or an id that itself is the secret."""
        if method in SAFE:
            return path == "/" or path.startswith("/static/") or (path == "/metrics" and self._metrics_open)
        parts = path.split("/")
        return method == "POST" and len(parts) == 5 and parts[:3] == ["", "v1", "workspaces"] and parts[4] == "close"


class Guard:
    """ASGI middleware that lets only those pass who may.

    Args:
        app: what is behind it.
        access: the rules.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] == "http":
            try:
                await self._access.check(scope)
            except Problem as problem:
                await problem.response(Request(scope))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def route_path(scope: Scope) -> str:
    """The path below that of a reverse proxy: what routes are compared with."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path[len(root) :] or "/" if root and (path == root or path.startswith(f"{root}/")) else path


def _bearer(headers: Headers) -> str | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def _host_name(host: str) -> str:
    """The name without the port, in small letters; IPv6 keeps its brackets. Empty where it is none."""
    found = _HOST.fullmatch(host.lower())
    return found[1] if found else ""


def _check_origin(headers: Headers) -> None:
    """A browser names the page that asks; only the service's own may change anything. Other clients send no Origin."""
    given = headers.getlist("origin")
    if given and (len(given) > 1 or not _same(given[0], headers.get("host", ""))):
        raise Problem("forbidden", "A page of another origin must not change anything here; use the service's own page.")


def _same(origin: str, host: str) -> bool:
    try:
        page = urlsplit(origin)
        here = urlsplit(f"//{host}")
        usual = {"http": 80, "https": 443}.get(page.scheme)
        same = (page.hostname, page.port or usual) == (here.hostname, here.port or usual)
    except ValueError:
        return False
    return usual is not None and page.hostname is not None and same
