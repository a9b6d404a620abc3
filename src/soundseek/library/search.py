"""A query vector -> hits, each with the moments that carried it.

Words, example sounds and negatives -> one unit vector.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek._vectors import unit_rows
from soundseek.library.events import EventsOfRuns, events_of
from soundseek.library.filters import Condition
from soundseek.library.hits import Hit
from soundseek.library.store.base import Match, NameQuery, Per, Question, ScoredBy, SoundFile, Store
from soundseek.model.manners import InManners, changed_places, places_up_to
from soundseek.model.memory import SoundMemory
from soundseek.model.stretches import best_stretches, scores_of_sentences, segment_scores

# Segments (and files' best ones) whose frames are read to give them their scores, for files and for moments: with twice
# as many, precision on validation is the same.
SHORTLIST: dict[Per, int] = {"file": 60, "segment": 120}


Shown: TypeAlias = Literal["show", "hide"]
Certainty: TypeAlias = Callable[[AnyFloatArray, AnyFloatArray], AnyFloatArray]
"""A query, as `find` takes it, and the scores of its hits `(hits,)` -> the probability of each that a listener would
agree."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How a store is searched, and which of its files may answer.

    Attributes:
        k: How many hits.
        per: "file" gives each file's best segment, "segment" the events in all segments, see `events_of`.
        by: How segments are scored.
        where: Only files that fulfil it.
        leave_out: Paths that do not answer.
        only: Paths that may answer; None lets all.
        duplicates: "hide" gives of files with the same content one, which names the others.
        is_there: Whether a path answers at all; None lets all.
        certainty: Gives each hit its `match`.
        names: What names and tags add; None lets the sound alone decide.
        manners: How the hits should sound, which moves them up and lets them change places; None where that is all one.
        memory: Sounds among which hits are looked up: whether they are heard as what was asked for is added to what
            they are ranked by; None where that is all one.
    """

    k: int
    per: Per = "file"
    by: ScoredBy = "moments"
    where: Condition | None = None
    leave_out: Collection[str] = ()
    only: Collection[str] | None = None
    duplicates: Shown = "show"
    is_there: Callable[[str], bool] | None = None
    certainty: Certainty | None = None
    names: NameQuery | None = None
    manners: InManners | None = None
    memory: SoundMemory | None = None


def find_any(store: Store, queries: Sequence[AnyFloatArray], options: SearchOptions) -> list[Hit]:
    """The best hits of several queries, best first; a place that answers more than one counts by its best score.

    There is at least one query; each is one of `find`.
    """
    found = find_any_matches(store, queries, options)
    matches = [match for match, _ in found]
    return [
        hit_of(match, np.atleast_2d(query)[0], also_at=also_at, probability=probability)
        for (match, query), also_at, probability in zip(
            found, copies_of(store, matches, options), probabilities_of(found, options.certainty), strict=True
        )
    ]


def find(store: Store, query: AnyFloatArray, options: SearchOptions) -> list[Hit]:
    """The best hits of a query, best first.

    Args:
        store: What is searched.
        query: `(dim,)` unit norm; or `(1 + parts, dim)`, a sentence that names several sounds, and its parts.
        options: How, and which files may answer.
    """
    return find_any(store, [query], options)


def probabilities_of(
    found: Sequence[tuple[Match, AnyFloatArray]], certainty: Certainty | None
) -> list[float | None]:
    """How probable each match is for the query that found it; None where that is not known."""
    probabilities: list[float | None] = [None] * len(found)
    if certainty is None:
        return probabilities
    of_query: dict[int, list[int]] = defaultdict(list)
    for number, (_, query) in enumerate(found):
        of_query[id(query)].append(number)
    for numbers in of_query.values():
        scores = np.array([found[number][0].score for number in numbers], np.float32)
        for number, probability in zip(
            numbers, certainty(found[numbers[0]][1], scores).tolist(), strict=True
        ):
            probabilities[number] = probability
    return probabilities


def find_any_matches(
    store: Store, queries: Sequence[AnyFloatArray], options: SearchOptions
) -> list[tuple[Match, AnyFloatArray]]:
    """What `find_any` gives, before any moment is worked out, each with the query that found it."""
    # Together they read as many frames as one query does.
    shortlist = SHORTLIST[options.per] // len(queries)
    found = [
        (match, query)
        for query in queries
        for match in find_matches(store, query, options, shortlist=shortlist)
    ]
    if len(queries) > 1:
        found.sort(key=lambda pair: -_rank(pair[0]))
        best: dict[str, list[Match]] = defaultdict(list)
        kept: list[tuple[Match, AnyFloatArray]] = []
        shown: dict[bytes, str] = {}
        for match, query in found:
            path = match.file.path
            if options.duplicates == "hide" and shown.setdefault(match.file.content_hash, path) != path:
                continue
            if not best[path] or (
                options.per == "segment" and not any(_share_a_moment(match, each) for each in best[path])
            ):
                best[path].append(match)
                kept.append((match, query))
        found = kept
    return found[: options.k]


def _rank(match: Match) -> float:
    return match.score + match.bonus


def _share_a_moment(one: Match, other: Match) -> bool:
    return one.start_s < other.end_s and other.start_s < one.end_s


def find_matches(
    store: Store, query: AnyFloatArray, options: SearchOptions, *, shortlist: int | None = None
) -> list[Match]:
    """The matches of one query, best first.

    The store's shortlist goes by means; its order is that of the scores, for which its frames are read. Places are
    given group by group: the first ten, the next twenty, forty and so on, each from a shortlist that is large enough
    for it. So the first hits are the same however many are asked for, and pages follow each other.

    Args:
        store: What is searched.
        query: As `find` takes it.
        options: How, and which files may answer.
        shortlist: How many segments, and best ones of files, get a score at least; None: `SHORTLIST`.
    """
    per = options.per
    queries = np.atleast_2d(query)
    wanted = queries[0] if options.manners is None else options.manners.proposing(queries[0])
    question = Question(wanted, options.where, options.leave_out, options.only, options.names)
    least = SHORTLIST[per] if shortlist is None else shortlist
    placed = _Placed(options)
    end, times, looked_at = places_up_to(1), 1, 0
    matches: Sequence[Match] = ()
    ranked: list[tuple[Match, float]] = []
    known: set[tuple[str, float]] = set()
    made: EventsOfRuns = {}
    knows_all = has_all_events = False
    while True:
        wider = max(least, 2 * end) * times
        is_new = wider > looked_at and not knows_all
        if is_new:
            looked_at = wider
            matches = store.shortlist(question, segments=looked_at, files=looked_at)
            knows_all = len(matches) < looked_at
        if is_new or not has_all_events:
            enough = 2 * end * times
            if per == "file":  # what was looked at before is ranked already
                fresh = [match for match in matches if (match.file.path, match.start_s) not in known]
                known.update((match.file.path, match.start_s) for match in fresh)
                ranked = [*ranked, *_ranked(fresh, matches, queries, options)]
                ranked.sort(key=lambda pair: -_rank(pair[0]))
            else:
                ranked = _ranked(matches, matches, queries, options, enough=enough, made=made)
            has_all_events = per == "file" or len(ranked) < enough
        free = placed.free(ranked)
        if len(placed.matches) + len(free) < end and not (knows_all and has_all_events):
            times *= 4  # copies, and files that are not there, take places that others could have
            continue
        placed.put(free[: end - len(placed.matches)])
        if len(placed.matches) >= options.k or len(placed.matches) < end:
            return placed.matches[: options.k]
        end = places_up_to(end + 1)


def _ranked(
    matches: Sequence[Match],
    shortlist: Sequence[Match],
    queries: AnyFloatArray,
    options: SearchOptions,
    *,
    enough: int = 0,
    made: EventsOfRuns | None = None,
) -> list[tuple[Match, float]]:
    """Matches of a shortlist, best first, each with what lets it change places; of segments `enough` events or more."""
    scored = _with_scores(matches, queries, options.by)
    if options.per == "segment":
        scored = events_of(scored, queries, enough=enough, by=options.by, made=made)
    scored = _with_bonuses(scored, shortlist, options.per)
    if options.memory is not None and scored:
        scored = _as_heard(scored, queries, options.memory, options.per)
    strengths: Sequence[float] = [0.0] * len(scored)
    if options.manners is not None and scored:
        scored, strengths = _with_manners(scored, queries[0], options.manners, by=options.by)
    return list(zip(scored, strengths, strict=True))


class _Placed:
    """Matches that have their places.

    Attributes:
        matches: Best first.
    """

    def __init__(self, options: SearchOptions) -> None:
        self._options = options
        self.matches: list[Match] = []
        self._of_path: dict[str, list[Match]] = defaultdict(list)
        self._shown: dict[bytes, str] = {}  # a content -> the one path that shows it

    def free(self, ranked: Sequence[tuple[Match, float]]) -> list[tuple[Match, float]]:
        """Those of `ranked` that may be shown and have no place yet."""
        options = self._options
        shown, found = dict(self._shown), set(self._of_path) if options.per == "file" else set()
        free = []
        for match, strength in ranked:
            path = match.file.path
            if path in found or not _answers(path, options):
                continue
            if options.per == "file":
                found.add(path)
            elif any(_share_a_moment(match, each) for each in self._of_path.get(path, ())):
                continue
            if options.duplicates == "show" or shown.setdefault(match.file.content_hash, path) == path:
                free.append((match, strength))
        return free

    def put(self, group: Sequence[tuple[Match, float]]) -> None:
        """Give a group, best first, the next places, among which it changes places by what lets it.

        Each is ranked by what ranked the one that stood there, and none above the one before it, so that merging
        with hits of other queries and libraries keeps their order.
        """
        order = list(range(len(group)))
        if self._options.manners is not None:
            order = changed_places([strength for _, strength in group])
        for (stood, _), number in zip(group, order, strict=True):
            match, rank = group[number][0], _rank(stood)
            if self.matches:
                rank = min(rank, _rank(self.matches[-1]))
            if rank != _rank(match):
                match = replace(match, bonus=rank - match.score)
            self.matches.append(match)
            self._of_path[match.file.path].append(match)
            self._shown.setdefault(match.file.content_hash, match.file.path)


def _with_scores(matches: Sequence[Match], queries: AnyFloatArray, by: ScoredBy) -> list[Match]:
    """Matches of a shortlist with their scores, best first."""
    if by == "mean" or not matches:
        return list(matches)
    frame_s = [match.file.frame_s for match in matches]
    scores = scores_of_sentences(
        segment_scores([match.frames for match in matches], queries, frame_s=frame_s)
    )
    order = np.argsort(-scores, kind="stable")
    return [replace(matches[number], score=float(scores[number])) for number in order.tolist()]


def _with_bonuses(scored: Sequence[Match], shortlist: Sequence[Match], per: Per) -> list[Match]:
    """Matches, best first by score and bonus, which of the events of a file only the best one has."""
    named = {match.file.path: match for match in shortlist if match.bonus}
    if not named:
        return list(scored)
    with_bonus = []
    for match in scored:  # best first
        source = named.get(match.file.path)
        if source is not None:
            match = replace(match, bonus=source.bonus, keywords=source.keywords)
            if per == "segment":
                del named[match.file.path]
        with_bonus.append(match)
    return sorted(with_bonus, key=lambda match: -(match.score + match.bonus))


def _as_heard(scored: Sequence[Match], queries: AnyFloatArray, memory: SoundMemory, per: Per) -> list[Match]:
    """Matches, best first by score and bonus, to which is added as what they are heard."""
    frames = [match.frames for match in scored]
    if per == "segment":  # an event reaches into what is around it
        vectors = best_stretches(frames, queries[0], frame_s=[match.file.frame_s for match in scored])
    else:
        vectors = unit_rows(np.array([np.asarray(each, np.float32).mean(axis=0) for each in frames]))
    added = memory.heard_as_asked(vectors, queries).tolist()
    with_bonus = [
        match if match.bonus else replace(match, bonus=bonus)  # what people called it says more
        for match, bonus in zip(scored, added, strict=True)
    ]
    return sorted(with_bonus, key=lambda match: -(match.score + match.bonus))


def _with_manners(
    scored: Sequence[Match], query: AnyFloatArray, manners: InManners, *, by: ScoredBy
) -> tuple[list[Match], list[float]]:
    """Matches, best first by score and bonus, to which is added how they sound; and what lets them change places."""
    vectors = unit_rows(np.array([np.asarray(match.frames, np.float32).mean(axis=0) for match in scored]))
    # By means alone, matches still have the score that they were proposed by.
    scores = vectors @ query if by == "mean" else np.array([match.score for match in scored])
    named = np.array([match.bonus for match in scored])
    bonuses = named + manners.bonuses(vectors)
    strengths = scores + named + manners.strengths(vectors)
    order = np.argsort(-(scores + bonuses), kind="stable").tolist()
    ranked = [
        replace(scored[number], score=float(scores[number]), bonus=float(bonuses[number])) for number in order
    ]
    return ranked, strengths[order].tolist()


def copies_of(store: Store, matches: Sequence[Match], options: SearchOptions) -> list[list[str]]:
    """Of each match, paths of the other files with its content, where these are no matches of their own."""
    copies: Mapping[bytes, Sequence[str]] = {}
    if options.duplicates == "hide":
        copies = store.copies({match.file.content_hash for match in matches})
    return [
        [
            path
            for path in copies.get(match.file.content_hash, ())
            if path != match.file.path and _answers(path, options)
        ]
        for match in matches
    ]


def _answers(path: str, options: SearchOptions) -> bool:
    return options.is_there is None or options.is_there(path)


def hit_of(
    match: Match, query: AnyFloatArray, *, also_at: Collection[str] = (), probability: float | None = None
) -> Hit:
    """What a search tells of a segment that it found for a query `(dim,)`."""
    moments = moments_of(match.frames, query)
    file = match.file
    hit = Hit(
        path=file.path,
        start_s=match.start_s,
        end_s=match.end_s,
        score=match.score,
        moments=tuple(moments.tolist()),
        duration_s=file.duration_s,
        moment_s=strongest_s(moments, match.start_s, match.end_s, file.frame_s),
        sample_rate_hz=file.sample_rate_hz,
        format=file.format,
        also_at=tuple(also_at),
        is_cut=file.truncated,
        match=probability,
        keywords=match.keywords,
    )
    # The clock needs the moment, which is known now.
    if file.description is not None and file.description.clock_s is not None:
        hit = replace(hit, clock=file.description.clock_at(hit.moment_s))
    object.__setattr__(hit, "_bonus", match.bonus)
    mean = np.asarray(match.frames, np.float32).mean(axis=0)
    object.__setattr__(hit, "_vector", mean / max(float(np.linalg.norm(mean)), 1e-12))
    return hit


def of_library(hit: Hit, library: str) -> Hit:
    """The same hit, which says the library that it is of."""
    named = replace(hit, library=library)
    for name in ("_vector", "_bonus"):
        if name in hit.__dict__:
            object.__setattr__(named, name, hit.__dict__[name])
    return named


def listed(files: Iterable[SoundFile]) -> list[Hit]:
    """Whole files as hits of a search that has a filter alone: their score is 0, and they have no moments."""
    return [
        Hit(
            path=file.path,
            start_s=0.0,
            end_s=file.duration_s,
            score=0.0,
            moments=(),
            duration_s=file.duration_s,
            sample_rate_hz=file.sample_rate_hz,
            format=file.format,
            is_cut=file.truncated,
            clock=file.description.clock_at(0.0) if file.description is not None else None,
        )
        for file in files
    ]


def strongest_s(moments: AnyFloatArray, start_s: float, end_s: float, frame_s: float) -> float:
    """The middle of the best of a segment's frames, of what it has before the segment ends, in seconds.

    >>> strongest_s(np.array([0.1, 0.2, 0.9]), 10.0, 10.75, 0.3)  # the last frame is half as long
    10.675
    """
    begins_s = min(start_s + int(moments.argmax()) * frame_s, end_s)
    return (begins_s + min(begins_s + frame_s, end_s)) / 2


def moments_of(frames: AnyFloatArray, query: AnyFloatArray) -> AnyFloatArray:
    """The part of each frame in a segment's cosine with a query: `(frames,)`, whose mean is the cosine.

    The projector is linear, so the segment's vector is `mean(frames) / |mean(frames)|`, and with it
    `query · vector = mean(query · frame) / |mean(frames)|`.

    Args:
        frames: `(frames, dim)` of one segment, not normalised.
        query: `(dim,)`.

    Example:
        >>> [f"{x:.1f}" for x in moments_of(np.array([[6.0, 0.0], [0.0, 8.0]]), np.array([1.0, 0.0]))]
        ['1.2', '0.0']
    """
    rows = np.asarray(frames, np.float32)
    norm = max(float(np.linalg.norm(rows.mean(axis=0))), 1e-12)
    moments: AnyFloatArray = rows @ query.astype(np.float32) / norm
    return moments
