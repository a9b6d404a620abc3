"""Where a library is: a folder, or the URI of an engine's server (or file)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from soundseek.errors import UsageError

Engine: TypeAlias = Literal["postgres", "milvus"]

SCHEMES: dict[str, Engine] = {"postgresql": "postgres", "postgres": "postgres", "milvus": "milvus"}
DEFAULT_NAME = "soundseek"
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
        try:
            parts = urlsplit(location)
            _ = parts.port
        except ValueError as error:
            # The URI may hold a password, which stands in no message.
            scheme = location.partition("://")[0]
            raise UsageError(
                f"--library {scheme}://… is no URI ({error}); write {scheme}://user@host:port/database, and % and code "
                "for signs such as @ and / in a password"
            ) from None
        asked = parse_qsl(parts.query, keep_blank_values=True)
        name = dict(asked).get("library", DEFAULT_NAME)
        if not (name.isascii() and name.isidentifier() and name == name.lower() and len(name) <= _MOST_NAME):
            raise UsageError(
                f"library={name} cannot name a library: use at most {_MOST_NAME} small letters, digits and _, and no "
                "digit at the front"
            )
        kept = [(key, value) for key, value in asked if key != "library"]
        hidden = [(key, value) for key, value in kept if key not in ("password", "token")]
        named = [("library", name)] if name != DEFAULT_NAME else []
        secrets = [parts.password or "", *(value for key, value in kept if key in ("password", "token"))]
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


def _with(parts: SplitResult, netloc: str, query: list[tuple[str, str]]) -> str:
    # urlunsplit drops the empty host of milvus:///folder/sounds.db
    asked = f"?{urlencode(query, safe='/')}" if query else ""
    return f"{parts.scheme}://{netloc}{parts.path}{asked}"
