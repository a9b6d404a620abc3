"""Words for sounds."""

from __future__ import annotations

from fastapi import APIRouter, Response

from soundseek.server.answers import answer
from soundseek.server.labelling import csv_of
from soundseek.server.openapi import problems
from soundseek.server.routes.items import download
from soundseek.server.schemas import LabelsAnswer, LabelsRequest
from soundseek.server.state import StateOf

router = APIRouter(tags=["labels"])


@router.post(
    "/labels",
    response_model=LabelsAnswer,
    responses={
        200: {
            "description": "The labels; with `format` csv as text.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **problems(404),
    },
)
async def label_items(request: LabelsRequest, state: StateOf) -> Response:
    """Say in words what sounds are: AudioSet's names, categories of UCS, or labels of your own, with probabilities."""
    labelled = await state.with_library(lambda library: state.labelling.label(library, request))
    if request.format == "csv":
        return download(csv_of(labelled), "text/csv; charset=utf-8", "labels.csv")
    return answer(labelled)
