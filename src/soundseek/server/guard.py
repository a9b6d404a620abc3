"""Who may ask: the checks that stand before every route, and the headers that every answer carries.

A page of another site, open in the same browser, can send requests here. Three things stop it: the `Host` must be a
name that this server goes by (so that a foreign name that resolves to this machine is refused), an `Origin` must be
this server's own, and away from loopback a token is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soundseek.server.problems import ProblemError, problem_response

API = "/api/"
COOKIE = "soundseek_session"
SIGN_IN = "/sign-in"
MAX_BODY_BYTES = 4 << 20  # of a request that is no upload
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: with it, browsers send `Origin: null` with a form, and the check below would refuse it.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "X-Frame-Options": "DENY",
}


def content_security_policy(style_nonce: str | None = None) -> str:
    """Nothing but this server's own files; no inline script, no foreign address.

    Args:
        style_nonce: Style elements that carry it are allowed: the waveform's drawing makes one.
    """
    style = f"'self' 'nonce-{style_nonce}'" if style_nonce else "'self'"
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            f"style-src {style}",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "font-src 'self'",
            "connect-src 'self' blob:",
            "worker-src 'self' blob:",
            "manifest-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address that a server binds to.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("nas.local")
    (True, True, False, False)
    """
    if host.lower() in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Access:
    """What a request must bring.

    Attributes:
        token: Without one, everybody who reaches the server may ask: for loopback alone.
        names: Host names that the server goes by, in lower case, beside addresses in digits.
        any_address: Every address in digits is a name of this server; else only those of loopback. No foreign site can
            make a browser send one of those as the `Host` of its own.
    """

    token: str | None = None
    names: frozenset[str] = _LOOPBACK_NAMES
    any_address: bool = False
    upload_path: str = "/api/v1/uploads"
    max_body_bytes: int = MAX_BODY_BYTES
    session: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        if self.token is not None:
            session = hmac.new(self.token.encode(), b"soundseek page", hashlib.sha256).hexdigest()
            object.__setattr__(self, "session", session)

    def knows_host(self, host: str) -> bool:
        """Whether `Host: name[:port]` names this server."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.any_address or address.is_loopback

    def knows_token(self, headers: Headers) -> bool:
        """Whether a request brings the token, in its header, or the session of the page in its cookie."""
        if self.token is None:
            return True
        scheme, _, brought = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(brought.strip(), self.token):
            return True
        return any(_same(value, self.session) for value in _cookies(headers, COOKIE))


class Guard:
    """The checks, as a layer around an app."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        send = _with_headers(send)
        try:
            self._check(scope)
        except ProblemError as error:
            await problem_response(error)(scope, receive, send)
            return
        headers, path = Headers(scope=scope), own_path(scope["path"])
        if self.access.token is not None:
            if path == SIGN_IN:
                response = await self._sign_in(scope, receive)
                await response(scope, receive, send)
                return
            if not self.access.knows_token(headers):
                await self._refuse(scope)(scope, receive, send)
                return
        if not path.startswith(self.access.upload_path):
            receive = _bounded(receive, self.access.max_body_bytes)
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.access.knows_host(hosts[0]):
            name = hosts[0] if len(hosts) == 1 else "(none, or several)"
            raise ProblemError(
                "host",
                f"this server does not go by the name {name[:200]!r}; use the address that `soundseek serve` printed, "
                "or start it with --name for that one",
            )
        is_safe = scope["method"] in SAFE_METHODS
        for origin in headers.getlist("origin"):
            if not _is_same_origin(origin, hosts[0]):
                raise ProblemError(
                    "origin",
                    f"the request comes from {origin[:200]!r}; open this server's own page and ask from there",
                )
        site = headers.get("sec-fetch-site", "none")
        is_visit = (
            is_safe
            and headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
            and not own_path(scope["path"]).startswith(API)
        )
        if site not in ("same-origin", "none") and not is_visit:
            raise ProblemError("origin", "the request comes from another site; open this server's own page")
        length = headers.get("content-length")
        is_upload = own_path(scope["path"]).startswith(self.access.upload_path)
        if length is not None and not is_upload and _number(length) > self.access.max_body_bytes:
            raise _too_large(self.access.max_body_bytes)

    def _refuse(self, scope: Scope) -> Response:
        if own_path(scope["path"]).startswith(API) or scope["method"] not in SAFE_METHODS:
            detail = (
                "send the server's token: `Authorization: Bearer TOKEN`; `soundseek serve` says where it lies"
            )
            return problem_response(
                ProblemError("token", detail, {"WWW-Authenticate": 'Bearer realm="soundseek"'})
            )
        return HTMLResponse(_SIGN_IN_PAGE.replace("{{said}}", ""), 401)

    async def _sign_in(self, scope: Scope, receive: Receive) -> Response:
        if scope["method"] != "POST":
            return RedirectResponse("/", 303)
        body = b""
        bounded = _bounded(receive, 4096)
        try:
            while True:
                message = await bounded()
                body += message.get("body", b"")
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    break
        except ProblemError as error:
            return problem_response(error)
        brought = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        if not _same(brought, self.access.token or ""):
            return HTMLResponse(
                _SIGN_IN_PAGE.replace("{{said}}", "<p role=alert>That is not the token.</p>"), 401
            )
        response = RedirectResponse("/", 303)
        response.set_cookie(COOKIE, self.access.session, httponly=True, samesite="strict", path="/")
        return response


def own_path(path: str) -> str:
    """A path as one library's app sees it.

    >>> own_path("/libraries/birds/api/v1/search"), own_path("/api/v1/search")
    ('/api/v1/search', '/api/v1/search')
    """
    return re.sub(r"^/libraries/[^/]+(?=/)", "", path)


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(32)


def _same(brought: str, wanted: str) -> bool:
    """Compare in a time that does not depend on where they differ, nor on how long they are."""
    pair = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (brought, wanted))
    return bool(wanted) and hmac.compare_digest(*pair)


def _cookies(headers: Headers, name: str) -> Iterable[str]:
    for line in headers.getlist("cookie"):
        for part in line.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                yield value.strip('"')


def _is_same_origin(origin: str, host: str) -> bool:
    try:
        split = urlsplit(origin)
    except ValueError:
        return False
    return split.scheme in ("http", "https") and split.netloc.lower() == host.lower()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 1 << 62


def _too_large(most: int) -> ProblemError:
    return ProblemError("too-large", f"a request may have {most:,} bytes; send less at once")


def _bounded(receive: Receive, most: int) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise _too_large(most)
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", content_security_policy())
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return with_headers


_SIGN_IN_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>soundseek</title></head>
<body>
<main>
<h1>soundseek</h1>
{{said}}
<form method="post" action="/sign-in">
<p><label for="token">Token, as <code>soundseek serve</code> printed it or as its file holds it</label></p>
<p><input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button></p>
</form>
</main>
</body>
</html>
"""
