from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tones import write_tone

from soundseek.errors import RecipeError
from soundseek.learn.data.caption_neighbours import tags_heard, unique
from soundseek.learn.data.mixing import SoundSpec
from soundseek.learn.data.pairs import (
    BatchConfig,
    Corpus,
    EpochBatches,
    Example,
    TextInputs,
    pad,
    plan_altered,
    plan_clips,
    plan_mixtures,
    plan_scenes,
)
from soundseek.learn.datasets.layout import Clip
from soundseek.learn.models.audio.tags import AMPLITUDE_GAIN, WithTags, read_class_names
from soundseek.learn.recipe.keys import (
    AlteredConfig,
    DataConfig,
    LexiconConfig,
    ListenerCaptions,
    TagCaptions,
)


def clips(count: int = 5) -> list[Clip]:
    return [Clip(Path(f"{n}.wav"), (f"sound {n}", f"noise {n}", f"thing {n}")) for n in range(count)]


def corpus(config: DataConfig, substitutes: dict[int, tuple[int, ...]] | None = None) -> Corpus:
    examples, mixtures = plan_clips(clips(), config, 0), plan_mixtures(clips(), config, 0)
    texts = unique([caption for each in (*examples, *mixtures) for caption in each.captions])
    return Corpus(examples, mixtures, texts, substitutes or {})


class Ramp:
    """Frames whose every number is the sound's place in the list; clips of different lengths."""

    width = 2

    def __getitem__(self, key: str) -> Any:
        return np.full((1 + int(key) % 3, 2), int(key), np.float16)


class Numbered:
    """Six frames of each sound, numbered; a single one of every fifth."""

    width = 1

    def __getitem__(self, key: str) -> Any:
        return np.arange(1 if int(key) % 5 == 0 else 6, dtype=np.float16)[:, None]


def batches(
    config: DataConfig,
    *,
    epoch: int = 0,
    batch_size: int = 4,
    store: Any = None,
    only_means: bool = False,
    **options: Any,
) -> EpochBatches:
    whole = corpus(config)
    keys = {sound: str(number) for number, sound in enumerate(whole.sounds())}
    features = torch.arange(len(whole.texts), dtype=torch.float32)[:, None].repeat(1, 3)
    text = TextInputs(features, options.pop("tokenize", None))
    drawn = BatchConfig(whole, config, batch_size, **{"seed": 0, **options})
    return EpochBatches(drawn, text, epoch, keys=keys, store=store or Ramp(), only_means=only_means)


def test_every_clip_comes_as_it_is_and_in_its_degraded_versions() -> None:
    examples = plan_clips(clips(), DataConfig(degraded_versions=2), 0)
    assert [each.sounds[0] for each in examples] == [SoundSpec("clip", (Path(f"{n}.wav"),)) for n in range(5)]
    degraded = [sound for each in examples for sound in each.sounds[1:]]
    assert len({sound.seed for sound in degraded}) == 10 and all(sound.degraded for sound in degraded)


def test_mixtures_join_two_different_clips_and_their_captions() -> None:
    mixtures = plan_mixtures(clips(), DataConfig(overlays=4, sequences=3, joined_captions=2, part_s=3.0), 0)
    assert Counter(each.sounds[0].kind for each in mixtures) == {"overlay": 4, "sequence": 3}
    for each in mixtures:
        first, second = (path.stem for path in each.sounds[0].parts)
        assert first != second and each.sounds[0].part_s == 3.0
        assert all(first in caption and second in caption for caption in each.captions)


def test_a_clip_is_not_mixed_with_its_like() -> None:
    like = [Clip(Path(f"{n}.wav"), ("rain",)) for n in range(3)] + [Clip(Path("dog.wav"), ("a dog",))]
    for each in plan_mixtures(like, DataConfig(overlays=20), 0):
        assert Path("dog.wav") in each.sounds[0].parts


def test_plans_follow_the_seed() -> None:
    config = DataConfig(overlays=3, degraded_versions=1)
    assert plan_mixtures(clips(), config, 1) == plan_mixtures(clips(), config, 1)
    assert plan_mixtures(clips(), config, 1) != plan_mixtures(clips(), config, 2)
    assert plan_clips(clips(), config, 1) != plan_clips(clips(), config, 2)


def test_an_epoch_shows_every_clip_with_different_captions() -> None:
    pairs = corpus(DataConfig()).draw(DataConfig(captions_per_epoch=3), seed=0, epoch=0)
    assert Counter(pairs.examples.tolist()) == dict.fromkeys(range(5), 3)
    assert len(set(pairs.texts.tolist())) == 15


def test_mixtures_have_their_share_and_none_repeats_before_all_were_drawn() -> None:
    config = DataConfig(overlays=4, captions_per_epoch=2, mixture_share=0.4)
    pairs = corpus(config).draw(config, seed=0, epoch=0)
    assert sorted(number for number in pairs.examples.tolist() if number >= 5) == [5, 6, 7, 8]


def test_an_epoch_is_a_function_of_seed_and_number() -> None:
    config = DataConfig(overlays=4, captions_per_epoch=2, degraded_versions=2)
    whole = corpus(config)

    def drawn(seed: int, epoch: int) -> list[list[int]]:
        pairs = whole.draw(config, seed=seed, epoch=epoch)
        return [pairs.examples.tolist(), pairs.versions.tolist(), pairs.texts.tolist()]

    assert drawn(0, 3) == drawn(0, 3)
    assert drawn(0, 3) != drawn(0, 4) and drawn(0, 3) != drawn(1, 3)


@pytest.mark.parametrize(("share", "expected"), [(0.0, {0}), (1.0, {1, 2})])
def test_degraded_versions_have_their_share(share: float, expected: set[int]) -> None:
    config = DataConfig(degraded_versions=2, degraded_share=share, captions_per_epoch=10)
    assert set(corpus(config).draw(config, seed=0, epoch=0).versions.tolist()) == expected


def test_listeners_replace_their_share_of_the_captions_that_have_a_substitute() -> None:
    config = DataConfig(
        captions_per_epoch=300, listener_captions=ListenerCaptions(path=Path("unread.csv"), share=0.5)
    )
    texts = corpus(config, {0: (100, 101)}).draw(config, seed=0, epoch=0).texts
    count = Counter(texts.tolist())
    replaced = count[100] + count[101]
    assert replaced + count[0] == 100  # caption 0 is one of clip 0's three
    assert 35 <= replaced <= 65 and min(count[100], count[101]) > 5
    assert sum(count.values()) - replaced == 1500 - replaced and set(count) == {*range(15), 100, 101}


def test_batches_hold_frames_masks_words_and_ids_that_belong_together() -> None:
    (batch,) = batches(DataConfig(), batch_size=5)
    assert batch.frames.shape == (5, 3, 2) and batch.sentences.shape == (5, 3) and batch.token_mask is None
    for row in range(5):
        number = int(batch.clip_ids[row])
        assert int(batch.frame_mask[row].sum()) == 1 + number % 3
        assert torch.all(batch.frames[row][batch.frame_mask[row]] == number)
        assert torch.all(batch.frames[row][~batch.frame_mask[row]] == 0)
        assert (
            int(batch.sentences[row, 0]) == int(batch.caption_ids[row])
            and int(batch.caption_ids[row]) // 3 == number
        )


def test_some_of_a_sounds_frames_are_drawn_anew_each_time_in_their_order() -> None:
    config = DataConfig(captions_per_epoch=3, frames_per_sound=2)

    def heard(epoch: int, seed: int = 0) -> list[tuple[float, ...]]:
        (batch,) = batches(config, epoch=epoch, batch_size=15, store=Numbered(), seed=seed)
        return [
            tuple(row[mask, 0].tolist()) for row, mask in zip(batch.frames, batch.frame_mask, strict=True)
        ]

    first = heard(0)
    assert first == heard(0) and first != heard(1) and first != heard(0, seed=1)
    long = [each for each in first if len(each) > 1]
    assert first.count((0.0,)) == 3 and len(long) == 12  # of a sound that is shorter, all
    assert all(len(each) == 2 and each[0] < each[1] for each in long) and len(set(long)) > 4
    (means,) = batches(config, batch_size=15, store=Numbered(), only_means=True)
    assert means.frames[:, 0, 0].tolist() == [float(np.mean(each)) for each in first]


def test_a_trained_tower_gets_tokens_instead_of_features() -> None:
    def tokenize(texts: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor([[int(text.split()[-1])] for text in texts]), torch.ones(
            len(texts), 1, dtype=torch.bool
        )

    for batch in batches(DataConfig(), tokenize=tokenize):
        assert torch.equal(batch.sentences[:, 0], batch.clip_ids)
        assert batch.token_mask is not None and batch.meanings.shape == (4, 3)


def test_every_sentence_of_an_epoch_is_changed_by_draws_of_its_own() -> None:
    draws: list[float] = []

    def note(sentence: str, generator: np.random.Generator) -> str:
        draws.append(generator.random())
        return sentence

    def tokenize(sentences: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(sentences), 1, dtype=torch.int64), torch.ones(
            len(sentences), 1, dtype=torch.bool
        )

    for epoch in (0, 1, 0):
        list(batches(DataConfig(captions_per_epoch=2), epoch=epoch, tokenize=tokenize, augment_caption=note))
    first, second, again = draws[:8], draws[8:16], draws[16:]
    assert len(set(first + second)) == 16 and again == first


def test_a_rest_smaller_than_a_batch_is_dropped_unless_it_is_all() -> None:
    assert [len(batch.clip_ids) for batch in batches(DataConfig(captions_per_epoch=2))] == [4, 4]
    assert [len(batch.clip_ids) for batch in batches(DataConfig(), batch_size=100)] == [5]


def test_padding_is_marked() -> None:
    frames, frame_mask = pad([np.ones((1, 2), np.float16), np.ones((3, 2), np.float16)])
    assert frame_mask.tolist() == [[True, False, False], [True, True, True]]
    assert frames.sum().item() == 8 and frames.dtype == torch.float32


def test_a_single_caption_is_repeated_when_more_are_wanted() -> None:
    whole = Corpus([Example((SoundSpec("clip", (Path("a.wav"),)),), ("a",))], [], {"a": 0}, {})
    pairs = whole.draw(DataConfig(captions_per_epoch=3), seed=0, epoch=0)
    assert pairs.texts.tolist() == [0, 0, 0]


def test_names_of_tags_replace_their_share_of_the_captions_of_sounds_that_have_any() -> None:
    whole = replace(corpus(DataConfig()), tagged={0: (7, 8), 1: ()})
    for share, named in ((0.0, 0), (1.0, 3)):
        config = DataConfig(captions_per_epoch=3, tag_captions=TagCaptions(share=share))
        pairs = whole.draw(config, seed=0, epoch=0)
        own = {whole.texts[caption] for caption in whole.clips[0].captions}
        texts = pairs.texts[pairs.examples == 0]
        assert sum(text in (7, 8) and text not in own for text in texts) == named
        others = whole.draw(DataConfig(captions_per_epoch=3), seed=0, epoch=0)
        assert np.array_equal(pairs.texts[pairs.examples != 0], others.texts[others.examples != 0])


def test_a_tag_is_heard_where_its_mean_probability_is_high() -> None:
    names = read_class_names()
    sentences = [
        text for name in names for text in (name.lower(), f"a {name.lower()}", f"The sound of {name.lower()}")
    ]
    whole = corpus(DataConfig())
    whole = replace(whole, texts=unique([*whole.texts, *sentences]))
    keys = {sound: str(number) for number, sound in enumerate(whole.sounds())}

    class Tagged:
        width = 4 + len(names)

        def __getitem__(self, key: str) -> Any:
            frames = np.zeros((2, self.width), np.float16)
            frames[:, 4 + int(key)] = AMPLITUDE_GAIN * np.sqrt(
                [0.2, 0.7]
            )  # of the tag with the clip's own number
            return frames

    trunk = WithTags(FakeTagger(), amplitudes=True)
    heard = tags_heard(whole, keys, Tagged(), trunk, 0.4)
    assert [len(heard[number]) for number in range(5)] == [3] * 5
    texts = list(whole.texts)
    assert [texts[number] for number in heard[1]] == sentences[3:6]
    assert not any(tags_heard(whole, keys, Tagged(), trunk, 0.45).values())  # (root .2 + root .7)^2 / 4 = .41
    with pytest.raises(RecipeError, match="gives none"):
        tags_heard(whole, keys, Tagged(), object(), 0.4)


class FakeTagger:
    """Enough of a tagger to be wrapped."""

    front_end, width, frame_hop, min_frames = None, 4, 32, 1

    def logits(self, frames: Any, mask: Any) -> Any:
        raise AssertionError("the frames hold the tags already")


@pytest.fixture
def tones(tmp_path: Path) -> list[Clip]:
    """Three short clips, and one that is long enough for a background."""
    for number, duration_s in enumerate((0.5, 0.6, 0.7, 6.0)):
        write_tone(tmp_path / f"{number}.wav", frequency_hz=440, duration_s=duration_s)
    return [Clip(tmp_path / f"{n}.wav", (f"a sound {n}", f"noise {n}")) for n in range(4)]


def altered_corpus(tones: list[Clip], config: DataConfig) -> Corpus:
    examples, altered = plan_clips(tones, config, 0), plan_altered(tones, config, 0)
    texts = unique([said for each in examples for said in each.captions])
    texts = unique([*texts, *(said for each in altered for said in (*each.captions, *each.contrasts))])
    return Corpus(examples, (), texts, {}, altered=altered)


def test_altered_clips_have_all_manners_alike_and_words_for_them(tones: list[Clip]) -> None:
    altered = plan_altered(tones, DataConfig(altered=AlteredConfig(copies=60)), 0)
    manners = Counter(each.sounds[0].manner for each in altered)
    assert len(manners) == 10 and max(manners.values()) - min(manners.values()) <= 2
    for each in altered:
        number = each.sounds[0].parts[0].stem
        assert all(number in said and said not in tones[int(number)].captions for said in each.captions)
    assert plan_altered(tones, DataConfig(), 0) == []


def test_an_altered_clip_is_followed_by_the_clip_as_it_is(tones: list[Clip]) -> None:
    config = DataConfig(captions_per_epoch=2, altered=AlteredConfig(copies=40, share=1.0))
    whole = altered_corpus(tones, config)
    pairs = whole.draw(config, seed=0, epoch=0)
    places = np.flatnonzero(pairs.examples >= 4)
    assert (
        len(places) == 8 and len(pairs.examples) == 24
    )  # as many as the clips' captions, and as many clips beside
    for place in places:
        assert pairs.says_how[place] and pairs.examples[place + 1] == whole.origins[pairs.examples[place]]
    assert Counter(pairs.examples[~np.isin(np.arange(24), [*places, *(places + 1)])]) == dict.fromkeys(
        range(4), 2
    )


def test_a_batch_says_which_sounds_stem_from_one_clip(tones: list[Clip]) -> None:
    config = DataConfig(altered=AlteredConfig(copies=40, share=2.0))
    whole = altered_corpus(tones, config)
    keys = {sound: str(number) for number, sound in enumerate(whole.sounds())}
    text = TextInputs(torch.zeros(len(whole.texts), 2))
    drawn = BatchConfig(whole, config, batch_size=99, seed=0)
    batch = next(iter(EpochBatches(drawn, text, 0, keys=keys, store=Ramp())))
    assert batch.origin_ids is not None and batch.says_how is not None
    assert int(batch.origin_ids.max()) <= 3 < int(batch.clip_ids.max())
    assert batch.says_how[batch.clip_ids > 3].all()


def test_a_scene_has_a_long_background_and_captions_of_all_its_parts(tones: list[Clip]) -> None:
    scenes = plan_scenes(tones, DataConfig(scenes=12), 0)
    assert {len(each.sounds[0].parts) for each in scenes} == {2, 3}
    for each in scenes:
        assert each.sounds[0].kind == "scene" and each.sounds[0].parts[0].stem == "3"
        assert all(part.stem in said for part in each.sounds[0].parts for said in each.captions)


def test_weights_say_how_often_a_clip_is_drawn() -> None:
    config = DataConfig(captions_per_epoch=2)
    whole = replace(corpus(config), weights=np.array([0.0, 0.25, 1.0, 1.0, 2.75]))
    drawn = Counter(
        int(number) for epoch in range(40) for number in whole.draw(config, seed=0, epoch=epoch).examples
    )
    assert drawn[0] == 0 and drawn[2] == drawn[3] == 80
    assert 10 <= drawn[1] <= 30 and 200 <= drawn[4] <= 240


def test_terms_replace_their_share_of_the_captions_that_mean_the_same() -> None:
    config = DataConfig(lexicon=LexiconConfig(share=1.0))
    whole = corpus(config)
    term = len(whole.texts)
    jargon = {
        whole.texts["sound 0"]: (term,),
        whole.texts["noise 0"]: (term,),
        whole.texts["thing 0"]: (term,),
    }
    pairs = replace(whole, jargon=jargon).draw(config, seed=0, epoch=0)
    assert (pairs.texts[pairs.examples == 0] == term).all() and (pairs.texts[pairs.examples > 0] < term).all()
