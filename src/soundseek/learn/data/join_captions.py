"""Two captions become one as their clips do: in sequence or overlaid.

All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import re
from random import Random
from typing import Literal

from soundseek.errors import UsageError

JoinKind = Literal["sequence", "overlay"]

# {a} and {b} are captions without their full stop, {b} as inside a sentence. What fits depends on {b}:
# "while" wants a sentence ("a dog barks"), "followed by" a thing ("a dog barking"), "and then" takes either.
_JOINS: dict[tuple[JoinKind, str], tuple[str, ...]] = {
    ("sequence", "sentence"): (
        "{a} and then {b}",
        "{a}, then {b}",
        "{a} before {b}",
        "{a}, after which {b}",
        "{a}, and a moment later {b}",
    ),
    ("sequence", "thing"): (
        "{a} followed by {b}",
        "{a} and then {b}",
        "{a}, then {b}",
        "{a} and afterwards {b}",
    ),
    ("sequence", "unclear"): ("{a} and then {b}", "{a}, then {b}", "{a} and afterwards {b}"),
    ("sequence", "several"): ("{a}. Then {b}", "{a}. After that, {b}"),
    ("overlay", "sentence"): ("{a} while {b}", "{a} as {b}", "{a} and {b}", "{a}, and at the same time {b}"),
    ("overlay", "thing"): (
        "{a} with {b} in the background",
        "{a} along with {b}",
        "{a} and {b}",
        "{a} together with {b}",
    ),
    ("overlay", "unclear"): ("{a} and {b}", "{a}, and at the same time {b}", "{a} and also {b}"),
    ("overlay", "several"): ("{a}. Meanwhile, {b}", "{a}. At the same time, {b}"),
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PROPER = _words(  # stay capital inside a sentence, beside whatever has a capital further inside
    """I African American Arabic Asian Australian British Bulgarian Catalan Celtic Chinese Christmas Danish
    Dutch English European Finnish French German Greek Halloween Hawaiian Hindi Indian Irish Italian Japanese
    Korean Latin Lithuanian Mexican Morse Norwegian Polish Portuguese Romanian Russian Scottish Spanish
    Swedish Swiss Turkish Ukrainian Vietnamese Western"""
)
_FINITE = _words(
    """is are was were am has have had can could will would may might must does do did gets goes it there
    you"""
)
_SUBJECT = _words("a an the one two three several many some someone somebody he she they people this that")
_LINKS = _words("while as when then before after until and but who which that")
_NO_PARTICIPLE = _words(
    """string thing something anything nothing everything ring king spring wing sing bring swing ding ping
    sting evening morning building ceiling lightning clothing wedding railing during"""
)
_SOUND_OF = re.compile(
    r"^((the|a|an|some|loud|faint|distant)\s)*(\w+\s)?(sounds?|noises?|\w+ing|hum|roar) of\s", re.IGNORECASE
)


def join_captions(first: str, second: str, kind: JoinKind, random: Random) -> str:
    """One caption for two clips that follow each other or sound together.

    Args:
        first: Caption of the clip that comes first, or of the one in front.
        second: Caption of the other clip.
        kind: "sequence" or "overlay".
        random: Picks among the joining words that fit.

    Raises:
        UsageError: An empty caption, or no such kind.

    >>> join_captions("A dog barks.", "The rain falls.", "overlay", Random(0))
    'A dog barks, and at the same time the rain falls.'
    >>> join_captions("A dog barks.", "Heavy rain", "sequence", Random(0))
    'A dog barks and afterwards heavy rain.'
    """
    a, b = _without_stop(first), _without_stop(second)
    if not a or not b:
        raise UsageError(f"captions to join must not be empty, got {first!r} and {second!r}")
    if kind not in ("sequence", "overlay"):
        raise UsageError(f"captions are joined as 'sequence' or 'overlay', not {kind!r}")
    form = "thing" if _is_thing(b) else "sentence" if _is_sentence(b) else "unclear"
    if re.search(r"[.!?;:]\s", f"{a} {b}"):  # a comma or a conjunction would tie the wrong sentences together
        form = "several"
    joined = random.choice(_JOINS[kind, form]).format(a=a, b=_lower_first(b))
    ended = first.rstrip()[-1] in ".!?" or second.rstrip()[-1] in ".!?"
    return joined + "." if ended else joined


def _without_stop(caption: str) -> str:
    return " ".join(caption.split()).rstrip(".!?,;: ")


def _lower_first(caption: str) -> str:
    """The caption as it stands inside a sentence: names, "I" and abbreviations keep their capital."""
    word = re.match(r"[^\W\d_]+", caption)
    if word is None or word[0] in _PROPER or word[0][1:] != word[0][1:].lower():
        return caption
    return caption[0].lower() + caption[1:]


def _is_thing(caption: str) -> bool:
    """True for "heavy rain", "a dog barking", "the sound of bells"; False where it is unclear."""
    words = re.findall(r"[\w'-]+", caption.lower())
    if _FINITE & set(words):
        return False
    if _SOUND_OF.match(caption):
        return True
    if _LINKS & set(words):
        return False
    for place, word in enumerate(words[:4]):
        if len(word) > 4 and word.endswith("ing") and word not in _NO_PARTICIPLE:
            return not any(earlier.endswith("s") for earlier in words[: max(0, place - 1)])
    return len(words) == 1 or (len(words) == 2 and not words[1].endswith(("s", "ly", "ed")))


def _is_sentence(caption: str) -> bool:
    """True for "a dog barks", "birds are singing"; False where it is unclear."""
    words = re.findall(r"[\w'-]+", caption.lower())
    has_verb = any(word.endswith("s") and not word.endswith(("ss", "us")) for word in words[1:])
    return bool(_FINITE & set(words)) or (bool(words) and words[0] in _SUBJECT and has_verb)
