"""Every request and every answer of `/api/v1`, described once: the OpenAPI page and the search page follow these.

A name means the same here, on the command line and in Python: `path`, `start_s`, `end_s`, `score`, `moments`,
`moment_s`, `duration_s`, `k`, `per`, `where`, `like`, `not`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from soundseek.library.duplicates import MIN_SCORE
from soundseek.library.search import Shown
from soundseek.library.store.base import Per

MAX_TEXT = 2_000
MAX_EXAMPLES = 16
MAX_K = 1_000
MAX_OFFSET = 10_000
MAX_WITHIN = 10_000
MAX_EXPORTED = 10_000
MAX_PEAKS = 20_000
MAX_LABELLED = 200
MAX_OWN_LABELS = 1_000
MAX_MARKED = 500
MAX_WINDOWED = 50


def _any_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


ITEM_ID = r"^[0-9a-f]{32}-[0-9a-f]{8}$"
UPLOAD_ID = r"^[0-9a-f]{32}$"
QUERY_ID = r"^[0-9a-f]{32}$"

# A file name need not be UTF-8: its odd bytes are lone surrogates, `\udcXX` in JSON, as the command line writes them.
FileName = Annotated[str, PlainValidator(_any_text), WithJsonSchema({"type": "string"})]
_AN_ITEM = "3f2a9c5d0b6e4718a2c4e6f801234567-0a1b2c3d"

ItemId = Annotated[
    str,
    Field(
        pattern=ITEM_ID,
        description="An item: the hash of its content and, behind the hyphen, of its path. It stays the same until the "
        "file's content changes; one that has moved since is still found by it.",
        examples=[_AN_ITEM],
    ),
]
UploadId = Annotated[
    str, Field(pattern=UPLOAD_ID, description="What `POST /uploads` gave.", examples=["9" * 32])
]
Weight = Annotated[float, Field(ge=0.0, le=4.0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0.0, le=1e7, allow_inf_nan=False)]
OwnLabel = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]


class _Request(BaseModel):
    """What a client sends: a name that is not known is an error, so that a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid")


class _Answer(BaseModel):
    """What the server sends."""


# --- Problems -----------------------------------------------------------------------------------------------------


class Problem(_Answer):
    """An error (RFC 9457, `application/problem+json`)."""

    type: str = Field(
        description="What kind of problem: `/problems/` and a word that does not change.",
        examples=["/problems/query"],
    )
    title: str = Field(description="The same for people.", examples=["The query cannot be understood"])
    status: int = Field(description="The HTTP status.", examples=[422])
    detail: str = Field(
        description="What was wrong, with the value, and what to do.",
        examples=["nothing to look for; say it in words or give an example sound"],
    )
    errors: list[FieldError] | None = Field(
        default=None, description="For a request that does not fit its description: each place that is wrong."
    )


class FieldError(_Answer):
    """One place of a request that is wrong."""

    where: str = Field(description="The place, as `body.like.0.start_s`.")
    message: str = Field(description="What is wrong with it.")


# --- Searching ----------------------------------------------------------------------------------------------------


class _Sound(_Request):
    """A sound that is named in exactly one way: by `id`, `path` or `upload`; all of it, or a region."""

    id: ItemId | None = None
    path: str | None = Field(
        default=None,
        max_length=4096,
        description="A file of the library by its absolute path; other files are sent with `POST /uploads`.",
    )
    upload: UploadId | None = None
    start_s: Seconds | None = Field(
        default=None, description="Where the region begins; its first second if left out."
    )
    end_s: Seconds | None = Field(
        default=None, description="Where the region ends; the sound's end if left out."
    )

    @model_validator(mode="after")
    def _is_named_once(self) -> _Sound:
        named = [name for name in self._ways() if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"give exactly one of {', '.join(self._ways())}; here are {len(named)}")
        if self.start_s is not None and self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end_s ({self.end_s:g}) must lie behind start_s ({self.start_s:g})")
        return self

    def _ways(self) -> tuple[str, ...]:
        return ("id", "path", "upload")


class ExampleSound(_Sound):
    """An example sound: it counts like the words, and its file is not among the hits."""

    weight: Weight = Field(
        default=1.0, description="How much it counts; the words and examples are added up."
    )


class Negative(_Sound):
    """What the sounds should not be like: `text`, or a sound."""

    text: str | None = Field(default=None, max_length=MAX_TEXT, description="It in words.")
    weight: Weight = Field(
        default=1.0, description="How much it counts among the negatives, and how strongly."
    )

    def _ways(self) -> tuple[str, ...]:
        return ("text", "id", "path", "upload")


class Range(_Request):
    """From `min` to `max`, both included; either may be left out."""

    min: float | None = Field(default=None, ge=0.0, le=1e12, allow_inf_nan=False)
    max: float | None = Field(default=None, ge=0.0, le=1e12, allow_inf_nan=False)


class LoudnessRange(_Request):
    """From `min` to `max` dBFS, both included; either may be left out."""

    min: float | None = Field(default=None, ge=-1e3, le=1e3, allow_inf_nan=False)
    max: float | None = Field(default=None, ge=-1e3, le=1e3, allow_inf_nan=False)


class Filters(_Request):
    """Which files may answer: all that are given must hold. The same as `where`, for forms."""

    duration_s: Range | None = None
    sample_rate_hz: Range | None = None
    format: list[str] = Field(
        default=[],
        max_length=32,
        description="Any of these: `wav`, `flac`, `vorbis` ...",
        examples=[["wav", "flac"]],
    )
    folder: list[str] = Field(default=[], max_length=32, description="In any of these folders or below.")
    modified_after: str | None = Field(
        default=None,
        max_length=40,
        description="From this date on: 2024, 2024-05, 2024-05-31 or 2024-05-31T18:30.",
    )
    modified_before: str | None = Field(default=None, max_length=40, description="Before this date began.")
    name: str | None = Field(default=None, max_length=200, description="The file name contains this.")
    path: str | None = Field(default=None, max_length=1000, description="The whole path contains this.")
    tag: str | None = Field(
        default=None,
        max_length=200,
        description="What the file says of itself has these words in this order, as `scene 12`.",
    )
    channels: Range | None = None
    bit_depth: Range | None = None
    size_bytes: Range | None = None
    loudness_dbfs: LoudnessRange | None = None


class SearchRequest(_Request):
    """What to look for: words, example sounds, or both; less what it should not be like.

    `where` or `filters` alone list whole files, by path; their score is 0.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "text": "a dog barks while it rains",
                    "not": [{"text": "music"}],
                    "where": "duration < 30",
                    "k": 20,
                }
            ]
        },
    )

    text: str | None = Field(default=None, max_length=MAX_TEXT, description="What to listen for, in words.")
    text_weight: Weight = Field(default=1.0, description="How much the words count beside the examples.")
    like: list[ExampleSound] = Field(default=[], max_length=MAX_EXAMPLES, description="Example sounds.")
    negatives: list[Negative] = Field(
        default=[], alias="not", max_length=MAX_EXAMPLES, description="What it should not be like."
    )
    where: str | None = Field(
        default=None,
        max_length=4_000,
        description="A condition on the files, as the command line's `--where`.",
        examples=["duration < 5 and format = wav"],
    )
    filters: Filters | None = None
    within: list[ItemId] | None = Field(
        default=None,
        max_length=MAX_WITHIN,
        description="Only these items may answer: a search inside results.",
    )
    taught: str | None = Field(
        default=None,
        max_length=200,
        description="What was taught by marks, by its name (`GET /taught`): it turns the query, or is all of it.",
        examples=["my knocks"],
    )
    taught_weight: Weight = Field(
        default=1.0, description="How much its marks count beside the words and examples."
    )
    per: Per = Field(
        default="file",
        description="`file`: the best segment of each; `segment`: moments, each with its begin and end.",
    )
    duplicates: Shown = Field(
        default="hide",
        description="`hide`: of files with the same content one is a hit, which names the others.",
    )
    missing: Shown = Field(
        default="hide",
        description="`hide`: what is not there now, as on a drive that is unplugged, is no hit.",
    )
    k: int = Field(default=20, ge=1, le=MAX_K, description="How many hits.")
    offset: int = Field(
        default=0, ge=0, le=MAX_OFFSET, description="How many of the best to leave out: the next page."
    )
    as_typed: bool = Field(default=False, description="Search for the words exactly as typed.")
    keywords: Literal["auto", "off", "only"] = Field(
        default="auto",
        description="`auto`: words in names, folders and tags count beside the sound; `off`: the sound alone decides; "
        "`only`: files that have none of the words are no hits.",
    )
    why: bool = Field(default=False, description="Say which words carried each hit.")
    windows: bool = Field(
        default=False,
        description="Where the model's moments are flat (`has_moments` of `GET /library` is false): embed windows of "
        "2 s of the hits now, and give their scores as moments. Takes as long as indexing the hits, and is not needed "
        "where the library keeps windows (`soundseek index --windows`): their scores are the moments anyway; "
        f"{MAX_WINDOWED} hits and one library at a time.",
    )
    libraries: list[Annotated[str, Field(max_length=300)]] = Field(
        default=[],
        max_length=64,
        description="Of a server that has several libraries, the addresses of those that are searched together "
        "(`GET /capabilities`); none searches the one that is asked.",
        examples=[["/", "/libraries/birds/"]],
    )

    @model_validator(mode="after")
    def _has_room_for_windows(self) -> SearchRequest:
        if self.windows and self.k > MAX_WINDOWED:
            raise ValueError(
                f"with windows, k is at most {MAX_WINDOWED}, not {self.k}: each hit is embedded now"
            )
        if self.windows and self.libraries:
            raise ValueError(
                "windows are of one library; leave `libraries` out, and ask each at its own address"
            )
        return self


class FileFacts(_Answer):
    """What the library knows of a file."""

    id: ItemId
    path: FileName = Field(description="Absolute path; bytes that are no UTF-8 are `\\udcXX`.")
    name: FileName = Field(description="The file name.")
    folder: FileName = Field(description="The folder that it lies in.")
    duration_s: float = Field(description="Length of the whole file.")
    sample_rate_hz: int = Field(description="The file's own rate.")
    channels: int = Field(description="The file's own channels.")
    format: str = Field(description="Container and codec.", examples=["WAV", "OGG/VORBIS"])
    size_bytes: int = Field(description="Size of the file.")
    bit_depth: int | None = Field(default=None, description="Bits of a sample; null of a lossy file.")
    loudness_dbfs: float | None = Field(
        default=None,
        description="Root mean square of the samples, in dBFS; null of a file that was indexed before it was measured.",
    )
    modified: str = Field(description="When it was changed last, ISO 8601 in UTC.")
    media_type: str = Field(description="Of `GET /audio/{id}`.", examples=["audio/wav"])
    needs_preview: bool = Field(
        description="Most browsers cannot play the file itself (AIFF, CAF, above 48 kHz, more than two channels): "
        "play `GET /audio/{id}?preview=wav`."
    )
    is_favourite: bool = Field(default=False, description="It is in the collection `favourites`.")


class HitAnswer(FileFacts):
    """One place where a sound was found."""

    start_s: float = Field(description="Where the segment starts.")
    end_s: float = Field(description="Where it ends.")
    score: float = Field(description="How well it fits, -1 to 1, by the mean and the best two seconds.")
    match: float | None = Field(
        default=None,
        description="Probability that a listener would agree, 0 to 1; null where the model or the query does not say.",
    )
    moments: list[float] = Field(
        description="Frame scores of each `frame_s` from start to end; their mean is the cosine of that stretch. With "
        "`window_s`, scores of windows of that length, which begin `frame_s` after each other."
    )
    moment_s: float = Field(description="The middle of the best moment, from the file's beginning.")
    frame_s: float = Field(description="Seconds from one moment to the next.")
    window_s: float | None = Field(
        default=None,
        description="Where the moments are window scores: length of a window, each embedded alone, so that their mean "
        "is not `score`; else null.",
    )
    also_at: list[FileName] = Field(
        default=[], description="Paths of files with the same content, which are no hits of their own."
    )
    is_cut: bool = Field(default=False, description="Only the beginning of the file is in the library.")
    why: list[str] | None = Field(default=None, description="The words that carried the hit, if asked for.")
    keywords: list[str] = Field(
        default=[],
        description="Words of the query that the file's name, folder or tags hold, where these counted; `score` stays "
        "that of the sound.",
    )
    clock: str | None = Field(
        default=None,
        description="When `moment_s` was recorded, where a Broadcast Wave file says so; without its day where that is "
        "not known.",
        examples=["2023-06-14T10:22:03.250"],
    )
    library: str | None = Field(
        default=None,
        description="Address of the library that the hit is of, where several were searched: below it, "
        "`api/v1/` answers for its `id`.",
        examples=["/libraries/birds/"],
    )
    _rank_score: float = PrivateAttr(default=0.0)

    @property
    def rank_score(self) -> float:
        """What hits are ranked by: the score, and what the file's name adds."""
        return self._rank_score

    def ranked(self, rank_score: float) -> HitAnswer:
        """The same hit, which knows what it is ranked by."""
        self._rank_score = rank_score
        return self


class SearchedFor(_Answer):
    """What a text was read as: jargon, other languages, what it excludes, mistyped words; the command line's names."""

    model_config = ConfigDict(populate_by_name=True)

    query: str | None = Field(description="The words as they were read.")
    typed: str | None = Field(description="The words as they came.")
    queries: list[str] = Field(default=[], description="All texts that are searched for, `query` first.")
    alternatives: list[list[str]] = Field(
        default=[],
        description="`queries` in groups: each hit counts by the one that it fits best; each is searched for together.",
    )
    language: str = Field(default="English", description="The language that the words were read in.")
    manners: list[str] = Field(
        default=[],
        description="How it should sound, apart from the words: such hits stand first (`muffled`).",
    )
    negatives: list[str] = Field(
        default=[],
        alias="not",
        description="All negatives in words, as they were read; those of the text first.",
    )
    negatives_typed: list[str] = Field(
        default=[], alias="not_typed", description="The request's negatives in words, as they came."
    )


class SearchAnswer(_Answer):
    """Hits, best first."""

    hits: list[HitAnswer]
    query: str | None = Field(
        description="This query, for `GET /moments/{id}?query=`; known for a while; null of a list.",
        pattern=QUERY_ID,
    )
    searched_for: SearchedFor | None = Field(
        default=None,
        description="What was searched for, where that is not what was typed; else null.",
    )
    warnings: list[str] = Field(
        default=[],
        description="What to know of the hits: words that the model does not know, a text too long.",
    )
    total: int = Field(
        description="Files (or segments, by `per`) that may answer: those that fulfil the filters, copies included."
    )
    next_offset: int | None = Field(
        default=None, description="`offset` of the next page; null where this is the last."
    )
    elapsed_ms: float = Field(description="Milliseconds that the server took.")


class UploadAnswer(_Answer):
    """An uploaded sound that `like` and `not` may name until it expires."""

    upload: UploadId
    name: str = Field(description="As it was sent.")
    duration_s: float
    sample_rate_hz: int
    channels: int
    format: str
    expires_at: str = Field(description="ISO 8601 in UTC; each use puts it off.")


class Region(_Request):
    """An item, or a part of it."""

    id: ItemId
    start_s: Seconds | None = None
    end_s: Seconds | None = None
    score: float | None = Field(default=None, ge=-1.0, le=1.0, allow_inf_nan=False, description="Of the hit.")
    moment_s: Seconds | None = Field(default=None, description="Of the hit.")

    @model_validator(mode="after")
    def _ends_behind_its_start(self) -> Region:
        if self.start_s is not None and self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end_s ({self.end_s:g}) must lie behind start_s ({self.start_s:g})")
        return self


# --- Items --------------------------------------------------------------------------------------------------------


class Tag(_Answer):
    """One thing that a file says of itself."""

    name: str = Field(examples=["scene"])
    text: str = Field(examples=["12"])


class Item(FileFacts):
    """A file of the library."""

    is_there: bool = Field(description="The file is where it was when it was indexed.")
    is_truncated: bool = Field(description="Only its beginning was indexed.")
    segments: int = Field(description="Segments that it is searched by.")
    copies: list[FileName] = Field(description="Paths of other files with the same content.")
    collections: list[str] = Field(description="Ids of the collections that it is in.")
    tags: list[Tag] = Field(default=[], description="What the file says of itself.")
    recorded_on: str | None = Field(
        default=None,
        description="The day of the recording, where a Broadcast Wave file says so.",
        examples=["2023-06-14"],
    )
    clock_s: float | None = Field(
        description="Seconds after midnight at which the recording began, where a Broadcast Wave file says so."
    )


class ItemList(_Answer):
    """Files of the library."""

    items: list[FileFacts]
    total: int = Field(description="Files that fulfil the filters.")
    next_offset: int | None = None


class Peaks(_Answer):
    """A waveform: the lowest and highest sample of each of `n` equal pieces, all channels mixed."""

    id: ItemId
    start_s: float
    end_s: float
    duration_s: float
    n: int
    min: list[float] = Field(description="-1 to 1.")
    max: list[float] = Field(description="-1 to 1.")


class SegmentScore(_Answer):
    """The score of one segment."""

    start_s: float
    end_s: float
    score: float


class Moments(_Answer):
    """The score of a whole file over time."""

    id: ItemId
    duration_s: float
    frame_s: float = Field(description="Seconds that one of `scores` stands for.")
    window_s: float | None = Field(
        default=None,
        description="Length of the windows that `scores` are of, one every `frame_s`, where the library keeps windows; "
        "null where they are of frames, which do not overlap.",
    )
    scores: list[float] = Field(description="From the file's beginning.")
    moment_s: float = Field(description="The middle of the best one.")
    segments: list[SegmentScore]


# --- Labels -------------------------------------------------------------------------------------------------------


class LabelsRequest(_Request):
    """Sounds to say in words what they are."""

    items: list[Region] = Field(
        min_length=1,
        max_length=MAX_LABELLED,
        description="Files or parts of them; `score` and `moment_s` do not count.",
        examples=[[{"id": _AN_ITEM}]],
    )
    labels: Literal["audioset", "ucs"] | list[OwnLabel] = Field(
        default="audioset",
        examples=["ucs"],
        description="AudioSet's 527 names, the 752 categories of the Universal Category System, or labels of your own.",
    )
    per: Per = Field(
        default="file", description="`segment`: label every segment of the files, not files or parts."
    )
    k: int = Field(default=5, ge=1, le=100, description="How many labels of each.")
    as_typed: bool = Field(
        default=False,
        description="Take labels of your own exactly as they are; otherwise they are read as queries.",
    )
    format: Literal["json", "csv"] = Field(
        default="json", description="`csv`: a row for each label, as the command line writes them."
    )

    @field_validator("labels", mode="after")
    @classmethod
    def _has_some(cls, labels: str | list[str]) -> str | list[str]:
        if isinstance(labels, list) and not 1 <= len(labels) <= MAX_OWN_LABELS:
            raise ValueError(f"give 1 to {MAX_OWN_LABELS} labels; here are {len(labels)}")
        return labels


class LabelAnswer(_Answer):
    """A label of a sound."""

    label: str = Field(description="The word or words; of UCS as it writes them.", examples=["DOORS WOOD"])
    score: float = Field(description="Cosine of the sound and the label, -1 to 1.")
    match: float | None = Field(
        description="Probability that a listener would agree, 0 to 1; null where the model does not say."
    )
    cat_id: str | None = Field(description="Of UCS.", examples=["DOORWood"])
    category: str | None = Field(description="Of UCS.", examples=["DOORS"])
    subcategory: str | None = Field(description="Of UCS.", examples=["WOOD"])


class LabelledAnswer(_Answer):
    """A file or a part of it with its labels, the best first."""

    id: ItemId
    path: FileName
    start_s: float
    end_s: float
    labels: list[LabelAnswer]


class LabelsAnswer(_Answer):
    """The sounds in the order asked for; of segments, each file's in the order of time."""

    sounds: list[LabelledAnswer]
    warnings: list[str] = Field(default=[], description="What to know of labels of your own.")


# --- Duplicates ---------------------------------------------------------------------------------------------------


class DuplicatesRequest(_Request):
    """Look for recordings that are there more than once."""

    min_score: float = Field(
        default=MIN_SCORE,
        examples=[0.5],
        ge=0.05,
        le=1.0,
        allow_inf_nan=False,
        description="Least correlation of two waveforms that count as one recording.",
    )


class DuplicatesProgress(_Answer):
    """How far a search is."""

    files_done: int = Field(description="Files that are compared.")
    files_total: int
    elapsed_s: float
    eta_s: float | None = Field(description="Seconds that are probably left; null at the beginning.")


class DuplicatesState(_Answer):
    """A search for duplicates, and what the last one that came to its end has found."""

    state: Literal["none", "running", "stopping", "stopped", "failed", "ready"]
    min_score: float | None = Field(
        default=None, description="Of the search that is under way, else of the one that found the groups."
    )
    total: int = Field(default=0, description="Groups that were found.")
    more_files: int = Field(default=0, description="Files that are in them beside the first of each.")
    is_stale: bool = Field(default=False, description="The library has changed since they were found.")
    progress: DuplicatesProgress | None = Field(
        default=None, description="While one is under way; null as long as the vectors alone are compared."
    )
    error: str | None = Field(default=None, description="Why it failed, and what to do.")


class DuplicateFile(_Answer):
    """A file of a group."""

    path: FileName
    kind: Literal["identical", "copy", "part", "contains", "overlap"] = Field(
        description="`identical`: the same bytes; `copy`: the same recording; `part`: it lies inside a longer file; "
        "`contains`: it is the longer one, which holds all of `of` and more; `overlap`: a stretch is in both, and "
        "each has more than that."
    )
    of: FileName = Field(
        description="The file that it is a copy or a part of, or shares a stretch with; of the first one, itself."
    )
    score: float = Field(description="Correlation of the two waveforms, 0 to 1.")
    surety: Literal["sure", "likely", "maybe"] = Field(
        description="The same in a word: `sure` from 0.6 on, `likely` from 0.5 on, `maybe` below."
    )
    start_s: float = Field(description="Where it begins in `of`; below 0 where `of` begins so much later.")
    end_s: float = Field(description="Where it ends there; above the length of `of` where that ends earlier.")
    item: FileFacts | None = Field(description="The file; null where it is not in the library any more.")


class DuplicateFiles(_Answer):
    """Files that hold one recording: the longest first, of equally long ones that of the highest rate."""

    group: int = Field(description="Its number, from 1.")
    files: list[DuplicateFile]


class DuplicatesAnswer(DuplicatesState):
    """The same, with the groups."""

    groups: list[DuplicateFiles]
    next_offset: int | None = None


# --- Collections --------------------------------------------------------------------------------------------------


class CollectionName(_Request):
    """A name for a collection."""

    name: str = Field(min_length=1, max_length=200, pattern=r"\S", examples=["doors for episode 3"])


class CollectionAnswer(_Answer):
    """A named list of sounds or regions of sounds; `favourites` is always there."""

    id: str = Field(examples=["favourites", "7"])
    name: str
    count: int = Field(description="Entries in it.")
    created_at: str
    modified_at: str


class CollectionList(_Answer):
    """All collections, `favourites` first."""

    collections: list[CollectionAnswer]


class AddedEntry(Region):
    """A sound to put into a collection."""

    note: str = Field(default="", max_length=MAX_TEXT)


class AddedEntries(_Request):
    """Sounds to put into a collection; what is in it already stays as it is."""

    items: list[AddedEntry] = Field(
        min_length=1, max_length=MAX_EXPORTED, examples=[[{"id": _AN_ITEM, "start_s": 1.0, "end_s": 2.5}]]
    )


class CollectionEntry(_Answer):
    """A sound in a collection. It is found again after a move and after a change of its content."""

    entry: int = Field(description="Its number, by which it is removed.")
    path: FileName = Field(description="Where the file is now, or was seen last.")
    start_s: float | None = None
    end_s: float | None = None
    note: str = ""
    added_at: str
    item: FileFacts | None = Field(description="The file; null while it is not in the library.")


class CollectionContents(CollectionAnswer):
    """A collection with its sounds, in the order in which they came in."""

    items: list[CollectionEntry]
    next_offset: int | None = None


# --- Taught sounds ------------------------------------------------------------------------------------------------


class TaughtName(_Request):
    """A name for what is taught."""

    name: str = Field(min_length=1, max_length=200, pattern=r"\S", examples=["my knocks"])


class TaughtAnswer(_Answer):
    """What the library was taught under one name; `taught` of a search is its name."""

    id: str = Field(examples=["3"])
    name: str
    right: int = Field(description="Marks of sounds that are it.")
    wrong: int = Field(description="Marks of sounds that are not.")
    created_at: str
    modified_at: str


class TaughtList(_Answer):
    """Everything that was taught, by name."""

    taught: list[TaughtAnswer]


class AddedMark(_Request):
    """A sound, or a region of one, that is right or wrong."""

    id: ItemId
    start_s: Seconds | None = None
    end_s: Seconds | None = None
    is_right: bool = Field(description="Whether it is what the name says.")

    @model_validator(mode="after")
    def _ends_behind_its_start(self) -> AddedMark:
        if self.start_s is not None and self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end_s ({self.end_s:g}) must lie behind start_s ({self.start_s:g})")
        return self


class AddedMarks(_Request):
    """Sounds to mark; one that is marked already changes its mind."""

    marks: list[AddedMark] = Field(
        min_length=1, max_length=MAX_MARKED, examples=[[{"id": _AN_ITEM, "is_right": True}]]
    )


class MarkAnswer(_Answer):
    """A mark. It is found again after a move and after a change of its content."""

    mark: int = Field(description="Its number, by which it is removed.")
    path: FileName = Field(description="Where the file is now, or was seen last.")
    start_s: float | None = None
    end_s: float | None = None
    is_right: bool
    added_at: str
    item: FileFacts | None = Field(description="The file; null while it is not in the library.")


class TaughtContents(TaughtAnswer):
    """What was taught, with its marks in the order in which they were made."""

    marks: list[MarkAnswer]


# --- Indexing -----------------------------------------------------------------------------------------------------


class JobRequest(_Request):
    """Index some folders; none means those of earlier runs again."""

    folders: list[FileName] = Field(
        default=[],
        max_length=64,
        description="Absolute paths below the allowed roots (`GET /folders`).",
        examples=[["/home/me/Sounds"]],
    )
    max_duration_s: float | None = Field(
        default=None,
        ge=1.0,
        le=1e6,
        allow_inf_nan=False,
        description="Of a longer file only the beginning is taken, in later runs as well; null keeps what the library "
        "remembers.",
    )


class JobProgress(_Answer):
    """How far a run is; the names of `soundseek.library.Progress`."""

    files_done: int
    files_total: int
    audio_s: float
    elapsed_s: float
    eta_s: float | None = Field(description="Seconds that are probably left; null at the beginning.")
    x_realtime: float | None
    current: FileName = Field(description="The file that was just done.")


class JobReport(_Answer):
    """What a run did; the names of `soundseek.library.IndexReport`."""

    added: int
    changed: int
    moved: int
    removed: int
    unchanged: int
    failed: int
    audio_s: float
    elapsed_s: float


JobState = Literal["running", "stopping", "stopped", "done", "failed"]


class Job(_Answer):
    """A run over some folders. One runs at a time; what is committed when it stops stays."""

    id: str = Field(examples=["1"])
    state: JobState
    folders: list[FileName]
    started_at: str
    ended_at: str | None = None
    progress: JobProgress | None = None
    report: JobReport | None = Field(default=None, description="When it has ended.")
    error: str | None = Field(default=None, description="Why it failed, and what to do.")


class JobList(_Answer):
    """The runs since the server started, the latest first."""

    jobs: list[Job]


class FailureAnswer(_Answer):
    """A file that could not be indexed."""

    path: FileName
    reason: str
    seen_at: str


class FailureList(_Answer):
    """Files that could not be indexed, ordered by path."""

    failures: list[FailureAnswer]
    total: int
    next_offset: int | None = None


class Folder(_Answer):
    """A folder that may be indexed."""

    path: FileName
    name: FileName
    is_indexed: bool = Field(description="It was indexed, or a folder above it.")


class FolderList(_Answer):
    """The folders in a folder; without `path`, the allowed roots."""

    path: FileName | None
    parent: FileName | None = Field(description="The folder above, where that is allowed.")
    folders: list[Folder]


# --- The library --------------------------------------------------------------------------------------------------


class LibraryLink(_Answer):
    """One of the libraries of a server that has several."""

    name: str = Field(description="The name of its folder.", examples=["birds"])
    path: FileName
    address: str = Field(
        description="Where its page is; below it, `api/v1/` is its API.", examples=["/libraries/birds/"]
    )
    is_this: bool = Field(description="It is the one that answers here.")


class Capabilities(_Answer):
    """What this server can do."""

    index: bool = Field(description="`POST /jobs` is allowed.")
    show_in_folder: bool = Field(description="`POST /items/{id}/show` opens a window on the user's machine.")
    export_folder: bool = Field(description="`POST /export` may write into a folder.")
    map: bool = Field(description="`GET /map` works.")
    libraries: list[LibraryLink] = Field(
        default=[],
        description="All libraries of a server that has several (`serve --library A --library B`).",
    )


class LibraryAnswer(_Answer):
    """What the library is and holds, and what filters may ask for."""

    path: FileName
    folders: list[FileName]
    files: int
    segments: int
    audio_hours: float
    bytes_on_disk: int
    model: str
    fingerprint: str
    failures: int
    cut: int
    last_indexed: str | None
    version: int = Field(description="Grows with every change: what was asked for earlier may have changed.")
    formats: list[str] = Field(description="Formats that occur, the most frequent first.")
    sample_rates_hz: list[int] = Field(description="Rates that occur.")
    longest_s: float = Field(description="Length of the longest file.")
    has_moments: bool = Field(
        description="The model tells moments apart; where it does not, as CLAP's, `windows` of a search does."
    )
    can: Capabilities


# --- The map ------------------------------------------------------------------------------------------------------


class MapAnswer(_Answer):
    """The state of the two-dimensional map, in which sounds that are alike lie together."""

    state: Literal["computing", "ready", "failed", "empty"]
    version: int = Field(description="Version of the library that the points belong to.")
    is_stale: bool = Field(description="The library has changed since; the next map is being computed.")
    count: int = Field(description="Points: one a file.")
    folders: list[FileName] = Field(description="What the folder number of a point stands for.")
    progress: float = Field(description="0 to 1.")
    error: str | None = None


class MapItemsRequest(_Request):
    """Points of the map."""

    version: int = Field(ge=0, le=2**53, description="That of `GET /map`.", examples=[7])
    points: list[Annotated[int, Field(ge=0, le=2**31)]] = Field(
        min_length=1, max_length=MAX_EXPORTED, description="Their numbers, from 0.", examples=[[0, 1]]
    )


class MapItems(_Answer):
    """The items of some points, in the order asked for; null where the file is gone."""

    items: list[FileFacts | None]


class MapLabels(_Answer):
    """What the points of a map sound like: the category of UCS whose subcategory fits each one best."""

    labels: list[str] = Field(description="The categories that occur.", examples=[["ANIMALS", "DOORS"]])
    label_of: list[int | None] = Field(
        description="For each point the place of its category in `labels`; null where its file is gone."
    )


class MapFindRequest(_Request):
    """Items to find on the map."""

    version: int = Field(ge=0, le=2**53, description="That of `GET /map`.", examples=[7])
    ids: list[ItemId] = Field(min_length=1, max_length=MAX_EXPORTED, examples=[[_AN_ITEM]])


class MapFound(_Answer):
    """The points of some items, in the order asked for; null for one that is not on this map."""

    points: list[int | None]


# --- Export -------------------------------------------------------------------------------------------------------


class Cut(_Request):
    """Cut the regions out instead of copying whole files; names are `score_name_start_end`."""

    before_s: Annotated[float, Field(ge=0.0, le=600.0, allow_inf_nan=False)] = Field(
        default=0.0, description="Handle before the region."
    )
    after_s: Annotated[float, Field(ge=0.0, le=600.0, allow_inf_nan=False)] = Field(
        default=0.0, description="Handle behind it."
    )
    format: Literal["own", "wav24"] = Field(
        default="own",
        description="`own`: the file's own format, sample for sample the same where the format is lossless; a lossy "
        "file is cut to WAV. `wav24`: WAV of 24-bit PCM.",
    )


class ExportedRegion(Region):
    """A hit to write down, copy or cut."""

    match: float | None = Field(default=None, ge=0.0, le=1.0, allow_inf_nan=False, description="Of the hit.")
    keywords: list[Annotated[str, Field(max_length=200, pattern=r"^\w")]] = Field(
        default=[], max_length=100, description="Of the hit: words that its name, folder or tags hold."
    )


ExportFormat = Literal["csv", "json", "m3u", "zip", "folder", "audacity", "reaper", "raven"]


class ExportRequest(_Request):
    """Hits to write down, copy, pack or cut."""

    format: ExportFormat = Field(
        description="`csv`, `json`, `m3u`: a list. `zip`, `folder`: the files, or cuts of them. `audacity`, `reaper`, "
        "`raven`: labels; of several files a ZIP with labels for each.",
        examples=["reaper"],
    )
    items: list[ExportedRegion] = Field(
        min_length=1, max_length=MAX_EXPORTED, examples=[[{"id": _AN_ITEM, "start_s": 1.0, "end_s": 2.5}]]
    )
    folder: str | None = Field(
        default=None,
        max_length=4096,
        description="For `folder`: where to; below an allowed root. A new one is made.",
    )
    cut: Cut | None = Field(default=None, description="For `zip` and `folder`.")
    labels: list[Literal["audacity", "reaper", "raven"]] = Field(
        default=[], max_length=3, description="For `zip` and `folder`: labels to put beside the files."
    )
    label_text: str | None = Field(
        default=None,
        max_length=MAX_TEXT,
        description="What was looked for: it stands on each label, with the score. Without it the file's name does.",
        examples=["a dog barks"],
    )


class ExportedHit(_Answer):
    """A hit of a list in JSON, as the command line writes it."""

    path: FileName
    start_s: float
    end_s: float
    score: float = Field(description="0 where the request gave none.")
    moments: list[float] = Field(description="Empty: a request names no moments.")
    duration_s: float
    moment_s: float = Field(description="The middle of the region where the request gave none.")
    sample_rate_hz: int
    format: str
    match: float | None = Field(default=None, description="Left out where the request gave none.")
    keywords: list[str] = Field(default=[], description="Left out where the request gave none.")


class ExportedFile(_Answer):
    """A file that an export wrote."""

    path: FileName
    id: ItemId


class ExportSkipped(_Answer):
    """A sound that could not be exported."""

    id: ItemId
    reason: str


class ExportAnswer(_Answer):
    """What an export into a folder wrote."""

    folder: FileName
    files: list[ExportedFile]
    skipped: list[ExportSkipped]


# --- Health -------------------------------------------------------------------------------------------------------


class Health(_Answer):
    """Whether the server can answer."""

    status: Literal["ok", "no library"]
    version: str = Field(description="Of soundseek.")
    detail: str | None = Field(default=None, description="What is wrong, and what to do.")
