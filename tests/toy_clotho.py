"""A release of Clotho with a handful of clips: the same files, layout and quirks, a few kilobytes."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import py7zr
from tones import write_tone

from soundseek.learn.datasets.sources import ClothoRelease, ClothoSplit, RemoteFile

CLIPS = {
    # In Clotho too: a name that begins with a space, commas, quotes and letters outside ASCII.
    "development": ["rain.wav", " typical neighborhood.wav", 'a "loud", long bell.wav'],
    "validation": ["Café.wav"],
    "evaluation": ["wind.wav"],
}


@dataclass(frozen=True)
class ToyClotho:
    """A release and the files that a server of it has.

    Attributes:
        release: As `soundseek.learn.datasets.sources.CLOTHO`.
        files: Name -> content.
    """

    release: ClothoRelease
    files: dict[str, bytes]


def make_toy_clotho(scratch: Path) -> ToyClotho:
    """Five clips in three splits; every clip of a split sounds different."""
    files: dict[str, bytes] = {}
    splits = {}
    frequency_hz = 100.0
    for split, names in CLIPS.items():
        folder = scratch / split
        folder.mkdir(parents=True)
        for name in names:
            write_tone(folder / name, frequency_hz=frequency_hz, duration_s=0.25)
            frequency_hz *= 1.5
        archive = scratch / f"clotho_audio_{split}.7z"
        with py7zr.SevenZipFile(archive, "w") as packed:
            packed.writeall(folder, split)
        captions = [[name, *(f"{name.strip()[0]} sound {n}, heard" for n in range(5))] for name in names]
        metadata = [[name, "key;word", str(1000 + n), "Müller"] for n, name in enumerate(names)]
        content = {
            "audio.7z": archive.read_bytes(),
            "captions.csv": _csv(["file_name", *(f"caption_{n}" for n in range(1, 6))], captions).encode(),
            "metadata.csv": _csv(["file_name", "keywords", "sound_id", "manufacturer"], metadata).encode(
                "iso-8859-1"
            ),
        }
        remote = []
        for what, data in content.items():
            kind, suffix = what.split(".")
            full = f"clotho_{kind}_{split}.{suffix}"
            files[full] = data
            md5 = hashlib.md5(data).hexdigest()
            remote.append(RemoteFile(full, f"http://nowhere.invalid/{full}", md5))
        splits[split] = ClothoSplit(*remote, num_clips=len(names))
    return ToyClotho(ClothoRelease("https://example.org/clotho", splits), files)


def _csv(header: list[str], rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue()
