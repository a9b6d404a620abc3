"""The four Milvus collections of a library: rows in and out, however many, and the notes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from soundseek.library.location import EngineLocation
from soundseek.library.store import milvus_rows as rows
from soundseek.library.store.milvus_connection import explained_by_milvus

ROWS_A_CALL = 500
# Milvus takes an empty filter only beside a small limit.
EVERYTHING = {"segments": "id >= 0", "frames": "id >= 0", "files": 'path >= ""', "notes": 'id >= ""'}


class MilvusCollections:
    """Rows of a library; what lies where is told in `milvus_rows.py`.

    Args:
        place: Of the library.
        client: Connected to it.
    """

    def __init__(self, place: EngineLocation, client: Any) -> None:
        self.place = place
        self.client = client

    def name(self, kind: str) -> str:
        """What Milvus calls the collection of a kind of `KINDS`."""
        return f"{self.place.name}_{kind}"

    def query(
        self, kind: str, asked: str, fields: list[str], limit: int | None = None
    ) -> list[dict[str, Any]]:
        """At most `limit` rows that fulfil an expression, or as many as one query brings."""
        with explained_by_milvus(self.place):
            found = self.client.query(
                self.name(kind),
                filter=asked or EVERYTHING[kind],
                output_fields=fields,
                limit=limit or rows.MOST_ROWS,
                consistency_level="Strong",
            )
            return [dict(row) for row in found]

    def all(self, kind: str, asked: str, fields: list[str]) -> list[dict[str, Any]]:
        """Every row that fulfils an expression, however many."""
        found = self.query(kind, asked, fields)
        if len(found) < rows.MOST_ROWS:
            return found
        with explained_by_milvus(self.place):
            iterator = self.client.query_iterator(
                self.name(kind),
                filter=asked or EVERYTHING[kind],
                output_fields=fields,
                batch_size=4096,
                consistency_level="Strong",
            )
            found = []
            while batch := iterator.next():
                found += [dict(row) for row in batch]
            iterator.close()
        return found

    def get(self, kind: str, keys: Sequence[object], fields: list[str]) -> list[dict[str, Any]]:
        """Rows by their primary keys."""
        name = "path" if kind == "files" else "id"
        found = []
        for at in range(0, len(keys), ROWS_A_CALL):
            some = json.dumps(list(keys[at : at + ROWS_A_CALL]))
            found += self.query(kind, f"{name} in {some}", fields)
        return found

    def insert(self, kind: str, new: list[dict[str, Any]], a_call: int) -> None:
        """Write rows, or replace those of the same key, so many a call."""
        for at in range(0, len(new), a_call):
            self.client.upsert(self.name(kind), new[at : at + a_call])

    def delete(self, kind: str, asked: str) -> None:
        """Delete the rows that fulfil an expression."""
        with explained_by_milvus(self.place):
            self.client.delete(self.name(kind), filter=asked)

    def delete_of(self, kind: str, file_ids: Sequence[int]) -> None:
        """Delete the segments or frames of some numbers."""
        for at in range(0, len(file_ids), ROWS_A_CALL):
            self.delete(kind, f"file_id in {list(file_ids[at : at + ROWS_A_CALL])}")

    def notes(self, prefix: str) -> dict[str, Any]:
        """Key -> value of the notes whose keys begin so."""
        found = self.all("notes", f"id like {rows.in_quotes(prefix + '%')}", ["id", "value"])
        return {row["id"]: json.loads(row["value"]) for row in found}

    def put_notes(self, notes: Mapping[str, object]) -> None:
        """Write notes, or replace them."""
        new = [{"id": key, "value": json.dumps(value), "vector": [0.0, 0.0]} for key, value in notes.items()]
        with explained_by_milvus(self.place):
            self.insert("notes", new, ROWS_A_CALL)

    def delete_notes(self, keys: Sequence[str]) -> None:
        """Delete the notes of some keys."""
        for at in range(0, len(keys), ROWS_A_CALL):
            self.delete("notes", f"id in {json.dumps(list(keys[at : at + ROWS_A_CALL]))}")
