"""SpecAugment: masks where they may be, of the published sizes, and the same again from the same numbers."""

from __future__ import annotations

import torch

from soundseek.learn.models.audio.spec_augment import SpecAugment, SpecAugmentConfig, reseed, spec_augment

torch.set_num_threads(1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def full_mask(batch: int, time: int) -> torch.Tensor:
    return torch.ones(batch, time, dtype=torch.bool)


def test_masks_cover_whole_rows_and_columns_and_nothing_else_changes() -> None:
    log_mel = torch.rand(1, 400, 64, generator=generator()) + 1.0
    out = spec_augment(log_mel, full_mask(1, 400), generator(3))
    taken = out[0] == 0
    rows, columns = taken.all(dim=1), taken.all(dim=0)
    assert rows.any()
    assert columns.any()
    assert torch.equal(taken, rows.unsqueeze(1) | columns.unsqueeze(0))
    assert torch.equal(out[0][~taken], log_mel[0][~taken])
    assert torch.all(log_mel > 0), "the argument must not be edited in place"


def test_masks_are_at_most_as_wide_and_as_many_as_published() -> None:
    out = spec_augment(torch.ones(200, 1000, 64), full_mask(200, 1000), generator())
    time_taken = (out == 0).all(dim=2).sum(dim=1)
    mel_taken = (out == 0).all(dim=1).sum(dim=1)
    assert 64 < int(time_taken.max()) <= 2 * 64
    assert 8 < int(mel_taken.max()) <= 2 * 8
    starts = torch.diff((out == 0).all(dim=2).int(), dim=1, prepend=torch.zeros(200, 1)) == 1
    assert int(starts.sum(dim=1).max()) == 2


def test_masks_of_a_short_clip_leave_most_of_it_and_fall_on_its_real_frames() -> None:
    mask = torch.arange(500).unsqueeze(0) < torch.full((100, 1), 40)
    config = SpecAugmentConfig(num_mel_masks=0)
    taken = (spec_augment(torch.ones(100, 500, 8), mask, generator(), config) == 0).all(dim=2)
    assert not taken[~mask].any()
    assert 0 < int(taken.sum(dim=1).max()) <= 2 * 8  # a fifth of 40 frames, twice
    assert len({tuple(row.tolist()) for row in taken}) > 50, "every clip needs its own masks"


def test_no_mask_falls_in_evaluation_and_a_seed_repeats_in_training() -> None:
    log_mel, mask = torch.ones(2, 300, 64), full_mask(2, 300)
    assert torch.equal(SpecAugment(generator()).eval()(log_mel, mask), log_mel)
    first, second = (SpecAugment(generator(7)).train()(log_mel, mask) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, log_mel)


def test_masks_after_a_reseed_depend_on_its_numbers_alone() -> None:
    layers = torch.nn.ModuleList([SpecAugment(generator(5)), SpecAugment(generator(5))]).train()
    log_mel, mask = torch.ones(1, 400, 64), torch.ones(1, 400, dtype=torch.bool)

    def masks(*parts: int) -> list[bytes]:
        generators = reseed(layers, *parts)
        assert [each.generator for each in layers] == generators  # type: ignore[union-attr]
        return [layer(log_mel, mask).numpy().tobytes() for layer in layers]

    first = masks(0, 3, 17)
    layers[0](log_mel, mask)  # what was drawn in between plays no part
    assert masks(0, 3, 17) == first
    assert first[0] != first[1], "each layer has masks of its own"
    others = [
        masks(*parts)[0] for parts in ((1, 3, 17), (0, 4, 17), (0, 3, 18), (0, 3, 17, 0), (0, 3, 17, 1))
    ]
    assert len({first[0], *others}) == 6
    assert reseed(torch.nn.Linear(1, 1), 0) == []


def test_a_mask_reaches_its_widest_and_both_ends_of_a_clip() -> None:
    config = SpecAugmentConfig(num_time_masks=1, max_time_frames=2, num_mel_masks=0, max_time_share=1.0)
    out = spec_augment(torch.ones(400, 4, 1), full_mask(400, 4), generator(), config)
    taken = {tuple(row.tolist()) for row in (out[:, :, 0] == 0)}
    expected = {
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (0, 1, 0, 0),
        (0, 0, 1, 0),
        (0, 0, 0, 1),
        (1, 1, 0, 0),
        (0, 1, 1, 0),
        (0, 0, 1, 1),
    }
    assert taken == expected
