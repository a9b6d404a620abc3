"""Files whose facts differ, and conditions on them with what they select: what the filters of all engines keep to."""

from __future__ import annotations

import fnmatch
import unicodedata
from datetime import datetime

from hypothesis import strategies as st
from library.stores import sound_file

from soundseek.library.filters import FIELDS, FORMAT_ALIASES, And, Condition, Not, Or, Span
from soundseek.library.store.base import Description, SoundFile

MAY_NOON = int(datetime(2024, 5, 1, 12).timestamp()) * 10**9
FACTS = {
    "bell": ("/s/Church BELL.wav", 4.0, 44100, "WAV", MAY_NOON),
    "rain": ("/s/wet/rain 100%.ogg", 90.0, 48000, "OGG/VORBIS", 0),
    "odd": ("/s/wet\udcff/[x]_rain.mp3", 3600.0, 8000, "MP3", 1),
    "outside": ("/s-more/Straße.flac", 0.25, 96000, "FLAC", 2),
}
# Channels, bytes, and what the file says of itself; nothing is known of the last one, of an earlier soundseek.
MORE: dict[str, tuple[int, int, Description | None]] = {
    "bell": (1, 500, Description((("scene", "12"), ("note", "Café bells")), 16, -23.0)),
    "rain": (2, 20_000_000, Description((("scene", "120"),), None, -40.5)),
    "odd": (6, 1_500, Description((), 24)),
    "outside": (2, 20_000_001, None),
}
FILES = {
    name: sound_file(
        path,
        duration_s=duration,
        sample_rate_hz=rate,
        format=form,
        mtime_ns=mtime,
        channels=MORE[name][0],
        size_bytes=MORE[name][1],
        description=MORE[name][2],
    )
    for name, (path, duration, rate, form, mtime) in FACTS.items()
}
# As a Mac writes them, with a letter and its accent apart, and as a keyboard does.
ACCENTS = {
    "mac": sound_file("/m/U\u0308bung/Cafe\u0301 1.m4a", format="MP4/AAC"),
    "typed": sound_file("/m/\xdcbung/Caf\xe9 2.wav", format="RF64"),
    "outside": sound_file("/m/\xdcbungen/cafe.aif", format="AIFF"),
}


def matches(condition: Condition, file: SoundFile) -> bool:
    """Whether a file fulfils a condition, asked in plain Python."""
    if isinstance(condition, And):
        return all(matches(part, file) for part in condition.parts)
    if isinstance(condition, Or):
        return any(matches(part, file) for part in condition.parts)
    if isinstance(condition, Not):
        return not matches(condition.part, file)
    field, operator, value = condition.field, condition.operator, condition.value
    if isinstance(value, Span):
        about = file.description or Description()
        number = {
            "duration": file.duration_s, "rate": file.sample_rate_hz, "modified": file.mtime_ns,
            "channels": file.channels, "size": file.size_bytes, "bits": about.bit_depth,
            "loudness": about.loudness_dbfs,
        }[field]  # fmt: skip
        if number is None:  # what is not known fulfils nothing
            return False
        low, high = value.low, value.high
        return {
            "=": low <= number < high, "!=": not low <= number < high, "<": number < low, ">=": number >= low,
            ">": number > high if high == low else number >= high,
            "<=": number <= high if high == low else number < high,
        }[operator]  # fmt: skip
    composed = unicodedata.normalize("NFC", file.path)
    name = (
        composed.rsplit("/", 1)[-1].casefold().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )
    if field == "folder":
        is_so = composed.startswith(unicodedata.normalize("NFC", value).rstrip("/") + "/")
    elif field == "format":
        kind = file.format.lower()
        if operator == "~":
            return value in kind or f".{value}" in name
        is_so = bool(set(FORMAT_ALIASES.get(value, (value,))) & {*kind.split("/"), kind}) or name.endswith(
            f".{value}"
        )
    elif field == "path":
        return value in composed.casefold().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    elif field == "tag":
        said = " ".join(f"| {key} {text} |" for key, text in (file.description or Description()).tags)
        plain = unicodedata.normalize("NFD", said.casefold()).encode("ascii", "ignore").decode()
        return f" {value.rstrip('*')}{'' if value.endswith('*') else ' '}" in plain.replace("bells", "bell")
    elif operator == "~":
        return value in name
    else:
        is_so = fnmatch.fnmatchcase(name, value.replace("[", "[[]"))
    return is_so == (operator == "=")


# What is asked of FILES, and which of them answer.
CASES = [
    ("duration < 5", {"bell", "outside"}),
    ("duration <= 4", {"bell", "outside"}),
    ("duration > 1:30", {"odd"}),
    ("duration >= 1.5min and duration < 1h", {"rain"}),
    ("duration = 1h", {"odd"}),
    ("duration = 0:00:04", {"bell"}),
    ("length = 250ms", {"outside"}),
    ("duration != 4 and duration != .25s", {"rain", "odd"}),
    ("rate = 44.1k", {"bell"}),
    ("rate >= 48kHz", {"rain", "outside"}),
    ("rate > 48000", {"outside"}),
    ("rate <= 44100", {"bell", "odd"}),
    ("sample_rate != 44100", {"rain", "odd", "outside"}),
    ("channels = 2", {"rain", "outside"}),
    ("channels = mono or channels > 2", {"bell", "odd"}),
    ("bits = 24", {"odd"}),
    ("bit_depth < 24bit", {"bell"}),
    ("not bits = 24", {"bell", "rain", "outside"}),
    ("size <= 20MB", {"bell", "rain", "odd"}),
    ("size >= 1.5kB and size < 0.02GB", {"odd"}),
    ("loudness > -30", {"bell"}),
    ("loudness = -40.5dBFS", {"rain"}),
    ("level <= -23dB", {"bell", "rain"}),
    ("path ~ /WET/", {"rain"}),
    ("path ~ wet", {"rain", "odd"}),
    ("not path ~ s-more", {"bell", "rain", "odd"}),
    ('tag ~ "scene 12"', {"bell"}),
    ('tag ~ "scene 12*"', {"bell", "rain"}),
    ("tag ~ cafe", {"bell"}),
    ('tag ~ "12 scene"', set()),
    ("tag ~ bell", {"bell"}),
    ("format = wav", {"bell"}),
    ("format == OGG", {"rain"}),
    ("format = vorbis", {"rain"}),
    ("format = ogg/vorbis", {"rain"}),
    ("format = og", set()),
    ("format ~ o", {"rain"}),
    ("format != mp3", {"bell", "rain", "outside"}),
    ("folder = /s", {"bell", "rain", "odd"}),
    ("folder = /s/", {"bell", "rain", "odd"}),
    ("folder = '/s/wet'", {"rain"}),
    ("folder != /s", {"outside"}),
    ("folder = /", {"bell", "rain", "odd", "outside"}),
    ("name ~ RAIN", {"rain", "odd"}),
    ("name ~ %", {"rain"}),
    ("name = 'church bell.wav'", {"bell"}),
    ("name = *.ogg", {"rain"}),
    ("name = [x]*", {"odd"}),
    ("name = ?x?_rain.mp3", {"odd"}),
    ("name = 'rain'", set()),
    ("name = STRASSE.flac", {"outside"}),
    ("name != *rain*", {"bell", "outside"}),
    ("modified = 2024", {"bell"}),
    ("modified = 2024-05", {"bell"}),
    ("modified = 2024-05-01", {"bell"}),
    ("modified = 2024-05-01T12:00", {"bell"}),
    ("modified = '2024-05-01 12:01'", set()),
    ("modified > 2024-05-01", set()),
    ("modified >= 2024-05-01", {"bell"}),
    ("modified < 2024-05-01", {"rain", "odd", "outside"}),
    ("modified <= 2024-05-01", {"bell", "rain", "odd", "outside"}),
    ("modified != 2024", {"rain", "odd", "outside"}),
    ("duration < 5 or rate < 10k and format = wav", {"bell", "outside"}),
    ("(duration < 5 or rate < 10k) and not format = wav", {"odd", "outside"}),
    ("not not format = wav", {"bell"}),
    ("NOT (format = wav OR format = mp3) AND duration<100", {"rain", "outside"}),
    ("((format=wav))", {"bell"}),
]

VALUES = {
    "duration": st.sampled_from(["4", "0.25s", "1:30", "1h"]),
    "rate": st.sampled_from(["44.1k", "48000", "8000Hz"]),
    "modified": st.sampled_from(["2024", "2024-05-01", "1970-01-01"]),
    "format": st.sampled_from(["wav", "vorbis", "o"]),
    "folder": st.sampled_from(["/s", "/s/wet", "/"]),
    "name": st.sampled_from(["rain", "*rain*", "[x]*"]),
    "path": st.sampled_from(["wet/", "s-more", "rain"]),
    "tag": st.sampled_from(["scene", '"scene 12"', "bell"]),
    "channels": st.sampled_from(["1", "stereo", "6"]),
    "bits": st.sampled_from(["16", "24bit"]),
    "size": st.sampled_from(["500", "1.5kB", "20MB"]),
    "loudness": st.sampled_from(["-23", "-40.5dB", "0"]),
}
COMPARISONS = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda field: st.builds(
        lambda operator, value: f"{field} {operator} {value}",
        st.sampled_from(
            {
                "path": ["~"],
                "tag": ["~"],
                "format": ["=", "!="],
                "folder": ["=", "!="],
                "name": ["=", "!="],
            }.get(field, ["=", "!=", "<", "<=", ">", ">="])
        ),
        VALUES[field],
    )
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds("not ({})".format, inner),
        st.builds("({}) and {}".format, inner, COMPARISONS),
        st.builds("{} or ({})".format, COMPARISONS, inner),
    ),
    max_leaves=6,
)
