"""Where a library is: a folder, or the URI of an engine's server (or file)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, quote, unquote, urlsplit

from soundseek.errors import UsageError

Engine: TypeAlias = Literal["postgres", "milvus"]

SCHEMES: dict[str, Engine] = {"postgresql": "postgres", "postgres": "postgres", "milvus": "milvus"}
DEFAULT_NAME = "soundseek"
_SECRET = ("password", "sslpassword", "token")
_MOST_NAME = 40


def engine_of(location: str | Path) -> Engine | None:
    """The engine that a location names; None of a folder.

    >>> engine_of("postgresql://db.local/sounds"), engine_of("my sounds")
    ('postgres', None)
    """
    scheme, separator, _ = str(location).partition("://")
    return SCHEMES.get(scheme.lower()) if separator else None


def shown_location(location: str | Path) -> str:
    """A location for people: a URI without its password.

    >>> shown_location("postgresql://ada:secret@db.local/sounds")
    'postgresql://ada@db.local/sounds'
    """
    return EngineLocation.parse(str(location)).shown if engine_of(location) else str(location)


@dataclass(frozen=True)
class EngineLocation:
    """The URI of a library in an engine, in its parts.

    Attributes:
        uri: What the engine's client takes: without soundseek's own `library`.
        name: Which of the libraries there.
        shown: For people and messages: without a password.
        secrets: What no message may hold.
    """

    uri: str
    name: str
    shown: str
    secrets: tuple[str, ...]

    @classmethod
    def parse(cls, location: str) -> EngineLocation:
        """The parts of `postgresql://user:password@host/database?library=name`.

        Raises:
            UsageError: It is no URI, or the library's name cannot be one.
        """
        parts = _parts_of(location)
        asked = _query_of(parts)
        name = dict(asked).get("library", DEFAULT_NAME)
        if not (name.isascii() and name.isidentifier() and name == name.lower() and len(name) <= _MOST_NAME):
            raise UsageError(
                f"library={name} cannot name a library: use at most {_MOST_NAME} small letters, digits and _, and no "
                "digit at the front"
            )
        kept = [(key, value) for key, value in asked if key != "library"]
        hidden = [(key, value) for key, value in kept if key not in _SECRET]
        named = [("library", name)] if name != DEFAULT_NAME else []
        secrets = [parts.password or "", *(value for key, value in kept if key in _SECRET)]
        shown = _with(parts, _without_password(parts), [*hidden, *named])
        return cls(
            uri=_with(parts, parts.netloc, kept),
            name=name,
            shown=shown,
            secrets=tuple({each for secret in secrets if secret for each in (secret, unquote(secret))}),
        )

    def clean(self, text: object) -> str:
        """A message on one line, without secrets."""
        line = " ".join(str(text).split())
        for secret in self.secrets:
            line = line.replace(secret, "***")
        return line


def _without_password(parts: SplitResult) -> str:
    user, at, host = parts.netloc.rpartition("@")
    return f"{user.partition(':')[0]}{at}{host}"


def _parts_of(location: str) -> SplitResult:
    """A URI in its parts; what is said of one that is none holds nothing of it, since it may hold a password."""
    is_uri = False
    with suppress(ValueError):
        parts = urlsplit(location)
        # A password with /, # or ? ends the host too early, and the @ is behind it.
        behind = (parts.path, parts.fragment, *(key for key, _ in _query_of(parts)))
        is_uri = (parts.port is None or parts.port > 0) and not any("@" in each for each in behind)
    if not is_uri or parts.fragment:
        scheme = location.partition("://")[0]
        raise UsageError(
            f"--library {scheme}://… is no URI; write {scheme}://user@host:port/database, with a number for the port, "
            "and % and code for signs such as @, /, # and ? in a password"
        )
    return parts


def _query_of(parts: SplitResult) -> list[tuple[str, str]]:
    """What stands behind the `?`; a + is a +, as libpq reads it."""
    pairs = [each.partition("=") for each in parts.query.split("&") if each]
    return [(unquote(key), unquote(value)) for key, _, value in pairs]


def _with(parts: SplitResult, netloc: str, query: list[tuple[str, str]]) -> str:
    # urlunsplit drops the empty host of milvus:///folder/sounds.db
    asked = "&".join(f"{quote(key)}={quote(value)}" for key, value in query)
    return f"{parts.scheme}://{netloc}{parts.path}" + (f"?{asked}" if asked else "")
