"""Hits in a notebook."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import write_tone
from toy_model import make_toy_model

from soundseek.errors import UsageError
from soundseek.library import Library
from soundseek.library.hits import COLUMNS, MOST_PLAYERS, Hit, Hits
from soundseek.model.registry import load_model


@pytest.fixture
def hits(tmp_path: Path) -> Hits:
    """The hits of a search over three tones, one of them named like markup."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for name, frequency_hz in {"low": 250, "high": 4000, "<b>&": 1000}.items():
        write_tone(folder / f"{name}.wav", frequency_hz=frequency_hz)
    model = load_model(make_toy_model(tmp_path / "toy"))
    with Library.open(tmp_path / "library", model=model, create=True) as library:
        library.index(folder)
        return library.search("tone", k=3)


def test_each_hit_plays_its_own_segment(hits: Hits) -> None:
    clips = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', hits._repr_html_())
    assert len(clips) == len(hits) == 3
    for hit, clip in zip(hits, clips, strict=True):
        samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(clip)))
        assert len(samples) / rate_hz == pytest.approx(hit.end_s - hit.start_s, abs=0.1)
        loudest_hz = np.abs(np.fft.rfft(samples)).argmax() * rate_hz / len(samples)
        expected = {"low.wav": 250, "high.wav": 4000}.get(Path(hit.path).name, 1000)
        assert loudest_hz == pytest.approx(expected, rel=0.02)


def test_a_name_is_text_and_never_markup(hits: Hits) -> None:
    html = hits._repr_html_()
    assert "<b>" not in html and "&lt;b&gt;&amp;.wav" in html


def test_a_sound_that_is_gone_is_told_and_the_table_comes(hits: Hits) -> None:
    for hit in hits:
        Path(hit.path).unlink()
    assert hits._repr_html_().count("cannot be read now") == 3


def test_a_long_table_has_players_for_the_first_alone() -> None:
    html = Hits([Hit("/nowhere/a.wav", 0.0, 1.0, 0.5, ())] * (MOST_PLAYERS + 5))._repr_html_()
    assert html.count("<tr>") == MOST_PLAYERS + 6 and html.count("cannot be read") == MOST_PLAYERS


def test_a_data_frame_has_a_row_for_each_hit(hits: Hits) -> None:
    frame = hits.to_pandas()
    assert list(frame.columns) == list(COLUMNS) and list(frame.index) == [1, 2, 3]
    assert list(frame["path"]) == [hit.path for hit in hits]
    assert list(frame["score"]) == [hit.score for hit in hits]
    assert frame["match"].isna().all()  # the toy model does not say
    assert Hits().to_pandas().empty


def test_without_pandas_it_says_what_to_install(hits: Hits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install .*\[notebook\]"):
        hits.to_pandas()
