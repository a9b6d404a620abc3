"""A `SearchRequest` -> one unit vector -> a `SearchAnswer`; and the score of a whole file over time."""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from soundseek._typing import FloatArray
from soundseek.audio.segments import WINDOW_HOP_S, plan_windows
from soundseek.errors import QueryError
from soundseek.library import paths
from soundseek.library.collections import Collections
from soundseek.library.filters import And, Condition, parse_where
from soundseek.library.hits import Hit
from soundseek.library.library import name_query
from soundseek.library.query_vectors import NEGATIVE_WEIGHT, away_from, combine
from soundseek.library.regions import Embedded
from soundseek.library.search import (
    SearchOptions,
    copies_of,
    find_any_matches,
    hit_of,
    listed,
    moments_of,
    probabilities_of,
)
from soundseek.library.taught import taught_query
from soundseek.library.windows import WINDOWS, with_kept_windows
from soundseek.model.stretches import segment_scores
from soundseek.query import Reading
from soundseek.query import as_typed as read_as_typed
from soundseek.query.looked_up import embed_query
from soundseek.query.parts import sentence_parts
from soundseek.server.collect_warnings import collected_warnings
from soundseek.server.items import file_facts, find_file, find_files
from soundseek.server.lru import Recent
from soundseek.server.problems import ProblemError
from soundseek.server.schemas import (
    ExampleSound,
    Filters,
    HitAnswer,
    LoudnessRange,
    Moments,
    Negative,
    Range,
    SearchAnswer,
    SearchedFor,
    SearchRequest,
    SegmentScore,
)
from soundseek.server.uploads import Uploads

if TYPE_CHECKING:
    from soundseek.library import Library
    from soundseek.library.store.base import SoundFile
    from soundseek.server.open_library import OpenLibrary

REMEMBERED_QUERIES = 2_000
REMEMBERED_TEXTS = 2_000
REMEMBERED_COUNTS = 100


@dataclass(frozen=True)
class _Text:
    """A text as it was read, and what was warned of.

    Attributes:
        reading: What it is searched for.
        vectors: `(alternatives, dim)`, unit norm, as looked for: each hit counts the best of them.
        parts: `(parts, dim)` of each alternative: the sounds that a sentence names, where it names several.
        negatives: `(negatives, dim)`, unit norm: what the text itself excludes.
        warnings: What the searcher should know.
    """

    reading: Reading
    vectors: FloatArray
    parts: tuple[FloatArray, ...]
    negatives: FloatArray
    warnings: tuple[str, ...]


class Searching:
    """Answers searches over whatever library it is given. Threads may share one.

    Attributes:
        uploads: Example sounds that clients have sent.
        elsewhere: Further libraries of the server: an example sound may be of one of them.
    """

    def __init__(self, uploads: Uploads) -> None:
        self.uploads = uploads
        self.elsewhere: Sequence[OpenLibrary] = ()
        self._queries: Recent[tuple[str, str], FloatArray] = Recent(REMEMBERED_QUERIES)
        self._texts: Recent[tuple[str, bool, str], _Text] = Recent(REMEMBERED_TEXTS)
        self._counts: Recent[tuple[int, int, Condition | None], tuple[int, int]] = Recent(REMEMBERED_COUNTS)

    def search(self, library: Library, request: SearchRequest) -> SearchAnswer:
        """The hits of a request.

        Raises:
            QueryError: There is nothing to look for, or a filter cannot be understood.
            ProblemError: An example is not there.
        """
        began = time.perf_counter()
        store = library.store
        condition = library.asked_of_files(condition_of(request), missing=request.missing)
        is_there = lru_cache(maxsize=None)(paths.is_there) if request.missing == "hide" else None
        if condition is not None and not _ranks(request):
            return self._list(library, request, condition, is_there, began)
        queries, leave_out, texts = self._query(library, request)
        names = None
        reading = texts[request.text].reading if request.text in texts else None
        if reading is not None:
            names = name_query(reading, request.keywords)
        only = None
        if request.within is not None:
            only = [file.path for file in find_files(store, request.within)]
        options = SearchOptions(
            k=request.offset + request.k + 1,
            per=request.per,
            by="mean" if request.like else "moments",
            where=condition,
            leave_out=leave_out,
            only=only,
            duplicates=request.duplicates,
            is_there=is_there,
            names=names,
            manners=library.in_manners(reading),
            memory=None if request.like else library.memory_for(reading),
        )
        found = find_any_matches(store, queries, options)
        pairs = found[request.offset : request.offset + request.k]
        has_more = len(found) > request.offset + request.k
        page = [match for match, _ in pairs]
        counted = self._count(library, condition, only)
        is_fitted = (
            reading is not None and reading.alternatives and not request.like and request.taught is None
        )
        certainty = library.certainty(counted[0]) if reading and is_fitted else None
        hits = [
            hit_of(match, query[0], also_at=also_at, probability=probability)
            for (match, query), also_at, probability in zip(
                pairs, copies_of(store, page, options), probabilities_of(pairs, certainty), strict=True
            )
        ]
        wholes = [query[0] for query in queries]
        if WINDOWS in store.settings():
            hits = with_kept_windows(store, hits, np.array(wholes))
        searched_for = _searched_for(request, texts)
        why = self._why(library, request, texts, hits)
        favourites = Collections(store).favourites_among([match.file for match in page])
        total = counted[request.per == "segment"]
        if leave_out:
            left_out = leave_out if only is None else sorted(set(leave_out) & set(only))
            total -= store.count(condition, only=left_out)[request.per == "segment"]
        return SearchAnswer(
            hits=[
                _described(match.file, hit, reason, favourites)
                for match, hit, reason in zip(page, hits, why, strict=True)
            ],
            query=self._remember(library, np.array(wholes)),
            searched_for=searched_for,
            warnings=[warning for text in texts.values() for warning in text.warnings],
            total=total,
            next_offset=request.offset + request.k if has_more else None,
            elapsed_ms=round((time.perf_counter() - began) * 1000, 3),
        )

    def _list(
        self,
        library: Library,
        request: SearchRequest,
        condition: Condition,
        is_there: Callable[[str], bool] | None,
        began: float,
    ) -> SearchAnswer:
        """Whole files that fulfil a condition, by path: what a request without anything to rank by asks for."""
        files = library.store.files(condition)
        if request.within is not None:
            only = {file.path for file in find_files(library.store, request.within)}
            files = [file for file in files if file.path in only]
        if is_there is not None:
            files = [file for file in files if is_there(file.path)]
        page = files[request.offset : request.offset + request.k]
        favourites = Collections(library.store).favourites_among(page)
        return SearchAnswer(
            hits=[
                _described(file, hit, None, favourites) for file, hit in zip(page, listed(page), strict=True)
            ],
            query=None,
            total=len(files),
            next_offset=request.offset + request.k if len(files) > request.offset + request.k else None,
            elapsed_ms=round((time.perf_counter() - began) * 1000, 3),
        )

    def moments(self, library: Library, id: str, query: str | None, text: str | None, n: int) -> Moments:
        """The score of a whole file over time, for a query that a search has answered, or for words.

        Raises:
            ProblemError: "gone" where the query is forgotten, "not-found" where there is no such item.
            QueryError: Neither or both are given.
        """
        if (query is None) == (text is None or not text.strip()):
            raise QueryError("give either `query`, from a search's answer, or `text`")
        if query is not None:
            vectors = self.vectors_of(library, query)
        else:
            assert text is not None
            queries, _, _ = self._query(library, SearchRequest(text=text))
            vectors = np.array([query[0] for query in queries])
        file = find_file(library.store, id)
        sound = library.store.read(file.path)
        if sound is None:
            raise ProblemError("not-found", f"the library has no item {id} any more; search again")
        # Of several alternatives the one that the file answers best.
        vector = vectors[int((sound.vectors.astype(np.float32) @ vectors.T).max(axis=0).argmax())]
        segments = [sound.frames[first:last] for first, last in sound.spans]
        scores = segment_scores(segments, vector[None], frame_s=[file.frame_s] * len(segments))[:, 0]
        over_time, window_s = _over_time(Embedded.of(sound), vector), None
        moment_s = min((int(np.argmax(over_time)) + 0.5) * file.frame_s, file.duration_s)
        frame_s = file.frame_s
        windows = library.store.windows_of([file.path])[0] if WINDOWS in library.store.settings() else ()
        if len(windows):
            # As for a hit: a window's score is the best one of the alternatives.
            over_time = (np.asarray(windows, np.float32) @ vectors.T).max(axis=1)
            planned = plan_windows(file.duration_s)
            best = planned[int(np.argmax(over_time))]
            moment_s, frame_s, window_s = (best.start_s + best.end_s) / 2, WINDOW_HOP_S, best.duration_s
        over_time, frame_s = _at_most(n, over_time, frame_s)
        return Moments(
            id=id,
            duration_s=file.duration_s,
            frame_s=frame_s,
            window_s=window_s,
            scores=[round(value, 5) for value in over_time.tolist()],
            moment_s=moment_s,
            segments=[
                SegmentScore(start_s=start_s, end_s=end_s, score=round(score, 6))
                for (start_s, end_s), score in zip(sound.times_s.tolist(), scores.tolist(), strict=True)
            ],
        )

    def vectors_of(self, library: Library, query: str) -> FloatArray:
        """`(alternatives, dim)` of a query that a search has answered.

        Raises:
            ProblemError: "gone" where it is forgotten.
        """
        vectors = self._queries.get((library.store.identity.fingerprint, query))
        if vectors is None:
            raise ProblemError(
                "gone", f"the query {query} is forgotten; search again and use the new answer's"
            )
        return vectors

    def _query(
        self, library: Library, request: SearchRequest
    ) -> tuple[list[FloatArray], list[str], dict[str, _Text]]:
        """Each alternative `(1 + parts, dim)`, the paths that do not answer, and the texts as they were read."""
        texts: dict[str, _Text] = {}
        examples: list[FloatArray] = []
        negatives: list[FloatArray] = []
        leave_out: list[str] = []
        alternatives: list[list[FloatArray]] = [[]]
        parts: list[FloatArray] = [np.empty((0, library.store.identity.dim), np.float32)]
        weights = [0.0]
        if request.text and request.text.strip():
            read = texts[request.text] = self._read(library, request.text, as_typed=request.as_typed)
            weighted = read.vectors * np.float32(request.text_weight)
            alternatives = [[vector] for vector in weighted] or [[]]
            if len(read.parts) and not request.like:
                parts = list(read.parts)
            negatives += list(read.negatives)
            weights += [1.0] * len(read.negatives)
        for example in request.like:
            vector, file = self._sound(library, example)
            examples.append(vector * np.float32(example.weight))
            if file is not None and (
                request.per == "file" or (example.start_s, example.end_s) == (None, None)
            ):
                leave_out.append(file.path)
                if request.duplicates == "hide":
                    same = library.store.copies([file.content_hash]).get(file.content_hash, [])
                    leave_out += [path for path in same if path != file.path]
        only_excludes = bool(negatives) and not any(alternatives) and not examples
        asks = any(np.any(row) for row in [*alternatives[0], *examples])
        if not only_excludes and not asks and request.taught is None:
            raise QueryError(
                "nothing to look for; say it in words (`text`) or give an example sound (`like`)"
            )
        for negative in request.negatives:
            if negative.text is not None:
                if not negative.text.strip():
                    continue
                read = texts[negative.text] = self._read(library, negative.text, as_typed=request.as_typed)
                vectors = np.asarray(library.model.embed_text(read.reading.texts), np.float32)
            else:
                vectors = self._sound(library, negative)[0][None]
            negatives += list(vectors * np.float32(negative.weight))
            weights.append(negative.weight)
        dim = library.store.identity.dim
        unwanted = np.array(negatives, np.float32).reshape(-1, dim)
        weight = NEGATIVE_WEIGHT * max(weights)
        if request.taught is not None and not asks:
            query = taught_query(library.store, request.taught, None)
            combined = combine(query[None], unwanted, negative_weight=weight)
            return [np.asarray(combined, np.float32)[None]], leave_out, texts
        if only_excludes:
            return [away_from(unwanted).astype(np.float32)[None]], leave_out, texts
        queries = [
            np.array(
                [
                    combine(np.array(positives, np.float32), unwanted, negative_weight=weight)
                    for positives in ([*wanted, *examples], *([part] for part in own))
                ],
                np.float32,
            )
            for wanted, own in zip(alternatives, itertools.cycle(parts), strict=False)
        ]
        if request.taught is not None:
            queries = [
                taught_query(library.store, request.taught, query[0], weight=request.taught_weight)[None]
                for query in queries
            ]
        return queries, leave_out, texts

    def _read(self, library: Library, text: str, *, as_typed: bool) -> _Text:
        key = (library.store.identity.fingerprint, as_typed, text)
        known = self._texts.get(key)
        if known is None:
            with collected_warnings() as warnings:
                reading = read_as_typed(text) if as_typed else library.read(text)
                named = [
                    sentence_parts(texts[0]) if len(texts) == 1 else () for texts in reading.alternatives
                ]
                flat = [part for parts in named for part in parts]
                embedded = embed_query(library.model, [*reading.texts, *flat])
                unwanted = library.model.embed_text(reading.negatives) if reading.negatives else embedded[:0]
            nothing = np.empty((0, library.store.identity.dim), np.float32)
            vectors, at = [], 0
            for texts in reading.alternatives:
                vectors.append(combine(embedded[at : at + len(texts)], nothing))
                at += len(texts)
            told = (*warnings, *(() if as_typed else reading.warnings()))
            borders = np.cumsum([len(parts) for parts in named])
            known = _Text(
                reading,
                np.array(vectors, np.float32).reshape(-1, embedded.shape[1]),
                tuple(np.split(embedded[at:], borders)[:-1]) if named else (),
                unwanted,
                told,
            )
            self._texts.put(key, known)
        return known

    def _sound(self, library: Library, named: ExampleSound | Negative) -> tuple[FloatArray, SoundFile | None]:
        """The unit vector of an example or a negative, and its file where it is one of the library's."""
        if named.upload is not None:
            upload = self.uploads.get(named.upload)
            if upload.fingerprint != library.store.identity.fingerprint:
                raise ProblemError(
                    "gone", f"upload {named.upload} was made for another library; send it again"
                )
            return upload.embedded.vector(named.start_s, named.end_s), None
        places: list[AbstractContextManager[Library]] = [nullcontext(library)]
        for place in [*places, *(each.use() for each in self.elsewhere)]:
            with place as opened:
                if opened.store.identity.fingerprint != library.store.identity.fingerprint:
                    continue
                file = _named_file(opened, named)
                sound = opened.store.read(file.path) if file is not None else None
                if file is not None and sound is not None:
                    return Embedded.of(sound).vector(named.start_s, named.end_s), file
        raise ProblemError(
            "not-found",
            f"the library has no file {named.path or named.id}; search again, or send the file with POST /uploads",
        )

    def _why(
        self, library: Library, request: SearchRequest, texts: dict[str, _Text], hits: Sequence[Hit]
    ) -> Sequence[list[str] | None]:
        if not request.why:
            return [None] * len(hits)
        reading = texts[request.text].reading if request.text in texts else None
        return library.explain(reading, hits) if reading is not None else [[] for _ in hits]

    def _count(
        self, library: Library, condition: Condition | None, only: Sequence[str] | None
    ) -> tuple[int, int]:
        """Files and segments that fulfil a condition, counted once for each version of the library."""
        if only is not None:
            return library.store.count(condition, only=only)
        key = (id(library.store), library.store.version(), condition)
        known = self._counts.get(key)
        if known is None:
            known = library.store.count(condition)
            self._counts.put(key, known)
        return known

    def _remember(self, library: Library, query: FloatArray) -> str:
        fingerprint = library.store.identity.fingerprint
        name = hashlib.blake2b(query.tobytes(), key=fingerprint.encode()[:64], digest_size=16).hexdigest()
        self._queries.put((fingerprint, name), query)
        return name


def _named_file(library: Library, named: ExampleSound | Negative) -> SoundFile | None:
    if named.id is None:
        assert named.path is not None
        return library.store.file(named.path)
    with suppress(ProblemError):
        return find_file(library.store, named.id)
    return None


def asked_condition(text: str) -> Condition:
    """The condition that the field `where` of a request means.

    Raises:
        QueryError: The text cannot be understood; the message calls it as the API and the page do.
    """
    try:
        return parse_where(text)
    except QueryError as error:
        raise QueryError(str(error).replace("--where", "where", 1)) from None


def condition_of(request: SearchRequest) -> Condition | None:
    """What `where` and `filters` of a request ask for together.

    Raises:
        QueryError: A filter cannot be understood.
    """
    parts = []
    if request.where is not None and request.where.strip():
        parts.append(asked_condition(request.where))
    if request.filters is not None:
        parts += [parse_where(text) for text in _conditions(request.filters)]
    return And(tuple(parts)) if len(parts) > 1 else (parts[0] if parts else None)


def _conditions(filters: Filters) -> list[str]:
    """The filters of a form as conditions of `where`."""
    found = []
    for field, bounds in (
        ("duration", filters.duration_s),
        ("rate", filters.sample_rate_hz),
        ("loudness", filters.loudness_dbfs),
    ):
        found += [f"{field} {sign} {value:.6f}" for sign, value in _bounds(bounds)]
    for field, whole in (
        ("channels", filters.channels),
        ("bits", filters.bit_depth),
        ("size", filters.size_bytes),
    ):
        found += [f"{field} {sign} {_whole(sign, value)}" for sign, value in _bounds(whole)]
    for field, values in (("format", filters.format), ("folder", filters.folder)):
        if values:
            found.append(" or ".join(f"{field} = {_quoted(value)}" for value in values))
    if filters.modified_after:
        found.append(f"modified >= {_quoted(filters.modified_after)}")
    if filters.modified_before:
        found.append(f"modified < {_quoted(filters.modified_before)}")
    for field, part in (("name", filters.name), ("path", filters.path), ("tag", filters.tag)):
        if part:
            found.append(f"{field} ~ {_quoted(part)}")
    return found


def _whole(sign: str, value: float) -> int:
    """The whole number that bounds the same whole numbers, within what a filter takes."""
    return min(math.ceil(value) if sign == ">=" else math.floor(value), 10**12)


def _bounds(bounds: Range | LoudnessRange | None) -> list[tuple[str, float]]:
    pairs = [(">=", bounds.min), ("<=", bounds.max)] if bounds is not None else []
    return [(sign, value) for sign, value in pairs if value is not None]


def _quoted(value: str) -> str:
    mark = "'" if '"' in value else '"'
    if mark in value:
        raise QueryError(f"a filter cannot hold both kinds of quotes: {value!r}; ask for a part of it")
    return f"{mark}{value}{mark}"


def _ranks(request: SearchRequest) -> bool:
    """Whether a request says what hits are ranked by, or what they should not be like."""
    has_words = bool(request.text and request.text.strip())
    return bool(has_words or request.like or request.negatives or request.taught is not None)


def _described(file: SoundFile, hit: Hit, why: list[str] | None, favourites: set[str]) -> HitAnswer:
    return HitAnswer(
        **file_facts(file, favourites),
        start_s=hit.start_s,
        end_s=hit.end_s,
        score=round(hit.score, 6),
        match=None if hit.match is None else round(hit.match, 4),
        moments=[round(moment, 6) for moment in hit.moments],
        moment_s=hit.moment_s,
        frame_s=file.frame_s if hit.window_s is None else WINDOW_HOP_S,
        window_s=hit.window_s,
        also_at=list(hit.also_at),
        is_cut=hit.is_cut,
        why=why,
        keywords=list(hit.keywords),
        clock=hit.clock,
    ).ranked(hit.rank_score)


def _searched_for(request: SearchRequest, texts: dict[str, _Text]) -> SearchedFor | None:
    if all(text.reading.is_as_typed for text in texts.values()):
        return None
    typed = [negative.text for negative in request.negatives if negative.text in texts]
    reading = texts[request.text].reading if request.text in texts else None
    excluded = [*(reading.negatives if reading else ())]
    excluded += [texts[text].reading.text for text in typed if text is not None]
    return SearchedFor.model_validate(
        {
            "query": reading.text if reading is not None else None,
            "typed": request.text if reading is not None else None,
            "queries": list(reading.texts) if reading is not None else [],
            "alternatives": [list(texts) for texts in reading.alternatives] if reading is not None else [],
            "manners": list(reading.manners) if reading is not None else [],
            "language": reading.language if reading is not None else "English",
            "not": excluded,
            "not_typed": [text for text in typed if text is not None],
        }
    )


def _over_time(sound: Embedded, query: FloatArray) -> FloatArray:
    """Frame scores `(frames,)` on one grid of time, the mean where segments overlap.

    Each segment's frame scores have the segment's cosine as their mean, as a hit's moments have.
    """
    num = max(1, round(sound.duration_s / sound.frame_s + 0.499))
    sums, counts = np.zeros(num, np.float64), np.zeros(num, np.int64)
    for (start_s, _), (first, last) in zip(sound.times_s, sound.spans, strict=True):
        moments = moments_of(sound.frames[first:last], query)
        places = np.clip(round(start_s / sound.frame_s) + np.arange(last - first), 0, num - 1)
        np.add.at(sums, places, moments)
        np.add.at(counts, places, 1)
    return (sums / np.maximum(counts, 1)).astype(np.float32)


def _at_most(n: int, over_time: FloatArray, frame_s: float) -> tuple[FloatArray, float]:
    """No more than `n` scores, the best of each piece, so that no moment is lost; and seconds from one to the next."""
    num = len(over_time)
    if num <= n:
        return over_time, frame_s
    piece = -(-num // n)
    padded = np.pad(over_time, (0, -num % piece), mode="edge").reshape(-1, piece)
    return padded.max(axis=1), frame_s * piece
