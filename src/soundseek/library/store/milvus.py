"""A library in Milvus: on a server for very many vectors, or in a file with Milvus Lite.

Milvus has no transactions: each sound is kept whole or not at all, since its segments count once its file's row names
them; a run that was killed between two sounds of a commit has some of them, and the next one goes on. Its index is
approximate. Neither has Milvus locks: a note says who writes, and two writers that start in the same moment both do.
What lies where is told in `milvus_rows.py`.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import socket
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np

from soundseek._install import install_command
from soundseek._typing import AnyFloatArray
from soundseek._vectors import unit_rows
from soundseek.audio.files import TAGS_REVISION
from soundseek.errors import LibraryError, UsageError
from soundseek.library.filters import Condition
from soundseek.library.keywords import name_token
from soundseek.library.location import EngineLocation
from soundseek.library.paths import is_at_or_below, moved_below
from soundseek.library.store import milvus_rows as rows
from soundseek.library.store.base import (
    Changes,
    Damage,
    EmbeddedSound,
    Facets,
    Failure,
    FileOrder,
    FileState,
    Match,
    ModelIdentity,
    NoLibraryError,
    Per,
    SoundFile,
    StoreStats,
    check_identity,
    check_sound,
)
from soundseek.library.store.check import wrong_with
from soundseek.library.store.exact import LONG_FILE, OF_A_LONG_FILE, SPARE_GROUPS
from soundseek.library.store.fused import (
    ALL_WORDS_BONUS,
    EXACT_BONUS,
    MANY_FILES,
    MOST_ADDED,
    NAME_WEIGHT,
    NameQuery,
    name_query_words,
    order_with_bonuses,
    word_weight,
)
from soundseek.library.store.rows import SEGMENT_DTYPE
from soundseek.library.store.side_tables import script_to_make, tables_beside
from soundseek.library.store.terms import terms_of_word

if TYPE_CHECKING:
    import sqlite3

# In the order in which they are made: a library is one once its notes say with which model.
_KINDS = ("notes", "segments", "frames", "files")
_PARTITIONS = 16
_INDEX = {"index_type": "HNSW", "metric_type": "IP", "params": {"M": 24, "efConstruction": 300}}
_LEAST_EF = 400
_ROWS_A_CALL = 500
_FRAME_ROWS_A_CALL = 150
_TIMEOUT_S = 10.0
_STALE_S = 600.0
_OF_A_SEGMENT = ["file_id", "number", "start_s", "end_s", "first_frame", "last_frame", "vector"]
_writers: dict[str, int] = {}
_writers_mutex = threading.Lock()


class MilvusStore:
    """The vectors and facts of a library in Milvus: one writer at a time, any number of readers.

    Make it with `MilvusStore.open`.
    """

    def __init__(self, place: EngineLocation, client: Any, identity: ModelIdentity) -> None:
        self._place = place
        self._client = client
        self._identity = identity
        self._writer: int | None = None

    @classmethod
    def open(
        cls, location: str, *, identity: ModelIdentity | None = None, create: bool = True
    ) -> MilvusStore:
        """The library at a location.

        Args:
            location: `milvus://user:password@host:19530/database?library=name`, or with no host the file of Milvus
                Lite: `milvus:///home/ada/sounds.db`.
            identity: The model to be used with it; None takes whichever filled it.
            create: Make its Milvus collections where there are none (needs `identity`).

        Raises:
            UsageError: pymilvus is not installed, or the URI cannot be understood.
            LibraryError: The server cannot be reached or refuses the user; there is no library, somebody else's
                collections are in its place, or another model filled it.
        """
        place = EngineLocation.parse(location)
        missing = NoLibraryError(
            f"{place.shown} holds no library yet; make one with: soundseek index FOLDER --library "
            f"{shlex.quote(place.shown)}"
        )
        if (
            _lite_file(place) is not None
            and not Path(str(_lite_file(place))).exists()
            and not (create and identity)
        ):
            raise missing
        client = _connect(place)
        with _explained(place):
            about = _read_about(client, place)
            if about is None and create and identity is not None:
                _create(client, place, identity)
                about = _read_about(client, place)
        if about is None:
            raise missing
        if about["format"] != rows.FORMAT:
            raise LibraryError(
                f"{place.shown} has library format {about['format']}, this soundseek reads {rows.FORMAT}; update "
                "soundseek, or index the sounds into another library: ?library=NAME"
            )
        stored = ModelIdentity(about["name"], about["fingerprint"], int(about["dim"]), about["source"])
        if identity is not None:
            check_identity(place.shown, stored, identity)
        return cls(place, client, stored)

    @property
    def location(self) -> str:
        """Its URI without a password."""
        return self._place.shown

    @property
    def identity(self) -> ModelIdentity:
        """The model that filled it."""
        return self._identity

    @property
    def compacts_by(self) -> str:
        """What `compact` does here."""
        return "segments and frames that no file has any more were deleted, and Milvus was asked to compact"

    def use_model(self, identity: ModelIdentity) -> None:
        """Note that another model searches here from now on; see `Store`."""
        check_identity(self.location, self._identity, identity)
        with self.writing():
            self._put_notes({f"setting/{key}": getattr(identity, key) for key in ("name", "source")})
        self._identity = replace(self._identity, name=identity.name, source=identity.source)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write, as far as Milvus lets anybody; what a killed run left behind goes first."""
        with _writers_mutex:
            here = self.location in _writers
            holder = f"this process ({os.getpid()})" if here else self._other_writer(_own_name())
            if holder:
                raise LibraryError(
                    f"{self.location} is being written by {holder}; wait until it is done, or stop it. Searching still "
                    "works"
                )
            _writers[self.location] = threading.get_ident()
        self._writer = threading.get_ident()
        try:
            self._put_notes(_note_of_writer())
            self._drop_unfinished()
            yield
        finally:
            self._writer = None
            with _writers_mutex:
                _writers.pop(self.location, None)
            with suppress(LibraryError):
                self._delete("notes", 'id == "writer"')

    def commit(self, changes: Changes) -> None:
        """Apply `changes`, each sound whole or not at all."""
        self._need_lock()
        for sound in changes.sounds:
            check_sound(sound, self._identity.dim)
        with _explained(self._place):
            self._apply(changes)

    def finish_run(self, seen_at: str) -> None:
        """Note when a run ended."""
        self._need_lock()
        self._put_notes({"last_indexed": seen_at})

    def relocate(self, old: str, new: str) -> int:
        """Let everything at or below a path be at another one; see `Store`."""
        self._need_lock()
        moved = list(self.states(old))
        renamed = {path: moved_below(path, old, new) for path in moved}
        with _explained(self._place):
            known = {row["path"]: row for row in self._rows_of(moved)}
            places = set(renamed.values())
            replaced = list(places.difference(moved))
            self._delete_notes([f"failure/{rows.hex_path(path)}" for path in replaced])
            self._forget(replaced)
            # Segments and frames go once no file's row names them: the new places are written first.
            for path in moved:
                row = known[rows.hex_path(path)]
                self._write_again(row, replace(rows.file_of_text(row["facts"]), path=renamed[path]))
            self._forget([path for path in moved if path not in places])
            self._drop_of_rows(list(known.values()))
            failures = self.failures(old)
            roots = {path: device for path, device in self.roots().items() if is_at_or_below(path, old)}
            self._delete_notes([f"failure/{rows.hex_path(f.path)}" for f in failures])
            self._delete_notes([f"root/{rows.hex_path(path)}" for path in roots])
            self._put_failures([replace(f, path=moved_below(f.path, old, new)) for f in failures])
            self._put_roots({moved_below(path, old, new): device for path, device in roots.items()})
            self._next_version()
        return len(moved)

    def compact(self, *, dead_share: float = 0.3) -> bool:
        """Delete what no file has any more, where that is asked for whatever the share; Milvus compacts in its time."""
        self._need_lock()
        if dead_share > 0:
            return False
        with _explained(self._place):
            known = {row["file_id"] for row in self._all("files", "", ["file_id"])}
            used = {row["frames_id"] for row in self._all("files", "", ["frames_id"])}
            for kind, kept in (("segments", known), ("frames", used)):
                lost = {row["file_id"] for row in self._all(kind, "", ["file_id"])} - kept
                self._delete_of(kind, sorted(lost))
            for kind in _KINDS:
                with suppress(Exception):  # Milvus Lite compacts by itself
                    self._client.compact(self._name(kind))
        return True

    def check(self) -> list[Damage]:
        """Everything in the library that is not as it was written; every vector and frame is read."""
        found = []
        with _explained(self._place):
            for row in sorted(self._all("files", "", ["*"]), key=lambda row: str(row["path"])):
                if what := self._wrong_with(row):
                    path = os.fsdecode(bytes.fromhex(row["path"]))
                    found.append(Damage(path, what, is_sound=True))
        return found

    def repair(self, damages: Sequence[Damage]) -> int:
        """Drop damaged sounds and their rows; see `Store`."""
        dropped = [damage.path for damage in damages if damage.is_sound]
        self.commit(Changes(removed=dropped))
        return len(dropped)

    def states(self, under: str) -> dict[str, FileState]:
        """Path -> state of the files at or below a path."""
        found = {}
        for row in self._all("files", _at_or_below(under), ["facts", "volume", "revision"]):
            file = rows.file_of_text(row["facts"])
            limit_s = file.limit_s if file.truncated else 0.0
            is_described = file.description is not None and row["revision"] >= TAGS_REVISION
            found[file.path] = FileState(file.size_bytes, file.mtime_ns, limit_s, row["volume"], is_described)
        return found

    def failures(self, under: str | None = None) -> list[Failure]:
        """Failures at or below a path, or all."""
        found = [_failure_of(value) for value in self._notes("failure/").values()]
        kept = [each for each in found if under is None or is_at_or_below(each.path, under)]
        return sorted(kept, key=lambda failure: os.fsencode(failure.path))

    def settings(self) -> dict[str, str]:
        """What the library remembers of its runs, by name."""
        return {key.removeprefix("setting/"): value for key, value in self._notes("setting/").items()}

    def roots(self) -> Mapping[str, int]:
        """Scanned folders -> the device number that each had."""
        return {_path_in(key): int(device) for key, device in self._notes("root/").items()}

    def sizes(self) -> set[int]:
        """Every file size."""
        return {row["size_bytes"] for row in self._all("files", "", ["size_bytes"])}

    def has_size(self, size_bytes: int) -> bool:
        """Whether a file has this size."""
        return bool(self._query("files", f"size_bytes == {size_bytes}", ["path"], limit=1))

    def same_content(self, content_hash: bytes) -> list[SoundFile]:
        """Files with this content, ordered by path."""
        return self._files(f'content_hash == "{content_hash.hex()}"')

    def twin(self, content_hash: bytes, limit_s: float) -> SoundFile | None:
        """One file with this content, embedded whole or at least up to `limit_s`."""
        same = self.same_content(content_hash)
        return next((file for file in same if file.suffices(limit_s)), None)

    def copies(self, content_hash: bytes) -> list[str]:
        """Paths of the files with this content, in order."""
        return [file.path for file in self.same_content(content_hash)]

    def contents(self, paths: Iterable[str], limit_s: float) -> dict[str, bytes]:
        """Path -> hash of the content, of those files that are embedded whole or at least up to `limit_s`."""
        found = [rows.file_of_text(row["facts"]) for row in self._rows_of(list(paths))]
        return {file.path: file.content_hash for file in found if file.suffices(limit_s)}

    def cut_files(self) -> list[SoundFile]:
        """Files of which only the beginning was embedded, ordered by path."""
        return self._files("truncated == true")

    def file(self, path: str) -> SoundFile | None:
        """What is known of one file."""
        row = next(iter(self._rows_of([path])), None)
        return rows.file_of_text(row["facts"]) if row is not None else None

    def files(
        self, where: Condition | None = None, *, order: FileOrder = "path", k: int = -1, offset: int = 0
    ) -> list[SoundFile]:
        """At most `k` files (all if negative) that fulfil a condition; all of these come from the server."""
        found = self._files(rows.expression(where) if where is not None else "")
        if order == "modified":
            found.sort(key=lambda file: -file.mtime_ns)
        elif order == "duration":
            found.sort(key=lambda file: -file.duration_s)
        return found[offset : None if k < 0 else offset + k]

    def count(
        self, where: Condition | None = None, *, only: Collection[str] | None = None
    ) -> tuple[int, int]:
        """Files that fulfil a condition (of some paths, or of all), and their segments."""
        asked = _allowed(where, (), only)
        if asked is None:
            return 0, 0
        num_rows = [row["num_rows"] for row in self._all("files", asked, ["num_rows"])]
        return len(num_rows), sum(num_rows)

    def read(self, path: str) -> EmbeddedSound | None:
        """All of one file."""
        row = next(iter(self._rows_of([path])), None)
        return self._sound_of(row) if row is not None else None

    def vectors(self, path: str) -> tuple[AnyFloatArray, AnyFloatArray] | None:
        """Times and vectors of one file."""
        row = next(iter(self._rows_of([path])), None)
        if row is None:
            return None
        found = self._segments_of(row["file_id"])
        return _times(found), _vectors(found).astype(np.float16)

    def search(
        self,
        query: AnyFloatArray,
        *,
        k: int,
        per: Per = "file",
        where: Condition | None = None,
        leave_out: Collection[str] = (),
        only: Collection[str] | None = None,
        names: NameQuery | None = None,
    ) -> list[Match]:
        """The best `k`, best first; see `Store`."""
        asked = _allowed(where, leave_out, only)
        if asked is None or k < 1:
            return []
        found = self._nearest(query, asked, k + SPARE_GROUPS, per)
        return self._matches(query, found, asked, names, k=k, per=per)

    def shortlist(
        self,
        query: AnyFloatArray,
        *,
        segments: int,
        files: int,
        where: Condition | None = None,
        leave_out: Collection[str] = (),
        only: Collection[str] | None = None,
        names: NameQuery | None = None,
    ) -> list[Match]:
        """The segments that are worth a closer look at their frames, best first by their means; see `Store`."""
        asked = _allowed(where, leave_out, only)
        if asked is None:
            return []
        found = self._nearest(query, asked, max(segments, files), "file")
        owners = np.array([row["file_id"] for row in found], np.int64)
        _, first = np.unique(owners, return_index=True)
        chosen = dict.fromkeys([*range(min(segments, len(found))), *np.sort(first)[:files].tolist()])
        listed = {found[place]["id"]: found[place] for place in chosen}
        listed |= {row["id"]: row for row in self._of_long_files(query, asked)}
        return self._matches(query, list(listed.values()), asked, names, k=None, per="segment")

    def spread_vectors(self, count: int) -> AnyFloatArray:
        """Vectors of at most `count` segments, evenly spread over the library; always the same."""
        keys = sorted(row["id"] for row in self._all("segments", "", ["id"]))
        places = np.unique(np.linspace(0, len(keys) - 1, min(count, len(keys))).astype(np.int64))
        wanted = [keys[place] for place in places.tolist()]
        found = {row["id"]: row for row in self._get("segments", wanted, ["id", "vector"])}
        vectors = _vectors([found[key] for key in wanted])
        return unit_rows(vectors.reshape(len(wanted), self._identity.dim))

    def file_means(self) -> tuple[list[SoundFile], AnyFloatArray]:
        """Every file, and the mean of its segments' vectors at unit norm."""
        found = sorted(self._all("files", "", ["path", "facts", "vector"]), key=lambda row: str(row["path"]))
        means = _vectors(found).reshape(len(found), self._identity.dim)
        return [rows.file_of_text(row["facts"]) for row in found], means

    def frames_of(self, paths: Sequence[str]) -> list[AnyFloatArray]:
        """The frames of each file, `(frames, dim)` float16; none of one that is not here."""
        found = {row["path"]: row for row in self._rows_of(paths)}
        return [
            self._frames_of_file(found[key])
            if (key := rows.hex_path(path)) in found
            else np.empty((0, self._identity.dim), np.float16)
            for path in paths
        ]

    def facets(self) -> Facets:
        """Which values a filter can ask for."""
        found = self._files("")
        formats: dict[str, int] = {}
        for file in found:
            formats[file.format] = formats.get(file.format, 0) + 1
        return Facets(
            tuple(sorted(formats, key=lambda name: (-formats[name], name))),
            tuple(sorted({file.sample_rate_hz for file in found})),
            max((file.duration_s for file in found), default=0.0),
        )

    def version(self) -> int:
        """Grows with every commit."""
        return int(self._notes("version").get("version", 0))

    def stats(self) -> StoreStats:
        """Totals; the bytes are those of Milvus Lite's file, and 0 of a server, which does not tell them."""
        found = self._all("files", "", ["num_rows", "duration_s", "truncated", "loudness_dbfs"])
        lite = _lite_file(self._place)
        num_bytes = (
            sum(each.stat().st_size for each in Path(lite).rglob("*") if each.is_file()) if lite else 0
        )
        return StoreStats(
            files=len(found),
            segments=sum(row["num_rows"] for row in found),
            audio_s=sum(row["duration_s"] for row in found),
            bytes_on_disk=num_bytes,
            failures=len(self._notes("failure/")),
            truncated=sum(bool(row["truncated"]) for row in found),
            last_indexed=self._notes("last_indexed").get("last_indexed"),
            unmeasured=sum(row["loudness_dbfs"] is None for row in found),
        )

    @contextmanager
    def reading_beside(self) -> Iterator[sqlite3.Connection]:
        """A copy of the tables of `collections.py` and `taught.py`, in memory."""
        with tables_beside(self._script()) as connection:
            yield connection

    @contextmanager
    def writing_beside(self) -> Iterator[sqlite3.Connection]:
        """A transaction on these tables for this process: the copy is written back when the block ends well."""
        with _beside_mutex, tables_beside(self._script()) as connection:
            yield connection
            script = script_to_make(connection)
            # Each piece is kept as JSON, which at worst has twelve letters for one (an emoji).
            size = rows.LONGEST_TEXT // 12 - 10
            pieces = [script[at : at + size] for at in range(0, len(script), size)]
            self._put_notes({f"beside/{number:06}": piece for number, piece in enumerate(pieces)})
            more = [key for key in self._notes("beside/") if int(key.removeprefix("beside/")) >= len(pieces)]
            self._delete_notes(more)

    def close(self) -> None:
        """Let go of the connection."""
        with suppress(Exception):
            self._client.close()

    def _script(self) -> str:
        pieces = self._notes("beside/")
        return "".join(pieces[key] for key in sorted(pieces))

    def _need_lock(self) -> None:
        if self._writer != threading.get_ident():
            raise LibraryError(
                f"{self.location}: writing needs the lock; do it inside `with store.writing():`"
            )

    def _other_writer(self, me: str) -> str | None:
        note = self._notes("writer").get("writer")
        if note is None or note["holder"] == me or time.time() - note["at"] > _STALE_S:
            return None
        return str(note["holder"])

    def _name(self, kind: str) -> str:
        return f"{self._place.name}_{kind}"

    def _query(
        self, kind: str, asked: str, fields: list[str], limit: int | None = None
    ) -> list[dict[str, Any]]:
        with _explained(self._place):
            found = self._client.query(
                self._name(kind),
                filter=asked or _EVERYTHING[kind],
                output_fields=fields,
                limit=limit or rows.MOST_ROWS,
                consistency_level="Strong",
            )
            return [dict(row) for row in found]

    def _all(self, kind: str, asked: str, fields: list[str]) -> list[dict[str, Any]]:
        """Every row that fulfils an expression, however many."""
        found = self._query(kind, asked, fields)
        if len(found) < rows.MOST_ROWS:
            return found
        with _explained(self._place):
            iterator = self._client.query_iterator(
                self._name(kind),
                filter=asked or _EVERYTHING[kind],
                output_fields=fields,
                batch_size=4096,
                consistency_level="Strong",
            )
            found = []
            while batch := iterator.next():
                found += [dict(row) for row in batch]
            iterator.close()
        return found

    def _get(self, kind: str, keys: Sequence[object], fields: list[str]) -> list[dict[str, Any]]:
        """Rows by their primary keys."""
        name = "path" if kind == "files" else "id"
        found = []
        for at in range(0, len(keys), _ROWS_A_CALL):
            some = json.dumps(list(keys[at : at + _ROWS_A_CALL]))
            found += self._query(kind, f"{name} in {some}", fields)
        return found

    def _insert(self, kind: str, new: list[dict[str, Any]], a_call: int) -> None:
        for at in range(0, len(new), a_call):
            self._client.upsert(self._name(kind), new[at : at + a_call])

    def _delete(self, kind: str, asked: str) -> None:
        with _explained(self._place):
            self._client.delete(self._name(kind), filter=asked)

    def _delete_of(self, kind: str, file_ids: Sequence[int]) -> None:
        for at in range(0, len(file_ids), _ROWS_A_CALL):
            self._delete(kind, f"file_id in {list(file_ids[at : at + _ROWS_A_CALL])}")

    def _notes(self, prefix: str) -> dict[str, Any]:
        found = self._all("notes", f"id like {rows.in_quotes(prefix + '%')}", ["id", "value"])
        return {row["id"]: json.loads(row["value"]) for row in found}

    def _put_notes(self, notes: Mapping[str, object]) -> None:
        new = [{"id": key, "value": json.dumps(value), "vector": [0.0, 0.0]} for key, value in notes.items()]
        with _explained(self._place):
            self._insert("notes", new, _ROWS_A_CALL)

    def _delete_notes(self, keys: Sequence[str]) -> None:
        for at in range(0, len(keys), _ROWS_A_CALL):
            self._delete("notes", f"id in {json.dumps(list(keys[at : at + _ROWS_A_CALL]))}")

    def _put_failures(self, failures: Sequence[Failure]) -> None:
        self._put_notes(
            {
                f"failure/{rows.hex_path(each.path)}": {
                    **asdict(each),
                    "path": rows.hex_path(each.path),
                    "content_hash": each.content_hash.hex(),
                }
                for each in failures
            }
        )

    def _put_roots(self, roots: Mapping[str, int]) -> None:
        self._put_notes({f"root/{rows.hex_path(path)}": str(device) for path, device in roots.items()})

    def _next_version(self) -> None:
        # The writer's note with it: a run of hours is no stale one.
        self._put_notes({"version": self.version() + 1, **_note_of_writer()})

    def _rows_of(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        return self._get("files", [rows.hex_path(path) for path in paths], ["*"])

    def _row(self, path: str) -> dict[str, Any]:
        return self._rows_of([path])[0]

    def _files(self, asked: str) -> list[SoundFile]:
        found = sorted(self._all("files", asked, ["path", "facts"]), key=lambda row: str(row["path"]))
        return [rows.file_of_text(row["facts"]) for row in found]

    def _segments_of(self, file_id: int) -> list[dict[str, Any]]:
        found = self._all("segments", f"file_id == {file_id}", ["id", *_OF_A_SEGMENT])
        return sorted(found, key=lambda row: int(row["number"]))

    def _frames_of_file(self, row: Mapping[str, Any]) -> AnyFloatArray:
        found = self._all("frames", f"file_id == {row['frames_id']}", ["number", "frames"])
        found.sort(key=lambda each: int(each["number"]))
        nothing = np.empty((0, self._identity.dim), np.float16)
        return np.concatenate(
            [nothing, *(rows.frames_of_text(each["frames"], self._identity.dim) for each in found)]
        )

    def _sound_of(self, row: Mapping[str, Any]) -> EmbeddedSound:
        found = self._segments_of(row["file_id"])
        return EmbeddedSound(
            file=rows.file_of_text(row["facts"]),
            times_s=_times(found),
            vectors=_vectors(found).astype(np.float16),
            frames=self._frames_of_file(row),
            spans=np.array([[each["first_frame"], each["last_frame"]] for each in found], np.int64).reshape(
                -1, 2
            ),
        )

    def _wrong_with(self, row: Mapping[str, Any]) -> str | None:
        """What is wrong with the rows of one sound; None if nothing."""
        try:
            sound = self._sound_of(row)
        except ValueError as error:
            return f"its rows cannot be read ({error})"
        if (len(sound.vectors), len(sound.frames)) != (row["num_rows"], row["num_frames"]):
            return "its rows are missing"
        records = np.empty(len(sound.vectors), SEGMENT_DTYPE)
        records["file_id"] = row["file_id"]
        records["start_s"], records["end_s"] = sound.times_s.T
        records["first_frame"], records["last_frame"] = sound.spans.T
        return wrong_with(sound.vectors, records, sound.frames, row["file_id"], 0)

    def _apply(self, changes: Changes) -> None:
        replaced = [*changes.removed, *(failure.path for failure in changes.failures)]
        resolved = [*changes.resolved, *(failure.path for failure in changes.unread), *replaced]
        resolved += [move.path for move in changes.moves] + [sound.file.path for sound in changes.sounds]
        self._delete_notes([f"failure/{rows.hex_path(path)}" for path in resolved])
        self._forget(replaced)
        for move in changes.moves:
            for row in self._rows_of([move.old_path]):
                self._forget([move.path])
                file = rows.file_of_text(row["facts"])
                self._write_again(row, replace(file, path=move.path, mtime_ns=move.mtime_ns))
                self._forget([move.old_path])
        for path, mtime_ns in changes.touches.items():
            for row in self._rows_of([path]):
                self._write_again(row, replace(rows.file_of_text(row["facts"]), mtime_ns=mtime_ns))
        for at in range(0, len(changes.sounds), _ROWS_A_CALL):
            self._write_sounds(changes.sounds[at : at + _ROWS_A_CALL])
        for path, description in changes.descriptions.items():
            for row in self._rows_of([path]):
                file = rows.file_of_text(row["facts"])
                if description.loudness_dbfs is None and file.description is not None:
                    # Loudness is measured where a file is decoded, and tags are read on their own.
                    description = replace(description, loudness_dbfs=file.description.loudness_dbfs)
                self._write_again(row, replace(file, description=description))
        self._put_failures([*changes.failures, *changes.unread])
        known = self._rows_of(list(changes.volumes))
        renewed = [
            {**row, "volume": changes.volumes[os.fsdecode(bytes.fromhex(row["path"]))]} for row in known
        ]
        self._insert(
            "files", [row for row, old in zip(renewed, known, strict=True) if row != old], _ROWS_A_CALL
        )
        self._delete_notes([f"root/{rows.hex_path(path)}" for path in changes.forgotten_roots])
        self._put_roots(changes.roots)
        self._put_notes({f"setting/{k}": v for k, v in changes.settings.items() if v is not None})
        self._delete_notes([f"setting/{key}" for key, value in changes.settings.items() if value is None])
        self._next_version()

    def _write_sounds(self, sounds: Sequence[EmbeddedSound], files: Sequence[Mapping[str, Any]] = ()) -> None:
        """Insert sounds under new numbers; then let the rows of their files name these; then drop the old ones.

        Args:
            sounds: What is written.
            files: The row that each file has, where only facts change: its frames stay where they are.
        """
        if not sounds:
            return
        first = int(self._notes("next_file").get("next_file", 1))
        old = {row["path"]: row for row in (files or self._rows_of([sound.file.path for sound in sounds]))}
        numbers = list(range(first, first + len(sounds)))
        gone = [each for row in old.values() for each in (row["file_id"], row["frames_id"])]
        self._put_notes({"next_file": first + len(sounds), "unfinished": [*numbers, *gone]})
        facts = rows.facts_of_files([sound.file for sound in sounds])
        segments: list[dict[str, Any]] = []
        frames: list[dict[str, Any]] = []
        new_files = []
        for number, sound, known in zip(numbers, sounds, facts, strict=True):
            segments += rows.segment_rows(number, sound, {k: v for k, v in known.items() if k != "terms"})
            row = files[number - first] if files else None
            if row is None:
                frames += rows.frame_rows(number, np.asarray(sound.frames))
            mean = unit_rows(sound.vectors.astype(np.float16).mean(axis=0, dtype=np.float32)[None])[0]
            new_files.append(
                {
                    **known,
                    "file_id": number,
                    "frames_id": number if row is None else row["frames_id"],
                    "content_hash": sound.file.content_hash.hex(),
                    "truncated": bool(sound.file.truncated),
                    "num_rows": len(sound.vectors),
                    "num_frames": len(sound.frames) if row is None else row["num_frames"],
                    "volume": "" if row is None else row["volume"],
                    "revision": TAGS_REVISION,
                    "facts": rows.text_of_file(sound.file),
                    "vector": mean,
                }
            )
        self._insert("segments", segments, _ROWS_A_CALL)
        self._insert("frames", frames, _FRAME_ROWS_A_CALL)
        self._insert("files", new_files, _ROWS_A_CALL)
        self._drop_unfinished()

    def _write_again(self, row: Mapping[str, Any], file: SoundFile) -> None:
        """Give a file other facts: its segments carry them."""
        found = self._segments_of(row["file_id"])
        sound = EmbeddedSound(
            file=file,
            times_s=_times(found),
            vectors=_vectors(found),
            frames=np.empty((0, self._identity.dim), np.float16),
            spans=np.array([[each["first_frame"], each["last_frame"]] for each in found], np.int64).reshape(
                -1, 2
            ),
        )
        self._write_sounds([sound], [row])

    def _forget(self, paths: Sequence[str]) -> None:
        """Remove files: first their rows, so that nothing of them is found any more."""
        distinct = list(dict.fromkeys(paths))
        for at in range(0, len(distinct), _ROWS_A_CALL):
            found = self._rows_of(distinct[at : at + _ROWS_A_CALL])
            if found:
                self._drop_of_rows(found, delete=True)

    def _drop_of_rows(self, files: Sequence[Mapping[str, Any]], *, delete: bool = False) -> None:
        """Delete segments and frames that rows of files named and that none names now.

        Args:
            files: The rows.
            delete: Delete these rows themselves first.
        """
        # In pieces, for which a note has room.
        for at in range(0, len(files), _ROWS_A_CALL):
            some = files[at : at + _ROWS_A_CALL]
            self._put_notes(
                {"unfinished": [each for row in some for each in (row["file_id"], row["frames_id"])]}
            )
            if delete:
                self._delete("files", f"path in {json.dumps([row['path'] for row in some])}")
            self._drop_unfinished()

    def _drop_unfinished(self) -> None:
        """Delete segments and frames of the numbers that the last change touched and that no file has now."""
        numbers = self._notes("unfinished").get("unfinished", [])
        for at in range(0, len(numbers), _ROWS_A_CALL):
            some = numbers[at : at + _ROWS_A_CALL]
            for kind, field in (("segments", "file_id"), ("frames", "frames_id")):
                kept = {row[field] for row in self._query("files", f"{field} in {some}", [field])}
                self._delete_of(kind, [number for number in some if number not in kept])
        if numbers:
            self._delete("notes", 'id == "unfinished"')

    def _found(self, query: AnyFloatArray, asked: str, count: int) -> list[dict[str, Any]]:
        """The best `count` segments that fulfil an expression, best first."""
        with _explained(self._place):
            (found,) = self._client.search(
                self._name("segments"),
                data=[query.astype(np.float32).tolist()],
                filter=asked,
                limit=count,
                output_fields=_OF_A_SEGMENT,
                search_params={"metric_type": "IP", "params": {"ef": max(_LEAST_EF, count)}},
                consistency_level="Strong",
            )
            return [{"id": hit["id"], **hit["entity"]} for hit in found]

    def _nearest(self, query: AnyFloatArray, asked: str, wanted: int, per: Per) -> list[dict[str, Any]]:
        """The best segments, of at least `wanted` files (or as many segments) where there are so many, best first."""
        count = min(rows.MOST_ROWS, max(4 * wanted, 64))
        while True:
            found = self._found(query, asked, count)
            groups = len({row["file_id"] for row in found}) if per == "file" else len(found)
            if groups >= wanted or len(found) < count or count == rows.MOST_ROWS:
                break
            count = min(rows.MOST_ROWS, count * 8)
        if per == "segment":
            return found[:wanted]
        return found

    def _of_long_files(self, query: AnyFloatArray, asked: str) -> list[dict[str, Any]]:
        """The best segments of each long file, of as many such files as one search can bring whole."""
        fields = ["file_id", "num_rows"]
        is_long = f"num_rows >= {LONG_FILE}" + (f" and ({asked})" if asked else "")
        long_files = self._query("files", is_long, fields)
        kept, room = [], rows.MOST_ROWS
        for row in sorted(long_files, key=lambda row: int(row["file_id"])):
            if room >= row["num_rows"]:
                room -= row["num_rows"]
                kept.append(row["file_id"])
        if not kept:
            return []
        of_file: dict[int, int] = {}
        best = []
        for row in self._found(query, f"file_id in {kept}", rows.MOST_ROWS - room):
            of_file[row["file_id"]] = of_file.get(row["file_id"], 0) + 1
            if of_file[row["file_id"]] <= OF_A_LONG_FILE:
                best.append(row)
        return best

    def _bonuses(self, names: NameQuery, asked: str) -> dict[int, float]:
        """Number -> bonus of the files that are so called; see `fused.py`."""
        num_files = len(self._all("files", "", ["file_id"]))
        is_large = num_files > MANY_FILES
        with_word: dict[str, set[int]] = {}

        def files_with(words: Sequence[str], expression: str = "") -> set[int]:
            terms = json.dumps([term for word in words for term in terms_of_word(word)], ensure_ascii=False)
            every = f"array_contains_all(terms, {terms})" + (f" and ({expression})" if expression else "")
            return {row["file_id"] for row in self._all("files", every, ["file_id"])}

        bonuses: dict[int, float] = {}
        for text in dict.fromkeys(names.texts):
            shares: dict[int, float] = {}
            ideal = 0.0
            for word in name_query_words(text):
                if word not in with_word:
                    with_word[word] = files_with([word])
                found = with_word[word]
                if is_large and len(found) > num_files // 4:
                    continue
                weight = word_weight(num_files, len(found))
                ideal += weight
                for file_id in found:
                    shares[file_id] = shares.get(file_id, 0.0) + weight
            for file_id, share in shares.items():
                bonuses[file_id] = max(bonuses.get(file_id, 0.0), NAME_WEIGHT * share / ideal)
        words = name_query_words(names.typed)
        if any(letter.isdigit() for word in words for letter in word):
            for file_id in files_with(words):
                bonuses[file_id] = bonuses.get(file_id, 0.0) + ALL_WORDS_BONUS
        if token := name_token(names.typed):
            bonuses |= dict.fromkeys(files_with([token]), EXACT_BONUS)
        if asked and bonuses:
            allowed = {row["file_id"] for row in self._all("files", asked, ["file_id"])}
            bonuses = {file_id: bonus for file_id, bonus in bonuses.items() if file_id in allowed}
        return bonuses

    def _matches(
        self,
        query: AnyFloatArray,
        found: list[dict[str, Any]],
        asked: str,
        names: NameQuery | None,
        *,
        k: int | None,
        per: Per,
    ) -> list[Match]:
        """Segments as matches, best first, once names and tags have been asked as well."""
        bonuses: dict[int, float] = {}
        listed = {row["id"] for row in found}
        if names is not None:
            bonuses = self._bonuses(names, asked)
            most = max(MOST_ADDED, k or 0) if names.is_all else MOST_ADDED
            added = sorted(bonuses, key=lambda file_id: (-bonuses[file_id], file_id))[:most]
            more = self._found(query, f"file_id in {added}", rows.MOST_ROWS) if added else []
            found = [*found, *(row for row in more if row["id"] not in listed)]
            if names.is_all:
                found = [row for row in found if row["file_id"] in bonuses]
        # A number that no file has is of a sound that is being written, or was removed.
        ids = sorted({row["file_id"] for row in found})
        files: dict[int, dict[str, Any]] = {}
        for at in range(0, len(ids), _ROWS_A_CALL):
            some = ids[at : at + _ROWS_A_CALL]
            files |= {row["file_id"]: row for row in self._query("files", f"file_id in {some}", ["*"])}
        found = sorted((row for row in found if row["file_id"] in files), key=lambda row: int(row["id"]))
        if not found:
            return []
        scores = np.clip((_vectors(found) * query.astype(np.float32)).sum(axis=1), -1.0, 1.0)
        order, extra = order_with_bonuses(
            np.arange(len(found)),
            scores,
            np.array([row["file_id"] for row in found], np.int64),
            np.array([bonuses.get(row["file_id"], 0.0) for row in found], np.float32),
            np.array([row["id"] in listed for row in found], np.bool_),
            k=len(found) if k is None else k,
            per=per,
            is_all=names is not None and names.is_all,
        )
        best = [found[place] for place in order.tolist()]
        frames = self._frames_of_segments(best, files)
        return [
            Match(
                file=rows.file_of_text(files[row["file_id"]]["facts"]),
                start_s=row["start_s"],
                end_s=row["end_s"],
                score=float(scores[place]),
                frames=own,
                bonus=float(bonus),
                keywords=_words_found(names, files[row["file_id"]]) if bonus and names is not None else (),
            )
            for row, place, own, bonus in zip(best, order.tolist(), frames, extra, strict=True)
        ]

    def _frames_of_segments(
        self, segments: Sequence[Mapping[str, Any]], files: Mapping[int, Mapping[str, Any]]
    ) -> list[AnyFloatArray]:
        """`(frames, dim)` of each segment, out of the rows that hold them."""
        size = rows.frames_a_row(self._identity.dim)
        wanted = [
            [
                rows.key_of(files[row["file_id"]]["frames_id"], number)
                for number in range(row["first_frame"] // size, (row["last_frame"] - 1) // size + 1)
            ]
            for row in segments
        ]
        keys = sorted({key for each in wanted for key in each})
        texts = {row["id"]: row["frames"] for row in self._get("frames", keys, ["id", "frames"])}
        found = []
        for row, own in zip(segments, wanted, strict=True):
            pieces = [rows.frames_of_text(texts[key], self._identity.dim) for key in own if key in texts]
            first = row["first_frame"] - row["first_frame"] // size * size
            whole = np.concatenate([np.empty((0, self._identity.dim), np.float16), *pieces])
            found.append(whole[first : first + row["last_frame"] - row["first_frame"]])
        return found


_beside_mutex = threading.RLock()
# Milvus takes an empty filter only beside a small limit.
_EVERYTHING = {"segments": "id >= 0", "frames": "id >= 0", "files": 'path >= ""', "notes": 'id >= ""'}


def _own_name() -> str:
    """This process, for whoever else wants to write."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _note_of_writer() -> dict[str, object]:
    return {"writer": {"holder": _own_name(), "at": time.time()}}


def _times(found: Sequence[Mapping[str, Any]]) -> AnyFloatArray:
    return np.array([[row["start_s"], row["end_s"]] for row in found], np.float64).reshape(-1, 2)


def _vectors(found: Sequence[Mapping[str, Any]]) -> AnyFloatArray:
    return np.array([row["vector"] for row in found], np.float32)


def _path_in(key: str) -> str:
    """The path in the key of a note."""
    return os.fsdecode(bytes.fromhex(key.partition("/")[2]))


def _failure_of(value: Mapping[str, Any]) -> Failure:
    path = os.fsdecode(bytes.fromhex(value["path"]))
    return Failure(**{**value, "path": path, "content_hash": bytes.fromhex(value["content_hash"])})


def _at_or_below(path: str) -> str:
    return f'(path == "{rows.hex_path(path)}" or {rows.below("path", path)})'


def _allowed(where: Condition | None, leave_out: Collection[str], only: Collection[str] | None) -> str | None:
    """What a file has to fulfil to answer, as an expression; None where none can."""
    tests = [rows.expression(where)] if where is not None else []
    if only is not None:
        if not only:
            return None
        tests.append(f"path in {json.dumps([rows.hex_path(path) for path in only])}")
    if leave_out:
        tests.append(f"(not (path in {json.dumps([rows.hex_path(path) for path in leave_out])}))")
    return " and ".join(tests)


def _words_found(names: NameQuery, row: Mapping[str, Any]) -> tuple[str, ...]:
    """Words of the query that are among the terms of a file, in the order of the query."""
    words = dict.fromkeys(word for text in names.texts for word in name_query_words(text))
    terms = set(row["terms"])
    return tuple(word for word in words if terms.issuperset(terms_of_word(word)))


def _lite_file(place: EngineLocation) -> str | None:
    """The file of Milvus Lite; None of a server.

    Raises:
        UsageError: Its name does not end as Milvus Lite wants it.
    """
    parts = urlsplit(place.uri)
    if parts.netloc:
        return None
    if not parts.path.endswith(".db"):
        raise UsageError(
            f"--library {place.shown}: a file of Milvus Lite ends in .db; write milvus:///FOLDER/NAME.db, or "
            "milvus://host:19530 for a server"
        )
    return unquote(parts.path)


def _connect(place: EngineLocation) -> Any:
    """A client.

    Raises:
        UsageError: pymilvus is not installed, or the URI has no Milvus in it.
        LibraryError: The server cannot be reached, or refuses the user.
    """
    lite = _lite_file(place)
    try:
        from pymilvus import MilvusClient

        if lite is not None:
            import milvus_lite  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"a library in Milvus needs pymilvus ({error}); install it with: {install_command('milvus')}"
        ) from error
    # What it cannot do is raised as well, and said by us in one line.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    with _explained(place):
        if lite is not None:
            Path(lite).parent.mkdir(parents=True, exist_ok=True)
            return MilvusClient(lite)
        parts = urlsplit(place.uri)
        asked = dict(parse_qsl(parts.query))
        unknown = set(asked) - {"secure", "token", "password"}
        if unknown or asked.get("secure", "true") not in ("true", "false"):
            raise UsageError(
                f"--library {place.shown}: a URI of Milvus takes library=NAME, secure=true (or false), and token=…"
            )
        scheme = "https" if asked.get("secure") == "true" else "http"
        return MilvusClient(
            f"{scheme}://{parts.hostname}:{parts.port or 19530}",
            user=unquote(parts.username or ""),
            password=unquote(parts.password) if parts.password else asked.get("password", ""),
            token=asked.get("token", ""),
            db_name=parts.path.strip("/"),
            timeout=_TIMEOUT_S,
        )


@contextmanager
def _explained(place: EngineLocation) -> Iterator[None]:
    """Say which library, and what to do, where Milvus says only what; no message holds a password."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, OSError) as error:
        said = place.clean(getattr(error, "message", "") or error)
        what, advice = "cannot be used", "look into the server's log"
        if any(sign in said.lower() for sign in ("auth", "password", "permission")):
            what = "cannot be opened: the server refuses the user"
            advice = "put the right user and password before the @ of the URI, or ?token=…"
        elif "database" in said and "not found" in said:
            what, advice = (
                "is in no database",
                "make it in Milvus, or name another behind the host of the URI",
            )
        elif any(sign in said for sign in ("unavailable", "connecting", "Deadline", "connect failed")):
            what, advice = (
                "cannot be reached",
                "is the server running, and are host and port of the URI right?",
            )
        elif "lock" in said.lower():
            advice = "Milvus Lite lets one process at a time have its file: wait, or use a Milvus server"
        raise LibraryError(f"the library {place.shown} {what} ({said}); {advice}") from None


def _read_about(client: Any, place: EngineLocation) -> dict[str, str] | None:
    """Format and model of a library; None where there is none.

    Raises:
        LibraryError: Collections of somebody else have its names.
    """
    there = [kind for kind in _KINDS if client.has_collection(f"{place.name}_{kind}")]
    if not there:
        return None
    for kind in there:  # Milvus Lite has nothing loaded when it is opened; a server keeps what is
        client.load_collection(f"{place.name}_{kind}")
    about: dict[str, str] = {}
    has_notes = False
    if "notes" in there:
        names = {each["name"] for each in client.describe_collection(f"{place.name}_notes")["fields"]}
        has_notes = {"id", "value"} <= names
        if has_notes:
            found = client.query(
                f"{place.name}_notes",
                filter='id like "setting/%"',
                output_fields=["id", "value"],
                limit=1000,
                consistency_level="Strong",
            )
            about = {row["id"].removeprefix("setting/"): json.loads(row["value"]) for row in found}
    if {"format", "name", "fingerprint", "dim", "source"} <= set(about) and len(there) == len(_KINDS):
        return about
    if there == list(_KINDS[: len(there)]) and not about and has_notes:  # its making was killed
        return None
    raise LibraryError(
        f"{place.shown} holds collections that are not soundseek's ({', '.join(f'{place.name}_{k}' for k in there)}); "
        "name another library in the URI: ?library=NAME"
    )


def _create(client: Any, place: EngineLocation, identity: ModelIdentity) -> None:
    """Make an empty library of this model, or what is missing of one whose making was killed."""
    for kind in _KINDS:
        if not client.has_collection(f"{place.name}_{kind}"):
            _make_collection(client, place, kind, identity.dim)
    about = {
        "format": rows.FORMAT,
        "name": identity.name,
        "fingerprint": identity.fingerprint,
        "dim": str(identity.dim),
        "source": identity.source,
    }
    new = [
        {"id": f"setting/{key}", "value": json.dumps(value), "vector": [0.0, 0.0]}
        for key, value in about.items()
    ]
    client.insert(f"{place.name}_notes", new)


def _make_collection(client: Any, place: EngineLocation, kind: str, dim: int) -> None:
    """Make one of the Milvus collections of a library."""
    from pymilvus import DataType

    def add_facts(schema: Any, *, is_key: bool) -> None:
        for name, kind, is_null in rows.FACTS:
            if kind == "VARCHAR":
                text(schema, name, is_key=is_key and name == "path")
            else:
                schema.add_field(name, getattr(DataType, kind), nullable=is_null)

    def text(schema: Any, name: str, *, is_key: bool = False) -> None:
        schema.add_field(name, DataType.VARCHAR, max_length=rows.LONGEST_TEXT, is_primary=is_key)

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    width = dim if kind in ("segments", "files") else 2
    if kind in ("segments", "frames"):
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("file_id", DataType.INT64, is_partition_key=True)
        schema.add_field("number", DataType.INT64)
    if kind == "segments":
        for name in ("start_s", "end_s"):
            schema.add_field(name, DataType.DOUBLE)
        for name in ("first_frame", "last_frame"):
            schema.add_field(name, DataType.INT64)
        add_facts(schema, is_key=False)
    if kind == "frames":
        text(schema, "frames")
    if kind == "files":
        add_facts(schema, is_key=True)
        for name in ("file_id", "frames_id", "num_rows", "num_frames", "revision"):
            schema.add_field(name, DataType.INT64)
        schema.add_field("truncated", DataType.BOOL)
        for name in ("content_hash", "volume", "facts"):
            text(schema, name)
        schema.add_field(
            "terms",
            DataType.ARRAY,
            element_type=DataType.VARCHAR,
            max_capacity=rows.MOST_TERMS,
            max_length=rows.LONGEST_TEXT,
        )
    if kind == "notes":
        text(schema, "id", is_key=True)
        text(schema, "value")
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=width)
    indexes = client.prepare_index_params()
    indexes.add_index(
        "vector", **(_INDEX if kind == "segments" else {"index_type": "FLAT", "metric_type": "IP"})
    )
    partitions = {"num_partitions": _PARTITIONS} if kind in ("segments", "frames") else {}
    client.create_collection(
        f"{place.name}_{kind}",
        schema=schema,
        index_params=indexes,
        consistency_level="Strong",
        **partitions,
    )
