"""The sounds that one sentence names: "a dog barks while rain falls" is a dog that barks, and rain that falls.

A small grammar of joining words. It splits where both sides can stand alone, and leaves a sentence whole where it is in
doubt: "a door opens and closes" is one sound, as "drum and bass" is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from soundseek.query.text import word_set, words

MOST_PARTS = 4

_TIMES = re.compile(
    r"""\s*(?:[,;]\s*)?\b(?:(?<!\ba\s)while|whilst|meanwhile|followed\s+by|and\s+then|then|before|after|accompanied\s+by|along\s+with
    |together\s+with|amid|amidst|plus|alongside|as(?!\s+(?:if|well|though|in|of|a\s+result)\b))\b\s+
    |\s*[;+&/]\s+|\s+[+&/]\s*""",
    re.IGNORECASE | re.VERBOSE,
)
_BACKGROUND = re.compile(
    r"[,\s]*\b(?:in|from|into)\s+the\s+(?:far\s+)?(?:background|distance|foreground)\b", re.IGNORECASE
)
_JOIN = re.compile(r"\s*,?\s+(?:and|with|over)\s+|\s*,\s*", re.IGNORECASE)
_COMMA = re.compile(r"\s*,\s*(?:and\s+)?", re.IGNORECASE)
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
# A thing that does something: "birds singing", "heavy rain falling on a roof".
_DOING = (
    r"(?:[\w'-]+\s+){1,3}?(?!(?:building|ceiling|morning|evening|spring|string|ring|wing|ding|thing|\w+thing|ping|being)\b)"
    r"[\w'-]+ing\b(?=\s*$|\s+(?:in|on|at|by|up|down|a|the|away|past|nearby|outside|for|into|over|under|and|\w+ly)\b)"
)
# What is nothing but sound: "voices with music", "talking over traffic noise"; "with a hammer" is no other sound.
_MERE_SOUND = (
    r"(?:(?:a|an|the|some|loud|soft|quiet|faint|distant|heavy|light|constant|background)\s+)*"
    r"(?:(?:wind|traffic|crowd|road|street|city|engine)\s+noise|music|traffic|applause|laughter|chatter|birdsong"
    r"|thunder|rain|wind|static|sirens?|footsteps|gunshots?|gunfire)\s*$"
)
_WITH = re.compile(rf"\s*,?\s+(?:with|over)\s+(?={_DOING}|{_MERE_SOUND})", re.IGNORECASE)
_FIXED = re.compile(
    r"""\b(?:rock\s+and\s+roll|drum\s+and\s+bass|rhythm\s+and\s+blues|salt\s+and\s+pepper|back\s+and\s+forth|up\s+and\s+down
    |on\s+and\s+o(?:n|ff)|in\s+and\s+out|over\s+and\s+over|again\s+and\s+again|more\s+and\s+more|to\s+and\s+fro|now\s+and\s+then
    |bow\s+and\s+arrows?|horse\s+and\s+(?:cart|rider|carriage)|mortar\s+and\s+pestle|knife\s+and\s+fork|stop\s+and\s+go
    |black\s+and\s+white|between\s+\w+\s+and|nuts\s+and\s+bolts|pen\s+and\s+paper|tick\s+and\s+tock|one\s+after\s+another)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_LEADING = re.compile(
    r"^(?:and|then|with|while|there\s+(?:is|are)|in\s+(?:this|the|a)\s+(?:short\s+)?(?:recording|clip),)\s+",
    re.IGNORECASE,
)
# What describes the sound before it and names none.
_NO_SOUND = word_set(
    """loudly quietly softly slowly quickly briefly repeatedly continuously suddenly once twice indoors outdoors inside
    outside nearby close far loud quiet soft slow fast short long high low again several times many one two three four
    five very more less distant heavy light big small echo reverb mono stereo close-up up down away off on out in
    noise noises sound sounds silence nothing something another else heard together shut open"""
)
_LITTLE = word_set(
    """a an the of for in on at to from by into onto some few it its is are was very quite and or with below above
    through around along across"""
)
# What people do, and who they are: "crickets chirping and screaming" are two sounds, "woman crying and screaming" one.
_OF_PEOPLE = word_set("laughing screaming coughing sneezing talking shouting clapping applauding cheering")
_PEOPLE = word_set(
    """man men woman women person people child children kid kids boy boys girl girls baby babies crowd crowds audience
    someone somebody he she they male males female females voice voices group human humans guy lady adult adults
    toddler infant teenager teenagers students speaker singer fans monster zombie"""
)
# With these begins no sound: what follows says more of the one before.
_NO_BEGINNING = word_set(
    """it they he she its their which that heard recorded seen played made being getting in on at from to by during
    near under inside outside for off away back until without being nothing nobody not and or"""
)
# But these are sounds: "a dog barks while it rains", "footsteps in the rain".
_WEATHER = re.compile(
    r"it(?:'s|’s|\s+is)?\s+(?:rain|snow|hail|thunder|storm|drizzl)(?:s|es|ing|e?d)?\b", re.IGNORECASE
)
_IN_WEATHER = re.compile(
    r"\s*,?\s+(?:in|during)\s+(?:(?:the|a)\s+)?(?=(?:\w+\s+)?(?:rain|rainstorm|thunderstorm|hailstorm|downpour)\s*$)",
    re.IGNORECASE,
)
# Verbs of sounds: "birds chirp and tweet" are one sound.
_VERBS = word_set(
    """bark chirp tweet twitter buzz hum rumble roll slosh clatter rattle clink pop crackle hiss growl snarl howl roar
    shout cry laugh sing talk speak pause stop start come go bounce break rush pour bump drip splash ring tick
    tock whistle click clap cheer squeak creak slam bang whine whir whirr beep close open shut draw hit knock
    fall rise fade grow run walk move turn spin squawk cluck cackle moo neigh snort sniff sneeze cough breathe
    scream yell whisper mumble murmur strike boom crash thud thump echo swell blow howl gust patter flow gurgle
    bubble trickle play strum pluck scrape scratch grind cut chop slice saw tap stomp crunch rustle swish flap
    flutter hoot caw coo meow purr yelp whimper groan moan grunt smash shatter sizzle fry boil chew eat drink
    slurp swallow chatter narrate pass drive gasp push pull drain let accelerate brake honk idle rev land fly
    hover take rub wipe sweep wash snap rip tear tweak jingle chime toll gallop"""
)


def sentence_parts(text: str) -> tuple[str, ...]:
    """The parts of a sentence that each name a sound; empty where it names one.

    >>> sentence_parts("A dog barks while rain falls")
    ('A dog barks', 'rain falls')
    >>> sentence_parts("woman speaking with traffic in the background")
    ('woman speaking', 'traffic')
    >>> sentence_parts("a door opens and closes"), sentence_parts("drum and bass music")
    ((), ())
    """
    parts = [_LEADING.sub("", text.strip().rstrip(".!?"))]
    for split in (_at_words, _at_background, _at_weather, _at_with, _at_commas, _at_and):
        parts = [piece for part in parts for piece in split(part)]
    cleaned = [_LEADING.sub("", _BACKGROUND.sub("", part)).strip(" ,;") for part in parts]
    distinct = tuple(dict.fromkeys(part for part in cleaned if names_a_sound(part)))
    return distinct if 2 <= len(distinct) <= MOST_PARTS else ()


def _joined(text: str, joint: re.Pattern[str], alone: Callable[[str, str], bool]) -> list[str]:
    """The pieces between joints; a piece that cannot stand alone stays with the one before it."""
    pieces, at = [], 0
    if _FIXED.search(text):
        return [text]
    for found in joint.finditer(text):
        if alone(text[at : found.start()], text[found.end() :]):
            pieces.append(text[at : found.start()])
            at = found.end()
    return [*pieces, text[at:]]


def _at_words(text: str) -> list[str]:
    return _joined(text, _TIMES, lambda before, after: bool(before.strip()) and _stands_alone(after))


def _at_background(text: str) -> list[str]:
    """X with Y in the background: the last joining word is the one that "in the background" belongs to."""
    background = _BACKGROUND.search(text)
    if background is None:
        return [text]
    joints = list(_JOIN.finditer(text, 0, background.start()))
    if not joints:
        return [text]
    at = next((each for each in reversed(joints) if "with" in each[0].lower()), joints[-1])
    return [text[: at.start()], text[at.end() : background.start()]]


def _at_weather(text: str) -> list[str]:
    """X in the rain."""
    return _joined(text, _IN_WEATHER, lambda before, after: names_a_sound(before))


def _at_with(text: str) -> list[str]:
    """X with Y, where Y does something: "a man speaks with birds singing", not "hit with a hammer"."""
    return _joined(text, _WITH, lambda before, after: bool(words(before)) and _stands_alone(after))


def _at_commas(text: str) -> list[str]:
    pieces = _COMMA.split(text)
    are_names = all(len(words(name)) == 1 for piece in pieces for name in _AND.split(piece))
    if are_names or all(len(words(piece)) > 1 and _stands_alone(piece) for piece in pieces):
        return pieces
    return [text]


def _at_and(text: str) -> list[str]:
    def alone(before: str, after: str) -> bool:
        piece = _AND.split(after)[0]
        if _stands_alone(piece):
            return not _is_participle(before) or before.strip().lower() in _OF_PEOPLE
        if piece.strip().lower() in _OF_PEOPLE and len(words(before)) == 2 and _does(before):
            return not {word.lower() for word in words(before)} & _PEOPLE
        # "a chainsaw and screaming"; but "a dog barking and growling", "a door opens and closing"
        return _is_doing(piece) and len(words(before)) <= 3 and not _does(before)

    return _joined(text, _AND, alone)


def _is_participle(text: str) -> bool:
    own = words(text)
    return len(own) == 1 and own[0].lower().endswith(("ing", "ed", "ly"))


def _is_doing(text: str) -> bool:
    own = words(text)
    return len(own) == 1 and own[0].lower().endswith("ing") and names_a_sound(text)


def _does(text: str) -> bool:
    """Whether a piece says what its subject does: "dog barking", "a door opens"."""
    own = [word.lower() for word in words(text)]
    return any(word.endswith(("ing", "ed")) for word in own) or any(
        {word, word.removesuffix("s"), word.removesuffix("es")} & _VERBS for word in own[1:]
    )


def _stands_alone(text: str) -> bool:
    """Whether a piece has a subject of its own: "closes", "shutting with a clang" and "loud" have none."""
    own = [word.lower() for word in words(text)]
    if not own or not names_a_sound(text):
        return False
    if _WEATHER.match(text.strip()):
        return True
    first = own[0]
    if first in _NO_BEGINNING or first.endswith(("ing", "ed", "ly")):
        return False
    stems = {first, first.removesuffix("s"), first.removesuffix("es"), first.removesuffix("ies") + "y"}
    # "closes", "tweet outdoors"; but "drum rolling" and "ring of a bell"
    return not stems & _VERBS or (len(own) > 1 and (own[1].endswith("ing") or own[1] == "of"))


def names_a_sound(text: str) -> bool:
    """Whether a text has a word that may be a sound: "on the" and "loudly" have none."""
    return any(word.lower() not in _LITTLE | _NO_SOUND and len(word) > 1 for word in words(text))
