"""Several descriptions of one recording, "rain without thunder" and "dog barking": each is read by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, islice, product

from soundseek.query.parts import names_a_sound, sentence_parts
from soundseek.query.reading import Reading

MOST_ALTERNATIVES = 8  # of moods and terms of several meanings together
# How a manner is said before the sound, where it is not by its name.
_SAID = {"three times": "three", "thin": "tinny"}


def descriptions(given: Sequence[str]) -> tuple[str, ...]:
    """The descriptions that arguments of a command line are; empty arguments are none.

    Those in quotes, of several words, name a sound each where there are two of them, and words between them belong
    together. Where one names none ("on", "and", "loudly"), all of them are one sentence, as they are without quotes.

    >>> descriptions(["rain without thunder", "dog barking"])
    ('rain without thunder', 'dog barking')
    >>> descriptions(["dog", "barking"]), descriptions(["heavy rain", "on", "tin roof"])
    (('dog barking',), ('heavy rain on tin roof',))
    """
    texts = [text for each in given if (text := " ".join(each.split()))]
    grouped: list[str] = []
    for is_quoted, group in groupby(texts, key=lambda text: " " in text):
        own = list(group)
        grouped += own if is_quoted else [" ".join(own)]
    if sum(" " in text for text in texts) > 1 and all(names_a_sound(text) for text in grouped):
        return tuple(dict.fromkeys(grouped))
    return (" ".join(texts),) if texts else ()


def beside_each_other(readings: Sequence[Reading]) -> list[Reading]:
    """Readings of descriptions of one recording, in which a manner that not all of them have is said in words.

    It would sort the hits by how all of it sounds.

    >>> far = Reading("far dog", (("dog",),), manners=("distant",))
    >>> [each.text for each in beside_each_other([far, Reading("rain", (("rain",),))])]
    ['distant dog', 'rain']
    """
    asked = [each for each in readings if each.alternatives]
    beside = []
    for each in readings:
        own = [name for name in each.manners if not all(name in other.manners for other in asked)]
        said = " ".join(_SAID.get(name, name) for name in own)
        beside.append(
            replace(
                each,
                alternatives=tuple(
                    tuple(f"{said} {text}".strip() for text in texts) for texts in each.alternatives
                ),
                manners=tuple(name for name in each.manners if name not in own),
            )
            if own
            else each
        )
    return beside


def all_of(readings: Sequence[Reading]) -> Reading:
    """The reading of one query for recordings that have every sound, from the readings of its descriptions.

    Each counts by the first wording of each of its alternatives.

    >>> both = all_of([Reading("rain, no thunder", (("rain",),), ("thunder",)), Reading("woof", (("dog barking",),))])
    >>> both.described(), both.typed, both.named(both.text)
    ("'rain and dog barking', not 'thunder'", 'rain, no thunder, woof', ('rain', 'dog barking'))
    """
    if len(readings) == 1:
        return readings[0]
    readings = beside_each_other(readings)
    asked = [each for each in readings if each.alternatives]
    worded = [list(dict.fromkeys(texts[0] for texts in each.alternatives)) for each in asked]
    chosen = (
        [tuple(dict.fromkeys(each)) for each in islice(product(*worded), MOST_ALTERNATIVES)] if asked else []
    )
    return Reading(
        ", ".join(each.typed.strip() for each in readings),
        tuple((" and ".join(texts),) for texts in chosen),
        negatives=tuple(dict.fromkeys(text for each in readings for text in each.negatives)),
        language=" and ".join(dict.fromkeys(each.language for each in readings)),
        notes=tuple(note for each in readings for note in each.notes),
        unread=tuple(word for each in readings for word in each.unread),
        unknown=tuple(dict.fromkeys(word for each in readings for word in each.unknown)),
        manners=asked[0].manners if asked else (),
        sounds=tuple(
            tuple(dict.fromkeys(sound for text in texts for sound in sentence_parts(text) or (text,)))
            for texts in chosen
        ),
    )
