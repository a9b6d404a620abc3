"""Hits of two parts of a second library become one list."""

from __future__ import annotations

from pathlib import Path

import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek.library import Library, rerank
from soundseek.library.hits import Hit, Hits
from soundseek.model.model import Model


@pytest.mark.parametrize(
    ("stored", "fresh", "expected"),
    [(True, True, True), (True, False, False), (False, True, False), (None, True, True)],
)
def test_an_example_that_neither_part_has_anything_like_stays_told_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stored: bool | None,
    fresh: bool,
    expected: bool,
) -> None:
    old, new = (str(tmp_path.resolve() / name) for name in ("old.wav", "new.wav"))
    for number, path in enumerate((old, new)):
        write_tone(Path(path), frequency_hz=300.0 + 500.0 * number)

    def ranked(library: Library, search: dict[str, object], paths: list[str], k: int) -> Hits:
        if paths == [new]:
            return Hits([Hit(new, 0.0, 1.0, 0.5, ())], nothing_alike=fresh)
        return Hits([] if stored is None else [Hit(old, 0.0, 1.0, 0.6, ())], nothing_alike=bool(stored))

    monkeypatch.setattr(rerank, "_ranked", ranked)
    with Library.create(tmp_path / "second", model=Model(make_toy_model(tmp_path / "model"))) as second:
        second.index(old)
        hits = rerank.rerank([Hit(path, 0.0, 1.0, 0.5, ()) for path in (new, old)], second, {}, k=5)
    assert {hit.path for hit in hits} == {new} | ({old} if stored is not None else set())
    assert hits.nothing_alike == expected
