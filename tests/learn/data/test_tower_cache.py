from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_learning import make_toy_trunk

from soundseek.audio.logmel import LogMel
from soundseek.errors import DataError
from soundseek.learn.data.mixing import SoundSpec
from soundseek.learn.data.tower_cache import (
    FeatureStore,
    MeanFrames,
    cache_directory,
    embed_sound,
    extract_frames,
    extract_texts,
    frame_store,
    text_key,
    text_store,
)
from soundseek.learn.models.audio.compact import CompactTrunk
from soundseek.learn.models.text.bert import BertText

torch.set_num_threads(1)


def clips(place: Path) -> list[SoundSpec]:
    return [SoundSpec("clip", (path,)) for path in sorted((place / "data" / "development").glob("*.wav"))]


def open_frames(place: Path, cache: Path) -> tuple[FeatureStore, Path]:
    weights = place / "trunk.safetensors"
    return frame_store(CompactTrunk.load(weights), "compact", weights, cache), weights


def test_rows_come_back_as_half_precision(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 2)
    with store.writer() as writer:
        writer.add("a", np.array([[1.0, 2.0], [3.0, 0.1]]))
        writer.add("b", np.array([[5.0, 6.0]]))
    assert store["b"].tolist() == [[5.0, 6.0]]
    assert store["a"].dtype == np.float16 and store["a"].shape == (2, 2)
    assert FeatureStore(tmp_path, 2)["a"][1, 1] == np.float16(0.1)


def test_missing_names_each_key_once_and_in_order(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1)
    with store.writer() as writer:
        writer.add("b", np.zeros((1, 1)))
    assert store.missing(["c", "b", "a", "c"]) == ["c", "a"]


def test_two_writers_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    first, second = FeatureStore(tmp_path, 1), FeatureStore(tmp_path, 1)
    with first.writer() as one, second.writer() as two:
        one.add("a", np.array([[1.0]]))
        two.add("b", np.array([[2.0]]))
        one.add("c", np.array([[3.0]]))
    first.refresh()
    assert [first[key].item() for key in "abc"] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("cut", range(1, 36, 5))
def test_a_writer_killed_in_the_middle_of_an_entry_loses_only_that_entry(tmp_path: Path, cut: int) -> None:
    store = FeatureStore(tmp_path, 2)
    with store.writer() as writer:
        writer.add("a", np.ones((3, 2)))
        writer.add("b", np.ones((3, 2)))
    index = next(tmp_path.glob("*.jsonl"))
    index.write_bytes(index.read_bytes()[:-cut])
    again = FeatureStore(tmp_path, 2)
    assert "a" in again
    assert ("b" in again) == (cut == 1)  # without its line's end alone, the entry is whole


def test_an_index_ahead_of_its_rows_is_not_believed(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 2)
    with store.writer() as writer:
        writer.add("a", np.ones((3, 2)))
        writer.add("b", np.ones((3, 2)))
    rows = next(tmp_path.glob("*.f16"))
    rows.write_bytes(rows.read_bytes()[:-1])
    again = FeatureStore(tmp_path, 2)
    assert "a" in again and "b" not in again


def test_the_mean_frame_is_all_that_is_kept(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 2)
    with store.writer() as writer:
        writer.add("a", np.array([[1.0, 2.0], [3.0, 6.0]]))
    assert MeanFrames(store)["a"].tolist() == [[2.0, 4.0]]


def test_the_cache_goes_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "here"))
    assert cache_directory() == tmp_path / "here"


def test_frames_are_computed_once(place: Path, tmp_path: Path) -> None:
    store, weights = open_frames(place, tmp_path)
    done: list[tuple[int, int]] = []
    keys = extract_frames(
        clips(place), store, "compact", weights, workers=0, report=lambda _, now, of: done.append((now, of))
    )
    assert len(set(keys)) == 6 and done == [(number, 6) for number in range(1, 7)]
    done.clear()
    again, _ = open_frames(place, tmp_path)
    extract_frames(clips(place), again, "compact", weights, workers=0, report=lambda *_: done.append((0, 0)))
    assert done == []


def test_a_stopped_extraction_goes_on_where_it_was(place: Path, tmp_path: Path) -> None:
    store, weights = open_frames(place, tmp_path)

    def stop(_: str, done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_frames(clips(place), store, "compact", weights, workers=0, report=stop)
    totals: list[int] = []
    again, _ = open_frames(place, tmp_path)
    extract_frames(
        clips(place), again, "compact", weights, workers=0, report=lambda _, __, total: totals.append(total)
    )
    assert totals == [2, 2]


def test_worker_processes_give_the_same_frames(place: Path, tmp_path: Path) -> None:
    here, weights = open_frames(place, tmp_path / "here")
    there, _ = open_frames(place, tmp_path / "there")
    keys = extract_frames(clips(place)[:3], here, "compact", weights, workers=0)
    extract_frames(clips(place)[:3], there, "compact", weights, workers=2)
    assert all(np.allclose(here[key], there[key], atol=1e-3) for key in keys)


def test_cached_frames_are_those_of_the_trunk_alone(place: Path, tmp_path: Path) -> None:
    store, weights = open_frames(place, tmp_path)
    sound = clips(place)[0]
    (key,) = extract_frames([sound], store, "compact", weights, workers=0)
    trunk = CompactTrunk.load(weights)
    direct = embed_sound(sound, trunk, LogMel(trunk.front_end))
    assert np.array_equal(store[key], direct)
    assert np.isfinite(store[key]).all() and store[key].std() > 0


def test_other_weights_have_another_store(place: Path, tmp_path: Path) -> None:
    other = make_toy_trunk(tmp_path / "other.safetensors", seed=1)
    first, _ = open_frames(place, tmp_path)
    second = frame_store(CompactTrunk.load(other), "compact", other, tmp_path)
    assert first.directory != second.directory


def test_what_enters_the_last_layers_has_a_store_of_its_own_and_becomes_the_frames(
    place: Path, tmp_path: Path
) -> None:
    whole, weights = open_frames(place, tmp_path)
    body, tail = CompactTrunk.load(weights).split(1)
    maps = frame_store(body, "compact", weights, tmp_path, trained_blocks=1)
    (key,) = extract_frames(clips(place)[:1], whole, "compact", weights, workers=0)
    assert maps.directory != whole.directory and key not in maps
    extract_frames(clips(place)[:1], maps, "compact", weights, trained_blocks=1, workers=0)
    assert maps.width == 8 * 4 and len(maps[key]) == len(whole[key])  # channels times bands: 16 mels / 2 / 2
    with torch.no_grad():
        frames, _ = tail(
            torch.from_numpy(maps[key].astype(np.float32))[None],
            torch.ones(1, len(maps[key]), dtype=torch.bool),
        )
    assert frames.shape[2] == whole.width == 8
    assert np.allclose(frames[0], whole[key], atol=1e-2)  # both are rounded to half precision on their way


def test_a_file_that_cannot_be_decoded_is_named(place: Path, tmp_path: Path) -> None:
    store, weights = open_frames(place, tmp_path / "cache")
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    with pytest.raises(DataError, match=r"broken\.wav"):
        extract_frames([SoundSpec("clip", (broken,))], store, "compact", weights, workers=0)


def test_a_sentences_features_do_not_depend_on_its_company(place: Path, tmp_path: Path) -> None:
    text = BertText.load(str(place / "bert"), pooling="mean", max_tokens=16)
    sentences = ["a tone", "a low hum is heard", "a hum", "a tone"]
    together = extract_texts(sentences, text_store(text, tmp_path / "a"), text)
    alone = np.concatenate(
        [extract_texts([each], text_store(text, tmp_path / "b"), text) for each in sentences]
    )
    assert together.shape == (4, 16)
    assert np.array_equal(together[0], together[3])
    assert np.allclose(together, alone, atol=1e-3)


def test_only_new_sentences_are_computed(place: Path, tmp_path: Path) -> None:
    text = BertText.load(str(place / "bert"), pooling="mean", max_tokens=16)
    store = text_store(text, tmp_path)
    extract_texts(["a tone", "a hum"], store, text)
    totals: list[int] = []
    extract_texts(["a tone", "a whistle"], store, text, report=lambda _, __, total: totals.append(total))
    assert totals == [1]
    assert text_key("a whistle") in store
