"""Index runs over folders of toy sounds: what is heard, moved, copied, kept, forgotten."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from library import fakes
from library.best_matches import best_matches
from library.shelves import EXTENSIONS, Shelf, counts, set_time
from library.stores import IDENTITY

from soundseek.errors import LibraryError, ModelError, UsageError
from soundseek.library import index
from soundseek.library import workers as workers_module
from soundseek.library.index import Progress, update
from soundseek.library.store.base import Changes
from soundseek.library.store.sqlite import SqliteStore


def test_new_files_are_heard_and_found(shelf: Shelf) -> None:
    shelf.put("a.wav", "bell")
    shelf.put("deep/er/b.OGG", "LASTS 25 rain")
    shelf.put("notes.txt", "no sound")
    assert shelf.index() == {"added": 2}
    assert sorted(shelf.embedded) == ["a.wav", "b.OGG"]
    assert shelf.says("bell") == "a.wav"
    assert shelf.says("LASTS 25 rain") == "deep/er/b.OGG"
    assert shelf.store.stats().segments == 1 + 4
    assert shelf.store.stats().last_indexed is not None


def test_what_is_unchanged_is_not_opened(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put("a.wav", "bell")
    shelf.index()
    monkeypatch.setattr(index, "hash_file", None)
    assert shelf.index() == {"unchanged": 1}
    assert shelf.embedded == []


def test_a_changed_file_is_heard_again(shelf: Shelf) -> None:
    shelf.put("a.wav", "bell")
    shelf.index()
    shelf.put("a.wav", "a longer rain")
    assert shelf.index() == {"changed": 1}
    assert shelf.says("a longer rain") == "a.wav"
    assert shelf.store.stats().files == 1


def test_a_changed_file_of_the_same_size_is_heard_again(shelf: Shelf) -> None:
    set_time(shelf.put("a.wav", "bell"), 1000)
    shelf.index()
    set_time(shelf.put("a.wav", "rain"), 2000)
    assert shelf.index() == {"changed": 1}
    assert shelf.says("rain") == "a.wav"


def test_a_touched_file_with_the_same_content_is_not_heard(shelf: Shelf) -> None:
    path = shelf.put("a.wav", "bell")
    shelf.index()
    set_time(path, 1000)
    assert shelf.index() == {"unchanged": 1}
    assert shelf.embedded == []
    assert shelf.store.states("/")[str(path)].mtime_ns == 1000 * 10**9


def test_a_moved_file_keeps_its_vectors(shelf: Shelf) -> None:
    path = shelf.put("a.wav", "bell")
    shelf.put("b.wav", "rain")
    shelf.index()
    (shelf.folder / "new").mkdir()
    path.rename(shelf.folder / "new" / "renamed.wav")
    assert shelf.index() == {"moved": 1, "unchanged": 1}
    assert shelf.embedded == []
    assert shelf.says("bell") == "new/renamed.wav"
    assert shelf.names() == {"new/renamed.wav", "b.wav"}


def test_a_file_moved_over_another_replaces_it(shelf: Shelf) -> None:
    path = shelf.put("a.wav", "bell and more")
    shelf.put("b.wav", "rain")
    shelf.index()
    path.rename(shelf.folder / "b.wav")
    assert shelf.index() == {"moved": 1}
    assert shelf.names() == {"b.wav"}
    assert shelf.says("bell and more") == "b.wav"


def test_of_equal_files_that_moved_each_gets_its_own_name_back(shelf: Shelf) -> None:
    for name in ("x.wav", "y.wav"):
        shelf.put(f"old/{name}", "same")
    shelf.index()
    (shelf.folder / "old").rename(shelf.folder / "new")
    assert shelf.index() == {"moved": 2}
    assert shelf.names() == {"new/x.wav", "new/y.wav"}
    assert shelf.embedded == []


def test_two_files_that_swapped_names_are_told_apart(shelf: Shelf) -> None:
    a, b = shelf.put("a.wav", "bell"), shelf.put("b.wav", "rain")
    set_time(a, 1000), set_time(b, 2000)
    shelf.index()
    a.rename(shelf.folder / "t"), b.rename(a), (shelf.folder / "t").rename(b)
    assert shelf.index() == {"changed": 2}
    assert (shelf.says("bell"), shelf.says("rain")) == ("b.wav", "a.wav")


def test_a_copy_is_a_file_of_its_own_but_not_heard_again(shelf: Shelf) -> None:
    path = shelf.put("a.wav", "LASTS 25 bell")
    shelf.index()
    shutil.copy(path, shelf.folder / "copy.wav")
    assert shelf.index() == {"added": 1, "unchanged": 1}
    assert shelf.embedded == []
    first, second = (shelf.store.read(str(shelf.folder / name)) for name in ("a.wav", "copy.wav"))
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.frames, second.frames)
    path.unlink()
    assert shelf.index() == {"removed": 1, "unchanged": 1}
    assert shelf.says("LASTS 25 bell") == "copy.wav"


def test_what_is_gone_is_forgotten(shelf: Shelf) -> None:
    shelf.put("a.wav", "bell")
    shelf.put("b/c.wav", "rain")
    shelf.put("b/d.wav", "BAD it is text")
    shelf.index()
    shutil.rmtree(shelf.folder / "b")
    assert shelf.index() == {"removed": 1, "unchanged": 1}
    assert shelf.names() == {"a.wav"} and shelf.failures() == {}


def test_only_what_was_rescanned_can_be_gone(shelf: Shelf) -> None:
    shelf.put("a/1.wav", "bell")
    shelf.put("b/2.wav", "rain")
    shelf.index()
    shutil.rmtree(shelf.folder / "b")
    assert shelf.index(shelf.folder / "a") == {"unchanged": 1}
    assert shelf.names() == {"a/1.wav", "b/2.wav"}


def test_a_missing_folder_is_passed_by_and_forgets_nothing(shelf: Shelf) -> None:
    shelf.put("usb/1.wav", "bell")
    shelf.put("b/2.wav", "rain")
    shelf.index(shelf.folder / "usb", shelf.folder / "b")
    shutil.rmtree(shelf.folder / "usb")
    shelf.put("b/3.wav", "wind")
    for folders in ((shelf.folder / "b", shelf.folder / "usb"), ()):
        report = update(shelf.store, folders, fakes.load, extensions=EXTENSIONS)
        assert (report.missing, report.missing_folders) == (1, (str(shelf.folder / "usb"),))
    assert shelf.names() == {"usb/1.wav", "b/2.wav", "b/3.wav"}
    with pytest.raises(UsageError, match=r"usb cannot be scanned.*is its drive there\? Nothing was changed$"):
        shelf.index(shelf.folder / "usb")


def test_an_empty_mount_point_forgets_nothing(shelf: Shelf) -> None:
    path = shelf.put("usb/1.wav", "bell")
    shelf.index(shelf.folder / "usb")
    path.unlink()
    with shelf.store.writing():
        shelf.store.commit(Changes(volumes={str(path): "another drive"}))
    report = shelf.report(shelf.folder / "usb")
    assert (report.removed, report.missing, report.missing_folders) == (0, 1, (str(path.parent),))
    assert shelf.names() == {"usb/1.wav"}


def test_without_folders_those_of_earlier_runs_are_scanned(shelf: Shelf) -> None:
    with pytest.raises(UsageError, match="has no folders yet; name one: soundseek index FOLDER"):
        update(shelf.store, [], fakes.load, extensions=EXTENSIONS)
    shelf.put("a/1.wav", "bell")
    shelf.put("b/2.wav", "rain")
    shelf.index(shelf.folder / "a", shelf.folder / "b")
    shelf.put("b/3.wav", "wind")
    assert counts(update(shelf.store, [], fakes.load, extensions=EXTENSIONS)) == {"added": 1, "unchanged": 2}


def test_a_file_that_cannot_be_heard_is_named_and_the_rest_goes_in(shelf: Shelf) -> None:
    shelf.put("a.wav", "BAD it is text")
    shelf.put("b.wav", "BUG")
    shelf.put("c.wav", "bell")
    assert shelf.index() == {"added": 1, "failed": 2}
    assert shelf.failures() == {
        "a.wav": "it is text",
        "b.wav": "unexpected error: ZeroDivisionError: division by zero",
    }


def test_a_failed_file_is_tried_again_only_when_it_or_the_decoders_changed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put("a.wav", "BAD it is text")
    assert shelf.index() == {"failed": 1}
    assert shelf.index() == {"failed": 1} and shelf.embedded == []
    monkeypatch.setattr(index, "decoder_versions", lambda: "soundfile 99")
    assert shelf.index() == {"failed": 1} and shelf.embedded == ["a.wav"]
    shelf.put("a.wav", "bell")
    assert shelf.index() == {"added": 1}
    assert shelf.failures() == {}


def test_a_file_that_went_bad_loses_its_vectors(shelf: Shelf) -> None:
    shelf.put("a.wav", "bell")
    shelf.index()
    shelf.put("a.wav", "BAD it is text now")
    assert shelf.index() == {"failed": 1}
    assert shelf.names() == set() and list(shelf.failures()) == ["a.wav"]


def test_a_cut_file_is_counted_and_heard_again_when_more_is_wanted(shelf: Shelf) -> None:
    shelf.put("a.wav", "LASTS 25 bell")
    assert shelf.index(max_duration_s=12) == {"added": 1, "cut": 1}
    assert shelf.index(max_duration_s=12) == {"unchanged": 1}
    assert shelf.index(max_duration_s=10) == {"unchanged": 1}
    assert shelf.index(max_duration_s=60) == {"changed": 1}
    (match,) = best_matches(shelf.store, fakes.content("LASTS 25 bell"), k=1)
    assert (match.file.duration_s, match.file.truncated) == (25, False)
    assert shelf.index(max_duration_s=99) == {"unchanged": 1}


def test_a_copy_of_a_cut_file_is_heard_when_more_is_wanted(shelf: Shelf) -> None:
    path = shelf.put("a.wav", "LASTS 25 bell")
    shelf.index(max_duration_s=12)
    shutil.copy(path, shelf.folder / "b.wav")
    assert shelf.index(max_duration_s=60) == {"added": 1, "changed": 1}
    assert sorted(shelf.embedded) == ["a.wav", "b.wav"]


def test_a_file_whose_name_is_not_utf8_is_indexed_and_moved(shelf: Shelf) -> None:
    odd = os.fsdecode(os.fsencode(shelf.folder) + b"/caf\xe9.wav")
    Path(odd).write_text("bell")
    assert shelf.index() == {"added": 1}
    assert list(shelf.store.states("/")) == [odd]
    Path(odd).rename(odd + ".ogg")
    assert shelf.index() == {"moved": 1}
    assert list(shelf.store.states("/")) == [odd + ".ogg"]


def test_a_file_that_changes_while_it_is_heard_is_heard_again_by_the_next_run(shelf: Shelf) -> None:
    shelf.put("a.wav", "REWRITE rain")
    assert shelf.index() == {"added": 1}
    assert shelf.index() == {"changed": 1}
    assert shelf.says("rain".ljust(12)) == "a.wav"
    assert shelf.index() == {"unchanged": 1}


def test_progress_tells_how_far_the_run_is(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PROGRESS_EVERY_S", 0.0)
    monkeypatch.setattr(index, "SHORTEST_S", 0.0)
    for number in range(4):
        shelf.put(f"{number}.wav", f"sound {number}")
    told: list[Progress] = []
    report = shelf.report(progress=told.append)
    assert [(each.files_done, each.files_total) for each in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [each.audio_s for each in told] == [10, 20, 30, 40] and report.audio_s == 40
    first, second, third, last = told
    assert (first.eta_s, first.x_realtime, second.eta_s) == (None, None, None)
    assert third.eta_s and third.eta_s > 0 and last.eta_s == 0
    assert all(each.x_realtime and each.x_realtime > 0 for each in told[1:])
    assert [Path(each.current).name for each in told] == ["0.wav", "1.wav", "2.wav", "3.wav"]


def test_ctrl_c_keeps_what_was_heard_and_the_next_run_goes_on(shelf: Shelf) -> None:
    for number in range(6):
        shelf.put(f"{number}.wav", "CTRL-C" if number == 3 else f"sound {number}")
    report = shelf.report()
    assert report.interrupted and report.added == 3
    assert shelf.names() == {"0.wav", "1.wav", "2.wav"}
    shelf.put("3.wav", "sound 3")
    assert shelf.index() == {"added": 3, "unchanged": 3}


def test_ctrl_c_in_the_middle_of_a_commit_waits_until_it_is_done(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put("0.wav", "sound 0")
    shelf.put("1.wav", "sound 1")
    monkeypatch.setattr(index, "COMMIT_FILES", 1)
    real_commit, done = shelf.store.commit, []

    def commit_and_press(changes: Changes) -> None:
        real_commit(changes)
        if changes.sounds:
            fakes.ORDERS["CTRL-C"]("", "")
            done.append(len(changes.sounds))

    monkeypatch.setattr(shelf.store, "commit", commit_and_press)
    report = shelf.report()
    assert report.interrupted and report.added == 1 and done == [1]
    monkeypatch.undo()
    assert shelf.names() == {"0.wav"}
    assert shelf.index() == {"added": 1, "unchanged": 1}


def test_an_interrupted_run_forgets_nothing(shelf: Shelf) -> None:
    path = shelf.put("a.wav", "bell")
    shelf.index()
    path.unlink()
    shelf.put("b.wav", "CTRL-C")
    assert shelf.report().interrupted
    assert shelf.names() == {"a.wav"}


def test_a_broken_model_ends_the_run_but_keeps_what_was_heard(shelf: Shelf) -> None:
    shelf.put("a.wav", "bell")
    shelf.put("b.wav", "BROKEN MODEL")
    with pytest.raises(ModelError, match="the model is damaged"):
        shelf.index()
    assert shelf.names() == {"a.wav"} and shelf.failures() == {}


def test_a_second_run_at_the_same_time_is_refused(shelf: Shelf) -> None:
    shelf.put("a.wav", "bell")
    other = SqliteStore.open(shelf.store.directory, identity=IDENTITY)
    with other.writing(), pytest.raises(LibraryError, match=r"being written by this process \(\d+\)"):
        shelf.index()
    other.close()


def test_nothing_new_needs_no_model(shelf: Shelf) -> None:
    shelf.put("a.wav", "bell")
    shelf.index()
    report = update(shelf.store, [shelf.folder], fakes.load_nothing, extensions=EXTENSIONS, workers=2)
    assert counts(report) == {"unchanged": 1}


def test_many_removals_are_compacted_at_the_end_of_a_run(shelf: Shelf) -> None:
    for number in range(4):
        shelf.put(f"{number}.wav", f"sound {number}")
    shelf.index()
    for number in range(3):
        (shelf.folder / f"{number}.wav").unlink()
    assert shelf.index() == {"removed": 3, "unchanged": 1}
    assert (shelf.store.directory / "vectors.2.f16").exists()
    assert shelf.says("sound 3") == "3.wav"


def test_workers_hear_what_one_process_hears(shelf: Shelf) -> None:
    for number in range(20):
        shelf.put(f"{number}.wav", f"LASTS {number + 1} sound")
    shelf.put("bad.wav", "BAD it is text")
    report = shelf.report(load=fakes.load, workers=2)
    assert counts(report) == {"added": 20, "failed": 1}
    assert report.audio_s == sum(range(1, 21))
    for number in range(20):
        assert shelf.says(f"LASTS {number + 1} sound") == f"{number}.wav"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_takes_one_file_and_is_named(workers: int, shelf: Shelf) -> None:
    for number in range(12):
        shelf.put(f"{number:02}.wav", {3: "CRASH", 8: "KILL"}.get(number, f"sound {number}"))
    assert counts(shelf.report(load=fakes.load, workers=workers)) == {"added": 10, "failed": 2}
    assert shelf.failures() == {
        "03.wav": "decoding it crashed the process (exit code 7)",
        "08.wav": "decoding it crashed the process (SIGKILL, out of memory?)",
    }
    # Only the crash is the file's own; what was killed is tried again.
    remembered = {Path(each.path).name: each.size_bytes for each in shelf.store.failures()}
    assert remembered["03.wav"] > 0 and remembered["08.wav"] == 0


only_linux = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="only Linux tells what a process takes"
)


@only_linux
def test_a_decoder_that_hangs_takes_one_file_and_is_named(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "STALL_S", 1.0)
    monkeypatch.setattr(workers_module, "LOOK_EVERY_S", 0.05)
    shelf.put("computes.wav", "HANG")
    shelf.put("waits.wav", "WAIT")
    shelf.put("stuck.wav", "STUCK")  # in C, with the interpreter locked: no signal and no thread would end it

    assert counts(shelf.report(load=fakes.load, workers=3)) == {"failed": 3}

    reasons = shelf.failures()
    assert reasons["computes.wav"].startswith("decoding it made no progress for ")
    assert reasons["waits.wav"].startswith("nothing could be read of it for ")
    assert reasons["stuck.wav"].startswith("nothing could be read of it for ")
    # What only waited is tried again; what hung would do so again.
    remembered = {Path(each.path).name: each.size_bytes for each in shelf.store.failures()}
    assert remembered["waits.wav"] == 0 < remembered["computes.wav"]


@only_linux
def test_a_decoder_that_hoards_memory_takes_one_file_and_is_named(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(workers_module, "MEMORY_SHARE", 0.0)
    monkeypatch.setattr(workers_module, "LEAST_MEMORY_BYTES", 500_000_000)
    for number in range(5):
        shelf.put(f"{number}.wav", {1: "HOARD", 3: "HOARD-IN-C"}.get(number, f"sound {number}"))

    assert counts(shelf.report(load=fakes.load, workers=1)) == {"added": 3, "failed": 2}
    reason = "decoding it took more than 0.5 GB of memory"
    assert shelf.failures() == {"1.wav": reason, "3.wav": reason}


def test_files_that_all_crash_are_all_named(shelf: Shelf) -> None:
    for number in range(4):
        shelf.put(f"{number}.wav", "CRASH")
    assert counts(shelf.report(load=fakes.load, workers=2)) == {"failed": 4}


def test_a_model_that_no_worker_can_load_is_an_error(shelf: Shelf) -> None:
    shelf.put("a.wav", "bell")
    shelf.put("b.wav", "rain")
    with pytest.raises(ModelError, match=r"audio\.onnx is damaged"):
        shelf.report(load=fakes.load_nothing, workers=2)
    with pytest.raises(LibraryError, match=r"died before it could embed anything \(exit code 3\)"):
        shelf.report(load=fakes.die, workers=2)


def test_ctrl_c_ends_the_workers_and_keeps_what_they_heard(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        shelf.put(f"{number:02}.wav", f"SLOW {number}")
    monkeypatch.setattr(index, "PROGRESS_EVERY_S", 0.0)

    def press(progress: Progress) -> None:
        if progress.files_done == 5:
            fakes.ORDERS["CTRL-C"]("", "")

    report = shelf.report(load=fakes.load, workers=2, progress=press)
    assert report.interrupted and report.added == 5
    assert len(shelf.names()) == 5
    assert counts(shelf.report(load=fakes.load, workers=2)) == {"added": 35, "unchanged": 5}


def test_the_environment_of_this_process_is_left_as_it_was(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    shelf.put("a.wav", "bell")
    shelf.put("b.wav", "rain")
    shelf.report(load=fakes.load, workers=2)
    assert os.environ["OMP_NUM_THREADS"] == "7" and "MKL_NUM_THREADS" not in os.environ


def test_a_file_for_which_there_is_no_memory_is_named_and_the_rest_goes_in(shelf: Shelf) -> None:
    shelf.put("a.wav", "MEMORY")
    shelf.put("b.wav", "bell")
    assert shelf.index() == {"added": 1, "failed": 1}
    assert shelf.failures() == {"a.wav": "there is not enough memory to embed it"}


def test_a_file_for_which_there_was_no_memory_is_tried_again_and_keeps_its_vectors(shelf: Shelf) -> None:
    shelf.put("a.wav", "bell")
    shelf.index()
    shelf.put("a.wav", "MEMORY")
    report = shelf.report()
    assert (report.failed, report.newly_failed, shelf.says("bell")) == (1, 1, "a.wav")
    assert shelf.index() == {"failed": 1} and shelf.embedded == ["a.wav"]
    shelf.put("a.wav", "rain and wind")
    assert (
        shelf.index() == {"changed": 1} and shelf.failures() == {} and shelf.says("rain and wind") == "a.wav"
    )


def test_what_is_embedded_is_committed_before_long(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        shelf.put(f"{number}.wav", f"sound {number}")
    monkeypatch.setattr(index, "COMMIT_S", 0.0)
    before = shelf.store.version()
    shelf.index()
    assert shelf.store.version() - before >= 5


def test_a_stamp_of_the_decoders_has_their_versions() -> None:
    assert f"soundfile {version('soundfile')}" in index.decoder_versions()


def test_workers_compute_on_one_thread_and_leave_ctrl_c_to_the_main_process(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    shelf.put("a.wav", "bell")
    with pytest.raises(ModelError, match="threads 1, Ctrl-C ignored True"):
        shelf.report(load=fakes.tell_circumstances, workers=1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_long_file_tells_how_far_it_is(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr(index, "PROGRESS_EVERY_S", 0.0)
    monkeypatch.setattr("soundseek.library.workers.TELL_EVERY_S", 0.0)
    shelf.put("long.wav", "LASTS 40 bell")
    told: list[Progress] = []
    load = fakes.load if workers == 0 else fakes.load_telling
    shelf.report(load=load, workers=workers, progress=told.append)
    assert [(each.files_done, each.audio_s) for each in told] == [(0, 10), (0, 20), (0, 30), (1, 40)]
    assert [each.audio_left_s for each in told] == [30, 20, 10, 0]
