"""Parameters that several routes share, so that each has one description."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from soundseek.server.schemas import ITEM_ID, MAX_K, MAX_OFFSET

ItemPath = Annotated[str, Path(pattern=ITEM_ID, description="An item.", examples=["0" * 32 + "-" + "0" * 8])]
KQuery = Annotated[int, Query(ge=1, le=MAX_K, description="How many.")]
OffsetQuery = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="How many to leave out: the next page.")]
WhereQuery = Annotated[
    str | None,
    Query(
        max_length=4_000, description="A condition on the files.", examples=["duration < 5 and format = wav"]
    ),
]
StartQuery = Annotated[
    float | None,
    Query(ge=0.0, le=1e7, allow_inf_nan=False, description="Where the region begins, in seconds."),
]
EndQuery = Annotated[
    float | None, Query(ge=0.0, le=1e7, allow_inf_nan=False, description="Where the region ends, in seconds.")
]
