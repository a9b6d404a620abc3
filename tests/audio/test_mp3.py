"""The mp3 decoder's lines vanish from stderr; everybody else's arrive."""

from __future__ import annotations

import os
import threading

import pytest

from soundseek.audio.mp3 import without_decoder_chatter

NOISE = b"Note: Trying to resync...\n"


def test_decoder_lines_are_dropped_and_others_arrive(capfd: pytest.CaptureFixture[str]) -> None:
    with without_decoder_chatter():
        os.write(2, b"12 of 30 files\n" + NOISE + b"[src/libmpg123/layer3.c:1900] error: oh\n" + b"13 of 30")
    assert capfd.readouterr().err == "12 of 30 files\n13 of 30"


def test_stderr_leads_where_it_led_before(capfd: pytest.CaptureFixture[str]) -> None:
    with without_decoder_chatter():
        os.write(2, NOISE)
    os.write(2, NOISE)
    assert capfd.readouterr().err == NOISE.decode()


def test_an_error_inside_goes_on_and_stderr_is_restored(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="inside"), without_decoder_chatter():
        raise ValueError("inside")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_nothing_is_lost_when_threads_overlap(capfd: pytest.CaptureFixture[str]) -> None:
    def work(name: int) -> None:
        for turn in range(50):
            with without_decoder_chatter():
                os.write(2, NOISE)
                os.write(2, b"%d-%d\n" % (name, turn))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capfd.readouterr().err.split()
    assert sorted(lines) == sorted(f"{name}-{turn}" for name in range(4) for turn in range(50))
