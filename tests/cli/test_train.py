"""What a training run says while it runs."""

from __future__ import annotations

import pytest

from soundseek.cli.progress import say_epoch


def test_an_epoch_is_one_line_with_its_validation_where_there_is_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = {"epoch": 3, "loss": 1.23456, "seconds": 7.89}
    say_epoch(plain)
    say_epoch({**plain, "mAP10": 0.254, "R10": 0.5})
    assert capsys.readouterr().err.splitlines() == [
        "epoch 3  loss 1.2346  7.9 s",
        "epoch 3  loss 1.2346  validation mAP10 25.4 %  R10 50.0 %  7.9 s",
    ]
