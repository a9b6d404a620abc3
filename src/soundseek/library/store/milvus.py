"""A library in Milvus: on a server for very many vectors, or in a file with Milvus Lite.

Milvus has no transactions: each sound is kept whole or not at all, since its segments count once its file's row names
them; a run that was killed between two sounds of a commit has some of them, and the next one goes on. Its index is
approximate. Neither has Milvus locks: a note says who writes, and two writers that start in the same moment both do.
What lies where is told in `milvus_rows.py`.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek._vectors import unit_rows
from soundseek.audio.files import TAGS_REVISION
from soundseek.errors import LibraryError
from soundseek.library.filters import Condition
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
    Question,
    SoundFile,
    Store,
    StoreStats,
    being_written,
    frames_and_windows,
    keeps_windows,
    known_identity,
)
from soundseek.library.store.milvus_collections import ROWS_A_CALL, MilvusCollections
from soundseek.library.store.milvus_connection import (
    KINDS,
    connect_to_milvus,
    create_milvus_library,
    explained_by_milvus,
    lite_file,
    read_milvus_library,
)
from soundseek.library.store.milvus_search import (
    best_of_long_files,
    files_expression,
    matches_of,
    nearest_segments,
    segment_row,
)
from soundseek.library.store.rows import spread_evenly
from soundseek.library.store.segment_rows import SegmentRow, arrays_of, wrong_with_rows
from soundseek.library.store.side_tables import script_to_make, tables_beside

if TYPE_CHECKING:
    import sqlite3

_FRAME_ROWS_A_CALL = 150
_STALE_S = 600.0
_writers: dict[str, int] = {}
_writers_mutex = threading.Lock()
_beside_mutex = threading.RLock()


class MilvusStore(Store):
    """The vectors and facts of a library in Milvus: one writer at a time, any number of readers.

    Make it with `MilvusStore.open`.
    """

    def __init__(self, place: EngineLocation, client: Any, identity: ModelIdentity) -> None:
        super().__init__(place.shown, identity)
        self._place = place
        self._rows = MilvusCollections(place, client)

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
        about: dict[str, str] | None = None
        lite = lite_file(place)
        if lite is not None and not Path(lite).exists() and not (create and identity):
            known_identity(place.shown, None, rows.FORMAT, identity)
        client = connect_to_milvus(place)
        with explained_by_milvus(place):
            about = read_milvus_library(client, place)
            if about is None and create and identity is not None:
                create_milvus_library(client, place, identity)
                about = read_milvus_library(client, place)
        return cls(place, client, known_identity(place.shown, about, rows.FORMAT, identity))

    @property
    def compacts_by(self) -> str:
        return "segments and frames that no file has any more were deleted, and Milvus was asked to compact"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write, as far as Milvus lets anybody; what a killed run left behind goes first."""
        with _writers_mutex:
            here = self.location in _writers
            holder = f"this process ({os.getpid()})" if here else self._other_writer(_own_name())
            if holder:
                raise being_written(self.location, holder)
            _writers[self.location] = threading.get_ident()
        self._writer = threading.get_ident()
        try:
            self._rows.put_notes(_note_of_writer())
            self._drop_unfinished()
            yield
        finally:
            self._writer = None
            with _writers_mutex:
                _writers.pop(self.location, None)
            with suppress(LibraryError):
                self._rows.delete("notes", 'id == "writer"')

    def finish_run(self, seen_at: str) -> None:
        self._need_lock()
        self._rows.put_notes({"last_indexed": seen_at})

    def relocate(self, old: str, new: str) -> int:
        self._need_lock()
        moved = list(self.states(old))
        renamed = {path: moved_below(path, old, new) for path in moved}
        with explained_by_milvus(self._place):
            known = {row["path"]: row for row in self._rows_of(moved)}
            places = set(renamed.values())
            replaced = list(places.difference(moved))
            self._rows.delete_notes([f"failure/{rows.hex_path(path)}" for path in replaced])
            self._forget(replaced)
            # Segments and frames go once no file's row names them: the new places are written first.
            for path in moved:
                row = known[rows.hex_path(path)]
                self._write_again(row, replace(rows.file_of_text(row["facts"]), path=renamed[path]))
            self._forget([path for path in moved if path not in places])
            self._drop_of_rows(list(known.values()))
            failures = self.failures(old)
            roots = {path: device for path, device in self.roots().items() if is_at_or_below(path, old)}
            self._rows.delete_notes([f"failure/{rows.hex_path(f.path)}" for f in failures])
            self._rows.delete_notes([f"root/{rows.hex_path(path)}" for path in roots])
            self._put_failures([replace(f, path=moved_below(f.path, old, new)) for f in failures])
            self._put_roots({moved_below(path, old, new): device for path, device in roots.items()})
            self._next_version()
        return len(moved)

    def compact(self, *, dead_share: float = 0.3) -> bool:
        """Delete what no file has any more, where that is asked for whatever the share; Milvus compacts in its time."""
        self._need_lock()
        if dead_share > 0:
            return False
        with explained_by_milvus(self._place):
            known = {row["file_id"] for row in self._rows.all("files", "", ["file_id"])}
            used = {row["frames_id"] for row in self._rows.all("files", "", ["frames_id"])}
            for kind, kept in (("segments", known), ("frames", used)):
                lost = {row["file_id"] for row in self._rows.all(kind, "", ["file_id"])} - kept
                self._rows.delete_of(kind, sorted(lost))
            for kind in KINDS:
                with suppress(Exception):  # Milvus Lite compacts by itself
                    self._rows.client.compact(self._rows.name(kind))
        return True

    def check(self) -> list[Damage]:
        found = []
        with explained_by_milvus(self._place):
            for row in sorted(self._rows.all("files", "", ["*"]), key=lambda row: str(row["path"])):
                if what := self._wrong_with(row):
                    path = os.fsdecode(bytes.fromhex(row["path"]))
                    found.append(Damage(path, what, is_sound=True))
        return found

    def states(self, under: str) -> dict[str, FileState]:
        found = {}
        for row in self._rows.all("files", _at_or_below(under), ["facts", "volume", "revision"]):
            file = rows.file_of_text(row["facts"])
            limit_s = file.limit_s if file.truncated else 0.0
            is_described = file.description is not None and row["revision"] >= TAGS_REVISION
            found[file.path] = FileState(file.size_bytes, file.mtime_ns, limit_s, row["volume"], is_described)
        return found

    def failures(self, under: str | None = None) -> list[Failure]:
        found = [_failure_of(value) for value in self._rows.notes("failure/").values()]
        kept = [each for each in found if under is None or is_at_or_below(each.path, under)]
        return sorted(kept, key=lambda failure: os.fsencode(failure.path))

    def settings(self) -> dict[str, str]:
        return {key.removeprefix("setting/"): value for key, value in self._rows.notes("setting/").items()}

    def roots(self) -> Mapping[str, int]:
        return {_path_in(key): int(device) for key, device in self._rows.notes("root/").items()}

    def sizes(self) -> set[int]:
        return {row["size_bytes"] for row in self._rows.all("files", "", ["size_bytes"])}

    def has_size(self, size_bytes: int) -> bool:
        return bool(self._rows.query("files", f"size_bytes == {size_bytes}", ["path"], limit=1))

    def same_content(self, content_hash: bytes) -> list[SoundFile]:
        return self._files(f'content_hash == "{content_hash.hex()}"')

    def copies(self, contents: Iterable[bytes]) -> dict[bytes, list[str]]:
        found = {content: [file.path for file in self.same_content(content)] for content in contents}
        return {content: paths for content, paths in found.items() if paths}

    def contents(self, paths: Iterable[str], limit_s: float) -> dict[str, bytes]:
        found = [rows.file_of_text(row["facts"]) for row in self._rows_of(list(paths))]
        return {file.path: file.content_hash for file in found if file.suffices(limit_s)}

    def cut_files(self) -> list[SoundFile]:
        return self._files("truncated == true")

    def file(self, path: str) -> SoundFile | None:
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
        asked = files_expression(where, (), only)
        if asked is None:
            return 0, 0
        num_rows = [row["num_rows"] for row in self._rows.all("files", asked, ["num_rows"])]
        return len(num_rows), sum(num_rows)

    def read(self, path: str) -> EmbeddedSound | None:
        row = next(iter(self._rows_of([path])), None)
        return self._sound_of(row) if row is not None else None

    def vectors(self, path: str) -> tuple[AnyFloatArray, AnyFloatArray] | None:
        """Times and vectors of one file."""
        row = next(iter(self._rows_of([path])), None)
        if row is None:
            return None
        times_s, _, vectors = arrays_of(self._segments_of(row["file_id"]), self._identity.dim)
        return times_s, vectors

    def shortlist(self, question: Question, *, segments: int, files: int) -> list[Match]:
        asked = files_expression(question.where, question.leave_out, question.only)
        if asked is None:
            return []
        query = question.vector
        found = nearest_segments(self._rows, query, asked, max(segments, files))
        owners = np.array([row.file_id for row in found], np.int64)
        _, first = np.unique(owners, return_index=True)
        chosen = dict.fromkeys([*range(min(segments, len(found))), *np.sort(first)[:files].tolist()])
        listed = [found[place] for place in chosen]
        listed += best_of_long_files(self._rows, query, asked)
        return matches_of(self._rows, question, listed, asked)

    def spread_vectors(self, count: int) -> AnyFloatArray:
        keys = sorted(row["id"] for row in self._rows.all("segments", "", ["id"]))
        wanted = [keys[place] for place in spread_evenly(len(keys), count).tolist()]
        found = {row["id"]: row for row in self._rows.get("segments", wanted, ["id", "vector"])}
        vectors = np.array([found[key]["vector"] for key in wanted], np.float32)
        return unit_rows(vectors.reshape(len(wanted), self._identity.dim))

    def file_means(self) -> tuple[list[SoundFile], AnyFloatArray]:
        found = sorted(
            self._rows.all("files", "", ["path", "facts", "vector"]), key=lambda row: str(row["path"])
        )
        means = np.array([row["vector"] for row in found], np.float32).reshape(len(found), self._identity.dim)
        return [rows.file_of_text(row["facts"]) for row in found], means

    def _frames_and_windows_of(self, paths: Sequence[str]) -> list[tuple[AnyFloatArray, AnyFloatArray]]:
        found = {row["path"]: row for row in self._rows_of(paths)}
        nothing = np.empty((0, self._identity.dim), np.float16)
        places = [found.get(rows.hex_path(path)) for path in paths]
        return [
            (nothing, nothing)
            if row is None
            else frames_and_windows(
                self._frames_of_file(row), self._reached(row), rows.file_of_text(row["facts"]).duration_s
            )
            for row in places
        ]

    def without_windows(self) -> set[str]:
        missing = set()
        for row in self._rows.all("files", "", ["path", "facts", "file_id", "num_frames"]):
            file = rows.file_of_text(row["facts"])
            if not keeps_windows(row["num_frames"], self._reached(row), file.duration_s):
                missing.add(file.path)
        return missing

    def _reached(self, row: Mapping[str, Any]) -> int:
        """The frame up to which a file's segments reach."""
        found = self._rows.all("segments", f"file_id == {row['file_id']}", ["last_frame"])
        return max((int(each["last_frame"]) for each in found), default=0)

    def facets(self) -> Facets:
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
        return int(self._rows.notes("version").get("version", 0))

    def stats(self) -> StoreStats:
        """Totals; the bytes are those of Milvus Lite's file, and 0 of a server, which does not tell them."""
        found = self._rows.all("files", "", ["num_rows", "duration_s", "truncated", "loudness_dbfs"])
        lite = lite_file(self._place)
        num_bytes = (
            sum(each.stat().st_size for each in Path(lite).rglob("*") if each.is_file()) if lite else 0
        )
        return StoreStats(
            files=len(found),
            segments=sum(row["num_rows"] for row in found),
            audio_s=sum(row["duration_s"] for row in found),
            bytes_on_disk=num_bytes,
            failures=len(self._rows.notes("failure/")),
            truncated=sum(bool(row["truncated"]) for row in found),
            last_indexed=self._rows.notes("last_indexed").get("last_indexed"),
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
            self._rows.put_notes({f"beside/{number:06}": piece for number, piece in enumerate(pieces)})
            more = [
                key for key in self._rows.notes("beside/") if int(key.removeprefix("beside/")) >= len(pieces)
            ]
            self._rows.delete_notes(more)

    def close(self) -> None:
        with suppress(Exception):
            self._rows.client.close()

    def _script(self) -> str:
        pieces = self._rows.notes("beside/")
        return "".join(pieces[key] for key in sorted(pieces))

    def _other_writer(self, me: str) -> str | None:
        note = self._rows.notes("writer").get("writer")
        if note is None or note["holder"] == me or time.time() - note["at"] > _STALE_S:
            return None
        return str(note["holder"])

    def _put_failures(self, failures: Sequence[Failure]) -> None:
        self._rows.put_notes(
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
        self._rows.put_notes({f"root/{rows.hex_path(path)}": str(device) for path, device in roots.items()})

    def _next_version(self) -> None:
        # The writer's note with it: a run of hours is no stale one.
        self._rows.put_notes({"version": self.version() + 1, **_note_of_writer()})

    def _rows_of(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        return self._rows.get("files", [rows.hex_path(path) for path in paths], ["*"])

    def _row(self, path: str) -> dict[str, Any]:
        return self._rows_of([path])[0]

    def _files(self, asked: str) -> list[SoundFile]:
        found = sorted(self._rows.all("files", asked, ["path", "facts"]), key=lambda row: str(row["path"]))
        return [rows.file_of_text(row["facts"]) for row in found]

    def _segments_of(self, file_id: int) -> list[SegmentRow]:
        found = self._rows.all("segments", f"file_id == {file_id}", list(SegmentRow._fields))
        return sorted(map(segment_row, found), key=lambda row: row.number)

    def _frames_of_file(self, row: Mapping[str, Any]) -> AnyFloatArray:
        found = self._rows.all("frames", f"file_id == {row['frames_id']}", ["number", "frames"])
        found.sort(key=lambda each: int(each["number"]))
        nothing = np.empty((0, self._identity.dim), np.float16)
        return np.concatenate(
            [nothing, *(rows.frames_of_text(each["frames"], self._identity.dim) for each in found)]
        )

    def _sound_of(self, row: Mapping[str, Any]) -> EmbeddedSound:
        times_s, spans, vectors = arrays_of(self._segments_of(row["file_id"]), self._identity.dim)
        return EmbeddedSound.of_rows(
            rows.file_of_text(row["facts"]), times_s, vectors, self._frames_of_file(row), spans
        )

    def _wrong_with(self, row: Mapping[str, Any]) -> str | None:
        """What is wrong with the rows of one sound; None if nothing."""
        try:
            sound = self._sound_of(row)
        except ValueError as error:
            return f"its rows cannot be read ({error})"
        return wrong_with_rows(sound, row["num_rows"], row["num_frames"])

    def _rename_model(self, identity: ModelIdentity) -> None:
        self._rows.put_notes({f"setting/{key}": getattr(identity, key) for key in ("name", "source")})

    def _apply(self, changes: Changes) -> None:
        replaced = [*changes.removed, *(failure.path for failure in changes.failures)]
        resolved = [*changes.resolved, *(failure.path for failure in changes.unread), *replaced]
        resolved += [move.path for move in changes.moves] + [sound.file.path for sound in changes.sounds]
        self._rows.delete_notes([f"failure/{rows.hex_path(path)}" for path in resolved])
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
        for at in range(0, len(changes.sounds), ROWS_A_CALL):
            self._write_sounds(changes.sounds[at : at + ROWS_A_CALL])
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
        self._rows.insert(
            "files", [row for row, old in zip(renewed, known, strict=True) if row != old], ROWS_A_CALL
        )
        self._rows.delete_notes([f"root/{rows.hex_path(path)}" for path in changes.forgotten_roots])
        self._put_roots(changes.roots)
        self._rows.put_notes({f"setting/{k}": v for k, v in changes.settings.items() if v is not None})
        self._rows.delete_notes(
            [f"setting/{key}" for key, value in changes.settings.items() if value is None]
        )
        self._next_version()

    def _write_sounds(self, sounds: Sequence[EmbeddedSound], files: Sequence[Mapping[str, Any]] = ()) -> None:
        """Insert sounds under new numbers; then let the rows of their files name these; then drop the old ones.

        Args:
            sounds: What is written.
            files: The row that each file has, where only facts change: its frames stay where they are.
        """
        if not sounds:
            return
        first = int(self._rows.notes("next_file").get("next_file", 1))
        old = {row["path"]: row for row in (files or self._rows_of([sound.file.path for sound in sounds]))}
        numbers = list(range(first, first + len(sounds)))
        gone = [each for row in old.values() for each in (row["file_id"], row["frames_id"])]
        self._rows.put_notes({"next_file": first + len(sounds), "unfinished": [*numbers, *gone]})
        facts = rows.facts_of_files([sound.file for sound in sounds])
        segments: list[dict[str, Any]] = []
        frames: list[dict[str, Any]] = []
        new_files = []
        for number, sound, known in zip(numbers, sounds, facts, strict=True):
            segments += rows.segment_rows(number, sound, {k: v for k, v in known.items() if k != "terms"})
            row = files[number - first] if files else None
            if row is None:
                frames += rows.frame_rows(number, np.asarray(sound.rows))
            mean = unit_rows(sound.vectors.astype(np.float16).mean(axis=0, dtype=np.float32)[None])[0]
            new_files.append(
                {
                    **known,
                    "file_id": number,
                    "frames_id": number if row is None else row["frames_id"],
                    "content_hash": sound.file.content_hash.hex(),
                    "truncated": bool(sound.file.truncated),
                    "num_rows": len(sound.vectors),
                    "num_frames": len(sound.rows) if row is None else row["num_frames"],
                    "volume": "" if row is None else row["volume"],
                    "revision": TAGS_REVISION,
                    "facts": rows.text_of_file(sound.file),
                    "vector": mean,
                }
            )
        self._rows.insert("segments", segments, ROWS_A_CALL)
        self._rows.insert("frames", frames, _FRAME_ROWS_A_CALL)
        self._rows.insert("files", new_files, ROWS_A_CALL)
        self._drop_unfinished()

    def _write_again(self, row: Mapping[str, Any], file: SoundFile) -> None:
        """Give a file other facts: its segments carry them."""
        times_s, spans, vectors = arrays_of(self._segments_of(row["file_id"]), self._identity.dim)
        no_frames = np.empty((0, self._identity.dim), np.float16)
        sound = EmbeddedSound(file, times_s, vectors, no_frames, spans)
        self._write_sounds([sound], [row])

    def _forget(self, paths: Sequence[str]) -> None:
        """Remove files: first their rows, so that nothing of them is found any more."""
        distinct = list(dict.fromkeys(paths))
        for at in range(0, len(distinct), ROWS_A_CALL):
            found = self._rows_of(distinct[at : at + ROWS_A_CALL])
            if found:
                self._drop_of_rows(found, delete=True)

    def _drop_of_rows(self, files: Sequence[Mapping[str, Any]], *, delete: bool = False) -> None:
        """Delete segments and frames that rows of files named and that none names now.

        Args:
            files: The rows.
            delete: Delete these rows themselves first.
        """
        # In pieces, for which a note has room.
        for at in range(0, len(files), ROWS_A_CALL):
            some = files[at : at + ROWS_A_CALL]
            self._rows.put_notes(
                {"unfinished": [each for row in some for each in (row["file_id"], row["frames_id"])]}
            )
            if delete:
                self._rows.delete("files", f"path in {json.dumps([row['path'] for row in some])}")
            self._drop_unfinished()

    def _drop_unfinished(self) -> None:
        """Delete segments and frames of the numbers that the last change touched and that no file has now."""
        numbers = self._rows.notes("unfinished").get("unfinished", [])
        for at in range(0, len(numbers), ROWS_A_CALL):
            some = numbers[at : at + ROWS_A_CALL]
            for kind, field in (("segments", "file_id"), ("frames", "frames_id")):
                kept = {row[field] for row in self._rows.query("files", f"{field} in {some}", [field])}
                self._rows.delete_of(kind, [number for number in some if number not in kept])
        if numbers:
            self._rows.delete("notes", 'id == "unfinished"')


def _own_name() -> str:
    """This process, for whoever else wants to write."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _note_of_writer() -> dict[str, object]:
    return {"writer": {"holder": _own_name(), "at": time.time()}}


def _path_in(key: str) -> str:
    """The path in the key of a note."""
    return os.fsdecode(bytes.fromhex(key.partition("/")[2]))


def _failure_of(value: Mapping[str, Any]) -> Failure:
    path = os.fsdecode(bytes.fromhex(value["path"]))
    return Failure(**{**value, "path": path, "content_hash": bytes.fromhex(value["content_hash"])})


def _at_or_below(path: str) -> str:
    return f'(path == "{rows.hex_path(path)}" or {rows.below("path", path)})'
