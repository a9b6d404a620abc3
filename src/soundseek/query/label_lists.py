"""Lists of labels that a sound may be given: AudioSet's names, the categories of UCS, or the lines of a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from soundseek.errors import QueryError, UsageError
from soundseek.query.lexicon import english
from soundseek.query.reading import Reading

AUDIOSET, UCS = "audioset", "ucs"
AUDIOSET_FILE = Path(__file__).with_name("audioset.txt")
"""The display names of AudioSet's 527 classes (Gemmeke et al., ICASSP 2017; CC BY 4.0), one a line."""

MOST_LABELS = 10_000
MOST_LETTERS = 1_000
_MOST_BYTES = 1 << 20
_IN_BRACKETS = re.compile(r"\s*\([^)]*\)")
_OPEN_END = re.compile(r",?\s*\betc\.?$")


@dataclass(frozen=True)
class Candidate:
    """A label that a sound may be given.

    Attributes:
        label: As it is shown.
        texts: What a model compares the sound with; several say the same thing, and their mean counts.
        cat_id: Of UCS: `DOORWood`; else None.
        category: Of UCS: "DOORS".
        subcategory: Of UCS: "WOOD".
    """

    label: str
    texts: tuple[str, ...]
    cat_id: str | None = None
    category: str | None = None
    subcategory: str | None = None


@dataclass(frozen=True)
class LabelList:
    """Labels to choose from.

    Attributes:
        name: "audioset", "ucs", or what the caller's own list is called.
        candidates: At least one.
    """

    name: str
    candidates: tuple[Candidate, ...]


def label_list(source: str | Path | Sequence[str], read: Callable[[str], Reading]) -> LabelList:
    """The labels that are meant.

    Args:
        source: "audioset", "ucs", a text file with a label on each line, or the labels themselves.
        read: How a query is read: labels of the caller's own may be jargon, or of another language.

    Raises:
        UsageError: There is no such list or file, it has no label, or it has too many.

    Example:
        >>> [each.label for each in label_list("audioset", as_read).candidates[:2]]
        ['Speech', 'Male speech, man speaking']
    """
    if source == AUDIOSET:
        return audioset()
    if source == UCS:
        return ucs_categories()
    if isinstance(source, str | Path):
        return LabelList(str(source), _own(_lines(Path(source)), read, str(source)))
    if not isinstance(source, Sequence) or not all(isinstance(label, str) for label in source):
        raise UsageError(f"labels take a list of texts, such as ['dog barking', 'rain'], not {source!r:.60}")
    return LabelList("labels", _own(source, read, "the list of labels"))


@cache
def audioset() -> LabelList:
    """AudioSet's 527 names."""
    names = AUDIOSET_FILE.read_text(encoding="utf-8").splitlines()
    return LabelList(AUDIOSET, tuple(Candidate(name, (_spoken(name),)) for name in names))


@cache
def ucs_categories() -> LabelList:
    """The categories of the Universal Category System, each with what it sounds like.

    >>> wood = next(each for each in ucs_categories().candidates if each.cat_id == "DOORWood")
    >>> wood.label, wood.category, wood.subcategory
    ('DOORS WOOD', 'DOORS', 'WOOD')
    """
    return LabelList(
        UCS,
        tuple(
            Candidate(
                f"{each.category} {each.subcategory}",
                tuple(each.plain.split("|")),
                each.cat_id,
                each.category,
                each.subcategory,
            )
            for each in english().categories.values()
        ),
    )


def as_read(text: str) -> Reading:
    """A label that means what it says."""
    return Reading(text, ((text,),))


def _own(labels: Sequence[str], read: Callable[[str], Reading], where: str) -> tuple[Candidate, ...]:
    distinct = list(dict.fromkeys(" ".join(label.split()) for label in labels))
    distinct = [label for label in distinct if label]
    if not distinct:
        raise UsageError(f"{where} holds no label; write one on each line, such as: dog barking")
    if len(distinct) > MOST_LABELS:
        raise UsageError(f"{where} holds {len(distinct):,} labels; {MOST_LABELS:,} are the most")
    if any(len(label) > MOST_LETTERS for label in distinct):
        raise UsageError(
            f"{where} holds a label of more than {MOST_LETTERS:,} letters; write one on each line"
        )
    # A label that only excludes is compared as it stands.
    return tuple(Candidate(label, _texts(label, read)) for label in distinct)


def _texts(label: str, read: Callable[[str], Reading]) -> tuple[str, ...]:
    try:
        return read(label).texts or (label,)
    except QueryError as error:
        raise UsageError(f"the label {label!r} cannot be read: {error}") from error


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is no list of labels: it is larger than a megabyte")
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise UsageError(f"{path} is no list of labels: it holds a zero byte; save it as UTF-8")
        return text.splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no list of labels: it is no UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise UsageError(
            f"no list of labels {str(path)!r} ({error.strerror}); name {AUDIOSET}, {UCS}, or a text file with a label "
            "on each line"
        ) from None


def _spoken(name: str) -> str:
    """A name as a caption says it.

    >>> _spoken("Bee, wasp, etc."), _spoken("Rail transport (train)")
    ('bee, wasp', 'rail transport')
    """
    return _OPEN_END.sub("", _IN_BRACKETS.sub("", name).strip()).lower()
