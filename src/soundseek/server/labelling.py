"""A `LabelsRequest` -> words for sounds of the library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from soundseek.library.labelling import LabelledSound, Labeller, SoundLabel, labels_csv
from soundseek.library.regions import Embedded
from soundseek.server.items import find_file, item_id
from soundseek.server.lru import Recent
from soundseek.server.problems import ProblemError
from soundseek.server.schemas import LabelAnswer, LabelledAnswer, LabelsAnswer, LabelsRequest
from soundseek.server.warned import collected_warnings

if TYPE_CHECKING:
    from soundseek.library import Library
    from soundseek.server.schemas import Region

REMEMBERED_LISTS = 16


class Labelling:
    """Labels sounds of whatever library it is given; the vectors of lists are kept. Threads may share one."""

    def __init__(self) -> None:
        self._labellers: Recent[tuple[str, str | tuple[str, ...], bool], tuple[Labeller, tuple[str, ...]]] = (
            Recent(REMEMBERED_LISTS)
        )

    def label(self, library: Library, request: LabelsRequest) -> LabelsAnswer:
        """The labels of a request's sounds.

        Raises:
            ProblemError: "not-found" where the library has no such item.
            QueryError: A region lies behind the end of its sound.
        """
        labeller, warnings = self._labeller(library, request)
        sounds = [
            sound for item in request.items for sound in self._labelled(library, labeller, item, request)
        ]
        return LabelsAnswer(sounds=sounds, warnings=list(warnings))

    def _labelled(
        self, library: Library, labeller: Labeller, item: Region, request: LabelsRequest
    ) -> list[LabelledAnswer]:
        file = find_file(library.store, item.id)
        sound = library.store.read(file.path)
        if sound is None:
            raise ProblemError("not-found", f"the library has no item {item.id} any more; search again")
        if request.per == "segment":
            times = [(float(start_s), float(end_s)) for start_s, end_s in sound.times_s]
            vectors = sound.vectors.astype(np.float32)
        else:
            end_s = file.duration_s if item.end_s is None else min(item.end_s, file.duration_s)
            times = [(item.start_s or 0.0, end_s)]
            vectors = Embedded.of(sound).vector(item.start_s, item.end_s)[None]
        return [
            LabelledAnswer(
                id=item_id(file),
                path=file.path,
                start_s=start_s,
                end_s=end_s,
                labels=[_answered(label) for label in labels],
            )
            for (start_s, end_s), labels in zip(times, labeller.of_vectors(vectors, k=request.k), strict=True)
        ]

    def _labeller(self, library: Library, request: LabelsRequest) -> tuple[Labeller, tuple[str, ...]]:
        labels = request.labels if isinstance(request.labels, str) else tuple(request.labels)
        key = (library.store.identity.fingerprint, labels, request.as_typed)
        known = self._labellers.get(key)
        if known is None:
            with collected_warnings() as warnings:
                labeller = Labeller(library.model, labels, as_typed=request.as_typed)
                _ = labeller.vectors  # embedded now, so that its warnings are known
            told = [warning for reading in labeller.readings for warning in reading.warnings()]
            known = labeller, tuple(dict.fromkeys([*warnings, *told]))
            self._labellers.put(key, known)
        return known


def csv_of(answer: LabelsAnswer) -> bytes:
    """The labels as `soundseek label --csv` writes them; a cell that a spreadsheet would take for a formula is text."""
    fields = SoundLabel.__dataclass_fields__
    sounds = [
        LabelledSound(
            sound.path,
            sound.start_s,
            sound.end_s,
            tuple(
                SoundLabel(
                    **{**{name: getattr(each, name) for name in fields}, "label": _as_text(each.label)}
                )
                for each in sound.labels
            ),
        )
        for sound in answer.sounds
    ]
    return labels_csv(sounds).encode("utf-8", "backslashreplace")


def _as_text(label: str) -> str:
    return f"'{label}" if label.startswith(("=", "+", "-", "@")) else label


def _answered(label: SoundLabel) -> LabelAnswer:
    return LabelAnswer(
        label=label.label,
        score=round(label.score, 6),
        match=None if label.match is None else round(label.match, 4),
        cat_id=label.cat_id,
        category=label.category,
        subcategory=label.subcategory,
    )
