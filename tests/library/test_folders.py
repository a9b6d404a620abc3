"""Folders that are renamed, unplugged, linked, excluded or forgotten: nothing goes by accident or stays for ever."""

from __future__ import annotations

import os
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from library import fakes
from library.shelves import EXTENSIONS, Shelf, counts, set_time

from soundseek.errors import UsageError
from soundseek.library import scan
from soundseek.library.folders import forget_folders, relocate_folder
from soundseek.library.index import IndexReport, update
from soundseek.library.paths import moved_below
from soundseek.library.store import tables
from soundseek.library.store.base import Changes
from soundseek.library.volumes import Volumes

FAR = 2**63 / 1e9 + 1e6  # seconds: the year 2262, and some days


def again(shelf: Shelf) -> IndexReport:
    """A run over the folders of earlier runs."""
    shelf.embedded.clear()
    return update(shelf.store, [], fakes.Counting(shelf.embedded), extensions=EXTENSIONS)


class Drives:
    """File systems as a test says: a folder and what is below it is on the drive that was plugged in there last."""

    def __init__(self) -> None:
        self.plugged: dict[str, str] = {}

    def name(self, folder: str) -> str:
        found = [place for place in self.plugged if f"{folder}/".startswith(f"{place}/")]
        return self.plugged[max(found, key=len)] if found else "system"

    def is_mount_point(self, folder: str) -> bool:
        return folder in self.plugged


@pytest.fixture
def drives(monkeypatch: pytest.MonkeyPatch) -> Drives:
    made = Drives()
    monkeypatch.setattr(scan, "Volumes", lambda: made)
    return made


# --- Drives and links that are not there --------------------------------------------------------------------------


def test_a_drive_below_a_folder_keeps_its_sounds_while_it_is_unplugged(shelf: Shelf, drives: Drives) -> None:
    shelf.put("own.wav", "wind")
    path = shelf.put("usb/deep/a.wav", "bell")
    drives.plugged[str(shelf.folder / "usb")] = "usb stick"
    assert shelf.index() == {"added": 2}
    text = path.read_text()
    for leave in (
        lambda: path.unlink(),
        lambda: shutil.rmtree(shelf.folder / "usb"),
    ):  # a mount point, or none at all
        leave()
        drives.plugged.clear()
        report = shelf.report()
        assert counts(report) == {"unchanged": 1, "missing": 1}
        assert report.missing_folders == (str(path.parent),)
    shelf.put("usb/deep/a.wav", text)
    drives.plugged[str(shelf.folder / "usb")] = "usb stick"
    assert shelf.index() == {"unchanged": 2} and shelf.embedded == []


def test_a_second_card_at_the_same_place_leaves_the_first_ones_sounds(shelf: Shelf, drives: Drives) -> None:
    card = shelf.folder / "card"
    first = shelf.put("card/a.wav", "bell")
    drives.plugged[str(card)] = "card one"
    shelf.index(card)
    first.unlink()
    second = shelf.put("card/b.wav", "rain")
    drives.plugged[str(card)] = "card two"
    assert shelf.index(card) == {"added": 1, "missing": 1}
    second.unlink()
    set_time(shelf.put("card/a.wav", "bell"), 1000)
    drives.plugged[str(card)] = "card one"
    assert shelf.index(card) == {"unchanged": 1, "missing": 1}
    assert shelf.names() == {"card/a.wav", "card/b.wav"}


def test_another_card_of_the_same_name_has_none_of_the_files(shelf: Shelf, drives: Drives) -> None:
    card = shelf.folder / "card"
    first = shelf.put("card/a.wav", "bell")
    drives.plugged[str(card)] = "no name"
    shelf.index(card)
    first.unlink()
    shelf.put("card/b.wav", "rain")
    assert shelf.index(card) == {"added": 1, "missing": 1}


def test_what_was_removed_from_a_drive_that_is_there_is_gone(shelf: Shelf, drives: Drives) -> None:
    drives.plugged[str(shelf.folder / "usb")] = "usb stick"
    path = shelf.put("usb/a.wav", "bell")
    shelf.put("usb/b.wav", "rain")
    shelf.index()
    path.unlink()
    assert shelf.index() == {"removed": 1, "unchanged": 1}


def test_a_drive_that_has_another_name_after_a_restart_is_the_same_if_most_of_it_is_there(
    shelf: Shelf, drives: Drives
) -> None:
    drives.plugged[str(shelf.folder)] = "drive of before"
    path = shelf.put("a.wav", "bell")
    shelf.put("b.wav", "rain")
    shelf.put("c.wav", "wind")
    shelf.index()
    drives.plugged[str(shelf.folder)] = "drive of today"
    path.unlink()
    assert shelf.index() == {"removed": 1, "unchanged": 2}
    assert {state.volume for state in shelf.store.states("/").values()} == {"drive of today"}


@pytest.mark.parametrize("name", ["link", "link.wav"])
def test_a_link_to_a_folder_that_is_not_there_keeps_its_sounds(
    shelf: Shelf, tmp_path: Path, name: str
) -> None:
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "a.wav").write_text("bell")
    (shelf.folder / name).symlink_to(tmp_path / "drive")
    assert shelf.index() == {"added": 1}
    (tmp_path / "drive").rename(tmp_path / "unplugged")
    report = shelf.report()
    assert (report.missing, report.missing_folders) == (1, (str(shelf.folder / name),))
    assert report.failed == (name == "link.wav")  # it is named as a sound, and none
    (tmp_path / "unplugged").rename(tmp_path / "drive")
    assert shelf.index() == {"unchanged": 1} and shelf.embedded == []
    (shelf.folder / name).unlink()  # the link itself is removed: that is said on purpose
    assert shelf.index() == {"removed": 1}


def test_a_link_to_a_sound_that_is_not_there_keeps_it_and_is_no_failure(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("bell")
    (shelf.folder / "linked.wav").symlink_to(tmp_path / "a.wav")
    shelf.index()
    (tmp_path / "a.wav").rename(tmp_path / "away.wav")
    assert shelf.index() == {"missing": 1}
    (tmp_path / "away.wav").rename(tmp_path / "a.wav")
    assert shelf.index() == {"unchanged": 1}


def test_a_missing_folder_of_its_own_is_passed_by_and_kept(shelf: Shelf) -> None:
    shelf.put("usb/a.wav", "bell")
    shelf.put("b/b.wav", "rain")
    shelf.index(shelf.folder / "usb", shelf.folder / "b")
    (shelf.folder / "usb").rename(shelf.folder / "unplugged")
    assert counts(again(shelf)) == {"unchanged": 1, "missing": 1}
    (shelf.folder / "unplugged").rename(shelf.folder / "usb")
    assert counts(again(shelf)) == {"unchanged": 2}


def can_bind(folder: Path) -> bool:
    """Whether this process may mount."""
    (folder / "probe").mkdir()
    made = (
        subprocess.run(
            ["mount", "--bind", folder, folder / "probe"], capture_output=True, check=False
        ).returncode
        == 0
    )
    if made:
        subprocess.run(["umount", folder / "probe"], check=True)
    return made


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A folder of the same file system, bound into the shelf's folder."""
    try:
        allowed = can_bind(tmp_path)
    except OSError:
        allowed = False
    if not allowed:
        pytest.skip("needs the right to mount")
    source, place = tmp_path / "source", tmp_path / "sounds" / "bound"
    source.mkdir()
    place.mkdir(parents=True, exist_ok=True)
    (source / "a.wav").write_text("bell")
    subprocess.run(["mount", "--bind", source, place], check=True)
    yield place
    subprocess.run(["umount", place], check=False, capture_output=True)


def test_a_bind_mount_that_is_undone_keeps_its_sounds(shelf: Shelf, mounted: Path) -> None:
    shelf.put("own.wav", "wind")
    assert shelf.index() == {"added": 2}
    subprocess.run(["umount", mounted], check=True)
    assert shelf.index() == {"unchanged": 1, "missing": 1}


def test_a_file_system_has_one_name(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    volumes, real = Volumes(), os.path.realpath(tmp_path)
    assert volumes.name(real) == volumes.name(f"{real}/deep") == Volumes().name(real)
    assert not volumes.is_mount_point(f"{real}/deep") and not volumes.is_mount_point("/")
    if Path("/proc/self/mountinfo").exists():
        assert volumes.is_mount_point("/proc") and volumes.name("/proc") != volumes.name("/")


# --- Renamed and moved --------------------------------------------------------------------------------------------


def test_a_renamed_folder_is_recognised_and_its_old_name_forgotten(shelf: Shelf) -> None:
    for number in range(3):
        shelf.put(f"sfx/{number}.wav", f"sound {number}")
    shelf.put("sfx/bad.wav", "BAD it is text")
    shelf.put("other/b.wav", "rain")
    shelf.index(shelf.folder / "sfx", shelf.folder / "other")
    (shelf.folder / "sfx").rename(shelf.folder / "sounds")
    assert shelf.index(shelf.folder / "sounds") == {"moved": 3, "failed": 1}
    assert shelf.embedded == ["bad.wav"]
    assert sorted(shelf.store.roots()) == [str(shelf.folder / "other"), str(shelf.folder / "sounds")]
    assert [Path(failure.path).parent.name for failure in shelf.store.failures()] == ["sounds"]
    assert counts(again(shelf)) == {"unchanged": 4, "failed": 1}


def test_what_is_not_in_the_new_folder_stays_known_under_the_old_name(shelf: Shelf) -> None:
    kept = shelf.put("sfx/kept.wav", "bell")
    shelf.put("sfx/lost.wav", "rain")
    shelf.index(shelf.folder / "sfx")
    kept.rename(shelf.put("new/x.wav", ""))
    shutil.rmtree(shelf.folder / "sfx")
    assert shelf.index(shelf.folder / "new") == {"moved": 1}
    assert shelf.names() == {"new/x.wav", "sfx/lost.wav"}
    assert counts(again(shelf)) == {"unchanged": 1, "missing": 1}


def test_a_copy_of_what_is_on_an_unplugged_drive_moves_nothing(shelf: Shelf, drives: Drives) -> None:
    usb = shelf.folder / "usb"
    drives.plugged[str(usb)] = "usb stick"
    shelf.put("usb/a.wav", "bell")
    shelf.index(usb)
    shutil.copytree(usb, shelf.folder / "backup")
    shutil.rmtree(usb)
    drives.plugged.clear()
    assert shelf.index(shelf.folder / "backup") == {"added": 1} and shelf.embedded == []
    assert shelf.names() == {"usb/a.wav", "backup/a.wav"}


def test_files_move_between_folders(shelf: Shelf) -> None:
    path = shelf.put("a/x.wav", "bell")
    shelf.put("b/y.wav", "rain")
    shelf.index(shelf.folder / "a", shelf.folder / "b")
    path.rename(shelf.folder / "b" / "x.wav")
    assert counts(again(shelf)) == {"moved": 1, "unchanged": 1}
    assert shelf.names() == {"b/x.wav", "b/y.wav"}


def test_a_root_that_is_gone_and_held_nothing_is_forgotten(shelf: Shelf) -> None:
    path = shelf.put("sfx/a.wav", "bell")
    shelf.put("b/b.wav", "rain")
    shelf.index(shelf.folder / "sfx", shelf.folder / "b")
    path.unlink()
    assert counts(again(shelf)) == {"removed": 1, "unchanged": 1}
    path.parent.rmdir()
    report = again(shelf)
    assert report.missing_folders == () and list(shelf.store.roots()) == [str(shelf.folder / "b")]


def test_an_emptied_card_is_scanned_again_when_it_comes_back(shelf: Shelf) -> None:
    card = shelf.folder / "card"
    path = shelf.put("card/a.wav", "bell")
    shelf.put("b/b.wav", "rain")
    shelf.index(card, shelf.folder / "b")
    path.unlink()
    again(shelf)
    with shelf.store.writing():  # as if the folder were the mount point of another file system
        shelf.store.commit(Changes(roots={str(card): card.stat().st_dev + 1}))
    card.rmdir()
    assert again(shelf).missing_folders == (str(card),)
    shelf.put("card/c.wav", "wind")
    assert counts(again(shelf)) == {"added": 1, "unchanged": 1}


def test_a_folder_moves_to_the_root_of_a_disk_and_back_without_doubled_separators(shelf: Shelf) -> None:
    assert moved_below("/sfx/rain.wav", "/sfx", "/") == "/rain.wav"
    path = shelf.put("old/a.wav", "bell")
    shelf.index(shelf.folder / "old")
    with shelf.store.writing():
        shelf.store.relocate(str(shelf.folder / "old"), "/")
        assert list(shelf.store.states("/")) == ["/a.wav"] and list(shelf.store.roots()) == ["/"]
        shelf.store.relocate("/", str(shelf.folder / "old"))
    assert list(shelf.store.states("/")) == [str(path)]


def test_relocating_moves_everything_below_and_embeds_nothing(shelf: Shelf) -> None:
    shelf.put("old/a.wav", "bell")
    shelf.put("old/deep/b.wav", "rain")
    shelf.put("old/bad.wav", "BAD it is text")
    shelf.index(shelf.folder / "old")
    (shelf.folder / "old").rename(shelf.folder / "new")
    assert relocate_folder(shelf.store, f"{shelf.folder}/old/", shelf.folder / "new") == 2
    assert shelf.names() == {"new/a.wav", "new/deep/b.wav"}
    assert list(shelf.store.roots()) == [str(shelf.folder / "new")]
    assert counts(again(shelf)) == {"unchanged": 2, "failed": 1} and shelf.embedded == []


def test_relocating_a_folder_into_itself_loses_nothing(shelf: Shelf) -> None:
    shelf.put("a.wav", "one")
    shelf.put("in/a.wav", "two and more")
    shelf.index()
    (shelf.folder / "in" / "in").mkdir()
    (shelf.folder / "in" / "a.wav").rename(shelf.folder / "in" / "in" / "a.wav")
    (shelf.folder / "a.wav").rename(shelf.folder / "in" / "a.wav")
    assert relocate_folder(shelf.store, shelf.folder, shelf.folder / "in") == 2
    assert shelf.names() == {"in/a.wav", "in/in/a.wav"}
    assert (shelf.says("one"), shelf.says("two and more")) == ("in/a.wav", "in/in/a.wav")


def test_relocating_over_known_files_replaces_them(shelf: Shelf) -> None:
    shelf.put("old/a.wav", "bell")
    shelf.put("new/a.wav", "rain, which is longer")
    shelf.index()
    (shelf.folder / "old" / "a.wav").rename(shelf.folder / "new" / "a.wav")
    assert relocate_folder(shelf.store, shelf.folder / "old", shelf.folder / "new") == 1
    assert shelf.names() == {"new/a.wav"} and shelf.says("bell") == "new/a.wav"
    assert shelf.store.stats().segments == 1


def test_relocating_to_where_the_sounds_are_not_is_refused(shelf: Shelf) -> None:
    shelf.put("old/a.wav", "bell")
    shelf.put("elsewhere/b.wav", "rain")
    shelf.index(shelf.folder / "old")
    for new, message in (
        ("elsewhere", r"none of the 1 sounds of .*/old is in .*/elsewhere .*soundseek forget"),
        ("nowhere", "nowhere is not there; give the folder in which the sounds"),
        ("old", "is where it was"),
    ):
        with pytest.raises(UsageError, match=message):
            relocate_folder(shelf.store, shelf.folder / "old", shelf.folder / new)
    with pytest.raises(UsageError, match=r"elsewhere is not in the library .*; its folders: .*/old"):
        relocate_folder(shelf.store, shelf.folder / "elsewhere", shelf.folder / "old")
    assert shelf.names() == {"old/a.wav"}


# --- Forgotten ----------------------------------------------------------------------------------------------------


def test_forgetting_drops_sounds_failures_and_the_folder(shelf: Shelf) -> None:
    shelf.put("sfx/a.wav", "bell")
    shelf.put("sfx/deep/bad.wav", "BAD it is text")
    shelf.put("sfx more/b.wav", "rain")
    shelf.index(shelf.folder / "sfx", shelf.folder / "sfx more")
    shutil.rmtree(shelf.folder / "sfx")
    assert forget_folders(shelf.store, [f"{shelf.folder}/sfx/"]) == 1
    assert shelf.names() == {"sfx more/b.wav"} and shelf.failures() == {}
    assert counts(again(shelf)) == {"unchanged": 1}
    with pytest.raises(UsageError, match=r"sfx is not in the library .*; its folders: .*/sfx more"):
        forget_folders(shelf.store, [shelf.folder / "sfx"])


def test_forgetting_what_is_missing_leaves_what_is_there(shelf: Shelf) -> None:
    path = shelf.put("a.wav", "bell")
    shelf.put("b.wav", "rain")
    shelf.index()
    path.unlink()
    assert forget_folders(shelf.store, [shelf.folder], missing_only=True) == 1
    assert shelf.names() == {"b.wav"} and list(shelf.store.roots()) == [str(shelf.folder)]


def test_a_single_file_is_forgotten_from_a_folder_of_any_spelling(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    nfd, nfc = (unicodedata.normalize(form, "Übung") for form in ("NFD", "NFC"))
    shelf.put(f"{nfd}/a.wav", "bell")
    shelf.put(f"{nfd}/b.wav", "rain")
    shelf.index(shelf.folder / nfd)
    monkeypatch.chdir(shelf.folder)
    assert forget_folders(shelf.store, [f"{nfc}/a.wav"]) == 1
    shutil.rmtree(shelf.folder / nfd)
    assert forget_folders(shelf.store, [nfc]) == 1
    assert shelf.names() == set()


# --- One folder, several names ------------------------------------------------------------------------------------


def test_a_folder_and_a_link_to_it_are_one(shelf: Shelf) -> None:
    shelf.put("in/deep/a.wav", "bell")
    (shelf.folder / "link").symlink_to("in")
    report = shelf.report(shelf.folder / "link", shelf.folder / "in")
    assert counts(report) == {"added": 1}
    assert report.same_folders == {str(shelf.folder / "link"): str(shelf.folder / "in")}
    for other in ("link", "link/deep", "in/deep"):
        assert shelf.index(shelf.folder / other) == {"unchanged": 1}
    assert shelf.names() == {"in/deep/a.wav"}


def test_the_name_of_an_earlier_run_counts(shelf: Shelf) -> None:
    shelf.put("in/a.wav", "bell")
    (shelf.folder / "link").symlink_to("in")
    shelf.index(shelf.folder / "link")
    assert shelf.index(shelf.folder / "in") == {"unchanged": 1}
    assert shelf.names() == {"link/a.wav"}


def test_a_folder_around_a_linked_one_takes_its_sounds_over(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put("in/a.wav", "bell")
    (tmp_path / "link").symlink_to(shelf.folder / "in")
    shelf.index(tmp_path / "link")
    assert shelf.index() == {"moved": 1} and shelf.embedded == []
    assert list(shelf.store.roots()) == [str(shelf.folder)]


def test_a_folder_that_was_indexed_twice_before_is_once_now(shelf: Shelf) -> None:
    path = shelf.put("in/a.wav", "bell")
    (shelf.folder / "link").symlink_to("in")
    shelf.index(shelf.folder / "in")
    sound = shelf.store.read(str(path))
    assert sound is not None
    twice = fakes.renamed(sound, str(shelf.folder / "link" / "a.wav"))
    with shelf.store.writing():
        shelf.store.commit(fakes.changes(twice, root=str(shelf.folder / "link")))
    assert counts(again(shelf)) == {"removed": 1, "unchanged": 1}
    assert list(shelf.store.roots()) == [str(shelf.folder / "in")]


def test_hard_links_are_files_of_their_own_and_embedded_once(shelf: Shelf) -> None:
    path = shelf.put("a.wav", "bell")
    shelf.index()
    os.link(path, shelf.folder / "b.wav")
    assert shelf.index() == {"added": 1, "unchanged": 1} and shelf.embedded == []


# --- Excluded -----------------------------------------------------------------------------------------------------


def test_excluded_files_are_passed_by_in_later_runs_as_well(shelf: Shelf) -> None:
    for name in ("a.wav", "a.tmp.wav", "Takes/b.wav", "deep/Takes/c.wav", "keep/d.wav"):
        shelf.put(name, name)
    assert shelf.index(exclude=["*.tmp.wav", "/Takes"]) == {"added": 3}
    assert shelf.names() == {"a.wav", "deep/Takes/c.wav", "keep/d.wav"}
    assert shelf.index() == {"unchanged": 3}
    assert shelf.index(exclude=["Takes/"]) == {"added": 1, "removed": 1, "unchanged": 2}
    assert shelf.index(exclude=[]) == {"added": 2, "unchanged": 3}


def test_a_path_and_letters_of_any_composition_exclude(shelf: Shelf) -> None:
    shelf.put(unicodedata.normalize("NFD", "Übung/a.wav"), "bell")
    shelf.put("b/c/d.wav", "rain")
    shelf.put("e.wav", "wind")
    assert shelf.index(exclude=[unicodedata.normalize("NFC", "Übung"), f"{shelf.folder}/b/c"]) == {"added": 1}


def test_an_ignore_file_holds_below_its_folder(shelf: Shelf) -> None:
    for name in ("a.wav", "in/a.wav", "in/b.wav", "in/deep/b.wav", "in/deep/keep.wav"):
        shelf.put(name, name)
    shelf.put("in/.soundseekignore", "# mine\n\n*.wav\n!keep.wav\n!b.wav\n")
    shelf.put("in/deep/.soundseekignore", "b.wav\n")
    shelf.index()
    assert shelf.names() == {"a.wav", "in/b.wav", "in/deep/keep.wav"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_an_ignore_file_may_be_saved_by_any_editor(shelf: Shelf, encoding: str, ending: str) -> None:
    for name in ("a.wav", "käse.wav", "b.wav"):
        shelf.put(name, name)
    (shelf.folder / ".soundseekignore").write_bytes(f"a.wav{ending}käse.wav{ending}".encode(encoding))
    shelf.index()
    assert shelf.names() == {"b.wav"}
    (shelf.folder / ".soundseekignore").write_bytes("a.wav\n".encode("utf-16-le"))
    assert shelf.index() == {"added": 2, "unchanged": 1, "failed": 1}
    assert "zero byte" in shelf.failures()[".soundseekignore"]


def test_what_is_no_pattern_is_refused_and_changes_nothing(shelf: Shelf) -> None:
    shelf.put("a.wav", "bell")
    for pattern, message in (("!", "'!' is no pattern of files"), ("", "is empty")):
        with pytest.raises(UsageError, match=message):
            shelf.index(exclude=[pattern])
    assert shelf.names() == set()
    shelf.put(".soundseekignore", "!\n")
    assert shelf.index() == {"added": 1, "failed": 1}
    assert "what it says is not followed" in shelf.failures()[".soundseekignore"]


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "@EADIR", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "@SynologyDrive",
     "@sharesnap", "Config.Msi", "OneDriveTemp", "Backups.backupdb", "_gsdata_"],
)  # fmt: skip
def test_folders_of_the_system_are_passed_by_unless_they_are_named(shelf: Shelf, name: str) -> None:
    shelf.put("a.wav", "bell")
    shelf.put(f"{name}/a.wav/SYNOINDEX_MEDIA_INFO", "x")
    shelf.put(f"{name}/b.wav", "rain")
    assert shelf.index() == {"added": 1}
    assert shelf.index(shelf.folder / name) == {"added": 1}


# --- Odd files and runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [FAR, -86_400.5, 0.0])
def test_a_date_of_any_year_is_taken_in_and_known_again(shelf: Shelf, seconds: float) -> None:
    path = shelf.put("a.wav", "bell")
    shelf.put("b.wav", "rain")
    os.utime(path, ns=(int(seconds * 1e9), int(seconds * 1e9)))
    assert shelf.index() == {"added": 2}
    assert shelf.index() == {"unchanged": 2}
    shelf.put("c.wav", "BAD it is text")
    os.utime(shelf.folder / "c.wav", ns=(int(seconds * 1e9), int(seconds * 1e9)))
    assert shelf.index() == shelf.index() == {"unchanged": 2, "failed": 1}


def test_a_file_that_vanishes_during_the_run_is_no_failure_and_keeps_its_vectors(shelf: Shelf) -> None:
    set_time(shelf.put("a.wav", "bell"), 1000)
    shelf.index()
    shelf.put("a.wav", "VANISH")
    shelf.put("b.wav", "VANISH")
    assert shelf.index() == {"vanished": 2}
    assert shelf.names() == {"a.wav"} and shelf.failures() == {}
    shelf.put("renamed.wav", "bell")
    assert shelf.index() == {"moved": 1}


def test_a_file_that_cannot_be_read_now_keeps_its_vectors_and_is_tried_again(shelf: Shelf) -> None:
    set_time(shelf.put("a.wav", "bell"), 1000)
    shelf.index()
    shelf.put("a.wav", "UNREADABLE")
    report = shelf.report()
    assert (report.failed, report.newly_failed) == (1, 1) and shelf.names() == {"a.wav"}
    assert "cannot be read: Input/output error" in shelf.failures()["a.wav"]
    assert (shelf.report().failed, shelf.report().newly_failed) == (1, 0)
    set_time(shelf.put("a.wav", "bell"), 1000)
    assert shelf.index() == {"unchanged": 1} and shelf.failures() == {}


def test_new_failures_are_told_from_known_ones(shelf: Shelf) -> None:
    shelf.put("a.wav", "BAD it is text")
    (shelf.folder / "broken.wav").symlink_to("nowhere.wav")
    for newly in (2, 0):
        report = shelf.report()
        assert (report.failed, report.newly_failed) == (2, newly)
    shelf.put("b.wav", "BAD it is text")
    report = shelf.report()
    assert (report.failed, report.newly_failed) == (3, 1)
    set_time(shelf.put("b.wav", "BAD in another way"), 1000)
    assert shelf.report().newly_failed == 1


def test_a_known_failure_stays_known_when_its_file_or_folder_is_renamed(shelf: Shelf) -> None:
    path = shelf.put("sfx/bad.wav", "BAD it is text")
    shelf.put("sfx/a.wav", "bell")
    assert shelf.report(shelf.folder / "sfx").newly_failed == 1
    renamed = path.rename(path.with_name("worse.wav"))
    os.utime(renamed)  # a move to another disk may set the date
    report = again(shelf)
    assert (report.failed, report.newly_failed) == (1, 0) and set(shelf.failures()) == {"worse.wav"}
    (shelf.folder / "sfx").rename(shelf.folder / "sounds")
    report = shelf.report(shelf.folder / "sounds")
    assert (report.moved, report.failed, report.newly_failed) == (1, 1, 0)
    assert [failure.path for failure in shelf.store.failures()] == [
        str(shelf.folder / "sounds" / "worse.wav")
    ]
    assert list(shelf.store.roots()) == [str(shelf.folder / "sounds")]
    shutil.copy(shelf.folder / "sounds" / "worse.wav", shelf.folder / "sounds" / "copy.wav")
    report = again(shelf)
    assert (report.failed, report.newly_failed) == (2, 1)


def test_a_folder_of_nothing_but_known_failures_can_be_renamed(shelf: Shelf) -> None:
    shelf.put("sfx/bad.wav", "BAD it is text")
    shelf.index(shelf.folder / "sfx")
    (shelf.folder / "sfx").rename(shelf.folder / "sounds")
    assert shelf.report(shelf.folder / "sounds").newly_failed == 0
    assert list(shelf.store.roots()) == [str(shelf.folder / "sounds")]


def test_failures_of_one_content_and_links_to_nowhere_stay_known_when_their_folder_is_renamed(
    shelf: Shelf,
) -> None:
    for name in ("a.wav", "b.wav", "deep/c.wav"):
        shelf.put(f"sfx/{name}", "BAD it is text")
    shelf.put("sfx/good.wav", "bell")
    (shelf.folder / "sfx" / "link.wav").symlink_to("nowhere.wav")
    assert shelf.report(shelf.folder / "sfx").newly_failed == 4
    (shelf.folder / "sfx").rename(shelf.folder / "sounds")
    report = shelf.report(shelf.folder / "sounds")
    assert (report.failed, report.newly_failed) == (4, 0)
    assert len(shelf.failures()) == 4


def test_a_limit_is_remembered_and_names_what_it_cut(shelf: Shelf) -> None:
    long = shelf.put("long.wav", "LASTS 25 bell")
    shelf.put("short.wav", "rain")
    report = shelf.report(max_duration_s=12)
    assert (report.cut, report.cut_files) == (1, (str(long),))
    shelf.put("new.wav", "LASTS 25 wind")
    assert shelf.report().cut == 1  # the limit still holds
    assert [file.duration_s for file in shelf.store.cut_files()] == [12, 12]
    report = shelf.report(max_duration_s=float("inf"))
    assert (report.changed, report.cut) == (2, 0) and shelf.store.cut_files() == []
    assert shelf.report(max_duration_s=float("inf")).changed == 0


def test_copies_ask_for_one_original_each(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        shelf.put(f"a/{number}.wav", "bell")
    shelf.index()
    shutil.copytree(shelf.folder / "a", shelf.folder / "b")
    made: list[object] = []
    real = tables.file_of
    monkeypatch.setattr(tables, "file_of", lambda row: made.append(row) or real(row))
    assert shelf.index() == {"added": 60, "unchanged": 60}
    (shelf.folder / "a").rename(shelf.folder / "c")
    (shelf.folder / "b").rename(shelf.folder / "d")
    assert shelf.index() == {"moved": 120}
    assert 180 <= len(made) < 4 * 180  # and not 60 for each of 180
