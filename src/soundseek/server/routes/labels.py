"""Words for sounds."""

from __future__ import annotations

from fastapi import APIRouter, Response

from soundseek.server.answers import answer
from soundseek.server.openapi import problems
from soundseek.server.schemas import LabelsAnswer, LabelsRequest
from soundseek.server.state import StateOf

router = APIRouter(tags=["labels"])


@router.post("/labels", response_model=LabelsAnswer, responses=problems(404))
async def label_items(request: LabelsRequest, state: StateOf) -> Response:
    """Say in words what sounds are: AudioSet's names, categories of UCS, or labels of your own, with probabilities."""
    return answer(await state.with_library(lambda library: state.labelling.label(library, request)))
