"""A `LabelsRequest` -> words for sounds of the library."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from soundseek.library.labelling import LabelledSound, Labeller, SoundLabel, labels_csv
from soundseek.library.regions import Embedded
from soundseek.server.collect_warnings import collected_warnings
from soundseek.server.items import find_file, item_id
from soundseek.server.lru import Recent
from soundseek.server.problems import ProblemError
from soundseek.server.schemas import LabelAnswer, LabelledAnswer, LabelsAnswer, LabelsRequest, MapLabels

if TYPE_CHECKING:
    from soundseek.library import Library
    from soundseek.server.schemas import Region
    from soundseek.server.sound_map import MadeMap

REMEMBERED_LISTS = 16
REMEMBERED_MAPS = 2
_BLOCK = 4_096  # rows that are compared with all labels at once


class Labelling:
    """Labels sounds of whatever library it is given; the vectors of lists are kept. Threads may share one."""

    def __init__(self) -> None:
        self._labellers: Recent[tuple[str, str | tuple[str, ...], bool], tuple[Labeller, tuple[str, ...]]] = (
            Recent(REMEMBERED_LISTS)
        )
        self._maps: Recent[tuple[str, tuple[str, ...]], MapLabels] = Recent(REMEMBERED_MAPS)

    def label(self, library: Library, request: LabelsRequest) -> LabelsAnswer:
        """The labels of a request's sounds.

        Raises:
            ProblemError: "not-found" where the library has no such item.
            QueryError: A region lies behind the end of its sound.
        """
        chosen = request.labels if isinstance(request.labels, str) else tuple(request.labels)
        labeller, warnings = self._labeller(library, chosen, as_typed=request.as_typed)
        sounds = [
            sound for item in request.items for sound in self._labelled(library, labeller, item, request)
        ]
        return LabelsAnswer(sounds=sounds, warnings=list(warnings))

    def of_map(self, library: Library, made: MadeMap) -> MapLabels:
        """The category of UCS that fits each point of a map best, the most frequent first; kept for the last maps."""
        key = (library.store.identity.fingerprint, made.ids)
        known = self._maps.get(key)
        if known is None:
            labeller, _ = self._labeller(library, "ucs", as_typed=False)
            files, means = library.store.file_means()
            best = [
                int(number)
                for at in range(0, len(means), _BLOCK)
                for number in (means[at : at + _BLOCK] @ labeller.vectors.T).argmax(axis=1)
            ]
            candidates = labeller.labels.candidates
            category_of = {
                item_id(file): candidates[number].category or candidates[number].label
                for file, number in zip(files, best, strict=True)
            }
            found = [category_of.get(id) for id in made.ids]
            names = [name for name, _ in Counter(each for each in found if each is not None).most_common()]
            places = {name: place for place, name in enumerate(names)}
            known = MapLabels(
                labels=names, label_of=[None if each is None else places[each] for each in found]
            )
            self._maps.put(key, known)
        return known

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

    def _labeller(
        self, library: Library, labels: str | tuple[str, ...], *, as_typed: bool
    ) -> tuple[Labeller, tuple[str, ...]]:
        key = (library.store.identity.fingerprint, labels, as_typed)
        known = self._labellers.get(key)
        if known is None:
            with collected_warnings() as warnings:
                labeller = Labeller(library.model, labels, as_typed=as_typed)
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
