"""Distillation at toy size: the loss falls, two processes agree, an interrupted run goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from soundseek.audio.logmel import LogMel
from soundseek.errors import ModelError, UsageError
from soundseek.learn.data.waveforms import WaveformCache
from soundseek.learn.distill import CHECKPOINT, METRICS, DistillConfig, distill
from soundseek.learn.distill.mixtures import MelDamage, draw_batch
from soundseek.learn.distill.networks import (
    Student,
    Targets,
    Teacher,
    distillation_loss,
    learning_rate_factor,
    retrieval_loss,
)
from soundseek.learn.distill.run import seconds
from soundseek.learn.models.audio.compact import (
    BlocksConfig,
    CompactConfig,
    CompactTrunk,
    TemporalConfig,
)
from soundseek.learn.models.audio.compact_layers import TagsConfig
from soundseek.learn.models.audio.efficientat import EfficientATTrunk

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
    assert all(f"{size:,}" in str(CompactConfig.__doc__) for size in (*sizes["grown"], sizes["small"][0]))


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
    config = DistillConfig(trunk=TINY, tags_weight=0.0)  # a random teacher's tags are all near one half
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
        loss = distillation_loss(student(batch.damaged), targets, config)
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
    config = DistillConfig(warmup_steps=10)
    assert learning_rate_factor(0, 0.0, config) == pytest.approx(0.1)
    assert learning_rate_factor(500, 0.4, config) == 1.0
    assert learning_rate_factor(500, 0.75, config) == pytest.approx(0.5)
    assert learning_rate_factor(500, 1.0, config) == 0.0


def test_two_processes_distil_and_an_ended_run_goes_on(
    teacher_file: Path, clips: Path, tmp_path: Path
) -> None:
    short = DistillConfig(hours=4 / 3600, processes=2, batch_s=6.0, trunk=TINY)
    trunk = distill(teacher_file, clips, clips, tmp_path, short)
    first = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert first["step"] > 0 and CompactTrunk.load(trunk).config == TINY
    distill(teacher_file, clips, clips, tmp_path, short.model_copy(update={"hours": 7 / 3600}))
    second = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert second["step"] > first["step"]
    torch.testing.assert_close(second["teacher_mean"], first["teacher_mean"])
    rows = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [row["step"] for row in rows] == [first["step"], second["step"]]
    assert all(
        -1 <= row["cosine"] <= 1 and 0 <= row["tag_map"] <= 1
        for row in rows
        if row["tag_map"] == row["tag_map"]
    )


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
    heads = heads_run(tmp_path / "heads", torch.eye(384)[:2])  # two of the teacher's directions
    teacher = Teacher(EfficientATTrunk.load(teacher_file), heads)

    def pooled(*values: float) -> Targets:
        row = torch.zeros(1, 384)
        row[0, : len(values)] = torch.tensor(values)
        return Targets(torch.zeros(1, 1, 384), row, torch.zeros(1, 527))

    assert retrieval_loss(pooled(1, 0, 7), pooled(3, 0, -9), teacher).item() == pytest.approx(0, abs=1e-6)
    assert retrieval_loss(pooled(0, 1), pooled(1, 0), teacher).item() == pytest.approx(1)


def test_a_run_grows_from_a_smaller_one(teacher_file: Path, clips: Path, tmp_path: Path) -> None:
    small = DistillConfig(hours=1 / 3600, processes=1, batch_s=6.0, trunk=TINY)
    distill(teacher_file, clips, clips, tmp_path / "small", small)
    heads = heads_run(tmp_path / "heads", torch.randn(4, 384))
    larger = DistillConfig(
        hours=1 / 3600,
        processes=1,
        batch_s=6.0,
        learning_rate=1e-9,
        trunk=TINY.model_copy(update={"temporal": TemporalConfig(blocks=1)}),
        start=tmp_path / "small",
        heads=heads,
        retrieval_weight=1.0,
    )
    trunk = CompactTrunk.load(distill(teacher_file, clips, clips, tmp_path / "large", larger))
    start = CompactTrunk.load(tmp_path / "small" / "trunk.safetensors")
    assert trunk.config == larger.trunk
    torch.testing.assert_close(trunk.layers[0].conv.weight, start.layers[0].conv.weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(trunk.tags.state_dict(), start.tags.state_dict(), atol=1e-5, rtol=0)
    row = json.loads((tmp_path / "large" / METRICS).read_text().splitlines()[-1])
    assert -1 <= row["retrieval_cosine"] <= 1


def targets(frames: float, pooled: float, logits: float) -> Targets:
    return Targets(torch.full((1, 2, 3), frames), torch.full((1, 3), pooled), torch.full((1, 2), logits))


def test_the_student_imitates_what_has_a_weight() -> None:
    student, teacher = targets(2.0, 3.0, 0.0), targets(0.0, 0.0, 0.0)
    weights = {"pooled_weight": 0.0, "frames_weight": 0.0, "tags_weight": 0.0}
    # Squared error 3^2; smooth L1 error 2 - 1/2; cross-entropy of one half with itself, ln 2, of two tags.
    for weight, loss in (("pooled_weight", 9.0), ("frames_weight", 1.5), ("tags_weight", 2 * np.log(2))):
        config = DistillConfig(**{**weights, weight: 2.0})
        assert distillation_loss(student, teacher, config).item() == pytest.approx(2 * loss)


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
    config = DistillConfig(hours=2 / 3600, clock="processor", processes=1, batch_s=6.0, trunk=TINY)
    distill(teacher_file, clips, clips, tmp_path, config)
    row = json.loads((tmp_path / METRICS).read_text())
    assert row["step"] > 0 and 2 <= row["elapsed_s"] < 6


def test_heads_of_another_trunk_are_refused(teacher_file: Path, tmp_path: Path) -> None:
    heads = heads_run(tmp_path / "heads", torch.randn(2, 911))
    with pytest.raises(ModelError, match="take 911 features, the teacher gives 384"):
        Teacher(EfficientATTrunk.load(teacher_file), heads)
    save_file({"audio_projector.0.weight": torch.zeros(1)}, heads / "model.safetensors")
    with pytest.raises(ModelError, match="no linear audio projector"):
        Teacher(EfficientATTrunk.load(teacher_file), heads)


def test_a_run_goes_on_with_its_own_settings_only(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"")
    (tmp_path / "config.json").write_text(DistillConfig(seed=1, trunk=TINY).model_dump_json())
    with pytest.raises(UsageError, match="other settings"):
        distill(Path("teacher"), tmp_path, tmp_path, tmp_path, DistillConfig(seed=2, trunk=TINY))
    with pytest.raises(UsageError, match="give heads"):
        distill(Path("teacher"), tmp_path, tmp_path, tmp_path, DistillConfig(retrieval_weight=1.0))
    with pytest.raises(ModelError, match="no distillation to grow from"):
        distill(Path("teacher"), tmp_path, tmp_path, tmp_path, DistillConfig(start=tmp_path / "none"))
    assert DistillConfig.model_validate_json((tmp_path / "config.json").read_text()).seed == 1
