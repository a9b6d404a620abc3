"""The language of `--where`: `duration < 5 and format = wav and not folder = "~/Sounds/rain"`.

A text becomes a `Condition`, a condition SQL with parameters. Names and folders are compared as they are read, not byte
by byte: a Mac writes "é" as two code points, a keyboard sends one.

    condition  = part {"or" part}            part = term {"and" term}
    term       = "not" term | "(" condition ")" | field operator value
"""

from __future__ import annotations

import difflib
import math
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from soundseek.errors import QueryError
from soundseek.library.keywords import phrase
from soundseek.library.paths import absolute

FieldName: TypeAlias = Literal[
    "duration",
    "rate",
    "modified",
    "format",
    "folder",
    "name",
    "path",
    "tag",
    "channels",
    "bits",
    "size",
    "loudness",
]
Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">=", "~"]
Sign: TypeAlias = Literal["<", ">=", ">", "<="]

FIELDS: dict[FieldName, str] = {
    "duration": "seconds, or 250ms, 1.5min, 1h, 1:30",
    "format": "wav, flac, mp3, m4a, opus ...: the container, the codec, or how the name ends",
    "rate": "the file's sample rate: 44100, 44.1k or 48kHz",
    "folder": "files in a folder or below it",
    "modified": "a date: 2024, 2024-05, 2024-05-31 or 2024-05-31T18:30",
    "name": "the file name; * and ? stand for any letters; ~ means contains",
    "path": "a part of the whole path, as wet/rain, after ~",
    "tag": 'words of the tags in the file, after ~: knock, "scene 12"; * at the end leaves the last word open',
    "channels": "a number: 1 is mono, 2 stereo",
    "bits": "bits of a sample: 16, 24, 32; lossy files have none",
    "size": "bytes, or 500kB, 20MB, 1.5GB",
    "loudness": "the level (RMS) in dBFS: -20 or -20dB; files that were indexed before it was measured have none",
}
ALIASES: dict[str, FieldName] = {
    "sample_rate": "rate", "length": "duration", "bit_depth": "bits", "depth": "bits", "level": "loudness",
    "channel": "channels", "tags": "tag",
}  # fmt: skip
TEXT_FIELDS = frozenset({"format", "folder", "name", "path", "tag"})
OPERATORS: dict[str, Operator] = {
    "=": "=", "==": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "~": "~",
}  # fmt: skip
NUMERIC: tuple[Operator, ...] = ("=", "!=", "<", "<=", ">", ">=")
TAKES: dict[FieldName, tuple[Operator, ...]] = {
    "duration": NUMERIC,
    "rate": NUMERIC,
    "modified": NUMERIC,
    "format": ("=", "!=", "~"),
    "folder": ("=", "!="),
    "name": ("=", "!=", "~"),
    "path": ("~",),
    "tag": ("~",),
    "channels": NUMERIC,
    "bits": NUMERIC,
    "size": NUMERIC,
    "loudness": NUMERIC,
}
# Names of one format: what people write, and what files say of themselves.
FORMAT_ALIASES: dict[str, tuple[str, ...]] = {
    "wav": ("wav", "rf64", "w64"),
    "wave": ("wav", "rf64", "w64"),
    "bwf": ("wav", "rf64"),
    "aif": ("aiff",),
    "aifc": ("aiff",),
    "aiff": ("aiff",),
    "m4a": ("m4a", "mp4"),
    "mka": ("matroska",),
    "mkv": ("matroska",),
    "ac-3": ("ac3",),
    "e-ac-3": ("eac3",),
    "webm": ("webm",),
    "wma": ("asf", "wmav2", "wmav1"),
    "oga": ("ogg",),
}
IS_BELOW = "is_below"
"""The SQL function under which a store's connection knows `is_below`."""
PATH_HAS = "path_has"
"""The same of `path_has`."""
# Above these SQLite's own limits (1,000 nested expressions) come near; no person writes such a filter.
MAX_COMPARISONS = 200
MAX_DEPTH = 50


@dataclass(frozen=True)
class Span:
    """The numbers `[low, high)` that a value stands for: a date is a day, a duration is known to 10 ms.

    Those of one number, as of 24 bits, are the number and the next one that a computer knows.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """`field operator value`, the value already in the store's units: seconds, Hz, nanoseconds since 1970."""

    field: FieldName
    operator: Operator
    value: str | Span


@dataclass(frozen=True)
class And:
    """All parts match."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    """At least one part matches."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """The part does not match."""

    part: Condition


Condition: TypeAlias = Comparison | And | Or | Not


def parse_where(text: str) -> Condition:
    """The condition that a `--where` text means.

    >>> parse_where("duration < 5")
    Comparison(field='duration', operator='<', value=Span(low=5.0, high=5.0))

    Raises:
        QueryError: The text cannot be understood; the message names the part and what was expected.
    """
    parser = _Parser(text)
    condition = parser.condition(0)
    parser.finish()
    return condition


class _Parser:
    """Recursive descent over one text."""

    WORD = re.compile(r"\s*(?:([A-Za-z_][A-Za-z_0-9]*)|(\()|(\)))")
    OPERATOR = re.compile(r"\s*(==|!=|<=|>=|=|<|>|~)")
    VALUE = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^\s()"']+))""")

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.comparisons = 0

    def condition(self, depth: int) -> Condition:
        return self._chain("or", depth)

    def _chain(self, word: Literal["or", "and"], depth: int) -> Condition:
        step = self._term if word == "and" else lambda below: self._chain("and", below)
        parts = [step(depth)]
        while self._peek() == word:
            self._next()
            parts.append(step(depth))
        if len(parts) == 1:
            return parts[0]
        return Or(tuple(parts)) if word == "or" else And(tuple(parts))

    def _term(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise QueryError(f"--where is nested more than {MAX_DEPTH} deep; write it with fewer parentheses")
        word = self._peek()
        if word == "not":
            self._next()
            return Not(self._term(depth + 1))
        if word == "(":
            self._next()
            inner = self.condition(depth + 1)
            if self._peek() != ")":
                raise self._error("a closing parenthesis ')', 'and' or 'or'")
            self._next()
            return inner
        return self._comparison()

    def _comparison(self) -> Comparison:
        match = self.WORD.match(self.text, self.position)
        word = match.group(1) if match else None
        if match is None or word is None or word.lower() in ("and", "or"):
            raise self._error(f"a field ({', '.join(FIELDS)})")
        field = _field(word)
        self.position = match.end()
        operator = self.OPERATOR.match(self.text, self.position)
        if operator is None:
            raise self._error(f"one of = != < <= > >= ~ after {word!r}")
        self.position = operator.end()
        value = self.VALUE.match(self.text, self.position)
        if value is None:
            raise self._error(f"a value ({FIELDS[field]}) after '{word} {operator.group(1)}'")
        self.position = value.end()
        self.comparisons += 1
        if self.comparisons > MAX_COMPARISONS:
            raise QueryError(f"--where has more than {MAX_COMPARISONS} comparisons; ask in several searches")
        literal = next(group for group in value.groups() if group is not None)
        return _compare(field, operator.group(1), literal)

    def finish(self) -> None:
        if self.text[self.position :].strip():
            raise self._error("'and' or 'or' (a value with spaces needs quotes)")

    def _peek(self) -> str | None:
        match = self.WORD.match(self.text, self.position)
        return match.group(0).strip().lower() if match else None

    def _next(self) -> None:
        match = self.WORD.match(self.text, self.position)
        if match is not None:
            self.position = match.end()

    def _error(self, expected: str) -> QueryError:
        rest = self.text[self.position :].strip()
        found = f"found {rest[:30]!r}" if rest else "it ends there"
        return QueryError(
            f"--where {self.text.strip()[:200]!r}: expected {expected}, but {found}. "
            'Example: duration < 5 and format = wav and folder = "~/Sounds/rain"'
        )


def _field(word: str) -> FieldName:
    lowered = word.lower()
    for name in FIELDS:
        if name == lowered:
            return name
    if lowered in ALIASES:
        return ALIASES[lowered]
    nearest = difflib.get_close_matches(lowered, [*FIELDS, *ALIASES], n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? Fields" if nearest else "fields"
    raise QueryError(f"--where knows no field {word!r}; {hint}: {', '.join(FIELDS)}")


def _compare(field: FieldName, written: str, literal: str) -> Comparison:
    operator = OPERATORS[written]
    if operator not in TAKES[field]:
        raise QueryError(
            f"--where {field} cannot be compared with {written!r}; it takes {' '.join(TAKES[field])}"
        )
    if field in TEXT_FIELDS:
        if not literal.strip():
            raise QueryError(f"--where {field} {written} needs a value: {FIELDS[field]}")
        if field == "folder":
            return Comparison(field, operator, absolute(literal, "--where folder"))
        if field == "tag" and not phrase(literal).strip('"*'):
            raise QueryError(f"--where tag {written} {literal!r} has no word; write {FIELDS[field]}")
        value = caseless(literal)
        return Comparison(field, operator, value.lstrip(".") or value if field == "format" else value)
    span = _READERS[field](literal)
    if span is None:
        raise QueryError(f"--where {field} {written} {literal!r}: not understood; write {FIELDS[field]}")
    if field in ("duration", "loudness") and operator not in ("=", "!="):
        middle = (span.low + span.high) / 2
        span = Span(middle, middle)
    return Comparison(field, operator, span)


def _number(text: str) -> float | None:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _duration(literal: str) -> Span | None:
    text = literal.lower().replace(" ", "")
    if match := re.fullmatch(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", text):
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        value: float | None = hours * 3600 + minutes * 60 + seconds
    else:
        match = re.fullmatch(r"([\d.]+)(ms|s|sec|m|min|h)?", text)
        number = _number(match.group(1)) if match else None
        units = {"ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0}
        value = number * units.get((match and match.group(2)) or "s", 1.0) if number is not None else None
    return None if value is None else Span(value - 0.005, value + 0.005)


def _rate(literal: str) -> Span | None:
    match = re.fullmatch(r"([\d.]+)(k?)(?:hz)?", literal.lower().replace(" ", ""))
    number = _number(match.group(1)) if match else None
    if match is None or number is None:
        return None
    rate_hz = round(number * (1000 if match.group(2) else 1), 3)
    return Span(rate_hz, math.nextafter(rate_hz, math.inf))


def _modified(literal: str) -> Span | None:
    """A year, month, day or minute of local time, in nanoseconds since 1970."""
    text = literal.strip().replace(" ", "T")
    for pattern in ("%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"):
        try:
            start = datetime.strptime(text, pattern)
        except ValueError:
            continue
        try:
            if pattern == "%Y":
                end = start.replace(year=start.year + 1)
            elif pattern == "%Y-%m":
                end = (start + timedelta(days=31)).replace(day=1)
            else:
                step = {"%Y-%m-%d": timedelta(days=1), "%Y-%m-%dT%H:%M": timedelta(minutes=1)}
                end = start + step.get(pattern, timedelta(seconds=1))
            return Span(start.timestamp() * 1e9, end.timestamp() * 1e9)
        except (OverflowError, ValueError, OSError):
            return None
    return None


def _exactly(number: float) -> Span:
    return Span(number, math.nextafter(number, math.inf))


def _whole_number(literal: str) -> Span | None:
    return _exactly(float(literal)) if re.fullmatch(r"\d{1,13}", literal.strip()) else None


def _channels(literal: str) -> Span | None:
    number = {"mono": "1", "stereo": "2"}.get(literal.strip().lower(), literal)
    return _whole_number(number)


def _bits(literal: str) -> Span | None:
    return _whole_number(re.sub(r"\s*-?bits?$", "", literal.strip().lower()))


def _size(literal: str) -> Span | None:
    match = re.fullmatch(r"([\d.]+)(b|kb|k|mb|m|gb|g|tb|t)?", literal.lower().replace(" ", ""))
    number = _number(match.group(1)) if match else None
    if match is None or number is None:
        return None
    unit = (match.group(2) or "b")[0]
    return _exactly(float(round(number * {"b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}[unit])))


def _loudness(literal: str) -> Span | None:
    match = re.fullmatch(
        r"([+-]?)([\d.]+)(?:dbfs|db)?", literal.lower().replace(" ", "").replace("\u2212", "-")
    )
    number = _number(match.group(2)) if match else None
    if match is None or number is None:
        return None
    value = -number if match.group(1) == "-" else number
    return Span(value - 0.05, value + 0.05)


_READERS = {
    "duration": _duration, "rate": _rate, "modified": _modified, "channels": _channels, "bits": _bits, "size": _size,
    "loudness": _loudness,
}  # fmt: skip
# Where the numbers of a field stand: in the table `files`, or in `descriptions`, which not every file has.
NUMBER_COLUMNS = {
    "duration": "duration_s", "rate": "sample_rate_hz", "modified": "mtime_ns", "channels": "channels",
    "size": "size_bytes",
}  # fmt: skip
DESCRIBED_COLUMNS = {"bits": "bit_depth", "loudness": "loudness_dbfs"}


def to_sql(condition: Condition) -> tuple[str, list[object]]:
    """The SQL of a condition over the table `files`, with `?` for every value, and the values.

    >>> to_sql(parse_where("rate >= 48k and not format = mp3"))[0]
    "(sample_rate_hz >= ? AND NOT ((instr('/' || lower(format) || '/', ?) > 0 OR name GLOB ?)))"
    """
    return sql_of(condition, _comparison_sql)


def sql_of(
    condition: Condition, comparison: Callable[[Comparison], tuple[str, list[object]]]
) -> tuple[str, list[object]]:
    """The SQL of a condition, and its values, in the words that an engine has for a comparison."""
    if isinstance(condition, Not):
        sql, values = sql_of(condition.part, comparison)
        return f"NOT ({sql})", values
    if isinstance(condition, Comparison):
        return comparison(condition)
    compiled = [sql_of(part, comparison) for part in condition.parts]
    glue = " AND " if isinstance(condition, And) else " OR "
    return f"({glue.join(sql for sql, _ in compiled)})", [value for _, values in compiled for value in values]


def _comparison_sql(comparison: Comparison) -> tuple[str, list[object]]:
    field, operator, value = comparison.field, comparison.operator, comparison.value
    if isinstance(value, Span):
        sql, values = _span_sql(NUMBER_COLUMNS.get(field) or DESCRIBED_COLUMNS[field], operator, value)
        if field in DESCRIBED_COLUMNS:
            return f"id IN (SELECT file_id FROM descriptions WHERE {sql})", values
        return sql, values
    sql, values = _text_sql(field, operator, value)
    return (f"NOT ({sql})" if operator == "!=" else sql), values


def _span_sql(column: str, operator: Operator, value: Span) -> tuple[str, list[object]]:
    """The SQL of "the number is, is not, or lies before or behind what the value stands for"."""
    glue, tests = span_tests(operator, value)
    return join_tests(glue, [f"{column} {sign} ?" for sign, _ in tests]), [bound for _, bound in tests]


def span_tests(operator: Operator, span: Span) -> tuple[Literal["AND", "OR"], list[tuple[Sign, float]]]:
    """What a number is compared with, so that every engine asks the same; all of it holds, or any.

    >>> span_tests("!=", Span(1.0, 2.0))
    ('OR', [('<', 1.0), ('>=', 2.0)])
    """
    if operator == "=":
        return "AND", [(">=", span.low), ("<", span.high)]
    if operator == "!=":
        return "OR", [("<", span.low), (">=", span.high)]
    return "AND", [_bound(operator, span)]


def number_tests(
    field: FieldName, operator: Operator, span: Span
) -> tuple[str, Literal["AND", "OR"], list[tuple[Sign, float]]]:
    """Column, and what it is compared with, in an engine where the numbers of all fields stand beside each other.

    What is not known fulfils no comparison, and so every negated one, as in SQLite's `id IN (...)`: of a column of
    `DESCRIBED_COLUMNS` an engine asks first whether it is there.
    """
    column = NUMBER_COLUMNS.get(field) or DESCRIBED_COLUMNS[field]
    glue, tests = span_tests(operator, span)
    if field in ("duration", "loudness"):
        return column, glue, tests
    return column, glue, [(sign, whole_bound(sign, bound)) for sign, bound in tests]


def join_tests(glue: str, tests: Sequence[str]) -> str:
    """Tests as one, in parentheses where there are several."""
    return f"({f' {glue} '.join(tests)})" if len(tests) > 1 else tests[0]


def whole_bound(sign: Sign, bound: float) -> int:
    """The whole number that says the same of whole numbers, which an engine would else compare as rounded ones.

    It has 64 bits, as every number in a library: engines do not read a larger one.

    >>> whole_bound(">=", 2.5), whole_bound("<", 2.5), whole_bound(">", 2.5), whole_bound("<=", 2.5)
    (3, 3, 2, 2)
    >>> whole_bound("<", 1e30)
    9223372036854775807
    """
    whole = math.ceil(bound) if sign in (">=", "<") else math.floor(bound)
    return max(-(2**63), min(whole, 2**63 - 1))


def _text_sql(field: FieldName, operator: Operator, value: str) -> tuple[str, list[object]]:
    """The SQL of "the field is, or with `~` contains, the value"."""
    if field == "folder":
        inside = os.fsencode(value.rstrip(os.sep) + os.sep)
        if inside.isascii():
            # All paths below "/a/b/" sort before "/a/b0" ("0" follows "/"): the index serves.
            return "(path >= ? AND path < ?)", [inside, inside[:-1] + bytes([inside[-1] + 1])]
        return f"{IS_BELOW}(path, ?)", [inside]
    value = storable(value)
    if field == "tag":
        return "id IN (SELECT rowid FROM keywords WHERE keywords MATCH ?)", [f"tags : {phrase(value)}"]
    if field == "path":
        return f"{PATH_HAS}(path, ?)", [value]
    if field == "name":
        if operator == "~":
            return "instr(name, ?) > 0", [value]
        return "name GLOB ?", [value.replace("[", "[[]")]
    if operator == "~":
        return "(instr(lower(format), ?) > 0 OR instr(name, ?) > 0)", [value, f".{value}"]
    ending = value.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")
    parts = [f"/{part}/" for part in FORMAT_ALIASES.get(value, (value,))]
    named = " OR ".join(["instr('/' || lower(format) || '/', ?) > 0"] * len(parts))
    return f"({named} OR name GLOB ?)", [*parts, f"*.{ending}"]


def _bound(operator: Operator, span: Span) -> tuple[Sign, float]:
    """`>` a day means after its end, `>=` from its start; of a point, both ends are the same."""
    point = span.high == span.low
    if operator == ">":
        return (">", span.high) if point else (">=", span.high)
    if operator == "<=":
        return ("<=", span.high) if point else ("<", span.high)
    return ("<", span.low) if operator == "<" else (">=", span.low)


def caseless(text: str) -> str:
    """A text as it is compared: composed letters (NFC), without case.

    >>> caseless("CAFE\u0301") == caseless("café")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def file_name(path: str) -> str:
    """The name that `name = ...` is compared with: without its folder, `caseless`, always valid text."""
    return storable(caseless(os.path.basename(path)))  # noqa: PTH119 (300,000 times, on plain strings)


def is_below(path: bytes, folder: bytes) -> bool:
    """Whether a path lies below a folder (with its last separator), both in composed letters."""
    return composed(os.fsdecode(path)).startswith(composed(os.fsdecode(folder)))


def path_has(path: bytes, part: str) -> bool:
    """Whether a path has a part, which is `caseless`."""
    if path.isascii():
        return part.isascii() and part.encode() in path.lower()
    return part in storable(caseless(os.fsdecode(path)))


def composed(path: str) -> str:
    """A path in composed letters (NFC), by which folders are compared."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def storable(text: str) -> str:
    """A text without bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
