"""PostgreSQL's own ways to fail, and the index that answers above a size."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from library.best_matches import best_matches
from library.engines import place_in, postgres_uri
from library.stores import (
    DIM,
    IDENTITY,
    sound_number,
    sound_of_vectors,
    unit_rows,
)

from soundseek.errors import LibraryError, UsageError
from soundseek.library.filters import parse_where
from soundseek.library.location import EngineLocation
from soundseek.library.store import open_store, postgres_changes, postgres_search
from soundseek.library.store.base import Changes, Failure, Question
from soundseek.library.store.postgres import PostgresStore
from soundseek.library.store.postgres_connection import (
    check_pgvector,
    create_library,
    has_vector_index,
    unreachable,
)
from soundseek.library.store.sqlite import SqliteStore


@pytest.fixture
def place(tmp_path: Path) -> Iterator[str]:
    with place_in("postgres", tmp_path) as location:
        yield location


@pytest.fixture
def store(place: str) -> Iterator[PostgresStore]:
    opened = PostgresStore.open(place, identity=IDENTITY)
    yield opened
    opened.close()


def server_pid(store: PostgresStore) -> int:
    return int(store._fetch("SELECT pg_backend_pid()")[0][0])


def run_sql(*statements: str) -> None:
    import psycopg

    with psycopg.connect(postgres_uri(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def end_connection(store: PostgresStore) -> None:
    run_sql(f"SELECT pg_terminate_backend({server_pid(store)})")


def test_a_connection_that_the_server_closed_is_made_again(store: PostgresStore) -> None:
    with store.writing():
        store.commit(Changes(sounds=[sound_number(1)]))
    end_connection(store)
    assert len(store.files()) == 1
    end_connection(store)
    with store.writing():
        store.commit(Changes(sounds=[sound_number(2)]))
    assert store.stats().files == 2


def test_a_connection_that_is_lost_in_the_middle_of_a_file_leaves_nothing_of_it(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.writing():
        store.commit(Changes(sounds=[sound_number(1)]))
    insert = postgres_changes.insert_sounds

    def cut_off(connection: object, sounds: object) -> None:
        insert(connection, sounds)  # type: ignore[arg-type]
        run_sql(f"SELECT pg_terminate_backend({connection.info.backend_pid})")  # type: ignore[attr-defined]

    with monkeypatch.context() as patch:
        patch.setattr(postgres_changes, "insert_sounds", cut_off)
        with (
            pytest.raises(LibraryError, match=r"has lost its connection .* run the same command again"),
            store.writing(),
        ):
            store.commit(Changes(sounds=[sound_number(1), sound_number(2)]))
    assert [file.path for file in store.files()] == [sound_number(1).file.path]
    assert store.check() == []
    with store.writing():  # the lock went with the connection
        store.commit(Changes(sounds=[sound_number(2)]))
    assert store.stats().files == 2


def test_another_process_that_writes_is_named(place: str, store: PostgresStore) -> None:
    other = PostgresStore.open(place)
    try:
        with (
            store.writing(),
            pytest.raises(LibraryError, match=r"being written by this process \(\d+\); wait"),
        ):
            other.writing().__enter__()
        with other.writing():
            pass
    finally:
        other.close()


def test_a_reason_with_a_zero_byte_is_kept(store: PostgresStore) -> None:
    with store.writing():
        store.commit(Changes(failures=[Failure("/a.wav", "codec 'x\0y' is not known", "2024")]))
    assert [each.reason for each in store.failures()] == ["codec 'x\ufffdy' is not known"]


def test_readers_see_whole_commits(place: str, store: PostgresStore) -> None:
    seen: list[int] = []
    reader = PostgresStore.open(place)
    is_done = threading.Event()

    def read() -> None:
        while not is_done.is_set():
            seen.append(len(best_matches(reader, np.eye(DIM, dtype=np.float32)[0], k=99)))

    thread = threading.Thread(target=read)
    thread.start()
    with store.writing():
        for first in range(0, 12, 3):
            store.commit(Changes(sounds=[sound_number(number) for number in range(first, first + 3)]))
    is_done.set()
    thread.join()
    reader.close()
    assert set(seen) <= {0, 3, 6, 9, 12}


def with_user(uri: str, user: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{user}@{parts.path}?{parts.query}"


def test_the_server_refuses_a_user_a_database_and_a_right(place: str, store: PostgresStore) -> None:
    run_sql("DROP ROLE IF EXISTS visitor", "CREATE ROLE visitor LOGIN PASSWORD 'pass'")
    stranger, visitor = with_user(place, "stranger:secret"), with_user(place, "visitor:secret")
    with pytest.raises(LibraryError, match=r"does not know the user .* name another before the @"):
        open_store(stranger, identity=None, create=False)
    with pytest.raises(LibraryError, match=r"is in no database .*createdb"):
        open_store(place.replace("/postgres?", "/nowhere?"), identity=None, create=False)
    with pytest.raises(LibraryError, match=r"may|permission denied") as caught:
        open_store(visitor, identity=None, create=False)
    assert "secret" not in str(caught.value) and "GRANT" in str(caught.value)


def test_a_password_that_is_refused_has_its_next_step() -> None:
    what, advice = unreachable('FATAL: password authentication failed for user "ada"')
    assert "refuses the user" in what and "~/.pgpass" in advice


def test_a_message_holds_no_password() -> None:
    place = EngineLocation.parse("postgresql://ada:p%40ss@db/sounds?library=foley&password=other")
    assert (place.name, place.shown) == ("foley", "postgresql://ada@db/sounds?library=foley")
    assert place.clean("p@ss, p%40ss\nand other") == "***, *** and ***"


@pytest.mark.parametrize(
    "password", ["top/secret", "12/secret", "top#secret", "12#secret", "12?secret", "top[secret"]
)
def test_a_password_with_a_sign_that_ends_the_host_is_in_no_message(password: str) -> None:
    with pytest.raises(UsageError, match=r"is no URI.* in a password") as caught:
        EngineLocation.parse(f"postgresql://ada:{password}@db/sounds")
    assert "secret" not in str(caught.value) and "top" not in str(caught.value)


def test_what_libpq_is_asked_for_reaches_it_letter_by_letter() -> None:
    conninfo = pytest.importorskip("psycopg.conninfo")
    asked = "options=-c%20statement_timeout%3D5s&password=a+b%2Bc&sslpassword=of%20the%20key"
    place = EngineLocation.parse(f"postgresql://ada@db/sounds?{asked}")
    given = conninfo.conninfo_to_dict(place.uri)
    assert (given["options"], given["password"]) == ("-c statement_timeout=5s", "a+b+c")
    assert place.clean("a+b+c, of the key") == "***, ***" and "key" not in place.shown


def test_somebody_elses_tables_stay_as_they_are(place: str) -> None:
    name = EngineLocation.parse(place).name
    run_sql(f'CREATE SCHEMA "{name}"', f'CREATE TABLE "{name}".files (id integer)')
    for create in (True, False):
        with pytest.raises(LibraryError, match=r"not soundseek's \(files\); .*\?library=NAME"):
            PostgresStore.open(place, identity=IDENTITY, create=create)


@pytest.mark.parametrize(
    ("version", "is_enough"), [("0.7.4", False), ("0.8.0", True), ("0.8.5", True), ("1.0", True)]
)
def test_an_old_pgvector_is_refused(version: str, is_enough: bool) -> None:
    place = EngineLocation.parse("postgresql://db/sounds")
    if is_enough:
        check_pgvector(place, version)
        return
    with pytest.raises(
        LibraryError, match=r"pgvector 0\.7\.4, and soundseek needs 0\.8\.0 .* ALTER EXTENSION"
    ):
        check_pgvector(place, version)


def test_a_server_without_pgvector_says_how_it_comes_there(place: str) -> None:
    import psycopg

    class WithoutPgvector:
        """A connection to a server whose extensions are other ones."""

        def execute(self, sql: str, *values: object) -> object:
            if sql.startswith("CREATE EXTENSION"):
                raise psycopg.errors.FeatureNotSupported('extension "vector" is not available')
            return self

        def fetchone(self) -> None:
            return None

    with pytest.raises(
        LibraryError, match=r'has no pgvector \(extension "vector" is not available\); install it'
    ):
        create_library(WithoutPgvector(), EngineLocation.parse(place), IDENTITY)  # type: ignore[arg-type]


def test_above_a_size_an_index_answers_and_narrow_filters_stay_exact(
    store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_search, "EXACT_SEGMENTS", 400)
    generator = np.random.default_rng(3)
    vectors = unit_rows(generator, 1200)
    sounds = [
        sound_of_vectors(f"/{n}.wav", vectors[3 * n : 3 * n + 3], duration_s=float(n % 20))
        for n in range(400)
    ]
    exact = SqliteStore.open(tmp_path / "exact", identity=IDENTITY)
    for each in (store, exact):
        with each.writing():
            each.commit(Changes(sounds=sounds))
            each.finish_run("2026-01-01T00:00:00+00:00")
    assert has_vector_index(store._connection())
    hits = total = 0
    for where in (None, parse_where("duration < 10"), parse_where("duration < 1")):
        for query in unit_rows(generator, 10):
            ours = [match.file.path for match in best_matches(store, query, k=10, where=where)]
            truth = [match.file.path for match in best_matches(exact, query, k=10, where=where)]
            if where == parse_where("duration < 1"):
                assert ours == truth
            hits, total = hits + len(set(ours) & set(truth)), total + len(truth)
            short = store.shortlist(Question(query, where), segments=20, files=20)
            assert {match.file.path for match in short} >= set(ours[:5])
    exact.close()
    assert hits >= 0.95 * total


def test_a_long_file_is_looked_at_though_hundreds_come_before_it(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_search, "EXACT_SEGMENTS", 100)
    generator = np.random.default_rng(4)
    east = np.eye(DIM, dtype=np.float32)[0]
    near = east + 0.1 * generator.standard_normal((300, DIM)).astype(np.float32)
    far = unit_rows(generator, 20) - 2 * east
    with store.writing():
        store.commit(
            Changes(
                sounds=[
                    *(sound_of_vectors(f"/{n}.wav", near[[n]]) for n in range(300)),
                    sound_of_vectors("/long.wav", far),
                ]
            )
        )
        store.compact()
    found = [match.file.path for match in store.shortlist(Question(east), segments=10, files=10)]
    assert found.count("/long.wav") == 4 and len(found) == 14
