"""Distillation at toy size: the loss falls, two processes agree, an interrupted run goes on."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile
import torch
from quick_processes import start_together
from safetensors.torch import load_file, save_file

from soundseek._files import locked
from soundseek.audio.logmel import LogMel
from soundseek.errors import ModelError, StorageError, UsageError
from soundseek.learn.data.decoded_cache import WaveformCache
from soundseek.learn.distill import CHECKPOINT, METRICS, TRUNK, DistillConfig, distill
from soundseek.learn.distill.mixtures import MelDamage, draw_batch
from soundseek.learn.distill.networks import (
    Heads,
    Student,
    Targets,
    Teacher,
    Yardstick,
    distillation_losses,
    learning_rate_factor,
    load_heads,
    load_teacher,
    mean_average_precision,
    read_compact_trunk,
)
from soundseek.learn.distill.run import find_device, seconds
from soundseek.learn.distill.tensor_mixtures import TensorLogMel
from soundseek.learn.models.audio.compact import (
    BlocksConfig,
    CompactConfig,
    CompactTrunk,
    TemporalConfig,
)
from soundseek.learn.models.audio.compact_layers import InvertedResidual, TagsConfig
from soundseek.learn.models.audio.efficientat import EfficientATTrunk
from soundseek.learn.models.audio.shrink import repair, shrink

ROOT = Path(__file__).parents[3]
ONE_STEP = 1e-9  # hours: a run ends with the step in which they are spent
TINY = CompactConfig(
    stem_width=4,
    width=16,
    stages=tuple(BlocksConfig(width=8, expansion=1, kernel=3, stride=2, blocks=1) for _ in range(3)),
    tags=TagsConfig(hidden=8),
)


def test_students_are_as_large_as_the_config_says() -> None:
    sizes = {}
    for name, config in (("small", CompactConfig()), ("grown", DistillConfig().trunk)):
        trunk = CompactTrunk(config)
        tagger = sum(each.numel() for each in trunk.tags.parameters()) if trunk.tags else 0
        sizes[name] = sum(each.numel() for each in trunk.parameters()) - tagger, tagger
    assert sizes == {"small": (884_048, 0), "grown": (3_650_704, 533_007)}
    told = (ROOT / "docs" / "distillation.md").read_text(encoding="utf-8")
    assert f"{sizes['small'][0]:,}" in str(CompactConfig.__doc__)
    assert all(f"{size:,}" in told for size in sizes["grown"])


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_file(EfficientATTrunk().state_dict(), file)
    return file


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(3):
        tone = np.sin(np.arange(64_000) * 2 * np.pi * 300 * (number + 1) / 32_000) * 0.3
        soundfile.write(folder / f"{number}.wav", tone, 32_000)
    WaveformCache.build(sorted(folder.glob("*.wav")), folder / "cache", sample_rate_hz=32_000)
    return folder / "cache"


def test_a_student_that_hears_one_batch_again_and_again_learns_it(teacher_file: Path, clips: Path) -> None:
    torch.manual_seed(0)
    # a random teacher's tags are all near one half
    config = DistillConfig(trunk=TINY, tags_weight=0.0, amplitudes_weight=0.0)
    student = Student(CompactTrunk(TINY), 384)
    teacher = Teacher(EfficientATTrunk.load(teacher_file)).eval()
    log_mel = LogMel(TINY.front_end)
    batch = draw_batch(
        WaveformCache(clips), log_mel, MelDamage(TINY.front_end), 12.0, np.random.default_rng(0)
    )
    teacher.standardise([batch.clean])
    targets = teacher(batch.clean)
    optimizer = torch.optim.Adam(student.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = sum(distillation_losses(student(batch.damaged), targets, teacher, config).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_teacher_with_folded_norms_says_what_the_teacher_says(teacher_file: Path) -> None:
    trunk = EfficientATTrunk.load(teacher_file)
    teacher = Teacher(trunk).eval()
    log_mel = torch.randn(2, 96, 128)
    with torch.no_grad():
        frames, _ = trunk(log_mel)
        found = teacher(log_mel)
    torch.testing.assert_close(found.frames, frames, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.logits, trunk.logits(frames), atol=1e-4, rtol=1e-3)


def test_the_learning_rate_warms_up_holds_and_ends_at_nothing() -> None:
    config = DistillConfig(warmup_steps=10, rate_held=0.4)
    assert learning_rate_factor(0, 0.0, config) == pytest.approx(0.1)
    assert learning_rate_factor(500, 0.4, config) == 1.0
    assert learning_rate_factor(500, 0.7, config) == pytest.approx(0.5)
    assert learning_rate_factor(500, 1.0, config) == pytest.approx(0.0, abs=1e-12)


def test_two_processes_distil_and_an_ended_run_goes_on(
    teacher_file: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = DistillConfig(hours=ONE_STEP, processes=2, batch_s=6.0, trunk=TINY)
    trunk = distill(teacher_file, clips, {"left_out": clips}, tmp_path, short)
    first = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert first["step"] == 1 and CompactTrunk.load(trunk).config == TINY
    longer = short.model_copy(update={"hours": (first["elapsed_s"] + 1e-3) / 3600})
    monkeypatch.setattr("soundseek.learn.distill.run.spawn", start_together)
    distill(teacher_file, clips, {"left_out": clips}, tmp_path, longer)
    second = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert second["step"] == 2
    torch.testing.assert_close(second["teacher_mean"], first["teacher_mean"])
    rows = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [row["step"] for row in rows] == [first["step"], second["step"]]
    assert all(row["left_out"] == row["trained"] for row in rows)  # the same three clips
    assert all(-1 <= row["left_out"]["cosine"] <= 1 for row in rows)
    assert set(rows[0]["loss"]) == {"frames", "pooled", "tags", "amplitudes"}
    assert rows[0]["hours_of_sound"] == round(6 / 3600, 3) and rows[1]["hours_heard"] > 0


NOTHING = dict.fromkeys(("frames_weight", "pooled_weight", "tags_weight", "amplitudes_weight"), 0.0)


def heads_run(folder: Path, weight: torch.Tensor) -> Path:
    folder.mkdir()
    state = {
        "audio_projector.weight": weight,
        "audio_projector.bias": torch.zeros(len(weight)),
        "audio_mean": torch.zeros(weight.shape[1]),
        "audio_scale": torch.full((weight.shape[1],), 2.0),
    }
    save_file(state, folder / "model.safetensors")
    return folder


def test_what_no_sentence_can_ask_for_costs_nothing_in_the_heads_space(
    teacher_file: Path, tmp_path: Path
) -> None:
    heads = load_heads(
        heads_run(tmp_path / "heads", torch.eye(384)[:2]), 384
    )  # two of the teacher's directions
    teacher = Teacher(EfficientATTrunk.load(teacher_file), heads)
    config = DistillConfig(**NOTHING, retrieval_weight=3.0)

    def pooled(*values: float) -> Targets:
        row = torch.zeros(1, 384)
        row[0, : len(values)] = torch.tensor(values)
        return Targets(torch.zeros(1, 1, 384), row, torch.zeros(1, 527), torch.zeros(1, 527))

    def error(student: Targets, wanted: Targets) -> float:
        return distillation_losses(student, wanted, teacher, config)["retrieval"].item()

    assert error(pooled(1, 0, 7), pooled(3, 0, -9)) == pytest.approx(0, abs=1e-6)
    assert error(pooled(0, 1), pooled(1, 0)) == pytest.approx(3)


def test_heads_on_features_and_tags_see_both(tmp_path: Path) -> None:
    weight = torch.zeros(2, 384 + 527)
    weight[0, 0] = weight[1, 384] = 1  # the first feature, the first tag
    heads = load_heads(heads_run(tmp_path / "heads", weight), 384)
    feature, tag = torch.zeros(1, 384), torch.zeros(1, 527)
    feature[0, 0], tag[0, 0] = 4, 3
    torch.testing.assert_close(heads(feature, tag), torch.tensor([[0.8, 0.6]]))


def test_a_student_that_ranks_sentences_as_its_teacher_does_has_no_error() -> None:
    projector = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        projector.weight.copy_(torch.eye(2))
    tagger = Teacher(EfficientATTrunk(), Heads(projector, torch.eye(2)))
    tagger.mean, tagger.deviation = torch.zeros(2), torch.ones(2)
    config = DistillConfig(**NOTHING, sentences_weight=1.0)

    def clip(x: float, y: float) -> Targets:
        return Targets(torch.zeros(1, 1, 2), torch.tensor([[x, y]]), torch.zeros(1, 527), torch.zeros(1, 527))

    same = distillation_losses(clip(1, 0), clip(5, 0), tagger, config)["sentences"]
    assert same.item() == pytest.approx(0, abs=1e-6)
    # The teacher is sure of the first sentence, the student of the second: ln(e^(1/0.07)) between them.
    other = distillation_losses(clip(0, 1), clip(1, 0), tagger, config)["sentences"]
    assert other.item() == pytest.approx(1 / 0.07, rel=1e-3)


def test_a_run_grows_from_a_smaller_one(teacher_file: Path, clips: Path, tmp_path: Path) -> None:
    small = DistillConfig(hours=ONE_STEP, processes=1, batch_s=6.0, trunk=TINY)
    distill(teacher_file, clips, {}, tmp_path / "small", small)
    heads = heads_run(tmp_path / "heads", torch.randn(4, 384))
    larger = DistillConfig(
        hours=ONE_STEP,
        processes=1,
        batch_s=6.0,
        learning_rate=1e-9,
        trunk=TINY.model_copy(update={"temporal": TemporalConfig(blocks=1)}),
        start=tmp_path / "small",
        heads=heads,
        retrieval_weight=1.0,
    )
    trunk = CompactTrunk.load(distill(teacher_file, clips, {}, tmp_path / "large", larger))
    start = CompactTrunk.load(tmp_path / "small" / "trunk.safetensors")
    assert trunk.config == larger.trunk
    torch.testing.assert_close(trunk.layers[0].conv.weight, start.layers[0].conv.weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(trunk.tags.state_dict(), start.tags.state_dict(), atol=1e-5, rtol=0)
    row = json.loads((tmp_path / "large" / METRICS).read_text().splitlines()[-1])
    assert -1 <= row["trained"]["retrieval_cosine"] <= 1


def targets(frames: float, pooled: float, logits: float, amplitudes: float) -> Targets:
    return Targets(
        torch.full((1, 2, 3), frames),
        torch.full((1, 3), pooled),
        torch.full((1, 2), logits),
        torch.full((1, 2), amplitudes),
    )


def test_the_student_imitates_what_has_a_weight() -> None:
    student, teacher = targets(2.0, 3.0, 0.0, 1.0), targets(0.0, 0.0, 0.0, 0.0)
    tagger = Teacher(EfficientATTrunk())
    # Smooth L1 error 2 - 1/2; squared error 3^2; cross-entropy of one half with itself, ln 2, of two tags; 1^2 of two.
    for name, error in {"frames": 1.5, "pooled": 9.0, "tags": 2 * np.log(2), "amplitudes": 2.0}.items():
        config = DistillConfig(**{**NOTHING, f"{name}_weight": 2.0})
        found = distillation_losses(student, teacher, tagger, config)
        assert {key: value.item() for key, value in found.items()} == {name: pytest.approx(2 * error)}


def test_average_precision_by_hand() -> None:
    scores = torch.tensor([[3.0, 0.0], [2.0, 1.0], [1.0, 2.0]])
    truth = torch.tensor([[True, False], [False, False], [True, False]])  # nothing has the second tag
    assert mean_average_precision(scores, truth) == pytest.approx((1 + 2 / 3) / 2)


def test_a_student_with_its_teachers_answers_agrees_with_it(teacher_file: Path) -> None:
    teacher = Teacher(EfficientATTrunk.load(teacher_file)).eval()
    generator = np.random.default_rng(0)
    waveforms = [generator.uniform(-0.5, 0.5, size).astype(np.float32) for size in (9_000, 200_000, 40_000)]
    measure = Yardstick(
        waveforms, teacher, TensorLogMel(TINY.front_end, torch.device("cpu")), torch.device("cpu")
    )

    class Parrot(torch.nn.Module):
        def forward(self, log_mel: torch.Tensor) -> Targets:
            # As loud as the teacher hears it: 6 dB less. Silence stays what it is.
            power = (log_mel * 5 - 4.5).exp() - 1e-5
            return teacher(((power.clamp(min=0) * 10 ** (-6 / 10) + 1e-5).log() + 4.5) / 5)

    agreed = measure(Parrot())  # type: ignore[arg-type]
    assert (
        agreed["cosine"] > 0.999 and agreed["standardised_cosine"] > 0.999 and agreed["frame_cosine"] > 0.99
    )
    student = measure(Student(CompactTrunk(TINY), 384))
    assert student["frame_cosine"] < 0.5


def test_norms_keep_their_statistics_when_they_are_told_to(
    teacher_file: Path, clips: Path, tmp_path: Path
) -> None:
    config = DistillConfig(hours=ONE_STEP, processes=1, batch_s=6.0, trunk=TINY, norms_frozen_at=0.0, ema=0.0)
    trunk = CompactTrunk.load(distill(teacher_file, clips, {}, tmp_path, config))
    assert torch.equal(trunk.layers[0].norm.running_mean, torch.zeros(4))
    assert not torch.equal(trunk.layers[0].norm.weight, torch.ones(4))


def test_mixtures_on_the_device_teach_and_a_trunk_file_is_grown_from(
    teacher_file: Path, clips: Path, tmp_path: Path
) -> None:
    trunk = CompactTrunk(TINY)
    trunk.save(tmp_path / "small.safetensors")
    config = DistillConfig(
        hours=ONE_STEP, processes=1, batch_s=4.0, mixing="torch", trunk=TINY, learning_rate=1e-9,
        start=tmp_path / "small.safetensors",
    )  # fmt: skip
    grown = CompactTrunk.load(distill(teacher_file, clips, {}, tmp_path / "run", config))
    torch.testing.assert_close(grown.layers[0].conv.weight, trunk.layers[0].conv.weight, atol=1e-5, rtol=0)


def test_a_translation_is_found_where_there_is_one(teacher_file: Path) -> None:
    torch.manual_seed(0)
    student, teacher = Student(CompactTrunk(TINY), 384).eval(), Teacher(EfficientATTrunk.load(teacher_file))
    truth = torch.nn.Linear(16, 384)

    class Linear(torch.nn.Module):
        def forward(self, log_mel: torch.Tensor) -> Targets:
            frames = truth(student.trunk.features(log_mel)[0])
            return Targets(student._at_the_teachers_rate(frames), frames.mean(1), frames, frames)

    log_mels = [torch.randn(4, 256, 128) for _ in range(4)]
    student.fit_translation(Linear(), log_mels)  # type: ignore[arg-type]
    with torch.no_grad():
        found, wanted = student(log_mels[0]).frames, Linear()(log_mels[0]).frames
    assert (found - wanted).square().mean() < 0.05 * wanted.var()
    assert teacher.trunk.width == 384


def test_where_it_computes(
    monkeypatch: pytest.MonkeyPatch, teacher_file: Path, clips: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [find_device(each) for each in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == "cpu"
    alone = DistillConfig(device="cuda", mixing="torch", processes=1)
    for config, told in ((alone, "no GPU here"), (alone.model_copy(update={"processes": 2}), "one process")):
        with pytest.raises(UsageError, match=told):
            distill(teacher_file, clips, {}, tmp_path, config)


def test_undamaged_the_student_hears_what_the_teacher_hears(clips: Path) -> None:
    cache, log_mel = WaveformCache(clips), LogMel(TINY.front_end)
    same = draw_batch(cache, log_mel, None, 12.0, np.random.default_rng(0))
    other = draw_batch(cache, log_mel, MelDamage(TINY.front_end), 12.0, np.random.default_rng(0))
    assert torch.equal(same.clean, same.damaged) and not torch.equal(other.clean, other.damaged)


def test_two_frames_of_a_finer_student_stand_against_one_of_the_teachers() -> None:
    finer = TINY.model_copy(
        update={"stages": (*TINY.stages[:2], TINY.stages[2].model_copy(update={"stride": 1}))}
    )
    student = Student(CompactTrunk(finer), 5).eval()
    with torch.no_grad():
        found = student(torch.randn(1, 80, 128))  # five frames of 16, three of 32
        translated = student.to_frames(student.trunk.features(torch.randn(1, 80, 128))[0])
    assert found.frames.shape == (1, 3, 5) and translated.shape == (1, 5, 5)
    fewer = student._at_the_teachers_rate(translated)
    torch.testing.assert_close(fewer[0, 0], (translated[0, 0] + translated[0, 1]) / 2)
    torch.testing.assert_close(fewer[0, 2], translated[0, 4])
    with pytest.raises(ValueError, match="every 32"):
        Student(CompactTrunk(TINY), 5, teacher_hop=48)


def test_a_processors_hour_does_not_pass_while_it_waits() -> None:
    passed = {}
    for clock in ("wall", "processor"):
        config = DistillConfig(clock=clock)
        started = seconds(config)
        time.sleep(0.2)
        passed[clock] = seconds(config) - started
    assert passed["processor"] < 0.1 < passed["wall"]


def test_a_run_by_the_processors_clock_ends_when_its_hours_are_spent(
    teacher_file: Path, clips: Path, tmp_path: Path
) -> None:
    config = DistillConfig(hours=0.5 / 3600, clock="processor", processes=1, batch_s=6.0, trunk=TINY)
    distill(teacher_file, clips, {}, tmp_path, config)
    row = json.loads((tmp_path / METRICS).read_text())
    assert row["step"] > 0 and 0.5 <= row["elapsed_s"] < 4.5


def test_heads_of_another_trunk_are_refused(tmp_path: Path) -> None:
    heads = heads_run(tmp_path / "heads", torch.randn(2, 512))
    with pytest.raises(ModelError, match="take 512 features, the teacher gives 384"):
        load_heads(heads, 384)
    save_file({"audio_projector.0.weight": torch.zeros(1)}, heads / "model.safetensors")
    with pytest.raises(ModelError, match="no linear audio projector"):
        load_heads(heads, 384)


def test_a_run_goes_on_with_its_own_settings_only(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"")
    (tmp_path / "config.json").write_text(DistillConfig(seed=1, trunk=TINY).model_dump_json())
    with pytest.raises(UsageError, match="other settings"):
        distill(Path("teacher"), tmp_path, {}, tmp_path, DistillConfig(seed=2, trunk=TINY))
    with pytest.raises(UsageError, match="give heads"):
        distill(Path("teacher"), tmp_path, {}, tmp_path, DistillConfig(retrieval_weight=1.0))
    with pytest.raises(ModelError, match="no distillation to grow from"):
        distill(Path("teacher"), tmp_path, {}, tmp_path, DistillConfig(start=tmp_path / "none"))
    assert DistillConfig.model_validate_json((tmp_path / "config.json").read_text()).seed == 1


def test_a_full_disk_is_named_and_leaves_the_last_checkpoint(
    teacher_file: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DistillConfig(hours=ONE_STEP, processes=1, batch_s=2, trunk=TINY)
    out = tmp_path / "run"
    distill(teacher_file, clips, {}, out, config)
    before = {name: (out / name).read_bytes() for name in (CHECKPOINT, TRUNK)}

    def fills_the_disk(state: object, file: IO[bytes]) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", fills_the_disk)
    with pytest.raises(StorageError, match=f"{CHECKPOINT} cannot be written: the disk of .*run is full"):
        distill(teacher_file, clips, {}, out, config.model_copy(update={"hours": 1e-3}))
    assert {name: (out / name).read_bytes() for name in before} == before
    assert {path.name for path in out.iterdir()} == {*before, METRICS, "config.json"}


def test_a_damaged_checkpoint_is_named_with_the_next_step(
    teacher_file: Path, clips: Path, tmp_path: Path
) -> None:
    config = DistillConfig(hours=ONE_STEP, processes=1, batch_s=2, trunk=TINY)
    distill(teacher_file, clips, {}, tmp_path, config)
    whole = (tmp_path / CHECKPOINT).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2]):
        (tmp_path / CHECKPOINT).write_bytes(damaged)
        with pytest.raises(ModelError, match=f"{CHECKPOINT} is damaged.*remove it"):
            distill(teacher_file, clips, {}, tmp_path, config.model_copy(update={"hours": 1e-3}))


def test_one_process_at_a_time_writes_to_a_distillation(tmp_path: Path) -> None:
    with (
        locked(tmp_path, "distillation"),
        pytest.raises(UsageError, match=r"distillation .* is being written"),
    ):
        distill(Path("teacher"), tmp_path, {}, tmp_path, DistillConfig(trunk=TINY))


SLOWER = TINY.model_copy(
    update={
        "stages": (*TINY.stages[:2], TINY.stages[2].model_copy(update={"time_stride": 1})),
        "front_end": TINY.front_end.model_copy(update={"hop_length": 640}),
    }
)


@pytest.fixture(scope="module")
def compact_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory as far as a student needs it: a `compact` trunk and heads, in half precision."""
    torch.manual_seed(0)
    trunk, folder = CompactTrunk(TINY), tmp_path_factory.mktemp("model")
    state = {f"trunk.{name}": tensor for name, tensor in trunk.state_dict().items()} | {
        "audio_projector.weight": torch.randn(4, trunk.width),
        "audio_projector.bias": torch.randn(4),
        "audio_mean": torch.randn(trunk.width),
        "audio_scale": torch.rand(trunk.width) + 0.5,
    }
    half = {name: each.half() if each.is_floating_point() else each for name, each in state.items()}
    save_file(half, folder / "model.safetensors", {"trunk": TINY.model_dump_json()})
    return folder


@torch.no_grad()
def test_a_compact_teacher_says_what_its_model_says(compact_model: Path) -> None:
    teacher, trunk = load_teacher(compact_model).eval(), read_compact_trunk(compact_model)
    log_mel = torch.randn(2, 96, 128)
    frames, _ = trunk(log_mel)
    found = teacher(log_mel)
    torch.testing.assert_close(found.frames, frames[..., :16], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.amplitudes, frames[..., 16:].mean(dim=1), atol=1e-4, rtol=1e-3)
    state = {name: each.float() for name, each in load_file(compact_model / "model.safetensors").items()}
    standardised = (frames.mean(dim=1) - state["audio_mean"]) * state["audio_scale"]
    embedding = standardised @ state["audio_projector.weight"].T + state["audio_projector.bias"]
    torch.testing.assert_close(
        teacher.embed(found), torch.nn.functional.normalize(embedding), atol=1e-3, rtol=1e-3
    )


def test_a_model_without_a_compact_trunk_cannot_teach(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no model\.safetensors, which holds the trunk"):
        load_teacher(tmp_path)
    save_file({"audio_mean": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="has no trunk `compact`"):
        load_teacher(tmp_path)


@torch.no_grad()
def test_a_student_at_half_the_log_mel_rate_hears_every_second_frame(compact_model: Path) -> None:
    teacher, trunk = load_teacher(compact_model).eval(), CompactTrunk(SLOWER)
    student = Student(trunk, teacher.width, front_end=teacher.front_end).eval()
    teacher.mean.copy_(torch.randn(16))
    teacher.deviation.copy_(torch.rand(16) + 0.5)
    student.keep_translation(teacher)
    log_mel = torch.randn(2, 95, 128)
    found, wanted = student(log_mel), teacher(log_mel)
    assert found.frames.shape == wanted.frames.shape
    own, _ = trunk(log_mel[:, ::2])
    torch.testing.assert_close(found.frames, (own[..., :16] - teacher.mean) / teacher.deviation)


def test_a_student_with_another_front_end_than_a_multiple_of_the_hop_is_refused() -> None:
    for change in ({"hop_length": 480}, {"hop_length": 640, "num_mels": 64}):
        trunk = CompactTrunk(TINY.model_copy(update={"front_end": TINY.front_end.model_copy(update=change)}))
        with pytest.raises(ValueError, match="must share a front end, but for a whole multiple of its hop"):
            Student(trunk, 16, front_end=TINY.front_end)


def test_a_model_teaches_a_shrunken_copy_of_itself_and_the_run_goes_on(
    compact_model: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DistillConfig(
        hours=ONE_STEP, processes=1, batch_s=6.0, trunk=SLOWER, learning_rate=0.0, retrieval_weight=1.0
    )
    repaired_with: list[int] = []

    def counted(trunk: CompactTrunk, smaller: CompactTrunk, log_mels: list[torch.Tensor]) -> None:
        repaired_with.append(len(log_mels))
        repair(trunk, smaller, log_mels)

    monkeypatch.setattr("soundseek.learn.distill.run.repair", counted)
    monkeypatch.setattr("soundseek.learn.distill.run.REPAIR_S", 12.0)
    distill(compact_model, clips, {"left_out": clips}, tmp_path, config)
    assert repaired_with == [2]  # as much sound as it may hold in memory, in batches of any size
    first = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    expected = CompactTrunk(SLOWER)
    shrink(read_compact_trunk(compact_model), expected)
    found = CompactTrunk.load(tmp_path / TRUNK)
    assert found.config == SLOWER
    for place, layer in enumerate(expected.layers):
        for name in (
            "expand.weight",
            "depthwise.weight",
        ):  # which neither repair nor a rate of nothing changes
            if name in layer.state_dict():
                torch.testing.assert_close(found.layers[place].state_dict()[name], layer.state_dict()[name])
    assert sum(isinstance(layer, InvertedResidual) for layer in expected.layers) == 3
    translation = first["student"]["to_frames.weight"]
    torch.testing.assert_close(translation, torch.diag(1 / first["teacher_deviation"]))
    longer = config.model_copy(update={"hours": (first["elapsed_s"] + 1e-3) / 3600})
    distill(compact_model, clips, {"left_out": clips}, tmp_path, longer)
    second = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert second["step"] == 2
    torch.testing.assert_close(second["student"]["to_frames.weight"], translation)
    row = json.loads((tmp_path / METRICS).read_text(encoding="utf-8").splitlines()[-1])
    assert -1 <= row["left_out"]["retrieval_cosine"] <= 1


def test_a_damaged_model_or_run_is_told_with_its_file_and_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    for read in (read_compact_trunk, lambda folder: load_heads(folder, 384)):
        with pytest.raises(ModelError, match=r"model\.safetensors is damaged, or no safetensors file.*again"):
            read(tmp_path)
