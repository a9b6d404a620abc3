"""Words for how a sound sounds, apart from what sounds: "muffled dog barking" is dog barking, muffled.

Only short queries are taken apart, and only where what stays names a sound: a sentence is searched for as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from soundseek.query.text import word_set, words

_MOST_WORDS = 5  # of what sounds
_MOST_MANNERS = 3
_LONGEST = 100  # characters: no sentence needs to be tried

_PLACES = "hall|church|cathedral|cave|tunnel|stairwell|staircase|gymnasium|gym|warehouse|hangar|chapel|cistern|corridor"
# What is said before the sound, and behind it, of each manner that a model may have learned
# (`learn/data/how_it_sounds.py`).
_BEFORE = {
    "muffled": "muffled|dampened|muted|deadened",
    "distant": "distant|far-?away|far-?off",
    "reverberant": "reverberant|reverberating|echoing|echoey|reverb(?:er)?y",
    "dark": "dark|dull|bassy",
    "bright": "bright|shrill|sharp|piercing",
    "thin": "tinny",
    "slow": "slow|leisurely|unhurried",
    "fast": "fast|rapid|quick|hurried",
    "single": "single|one[- ]?shot",
    "three times": "triple",
}
_DEGREE = "(?:(?:very|really|quite|rather|so|too|extremely|more) )?"
_BEHIND = {
    "muffled": r"(?:through|behind) (?:a|the|an) (?:thick |thin |closed )?(?:walls?|doors?|window)|behind closed doors"
    r"|(?:from|in) (?:the next|another) room|muffled",
    "distant": r"in the (?:far )?distance|far away|far off|from afar|from (?:a distance|far away)"
    r"|in the far background",
    "reverberant": r"with (?:a lot of |lots of |much |heavy |long )?(?:reverb(?:eration)?|echo(?:es)?)"
    rf"|in (?:an?|the) (?:(?:big|large|huge|vast|empty|great|long|stone|concrete|old) )*(?:{_PLACES})"
    r"|in an? (?:(?:big|large|huge|vast|great) )?empty (?:room|house|building)",
    "dark": "with a dark tone|with little treble|without treble",
    "bright": "with a bright tone|with much treble",
    "thin": r"(?:over|through) (?:the|an?) (?:(?:old|small|tiny|cheap|bad) )*(?:(?:tele)?phone|radio|speaker|intercom)"
    r"|on an? (?:(?:old|small|tiny|cheap|bad) )+(?:(?:tele)?phone|radio|speaker)",
    "slow": rf"{_DEGREE}slowly|at a slow pace|with long pauses",
    "fast": rf"{_DEGREE}(?:quickly|rapidly|fast)|in (?:quick|rapid) succession|at a fast pace",
    "single": "(?:just |only )?(?<!at )once|one[- ]?shot",  # at once: all together
    "three times": "(?:three times|3 times|3x|thrice)(?: in a row)?",
}
# What sounds once and is over. Three of anything else, as dogs or minutes, are not one sound three times.
_EVENTS = (
    "bangs|barks|beats|beeps|blasts|bleeps|blips|booms|bounces|burps|bursts|caws|chirps|claps|clangs|clanks|clicks"
    "|clinks|clunks|coughs|cracks|crashes|croaks|dings|dongs|explosions|gunshots|hiccups|hits|honks|hoots|hops|kicks"
    "|knocks|meows|pings|plops|pops|punches|quacks|raps|rings|screams|shots|shouts|slams|slaps|snaps|sneezes|snorts"
    "|splashes|squeaks|stomps|strikes|strokes|swooshes|taps|thuds|thumps|ticks|tolls|toots|whacks|whistles|whooshes"
    "|yelps|zaps"
)
_COUNTED = re.compile(
    rf"(?:three|3) (?:(?P<many>(?:(?!and |or |of |in )[^\s,]+ ){{0,2}}(?:{_EVENTS}))|(?P<row>.+?) in a row)",
    re.IGNORECASE,
)

_FIRST = re.compile(
    "(?:an? )?(?:very |really |quite |rather )?(?:"
    + "|".join(f"(?P<m{number}>{each})" for number, each in enumerate(_BEFORE.values()))
    + r"),? (?P<rest>.+)",
    re.IGNORECASE,
)
_LAST = re.compile(
    "(?P<rest>.+?)(?:"
    + "|".join(
        f"(?P<m{number}>(?:,? (?:{behind}))|, ?(?:{_BEFORE[name]}))"
        for number, (name, behind) in enumerate(_BEHIND.items())
    )
    + ")",
    re.IGNORECASE,
)
# Words of sentences, and words that are no manner beside what they stand with.
_OF_SENTENCES = word_set(
    """is are was were be been has have had does do did but nor while as then when before after followed with without
    over under into onto that which who it its his her their there not no"""
)
_NO_SOUNDS = word_set("a an the of sound sounds noise noises hit hits thing things place")
_FIXED = re.compile(
    r"(?:an? )?(?:dark,? (?:and )?(?:forest|woods?|night|alley|room|cave|street|sky|matter|ages?|web|ambien\w*|ambience"
    r"|atmospher\w*|drone|music|techno|synth|pad|magic|fantasy|stormy|water|chocolate)"
    r"|sharp (?:knife|knives|blade|turn|scissors|pencil|objects?|tools?|edges?|corners?|intake|inhale|breath)"
    r"|single[- ](?:coil|malt|engine|player|cylinder|barrel\w*|action|shot|speed|note|file|track|lane|phase)"
    r"|fast (?:food|forward|lane|attack|release)|rapid[- ](?:fire|transit)"
    r"|slow (?:motion|mo|cooker|jam|song|dance|attack|release)|quick ?(?:time|sand|silver|draw|release)"
    r"|triple (?:meter|time|jump)|bright (?:side|lights?|stars?|sunny|day|morning|colou?rs?)"
    r"|dull (?:knife|blade|pain|ache)|one-?shot (?:sample|drum)s?)\b.*"
    r"|(?:a )?(?:slow|fast|quick|rapid|leisurely) .*\b"
    r"(?:music|song|tune|melody|beat|tempo|waltz|ballad|jazz|blues|groove)s?\b.*",
    re.IGNORECASE,
)


class MannerOf(NamedTuple):
    """A query that says how the sound sounds.

    Attributes:
        sound: What sounds.
        manners: How, by the names of `MANNERS`; the outermost word first.
        sources: The words that said so.
    """

    sound: str
    manners: tuple[str, ...]
    sources: tuple[str, ...]


def manner_of(text: str, known: Collection[str]) -> MannerOf | None:
    """What sounds in a query, and how; None where it says nothing of the kind.

    Args:
        text: The query, in English.
        known: Manners that count.

    >>> manner_of("muffled dog barking in the distance", {"muffled", "distant"})
    MannerOf(sound='dog barking', manners=('muffled', 'distant'), sources=('muffled', 'in the distance'))
    >>> manner_of("a man is talking in the distance", {"distant"}) is None
    True
    """
    if not known:
        return None
    if len(text) > _LONGEST:
        return None
    rest = text.strip().rstrip(".!")
    manners: list[str] = []
    sources: list[str] = []
    while len(manners) < _MOST_MANNERS and not _FIXED.fullmatch(rest):
        found = _first(rest, known) or _last(rest, known) or _counted(rest, known)
        if found is None:
            break
        rest, name, source = found
        manners.append(name)
        sources.append(source)
    own = [word.lower() for word in words(rest)]
    if (
        not manners
        or not 1 <= len(own) <= _MOST_WORDS
        or _OF_SENTENCES & set(own)
        or re.search("[,:;]", rest)
    ):
        return None
    if set(own) <= _NO_SOUNDS:
        return None
    return MannerOf(rest, tuple(dict.fromkeys(manners)), tuple(sources))


def _first(text: str, known: Collection[str]) -> tuple[str, str, str] | None:
    return _said(_FIRST.fullmatch(text), tuple(_BEFORE), known)


def _last(text: str, known: Collection[str]) -> tuple[str, str, str] | None:
    return _said(_LAST.fullmatch(text), tuple(_BEHIND), known)


def _counted(text: str, known: Collection[str]) -> tuple[str, str, str] | None:
    found = _COUNTED.fullmatch(text)
    if found is None or "three times" not in known:
        return None
    return found["row"] or found["many"], "three times", "three"


def _said(
    found: re.Match[str] | None, names: tuple[str, ...], known: Collection[str]
) -> tuple[str, str, str] | None:
    if found is None:
        return None
    number = next(number for number in range(len(names)) if found[f"m{number}"] is not None)
    if names[number] not in known:
        return None
    return found["rest"].strip(" ,"), names[number], found[f"m{number}"].strip(" ,")
