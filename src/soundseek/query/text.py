"""Words of a query, and the one form under which differently typed words are looked up."""

from __future__ import annotations

import re
import string
import unicodedata

# Letters, digits and the marks that belong to them: \w alone takes no vowel sign of Devanagari and no Arabic mark.
MARKS = "\u0300-\u036f\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u200c\u200d\u3099\u309a"
LETTER = rf"(?:[^\W_]|[{MARKS}])"
WORD = re.compile(rf"{LETTER}+(?:['’ʼ\-‐‑.&]{LETTER}+)*", re.UNICODE)

_ALIKE = str.maketrans(
    {
        "ı": "i", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "ß": "ss",
        "ى": "ي", "ة": "ه", "ٱ": "ا", "ـ": None, "ँ": "ं", "’": "'", "ʼ": "'", "‐": "-", "‑": "-",
        "\u200c": None, "\u200d": None,
    }
)  # fmt: skip
# Marks that people leave out: accents, Arabic vowels and the hamza on its carrier, the nukta of Devanagari.
_LEFT_OUT = re.compile("[\u0300-\u036f\u064b-\u0655\u0670\u093c]")
_LATIN_LETTERS = "àâäáãåæçèéêëìíîïñòóôõöøùúûüßÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜ"
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})


# Letters and digits as wide as an ideograph, as East Asian keyboards type them, and the plain ones.
_WIDE = {ord(plain) + 0xFEE0: plain for plain in string.ascii_letters + string.digits}


def clean(text: str) -> str:
    """A query as it can be read: composed letters (NFC) of plain width, no broken byte, no control character.

    A lone byte that stood for an accented letter in Latin-1, as an old terminal sends it, is that letter; another is
    left out.

    >>> clean("caf\\udce9  ｒａｉｎ\\udcff\\n")
    'café rain'
    """
    latin = re.sub("[\udc80-\udcff]", lambda found: _latin_letter(found[0]), text)
    composed = unicodedata.normalize("NFC", latin).translate(_WIDE)
    kept = "".join(
        " " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter
        for letter in composed
        if unicodedata.category(letter) != "Cs" and letter != "\ufffd"
    )
    return " ".join(kept.split())


def _latin_letter(byte: str) -> str:
    letter = chr(ord(byte) - 0xDC00)
    return letter if letter in _LATIN_LETTERS else ""


def fold(text: str) -> str:
    """Text as it is looked up among terms: compatible forms joined, case folded, typographic signs made plain.

    >>> fold("Ｃａｆé — STRASSE’s")
    "café — strasse's"
    """
    return (
        unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("‐", "-").replace("‑", "-")
    )


def loosen(text: str) -> str:
    """Folded text without the marks that people leave out when they type.

    >>> loosen("Bébé"), loosen("kapı"), loosen("ёлка")
    ('bebe', 'kapi', 'елка')
    """
    parts = unicodedata.normalize("NFD", fold(text).translate(_ALIKE))
    return unicodedata.normalize("NFC", _LEFT_OUT.sub("", parts))


def respelled(text: str) -> str:
    """As `loosen`, with umlauts written out as two letters.

    >>> respelled("Vögel"), loosen("Vögel")
    ('voegel', 'vogel')
    """
    return loosen(fold(text).translate(_UMLAUTS))


def words(text: str) -> list[str]:
    """The words of a text, in their order.

    >>> words("AK-47 burst, दरवाज़ा!")
    ['AK-47', 'burst', 'दरवाज़ा']
    """
    return WORD.findall(text)


def word_set(text: str) -> frozenset[str]:
    """The words of a list that is written with blanks between them.

    >>> sorted(word_set("one two"))
    ['one', 'two']
    """
    return frozenset(text.split())
