"""PostgreSQL's own ways to fail, and the index that answers above a size."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from library.engines import place_in, postgres_uri
from library.stores import (
    DIM,
    IDENTITY,
    sound_file,
    sound_from_frames,
    sound_number,
    sound_of_vectors,
    unit_rows,
)

from soundseek.errors import LibraryError, UsageError
from soundseek.library.filters import parse_where
from soundseek.library.location import EngineLocation
from soundseek.library.store import open_store, postgres_changes, postgres_search
from soundseek.library.store.base import Changes, Failure, NoLibraryError
from soundseek.library.store.fused import NameQuery
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
            seen.append(len(reader.search(np.eye(DIM, dtype=np.float32)[0], k=99)))

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


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (
            "postgresql://ada:secret@127.0.0.1:1/sounds",
            "ada@127.0.0.1:1/sounds cannot be reached .* server running",
        ),
        ("postgresql://ada:secret@h:port/sounds", "is no URI"),
        ("postgresql://ada:secret@127.0.0.1:1/sounds?nonsense=1", "nonsense"),
        ("postgresql://ada:secret@127.0.0.1:1/sounds?library=No", "library=No cannot name a library"),
    ],
)
def test_what_is_wrong_with_a_location_is_said_without_its_password(location: str, message: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises((LibraryError, UsageError), match=message) as caught:
        open_store(location, identity=IDENTITY, create=True)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


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


def test_where_there_is_no_library_none_is_made_by_reading(place: str) -> None:
    with pytest.raises(NoLibraryError, match="holds no library yet; make one with: soundseek index FOLDER"):
        PostgresStore.open(place, identity=IDENTITY, create=False)


def test_another_models_vectors_are_refused(place: str, store: PostgresStore) -> None:
    with pytest.raises(LibraryError, match=r"not by other .* another library of the engine: \?library=NAME"):
        PostgresStore.open(place, identity=replace(IDENTITY, name="other", fingerprint="f" * 12))


def test_damage_is_found_and_mended(store: PostgresStore) -> None:
    with store.writing():
        store.commit(Changes(sounds=[sound_number(number) for number in range(4, 8)]))
    assert store.check() == []
    wrong = "[" + ",".join(["0.5"] * 4 + ["-0.5"] * 4) + "]"
    with store._transaction() as connection:
        one, two, three = (
            f"file_id = (SELECT id FROM files WHERE path = '/sounds/00000{number}.wav')"
            for number in (4, 5, 6)
        )
        connection.execute(f"UPDATE segments SET vector = '{wrong}' WHERE {one}")
        connection.execute(f"DELETE FROM segments WHERE {two} AND number = 1")
        connection.execute(f"UPDATE frames SET frames = substring(frames FROM 2) WHERE {three}")
    damages = store.check()
    assert [(each.path[-5], each.is_sound) for each in damages] == [("4", True), ("5", True), ("6", True)]
    assert "length of one" in damages[0].what and "missing" in damages[1].what and "read" in damages[2].what
    with store.writing():
        assert store.repair(damages) == 3
    assert store.check() == [] and [file.path for file in store.files()] == ["/sounds/000007.wav"]


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
            ours = [match.file.path for match in store.search(query, k=10, where=where)]
            truth = [match.file.path for match in exact.search(query, k=10, where=where)]
            if where == parse_where("duration < 1"):
                assert ours == truth
            hits, total = hits + len(set(ours) & set(truth)), total + len(truth)
            short = store.shortlist(query, segments=20, files=20, where=where)
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
    found = [match.file.path for match in store.shortlist(east, segments=10, files=10)]
    assert found.count("/long.wav") == 4 and len(found) == 14


def test_frames_of_a_segment_are_read_out_of_a_long_file(store: PostgresStore) -> None:
    generator = np.random.default_rng(5)
    frames = generator.standard_normal((1000, DIM)).astype(np.float32)
    spans = [(0, 10), (250, 262), (256, 512), (990, 1000), (100, 800)]
    with store.writing():
        store.commit(Changes(sounds=[sound_from_frames(sound_file("/long.wav"), frames, spans)]))
    found = store.search(np.eye(DIM, dtype=np.float32)[0], k=9, per="segment")
    by_start = {match.start_s: match.frames for match in found}
    for first, last in spans:
        np.testing.assert_array_equal(by_start[first * 0.5], frames[first:last].astype(np.float16))


def test_names_count_as_they_do_in_a_folder(store: PostgresStore, tmp_path: Path) -> None:
    generator = np.random.default_rng(6)
    names = [
        "DOORWood_OldCellarDoor_ZOOM0746",
        "cellar rain",
        "doors 12",
        "rain 12",
        "other",
        "scene 12 door",
    ]
    sounds = [
        sound_of_vectors(f"/s/{name}.wav", vectors)
        for name, vectors in zip(names, unit_rows(generator, 12).reshape(6, 2, DIM), strict=True)
    ]
    folder = SqliteStore.open(tmp_path / "folder", identity=IDENTITY)
    for each in (store, folder):
        with each.writing():
            each.commit(Changes(sounds=sounds))
    for typed, is_all in (
        ("an old cellar door", False),
        ("door 12", False),
        ("cellar rain", False),
        ("door", True),
        ("zoom0746", True),
        ("nothing of it", False),
    ):
        query, asked = unit_rows(generator, 1)[0], NameQuery(typed, (typed,), is_all)
        ours, theirs = (
            [
                (m.file.path, m.start_s, round(m.bonus, 5), m.keywords, round(m.score, 5))
                for m in each.shortlist(query, segments=4, files=3, names=asked)
            ]
            for each in (store, folder)
        )
        assert ours == theirs, typed
    folder.close()
