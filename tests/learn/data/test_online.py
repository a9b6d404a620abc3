"""Batches of log-mels for a trunk in the training loop: the same whoever makes them, and what changes the sound."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tones import write_tone
from toy_learning import make_toy_data

from soundseek.audio.decode import read_audio
from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.errors import DataError, RecipeError, UsageError
from soundseek.learn.data import decoded_cache as decoded
from soundseek.learn.data.caption_neighbours import unique
from soundseek.learn.data.decoded_cache import OnlineFrames, open_waveforms
from soundseek.learn.data.online import OnlineBatches, OnlineConfig, random_gain
from soundseek.learn.data.pairs import (
    Batch,
    BatchConfig,
    Corpus,
    EpochBatches,
    Share,
    TextInputs,
    plan_clips,
    plan_mixtures,
)
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.recipe.keys import AudioConfig, DataConfig

torch.set_num_threads(1)
RATE_HZ = 8000
FRONT_END = FrontEndConfig(  # in decibels, so that a level is a difference
    sample_rate_hz=RATE_HZ, n_fft=256, win_length=200, hop_length=80, num_mels=16, f_max_hz=4000,
    log="db", floor=1e-10, offset=0.0, scale=1.0,
)  # fmt: skip
MIN_FRAMES = 8


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Six tones of half a second, and one of an instant."""
    data = make_toy_data(tmp_path_factory.mktemp("data"), splits=("development",))
    write_tone(data / "development" / "tick.wav", frequency_hz=900, duration_s=0.055)
    with (data / "captions_development.csv").open("a", newline="", encoding="utf-8") as file:
        file.write("tick.wav,A tick is heard.,tick plays\r\n")
    return read_split(data, "development")


@pytest.fixture(scope="module")
def waveforms(clips: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return open_waveforms([clip.path for clip in clips], RATE_HZ, tmp_path_factory.mktemp("cache"))


def corpus_of(clips: Sequence[Clip], config: DataConfig) -> Corpus:
    examples, mixtures = plan_clips(clips, config, 0), plan_mixtures(clips, config, 0)
    texts = unique([caption for each in (*examples, *mixtures) for caption in each.captions])
    return Corpus(examples, mixtures, texts, {})


def letters(texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids: the letters, so that a batch shows its sentences."""
    longest = max(map(len, texts))
    ids = torch.tensor([[ord(letter) for letter in text.ljust(longest)] for text in texts])
    return ids, torch.ones_like(ids, dtype=torch.bool)


def said(batch: Batch) -> list[str]:
    return ["".join(map(chr, row)).strip() for row in batch.sentences.tolist()]


def live(
    clips: Sequence[Clip], waveforms: Any, config: DataConfig | None = None, **options: Any
) -> OnlineBatches:
    config = config or DataConfig()
    audio = {key: options.pop(key) for key in ("crop_s", "gain_db", "mix_share") if key in options}
    corpus = corpus_of(clips, config)
    features = torch.arange(len(corpus.texts), dtype=torch.float32)[:, None].repeat(1, 2)
    text = TextInputs(features, options.pop("tokenize", letters))
    share = Share(options.pop("rank", 0), options.pop("ranks", 1))
    drawn = BatchConfig(
        corpus,
        config,
        options.pop("batch_size", 3),
        options.pop("seed", 0),
        share,
        options.pop("augment_caption", None),
    )
    online = OnlineConfig(
        drawn,
        AudioConfig(trained_blocks="all", **audio),
        waveforms,
        options.pop("front_end", FRONT_END),
        MIN_FRAMES,
    )
    return OnlineBatches(online, text, **options)


def assert_equal(first: Sequence[Batch], second: Sequence[Batch]) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        for name, a, b in zip(Batch._fields, one, other, strict=True):
            assert (a is None and b is None) or torch.equal(a, b), name  # type: ignore[arg-type]


EVERYTHING: dict[str, Any] = {
    "config": DataConfig(
        degraded_versions=1, overlays=2, sequences=2, part_s=0.3, captions_per_epoch=2, mixture_share=0.3
    ),
    "crop_s": 0.25,
    "gain_db": 6.0,
    "mix_share": 0.5,
}


def test_a_batch_holds_the_log_mels_of_its_clips_and_the_same_pairs_as_cached_frames_would(
    clips: list[Clip], waveforms: Any
) -> None:
    corpus = corpus_of(clips, DataConfig())
    log_mel = LogMel(FRONT_END)
    cached = EpochBatches(
        BatchConfig(corpus, DataConfig(), batch_size=3, seed=0),
        TextInputs(torch.arange(len(corpus.texts), dtype=torch.float32)[:, None].repeat(1, 2), letters),
        epoch=2,
        keys={sound: str(sound.parts[0]) for sound in corpus.sounds()},
        store=OnlineFrames(FRONT_END, MIN_FRAMES, waveforms),
    )
    epoch = live(clips, waveforms).for_epoch(2)
    assert len(epoch) == len(cached) == 2
    assert_equal(list(epoch), list(cached))
    batch = next(iter(epoch))
    clip = clips[int(batch.clip_ids[0])]
    assert said(batch)[0] in clip.captions
    expected = log_mel(read_audio(clip.path, sample_rate_hz=RATE_HZ))
    assert np.abs(batch.frames[0][batch.frame_mask[0]].numpy() - expected).max() < 0.1  # dB: 16 bits a sample


def test_a_clip_of_an_instant_is_continued_with_silence(clips: list[Clip], waveforms: Any) -> None:
    tick = OnlineFrames(FRONT_END, MIN_FRAMES, waveforms)[str(clips[-1].path)]
    silence = LogMel(FRONT_END)(np.zeros(RATE_HZ, np.float32))[0]
    assert tick.shape == (MIN_FRAMES, 16)
    assert np.array_equal(tick[-1], silence)
    assert not np.array_equal(tick[0], silence)


def test_an_epoch_is_a_function_of_seed_and_epoch_whatever_was_drawn_before_and_by_whom(
    clips: list[Clip], waveforms: Any
) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    alone = live(clips, waveforms, **EVERYTHING)
    first, second = list(alone.for_epoch(0)), list(alone.for_epoch(1))
    assert torch.equal(torch.get_rng_state(), state), "dropout must not depend on how batches are made"
    assert_equal(list(live(clips, waveforms, **EVERYTHING).for_epoch(1)), second)
    assert any(said(a) != said(b) for a, b in zip(first, second, strict=True))
    workers = live(clips, waveforms, workers=2, **EVERYTHING)
    assert_equal(list(workers.for_epoch(0)), first)
    assert_equal(list(workers.for_epoch(1)), second)
    other = list(live(clips, waveforms, seed=1, **EVERYTHING).for_epoch(0))
    assert any(said(a) != said(b) for a, b in zip(first, other, strict=True))


def test_the_shares_of_all_processes_are_the_batch_of_one(clips: list[Clip], waveforms: Any) -> None:
    whole = next(iter(live(clips, waveforms, batch_size=5, **EVERYTHING).for_epoch(0)))
    parts = [
        next(iter(live(clips, waveforms, batch_size=5, rank=rank, ranks=2, **EVERYTHING).for_epoch(0)))
        for rank in range(2)
    ]
    assert [len(part.clip_ids) for part in parts] == [3, 2]
    assert torch.equal(torch.cat([part.clip_ids for part in parts]), whole.clip_ids)
    assert torch.equal(torch.cat([part.caption_ids for part in parts]), whole.caption_ids)
    rows = [frames[mask] for part in parts for frames, mask in zip(part.frames, part.frame_mask, strict=True)]
    for row, frames, mask in zip(rows, whole.frames, whole.frame_mask, strict=True):
        assert torch.equal(row, frames[mask])


def test_crops_are_pieces_of_their_clips_from_anywhere(clips: list[Clip], waveforms: Any) -> None:
    loader = live(clips[:-1], waveforms, crop_s=0.2, batch_size=6)
    whole = OnlineFrames(FRONT_END, MIN_FRAMES, waveforms)
    seen = set()
    for epoch in range(4):
        batch = next(iter(loader.for_epoch(epoch)))
        assert batch.frames.shape == (6, 20, 16)  # 1600 samples, one frame every 80
        assert bool(batch.frame_mask.all())
        seen |= {round(float(frames.sum()), 3) for frames in batch.frames}
    assert len(seen) > 18, "the same pieces again and again"
    assert len(whole[str(clips[0].path)]) == 50


def test_gain_changes_levels_within_its_bounds_and_never_clips(clips: list[Clip], waveforms: Any) -> None:
    plain = next(iter(live(clips[:-1], waveforms, batch_size=6).for_epoch(0)))
    for gain_db, raised_db in ((6.0, 6.0), (60.0, 12.3)):  # the tones peak some 12 dB below full scale
        changed = next(iter(live(clips[:-1], waveforms, batch_size=6, gain_db=gain_db).for_epoch(0)))
        assert torch.equal(plain.clip_ids, changed.clip_ids)
        gains_db = changed.frames - plain.frames
        loudest = plain.frames.flatten(1).argmax(dim=1)
        gain_of_clip_db = gains_db.flatten(1).gather(1, loudest[:, None])
        assert -gain_db <= float(gain_of_clip_db.min()) < float(gain_of_clip_db.max()) <= raised_db
        assert len({round(float(gain), 3) for gain in gain_of_clip_db}) >= 3
        if gain_db == 6.0:
            assert float((gains_db - gain_of_clip_db[:, None]).abs().max()) < 0.01, "one gain a clip"


def test_a_mixture_sounds_like_two_clips_and_says_so(clips: list[Clip], waveforms: Any) -> None:
    loader = live(clips, waveforms, mix_share=1.0, batch_size=7)
    batch = next(iter(loader.for_epoch(0)))
    assert len(set(batch.clip_ids.tolist())) == 7
    assert min(batch.clip_ids.tolist()) >= len(clips)
    names = [{caption.rstrip(".").lower() for caption in clip.captions} for clip in clips]
    for sentence in said(batch):
        parts = [n for n, captions in enumerate(names) if any(c in sentence.lower() for c in captions)]
        assert len(parts) >= 2, sentence
    assert min(batch.caption_ids.tolist()) >= 14  # beyond the corpus' sentences
    assert bool((batch.meanings != batch.meanings.round()).any()), "means of two features"
    twice = DataConfig(captions_per_epoch=2)
    some = live(clips, waveforms, config=twice, mix_share=0.4, batch_size=14)
    mixed = int((next(iter(some.for_epoch(0))).clip_ids >= len(clips)).sum())
    assert 0 < mixed < 14


def test_the_crop_of_a_mixture_keeps_something_of_both(clips: list[Clip], waveforms: Any) -> None:
    batch = next(iter(live(clips[:-1], waveforms, mix_share=1.0, crop_s=0.3, batch_size=6).for_epoch(0)))
    assert batch.frames.shape[1] <= 31


def test_other_words_are_drawn_for_each_pair(clips: list[Clip], waveforms: Any) -> None:
    def number(sentence: str, generator: np.random.Generator) -> str:
        return f"{sentence} {generator.integers(10**6)}"

    batch = next(iter(live(clips, waveforms, augment_caption=number, batch_size=7).for_epoch(0)))
    assert len({sentence.split()[-1] for sentence in said(batch)}) == 7
    plain = next(iter(live(clips, waveforms, batch_size=7).for_epoch(0)))
    assert torch.equal(batch.caption_ids, plain.caption_ids), "it still means the same"


def test_what_cannot_work_is_refused(clips: list[Clip], waveforms: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"audio.mix_share joins captions anew.*text.trained_layers"):
        live(clips, waveforms, mix_share=0.5, tokenize=None)
    with pytest.raises(RecipeError, match=r"text.augment changes captions"):
        live(clips, waveforms, augment_caption=lambda text, generator: text, tokenize=None)
    with pytest.raises(RecipeError, match=r"batches of 3 pairs cannot be shared by 4 processes"):
        live(clips, waveforms, ranks=4)
    with pytest.raises(DataError, match=r"the waveforms are at 8000 Hz, but the trunk hears 32000 Hz"):
        live(clips, waveforms, front_end=FrontEndConfig())
    with pytest.raises(DataError, match=r"1 sounds of the corpus are not among the waveforms, .*tick.wav"):
        live(clips, open_waveforms([clip.path for clip in clips[:-1]], RATE_HZ, tmp_path))


def test_a_frozen_text_tower_gives_its_features(clips: list[Clip], waveforms: Any) -> None:
    batch = next(iter(live(clips, waveforms, tokenize=None).for_epoch(0)))
    assert batch.token_mask is None
    assert torch.equal(batch.sentences[:, 0], batch.caption_ids.float())


def test_files_are_decoded_once_and_anew_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for number, path in enumerate(paths):
        write_tone(path, frequency_hz=200 + number, duration_s=0.1)
    seen: list[tuple[str, int, int]] = []
    first = open_waveforms([*paths, paths[0]], RATE_HZ, tmp_path / "cache", report=lambda *x: seen.append(x))
    assert seen == [("decoded sounds", n, 3) for n in (1, 2, 3)]
    assert first.sample_rate_hz == RATE_HZ
    expected = read_audio(paths[1], sample_rate_hz=RATE_HZ)
    assert first.num_samples(paths[1]) == len(expected)
    assert np.abs(first[paths[1]] - expected).max() <= 1 / 32768
    assert np.array_equal(first.piece(paths[1], 10, 30), first[paths[1]][10:30])
    copy = pickle.dumps(first)
    assert len(copy) < 2000, "the samples must not travel to the workers"
    assert np.array_equal(pickle.loads(copy)[paths[2]], first[paths[2]])
    monkeypatch.setattr(decoded, "_decode", lambda *args: pytest.fail("decoded again"))
    open_waveforms(paths, RATE_HZ, tmp_path / "cache")
    monkeypatch.undo()
    write_tone(paths[0], frequency_hz=999, duration_s=0.2)
    assert open_waveforms(paths, RATE_HZ, tmp_path / "cache").num_samples(paths[0]) == 1600


def test_an_undecodable_file_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    write_tone(tmp_path / "good.wav", frequency_hz=440, duration_s=0.1)
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    for paths in ([tmp_path / "good.wav", tmp_path / "bad.wav"], [tmp_path / "bad.wav"]):
        with pytest.raises(DataError, match=r"bad.wav"):
            open_waveforms(paths, RATE_HZ, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "waveforms").iterdir())
    with pytest.raises(DataError, match="the data set is empty"):
        open_waveforms([], RATE_HZ, tmp_path / "cache")


def test_gain_is_its_own_for_every_clip_and_inside_its_bounds() -> None:
    quiet = torch.full((500, 8), 0.01)
    ratio_db = 20 * torch.log10(
        random_gain(quiet, torch.Generator().manual_seed(0), low_db=-20, high_db=6)[:, 0] / 0.01
    )
    assert -20.01 <= float(ratio_db.min()) < -18
    assert 5 < float(ratio_db.max()) <= 6.01
    assert len(ratio_db.unique()) > 400


def test_gain_never_clips_and_never_makes_silence_sound() -> None:
    loud = torch.tensor([[0.9, -0.9], [0.0, 0.0], [1.5, -0.5]])
    for seed in range(20):
        out = random_gain(loud, torch.Generator().manual_seed(seed), low_db=3, high_db=20)
        torch.testing.assert_close(out[0], torch.tensor([1.0, -1.0]))
        assert torch.equal(out[1:], loud[1:])


def test_gain_with_swapped_bounds_is_named() -> None:
    with pytest.raises(UsageError, match="low_db 3"):
        random_gain(torch.zeros(1, 2), torch.Generator().manual_seed(0), low_db=3, high_db=0)
