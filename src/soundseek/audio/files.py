"""What a path leads to, before any decoder sees it: a regular file, its format by its first bytes, or why not."""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from soundseek.errors import DecodeError, MissingFileError

DECODING_REVISION = 5
"""Whoever makes more files readable gives this the next number: a library then tries again what failed."""

TAGS_REVISION = 2
"""Whoever lets more tags be read gives this the next number: a library then reads those of its files again."""

HEAD_BYTES = 4096
_LEAST_HEADER_BYTES = 128  # a W64 file has as many before its first sample; most others have 40 to 80

_OS_REASONS = {
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
    errno.ELOOP: "a loop of links",
    errno.ENAMETOOLONG: "its name is too long",
}


@dataclass(frozen=True)
class Format:
    """A container.

    Attributes:
        name: For messages: "MP4", "Monkey's Audio".
        demuxers: FFmpeg's names of what reads it, separated by commas.
        only_ffmpeg: libsndfile does not know it.
    """

    name: str
    demuxers: str
    only_ffmpeg: bool = True


_MP4 = Format("MP4", "mov,mp4,m4a,3gp,3g2,mj2")
_WAV = Format("WAV", "wav", only_ffmpeg=False)
_AAC, _LATM = Format("AAC", "aac"), Format("AAC", "loas")
_AC3, _EAC3, _DTS = Format("AC-3", "ac3,eac3"), Format("E-AC-3", "eac3,ac3"), Format("DTS", "dts,dtshd")
_AMR, _MPC = Format("AMR", "amr,amrnb,amrwb"), Format("Musepack", "mpc,mpc8")
_TS, _MPEG = Format("MPEG-TS", "mpegts"), Format("MPEG-PS", "mpeg")
_ASF, _REAL, _MXF = Format("WMA", "asf"), Format("RealAudio", "rm"), Format("MXF", "mxf")
_MATROSKA, _AVI = Format("Matroska/WebM", "matroska,webm"), Format("AVI", "avi")
_OGG = Format("Ogg", "ogg", only_ffmpeg=False)
_MP3 = Format("MP3", "mp3", only_ffmpeg=False)

_SIGNATURES: tuple[tuple[int, bytes, Format], ...] = (
    (8, b"WAVE", _WAV),
    (0, b"riff\x2e\x91\xcf\x11", Format("W64", "w64", only_ffmpeg=False)),
    (8, b"AIF", Format("AIFF", "aiff", only_ffmpeg=False)),
    (8, b"8SVX", Format("SVX", "iff", only_ffmpeg=False)),
    (8, b"DSD ", Format("DSDIFF", "iff")),
    (8, b"AVI ", _AVI),
    (0, b"caff", Format("CAF", "caf", only_ffmpeg=False)),
    (0, b".snd", Format("AU", "au", only_ffmpeg=False)),
    (0, b"fLaC", Format("FLAC", "flac", only_ffmpeg=False)),
    (0, b"OggS", _OGG),
    (0, b"Creative Voice File", Format("VOC", "voc", only_ffmpeg=False)),
    (4, b"ftyp", _MP4),
    (4, b"moov", _MP4),
    (4, b"mdat", _MP4),
    (4, b"wide", _MP4),
    (0, b"\x1a\x45\xdf\xa3", _MATROSKA),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", _ASF),
    (0, b"\x0b\x77", _AC3),
    (0, b"\x77\x0b", _AC3),
    (0, b"#!AMR", _AMR),
    (0, b"wvpk", Format("WavPack", "wv")),
    (0, b"MAC ", Format("Monkey's Audio", "ape")),
    (0, b"TTA1", Format("True Audio", "tta")),
    (0, b"MPCK", _MPC),
    (0, b"MP+", _MPC),
    (0, b"tBaK", Format("TAK", "tak")),
    (0, b"DSD ", Format("DSF", "dsf")),
    (0, b"\x7f\xfe\x80\x01", _DTS),
    (0, b"\xfe\x7f\x01\x80", _DTS),
    (0, b"\x1f\xff\xe8\x00", _DTS),
    (0, b"\xff\x1f\x00\xe8", _DTS),
    (0, b"DTSHDHDR", _DTS),
    (4, b"\xf8\x72\x6f\xba", Format("TrueHD", "truehd")),
    (4, b"\xf8\x72\x6f\xbb", Format("MLP", "mlp")),
    (0, b".ra\xfd", _REAL),
    (0, b".RMF", _REAL),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01", _MXF),
    (0, b"\0\0\x01\xba", _MPEG),
    (0, b"FLV\x01", Format("FLV", "flv")),
    (0, b"ajkg", Format("Shorten", "shn")),
)

_BY_EXTENSION: dict[str, Format] = {
    ".m4a": _MP4, ".m4b": _MP4, ".m4r": _MP4, ".mp4": _MP4, ".m4v": _MP4, ".mov": _MP4, ".3gp": _MP4, ".3g2": _MP4,
    ".aac": _AAC, ".latm": _LATM, ".loas": _LATM, ".ac3": _AC3, ".eac3": _EAC3, ".ec3": _EAC3, ".dts": _DTS,
    ".amr": _AMR, ".awb": _AMR, ".wma": _ASF, ".asf": _ASF, ".wmv": _ASF, ".ra": _REAL, ".rm": _REAL,
    ".webm": _MATROSKA, ".mka": _MATROSKA, ".mkv": _MATROSKA, ".avi": _AVI, ".flv": Format("FLV", "flv"),
    ".m2ts": _TS, ".mpg": _MPEG, ".mpeg": _MPEG, ".mxf": _MXF, ".wv": Format("WavPack", "wv"),
    ".ape": Format("Monkey's Audio", "ape"), ".tta": Format("True Audio", "tta"), ".mpc": _MPC,
    ".tak": Format("TAK", "tak"), ".dsf": Format("DSF", "dsf"), ".dff": Format("DSDIFF", "iff"),
    ".shn": Format("Shorten", "shn"), ".thd": Format("TrueHD", "truehd"), ".mlp": Format("MLP", "mlp"),
    ".spx": Format("Speex in Ogg", "ogg"), ".ogv": _OGG,
}  # fmt: skip

FORMATS_EXTENSIONS = frozenset(_BY_EXTENSION)
"""File extensions, in lower case, of sounds that only FFmpeg reads: they need the extra `soundseek[formats]`."""

AUDIO_EXTENSIONS = FORMATS_EXTENSIONS | frozenset({
    ".wav", ".wave", ".bwf", ".bw64", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".mp1",
    ".mpga", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".svx", ".8svx", ".avr", ".sph", ".nist",
})  # fmt: skip
"""File extensions, in lower case, of the sounds that soundseek looks for in a folder."""

# Hidden files and folders are passed by as well. These are not hidden: thumbnails, recycle bins, snapshots, caches.
SYSTEM_FOLDERS = frozenset(
    name.casefold()
    for name in (
        # Synology, QNAP, NetApp, Netatalk
        "@eaDir", "#recycle", "#snapshot", "@tmp", "#tmp", "@Recycle", "@Recently-Snapshot", "@Snapshot", "@__thumb",
        "@sharebin", "@sharesnap", "@database", "@appstore", "@appconf", "@appdata", "@apphome", "@apptemp", "@docker",
        "@optware", "@SynoDrive", "@SynologyDrive", "@SynoResource", "@SynoFinder-log", "@SynoFinder-etc-volume",
        "@cloudsync", "@DownloadStationTempFiles", "@S2S", "~snapshot", "Network Trash Folder", "Temporary Items",
        "TheVolumeSettingsFolder", "TheFindByContentFolder",
        # Windows, OneDrive, Linux, GoodSync, Time Machine, archives made on a Mac
        "$RECYCLE.BIN", "RECYCLER", "RECYCLED", "System Volume Information", "Config.Msi", "$WinREAgent", "$SysReset",
        "WindowsImageBackup", "OneDriveTemp", "lost+found", "_gsdata_", "Backups.backupdb", "__MACOSX", "FOUND.000",
    )
)  # fmt: skip


def is_passed_by(below: Path) -> bool:
    """Whether a file is hidden, or lies in a hidden folder or in one that a system keeps for itself.

    Args:
        below: Its path from the folder that is looked through.

    Example:
        >>> is_passed_by(Path("wood/@eaDir/door.wav/x.wav")), is_passed_by(Path("._door.wav"))
        (True, True)
    """
    return any(part.startswith(".") for part in below.parts) or any(
        part.casefold() in SYSTEM_FOLDERS for part in below.parts[:-1]
    )


def sounds_of_folder(folder: Path) -> list[Path]:
    """The files below a folder whose names are those of sounds, in order; see `is_passed_by`."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_EXTENSIONS
        and not is_passed_by(path.relative_to(folder))
        and path.is_file()
    )


_WAVE_CODECS = {
    0x0001: "PCM", 0x0002: "Microsoft ADPCM", 0x0003: "float PCM", 0x0006: "A-law", 0x0007: "µ-law",
    0x0011: "IMA ADPCM", 0x0014: "G.723", 0x0016: "G.723",
    0x0022: "TrueSpeech", 0x0031: "GSM 6.10", 0x0040: "G.721", 0x0042: "G.723.1",
    0x0045: "G.726", 0x0050: "MPEG layer II", 0x0055: "MP3", 0x0064: "G.726", 0x0083: "G.729", 0x00FF: "AAC",
    0x0130: "ACELP", 0x0160: "WMA", 0x0161: "WMA", 0x0162: "WMA", 0x0163: "WMA", 0x000A: "WMA Voice", 0x0270: "ATRAC3",
    0x028F: "G.722", 0x1600: "AAC", 0x1602: "AAC", 0x2000: "AC-3", 0x2001: "DTS", 0x5756: "WavPack", 0x566F: "Vorbis",
    0x674F: "Vorbis", 0x6750: "Vorbis", 0x6751: "Vorbis", 0x676F: "Vorbis", 0x6770: "Vorbis", 0x6771: "Vorbis",
    0x704F: "Opus", 0x706D: "AAC", 0xF1AC: "FLAC",
}  # fmt: skip
_OGG_CODECS = (
    (b"\x01vorbis", "Vorbis"), (b"OpusHead", "Opus"), (b"\x7fFLAC", "FLAC"), (b"fLaC", "FLAC"), (b"Speex   ", "Speex"),
    (b"\x80theora", "Theora"), (b"CELT    ", "CELT"), (b"\x80kate", "Kate"), (b"fishead", "Skeleton"),
)  # fmt: skip


def recognise(head: bytes, extension: str = "") -> Format | None:
    """The format of a file, by its first bytes and else by its extension; None if it is none of those known.

    Example:
        >>> recognise(bytes([0, 0, 0, 32]) + b"ftypM4A ").name, recognise(b"RIFF")
        ('MP4', None)
    """
    while head[:3] == b"ID3" and len(head) > 10:  # a tag of any length, before sound of any format
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        head = head[10 + size :]
    for offset, magic, known in _SIGNATURES:
        if head.startswith(magic, offset):
            return known
    # ADTS: twelve sync bits and layer 0; an MPEG audio frame has layer 1 to 3. LOAS: eleven sync bits.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return _AAC
    if len(head) > 1 and head[0] == 0x56 and head[1] & 0xE0 == 0xE0:
        return _LATM
    if all(head[at : at + 1] == b"G" for at in (0, 188, 376)):
        return _TS
    if all(head[at : at + 1] == b"G" for at in (4, 196, 388)):
        return _TS
    if extension in (".mp3", ".mp2", ".mp1", ".mpga"):
        return _MP3
    return None if is_text(head) else _BY_EXTENSION.get(extension)


def name_with_codec(known: Format, head: bytes) -> str:
    """The format's name with that of the codec inside, where the first bytes tell it.

    Example:
        >>> name_with_codec(_OGG, b"OggS" + bytes(24) + b"OpusHead")
        'Opus in Ogg'
    """
    codec = ""
    if known is _WAV:
        at = head.find(b"fmt ") + 8
        if at >= 8 and len(head) >= at + 16:
            tag = struct.unpack_from("<H", head, at)[0]
            if tag == 0xFFFE and len(head) >= at + 26:
                tag = struct.unpack_from("<H", head, at + 24)[0]
            codec = _WAVE_CODECS.get(tag, f"codec 0x{tag:04x}")
    elif known is _OGG:
        codec = next((name for magic, name in _OGG_CODECS if magic in head[:512]), "")
    elif known.name in ("AIFF", "CAF"):
        at = head.find(b"COMM") + 8 + 18 if known.name == "AIFF" else head.find(b"desc") + 12 + 8
        four = head[at : at + 4]
        is_named = known.name == "CAF" or head[8:12] == b"AIFC"
        codec = four.decode("latin-1").strip() if is_named and four.isascii() and len(four) == 4 else ""
    return f"{codec} in {known.name}" if codec else known.name


def ends_in_header(known: Format, head: bytes) -> bool:
    """Whether a file of a kind that libsndfile reads ends before its sound begins, so that no package could read it.

    Example:
        >>> ends_in_header(_WAV, b"RIFF" + bytes(4) + b"WAVEfmt "), ends_in_header(_MP4, bytes(4) + b"ftypM4A ")
        (True, False)
    """
    if known.only_ffmpeg or len(head) >= HEAD_BYTES:
        return False
    says_how = {"WAV": b"fmt ", "AIFF": b"COMM", "CAF": b"desc"}.get(known.name, b"")
    return len(head) < _LEAST_HEADER_BYTES or says_how not in head


def read_head(path: str) -> bytes:
    """The first bytes of a regular file; anything else is refused unopened, since a pipe would block.

    Raises:
        MissingFileError: No such file; a folder, a pipe, a device.
        DecodeError: No permission, a loop of links, 0 bytes.
    """
    shown = printable_path(path)
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            raise MissingFileError(shown, f"{_kind_of_file(mode)}, not a file")
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(shown, broken_link(path) or "no such file") from error
    except OSError as error:
        reason = _OS_REASONS.get(error.errno or 0) or error.strerror or str(error)
        raise DecodeError(shown, reason) from error
    except ValueError as error:  # a zero byte in the name
        raise DecodeError(shown, f"impossible file name: {error}") from error
    if not head:
        raise DecodeError(shown, "empty: 0 bytes")
    return head


_SIZE_UNKNOWN = 0x7FFFF000  # programs that stream write the largest size they can


def stated_share(head: bytes, num_bytes: int) -> float:
    """The bytes that a WAV, AVI or DSF states, as a multiple of those that are there; 1 where none are missing.

    FFmpeg takes the length of a file that was cut off for all that there ever was.

    Args:
        head: The first bytes of the file.
        num_bytes: Its size.
    """
    stated = 0
    if head[:4] == b"RIFF" and len(head) >= 12:
        (stated,) = struct.unpack_from("<I", head, 4)
        stated = 0 if stated >= _SIZE_UNKNOWN else stated + 8
    elif head[:4] == b"DSD " and len(head) >= 20:
        (stated,) = struct.unpack_from("<Q", head, 12)
    return max(1.0, stated / num_bytes) if num_bytes else 1.0


def broken_link(path: str) -> str | None:
    """What a path is that is a symbolic link to nowhere; None if it is no such link.

    Example:
        >>> broken_link(os.devnull) is None
        True
    """
    link = Path(path)
    try:
        link.stat()
    except FileNotFoundError:
        if link.is_symlink():
            return f"a link to {printable_path(os.fspath(link.readlink()))}, which is not there"
    except OSError:
        pass  # a loop of links, a folder that is closed to us: something else is wrong
    return None


def is_text(head: bytes) -> bool:
    """Whether first bytes are UTF-8 text: a web page saved as a sound, a list of sounds."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the head may end inside a letter
    except UnicodeDecodeError:
        return False
    return not re.search("[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]", text)


def why_unrecognised(head: bytes) -> str:
    """A reason for a file that no decoder recognises by its first bytes."""
    if not head.strip(b"\0"):
        return "no sound: it begins with nothing but zero bytes"
    if is_text(head):
        start = " ".join(head.decode("utf-8", "ignore").split())[:32]
        return f"text, not sound: it begins with {start!r}"
    return "not a sound format that soundseek knows"


def printable_path(path: str) -> str:
    r"""A path that any terminal can show: bytes that are no UTF-8 become escapes such as \xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _kind_of_file(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
