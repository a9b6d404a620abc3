"""The library as tools of the Model Context Protocol: search, similar, describe, label, duplicates, export."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette

import soundseek
from soundseek.errors import QueryError, SoundseekError
from soundseek.library.duplicates import MIN_SCORE
from soundseek.server.duplicates import DuplicateSearch, duplicates_answer
from soundseek.server.exporting import Exporter, as_list, choose, into_folder, label_files
from soundseek.server.items import find_file
from soundseek.server.problems import ProblemError
from soundseek.server.routes.indexing import allowed_folder
from soundseek.server.routes.items import item_of
from soundseek.server.schemas import (
    MAX_OWN_LABELS,
    MAX_TEXT,
    Cut,
    DuplicatesAnswer,
    ExportedFile,
    ExportSkipped,
    Item,
    LabelledAnswer,
    LabelsRequest,
    Region,
    SearchAnswer,
    SearchedFor,
    SearchRequest,
)
from soundseek.server.state import State
from soundseek.server.window_scores import scored_by_windows

if TYPE_CHECKING:
    from soundseek.library import Library

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")

MCP_PATH = "/mcp"
MAX_TOOL_HITS = 100
# A tool that takes longer may be given up by an assistant.
PATIENCE_S = 20.0
INSTRUCTIONS = """A library of recorded sounds, searched by describing them in words.

Say what is to be heard ("a dog barks while it rains"), not what the file may be called. A hit is the best ten seconds
of a file, or all of it if it is shorter; `moment_s` is where to listen. Scores compare hits of one question alone; the
best hit of a library that lacks the sound still has one. `where` keeps only some files: duration, rate, format, folder,
modified, name, path, channels, bits, size, loudness (dBFS), tag; as in `duration < 5 and tag ~ "scene 12"`. A file's
name, a scene and take, or a word of its tags is found by searching for it: `keywords` of a hit says that they counted.
"""

TextOf = Annotated[str, Field(max_length=MAX_TEXT, description="What to listen for, in words.")]
Where = Annotated[
    str | None, Field(max_length=4000, description="A condition on the files: duration < 5 and format = wav")
]
K = Annotated[int, Field(ge=1, le=MAX_TOOL_HITS, description="How many hits.")]
PerOf = Annotated[
    Literal["file", "segment"],
    Field(description="`file`: the best segment of each; `segment`: moments, each with its begin and end."),
]
SoundOf = Annotated[
    str, Field(max_length=4096, description="A sound of the library: its `id` or its absolute path.")
]


class ToolHit(BaseModel):
    """One place where a sound was found."""

    id: str = Field(description="For similar, describe and export.")
    path: str
    score: float = Field(description="Cosine of the question and the segment, -1 to 1.")
    start_s: float = Field(description="Where the segment starts in the file.")
    end_s: float
    moment_s: float = Field(description="Its best moment: where to listen.")
    duration_s: float = Field(description="Length of the whole file.")
    match: float | None = Field(default=None, description="Probability that a listener would agree, 0 to 1.")
    why: list[str] | None = Field(default=None, description="The words that carried it.")
    keywords: list[str] = Field(default=[], description="Words that the file's name, folder or tags hold.")
    window_s: float | None = Field(
        default=None,
        description="`moment_s` is the middle of the best window of this length, by window scores.",
    )
    clock: str | None = Field(
        default=None, description="When its best moment was recorded, if the file knows."
    )


class ToolHits(BaseModel):
    """Hits, best first."""

    hits: list[ToolHit]
    total: int = Field(description="Files (or segments) that fulfil the condition.")
    searched_for: SearchedFor | None = Field(default=None, description="What mistyped words were read as.")
    warnings: list[str] = []


class ToolExport(BaseModel):
    """What an export gave: the text, or the files that were written."""

    text: str | None = Field(default=None, description="The list or the labels.")
    files: list[ExportedFile] = []
    skipped: list[ExportSkipped] = []


@dataclass(frozen=True)
class _Tools:
    state: State

    async def search(
        self,
        text: TextOf,
        negatives: Annotated[
            list[str], Field(max_length=16, description="What it should not sound like.")
        ] = [],  # noqa: B006
        like: Annotated[
            list[str],
            Field(
                max_length=16, description="Example sounds of the library (id or path) that count as well."
            ),
        ] = [],  # noqa: B006
        where: Where = None,
        per: PerOf = "file",
        k: K = 10,
        keywords: Annotated[
            Literal["auto", "off", "only"],
            Field(description="Words in names and tags count beside the sound, not at all, or alone."),
        ] = "auto",
        taught: Annotated[
            str | None,
            Field(
                max_length=200,
                description="Name of what the user has taught the library by marks, as `my knocks`.",
            ),
        ] = None,
        windows: Annotated[
            bool,
            Field(
                description="Where the model's moments are flat, as CLAP's: find `moment_s` by window scores. Slow."
            ),
        ] = False,
    ) -> ToolHits:
        """Find sounds by describing them in words; each hit says at which second to listen."""
        request: dict[str, Any] = {
            "text": text,
            "not": [{"text": each} for each in negatives],
            "like": [_named(each) for each in like],
            "where": where,
            "per": per,
            "k": k,
            "why": True,
            "keywords": keywords,
            "taught": taught,
            "windows": windows,
        }
        return await self._hits(request)

    async def similar(
        self,
        sound: SoundOf,
        start_s: Annotated[
            float | None, Field(ge=0, description="Compare with the part from here on.")
        ] = None,
        end_s: Annotated[float | None, Field(ge=0, description="Compare with the part up to here.")] = None,
        where: Where = None,
        per: PerOf = "file",
        k: K = 10,
    ) -> ToolHits:
        """Find the sounds most like one of the library, or like a part of it."""
        like = {**_named(sound), "start_s": start_s, "end_s": end_s}
        return await self._hits({"like": [like], "where": where, "per": per, "k": k})

    async def describe(self, sound: SoundOf) -> Item:
        """What the library knows of a sound: length, format, rate, channels, copies, collections."""

        def read(library: Library) -> Item:
            return item_of(library, find_file(library.store, _id_of(library, sound)))

        return _printable(await self._ask(lambda: self.state.with_library(read)))

    async def label(
        self,
        sound: SoundOf,
        labels: Annotated[
            list[str],
            Field(
                max_length=MAX_OWN_LABELS,
                description="Words to choose from; or one of `audioset` (527 names), `ucs` (752 UCS categories).",
            ),
        ] = ["audioset"],  # noqa: B006
        start_s: Annotated[float | None, Field(ge=0, description="Only the part from here on.")] = None,
        end_s: Annotated[float | None, Field(ge=0, description="Only the part up to here.")] = None,
        k: Annotated[int, Field(ge=1, le=MAX_TOOL_HITS, description="How many labels.")] = 5,
    ) -> LabelledAnswer:
        """Say what a sound is: the words of a list that fit it best, each with its probability."""

        def read(library: Library) -> LabelledAnswer:
            item = {"id": _id_of(library, sound), "start_s": start_s, "end_s": end_s}
            chosen = labels[0] if labels in (["audioset"], ["ucs"]) else labels
            request = LabelsRequest.model_validate({"items": [item], "labels": chosen, "k": k})
            return self.state.labelling.label(library, request).sounds[0]

        return _printable(await self._ask(lambda: self.state.with_library(read)))

    async def duplicates(
        self,
        min_score: Annotated[
            float,
            Field(ge=0.05, le=1.0, description="Least correlation of two waveforms that are one recording."),
        ] = MIN_SCORE,
        k: Annotated[int, Field(ge=1, le=MAX_TOOL_HITS, description="How many groups.")] = 20,
        offset: Annotated[int, Field(ge=0, description="How many groups to leave out: the next page.")] = 0,
    ) -> DuplicatesAnswer:
        """Find recordings that are there more than once, also inside longer files; nothing is changed.

        In a large library it takes minutes: while `state` is "running", ask again later.
        """

        async def run() -> DuplicatesAnswer:
            search = self.state.duplicates
            version = await self.state.with_library(lambda library: library.store.version())
            now = search.state(version)
            is_known = now.state == "ready" and not now.is_stale and now.min_score == min_score
            if now.state != "running" and not is_known:
                await search.start(min_score)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(_ended(search), PATIENCE_S)
            return await self.state.with_library(
                lambda library: duplicates_answer(library, search, k=k, offset=offset)
            )

        return _printable(await self._ask(run))

    async def export(
        self,
        sounds: Annotated[
            list[Region], Field(min_length=1, max_length=1000, description="Hits, or parts of sounds.")
        ],
        format: Annotated[
            Literal["csv", "json", "m3u", "audacity", "reaper", "raven", "folder"],
            Field(description="A list; labels of one file for an editor; or `folder`: copies of the files."),
        ] = "csv",
        folder: Annotated[
            str | None,
            Field(max_length=4096, description="For `folder`: where to; only where the user allows it."),
        ] = None,
        cut: Annotated[
            Cut | None, Field(description="For `folder`: cut the parts out instead of copying whole files.")
        ] = None,
        label_text: Annotated[
            str | None,
            Field(max_length=MAX_TEXT, description="For labels: what was looked for, which stands on each."),
        ] = None,
    ) -> ToolExport:
        """Write hits down as a list or labels, or copy or cut their files into a folder."""

        async def run() -> ToolExport:
            chosen, roots = await self.state.with_library(
                lambda library: (choose(library, sounds), self.state.serving_roots(library.store))
            )
            if format == "folder":
                if folder is None:
                    raise ProblemError("request", "`folder` says where to write to; give an absolute path")
                target = await self.state.in_thread(
                    partial(allowed_folder, self.state, folder, may_be_new=True)
                )
                written = await into_folder(self.state, Exporter(self.state, chosen, cut, roots), {}, target)
                return ToolExport(files=written.files, skipped=written.skipped)
            if format in ("csv", "json", "m3u"):
                return ToolExport(text=as_list(chosen, format)[0])
            files = label_files(chosen, format, label_text)  # type: ignore[arg-type]
            if len(files) > 1:
                raise ProblemError(
                    "request", "labels are of one file; export those of each file on their own"
                )
            return ToolExport(text="".join(files.values()))

        return _printable(await self._ask(run))

    async def _hits(self, request: dict[str, Any]) -> ToolHits:
        async def run() -> SearchAnswer:
            asked = SearchRequest.model_validate(request)
            found = await self.state.with_library(lambda library: self.state.searching.search(library, asked))
            return await scored_by_windows(self.state, found) if asked.windows else found

        answer = await self._ask(run)
        hits = [
            ToolHit.model_validate(hit.model_dump(include=set(ToolHit.model_fields)))
            for hit in _printable(answer).hits
        ]
        return ToolHits(
            hits=hits, total=answer.total, searched_for=answer.searched_for, warnings=answer.warnings
        )

    async def _ask(self, ask: Callable[[], Awaitable[R]]) -> R:
        """What a call gives; what it cannot do is told to the assistant."""
        try:
            return await ask()
        except ProblemError as error:
            raise ToolError(error.detail) from None
        except SoundseekError as error:
            raise ToolError(str(error)) from None
        except ValidationError as error:
            raise ToolError("; ".join(str(each["msg"]) for each in error.errors())) from None


def build_mcp(state: State) -> MCPServer[Any]:
    """The tools over a running server's state."""
    server: MCPServer[Any] = MCPServer(
        "soundseek",
        title="soundseek",
        version=soundseek.__version__,
        instructions=INSTRUCTIONS,
        log_level="WARNING",
    )
    tools = _Tools(state)
    for tool in (tools.search, tools.similar, tools.describe, tools.label, tools.duplicates, tools.export):
        server.add_tool(tool)
    return server


def mcp_app(server: MCPServer[Any]) -> Starlette:
    """The tools over HTTP at `MCP_PATH`; host, origin and token are the guard's business."""
    return server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        json_response=True,
        stateless_http=True,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )


async def run_on_stdio(state: State) -> None:
    """Answer one assistant over stdin and stdout, until it goes."""
    async with closing_state(state):
        await build_mcp(state).run_stdio_async()


@asynccontextmanager
async def closing_state(state: State) -> AsyncIterator[State]:
    """A state whose processes end with the block."""
    try:
        yield state
    finally:
        await state.close()


async def _ended(search: DuplicateSearch) -> None:
    async for _ in search.events():
        pass


def _named(sound: str) -> dict[str, str]:
    return {"path": sound} if os.path.isabs(sound) else {"id": sound}  # noqa: PTH117 (a str)


def _id_of(library: Library, sound: str) -> str:
    from soundseek.server.items import item_id

    if not Path(sound).is_absolute():
        if len(sound) != 41:
            raise QueryError(f"{sound!r} is neither an absolute path nor an id; take one from a hit")
        return sound
    file = library.store.file(sound)
    if file is None:
        raise ProblemError("not-found", f"the library has no file {sound}; search for it")
    return item_id(file)


def _printable(model: M) -> M:
    """The same with every text as UTF-8 can carry it: odd bytes of a path become escapes."""
    return type(model).model_validate(_plain(model.model_dump(by_alias=True)))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
