"""Watched folders: what is taken when, with made events and a made clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from library.fakes import FakeModel
from tones import write_tone
from toy_model import make_toy_model

from soundseek.library import Library
from soundseek.library.store.connection import write_lock
from soundseek.library.watching import FolderWatch, folder_events


class World:
    """A folder, a library that watches it, and a clock; files are old unless they are written `now`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "sounds"
        self.folder.mkdir()
        self.library = Library.create(folder / "library", model=FakeModel())  # type: ignore[arg-type]
        self.seconds = 100.0
        self.runs = self.rescans = 0
        self.lines: list[str] = []
        self.watch = FolderWatch(
            self.library,
            [str(self.folder)],
            say=self.lines.append,
            index=self._index,
            settled_s=3.0,
            rescan_s=600.0,
            clock=lambda: self.seconds,
            now=lambda: 1_000_000.0 + self.seconds,
        )

    def _index(self, still_grows: Callable[[str, int], bool], is_rescan: bool) -> object:
        self.runs += 1
        self.rescans += is_rescan
        return self.library.index(self.folder, still_grows=still_grows)

    def write(self, name: str, text: str, *, age_s: float = 1000.0) -> str:
        path = self.folder / name
        path.write_text(text)
        at = 1_000_000.0 + self.seconds - age_s
        os.utime(path, (at, at))
        return str(path)

    def after(self, seconds: float, *paths: str) -> list[str]:
        """What is said when events of some paths come so much later."""
        self.seconds += seconds
        self.lines.clear()
        assert self.watch.take(paths) is False
        return [line.replace(str(self.folder) + "/", "") for line in self.lines]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.library.close()


def test_the_first_look_takes_what_is_there_and_says_it(world: World) -> None:
    world.write("a.wav", "dog")
    world.write("b.wav", "BAD no header")
    assert world.after(0) == ["added    a.wav", "failed   b.wav: no header"]
    assert world.after(10) == [] and world.runs == 1


def test_a_file_is_taken_once_nothing_has_happened_to_it_for_a_while(world: World) -> None:
    world.after(0)
    path = world.write("take.wav", "grow", age_s=0)
    for _ in range(20):  # a recording that is written to each second
        path = world.write("take.wav", "grown", age_s=0)
        assert world.after(1, path) == []
    assert world.runs == 1  # nothing was even scanned meanwhile
    assert world.after(2.9) == []
    assert world.after(0.2) == ["added    take.wav"] and world.runs == 2


def test_a_file_that_grows_does_not_keep_others_back_and_is_not_taken_with_them(world: World) -> None:
    world.after(0)
    growing, whole = world.write("growing.wav", "x", age_s=0), world.write("whole.wav", "dog", age_s=0)
    world.after(0, growing, whole)
    assert world.after(2, growing) == []
    assert world.after(1.5) == ["added    whole.wav"]
    assert world.after(1.5) == ["added    growing.wav"]


def test_a_file_of_which_no_event_told_is_left_while_its_time_is_fresh(world: World) -> None:
    world.write("fresh.wav", "dog", age_s=1)
    assert world.after(0) == []
    assert world.after(3.5) == ["added    fresh.wav"]


def test_changes_moves_and_removals_are_said(world: World) -> None:
    a, b, c = (world.write(f"{name}.wav", name, age_s=500.0 + ord(name)) for name in "abc")
    world.after(0)
    world.write("a.wav", "another sound")
    Path(b).rename(world.folder / "moved.wav")
    Path(c).unlink()
    world.after(1, a, b, c, str(world.folder / "moved.wav"))
    assert world.after(3) == ["changed  a.wav", "gone     c.wav", "moved    b.wav -> moved.wav"]


def test_what_no_event_told_of_is_found_by_the_rescan(world: World) -> None:
    world.after(0)
    world.write("quiet.wav", "dog")
    assert world.after(599) == []
    assert world.after(2) == ["added    quiet.wav"]


def test_events_ask_no_bucket_and_do_not_put_the_rescan_off(world: World) -> None:
    world.after(0)
    for number in range(5):
        world.after(100, world.write(f"{number}.wav", "dog"))
        assert world.after(4) == [f"added    {number}.wav"]
    assert (world.runs, world.rescans) == (6, 1)
    world.after(80)
    assert (world.runs, world.rescans) == (7, 2)


def test_looking_for_a_writer_or_folder_again_asks_no_bucket(world: World) -> None:
    world.after(0)
    world.seconds += 10
    with write_lock(world.library.store.directory / "write.lock"):
        world.after(4, world.write("a.wav", "dog"))
        (line,) = world.after(4)
        assert line.startswith("waiting: ")
        world.after(4)
    assert world.after(4) == ["added    a.wav"]
    assert world.runs > 3 and world.rescans == 1


def test_events_of_other_files_cost_nothing(world: World) -> None:
    world.after(0)
    for name in ("notes.txt", ".hidden.wav", "photo.jpg"):
        assert world.after(0, str(world.folder / name)) == []
    assert world.after(10) == [] and world.runs == 1
    assert world.watch.counts("/x/.soundseekignore") and world.watch.counts("/x/folder")


def test_a_writer_beside_it_is_waited_for_and_said_once(world: World) -> None:
    world.write("a.wav", "dog")
    with write_lock(world.library.store.directory / "write.lock"):
        (line,) = world.after(0)
        assert line.startswith("waiting: ") and "is being written by" in line
        assert world.after(4) == []
    assert world.after(4) == ["added    a.wav"]


def test_folders_that_vanish_keep_their_sounds_and_are_watched_again_when_they_are_back(world: World) -> None:
    world.write("a.wav", "dog")
    away = world.folder.with_name("away")
    asked: list[list[str]] = []

    def events(folders: Sequence[str]) -> Iterator[Iterable[str]]:
        asked.append(list(folders))
        world.seconds += 5
        yield ()
        if len(asked) == 1:
            world.folder.rename(away)
            yield ()
        elif len(asked) == 2:
            assert world.library.store.count()[0] == 1
            away.rename(world.folder)
            world.write("b.wav", "cat")
            world.seconds += 5
            yield ()

    world.watch.run(events)
    assert asked == [[str(world.folder)], [], [str(world.folder)]]
    said = [line.replace(str(world.folder) + "/", "") for line in world.lines]
    assert said[0] == "added    a.wav" and said[1].startswith("waiting: ") and said[2:] == ["added    b.wav"]


def test_a_drive_below_a_folder_that_goes_and_comes_back_is_said_and_keeps_its_sounds(
    world: World, tmp_path: Path
) -> None:
    drive, unplugged = tmp_path / "drive", tmp_path / "unplugged"
    drive.mkdir()
    (world.folder / "link").symlink_to(drive)
    world.write("link/far.wav", "dog")
    world.write("near.wav", "rain")
    assert world.after(0) == ["added    link/far.wav", "added    near.wav"]
    drive.rename(unplugged)
    said = world.after(600)
    assert len(said) == 1 and said[0].startswith("absent   link: what the library has of it stays")
    assert world.after(600) == []
    unplugged.rename(drive)
    assert world.after(600) == ["back     link"]
    assert world.library.info().files == 2


def test_ctrl_c_in_the_middle_of_a_file_ends_the_watching_with_what_was_done(world: World) -> None:
    world.write("a.wav", "dog")
    world.write("b.wav", "CTRL-C")
    looks = iter([(), AssertionError("it goes on")])

    def events(folders: Sequence[str]) -> Iterator[Iterable[str]]:
        for look in looks:
            assert isinstance(look, tuple), look
            yield look

    world.watch.run(events)
    assert world.library.store.count()[0] == 1 and world.lines == [f"added    {world.folder}/a.wav"]


def test_a_watch_without_folders_ticks() -> None:
    assert next(iter(folder_events([]))) == ()


def test_a_real_folder_is_followed_until_ctrl_c(tmp_path: Path) -> None:
    model = make_toy_model(tmp_path / "model")
    sounds = (tmp_path / "sounds").resolve()
    sounds.mkdir()
    write_tone(sounds / "first.wav", frequency_hz=300.0)
    options = ["--library", str(tmp_path / "library"), "--settle", "0.3"]
    command = [sys.executable, "-m", "soundseek", "watch", str(sounds), *options]
    environment = {**os.environ, "SOUNDSEEK_MODEL": str(model)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"added    {sounds / 'first.wav'}\n"
        write_tone(tmp_path / "second.wav", frequency_hz=600.0)
        (tmp_path / "second.wav").rename(sounds / "second.wav")
        assert process.stdout.readline() == f"added    {sounds / 'second.wav'}\n"
        (sounds / "first.wav").unlink()
        assert process.stdout.readline() == f"gone     {sounds / 'first.wav'}\n"
    finally:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=240)
    assert process.returncode == 0 and told.splitlines()[-1] == "stopped watching"
    with Library.open(tmp_path / "library") as library:
        assert library.store.count()[0] == 1
