"""A query in another language -> English in the words of captions: phrase first, then word by word."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Literal

from soundseek.query.lexicon import Language, languages
from soundseek.query.text import LETTER, WORD, fold, loosen, word_set, words

WordClass = Literal["noun", "verb", "quality", "place or time", "preposition", "nothing"]

# Words with which a language binds its nouns are not read alone: French l'eau, Italian dell'acqua.
_ELISION = re.compile(
    r"^(?:l|d|s|n|j|m|t|qu|c|all|dell|nell|sull|dall|un|jusqu|lorsqu|quell|bell)['’](?=\w)", re.IGNORECASE
)
_UNSPACED = ("Japanese", "Chinese")
_AFTER_THE_NOUN = ("Japanese", "Korean", "Turkish", "Hindi")  # "in the forest" is "forest in" there
_QUALITY_AFTER = ("French", "Spanish", "Italian", "Portuguese", "Arabic", "Polish")
_COMPOUNDING = ("German", "Dutch")

# What readings of single words are in a sentence; all others are nouns with the sound that they make.
_QUALITIES = word_set(
    """scary gentle early loud quiet close slow heavy big small old new soft fast wet dry broken strong long short
    light many two three one very short deep high low dark bright cold hot warm angry happy sad empty metal
    metallic wooden distant muffled"""
) | {"deep low", "high pitched", "small|short", "broken|breaking", "gentle light", "dark low"}
_PLACES_AND_TIMES = frozenset(
    """in the distance|at night|in the morning|in the evening|in summer|in winter|in spring|in autumn|indoors|outdoors
    |behind a wall|quickly|slowly and softly|coming closer|moving away""".replace("\n    ", "").split("|")
)
_PREPOSITIONS: Mapping[str, str] = {
    "in": "in", "on": "on", "with": "with", "without": "without", "through": "through", "against": "against",
    "of": "of", "from": "from", "of|from": "of", "with|of": "with", "and": "and",
    "in|not": "in", "to": "to", "but": "and",
    "under": "under", "over": "over", "behind": "behind", "near": "near", "between": "between", "during": "during",
    "bee buzzing|to": "to", "at": "at", "after": "and", "around": "around", "into": "into", "like": "like",
}  # fmt: skip
_BEFORE_PLACES = ("in", "on", "under", "over", "behind", "near", "through", "from", "into", "around")
_NOTHING = frozenset(
    """the|a|that|itself|only|very|free|for video or film|recording or sound clip|sound effect|sound|a|one|not|no
    |everyone or people""".replace("\n    ", "").split("|")
) | {"a|one", "sound effect|noise", "noise"}
_VERBS: Mapping[str, str] = {
    "running along or flowing": "running", "rubbing or scraping": "scraping", "playing a musical instrument": "playing",
    "vehicle or person passing by": "passing by", "coughing and sneezing": "coughing",
}  # fmt: skip
_FLOWING = ("water", "river", "stream", "tap", "fountain", "rain", "sea", "waterfall", "drain", "blood")
# "person laughing" beside "woman" is what the woman does.
_PERSON = re.compile(r"^person (\w+ing)$")
_SOMEBODY = (
    "man",
    "woman",
    "child",
    "children",
    "baby",
    "people",
    "crowd",
    "girl",
    "boy",
    "witch",
    "monster",
    "zombie",
)

_TURKISH_LOCATIVE = re.compile(r"(?:n?[dt][ae])(?:ki)?$")
_TURKISH_ENDING = re.compile(
    r"^(?:l[ae]r)?(?:[iıuü]m|[iıuü]n|s?[iıuü]|l[ae]r[iıuü]|[iıuü]m[iıuü]z)?(?:n?[dt][ae]n?|n?[iıuü]n|y?[ae]|y[iıuü]|n?[iıuü]|yl[ae]|l[iıuü]|l[iıuü]k|s[iıuü]z|"
    r"[iıuü]yor|[iıuü]yorlar|[ae]n|y[ae]n|m[ae]|m[ae]k|m[ae]s[iıuü]|[iıuü]ş|d[iıuü]|m[iıuü]ş|[ae]r|k[iıuü]|c[iıuü]|c[iıuü]k)?$"
)
_ARABIC_PREFIX = re.compile(r"^(?:و|ف)?(?:ب|ك|ل)?(?:ال|لل)?|^(?:و|ف|ب|ك|ل|س)")
_HANGUL, _HANGUL_SYLLABLES, _FINAL_N = (
    0xAC00,
    11_172,
    4,
)  # syllables in the order of their parts, 28 finals each
_LINKS = ("", "s", "es", "n", "en", "er", "e", "ns")
_SHORTEST_STEM = 3
_SHORTEST_PART = 3  # of a compound
_LONGEST_WORD = 80  # letters; a longer one is no word, and how often it could be cut grows with the square
_SURE_PART = 6  # alone, with the rest unread: Feuerwehr is no fire
_SOUND_PARTS = word_set(
    """gerausch gerausche geraeusch geraeusche ton tone klang klange laut laute sound sounds effekt effekte atmo
    ambiente stimmung kulisse aufnahme geluid geluiden aufnahmen"""
)

_TRADITIONAL = str.maketrans(
    "風雲電機車鐘鈴門開關聲鳥雞鴨鵝馬貓獅鯨魚蟲蜜蜂蟬鬧鐵銅鋼鐐劍槍彈砲礮爆煙燒滅雷雪氷氣電話鍵盤滑鼠錶錄音響樂鋼琴鑼鼓號長笛簫嗩吶廣場園廠廚廳飯館寶嬰兒孫媽爺奶們個這裡裏還沒無與為於從進過來時間後嗎嗚喚嘆嚎嚇噴囂圍壓壞壘戰鬥擊敲擦擰換揮撥擺擋據潑濺濕溼熱溫湧湯潛濱瀑瀝灘焗爐點燈牆獸獵現畫發盜盤礫碼禮紙級紗線縫練織繩續羅義習翹聽聞職腳臉臨舊葉蓋蕩處衝裝補訊計認討讓記詠詩話語誦調談請論謝譯讀變豬賣貝貨費賽趕跡踐輕輛輪轉轟辦農運邊達遠還郵鄉釘鎖鎮錘鍋鎚鏈鏟鑰鑽閃閉閘隊階雜離難霧靜項順須頭題顆風飛飲駛驚骨髒髮鬼鳴鴿鶴鷹鵲鸚鵡麥黃齒龍龜",
    "风云电机车钟铃门开关声鸟鸡鸭鹅马猫狮鲸鱼虫蜜蜂蝉闹铁铜钢镣剑枪弹炮炮爆烟烧灭雷雪冰气电话键盘滑鼠表录音响乐钢琴锣鼓号长笛箫唢呐广场园厂厨厅饭馆宝婴儿孙妈爷奶们个这里里还没无与为于从进过来时间后吗呜唤叹嚎吓喷嚣围压坏垒战斗击敲擦拧换挥拨摆挡据泼溅湿湿热温涌汤潜滨瀑沥滩焗炉点灯墙兽猎现画发盗盘砾码礼纸级纱线缝练织绳续罗义习翘听闻职脚脸临旧叶盖荡处冲装补讯计认讨让记咏诗话语诵调谈请论谢译读变猪卖贝货费赛赶迹践轻辆轮转轰办农运边达远还邮乡钉锁镇锤锅锤链铲钥钻闪闭闸队阶杂离难雾静项顺须头题颗风飞饮驶惊骨脏发鬼鸣鸽鹤鹰鹊鹦鹉麦黄齿龙龟",
)

_SCRIPTS = (
    ("Japanese", re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]")),
    ("Han", re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")),
    ("Korean", re.compile("[\uac00-\ud7af\u1100-\u11ff]")),
    ("Russian", re.compile("[\u0400-\u04ff]")),
    ("Arabic", re.compile("[\u0600-\u06ff\u0750-\u077f]")),
    ("Hindi", re.compile("[\u0900-\u097f]")),
    ("Latin", re.compile("[A-Za-z\u00c0-\u024f]")),
)  # fmt: skip
OF_LATIN_SCRIPT = (
    "German",
    "French",
    "Spanish",
    "Italian",
    "Portuguese",
    "Dutch",
    "Polish",
    "Turkish",
    "Hindi",
)


@dataclass(frozen=True)
class Piece:
    """One word or phrase of a query and what it means."""

    source: str
    plain: str
    kind: WordClass


@dataclass(frozen=True)
class Translation:
    """A query of another language in English.

    Attributes:
        texts: Its meanings; more than one where a single term has several.
        unread: Words that no table has, in their order.
        num_read: How many of its words were read.
        weight: How surely: 1 for a word of the table, less for one that was taken apart.
    """

    texts: tuple[str, ...]
    unread: tuple[str, ...] = ()
    num_read: int = 0
    weight: float = 0.0


def script_of(text: str) -> str | None:
    """The script that most letters of a text are of: "Latin", "Han", or the language that alone uses it here.

    None where no language of the lexicon is written in it.

    >>> [script_of(text) for text in ("Hund", "犬が吠える", "狗", "собака", "สุนัข", "123")]
    ['Latin', 'Japanese', 'Han', 'Russian', None, 'Latin']
    """
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS}
    if counts["Japanese"]:  # kana: Chinese has none, Japanese has Han signs as well
        counts["Japanese"] += counts.pop("Han")
    best = max(counts, key=counts.__getitem__)
    letters = sum(character.isalpha() for character in text)
    if not letters:
        return "Latin"
    return best if counts[best] * 2 >= letters else None


class Translator:
    """Reads the queries of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.name = language.name
        self._heads = languages().heads

    def translate(self, text: str) -> Translation:
        """The query in English, as far as its words are known."""
        whole = self.known(text)
        if whole is not None:
            return Translation(
                tuple(whole.split("|")), (), len(words(text)) or 1, float(len(words(text)) or 1)
            )
        pieces, unread, weight = self._pieces(text)
        composed = compose([piece for piece in pieces if piece.kind != "nothing"], self.name, self._heads)
        if not composed and not unread:  # "das Geräusch": nothing but what is left out of others
            composed = " ".join(
                piece.plain.split("|")[0]
                for piece in pieces
                if piece.plain and piece.plain not in ("the", "a")
            )
        return Translation((composed,) if composed else (), tuple(unread), len(pieces), weight)

    def known(self, text: str) -> str | None:
        """What a whole word or phrase means."""
        stripped = text.strip(" .,;:!?。、，！？…\"'")
        if self.name == "Chinese":
            stripped = stripped.translate(_TRADITIONAL)
        return self.language.reading(stripped)

    def is_word(self, text: str) -> bool:
        """True for a word or phrase of the table."""
        return self.known(text) is not None

    def reads(self, word: str) -> float:
        """How surely a single word is one of this language, 0 to 1; only a word that tells it from English counts."""
        bare = _ELISION.sub("", word)
        if (
            self.language.reading(word) is not None
            or self.language.reading(bare) is not None
            or loosen(bare) in self.language.stop
        ):
            return 1.0
        return 0.7 if self._taken_apart(bare) else 0.0

    def _pieces(self, text: str) -> tuple[list[Piece], list[str], float]:
        if self.name in _UNSPACED:
            return self._segmented(text)
        found = list(WORD.finditer(text))
        pieces: list[Piece] = []
        unread: list[str] = []
        weight, at = 0.0, 0
        while at < len(found):
            for end in range(min(len(found), at + self.language.longest), at, -1):
                phrase = text[found[at].start() : found[end - 1].end()]
                plain = self.language.reading(phrase)
                if plain is not None and not (end - at == 1 and self._is_locative(phrase)):
                    pieces.append(Piece(phrase, plain, kind_of(plain)))
                    weight += end - at
                    at = end
                    break
            else:
                read, sure = self._word(found[at][0])
                pieces += read
                weight += sure
                if not read:
                    unread.append(found[at][0])
                at += 1
        return pieces, unread, weight

    def _is_locative(self, word: str) -> bool:
        return False

    def _word(self, word: str) -> tuple[list[Piece], float]:
        """A word that is none of the table as it stands; nothing where it cannot be read."""
        bare = _ELISION.sub("", word)
        plain = self.language.reading(bare) if bare != word else None
        if plain is not None:
            return [Piece(word, plain, kind_of(plain))], 1.0
        if loosen(word) in self.language.stop or loosen(bare) in self.language.stop or word.isdigit():
            return [Piece(word, "", "nothing")], 1.0
        return self._taken_apart(bare), 0.7

    def _taken_apart(self, word: str) -> list[Piece]:
        """A word by its stem, or a compound by its parts."""
        if len(word) > _LONGEST_WORD:
            return []
        form = loosen(word)
        if self.name == "Turkish":
            return self._turkish(word, form)
        if self.name == "Arabic":
            for _ in range(2):
                shorter = _ARABIC_PREFIX.sub("", form, count=1)
                if len(shorter) >= 2 and (plain := self.language.reading(shorter)) is not None:
                    return [Piece(word, plain, kind_of(plain))]
                form = shorter if len(shorter) >= _SHORTEST_STEM else form
        if "-" in form:
            parts = [self._word(part)[0] for part in form.split("-") if part]
            if all(parts):
                return [piece for part in parts for piece in part]
        inflected = self._inflected(form)
        if inflected is not None:
            return [Piece(word, inflected, kind_of(inflected))]
        if self.name in _COMPOUNDING:
            return self._compound(word, form)
        if self.name == "Korean":
            return self._korean(word, form)
        return []

    def _inflected(self, form: str) -> str | None:
        """The meaning of the one stem that a word shares with words of the table, both without their endings."""
        best: tuple[int, set[str]] | None = None
        for ending in self._word_endings:
            if not form.endswith(ending) or len(form) - len(ending) < self._shortest_stem:
                continue
            for other, term in self._stems.get(form[: len(form) - len(ending)] if ending else form, ()):
                cost = len(ending) + other
                plain = self.language.reading(term) or ""
                if best is None or cost < best[0]:
                    best = cost, {plain}
                elif cost == best[0]:
                    best[1].add(plain)
        if best is None:
            return None
        # Of several readings that are as near the right one cannot be told, unless they name one thing.
        meanings = sorted(best[1], key=lambda plain: (kind_of(plain) != "noun", len(plain)))
        return (
            meanings[0]
            if len(meanings) == 1 or len({self._heads.get(each, each) for each in meanings}) <= 2
            else None
        )

    @cached_property
    def _shortest_stem(self) -> int:
        return (
            2
            if self.name in ("Korean", "Arabic", "Hindi")
            else 4
            if self.name in ("German", "Dutch")
            else _SHORTEST_STEM
        )

    @cached_property
    def _word_endings(self) -> tuple[str, ...]:
        return ("", *dict.fromkeys(loosen(each) for each in self.language.endings))

    @cached_property
    def _stems(self) -> dict[str, list[tuple[int, str]]]:
        """Stem -> how long an ending was taken off, and the word of the table."""
        stems: dict[str, list[tuple[int, str]]] = {}
        for term in self.language.single_words:
            for ending in self._word_endings:
                stem = term[: len(term) - len(ending)] if ending else term
                if term.endswith(ending) and len(stem) >= self._shortest_stem and "-" not in stem:
                    stems.setdefault(stem, []).append((len(ending), term))
        return stems

    def _compound(self, word: str, form: str) -> list[Piece]:
        """German "Kirchturmglocke": the longest known end, and what stands before it where that is known."""
        for at in range(_SHORTEST_PART, len(form) - _SHORTEST_PART + 1):
            left, right = form[:at], form[at:]
            if right in _SOUND_PARTS or right.removesuffix("e") in _SOUND_PARTS:
                plain = self._part(left)
                return [Piece(word, plain, kind_of(plain))] if plain else []
            plain = self.language.reading(right) or (self._inflected(right) if len(right) >= 5 else None)
            if plain is None or len(right) < _SHORTEST_PART or (len(right) == 3 and at < 4):
                continue
            before = self._part(left)
            if before is not None:
                return [Piece(left, before, kind_of(before)), Piece(right, plain, kind_of(plain))]
            if len(right) >= 5:
                return [Piece(word, plain, kind_of(plain))]
        for at in range(
            len(form) - _SHORTEST_PART, _SURE_PART - 1, -1
        ):  # "Hubschrauberlandung": only the beginning
            plain = self._part(form[:at])
            if plain is not None:
                return [Piece(word, plain, kind_of(plain))]
        return []

    def _part(self, form: str) -> str | None:
        """The first part of a compound, with or without the letters that bind it: Hunde-, Kirchen-, Regen-."""
        for link in _LINKS:
            if form.endswith(link) and len(form) - len(link) >= _SHORTEST_PART:
                plain = self.language.reading(form[: len(form) - len(link)] if link else form)
                if plain is not None and kind_of(plain) not in ("preposition", "nothing"):
                    return plain
        return self._inflected(form) if len(form) >= 5 else None

    def _turkish(self, word: str, form: str) -> list[Piece]:
        """The longest word of the table that it begins with, if what follows is made of endings."""
        terms = self.language.single_words
        for at in range(len(form), 2, -1):
            stem, rest = form[:at], form[at:]
            place = bisect_left(terms, stem)
            term = stem if place < len(terms) and terms[place] == stem else None
            if term is None and stem[-1:] in "bdgcğ":  # kitap, kitabı: a hard end grows soft
                hard = stem[:-1] + {"b": "p", "d": "t", "g": "k", "c": "c"}.get(stem[-1], "k")
                term = hard if self.language.reading(hard) is not None else None
            if term is None:  # koşan, koşuyor, koşmak: verbs of the table stand in one form
                for ending in ("mak", "mek", "ma", "me", "an", "en", "yan", "yen", "iyor", "uyor"):
                    if (
                        len(stem) >= _SHORTEST_STEM
                        and self.language.reading(stem + ending) is not None
                        and rest
                    ):
                        term = stem + ending
                        break
            plain = self.language.reading(term) if term else None
            if plain is not None and _TURKISH_ENDING.match(rest):
                pieces = [Piece(word, plain, kind_of(plain))]
                if rest and _TURKISH_LOCATIVE.search(rest) and kind_of(plain) == "noun":
                    pieces.append(Piece(rest, "in", "preposition"))
                return pieces
        return []

    def _korean(self, word: str, form: str) -> list[Piece]:
        """The longest known beginning: "고양이들이"; of a verb at the end, "울린다", the form before a noun."""
        at = ord(form[-2]) - _HANGUL if form.endswith("다") and len(form) > 2 else -1
        if 0 <= at < _HANGUL_SYLLABLES and at % 28 == _FINAL_N:
            stem = form[:-2] + chr(_HANGUL + at - _FINAL_N)
            plain = next(
                (read for end in ("는", "고", "기") if (read := self.language.reading(stem + end))), None
            )
            if plain is not None:
                return [Piece(word, plain, kind_of(plain))]
        for at in range(len(form) - 1, 0, -1):
            plain = self.language.reading(form[:at])
            if plain is None or (at == 1 and len(form) > 3):
                continue
            pieces = [Piece(form[:at], plain, kind_of(plain))]
            rest = form[at:]
            if rest.startswith(("에서", "속", "안")):
                return [*pieces, Piece(rest, "in", "preposition")]
            more = self.language.reading(rest)
            if more is not None:
                return [*pieces, Piece(rest, more, kind_of(more))]
            return pieces if len(rest) <= 3 else []
        return []

    def _segmented(self, text: str) -> tuple[list[Piece], list[str], float]:
        """A text without blanks in the fewest words of the table that leave the fewest signs unread."""
        line = fold(text)
        if self.name == "Chinese":
            line = line.translate(_TRADITIONAL)
        best: list[tuple[float, int, str | None]] = [
            (0.0, 0, None)
        ]  # cost up to a place, where its last word begins
        for end in range(1, len(line) + 1):
            sign = line[end - 1]
            skipped = not re.fullmatch(LETTER, sign)
            choices = [(best[end - 1][0] + (0.0 if skipped else 3.0), end - 1, None if not skipped else "")]
            for begin in range(max(0, end - self.language.longest_letters), end):
                part = line[begin:end]
                if " " in part:
                    continue
                plain = self.language.reading(part)
                if plain is None and loosen(part) in self.language.stop:
                    plain = ""
                if plain is not None:
                    choices.append((best[begin][0] + 1.0 + (0.3 if not plain else 0.0), begin, plain))
            best.append(min(choices, key=lambda choice: choice[0]))
        pieces: list[Piece] = []
        left: list[tuple[int, str]] = []
        end, weight = len(line), 0.0
        while end:
            _, begin, plain = best[end]
            part = line[begin:end]
            if plain is None:
                left.append((begin, part))
            elif re.match(LETTER, part):
                pieces.append(Piece(part, plain, kind_of(plain) if plain else "nothing"))
                weight += 1
            end = begin
        return pieces[::-1], _runs(left[::-1]), weight


def compose(pieces: list[Piece], language: str, heads: Mapping[str, str]) -> str:
    """The pieces of a sentence as a caption would say it.

    A noun's reading names its usual sound ("dog barking"); another verb beside it, or a preposition before it, takes
    that away ("dog growling", "in the forest").

    >>> dog, growls = Piece("Hund", "dog barking", "noun"), Piece("knurrt", "growling", "verb")
    >>> compose([dog, growls], "German", {"dog barking": "dog"})
    'dog growling'
    """
    sentence = _Sentence(language)
    for piece in _somebody_does(pieces, heads):
        sentence.add(piece, heads)
    return sentence.text()


class _Sentence:
    """The sentence that a query becomes, piece by piece."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._units: list[_Unit] = []
        self._endings: list[str] = []
        # What waits for the noun that it belongs to.
        self._qualities: list[str] = []
        self._verb = ""
        self._preposition = ""

    def add(self, piece: Piece, heads: Mapping[str, str]) -> None:
        """Put a piece where it belongs."""
        plain = _plain_for(piece, bool(self._units))
        if piece.kind == "quality":
            self._add_quality(plain)
        elif piece.kind == "place or time":
            self._endings.append(plain)
        elif piece.kind == "preposition":
            self._add_preposition(piece.source, plain)
        elif piece.kind == "verb":
            self._add_verb(plain)
        else:
            self._add_noun(plain, heads.get(piece.plain, heads.get(plain, plain)))

    def text(self) -> str:
        """The sentence in words."""
        if self._verb or self._qualities:
            alone = " ".join([*self._qualities, self._verb]).strip()
            self._units.append(_Unit(alone, alone, "", "", []))
        # Where something is comes last, as captions have it.
        units = sorted(self._units, key=lambda unit: unit.preposition not in ("", "and", "of"))
        followers = [*(unit.preposition for unit in units[1:]), ""]
        parts = [unit.text(following) for unit, following in zip(units, followers, strict=False)]
        text = re.sub(r"^(?:and|of|with|to|from) ", "", " ".join([*parts, *self._endings]))
        kept: list[str] = []
        for word in text.split():  # two words may have brought one action
            if word not in kept or not word.endswith("ing"):
                kept.append(word)
        return re.sub(r"\b(\w+)( \1\b)+", r"\1", " ".join(kept))

    def _add_quality(self, plain: str) -> None:
        waits = self._qualities or self._preposition or self._verb
        last = self._units[-1] if self._units else None
        # After its noun, or "laut" after "bellt".
        belongs_to_last = last and (self._language in _QUALITY_AFTER or last.verb) and not last.qualities
        if last and belongs_to_last and not waits:
            last.qualities.append(plain)
        else:
            self._qualities.append(plain)

    def _add_preposition(self, source: str, plain: str) -> None:
        follows = self._language in _AFTER_THE_NOUN or source in ("里", "里面", "上", "的", "中", "内")
        if not follows or not self._units or plain == "and":
            self._preposition = plain
        elif plain == "of":  # "forest's birds": the forest only says which birds
            self._units[-1].is_modifier = True
        else:
            self._units[-1].preposition = plain

    def _add_verb(self, plain: str) -> None:
        target = next((unit for unit in reversed(self._units) if unit.takes_a_verb), None)
        if target is not None and self._preposition != "and":
            target.verb = plain
        else:
            self._verb = plain

    def _add_noun(self, plain: str, head: str) -> None:
        last = self._units[-1] if self._units else None
        if (
            last
            and self._preposition in ("of", "")
            and last.head != last.plain
            and last.head == plain.split()[0]
        ):
            last.plain = plain  # "gato" and what only a cat does: "ronroneo"
        elif last and self._preposition == "of" and f"{last.plain} ".startswith(f"{head} "):
            last.qualities += self._qualities  # "aboiement de chien": barking is a dog's already
        elif not self._verb and any(set(head.split()) <= set(unit.plain.split()) for unit in self._units):
            pass  # "digitando no teclado": typing names the keyboard
        else:
            # "stukt op de deur": what is knocked on is what sounds
            preposition = "" if self._verb and not self._units else self._preposition
            self._units.append(_Unit(plain, head, preposition, self._verb, self._qualities))
        self._preposition, self._verb, self._qualities = "", "", []


def _somebody_does(pieces: list[Piece], heads: Mapping[str, str]) -> list[Piece]:
    """The pieces with "person laughing" as what another noun does, "rire de femme", and music as an instrument's."""
    pieces = list(pieces)
    for at, piece in enumerate(pieces):
        person = _PERSON.match(piece.plain.split("|")[0])
        is_music = piece.plain == "music playing"
        if piece.kind != "noun" or not (person or is_music):
            continue
        for other, between in ((at + 1, None), (at + 2, at + 1), (at - 1, None), (at - 2, at - 1)):
            if not 0 <= other < len(pieces) or (
                between is not None and pieces[between].plain not in ("of", "of|from")
            ):
                continue
            noun = pieces[other]
            head = heads.get(noun.plain, noun.plain)
            if person and noun.kind == "noun" and head.split()[-1] in _SOMEBODY and noun is not piece:
                pieces[at] = Piece(piece.source, person[1], "verb")
            elif is_music and noun.plain.endswith(" playing") and noun.plain != piece.plain:
                pieces[at] = Piece(piece.source, "music", "verb")
            else:
                continue
            if between is not None:
                del pieces[between]
            break
    return pieces


@dataclass
class _Unit:
    """A noun of the sentence with what belongs to it."""

    plain: str
    head: str
    preposition: str
    verb: str
    qualities: list[str] = field(default_factory=list)
    is_modifier: bool = False

    @property
    def takes_a_verb(self) -> bool:
        """False for a noun that has one, for a place, and for a sound of its own as "hammering"."""
        is_sound = self.head == self.plain and self.plain.endswith("ing")
        return not self.verb and not self.preposition and not self.is_modifier and not is_sound

    def text(self, following: str) -> str:
        """The unit in words.

        Args:
            following: The preposition of the next unit.
        """
        alone = (
            not self.verb and not self.is_modifier and self.preposition in ("", "and") and following != "of"
        )
        noun, verb = (self.plain if alone else self.head), self.verb
        if verb == "running" and any(word in self.head.split() for word in _FLOWING):
            verb = "flowing"
        if verb and verb in self.plain.split():
            noun, verb = self.plain, ""
        preposition = "" if self.preposition == "to" else self.preposition
        article = "the" if preposition in _BEFORE_PLACES else ""
        return " ".join(part for part in (preposition, article, *self.qualities, noun, verb) if part)


def kind_of(plain: str) -> WordClass:
    """What a reading is in a sentence.

    >>> [kind_of(plain) for plain in ("dog barking", "barking", "loud", "at night", "on", "the")]
    ['noun', 'verb', 'quality', 'place or time', 'preposition', 'nothing']
    """
    if plain in _PREPOSITIONS:
        return "preposition"
    if plain in _NOTHING or not plain:
        return "nothing"
    if plain in _PLACES_AND_TIMES:
        return "place or time"
    if plain in _QUALITIES:
        return "quality"
    if plain in _VERBS or (
        re.fullmatch(r"[a-z]+ing", plain)
        and plain not in ("hammering", "drilling", "morning", "evening", "building", "string")
    ):
        return "verb"
    return "noun"


def _plain_for(piece: Piece, follows_noun: bool) -> str:
    """The one meaning that fits where a word has several, in its short form."""
    plain = _PREPOSITIONS.get(piece.plain) or _VERBS.get(piece.plain)
    if plain:
        return plain
    meanings = piece.plain.split("|")
    if len(meanings) > 1 and follows_noun:  # "perro corriendo" means the verb
        return next((_VERBS.get(each, each) for each in meanings if kind_of(each) == "verb"), meanings[0])
    return meanings[0]


@cache
def translator(name: str) -> Translator:
    """The translator of a language, by its English name; made once."""
    return Translator(languages().by_name[name])


def _runs(signs: list[tuple[int, str]]) -> list[str]:
    """Signs that stand side by side, joined."""
    runs: list[tuple[int, str]] = []
    for begin, sign in signs:
        if runs and runs[-1][0] + len(runs[-1][1]) == begin:
            runs[-1] = runs[-1][0], runs[-1][1] + sign
        else:
            runs.append((begin, sign))
    return [run for _, run in runs]
