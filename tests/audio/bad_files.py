"""Every kind of file that is no sound, or not all of one, in a folder, with the reason it should get.

Any test that walks a folder of sounds can use it: `for bad in write_bad_files(tmp_path): ...`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

RATE_HZ = 44_100


@dataclass(frozen=True)
class BadFile:
    """One bad input.

    Attributes:
        name: File name in the folder (bytes that are no UTF-8 as surrogate escapes).
        reason: Regular expression that the reason of the DecodeError matches.
        kind: "file" for a regular file, which a walk through the folder must report; "other" for a folder, a
            link that leads nowhere, or a pipe, which it may as well pass over.
    """

    name: str
    reason: str
    kind: str = "file"


def tone(duration_s: float, channels: int = 1) -> npt.NDArray[np.float32]:
    """A 440 Hz tone with a little noise, `(frames, channels)`, peak about 0.35."""
    generator = np.random.default_rng(0)
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    wave = 0.3 * np.sin(2 * np.pi * 440 * time_s) + 0.01 * generator.standard_normal(len(time_s))
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def wav_bytes(
    data: bytes, *, channels: int = 1, rate_hz: int = RATE_HZ, data_bytes: int | None = None
) -> bytes:
    """A 16-bit wav whose header may lie: about channels, rate, and the size of its data."""
    frame_bytes = channels * 2
    claimed = len(data) if data_bytes is None else data_bytes
    fields = (16, 1, channels, rate_hz, rate_hz * frame_bytes & 0xFFFFFFFF, frame_bytes & 0xFFFF, 16)
    fmt = struct.pack("<IHHIIHH", *fields)
    riff_bytes = 36 + claimed & 0xFFFFFFFF
    return (
        b"RIFF"
        + struct.pack("<I", riff_bytes)
        + b"WAVEfmt "
        + fmt
        + b"data"
        + struct.pack("<I", claimed)
        + data
    )


def encoded(folder: Path, suffix: str, duration_s: float = 4.0, **options: object) -> bytes:
    """The bytes of a tone in some format of soundfile."""
    path = folder / f".encoded{suffix}"
    soundfile.write(path, tone(duration_s), RATE_HZ, **options)
    data = path.read_bytes()
    path.unlink()
    return data


def flac_claiming(flac: bytes, num_samples: int) -> bytes:
    """The same flac with another total in STREAMINFO: 36 bits that end 26 bytes into the file."""
    field = int.from_bytes(flac[18:26], "big")
    field = field >> 36 << 36 | num_samples
    return flac[:18] + field.to_bytes(8, "big") + flac[26:]


def without_xing_header(mp3: bytes) -> bytes:
    """The same mp3 (MPEG 1) without its first frame, which holds only the Xing or Info header."""
    kbps = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[mp3[2] >> 4]
    return mp3[144 * kbps * 1000 // RATE_HZ + (mp3[2] >> 1 & 1) :]


def with_flipped_bits(data: bytes, positions: range) -> bytes:
    """The same bytes with one bit of each position turned."""
    flipped = bytearray(data)
    for position in positions:
        flipped[position] ^= 1 << position % 8
    return bytes(flipped)


def write_bad_files(folder: Path) -> list[BadFile]:
    """Write every bad input into `folder`; what this machine or user cannot make is left out."""
    contents = _not_sound() + _cut_off(folder) + _lying_headers(folder)
    for bad, data in contents:
        (folder / bad.name).write_bytes(data)
    return [bad for bad, _ in contents] + _impossible_samples(folder) + _not_files(folder)


def _not_sound() -> list[tuple[BadFile, bytes]]:
    text = b"kick 01, snare 02, hat 03\n" * 20
    noise = np.random.default_rng(1).integers(0, 256, 20_000, np.uint8).tobytes()
    page = b"<!DOCTYPE html><title>404 Not Found</title>" * 5
    return [
        (BadFile("empty.wav", "^empty: 0 bytes$"), b""),
        (BadFile("text.wav", "^text, not sound: it begins with 'kick 01"), text),
        (BadFile("text.au", "^text, not sound"), text),
        (BadFile("text.m4a", "^text, not sound"), text),
        (BadFile("web-page.mp3", "^text, not sound: it begins with '<!DOCTYPE html>"), page),
        (BadFile("zeros.wav", "nothing but zero bytes"), bytes(5000)),
        (BadFile("noise.flac", "not a sound format"), noise),
        (BadFile("one-byte.ogg", "not a sound format|text"), b"O"),
        (
            BadFile("damaged.m4a", "^damaged MP4, or cut off|needs one more package"),
            b"\0\0\0\x20ftypM4A " + noise,
        ),
    ]


def _cut_off(folder: Path) -> list[tuple[BadFile, bytes]]:
    def half(suffix: str, **options: object) -> bytes:
        data = encoded(folder, suffix, **options)
        return data[: len(data) // 2]

    short = r"^truncated: its header says 4\.0 s, (1\.9|2\.0|2\.1) s could be decoded$"
    flac = encoded(folder, ".flac")
    middle = range(len(flac) // 2, len(flac) // 2 + 400, 10)
    return [
        (BadFile("cut.wav", short), half(".wav")),
        (BadFile("cut-float.wav", short), half(".wav", subtype="FLOAT")),
        (BadFile("cut-rf64.wav", short), half(".wav", format="RF64")),
        (BadFile("cut.aiff", short), half(".aiff")),
        (BadFile("cut.au", short), half(".au")),
        (BadFile("cut.mp3", short), half(".mp3")),
        (BadFile("cut.caf", short), half(".caf")),
        (BadFile("cut.flac", "^damaged or cut off: flac decoder lost sync"), half(".flac")),
        (BadFile("head-of.ogg", "^damaged"), encoded(folder, ".ogg")[:1000]),
        (BadFile("flipped.flac", "^damaged or cut off"), with_flipped_bits(flac, middle)),
        (
            BadFile("flipped-header.wav", "^damaged"),
            with_flipped_bits(encoded(folder, ".wav"), range(12, 24)),
        ),
        (BadFile("header-only.wav", "^no sound: by its header it holds no samples$"), wav_bytes(b"")),
        (BadFile("header-of-10-s.wav", "holds no samples$"), wav_bytes(b"", data_bytes=882_000)),
    ]


def _lying_headers(folder: Path) -> list[tuple[BadFile, bytes]]:
    samples = bytes(RATE_HZ)
    flac = encoded(folder, ".flac")
    # 2^36 - 1 samples are the most that 36 bits hold: 18 days at 44.1 kHz.
    return [
        (
            BadFile("claims-18-days.flac", r"header says 1,558,264\.\d s, 4\.0 s"),
            flac_claiming(flac, 2**36 - 1),
        ),
        (BadFile("no-channels.wav", "claims 0 channels at 44100 Hz"), wav_bytes(samples, channels=0)),
        (BadFile("65535-channels.wav", "claims 65535 channels"), wav_bytes(samples, channels=65_535)),
        (BadFile("no-rate.wav", "channels at 0 Hz"), wav_bytes(samples, rate_hz=0)),
        (BadFile("4-ghz.wav", "channels at 4294967295 Hz"), wav_bytes(samples, rate_hz=2**32 - 1)),
        (BadFile("8-hz.wav", "channels at 8 Hz"), wav_bytes(samples, rate_hz=8)),
    ]


def _impossible_samples(folder: Path) -> list[BadFile]:
    def with_sample(value: float) -> npt.NDArray[np.float32]:
        wave = tone(1)
        wave[20_000] = value
        return wave

    dither = np.random.default_rng(2).integers(-1, 2, RATE_HZ).astype(np.int16)
    waves: list[tuple[BadFile, npt.NDArray[np.float32] | npt.NDArray[np.int16]]] = [
        (BadFile("nan.wav", "^damaged.* NaN"), with_sample(np.nan)),
        (BadFile("infinite.wav", "^damaged.* samples reach inf"), with_sample(np.inf)),
        (BadFile("minus-infinite.wav", "^damaged.* samples reach inf"), with_sample(-np.inf)),
        (
            BadFile("one-wild-sample.wav", r"^damaged.* samples reach 32767, 1000 at most"),
            with_sample(-32_767),
        ),
        (BadFile("silent.wav", "^silent: "), np.zeros((RATE_HZ, 1), np.float32)),
        (BadFile("dither-only.wav", "^silent: "), dither),
        (BadFile("5-ms.wav", "^too short: 5 ms, at least 10 ms"), tone(0.005)),
    ]
    for bad, wave in waves:
        subtype = "PCM_16" if wave.dtype == np.int16 else "FLOAT"
        soundfile.write(folder / bad.name, wave, RATE_HZ, subtype=subtype)
    return [bad for bad, _ in waves]


def _not_files(folder: Path) -> list[BadFile]:
    made: list[BadFile] = []

    def add(bad: BadFile, make: Callable[[Path], object]) -> None:
        try:
            make(folder / bad.name)
        except (OSError, NotImplementedError, AttributeError):
            return  # no links, no pipes or no such names on this file system
        made.append(bad)

    add(BadFile("folder.wav", "^a folder, not a file$", "other"), lambda path: path.mkdir())
    add(BadFile("loop.wav", "^a loop of links$", "other"), lambda path: path.symlink_to(path.name))
    add(
        BadFile("nowhere.wav", r"^a link to gone\.wav, which is not there$", "other"),
        lambda path: path.symlink_to("gone.wav"),
    )
    add(BadFile("pipe.wav", "^a pipe, not a file$", "other"), lambda path: os.mkfifo(path))
    latin1 = os.fsdecode(b"caf\xe9.wav")
    add(
        BadFile(latin1, "^text, not sound"), lambda path: path.write_text("no sound, and a name in Latin-1\n")
    )
    if hasattr(os, "geteuid") and os.geteuid() != 0:  # nothing is unreadable to root
        add(BadFile("unreadable.wav", "^no permission to read it$"), _write_unreadable)
    return made


def _write_unreadable(path: Path) -> None:
    soundfile.write(path, tone(1), RATE_HZ)
    path.chmod(0)
