"""The same query in other words: articles, case, number, an introduction, a typing error.

Rules, no parser: each leaves a query alone where it does not know what to do, and the table says how many it changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

VaryQuery: TypeAlias = Callable[[str, np.random.Generator], str]


@dataclass(frozen=True)
class Rewording:
    """One way in which somebody else would have typed a query.

    Attributes:
        name: What the table calls it.
        says: What is done, for the reader of the table.
        reword: The query's change.
        is_misspelt: A search corrects it.
    """

    name: str
    says: str
    reword: VaryQuery
    is_misspelt: bool = False


_ARTICLE = re.compile(r"\b(?:a|an|the)\s+", re.IGNORECASE)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NO_ARTICLE_BEFORE = _words(  # there an article makes no English
    """a an the this that these those some any each every both no one two three four five six seven eight nine ten
    several many few more another his her their its my your our i you he she it we they someone somebody something
    there here in on at from with by for of as when while after before to is are was were people"""
)
_PARTICIPLE = r"(?!(?:s|r|br|d|p|w|k|sw|st|spr|str|cl|fl|th)ing\b)[a-z]+ing"  # no sing, ring, bring ...
_VERB = rf"(?P<verb>is|was|has|{_PARTICIPLE}|[a-z]*[a-rt-z]s)\b"
_SINGULAR = re.compile(rf"\b(?P<article>an?) (?P<noun>(?:[a-z]+ ){{0,2}}?[a-z]{{2,}}) {_VERB}", re.IGNORECASE)
_PLURAL = re.compile(
    rf"^(?P<noun>(?:[a-z]+ ){{0,2}}?[a-z]+[a-rt-z]s) (?P<verb>are|were|have|{_PARTICIPLE})\b", re.IGNORECASE
)
_TO_PLURAL = {"is": "are", "was": "were", "has": "have"}
_TO_SINGULAR = {plural: singular for singular, plural in _TO_PLURAL.items()}
_IRREGULAR = {
    "man": "men", "woman": "women", "child": "children", "person": "people", "foot": "feet", "mouse": "mice",
    "goose": "geese", "sheep": "sheep", "knife": "knives", "wolf": "wolves", "leaf": "leaves", "tooth": "teeth",
}  # fmt: skip
_NOT_A_NOUN = _words(
    "of in on at with from by for to and or then while as that which who is was has series lot bit couple few"
)
_NEIGHBOURS = {
    letter: "".join(row[max(0, place - 1) : place] + row[place + 1 : place + 2])
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for place, letter in enumerate(row)
}
_SHORTEST_MISTYPED = 4


def without_articles(query: str, generator: np.random.Generator) -> str:
    """A query as one types it in a hurry.

    >>> without_articles("A dog barks at the door.", np.random.default_rng(0))
    'dog barks at door.'
    """
    return _ARTICLE.sub("", query)


def with_article(query: str, generator: np.random.Generator) -> str:
    """ "The" in front, where an article may stand and none does.

    >>> with_article("Rifle shot", np.random.default_rng(0)), with_article("You hear rain", np.random.default_rng(0))
    ('The rifle shot', 'You hear rain')
    """
    first = re.match(r"[^\W\d_]+", query)
    if first is None or first[0].lower() in _NO_ARTICLE_BEFORE or first[0].endswith("ly"):
        return query
    return "The " + _lower_first(query)


def upper_case(query: str, generator: np.random.Generator) -> str:
    """All capital letters."""
    return query.upper()


def lower_case(query: str, generator: np.random.Generator) -> str:
    """No capital letter, and no full stop."""
    return query.lower().rstrip(".")


def other_number(query: str, generator: np.random.Generator) -> str:
    """One thing becomes several, or several one, with the verb that belongs to it.

    >>> other_number("A small dog barks.", np.random.default_rng(0))
    'Small dogs bark.'
    >>> other_number("Birds are singing.", np.random.default_rng(0))
    'A bird is singing.'
    """
    found = _SINGULAR.search(query)
    if found and not _NOT_A_NOUN & set(found["noun"].lower().split()):
        verb = _TO_PLURAL.get(found["verb"].lower()) or _base_form(found["verb"])
        several = f"{plural(found['noun'])} {verb}"
        several = several[0].upper() + several[1:] if found["article"][0].isupper() else several
        return query[: found.start()] + several + query[found.end() :]
    found = _PLURAL.match(query)
    if found and not (_NOT_A_NOUN | _NO_ARTICLE_BEFORE) & set(found["noun"].lower().split()):
        noun = singular(_lower_first(found["noun"]))
        article = "An" if noun[0] in "aeiou" else "A"
        verb = _TO_SINGULAR.get(found["verb"].lower(), found["verb"])
        return f"{article} {noun} {verb}{query[found.end() :]}"
    return query


def sound_of(query: str, generator: np.random.Generator) -> str:
    """With "the sound of" in front, unless the query speaks of a sound or a recording already.

    >>> sound_of("A dog barking.", np.random.default_rng(0))
    'The sound of a dog barking.'
    """
    if re.search(r"\b(?:sounds?|noises?|recordings?|heard?|hearing)\b", query, re.IGNORECASE):
        return query
    return "The sound of " + _lower_first(query)


def mistyped(query: str, generator: np.random.Generator) -> str:
    """One typing error in one word of four letters or more: two letters swapped, one lost, doubled or a neighbour's."""
    words = [found for found in re.finditer(r"[A-Za-z]+", query) if len(found[0]) >= _SHORTEST_MISTYPED]
    if not words:
        return query
    found = words[int(generator.integers(len(words)))]
    # The first letter is the one that people get right.
    place = int(generator.integers(1, len(found[0]) - 1))
    word, kind = found[0], int(generator.integers(4))
    if kind == 0:
        wrong = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    elif kind == 1:
        wrong = word[:place] + word[place + 1 :]
    elif kind == 2:
        wrong = word[:place] + word[place] + word[place:]
    else:
        near = _NEIGHBOURS[word[place].lower()]
        wrong = word[:place] + near[int(generator.integers(len(near)))] + word[place + 1 :]
    return query[: found.start()] + wrong + query[found.end() :]


def plural(noun: str) -> str:
    """The plural of a noun, or of the last word of several.

    >>> [plural(noun) for noun in ("church bell", "bus", "baby", "woman", "key")]
    ['church bells', 'buses', 'babies', 'women', 'keys']
    """
    *before, last = noun.split(" ")
    lower = last.lower()
    if lower in _IRREGULAR:
        last = _IRREGULAR[lower]
    elif re.search(r"(?:s|x|z|ch|sh)$", lower):
        last += "es"
    elif re.search(r"[^aeiou]y$", lower):
        last = last[:-1] + "ies"
    else:
        last += "s"
    return " ".join([*before, last])


def singular(noun: str) -> str:
    """The singular of a plural noun, or of the last word of several.

    >>> [singular(noun) for noun in ("church bells", "glasses", "babies", "horses", "knives")]
    ['church bell', 'glass', 'baby', 'horse', 'knife']
    """
    *before, last = noun.split(" ")
    irregular = {several: one for one, several in _IRREGULAR.items()}
    if last in irregular:
        last = irregular[last]
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif re.search(r"(?:ss|x|zz|ch|sh)es$", last):
        last = last[:-2]
    else:
        last = last.removesuffix("s")
    return " ".join([*before, last])


REWORDINGS = (
    Rewording("articles dropped", "without a, an and the", without_articles),
    Rewording("article added", '"The" in front where none stands', with_article),
    Rewording("UPPER CASE", "all capital letters", upper_case),
    Rewording("lower case", "no capital letter and no full stop", lower_case),
    Rewording(
        "other number", '"a dog barks" as "dogs bark", "birds singing" as "a bird singing"', other_number
    ),
    Rewording("the sound of ...", '"The sound of" in front', sound_of),
    Rewording(
        "a typing error",
        "one in one word: letters swapped, lost, doubled, or a neighbour's",
        mistyped,
        is_misspelt=True,
    ),
)


def _base_form(verb: str) -> str:
    """Of a verb's third person; forms in -ing stay."""
    if verb.endswith("ing"):
        return verb
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    if re.search(r"(?:ss|x|zz|ch|sh|o)es$", verb):
        return verb[:-2]
    return verb[:-1]


def _lower_first(text: str) -> str:
    first = text.split(" ")[0]
    is_name = first == "I" or first[1:] != first[1:].lower()
    return text if is_name else text[:1].lower() + text[1:]
