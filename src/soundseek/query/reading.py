"""The words of a query as people type them -> the words that a model is asked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from soundseek.errors import QueryError
from soundseek.model.spelling import Spelling, slip_between
from soundseek.query.languages import OF_LATIN_SCRIPT, Translation, Translator, script_of, translator
from soundseek.query.lexicon import Term, english
from soundseek.query.manner import manner_of
from soundseek.query.negation import Parts, negation_in, negation_in_english
from soundseek.query.parts import sentence_parts
from soundseek.query.text import WORD, clean, fold, loosen, word_set, words
from soundseek.query.ucs import read_code, read_name, split_name

NoteKind = Literal["term", "code", "language", "negation", "spelling", "emoji", "unreadable", "manner"]

# A term whose words all stand so often in the captions that a model learned from is searched for as it is: one of sound
# people's own ("whoosh", "bang") less readily than the usual name of a thing ("door creak").
COMMON = 50
COMMON_NAME = 1
# The usual name of a thing is searched for as what it means, too, if captions have a word of it that seldom beside
# their most frequent one: below 5 for 25,000.
_SELDOM = 1 / 5_000
_FEW_WORDS = 4  # of a query that short each word carries much
_FAMILIAR = 10  # captions with the name of a thing, for that to be searched for without its maker's
_FEW_LETTERS = 5  # a word that short is one slip from many
_IMITATING = ("onomatopoeia", "cartoon")  # kinds of terms that anybody makes up

# Abbreviations of file names, in the words that fit into a sentence.
_SHORT = {
    "amb": "ambience", "amb.": "ambience", "bg": "background", "bgs": "background", "ext": "outdoors", "vox": "voice",
    "atmos": "ambience", "atmo": "ambience", "perc": "percussion", "expl": "explosion", "xplo": "explosion",
    "explo": "explosion", "sfx": "", "foley": "", "ui": "interface", "mx": "music", "mus": "music", "veh": "vehicle",
}  # fmt: skip

# Words that say nothing of a sound: nobody is told that a model has not learned them.
_FUNCTION_WORDS = word_set(
    """a an the this that these those some any each every all both no not without and or but nor while as when then
    than so if because until after before during of in on at to from by with into onto over under up down off
    out near behind through across along around about for is are was were be been being am do does did has have
    had having can could will would may might must shall should it its he she they him his her their there here
    i me my you your we our us who which what where how very quite too also just only someone something somebody
    sound sounds sounding noise noises recording recordings recorded audio clip heard hear hearing like against
    between above below toward towards per via etc please find search need want show give looking sfx fx s t m
    re ve ll d"""
)
# "Creepy atmosphere": no word for what sounds.
_OF_A_MOOD = word_set(
    """mood moods vibe vibes feeling feelings feel atmosphere atmospheres ambience ambiance ambient sound sounds
    soundscape soundscapes scene scenes background texture sfx stuff noise noises moment moments place places
    thing things presence energy aura"""
)
# "Very scary", "something really sad": how much of a mood, of nothing in particular.
_DEGREE = word_set(
    """something anything very really so quite rather too extremely super incredibly pretty totally
    truly slightly somewhat"""
)
_EFFECTS = word_set("effect effects")  # "science fiction effect": a made sound, not what has the mood
_MUSIC = word_set("music song songs tune tunes melody melodies soundtrack score track loop bgm underscore")
# Things that makers put their names on.
_PRODUCTS = word_set(
    """car cars motorcycle motorbike bike scooter truck van bus tractor train locomotive boat plane airplane jet
    helicopter phone telephone smartphone camera fridge refrigerator freezer oven stove microwave dishwasher washer
    dryer machine vacuum cleaner blender mixer processor grinder juicer kettle toaster shaver toothbrush drill saw
    chainsaw sander mower hammer jackhammer guitar bass piano keyboard organ synth synthesizer accordion harmonica
    violin drum drums cymbal saxophone trumpet flute typewriter printer laptop computer tablet console watch clock
    radio television tv speaker pistol rifle shotgun revolver gun fan heater conditioner"""
)
_OF_MANY_KINDS = word_set("machine cleaner")  # "machine" names no washing machine
# Words of sound libraries that stand before or behind what they are about.
_TRADE = word_set("foley vox vocals walla efforts amb bg ext int ui")
_DOUBLED = re.compile(r"\b([^\W\d_]+)(?: \1\b)+", re.IGNORECASE)
_EXCLUDED = re.compile(r"[-−!][^\W\d]")  # "-hum" excludes the term, "-20 db tone" is one
_ROMAN_SOUND = re.compile(r"\b(?:sounds?|noises?|sfx|fx|sound\s+effects?|effects?)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Note:
    """What one part of a query was read as.

    Attributes:
        kind: What was recognised.
        source: The part as it was typed.
        read: What it was read as.
    """

    kind: NoteKind
    source: str
    read: str


def _together(texts: Sequence[str]) -> str:
    """Texts of which the mean is searched for, in one phrase."""
    return f"{', '.join(texts[:-1])} and {texts[-1]} together" if len(texts) > 1 else texts[0]


@dataclass(frozen=True)
class Reading:
    """A query as it is searched for.

    Attributes:
        typed: The query as it came.
        alternatives: What is searched for: each hit counts the best of them. The texts of one alternative say the same
            thing, and their mean is searched for. Empty where the query only excludes.
        negatives: What the sounds should not be like.
        language: In which language the query was read, by its English name.
        notes: What was read as what, in the order of the query.
        unread: Words of another language that no table has; they were left out.
        unknown: Words that neither the model has learned nor the lexicon knows; they are searched for all the same.
        manners: How it should sound, by names of the model's manners ("muffled"): of what `alternatives` find, such
            sounds stand first.
        sounds: Of each alternative the sounds that it names, where they were given one by one.
    """

    typed: str
    alternatives: tuple[tuple[str, ...], ...]
    negatives: tuple[str, ...] = ()
    language: str = "English"
    notes: tuple[Note, ...] = ()
    unread: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    manners: tuple[str, ...] = ()
    sounds: tuple[tuple[str, ...], ...] = ()

    @property
    def text(self) -> str:
        """The first text that is searched for; empty where the query only excludes."""
        return self.alternatives[0][0] if self.alternatives else ""

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that are searched for, the first one first."""
        return tuple(text for texts in self.alternatives for text in texts)

    def named(self, text: str) -> tuple[str, ...]:
        """The sounds that one of the texts names; empty where it names one."""
        for texts, sounds in zip(self.alternatives, self.sounds, strict=False):
            if text in texts:
                return sounds if len(sounds) > 1 else ()
        return sentence_parts(text)

    @property
    def is_as_typed(self) -> bool:
        """True if the words that are searched for are those that were typed."""
        same = self.alternatives == ((" ".join(self.typed.split()),),)
        return same and not self.negatives and not self.manners

    def described(self, quote: Callable[[str], str] = repr) -> str:
        """What is searched for, in one phrase.

        >>> Reading("drone, no wind", (("a tone",), ("a drone",)), ("wind",)).described()
        "'a tone' or 'a drone', not 'wind'"
        >>> Reading("muffled dog barking", (("dog barking",),), manners=("muffled",)).described()
        "'dog barking', 'muffled' first"
        >>> Reading("scary", (("scary music", "eerie atmosphere", "dark drone"),)).described()
        "'scary music', 'eerie atmosphere' and 'dark drone' together"
        """
        wanted = " or ".join(_together([quote(text) for text in texts]) for texts in self.alternatives)
        if wanted and self.manners:
            wanted += f", {' and '.join(quote(name) for name in self.manners)} first"
        unwanted = " and ".join(quote(text) for text in self.negatives)
        if not unwanted:
            return wanted
        return f"{wanted}, not {unwanted}" if wanted else f"anything but {unwanted}"

    def warnings(self, quote: Callable[[str], str] = repr) -> tuple[str, ...]:
        """What the searcher should know: words that were left out, and words that the model has not learned."""
        told = []
        if self.negatives and not self.alternatives:
            unwanted = " and ".join(quote(text) for text in self.negatives)
            is_or_are = "are" if len(self.negatives) > 1 else "is"
            told.append(
                f"only {unwanted} {is_or_are} kept out and nothing asked for: what is least like it comes first; "
                "say what to look for"
            )
        if self.unread:
            names = ", ".join(quote(word) for word in self.unread)
            if self.notes:
                told.append(f"left out {names}: the lexicon has no such word of {self.language}")
            else:
                told.append(f"neither the model nor the lexicon reads {names}: what is found means nothing")
        if self.unknown:
            names = ", ".join(quote(word) for word in self.unknown)
            told.append(f"the model has learned no caption with {names}: what it finds for that is a guess")
        return tuple(told)


def as_typed(text: str) -> Reading:
    """The reading of a query that is searched for as it is; only bytes that are no text are left out.

    >>> as_typed("walla").text
    'walla'
    """
    readable = clean(text) if any(unicodedata.category(letter) == "Cs" for letter in text) else text.strip()
    return Reading(text, ((readable,),) if readable else ())


def read_query(
    text: str,
    *,
    known_words: Mapping[str, int] | Collection[str] = (),
    spelling: Spelling | None = None,
) -> Reading:
    """What a query is searched for.

    Args:
        text: The query as it came.
        known_words: The words that the model has learned, with how often each stood in its captions if that is known.
        spelling: What corrects mistyped words; None corrects none.

    Raises:
        QueryError: It holds no letter and no digit.

    >>> read_query("walla").text
    'crowd of people murmuring'
    >>> read_query("pluie sans tonnerre").negatives
    ('thunder rumbling',)
    """
    counts = known_words if isinstance(known_words, Mapping) else dict.fromkeys(known_words, COMMON)
    return QueryReader(counts, spelling).read(text)


class QueryReader:
    """Reads queries for a model.

    Args:
        counts: The words that the model has learned, in lower case, and how often each stood in its captions.
        spelling: What corrects mistyped words; None corrects none.
        manners: How sounds can be asked to sound, by the names of the model's manners.
    """

    def __init__(
        self, counts: Mapping[str, int], spelling: Spelling | None = None, *, manners: Collection[str] = ()
    ) -> None:
        self._counts = counts
        self._spelling = spelling or Spelling({})
        self._manners = manners

    @classmethod
    def of(cls, model: object, *, manners: Literal["apart", "as words"] = "apart") -> QueryReader:
        """The reader for a model, by the words of its directory; `manners` says how "muffled dog barking" is read."""
        spelling = Spelling.of(model)
        known = getattr(model, "manners", ()) if manners == "apart" else ()
        return cls(spelling.counts, spelling, manners=known)

    def read(self, text: str) -> Reading:
        """What a query is searched for.

        Raises:
            QueryError: It holds no letter and no digit.
        """
        cleaned = clean(text)
        notes: list[Note] = []
        if any(unicodedata.category(letter) == "Cs" for letter in text):
            notes.append(Note("unreadable", text, cleaned))
        spoken = _speak_emoji(cleaned)
        if spoken != cleaned:
            notes.append(Note("emoji", cleaned, spoken))
        if not words(spoken):
            raise QueryError(
                f"nothing to look for in {text!r}: it has no letter and no digit; say it in words"
            )
        reading = self._read(spoken)
        return replace(reading, typed=text, notes=(*notes, *reading.notes))

    def _read(self, text: str) -> Reading:
        whole = self._whole(text) if not _EXCLUDED.match(text) else None
        if whole is not None:
            return whole
        spaced = _file_name_in_words(text)
        if spaced != text and words(spaced):  # "dog_bark_03.wav"
            reading = self._read(spaced)
            return replace(reading, typed=text, notes=(Note("code", text, spaced), *reading.notes))
        is_english = self._is_plain_english(text) or self._is_swapped_english(text)
        name = "English" if is_english else self._language(text)
        if name is None:
            return Reading(text, ((text,),), language="unknown", unread=tuple(words(text)))
        if name == "English":
            parts = negation_in_english(text)
            if parts is None:
                return self._in_manner(text) or self._in_mood(text) or self._english(text)
            return self._manner_apart(self._joined(text, parts, self._part))
        translated = translator(name)
        parts = negation_in(name, text, translated.is_word)
        if parts is None:
            return self._manner_apart(self._foreign(text, translated))
        return self._manner_apart(
            self._joined(text, parts, lambda part: self._foreign(part, translated), name)
        )

    # -- English ------------------------------------------------------------------------------------------------------

    def _part(self, text: str, *, has_mood: bool = False) -> Reading:
        """A part of an English query: the usual name of a thing stays, a word of sound people's own is read."""
        term = self._term(text)
        whole = None if term is not None and term.is_plain else self._whole(text)
        return whole or (self._in_mood(text) if has_mood else None) or self._english(text)

    def _whole(self, text: str) -> Reading | None:
        """The whole query as a code, a category's name or a term."""
        split = split_name(text, self._is_word)
        if split is not None:
            code, description = split
            reading = code.readings[0]
            if description:
                rest = self._part(description)
                joined = f"{rest.text}, {reading}" if rest.text else reading
                return Reading(
                    text,
                    ((joined,),),
                    notes=(Note("code", code.source, reading), *rest.notes),
                    unknown=rest.unknown,
                )
            return Reading(text, (code.readings,), notes=(Note("code", text, reading),))
        if " " not in text:
            code_alone = read_code(text, self._is_word)
            if code_alone is not None:
                return Reading(
                    text, (code_alone.readings,), notes=(Note("code", text, code_alone.readings[0]),)
                )
        term = self._term(text)
        if term is not None:
            is_common = self._is_common_term(text, term)
            if not is_common or len(term.alternatives) > 1:
                return self._of_term(text, term)
        name = read_name(text)
        if name is not None and (
            text.isupper() or re.search(r"\w\s*[-/>:|–]\s*\w", text) or not self._is_common(text)
        ):
            return Reading(text, (name.readings,), notes=(Note("code", text, name.readings[0]),))
        if term is not None and self._is_better_explained(text, term):
            told = " | ".join(dict.fromkeys((text, *term.readings)))
            return Reading(text, ((text,), term.readings), notes=(Note("term", text, told),))
        return None

    def _in_manner(self, text: str) -> Reading | None:
        """A short query that says how its sound should sound."""
        found = manner_of(text, self._manners)
        if found is None:
            return None
        sound = self._part(found.sound, has_mood=True)
        notes = [Note("manner", *each) for each in zip(found.sources, found.manners, strict=False)]
        return replace(sound, typed=text, manners=found.manners, notes=(*notes, *sound.notes))

    def _in_mood(self, text: str) -> Reading | None:
        """A mood and what has it, "angry dog": the dog counts once more, or other angry sounds would come first."""
        typed = words(text)
        if len(typed) < 2 or " ".join(typed) != " ".join(text.split()):
            return None
        alone = self._moods_alone(typed)
        if alone is not None:
            return alone
        if len(typed) > _FEW_WORDS:
            return None
        for end in range(len(typed) - 1, 0, -1):
            term = english().term(" ".join(typed[:end]))
            if term is None or term.kind != "mood":
                continue
            sound = typed[end:]
            if {word.lower() for word in sound} <= _EFFECTS:
                return None
            if len(sound) == 1 and sound[0].lower() in _MUSIC:
                music = [each for each in term.readings if "music" in words(each)]
                if not music or any(_same_words(text, each) for each in music):
                    return Reading(text, ((text,),))
                return Reading(text, ((text, music[0]),), notes=(Note("term", text, f"{text} | {music[0]}"),))
            if _FUNCTION_WORDS.isdisjoint(word.lower() for word in sound):
                plain = self._part(" ".join(sound))
                if plain.texts and not plain.negatives:
                    return Reading(
                        text,
                        ((text, plain.text),),
                        notes=(Note("term", text, f"{text} | {plain.text}"), *plain.notes),
                        unknown=plain.unknown,
                    )
        return None

    def _moods_alone(self, typed: list[str]) -> Reading | None:
        """Of moods and nothing that sounds, "sad and lonely" or "something creepy", the sounds that have them."""
        found: list[Term] = []
        rest = typed[1:] if typed[0].lower() in ("a", "an", "the", "some") and len(typed) > 2 else typed
        while rest and rest[0].lower() in _DEGREE:
            rest = rest[1:]
        for part in " ".join(rest).split(" and "):
            named = part.split()
            while len(named) > 1 and named[-1].lower() in _OF_A_MOOD:
                named.pop()
            term = english().term(" ".join(named))
            if term is None or term.kind != "mood":
                return None
            found.append(term)
        text = " ".join(typed)
        read = dict.fromkeys(wordings for term in found for wordings in term.alternatives)
        note = Note("term", text, " | ".join(dict.fromkeys(each for wordings in read for each in wordings)))
        return Reading(text, tuple(read), notes=(note,))

    def _manner_apart(self, reading: Reading) -> Reading:
        """A reading in one English text, with what that says of how the sound should sound apart from it."""
        found = manner_of(reading.text, self._manners) if len(reading.texts) == 1 else None
        if found is None:
            return reading
        notes = [Note("manner", *each) for each in zip(found.sources, found.manners, strict=False)]
        in_mood = self._moods_alone(words(found.sound))
        return replace(
            reading,
            alternatives=in_mood.alternatives if in_mood else ((found.sound,),),
            manners=found.manners,
            notes=(*reading.notes, *notes, *(in_mood.notes if in_mood else ())),
        )

    def _of_term(self, text: str, term: Term) -> Reading:
        if _same_words(text, term.readings[0]):
            return Reading(text, ((text,),))
        note = Note("term", text, " | ".join(term.readings))
        if "n" in term.steering:
            return Reading(text, ((text,),))
        if "a" in term.steering:
            in_mood = self._in_mood(text) if words(text)[-1].lower() in _MUSIC else None
            if in_mood is not None:
                return in_mood
            both = f"{text}, {term.readings[0]}"
            if not self._counts or self._is_common(text):
                return Reading(text, ((text, both),), notes=(note,))
            # A model that never met the term is led astray by it alone.
            return Reading(text, ((both, *term.readings),), notes=(note,))
        alternatives = term.alternatives
        if term.kind == "mood" and words(text)[-1].lower() in _MUSIC:  # "tense music" is no heartbeat
            music = [tuple(each for each in wordings if "music" in words(each)) for wordings in alternatives]
            alternatives = tuple(wordings for wordings in music if wordings) or alternatives
            note = Note("term", text, " | ".join(each for wordings in alternatives for each in wordings))
        return Reading(text, alternatives, notes=(note,))

    def _english(self, text: str) -> Reading:
        """A query of several words: codes and terms in it that a model cannot know become plain words."""
        notes: list[Note] = []
        read = self._codes_and_terms(text, notes)
        if notes and {word.lower() for word in words(read)} <= _FUNCTION_WORDS:  # "sfx sfx": nothing is left
            once = _DOUBLED.sub(r"\1", text)
            return (self._whole(once) if once != text else None) or Reading(text, ((text,),))
        product = self._product_of(text, notes)
        if product:
            note = Note("term", text, " | ".join(product))
            return Reading(text, (product,), notes=(note,), unknown=self._unknown(text))
        corrected = self._corrected(read)
        if corrected != text and self._is_made_up(text, corrected):
            return Reading(text, ((text,),), unknown=tuple(dict.fromkeys(words(text))))
        if read != text and not _DOUBLED.search(self._corrected(text)):
            corrected = _DOUBLED.sub(r"\1", corrected)  # "dogg", and "barcking", which is a term: dog barking
        if corrected != read:
            notes.append(Note("spelling", read, corrected))
            whole = self._whole(corrected) if read == text else None
            if whole is not None:
                return replace(whole, typed=text, notes=(*notes, *whole.notes))
        return Reading(text, ((corrected,),), notes=tuple(notes), unknown=self._unknown(corrected))

    def _product_of(self, text: str, notes: list[Note]) -> tuple[str, ...]:
        """The thing beside the name of its maker, "Bosch washing machine" or "Samsung phone", in one or two wordings.

        None where no thing is named, but what it does or which part of it sounds, as in "Ferrari accelerating".
        """
        typed = words(text)
        if not 2 <= len(typed) <= _FEW_WORDS or typed[-1].lower() not in _PRODUCTS:
            return ()
        if self._counts.get(typed[-1].lower(), 0) < _FAMILIAR:
            return ()
        if not notes:  # a name that neither a caption nor a table has
            begins = next(at for at, word in enumerate(typed) if word.lower() in self._counts)
            return (text, " ".join(typed[begins:])) if begins else ()
        term = self._term(notes[0].source)
        if len(notes) > 1 or term is None or term.kind != "brand" or not text.startswith(notes[0].source):
            return ()
        rest = words(text.removeprefix(notes[0].source))
        meant = {form for word in words(notes[0].read) for form in _inflections(word.lower())}
        is_the_same = all(meant & set(_inflections(word.lower())) for word in rest)
        named = " ".join(rest)
        return tuple(dict.fromkeys((notes[0].read, named))) if is_the_same else (named,)

    def _is_made_up(self, text: str, read: str) -> bool:
        """True for words none of which is sure, "zxqv blorp": what one is read as by its sound, or as a slip of a few
        letters, is not trusted beside a word that nothing is known of.
        """
        if not self._unknown(read):
            return False
        for word in words(text):
            term = self._term(word)
            is_listed = term is not None and term.kind not in _IMITATING
            is_plain_slip = len(word) > _FEW_LETTERS and self._corrected(word) != word
            if is_listed or is_plain_slip or self._is_word(word.lower()):
                return False
        return True

    def _codes_and_terms(self, text: str, notes: list[Note]) -> str:
        found = list(WORD.finditer(text))
        parts: list[str] = []
        at, last = 0, 0
        while at < len(found):
            end, plain = self._inner(text, found, at)
            if plain is not None:
                begin, stop = found[at].start(), found[end - 1].end()
                notes.append(
                    Note(
                        "code" if end == at + 1 and _looks_like_code(found[at][0]) else "term",
                        text[begin:stop],
                        plain,
                    )
                )
                parts += [
                    text[last:begin],
                    "" if self._is_named(plain, text[begin:stop], text[stop:]) else plain,
                ]
                last = stop
            at = end
        return " ".join("".join([*parts, text[last:]]).split()) if parts else text

    def _is_named(self, plain: str, brand: str, rest: str) -> bool:
        """True where the thing that a brand is read as stands behind it: "Miele washing machine and dryer"."""
        term = self._term(brand)
        if term is None or term.kind != "brand":
            return False
        own = words(plain.lower())
        behind = f" {' '.join(words(rest.lower()))} "
        things = [
            f"{own[at - 1]} {word}" if word in _OF_MANY_KINDS and at else word
            for at, word in enumerate(own)
            if word in _PRODUCTS
        ]
        return any(f" {form} " in behind for thing in things for form in _inflections(thing))

    def _inner(self, text: str, found: list[re.Match[str]], at: int) -> tuple[int, str | None]:
        """The longest term or code that begins at a word of a longer query: where it ends, and how it is said."""
        for end in range(min(len(found), at + english().longest), at, -1):
            phrase = text[found[at].start() : found[end - 1].end()]
            if phrase.lower() in _SHORT and end == at + 1 and len(found) > 1:
                return end, _SHORT[phrase.lower()]
            # "Ferrari accelerating": a brand is no English word, whatever dictionary has it.
            is_name = len(found) <= _FEW_WORDS and not any(
                word.lower() in self._counts for word in words(phrase)
            )
            if not is_name and not self._needs_reading(phrase):
                continue
            term = self._term(phrase)
            if term is not None and not self._needs_reading(phrase) and term.kind != "brand":
                term = None
            if term is not None and not set(term.steering) & set("wn"):
                if "a" in term.steering:
                    return end, f"{phrase} ({term.readings[0]})"
                return end, re.sub(r"^(?:a|an|the) ", "", term.readings[0])
        if _looks_like_code(found[at][0]):
            code = read_code(found[at][0], self._is_word)
            if code is not None:
                return at + 1, code.readings[0]
        return at + 1, None

    def _needs_reading(self, phrase: str) -> bool:
        """True for a term inside a sentence that the model cannot know by its words."""
        return any(
            word not in self._counts and not self._is_english(word)
            for word in re.findall(r"[^\W_]+", phrase.lower())
        )

    def _term(self, text: str) -> Term | None:
        """The term that a text is, in the singular or the plural, with or without "sound"."""
        lexicon = english()
        for form in _inflections(text):
            term = lexicon.term(form)
            if term is not None:
                return term
        typed = text.split()
        if len(typed) == 2 and not _TRADE.isdisjoint(
            word.lower() for word in typed
        ):  # "cloth foley" is foley cloth
            term = lexicon.term(f"{typed[1]} {typed[0]}")
            if term is not None:
                return term
        shorter = " ".join(_ROMAN_SOUND.sub(" ", text).split())
        if shorter and shorter != text and len(shorter) > 2:
            term = next((term for form in _inflections(shorter) if (term := lexicon.term(form))), None)
            left_out = {word.lower() for word in words(text)} - {word.lower() for word in words(shorter)}
            if term is None or term.kind != "mood" or not left_out <= _EFFECTS:
                return term
        return None

    def _corrected(self, text: str) -> str:
        """The text with its mistyped words corrected, but for those that the lexicon or another language knows."""
        return self._spelling.corrected(text, is_known=self._is_lexicon_word)

    def _unknown(self, text: str) -> tuple[str, ...]:
        """Words that the model has not met; in a sentence only those that are no English either."""
        if not self._counts:
            return ()
        met = tuple(dict.fromkeys(word for word in words(text) if not word.isdigit()))
        missing = [word for word in met if not self._knows(word.lower())]
        if sum(word.lower() not in _FUNCTION_WORDS for word in met) <= _FEW_WORDS:
            return tuple(word for word in missing if not word.lower().endswith("ly"))
        return tuple(word for word in missing if not self._is_english(word.lower()))

    def _knows(self, word: str) -> bool:
        """True for a word that the model has learned or the lexicon has, in any of its forms."""
        if word in _FUNCTION_WORDS or any(letter.isdigit() for letter in word):
            return True
        forms = {word, word.removesuffix("'s"), *_inflections(word), *word.split("-")}
        return any(form in self._counts or form in english().vocabulary for form in forms)

    # -- other languages ----------------------------------------------------------------------------------------------

    def _foreign(self, text: str, translated: Translator) -> Reading:
        name = translated.name
        result: Translation = translated.translate(text)
        foreign = tuple(
            word for word in result.unread if script_of(word) != "Latin" or not self._is_word(word.lower())
        )
        passed = [word for word in result.unread if word not in foreign]
        texts = tuple(" ".join([each, *passed]) for each in result.texts) or (
            (" ".join(passed),) if passed else ()
        )
        if not texts:
            return Reading(text, ((text,),), language=name, unread=foreign)
        notes = [Note("language", text, texts[0])]
        alternatives: tuple[tuple[str, ...], ...] = (texts,)
        if len(texts) > 1:
            alternatives = tuple((each,) for each in texts)
        term = english().term(texts[0]) if len(texts) == 1 else None
        if term is not None and term.kind == "mood":  # "triste" is sad, and sad is a mood
            alternatives = term.alternatives
            notes.append(Note("term", texts[0], " | ".join(term.readings)))
        return Reading(text, alternatives, language=name, notes=tuple(notes), unread=foreign)

    def _language(self, text: str) -> str | None:
        """The language that reads most of a query; English wins ties, and None is one that no table has."""
        script = script_of(text)
        if script is None:
            return None
        if script == "Han":
            return max(("Chinese", "Japanese"), key=lambda name: self._coverage(name, text))
        if script != "Latin":
            return script
        return self._latin(text)

    def _coverage(self, name: str, text: str) -> tuple[float, float]:
        result = translator(name).translate(text)
        return -float(sum(map(len, result.unread))), -result.num_read

    def _latin(self, text: str) -> str:
        typed = words(text)
        english_weights = [self._english_weight(word) for word in typed]
        best, most = "English", 0.0
        for name in OF_LATIN_SCRIPT:
            gain = self._gain(translator(name), text, typed, english_weights)
            if gain > most:
                best, most = name, gain
        if (
            0 < most < 1.0 and len(typed) > 1
        ):  # "fus weeg": no word of the table, and another that nothing is known of
            weights = [translator(best).reads(word) for word in typed]
            if any(not max(pair) for pair in zip(weights, english_weights, strict=True)):
                return "English"
        return best

    def _gain(
        self, translated: Translator, text: str, typed: list[str], english_weights: list[float]
    ) -> float:
        """How many more of the words a language knows than English; only what one of the two lacks counts."""
        language = translated.language
        if len(typed) > 1 and translated.is_word(text) and min(english_weights) < 1.0:
            return len(typed) + 0.5  # a phrase of the table
        gain = 0.0
        for word, english_weight in zip(typed, english_weights, strict=True):
            weight = translated.reads(word)
            is_its_own = weight == 1.0 and loosen(word) not in language.english and english_weight < 1.0
            if is_its_own and not (language.lacks_accents(word) and english_weight):
                gain += 1.0
            elif weight and not english_weight:
                gain += weight
            elif english_weight and not weight:
                gain -= 1.0
        return gain + 0.5 if gain > 0 and translated.is_word(text) else gain

    def _english_weight(self, word: str) -> float:
        """1 for a word of the model's list or of sound people, 0.5 for one of the dictionary alone, else 0."""
        lower = fold(word)
        if lower in self._counts or lower in _FUNCTION_WORDS or word.isdigit():
            return 1.0
        if lower in english().vocabulary:
            return 1.0
        return 0.5 if self._is_english(lower) else 0.0

    # -- both ---------------------------------------------------------------------------------------------------------

    def _joined(
        self, text: str, parts: Parts, read: Callable[[str], Reading], language: str = "English"
    ) -> Reading:
        """The reading of a query that excludes something, from the readings of its parts."""
        positive = read(parts.positive) if words(parts.positive) else Reading("", (), language=language)
        negatives = [read(each) for each in parts.negatives if words(each)]
        if not positive.alternatives and not negatives:  # nothing but signs around "without"
            return Reading(text, ((text,),), language=language)
        notes = [*positive.notes]
        unwanted: list[str] = []
        for part, each in zip(parts.negatives, negatives, strict=False):
            unwanted += _unwanted(part, each)
            notes.append(Note("negation", part, each.text))
        if not negatives:
            notes = [Note("negation", text, positive.text), *notes]
        return Reading(
            text,
            positive.alternatives,
            negatives=tuple(dict.fromkeys(unwanted)),
            language=language,
            notes=tuple(notes),
            unread=(*positive.unread, *(word for each in negatives for word in each.unread)),
            unknown=(*positive.unknown, *(word for each in negatives for word in each.unknown)),
        )

    def _is_plain_english(self, text: str) -> bool:
        """True if every word is one that the model has learned: no table of other languages is asked then."""
        typed = words(text)
        return bool(typed) and all(self._english_weight(word) == 1.0 for word in typed)

    def _is_swapped_english(self, text: str) -> bool:
        """True for one word that is a frequent one but for two swapped letters: "rian" is rain.

        Where a table of another language has the word as it stands, it is that.
        """
        if len(words(text)) != 1 or script_of(text) != "Latin":
            return False
        corrected = self._corrected(text).lower()
        return (
            self._counts.get(corrected, 0) >= COMMON
            and slip_between(text.lower(), corrected) == "swapped"
            and not any(translator(name).is_word(text) for name in OF_LATIN_SCRIPT)
        )

    def _is_common(self, text: str, count: int = COMMON_NAME) -> bool:
        """True if every word of a term stands so often in the captions that the model has learned."""
        parts = re.findall(r"[^\W_]+", text.lower())
        return all(self._counts.get(word, 0) >= count for word in parts)

    def _is_common_term(self, text: str, term: Term) -> bool:
        """True for a term that the model has learned from captions: it is searched for as it is."""
        typed = words(text.lower())
        if term.kind == "mood" or (len(typed) > 1 and len(set(typed)) == 1):  # "bang bang" is no caption
            return False
        is_plain = _is_plain(text, term)
        if (
            is_plain and not self._counts
        ):  # nothing is known of the model: it is asked for things by their usual names
            return True
        return self._is_common(text, COMMON_NAME if is_plain else COMMON)

    def _is_better_explained(self, text: str, term: Term) -> bool:
        """True for a term whose words captions have, but hardly as it is meant: "sizzling", "cloth movement".

        It is searched for as it is, and as what it means.
        """
        if term.kind == "slang" or set(term.steering) & set("mna") or _same_words(text, term.readings[0]):
            return False
        return bool(self._counts) and not (_is_plain(text, term) and self._is_common(text, self._seldom))

    @cached_property
    def _seldom(self) -> int:
        return round(_SELDOM * max(self._counts.values(), default=0))

    def _is_word(self, word: str) -> bool:
        """True for a word in lower case that the model has learned or an English dictionary has."""
        return word in self._counts or self._is_english(word)

    def _is_english(self, word: str) -> bool:
        return self._spelling.is_english(word)

    @cached_property
    def _lexicon_vocabulary(self) -> frozenset[str]:
        return english().vocabulary

    def _is_lexicon_word(self, word: str) -> bool:
        return any(form in self._lexicon_vocabulary for form in _inflections(word))


def _unwanted(part: str, reading: Reading) -> tuple[str, ...]:
    """What a part that is kept out should not be like: the first wording, of a mood that of each of its sounds."""
    term = english().term(part)
    is_mood = term is not None and term.kind == "mood"
    return tuple(texts[0] for texts in reading.alternatives) if is_mood else (reading.text,)


def _is_plain(text: str, term: Term) -> bool:
    """True for the usual name of a thing, and for "gun firing", which is a caption, whatever list it stands in."""
    typed = words(text.lower())
    return term.is_plain or (len(typed) > 1 and typed[-1].endswith("ing"))


def _same_words(text: str, other: str) -> bool:
    """True if two texts differ in case, signs and articles alone."""
    bare = [[word for word in words(fold(each)) if word not in ("a", "an", "the")] for each in (text, other)]
    return bare[0] == bare[1]


def _file_name_in_words(text: str) -> str:
    """A file's name in words: without its extension, its marks and its number.

    >>> _file_name_in_words("amb_forest_night_01.wav"), _file_name_in_words("rain and wind")
    ('amb forest night', 'rain and wind')
    """
    stem = re.sub(r"\.(?:wav|aiff?|flac|mp3|ogg|opus|m4a|caf)$", "", text, flags=re.IGNORECASE)
    if stem == text and ("_" not in text or " " in text):
        return text
    return " ".join(re.sub(r"[\s_\-]+\d+[a-z]?$", "", stem.strip()).replace("_", " ").split())


def _looks_like_code(word: str) -> bool:
    return bool(re.match(r"^[A-Z]{2,5}[A-Z][a-z]+$", word)) or (
        word.isupper() and 4 <= len(word) <= 6 and word.isalpha()
    )


def _inflections(text: str) -> tuple[str, ...]:
    """A word or phrase, and its last word in the singular and the plural: "wallas" is walla."""
    forms = [text]
    lower = text.lower()
    if lower.endswith("s") and len(lower) > 3:
        forms += [text[:-1]] + ([text[:-2]] if lower.endswith("es") else [])
    else:
        forms += [f"{text}s"]
    if lower.endswith("ing") and len(lower) > 5:
        stem = text[:-3]
        forms += [stem, f"{stem}e"] + ([stem[:-1]] if stem[-1:] == stem[-2:-1] else [])
    if lower.endswith("ed") and len(lower) > 4:
        forms += [text[:-2], text[:-1]]
    return tuple(dict.fromkeys(forms))


def _speak_emoji(text: str) -> str:
    """Pictures as words: a dog's face becomes "dog".

    >>> _speak_emoji("🐶 in the 🌧")
    'dog in the cloud with rain'
    """
    spoken = []
    for letter in text:
        if unicodedata.category(letter) == "So" and ord(letter) > 0x2000:
            name = unicodedata.name(letter, "").lower()
            spoken.append(
                f" {re.sub(r'(?:^|-| )(?:face|sign|symbol|emoji|with)$|^smiling | face$', '', name)} "
            )
        elif letter in "\ufe0f\u200d" and spoken and spoken[-1].startswith(" "):
            continue
        else:
            spoken.append(letter)
    return " ".join("".join(spoken).split())
