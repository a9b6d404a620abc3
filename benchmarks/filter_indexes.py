"""What indexes over the columns that people filter by would save and cost, in the database of a library alone.

    python benchmarks/filter_indexes.py [--files 250000] [--json docs/results/approximate.json]

The table `files` of a library, as soundseek makes it, is filled once as it is and once with an index over each of four
columns, and asked which files pass, as the first search with a filter asks. Seed 0, processor times of one thread.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import keep_result

from soundseek.library.filters import parse_where, to_sql
from soundseek.library.store import tables

INDEXED = ("duration_s", "format", "sample_rate_hz", "mtime_ns")
CONDITIONS = (
    "duration < 50",
    "duration < 10",
    "duration < 1",
    "format = FLAC",
    "rate >= 96000",
    "modified > 2024-10-01",
)
BATCH_FILES, TIMES = 1000, 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=250_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = {
        "files": options.files,
        "without": measured(options.files, ()),
        "with_indexes": measured(options.files, INDEXED),
    }
    keep_result(options.json, "filter_indexes", report)


def measured(num_files: int, indexed: tuple[str, ...]) -> dict[str, Any]:
    """Seconds to fill, bytes, and milliseconds of each condition."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / tables.DATABASE_FILE
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        for sql in tables.TABLES:
            connection.execute(sql)
        for column in indexed:
            connection.execute(f"CREATE INDEX files_by_{column} ON files ({column})")
        fill_s = fill(connection, num_files)
        asked = [ask(connection, condition) for condition in CONDITIONS]
        connection.close()
        return {"fill_cpu_s": round(fill_s, 2), "bytes": path.stat().st_size, "conditions": asked}


def fill(connection: sqlite3.Connection, num_files: int) -> float:
    """Processor seconds that inserting files of random facts takes."""
    generator, took_s = np.random.default_rng(0), 0.0
    for first in range(0, num_files, BATCH_FILES):
        rows = [row(number, generator) for number in range(first, min(first + BATCH_FILES, num_files))]
        began = time.process_time()
        connection.execute("BEGIN")
        connection.executemany(tables.INSERT_FILE, rows)
        connection.execute("COMMIT")
        took_s += time.process_time() - began
    began = time.process_time()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return took_s + time.process_time() - began


def row(number: int, generator: np.random.Generator) -> tuple[object, ...]:
    """A file, in the order of `INSERT_FILE`."""
    kind, rate_hz = (
        generator.choice(["WAV", "FLAC", "MP3", "OGG/VORBIS"]),
        generator.choice([44100, 48000, 96000]),
    )
    modified_ns = 1_700_000_000_000_000_000 + int(generator.integers(0, 10**17))
    path = f"/sounds/{number // 1000:04}/kick snare {number:07}.wav".encode()
    facts = (
        path,
        int(generator.integers(1 << 24)),
        modified_ns,
        generator.bytes(16),
        str(kind),
        int(rate_hz),
        2,
    )
    lengths = (float(generator.uniform(0, 100)), 0, 0.32, 0.0)
    return (*facts, *lengths, number + 1, "kick snare", 4 * number, 4, number, 1)


def ask(connection: sqlite3.Connection, condition: str) -> dict[str, Any]:
    """The median of some askings."""
    sql, values = to_sql(parse_where(condition))
    times_ms = []
    for _ in range(TIMES):
        began = time.process_time()
        found = tables.numbers_in(connection, f"SELECT group_concat(id) FROM files WHERE {sql}", values)
        times_ms.append((time.process_time() - began) * 1e3)
    return {"where": condition, "files": len(found), "ms": round(statistics.median(times_ms), 1)}


if __name__ == "__main__":
    main()
