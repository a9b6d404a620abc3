"""Gather freely licensed sound from Debian packages, as short Ogg Opus clips to distil an audio network from.

    python scripts/free_sounds/gather.py --out free-sounds --scratch /var/tmp/free-sounds

Needs a Debian or Ubuntu with `apt-get update` done and `ffmpeg` installed, and the extra `soundseek[formats]`. The
packages of `packages.csv` are downloaded and unpacked, never installed; nothing of theirs is run. OUT/PACKAGE/ then
holds NNNN.opus (mono, about 28 kbit/s), an index and the package's debian/copyright; OUT/index.csv joins the indexes.
A package that OUT has is not done again, so a run that was stopped goes on. A file or a package that fails is named
and skipped, and the exit status is 1. `--record` writes licences and hours into the list; a row without them is of a
package that was not run yet, and may hold less than its description hopes for.

Distillation needs no captions, so what a sound is need not be known: `kind` is a guess from its path and length,
made only so that music and speech can be capped for each package.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import multiprocessing
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from containers import MODULE_EXTENSIONS, find_sounds, fresh_folder
from held_out import HeldOut
from licences import licence_line, read_copyright

Float = npt.NDArray[np.float32]

HERE = Path(__file__).parent
PIECE_S = 20.0
MIN_PIECE_S = 0.3
SILENT_PEAK = 10 ** (-48 / 20)
OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
OPUS_BIT_RATE = 28_000
EXIT_SKIPPED_A_FILE = 3
MAX_LOUD = 1.0  # Opus would clip above it
UNREADABLE = (ValueError, OSError, RuntimeError, av.FFmpegError, subprocess.TimeoutExpired)
LIST_FIELDS = ("package", "what", "kind", "licence", "clips", "hours")


@dataclass(frozen=True)
class Clip:
    """A row of an index; `sha256` is that of the decoded samples before they were coded again."""

    file: str
    package: str
    original: str
    duration_s: float
    kind: str
    licence: str
    sha256: str


@dataclass(frozen=True)
class Piece:
    """`length_s` seconds from `start_s` of the sound at `path`; `turn` counts the pieces of one file."""

    path: Path
    original: str
    kind: str
    start_s: float
    length_s: float
    turn: int


@dataclass(frozen=True)
class Limits:
    """What is taken of one package: pieces of a file, and minutes of a kind."""

    pieces_per_file: int
    minutes: dict[str, float]


class Sound(Protocol):
    """A decoder that can start anywhere."""

    duration_s: float

    def read(self, start_s: float, length_s: float) -> tuple[Float, int]:
        """Mono samples `(samples,)` and their rate in Hz."""


class LibsndfileSound:
    """WAV, FLAC, Ogg, mp3, AIFF, AU: decoded in this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        info = soundfile.info(path)
        self.duration_s = info.frames / info.samplerate

    def read(self, start_s: float, length_s: float) -> tuple[Float, int]:
        with soundfile.SoundFile(self._path) as file:
            if start_s:
                file.seek(round(start_s * file.samplerate))
            samples = file.read(round(length_s * file.samplerate), dtype="float32", always_2d=True)
            return samples.mean(axis=1), file.samplerate


class PyAVSound:
    """What libsndfile does not know: G.722, Speex, AAC, compressed WAV. Decoded in this process, from the start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ValueError("no sound track")
            stream = container.streams.audio[0]
            # Raw streams state no length: FFmpeg's own guess is from their size and bit rate.
            length_us = container.duration or 0
            self.duration_s = length_us / av.time_base or float(
                (stream.duration or 0) * (stream.time_base or 0)
            )
            # Where FFmpeg finds no codec for a track, PyAV's stream lacks what sounds have.
            self._rate_hz = getattr(stream, "rate", 0) or 0
            if not self._rate_hz:
                raise ValueError("no sound in it that can be decoded")

    def read(self, start_s: float, length_s: float) -> tuple[Float, int]:
        first, last = round(start_s * self._rate_hz), round((start_s + length_s) * self._rate_hz)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=self._rate_hz)
        parts, num_samples = [np.empty(0, np.float32)], 0
        with av.open(str(self._path)) as container:
            for frame in container.decode(audio=0):
                for part in resampler.resample(frame):
                    parts.append(part.to_ndarray()[0])
                    num_samples += len(parts[-1])
                if num_samples >= last:
                    break
        return np.concatenate(parts)[first:last], self._rate_hz


class ModuleSound:
    """Tracker modules, played by the FFmpeg of the distribution: only that one has libopenmpt."""

    rate_hz = 48_000

    def __init__(self, path: Path) -> None:
        self._path = path
        command = ["ffprobe", "-v", "error", "-of", "csv=p=0", "-show_entries", "format=duration", str(path)]
        self.duration_s = float(_run(command))

    def read(self, start_s: float, length_s: float) -> tuple[Float, int]:
        raw = _run(["ffmpeg", "-v", "error", "-nostdin", "-ss", f"{start_s:.3f}", "-t", f"{length_s:.3f}",
                    "-i", str(self._path), "-ac", "1", "-ar", str(self.rate_hz), "-f", "f32le", "-"])  # fmt: skip
        return np.frombuffer(raw, "<f4"), self.rate_hz


def open_sound(path: Path) -> Sound:
    """The decoder for a file.

    Raises:
        ValueError, OSError: No decoder reads it.
    """
    if path.suffix.lower() in MODULE_EXTENSIONS:
        return ModuleSound(path)
    try:
        return LibsndfileSound(path)
    except soundfile.LibsndfileError:
        return PyAVSound(path)


def _run(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(f"{command[0]}: {words[-1] if words else done.returncode}")
    return done.stdout


# A word counts where a name begins: "rain" is in rain_01.ogg and not in terrain.ogg.
_MUSIC = re.compile(
    r"(?<![a-z])(music|musik|songs?|soundtracks?|bgm|mus/|moh|tracks?/.*\.ogg)|\.(mod|xm|it|s3m)$|\.sf[23]/"
)
_SPEECH = re.compile(
    r"(?<![a-z])(voice|speech|talk|announcer|coms/|dialog|alphabet|words|numbers|letters|spoken|taunt|lang|prompts?)|"
    r"core-sounds|_desc|/sounds/[a-z]{2}(_[a-z]{2})?/"
)
_AMBIENCE = re.compile(
    r"(?<![a-z])(ambien|atmos|environ|nature|weather|rain(?![b])|wind(?!ow)|forest|ocean|background)"
)


def guess_kind(original: str, duration_s: float) -> str:
    """effects, music, speech or ambience, from the path inside the package and the length."""
    path = original.lower()
    if "/music/" in path:
        return "music"
    for kind, pattern in (("ambience", _AMBIENCE), ("speech", _SPEECH), ("music", _MUSIC)):
        if pattern.search(path):
            return kind
    return "music" if duration_s > 60 else "effects"


def plan_pieces(
    path: Path, original: str, kind: str, duration_s: float, *, pieces_per_file: int
) -> list[Piece]:
    """Pieces of at most `PIECE_S` seconds: the whole of a short file, evenly spread ones of a long one.

    Example:
        >>> [piece.start_s for piece in plan_pieces(Path("a"), "a", "music", 180.0, pieces_per_file=3)]
        [0.0, 80.0, 160.0]
    """
    whole = max(1, int(np.ceil(duration_s / PIECE_S)))
    num_pieces = min(pieces_per_file, whole)
    length_s = min(PIECE_S, duration_s / num_pieces)
    gap_s = (duration_s - length_s) / max(1, num_pieces - 1)
    return [Piece(path, original, kind, gap_s * turn, length_s, turn) for turn in range(num_pieces)]


def choose(pieces: Iterable[Piece], minutes: dict[str, float]) -> list[Piece]:
    """Pieces within the minutes of their kind: the first of every file before the second of any.

    Among files the order is that of a hash of their names, so a cap takes from all languages and albums alike.
    """

    def order(piece: Piece) -> tuple[int, str]:
        return piece.turn, hashlib.sha256(piece.original.encode()).hexdigest()

    taken: list[Piece] = []
    left_s = {kind: 60 * value for kind, value in minutes.items()}
    for piece in sorted(pieces, key=order):
        if left_s.get(piece.kind, PIECE_S) >= piece.length_s:
            taken.append(piece)
            if piece.kind in left_s:
                left_s[piece.kind] -= piece.length_s
    return sorted(taken, key=lambda piece: (piece.original, piece.turn))


def write_opus(path: Path, waveform: Float, rate_hz: int) -> None:
    """Write `(samples,)` at the next higher rate that Opus has."""
    opus_hz = next((rate for rate in OPUS_RATES_HZ if rate >= rate_hz), OPUS_RATES_HZ[-1])
    if opus_hz != rate_hz:
        waveform = soxr.resample(waveform, rate_hz, opus_hz, quality="MQ")
    # libsndfile writes Opus too, but only at its slowest setting, which takes four times as long.
    with av.open(str(path), "w", format="opus") as container:
        options = {"compression_level": "4"}
        stream = container.add_stream("libopus", rate=opus_hz, layout="mono", options=options)
        stream.bit_rate = OPUS_BIT_RATE
        samples = np.clip(waveform, -MAX_LOUD, MAX_LOUD)[np.newaxis].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        frame.sample_rate, frame.pts = opus_hz, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


class Gatherer:
    """Packages -> clips in `out`.

    Args:
        out: Where the clips go.
        scratch: Where packages are kept while they are unpacked.
        limits: What is taken of one package.
        held_out: Sounds that must not be among the clips, if any.
    """

    def __init__(self, out: Path, scratch: Path, *, limits: Limits, held_out: HeldOut | None) -> None:
        self._out, self._scratch, self._limits, self._held_out = out, scratch, limits, held_out
        self._seen: set[str] = {clip.sha256 for clip in read_clips(out)}
        self._at, self._crashed = scratch / "at", set[str]()
        self.num_failed = 0

    def gather_apart(self, package: str, kind: str) -> list[Clip]:
        """`gather` in a process of its own, which a decoder may crash; then again without the file it was at.

        Raises:
            RuntimeError: `gather` failed, and said why.
        """
        while True:
            process = multiprocessing.get_context("fork").Process(
                target=self._gather_and_exit, args=(package, kind)
            )
            process.start()
            process.join()
            if process.exitcode in (0, EXIT_SKIPPED_A_FILE):
                self.num_failed += process.exitcode != 0
                break
            at = self._at.read_text(encoding="utf-8") if self._at.is_file() else ""
            if process.exitcode == 1 or not at or at in self._crashed:
                raise RuntimeError(f"{package}: left out, exit status {process.exitcode}")
            self._crashed.add(at)
            self._complain(f"{at}: a decoder crashed")
        clips = list(read_index(self._out / package / "index.csv"))
        self._seen |= {clip.sha256 for clip in clips}
        return clips

    def _gather_and_exit(self, package: str, kind: str) -> None:
        self._at.unlink(missing_ok=True)
        self.num_failed = 0
        try:
            self.gather(package, kind)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            print(f"{package}: {error}", file=sys.stderr, flush=True)
            sys.exit(1)
        if self.num_failed:
            sys.exit(EXIT_SKIPPED_A_FILE)

    def gather(self, package: str, kind: str) -> list[Clip]:
        """The clips of one package; what is there already is not made again.

        Args:
            package: Name of a Debian package.
            kind: The kind of all its sounds, or "auto".

        Raises:
            OSError, ValueError: It cannot be downloaded, unpacked or has no debian/copyright.
        """
        folder = self._out / package
        if (folder / "index.csv").is_file():
            return list(read_index(folder / "index.csv"))
        root = fresh_folder(self._scratch / "root")
        _run(["dpkg-deb", "-x", str(self._download(package)), str(root)])
        text = read_copyright(root, package)
        fresh_folder(folder)
        (folder / "copyright").write_text(text, encoding="utf-8")
        found: dict[str, list[Piece]] = defaultdict(list)
        for path, original in find_sounds(root, fresh_folder(self._scratch / "members"), self._complain):
            for piece in self._plan(path, original, kind):
                found[piece.original].append(piece)
        chosen = choose((piece for pieces in found.values() for piece in pieces), self._limits.minutes)
        clips = list(self._cut(chosen, package, licence_line(text)))
        write_index(folder / "index.csv", clips)
        shutil.rmtree(root)
        return clips

    def _download(self, package: str) -> Path:
        folder = self._scratch / "debs"
        folder.mkdir(parents=True, exist_ok=True)
        if not (there := sorted(folder.glob(f"{package}_*.deb"))):
            subprocess.run(
                ["apt-get", "download", "-q", package], cwd=folder, check=True, capture_output=True
            )
            there = sorted(folder.glob(f"{package}_*.deb"))
        return there[-1]

    def _plan(self, path: Path, original: str, kind: str) -> list[Piece]:
        if original in self._crashed or (self._held_out is not None and self._held_out.has_name(original)):
            return []
        self._at.write_text(original, encoding="utf-8")
        try:
            duration_s = open_sound(path).duration_s
        except UNREADABLE as error:
            self._complain(f"{original}: {error}")
            return []
        if duration_s < MIN_PIECE_S:
            return []
        if kind == "auto":
            kind = guess_kind(original, duration_s)
        return plan_pieces(path, original, kind, duration_s, pieces_per_file=self._limits.pieces_per_file)

    def _cut(self, pieces: Iterable[Piece], package: str, licence: str) -> Iterator[Clip]:
        number = 0
        for piece in pieces:
            self._at.write_text(piece.original, encoding="utf-8")
            try:
                waveform, rate_hz = open_sound(piece.path).read(piece.start_s, piece.length_s)
            except UNREADABLE as error:
                self._complain(f"{piece.original}: {error}")
                continue
            key = hashlib.sha256((np.clip(waveform, -1, 1) * 32767).astype("<i2").tobytes()).hexdigest()
            if not self._wanted(waveform, rate_hz, key):
                continue
            name = f"{package}/{number:04d}.opus"
            write_opus(self._out / name, waveform, rate_hz)
            self._seen.add(key)
            number += 1
            duration_s = round(len(waveform) / rate_hz, 3)
            yield Clip(name, package, piece.original, duration_s, piece.kind, licence, key)

    def _wanted(self, waveform: Float, rate_hz: int, key: str) -> bool:
        """Long enough, no silence, not taken before, not held out."""
        if key in self._seen or len(waveform) < MIN_PIECE_S * rate_hz or not np.isfinite(waveform).all():
            return False
        if np.abs(waveform - waveform.mean()).max() < SILENT_PEAK:
            return False
        return self._held_out is None or not self._held_out.has_sound(waveform, rate_hz)

    def _complain(self, words: str) -> None:
        self.num_failed += 1
        print(f"  skipped {words}", file=sys.stderr, flush=True)


def read_index(path: Path) -> Iterator[Clip]:
    """The rows of an index.csv."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield Clip(**{**row, "duration_s": float(row["duration_s"])})  # type: ignore[arg-type]


def read_clips(out: Path) -> list[Clip]:
    """The clips of all packages that are whole."""
    return [clip for path in sorted(out.glob("*/index.csv")) for clip in read_index(path)]


def write_index(path: Path, clips: Iterable[Clip]) -> None:
    """Write an index.csv; whoever reads it meanwhile has the old or the new one."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Clip)])
        writer.writerows(map(astuple, clips))
    part.replace(path)


def read_list(path: Path) -> list[dict[str, str]]:
    """The rows of packages.csv."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def record(path: Path, rows: list[dict[str, str]], clips: Iterable[Clip]) -> None:
    """Write the licence, the number of clips and the hours of each package into packages.csv."""
    by_package: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_package[clip.package].append(clip)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, LIST_FIELDS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            if taken := by_package.get(row["package"]):
                hours = sum(clip.duration_s for clip in taken) / 3600
                row = {**row, "licence": taken[0].licence, "clips": str(len(taken)), "hours": f"{hours:.2f}"}
            writer.writerow(row)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the clips")
    parser.add_argument(
        "--scratch", type=Path, required=True, help="folder for downloaded and unpacked packages"
    )
    parser.add_argument("--packages", type=Path, default=HERE / "packages.csv", help="list of packages")
    parser.add_argument("--only", nargs="+", metavar="PACKAGE", help="these packages of the list alone")
    parser.add_argument("--held-out", type=Path, metavar="SOUNDS",
                        help="leave out sounds of the validation and evaluation clips of this collection")  # fmt: skip
    parser.add_argument(
        "--pieces-per-file", type=int, default=6, help="of 20 s each, evenly spread (default 6)"
    )
    parser.add_argument("--music-minutes", type=float, default=60, help="at most, of a package (default 60)")
    parser.add_argument("--speech-minutes", type=float, default=20, help="at most, of a package (default 20)")
    parser.add_argument(
        "--hours", type=float, default=30, help="start no further package after so many (default 30)"
    )
    parser.add_argument("--keep-debs", action="store_true", help="keep downloaded packages in SCRATCH")
    parser.add_argument("--record", action="store_true", help="write licences and hours into the list")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    rows = read_list(arguments.packages)
    out, scratch = arguments.out, arguments.scratch
    out.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    limits = Limits(
        arguments.pieces_per_file, {"music": arguments.music_minutes, "speech": arguments.speech_minutes}
    )
    held_out = HeldOut(arguments.held_out) if arguments.held_out else None
    gatherer = Gatherer(out, scratch, limits=limits, held_out=held_out)
    hours = sum(clip.duration_s for clip in read_clips(out)) / 3600
    for row in rows:
        package = row["package"]
        if (arguments.only and package not in arguments.only) or (out / package / "index.csv").is_file():
            continue
        if hours >= arguments.hours:
            break
        try:
            clips = gatherer.gather_apart(package, row["kind"] or "auto")
        except RuntimeError as error:
            gatherer.num_failed += 1
            print(error, file=sys.stderr, flush=True)
            continue
        finally:
            if not arguments.keep_debs:
                shutil.rmtree(scratch / "debs", ignore_errors=True)
        taken_s = sum(clip.duration_s for clip in clips)
        hours += taken_s / 3600
        write_index(out / "index.csv", read_clips(out))
        (out / "STATUS").write_text(f"READY {hours:.2f} hours\n", encoding="utf-8")
        print(f"{package}: {len(clips)} clips, {taken_s / 60:.1f} min; {hours:.2f} h in all", flush=True)
    if arguments.record:
        record(arguments.packages, rows, read_clips(out))
    return int(gatherer.num_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
