"""From files and words to unit vectors: streamed as heard whole, alone as among others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from toy_model import DIM, make_toy_model

from soundseek._vectors import unit_rows
from soundseek.audio.decode import AudioStream, open_audio
from soundseek.errors import DecodeError, ModelError, UsageError
from soundseek.model.config import TEXT_FILE, TOKENIZER_FILE, ModelConfig
from soundseek.model.model import Model, similarity

RATE = 32_000


def test_a_file_is_embedded_to_its_end_however_long(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "x.wav", np.full(RATE, 0.1), RATE)
    limits_s: list[float] = []

    def note_and_open(path: Path, *, sample_rate_hz: int, max_duration_s: float) -> AudioStream:
        limits_s.append(max_duration_s)
        return open_audio(path, sample_rate_hz=sample_rate_hz, max_duration_s=max_duration_s)

    monkeypatch.setattr("soundseek.audio.decode.open_audio", note_and_open)
    model.embed_file(tmp_path / "x.wav")
    model.embed_audio([tmp_path / "x.wav"])
    assert limits_s == [float("inf")] * 2


def test_a_frame_beyond_float16_is_an_error_of_its_file(
    model: Model, long_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        model, "_run_audio", lambda log_mel: np.full((len(log_mel) // 32 + 1, DIM), 1e5, np.float32)
    )
    with pytest.raises(DecodeError, match="no finite vector"):
        model.embed_file(long_file)


def test_a_sentence_has_the_same_vector_alone_and_among_others(model: Model) -> None:
    texts = ["a dog", "rain on a tin roof", "a cat", "höher als hoch", "word " * 200]
    together = model.embed_text(texts)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    assert together.dtype == np.float32
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(model.embed_text([text])[0], vector, atol=1e-6)
    assert model.embed_text([]).shape == (0, DIM)


def test_a_sentence_of_unknown_words_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = make_toy_model(tmp_path / "toy")
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "dog": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    tokenizer.save(str(directory / TOKENIZER_FILE))
    with caplog.at_level("WARNING", logger="soundseek"):
        vectors = Model(directory).embed_text(["dog", "a dog", "", "yeti howls"])
    assert [record.getMessage() for record in caplog.records] == [
        "the model toy knows no word of 'yeti howls': what it finds for it means nothing"
    ]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_a_long_text_is_told_once_and_not_remembered_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model(make_toy_model(tmp_path / "toy"))
    texts = [f"{number} " + "bells ring " * 40 for number in range(300)]
    with caplog.at_level("WARNING", logger="soundseek"):
        for text in (texts[0], texts[0], *texts):
            model.embed_text([text])
    assert len(caplog.records) == len(texts)
    assert len(model._warned) < 100 and texts[-1] in model._warned


def test_whole_files_get_one_unit_vector_each(model: Model, long_file: Path) -> None:
    vectors = model.embed_audio([long_file, str(long_file)])
    assert vectors.shape == (2, DIM)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert model.embed_audio([]).shape == (0, DIM)


def test_a_file_that_is_no_sound_is_named(model: Model, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("no sound at all")
    with pytest.raises(DecodeError, match=r"x\.wav"):
        model.embed_file(tmp_path / "x.wav")


def test_an_incomplete_or_damaged_model_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        Model(tmp_path)
    directory = make_toy_model(tmp_path / "toy")
    (directory / TEXT_FILE).write_bytes(b"no network")
    with pytest.raises(ModelError, match="damaged"):
        Model(directory).embed_text(["a dog"])
    (directory / TEXT_FILE).unlink()
    with pytest.raises(ModelError, match=r"has no text\.onnx"):
        Model(directory)
    (directory / "config.json").write_text('{"name": "x", "surprise": 1}')
    with pytest.raises(ModelError, match="cannot be read"):
        ModelConfig.read(directory)


def test_a_row_of_zeros_stays_zero_when_scaled() -> None:
    np.testing.assert_array_equal(
        unit_rows(np.array([[0, 0], [3, 4]], np.float32)), [[0, 0], np.float32([0.6, 0.8])]
    )


def test_one_sound_gives_one_vector_and_a_list_a_row_each(model: Model, long_file: Path) -> None:
    alone = model.embed_audio(long_file)
    assert alone.shape == (DIM,)
    np.testing.assert_array_equal(model.embed_audio([long_file, str(long_file)]), [alone, alone])


def test_a_waveform_gives_the_vector_of_its_file(model: Model, long_file: Path) -> None:
    waveform, rate_hz = soundfile.read(long_file, dtype="int16")
    expected = model.embed_audio(long_file)
    both_channels = np.stack([waveform, waveform], axis=1)
    found = model.embed_audio([(waveform, rate_hz), (both_channels / 2.0**15, rate_hz)])
    np.testing.assert_allclose(found, [expected, expected], atol=1e-3)
    np.testing.assert_array_equal(model.embed_audio((waveform, rate_hz)), found[0])


@pytest.mark.parametrize(
    ("sounds", "complaint"),
    [
        (None, "NoneType"),
        (b"x.wav", "bytes"),
        ([3], "path or"),
        ((np.zeros(9), 0), "rate"),
        ((np.zeros(9), 44.1), "rate"),
        ((np.zeros((2, 32_000)), 32_000), "channels"),
        ((np.array(["a"]), 32_000), "floats or integers"),
        ((np.zeros((1, 2, 3)), 32_000), "samples"),
    ],
)
def test_what_is_no_sound_is_refused_in_words(model: Model, sounds: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        model.embed_audio(sounds)


def test_one_text_gives_one_vector_and_what_is_no_text_is_refused(model: Model) -> None:
    np.testing.assert_array_equal(model.embed_text("a dog"), model.embed_text(["a dog"])[0])
    for wrong in (None, b"a dog", ["a dog", 3], 3):
        with pytest.raises(UsageError, match="text"):
            model.embed_text(wrong)  # type: ignore[arg-type]


def test_similarity_is_the_cosine_of_every_pair() -> None:
    words, sounds = np.float32([[1, 0], [0.6, 0.8]]), np.float32([[0, 1], [1, 0], [0.8, 0.6]])
    np.testing.assert_allclose(similarity(words, sounds), [[0, 1, 0.8], [0.8, 0.6, 0.96]], atol=1e-6)
    assert similarity(words[1], sounds[2]) == pytest.approx(0.96)
    with pytest.raises(UsageError, match="of one model"):
        similarity(words, np.zeros((1, 3), np.float32))
