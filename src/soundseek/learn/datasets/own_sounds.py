"""One's own sounds, as they lie: a table of captions, a folder in Clotho's layout, or a folder whose names say it.

A label is the name of a sub-folder, or the code of the Universal Category System (UCS) that a file name begins with. It
becomes captions: the words of the file's own description, those of the label, and what the label sounds like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundseek.audio.files import AUDIO_EXTENSIONS, sounds_of_folder
from soundseek.errors import UsageError
from soundseek.learn.datasets.layout import caption_table, recording_ids, splits_of
from soundseek.learn.datasets.tables import raise_first
from soundseek.query.ucs import read_code, read_name, split_name

HELD_OUT_SPLITS = ("validation", "evaluation")
"""Of a folder in Clotho's layout nothing is learned from these."""

_LETTER = re.compile(r"[^\W\d_]")
_CAMEL_CODE = re.compile(r"[A-Z]{2,5}[A-Z][a-z]+\d*")
_READINGS = 2  # of a UCS category: the nearest two
# Names of folders that say how files are kept, and not what they sound like.
_SAYS_NOTHING = frozenset(
    (
        "audio", "clips", "data", "development", "evaluation", "files", "flac", "library", "media", "misc", "mp3",
        "new", "ogg", "other", "recordings", "samples", "sfx", "sound", "sounds", "test", "train", "unsorted",
        "validation", "various", "wav", "wave", "wavs",
    )
)  # fmt: skip


@dataclass(frozen=True)
class OwnClip:
    """One sound with what its user says of it.

    Attributes:
        path: The sound file; nobody has tried yet whether it is one.
        captions: At least one; the first is the plainest.
        label: Sounds of one label are alike; of a table of captions it is the first caption.
        recording: Clips of one recording are learned from together, or not at all.
    """

    path: Path
    captions: tuple[str, ...]
    label: str
    recording: str


@dataclass(frozen=True)
class OwnSounds:
    """What was found.

    Attributes:
        clips: In the order of the table, or of the paths.
        kind: "captions" or "labels".
        unlabelled: Sounds of a folder that nothing is said of.
    """

    clips: tuple[OwnClip, ...]
    kind: str
    unlabelled: tuple[Path, ...] = ()


def find_own_sounds(where: Path) -> OwnSounds:
    """The sounds of a table of captions, or of a folder.

    Args:
        where: A CSV `file_name,caption_1,...` whose sounds lie beside it (of `captions_NAME.csv`, in the folder NAME if
            there is one); or a folder: in Clotho's layout, of which the splits validation and evaluation are passed
            by; or whose sub-folders, or the UCS codes of its file names, are labels.

    Raises:
        UsageError: Nothing is there, or a folder holds no sound, or none with a label.
        DataError: A table that could be misread; the message names the line.
    """
    if where.is_file():
        return OwnSounds(tuple(_of_table(where, _folder_of(where))), "captions")
    if not where.is_dir():
        raise UsageError(
            f"no file or folder {where}; give a CSV file_name,caption_1,... or a folder of sounds"
        )
    tables = sorted(where.glob("captions_*.csv"))
    if tables:
        learned = [split for split in splits_of(where) if split not in HELD_OUT_SPLITS]
        if not learned:
            raise UsageError(
                f"{where} has captions of {', '.join(splits_of(where))} alone, which are kept for measuring; rename "
                "one to captions_development.csv to learn from it"
            )
        clips = [
            clip
            for split in learned
            for clip in _of_table(
                where / f"captions_{split}.csv", where / split, recording_ids(where, [split])
            )
        ]
        return OwnSounds(tuple(clips), "captions")
    return _of_folder(where)


def _folder_of(table: Path) -> Path:
    named = table.parent / table.stem.removeprefix("captions_")
    return named if named.is_dir() else table.parent


def _of_table(
    path: Path, folder: Path, recordings: dict[tuple[str, str], str] | None = None
) -> Iterable[OwnClip]:
    table = caption_table(path)
    raise_first(table.path, table.wrong)
    known = {name: recording for (_, name), recording in (recordings or {}).items()}
    for row in table.rows:
        sound = folder / row.name
        yield OwnClip(sound, row.captions, _key(row.captions[0]), known.get(row.name, str(sound)))


def _of_folder(folder: Path) -> OwnSounds:
    found = sounds_of_folder(folder)
    if not found:
        raise UsageError(
            f"{folder} holds no sound: no file there, hidden ones aside, ends in {', '.join(sorted(AUDIO_EXTENSIONS))}"
        )
    clips, unlabelled = [], []
    for path in found:
        captions = captions_of_path(path.relative_to(folder))
        if captions:
            clips.append(OwnClip(path, captions, _key(captions[-1]), str(path)))
        else:
            unlabelled.append(path)
    if not clips:
        raise UsageError(
            f"{folder} says nothing of its {len(found)} sounds: they lie in no sub-folders whose names are labels "
            '("door wood/"), no file name begins with a UCS code ("DOORWood_Old Cellar Door.wav"), and there is no '
            "captions_development.csv (file_name,caption_1,...); give one of these"
        )
    return OwnSounds(tuple(clips), "labels", tuple(unlabelled))


def captions_of_path(path: Path) -> tuple[str, ...]:
    """What the name and the folders of a file say of it; empty where they say nothing. The last is its label's words.

    Args:
        path: Relative to the folder that is learned from.

    >>> captions_of_path(Path("DOORWood_Old Cellar Door Slam_JD.wav"))
    ('Old Cellar Door Slam', 'door opening or shutting', 'wooden door opening or closing')
    >>> captions_of_path(Path("Weather/thunder_far/take 01.wav"))
    ('the sound of thunder far', 'weather thunder far', 'thunder far')
    >>> captions_of_path(Path("take 01.wav"))
    ()
    """
    named = split_name(path.name, lambda _: False) if _CAMEL_CODE.match(path.name) else None
    if named is not None:
        code, description = named
        description = description if len(description) > 2 else ""  # initials
        return _once([description, *code.readings[:_READINGS][::-1]])
    folders = [name for name in map(_words, path.parts[:-1]) if name and name not in _SAYS_NOTHING]
    if not folders:
        return ()
    own = folders[-1]
    last = path.parts[-2]
    code_of_folder = read_code(last, lambda _: False) if _CAMEL_CODE.fullmatch(last) else None
    known = code_of_folder or read_name(" ".join(folders[-2:])) or read_name(own)
    if known is not None:
        return _once([own if code_of_folder is None else "", *known.readings[:_READINGS][::-1]])
    inside = " ".join(folders[-2:]) if len(folders) > 1 else ""
    return _once([f"the sound of {own}", inside, own])


def _words(name: str) -> str:
    """A name in words: "dog_bark2" and "DogBark" are "dog bark"."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[_\W]+", " ", name))
    words = [word for word in re.sub(r"\d+", " ", parted).split() if _LETTER.search(word)]
    return " ".join(words).lower()


def _once(captions: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(caption for caption in captions if caption))


def _key(caption: str) -> str:
    return " ".join(caption.split()).casefold().rstrip(".")
