"""How a process comes to a library in PostgreSQL: a connection, its tables, who writes, and what errors mean."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from soundseek._install import install_command
from soundseek.errors import LibraryError, UsageError
from soundseek.library.location import EngineLocation
from soundseek.library.store import postgres_tables as tables
from soundseek.library.store.base import ModelIdentity, about_library

if TYPE_CHECKING:
    from psycopg import Connection

LEAST_PGVECTOR = (0, 8, 0)
"""The first version whose index scan goes on until enough rows pass a filter."""
ADVISORY_CLASS = 0x736E64  # "snd": the first half of the key of the lock, the second is the schema's number
CONNECT_TIMEOUT_S = 10


def connect_to_postgres(place: EngineLocation) -> Connection[Any]:
    """A connection whose tables are those of the library, where there is one.

    Raises:
        UsageError: psycopg is not installed.
        LibraryError: The server cannot be reached, or refuses the user.
    """
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(
            f"a library in PostgreSQL needs psycopg ({error}); install it with: {install_command('postgres')}"
        ) from error
    from psycopg.conninfo import conninfo_to_dict

    try:
        asked: dict[str, Any] = {**conninfo_to_dict(place.uri)}
    except psycopg.ProgrammingError as error:
        raise UsageError(
            f"--library {place.shown}: {place.clean(error)}; write postgresql://user@host:port/database?library=name"
        ) from None
    asked.setdefault("connect_timeout", CONNECT_TIMEOUT_S)
    asked["application_name"] = f"soundseek {os.getpid()} on {socket.gethostname()}"[:63]
    with explained_by_postgres(place):
        connection: Connection[Any] = psycopg.connect(**asked, autocommit=True)
        try:
            home = connection.execute(
                "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'"
            ).fetchone()
            path = [place.name, *([home[0]] if home else [])]
            connection.execute(
                "SELECT set_config('search_path', %s, false)", (", ".join(f'"{each}"' for each in path),)
            )
            # Rows of soundseek and nobody else: a filter of the server's own would lose hits without a word.
            connection.execute("SET row_security = off")
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def explained_by_postgres(place: EngineLocation) -> Iterator[None]:
    """Say which library, and what to do, where PostgreSQL says only what; no message holds a password."""
    import psycopg
    from psycopg import errors

    try:
        yield
    except psycopg.Error as error:
        said = place.clean(error) or type(error).__name__
        advice = "look into the server's log"
        what = "cannot be used"
        if isinstance(error, errors.InsufficientPrivilege):
            advice = "let the database's owner give this user the right (GRANT), or use another user"
        elif isinstance(error, (errors.DiskFull, errors.OutOfMemory, errors.TooManyConnections)):
            advice = "make room on the server, or let its owner raise the limit, and run the same again"
        elif isinstance(error, errors.UndefinedTable | errors.UndefinedColumn | errors.UndefinedObject):
            advice = "it was removed or changed meanwhile: index the sounds again"
        elif isinstance(error, psycopg.OperationalError):
            what, advice = unreachable(said)
        raise LibraryError(f"the library {place.shown} {what} ({said}); {advice}") from None


def unreachable(said: str) -> tuple[str, str]:
    """What an error of a connection means, and what to do."""
    if any(
        sign in said for sign in ("password authentication failed", "no password supplied", "pg_hba.conf")
    ):
        return (
            "cannot be opened: the server refuses the user",
            "put the right password into ~/.pgpass or PGPASSWORD, and the right user before the @ of the URI",
        )
    if "role" in said and "does not exist" in said:
        return "cannot be opened: the server does not know the user", "name another before the @ of the URI"
    if "database" in said and "does not exist" in said:
        return "is in no database", "make it (createdb NAME), or name another behind the host of the URI"
    if any(
        sign in said
        for sign in (
            "Connection refused",
            "could not translate",
            "timeout",
            "No such file",
            "failed to resolve",
            "Name or",
        )
    ):
        return "cannot be reached", "is the server running, and are host and port of the URI right?"
    return (
        "has lost its connection",
        "what was committed is kept, and nothing of the rest: run the same command again",
    )


def read_library(connection: Connection[Any], place: EngineLocation) -> dict[str, str] | None:
    """Format and model of a library; None where there is none.

    Raises:
        LibraryError: The schema holds tables of somebody else.
    """
    names = {
        name
        for (name,) in connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s) "
            "AND relkind IN ('r', 'v', 'm', 'p', 'f')",
            (place.name,),
        )
    }
    if not names:
        return None
    about: dict[str, str] = {}
    if {"about", "state", "files", "segments", "frames"} <= names:
        from psycopg import errors, sql

        # By its whole name: of a schema that this user may not use, the server says so.
        select = sql.SQL("SELECT key, value FROM {}.about").format(sql.Identifier(place.name))
        with suppress(errors.UndefinedColumn):
            about = dict(connection.execute(select).fetchall())
    if not {"format", "name", "fingerprint", "dim", "source"} <= set(about):
        few = ", ".join(sorted(names)[:3])
        raise LibraryError(
            f"the schema {place.name} of {place.shown} holds tables that are not soundseek's ({few}); name another one "
            "behind the database: ?library=NAME"
        )
    return about


def create_library(connection: Connection[Any], place: EngineLocation, identity: ModelIdentity) -> None:
    """Make an empty library of this model, unless somebody else makes it at this moment.

    Raises:
        LibraryError: The server has no pgvector, or one that is too old.
    """
    from psycopg import errors, sql

    have = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    if have is None:
        try:
            connection.execute("CREATE EXTENSION vector SCHEMA public")
        except (errors.UndefinedFile, errors.FeatureNotSupported) as error:
            raise LibraryError(
                f"{place.shown} has no pgvector ({place.clean(error).split(' DETAIL')[0]}); install it on the server "
                "(Debian: postgresql-NN-pgvector) and run the same again"
            ) from None
        except errors.InsufficientPrivilege:
            raise LibraryError(
                f"{place.shown} has no pgvector in this database, and this user may not add it; let an administrator "
                "run there: CREATE EXTENSION vector"
            ) from None
        except errors.UniqueViolation:  # somebody else made it at this moment
            pass
        have = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    check_pgvector(place, str(have[0]) if have else "0")
    home = fetch_one(
        connection,
        "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'",
    )
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (ADVISORY_CLASS,))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(place.name)))
        connection.execute("SELECT set_config('search_path', %s, false)", (f'"{place.name}", "{home}"',))
        if read_library(connection, place) is not None:
            return
        connection.execute(tables.TABLES.format(dim=identity.dim))
        about = about_library(identity, tables.FORMAT)
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO about VALUES (%s, %s)", list(about.items()))


def check_pgvector(place: EngineLocation, version: str) -> None:
    """Raise a LibraryError over a pgvector that is too old."""
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < LEAST_PGVECTOR:
        least = ".".join(map(str, LEAST_PGVECTOR))
        raise LibraryError(
            f"{place.shown} has pgvector {version}, and soundseek needs {least} or later; install it on the server, "
            "and run in this database: ALTER EXTENSION vector UPDATE"
        )


def holder_of_lock(connection: Connection[Any], lock: tuple[int, int]) -> str:
    """Who holds an advisory lock: "this process (4711)", "process 4711 on studio (10.0.0.3)"."""
    row = connection.execute(
        "SELECT application_name, host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND classid = %s AND objid = %s::bigint & 4294967295 AND granted "
        # Libraries of one name in several databases of a server have one key.
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        lock,
    ).fetchone()
    if row is None:
        return "another process"
    name, address = row
    number, _, host = name.removeprefix("soundseek ").partition(" on ")
    if number == str(os.getpid()) and host and socket.gethostname().startswith(host):
        return f"this process ({number})"
    return f"process {number} on {host}" + (f" ({address})" if address else "")


def fetch_row(connection: Connection[Any], sql: str, values: Sequence[object] = ()) -> tuple[Any, ...]:
    """The first row; nothing of a statement that has none."""
    return connection.execute(sql, values).fetchone() or ()


def fetch_one(connection: Connection[Any], sql: str, values: Sequence[object] = ()) -> Any:
    """The first value of the first row; None where there is none."""
    return next(iter(fetch_row(connection, sql, values)), None)


def has_vector_index(connection: Connection[Any]) -> bool:
    """Whether the index of the vectors is there, and whole."""
    return bool(
        fetch_one(
            connection,
            "SELECT indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relname = %s "
            "AND relnamespace = current_schema()::regnamespace",
            (tables.VECTOR_INDEX,),
        )
    )
