"""What a query excludes: "rain without thunder" -> rain, and thunder as a negative.

A text encoder hears "without thunder" as thunder, so the excluded part is taken out of the words and searched against.
"no" is a sound as well ("man saying no"), a part of names ("no man's land") and of qualities ("not too loud"): those
stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """A query in its parts, in the words and the language in which it came.

    Attributes:
        positive: What is asked for; may be empty.
        negatives: What is excluded.
    """

    positive: str
    negatives: tuple[str, ...] = ()


_ARTICLE = re.compile(
    r"^(?:any|the|an?|all|some|its|his|her|their|other|much|more|added|lots of)\s+", re.IGNORECASE
)

# What names a sound or a quality though "no", "not" or "without" stands in it.
_KEPT = re.compile(
    r"""
    \b(?:say|says|said|saying|shout\w*|yell\w*|scream\w*|repeat\w*|answer\w*|repl\w+|oh|hell|whisper\w*)\s+["'“]?no\b
    | ["'“‘]no["'”’] | ^no[\s.!,]*$ | \bno[\s,!-]+no\b | \bno-\w
    | \bno\s+(?:doubt|problem|thanks?|way|one|man'?s|smoking|answer|entry|longer|matter|idea
        |parking|limits?|signal|signs?)\b
    | \bwithout\s+(?:a\s+|any\s+)?(?:doubt|end|fail|question|warning|stopping|stop|pause|pausing|interruptions?|breaks?
        |hesitation|hurry|effort|rhythm|rest)\b
    | \bnot\s+(?:only|bad|working|recogni[sz]ed|found|responding|sure|much|long|far|just|available|english|calm)\b
    | (?<!that\s)(?<!which\s)(?<!who\s)\b(?:does|do|did)\s+not\b | \bnot\s+(?:too|so|very)\s+\w+ly\b
    | \b(?:without|never)\s+(?:letting\s+up|chang\w+|any\s+variation|variation|moving|speaking|starting|actually)\b
    | \b(?:will|can|could|would|should|may|might|must|or|whether|if|to|did)\s*not\b | \bcannot\b
    | \bother\s+than\s+(?:english|speech\s+in) | \blanguage\s+other\s+than\b
    | \b(?:without|with\s+no|no)\s+(?:any\s+)?(?:other|background|accompan|surrounding|audible|clear|real)\w*
        (?:\s+(?:sounds?|noises?|instruments?|music(?!\w)|accompaniment|words?|melody))?(?=\s*(?:$|[,.;]|\w+ly\b|for\b|in\b|around\b|heard\b))
    | \b(?:without|with\s+no|no)\s+(?:any\s+)?(?:sounds?|audio)\b
    | \b(?:minus|plus)\s+(?:one|\d) | \bnothing\s+but\b | \bnever[\s-]ending\b | \bnever\s+(?:stops?|ends?|stopping)\b
    | \b(?:nobody|nonstop|nothing|none)\b(?!.*\b(?:without|except|minus)\b)
    | \b(?:silen\w+|quiet\w*|empty)\b[^,]*\bexcept\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_FAILURE = re.compile(
    r"\b(?:not|n't)\s+(?:starting(?!\s+up\b)|opening|closing|working|turning\s+(?:on|over)|responding|loading|booting)\b",
    re.IGNORECASE,
)

_OPPOSITES = {
    "loud": "quiet", "quiet": "loud", "fast": "slow", "slow": "fast", "close": "distant",
    "distant": "close", "big": "small", "large": "small", "small": "big", "heavy": "light",
    "light": "heavy", "high": "low", "low": "high", "long": "short", "short": "long", "harsh": "soft", "hard": "soft",
    "soft": "hard", "bright": "dark", "dark": "bright", "deep": "high", "busy": "calm", "wet": "dry", "dry": "wet",
    "strong": "gentle", "aggressive": "gentle", "noisy": "quiet", "angry": "calm", "scary": "calm", "rough": "smooth",
    "muffled": "clear", "dull": "bright", "shrill": "soft",
}  # fmt: skip
_SOFTENED = re.compile(
    rf"\bnot\s+(?:(?:too|so|very|that|really|overly)\s+)?(?P<quality>{'|'.join(_OPPOSITES)})\s+(?=\w)"
    rf"|\bnot\s+(?:too|so|very|that|really|overly)\s+(?P<last>{'|'.join(_OPPOSITES)})\s*$",
    re.IGNORECASE,
)

# "music free", "speech-free": of a blank only these are sounds; "royalty free" and "free kick" are none.
_FREE_OF = (
    "music|speech|voice|voices|vocal|vocals|dialogue|dialog|talk|talking|noise|hum|hiss|buzz|wind|rain|thunder|traffic|echo|"
    "reverb|bass|drum|drums|click|clicks|static|rumble|crowd|people|birds|bird|insects|insect|laughter|chatter"
)
_FREE = re.compile(rf"\b(?P<what>{_FREE_OF})[\s-]free\b(?!\s+(?:of|from)\b)", re.IGNORECASE)
_LESS = {
    "drumless": "drums", "voiceless": "voice", "wordless": "words", "beatless": "beat", "bassless": "bass",
    "windless": "wind", "songless": "singing", "echoless": "echo", "vocalless": "vocals", "vocal-less": "vocals",
    "guitarless": "guitar", "musicless": "music", "reverbless": "reverb", "rainless": "rain", "birdless": "birds",
    "trafficless": "traffic", "peopleless": "people", "speechfree": "speech",
}  # fmt: skip
_LESS_WORD = re.compile(rf"\b(?:{'|'.join(map(re.escape, _LESS))})\b", re.IGNORECASE)

_OPERATOR = re.compile(
    r"""(?:(?<=\s)|^)(?:[-−!](?=[^\W\d_]|")(?!\w+ed\b|like\b|ing\b)|(?:exclude|not|-):\s*)("[^"]+"|[^\s,;]+)""",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"[(\[]\s*(?:no|not|without|w/o|minus)\s+([^)\]]+)[)\]]", re.IGNORECASE)
_REMOVED = re.compile(
    r"^(?:please\s+)?(?:remove|exclude|delete|cut|filter\s+out|take\s+out|mute)\s+(?:the\s+)?(.+?)"
    r"\s+(?:from|in|out\s+of)\s+(.+)$",
    re.IGNORECASE,
)
_ALL_BUT = re.compile(
    r"^(?:everything|anything|all(?:\s+sounds?)?|any\s+sounds?)\s*,?"
    r"\s*(?:but|except(?:\s+for)?|other\s+than|excluding|without|minus)\s+(.+)$",
    re.IGNORECASE,
)
_FIRST_NO = re.compile(
    r"^(?:no|not|without|with\s+no|zero|avoid|except|exclude|excluding)\s+(?P<what>.+)$", re.IGNORECASE
)
_AFTER_NO = re.compile(
    r"\s*(?:[,;:.]|\bplease\b)?\s*\b(?:please\s+)?(?:just|only|but)\s+(?!not\b|no\b)(?P<rest>\w.*)$|[,;]\s*(?P<after>\w.*)$",
    re.IGNORECASE,
)
_CONNECTOR = re.compile(
    r"""
    \s*(?:
      ,?\s*\b(?:but|and|though|yet)?\s*\b(?:without|w/o|w/out|with\s+no|with\s+out(?!\w)|with\s+zero)(?=\s)
    | ,?\s*\b(?:but|and)?\s*\b(?:minus|except(?:\s+for|ing)?|excluding|excludes?|other\s+than|rather\s+than
        |instead\s+of|free\s+(?:of|from)|lacking|absent|avoid(?:ing)?|devoid\s+of|neither|nor)(?=\s)
    | ,?\s*\b(?:that|which|who)\s+(?:is\s+not|are\s+not|isn'?t|aren'?t|don'?t|doesn'?t|do\s+not|does\s+not|didn'?t)
        (?:\s+(?:have|contain|include|has))?(?:\s+any)?(?=\s)
    | \s(?:is\s+not|are\s+not|isn'?t|aren'?t)(?=\s+\w+ing\b)
    | (?:,|\bbut|\band|\n)\s*(?:no|not)(?=\s)
    | \s(?:no|NOT|not|never)(?=\s)
    )\s+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BETWEEN = re.compile(
    r"\s*(?:,\s*(?:or|nor|and|no)?|\bor\b|\bnor\b|\band\s+no\b|\band(?!\s+with)\b|&)\s*", re.IGNORECASE
)
_TRAILING = re.compile(
    r"[\s,;:]+(?:with|that|which|who|but|and|though|is|are|has|have|there|of|a|an|the)?$|[\s,;:]+$",
    re.IGNORECASE,
)
_QUALITY = frozenset(_OPPOSITES)


def negation_in_english(text: str) -> Parts | None:
    """The parts of an English query; None where nothing is excluded.

    >>> negation_in_english("rain without thunder or wind")
    Parts(positive='rain', negatives=('thunder', 'wind'))
    >>> negation_in_english("man saying no") is None
    True
    """
    if re.search(r"\b(?:nothing|none)\s+but\s+(\S.*)$", text, re.IGNORECASE):
        return Parts(re.sub(r"^.*\b(?:nothing|none)\s+but\s+", "", text, flags=re.IGNORECASE))
    quiet = re.match(
        r"^(?:.*\b(?:silen\w*|quiet\w*|empty)\b.*?)\s+except(?:\s+for)?\s+(.+)$", text, re.IGNORECASE
    )
    if quiet:
        return Parts(quiet[1])
    softened = _SOFTENED.sub(_opposite, text)
    if softened != text:
        return Parts(softened)
    # "−rain", "!rain" and capitals are operators, wherever they stand.
    negatives: list[str] = []

    def take(found: re.Match[str]) -> str:
        negatives.append(found[1].strip('"'))
        return " "

    rest = _BRACKETS.sub(take, _OPERATOR.sub(take, text))
    if not _KEPT.search(rest) and not _FAILURE.search(rest):
        positive, more = _spoken(rest)
    else:
        positive, more = rest, []
    negatives += more
    if not negatives:
        return None
    return _parts(positive, negatives)


def _opposite(found: re.Match[str]) -> str:
    word = found["quality"] or found["last"]
    return _OPPOSITES[word.lower()] + (" " if found["quality"] else "")


def _spoken(text: str) -> tuple[str, list[str]]:
    """The positive part and the negatives of what is excluded in words."""
    for pattern, positive_group, negative_group in ((_REMOVED, 2, 1), (_ALL_BUT, 0, 1)):
        found = pattern.match(text.strip())
        if found:
            return found[positive_group] if positive_group else "", _listed(found[negative_group])
    negatives: list[str] = []

    def take_free(found: re.Match[str]) -> str:
        negatives.append(found["what"])
        return " "

    def take_less(found: re.Match[str]) -> str:
        negatives.append(_LESS[found[0].lower()])
        return " "

    text = _LESS_WORD.sub(take_less, _FREE.sub(take_free, text))
    first = _FIRST_NO.match(text.strip())
    if first and not re.match(r"^(?:not|no)\s+(?:a|an|the)?\s*$", text.strip(), re.IGNORECASE):
        what, positive = first["what"], ""
        after = _AFTER_NO.search(what)
        if after and not re.match(r"(?:no|not|or|nor|and)\b", after["rest"] or after["after"], re.IGNORECASE):
            positive, what = after["rest"] or after["after"], what[: after.start()]
        negatives += _listed(re.sub(r"\s+(?:no|without)\s+", ", ", what))
        return positive, negatives
    pieces = _CONNECTOR.split(text)
    if len(pieces) == 1:
        return text, negatives
    positive = pieces[0]
    for piece in pieces[1:]:
        kept = re.split(
            r"(?:,\s*)?\b(?:but|and)\s+with\b|\bbut\b(?!\s+no)|;", piece, maxsplit=1, flags=re.IGNORECASE
        )
        negatives += _listed(kept[0])
        if len(kept) > 1 and kept[1].strip():
            positive += f" {kept[1].strip()}"
    return positive, negatives


def _listed(text: str) -> list[str]:
    """The things of a list, without articles: "the wind, rain or a dog" -> wind, rain, dog."""
    things = [_bare(thing) for thing in _BETWEEN.split(text)]
    return [thing for thing in things if thing]


def _bare(text: str) -> str:
    text = re.sub(
        r"\s+(?:for\s+(?:a|several|some)\b.*|briefly|repeatedly|behind|is\s+\w+ing|at\s+all|please|in\s+it|whatsoever|sounds?\s+at\s+all)$",
        "",
        text.strip(" ,;:.!"),
        flags=re.IGNORECASE,
    )
    owned = re.match(r"^\w+ing\s+(?:its|his|her|their)\s+(.+)$", text, re.IGNORECASE)
    text = owned[1] if owned else text
    while (shorter := _ARTICLE.sub("", text)) != text:
        text = shorter
    return text


def _parts(positive: str, negatives: list[str]) -> Parts:
    positive = " ".join(positive.split())
    while (shorter := _TRAILING.sub("", positive)) != positive:
        positive = shorter
    positive = re.sub(r"^[\s,;:]+", "", positive)
    positive = (
        re.sub(r"\s+(?:with|of)\s+(?:some\s+)?people$", "", positive) if positive.count(" ") > 1 else positive
    )
    if positive.lower() in (
        "everything",
        "anything",
        "sounds",
        "sound",
        "a",
        "an",
        "the",
        "something",
        "there is",
        "there",
    ):
        positive = ""
    # "rain not heavy": the quality is excluded of this sound, not everywhere.
    named = [f"{each} {positive}".strip() if each.lower() in _QUALITY else each for each in negatives]
    return Parts(positive, tuple(dict.fromkeys(named)))


@dataclass(frozen=True)
class _Grammar:
    """How a language excludes: what stands between A and X, before X alone, or between X and A.

    Attributes:
        then: `A <then> X`.
        first: `<first> X`, the whole query, or followed by a comma and A.
        before: `X <before> A`.
        last: `A X <last>`.
        pair: `<pair> X <pair> Y`.
        kept: What is no exclusion although it looks like one.
    """

    then: str = ""
    first: str = ""
    before: str = ""
    last: str = ""
    pair: str = ""
    kept: str = ""


_GRAMMARS = {
    "German": _Grammar(
        then=r"ohne|aber\s+(?:ohne|keine?[nrms]?|nicht)|,\s*(?:keine?[nrms]?|nicht|ohne)|und\s+keine?[nrms]?|keine?[nrms]?|außer|ausser|statt|anstatt|bis\s+auf|nicht",
        first=r"keine?[nrms]?|ohne|nicht",
        pair="weder|noch",
        kept=r"\bnicht\s+(?:so|zu|sehr)\b|\bnicht\s+\w+ende[rsnm]?\b",
    ),
    "French": _Grammar(
        then=r"mais\s+(?:pas\s+d[e'’u](?:s\b)?|sans)|,\s*(?:pas\s+d[e'’]|sans)|sans|sauf|excepté|hormis|hors|au\s+lieu\s+d[e'’u]|plutôt\s+que|et\s+pas\s+d[e'’]",
        first=r"pas\s+d[e'’]|sans|aucune?|sauf|ni",
        pair="ni",
        kept=r"sans-\w|(?:bruits?|sons?)\s+de\s+pas\b|^pas\s+d[e'’]\s*(?:cheva|course|marche|géant|danse|l[ao']|loup)",
    ),
    "Spanish": _Grammar(
        then=r"pero\s+(?:sin|no)|,\s*(?:sin|no)|sin|excepto|menos|salvo|en\s+vez\s+de|en\s+lugar\s+de|no",
        first=r"no|sin|ning[uú]na?|nada\s+de|ni",
        pair="ni",
        kept=r"^no$|\bno\s+no\b",
    ),
    "Italian": _Grammar(
        then=r"ma\s+(?:senza|non)|,\s*(?:senza|non|niente)|senza|tranne|eccetto|salvo|invece\s+d[i']|al\s+posto\s+d[i']",
        first=r"niente|senza|nessuna?|nessun|non|no|né|ne",
        pair="né",
    ),
    "Portuguese": _Grammar(
        then=r"mas\s+(?:sem|não)|,\s*(?:sem|não)|sem|exceto|menos|salvo|em\s+vez\s+d[eoa]s?|em\s+lugar\s+d[eoa]s?|não",
        first=r"não|sem|nenhuma?|nada\s+de|nem",
        pair="nem",
        kept=r"^não$|\bnão\s+não\b",
    ),
    "Dutch": _Grammar(
        then=r"maar\s+(?:geen|zonder|niet)|,\s*(?:geen|zonder|niet)|zonder|behalve|uitgezonderd|in\s+plaats\s+van|geen|niet",
        first=r"geen|zonder|niet|noch",
        pair="noch",
        kept=r"\bniet\s+(?:zo|te|erg)\b",
    ),
    "Polish": _Grammar(
        then=r"ale\s+(?:nie|bez)|,\s*(?:nie|bez)|bez|oprócz|oprocz|zamiast|poza|z\s+wyjątkiem|nie",
        first=r"bez|nie|żaden|żadna|żadne|żadnych|żadnej|zadnych|ani",
        pair="ani",
    ),
    "Turkish": _Grammar(
        before="olmadan|olmayan|hariç|haric|yerine|dışında|disinda",
        last="yok|değil|degil|olmasın|olmasin|hariç",
        pair="ne",
        kept=r"\bsess?iz\b",
    ),
    "Russian": _Grammar(
        then=r"но\s+(?:не|без)|,\s*(?:не|без)|без|кроме|вместо|за\s+исключением|не|нет",
        first=r"без|не|нет|никак\w+|ни",
        pair="ни",
    ),
    "Arabic": _Grammar(
        then=r"ولكن\s+(?:بدون|لا)|من\s+دون|بدون|دون|بلا|ليس|ما\s+عدا|ماعدا|باستثناء|إلا|الا|من\s+غير|غير|لا",
        first=r"لا|بدون|بلا|من\s+دون|من\s+غير|ليس",
        kept=r"لا\s+لا",
    ),
    "Hindi": _Grammar(
        before=r"के\s+बिना|को\s+छोड़कर|को\s+छोड़कर|के\s+अलावा|के\s+बजाय|रहित|के\s+बगैर|ke\s+bina",
        first=r"बिना|बगैर|bina",
        last=r"नहीं|नही|nahi|nahin",
        kept=r"नहीं\s+नहीं|^नहीं$",
    ),
    "Korean": _Grammar(
        before=r"없는|없이|빼고|제외하고|제외한|제외|말고|(?:이|가)?\s*아닌|대신",
        last=r"없음|없다|없이|없는|제외|빼고",
    ),
}  # fmt: skip

# Languages without blanks: X, then the mark, then A, or A, then the mark, then X; the first that fits.
_UNSPACED = {
    "Japanese": (
        (
            re.compile(
                r"^(?P<x>.+?)(?:なしの|無しの|のない|のいない|がない|がいない|の入っていない|の無い|が無い|以外の|以外|抜きの|抜き|ではなく|じゃなく|を除く|を除いた|なしで)(?P<a>.+)$"
            )
        ),
        (re.compile(r"^(?P<a>.+?)[\s、,]+(?P<x>.+?)(?:なし|無し|抜き|以外|はなし)$")),
        (re.compile(r"^(?P<x>.+?)(?:なし|無し)(?P<a>.*)$")),
    ),
    "Chinese": (
        (
            re.compile(
                r"^(?:没有|沒有|无|無|不带|不帶|不含|不是|非|除了|除)(?P<x>.+?)(?:的|以外的?|之外的?)(?P<a>.+)$"
            )
        ),
        (re.compile(r"^(?:没有|沒有|不带|不帶|不含|不要|不是|非|无|無)(?P<x>.+?)[\s,，]+(?P<a>.+)$")),
        (
            re.compile(
                r"^(?P<a>.+?)[\s,，、]*(?:但是?|而)?(?:没有|沒有|不要|不带|不帶|不含|除了|而不是|但?不是)(?P<x>.+)$"
            )
        ),
        (re.compile(r"^(?P<a>.+?)[\s,，、]+(?:无|無)(?P<x>.+)$")),
        (re.compile(r"^(?:没有|沒有|不要|非|不含|不带|不帶)(?P<x>.+)$")),
        (re.compile(r"^除了?(?P<x>.+?)(?:以外|之外)(?:的)?(?P<a>.*)$")),
    ),
}
_NOT_SPLIT = {
    "Japanese": re.compile("無線|ないしょ|内緒"),
    "Chinese": re.compile("不锈|不銹|无线|無線|非洲|无人机|無人機|非常"),
}
_AND_OR = {
    "German": "oder|und", "French": "ou|et|ni", "Spanish": "o|y|ni|u", "Italian": "o|e|né", "Portuguese": "ou|e|nem",
    "Dutch": "of|en", "Polish": "lub|i|ani|albo", "Turkish": "veya|ve|ya da", "Russian": "или|и|ни", "Arabic": "أو|و",
    "Hindi": "और|या", "Korean": "그리고|또는|및", "Japanese": "と|や|か", "Chinese": "和|或|与|或者",
}  # fmt: skip
_TURKISH_WITHOUT = re.compile(r"^(?P<x>\w{3,}?)(?:siz|sız|suz|süz)\s+(?P<a>.+)$", re.IGNORECASE)
_GERMAN_WITHOUT = re.compile(
    r"\b(?P<x>[^\W\d_]{3,}?)s?(?:-frei|frei|-los|los)(?:e[rsnm]?)?\b\s*", re.IGNORECASE
)
_NOT_WITHOUT = re.compile(
    r"^(?:arbeit|end|laut|kosten|draht|ruhe|sorg|barriere|steuer|jugend|vogel|atem|sprach|schwere)",
    re.IGNORECASE,
)


def negation_in(language: str, text: str, is_known: Callable[[str], bool]) -> Parts | None:
    """The parts of a query in another language; None where nothing is excluded.

    Args:
        language: Its English name.
        text: The query.
        is_known: True for a whole word or phrase of that language: "sessiz", "unaufhörlich" name no exclusion.

    >>> negation_in("German", "Regen ohne Donner", lambda _: False)
    Parts(positive='Regen', negatives=('Donner',))
    """
    if is_known(text):
        return None
    if language in _UNSPACED:
        return _unspaced(language, text)
    grammar = _GRAMMARS.get(language)
    if grammar is None or (grammar.kept and re.search(grammar.kept, text, re.IGNORECASE)):
        return None
    return _by_suffix(language, text, is_known) or _by_words(language, grammar, text)


def _unspaced(language: str, text: str) -> Parts | None:
    if _NOT_SPLIT[language].search(text):
        return None
    for pattern in _UNSPACED[language]:
        found = pattern.match(text.strip(" 。、,."))
        if found:
            negatives = re.split(rf"(?:{_AND_OR[language]}|[、,，])", found["x"])
            return Parts(
                found["a"].strip(" 、,，。"), tuple(each.strip() for each in negatives if each.strip())
            )
    return None


def _by_suffix(language: str, text: str, is_known: Callable[[str], bool]) -> Parts | None:
    """Turkish "müziksiz kafe", German "musikfreies Café"."""
    if language == "Turkish":
        found = _TURKISH_WITHOUT.match(text)
        if found and not is_known(text.split()[0]):
            return Parts(found["a"], (found["x"],))
    if language == "German":
        found = _GERMAN_WITHOUT.search(text)
        if (
            found
            and is_known(found["x"])
            and not _NOT_WITHOUT.match(found["x"])
            and not is_known(found[0].strip())
        ):
            rest = " ".join((text[: found.start()] + " " + text[found.end() :]).split())
            return Parts(rest, (found["x"],))
    return None


def _by_words(language: str, grammar: _Grammar, text: str) -> Parts | None:
    edge, end = r"(?:(?<=[\s,;(\[])|^)", r"(?=[\s)\],;]|$|(?<=['’]))"

    def listed(things: str) -> tuple[str, ...]:
        split = re.split(rf"\s+(?:{_AND_OR[language]})\s+|\s*,\s*", things.strip(" .,;()[]"))
        return tuple(each.strip() for each in split if each.strip())

    if grammar.pair:
        found = re.search(
            rf"{edge}(?:{grammar.pair}){end}\s+(.+?)\s+(?:{grammar.pair})\s+(.+)$", text, re.IGNORECASE
        )
        if found:
            return Parts(text[: found.start()].strip(" ,;"), (found[1].strip(" ,"), *listed(found[2])))
    if grammar.before:
        found = re.search(rf"^(?P<x>.+?)\s+(?:{grammar.before})(?:\s+(?P<a>.+))?$", text, re.IGNORECASE)
        if found and found["a"]:
            return Parts(found["a"], listed(found["x"]))
    if grammar.first:
        found = re.match(
            rf"^(?:{grammar.first}){end}\s*(?P<x>[^,;]+?)(?:[,;]\s*(?P<a>.+))?$", text.strip(), re.IGNORECASE
        )
        if found:
            what = found["x"]
            if language == "Hindi":  # बिना X के A
                part = re.match(r"^(?P<x>.+?)\s+(?:के|ke)\s+(?P<a>.+)$", what) or re.match(
                    r"^(?P<x>\S+)\s+(?P<a>.+)$", what
                )
                return Parts(part["a"], (part["x"],)) if part else Parts("", listed(what))
            return Parts(found["a"] or "", listed(what))
    if grammar.then:
        pieces = re.split(
            rf"\s*{edge}(?:{grammar.then}){end}\s*|\s*(?=,\s*(?:{grammar.then}))\s*(?:{grammar.then}){end}\s*",
            text,
            flags=re.IGNORECASE,
        )
        if len(pieces) > 1 and pieces[0].strip(" ,;"):
            if grammar.last:
                pieces[1:] = [re.sub(rf"\s+(?:{grammar.last})\s*$", "", piece) for piece in pieces[1:]]
            negatives = tuple(each for piece in pieces[1:] for each in listed(piece))
            return Parts(pieces[0].strip(" ,;("), negatives) if negatives else None
    if grammar.last:
        found = re.search(rf"^(?P<a>.+?)[\s,]+(?P<x>\S+)\s+(?:{grammar.last})$", text.strip(), re.IGNORECASE)
        if found:
            return Parts(re.sub(r"\s+(?:ama|fakat)$", "", found["a"]).strip(" ,"), listed(found["x"]))
        found = re.search(rf"^(?P<x>\S+)\s+(?:{grammar.last})$", text.strip(), re.IGNORECASE)
        if found:
            return Parts("", listed(found["x"]))
    return None
