"""How a process comes to a library in Milvus: a client, the Milvus collections, and what errors mean."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from soundseek._install import install_command
from soundseek.errors import LibraryError, UsageError
from soundseek.library.location import EngineLocation
from soundseek.library.store import milvus_rows as rows
from soundseek.library.store.base import ModelIdentity, about_library

# In the order in which they are made: a library is one once its notes say with which model.
KINDS = ("notes", "segments", "frames", "files")
TIMEOUT_S = 10.0
_PARTITIONS = 16
_INDEX = {"index_type": "HNSW", "metric_type": "IP", "params": {"M": 24, "efConstruction": 300}}


def lite_file(place: EngineLocation) -> str | None:
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


def connect_to_milvus(place: EngineLocation) -> Any:
    """A client.

    Raises:
        UsageError: pymilvus is not installed, or the URI has no Milvus in it.
        LibraryError: The server cannot be reached, or refuses the user.
    """
    lite = lite_file(place)
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
    with explained_by_milvus(place):
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
            timeout=TIMEOUT_S,
        )


@contextmanager
def explained_by_milvus(place: EngineLocation) -> Iterator[None]:
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


def read_milvus_library(client: Any, place: EngineLocation) -> dict[str, str] | None:
    """Format and model of a library; None where there is none.

    Raises:
        LibraryError: Collections of somebody else have its names.
    """
    there = [kind for kind in KINDS if client.has_collection(f"{place.name}_{kind}")]
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
    if {"format", "name", "fingerprint", "dim", "source"} <= set(about) and len(there) == len(KINDS):
        return about
    if there == list(KINDS[: len(there)]) and not about and has_notes:  # its making was killed
        return None
    raise LibraryError(
        f"{place.shown} holds collections that are not soundseek's ({', '.join(f'{place.name}_{k}' for k in there)}); "
        "name another library in the URI: ?library=NAME"
    )


def create_milvus_library(client: Any, place: EngineLocation, identity: ModelIdentity) -> None:
    """Make an empty library of this model, or what is missing of one whose making was killed."""
    for kind in KINDS:
        if not client.has_collection(f"{place.name}_{kind}"):
            make_collection(client, place, kind, identity.dim)
    new = [
        {"id": f"setting/{key}", "value": json.dumps(value), "vector": [0.0, 0.0]}
        for key, value in about_library(identity, rows.FORMAT).items()
    ]
    client.insert(f"{place.name}_notes", new)


def make_collection(client: Any, place: EngineLocation, kind: str, dim: int) -> None:
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
