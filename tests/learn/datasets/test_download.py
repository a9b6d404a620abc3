"""Downloads that are cut off, damaged, refused or out of space, from a server in a thread."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import socket
import urllib.request
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from web_server import Site, serving

from soundseek.errors import DataError, UsageError
from soundseek.learn.datasets.download import CannotFetchError, Patience, fetch, is_intact
from soundseek.learn.datasets.sources import RemoteFile

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
QUICK = Patience(attempts=3, wait_s=0.0, timeout_s=60.0)


def remote(site: Site, content: bytes = CONTENT, *, md5: bool = True) -> RemoteFile:
    digest = hashlib.md5(content).hexdigest() if md5 else ""
    return RemoteFile("sounds.7z", f"{site.url}/sounds.7z", digest)


@pytest.fixture
def site() -> Site:
    return Site({"sounds.7z": CONTENT})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download_is_verified_reported_and_leaves_no_scratch_files(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    with serving(site):
        path = fetch(remote(site), tmp_path / "new", report=lambda *each: seen.append(each), patience=QUICK)
    assert path.read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["sounds.7z"]
    assert seen[-1] == ("sounds.7z", len(CONTENT), len(CONTENT))


def test_a_file_put_there_by_hand_is_verified_and_not_downloaded(site: Site, tmp_path: Path) -> None:
    (tmp_path / "sounds.7z").write_bytes(CONTENT)
    with serving(site):
        fetch(remote(site), tmp_path, patience=QUICK)
    assert site.requests == []


def test_a_damaged_file_is_replaced(site: Site, tmp_path: Path) -> None:
    (tmp_path / "sounds.7z").write_bytes(CONTENT[:-1] + b"!")
    with serving(site):
        assert fetch(remote(site), tmp_path, patience=QUICK).read_bytes() == CONTENT


def test_a_damaged_file_stays_until_its_successor_is_verified(site: Site, tmp_path: Path) -> None:
    (tmp_path / "sounds.7z").write_bytes(b"half")
    with serving(site), pytest.raises(CannotFetchError):
        site.files.clear()
        fetch(remote(site), tmp_path, patience=QUICK)
    assert (tmp_path / "sounds.7z").read_bytes() == b"half"


def test_a_server_that_hangs_up_midway_is_asked_for_the_rest_only(site: Site, tmp_path: Path) -> None:
    site.hang_up_after = [4000, 3000]
    with serving(site):
        assert fetch(remote(site), tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert [wanted for _, wanted in site.requests] == ["", "bytes=4000-", "bytes=7000-"]


def test_a_second_call_resumes_where_the_first_was_stopped(site: Site, tmp_path: Path) -> None:
    def stop_at_once(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    site.hang_up_after = [6000]
    with serving(site):
        with pytest.raises(KeyboardInterrupt):
            fetch(remote(site), tmp_path, report=stop_at_once, patience=QUICK)
        part = (tmp_path / "sounds.7z.part").stat().st_size
        assert 0 < part <= 6000
        assert fetch(remote(site), tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert site.requests[-1] == ("sounds.7z", f"bytes={part}-")
    assert names(tmp_path) == ["sounds.7z"]


def test_a_call_stopped_after_the_last_byte_needs_no_second_download(site: Site, tmp_path: Path) -> None:
    (tmp_path / "sounds.7z.part").write_bytes(CONTENT)
    with serving(site):
        assert fetch(remote(site), tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert len(site.requests) == 1  # answered with 416, and the md5 is right


def test_without_ranges_it_begins_anew(site: Site, tmp_path: Path) -> None:
    site.ranges, site.hang_up_after = False, [4000]
    with serving(site):
        assert fetch(remote(site), tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert len(site.requests) == 2


def test_parts_of_two_versions_are_never_joined(tmp_path: Path) -> None:
    old, new = b"o" * 5000, b"n" * 6000
    site = Site({"sounds.7z": old}, hang_up_after=[2000, 0, 0, 0])
    with serving(site):
        with pytest.raises(CannotFetchError, match="ended early, 3 times in a row"):
            fetch(remote(site, new, md5=False), tmp_path, patience=QUICK)
        site.files["sounds.7z"], site.etag = new, '"two"'
        assert fetch(remote(site, new, md5=False), tmp_path, patience=QUICK).read_bytes() == new


def test_without_validator_and_md5_nothing_is_resumed(site: Site, tmp_path: Path) -> None:
    site.etag, site.hang_up_after = "", [4000]
    with serving(site):
        fetch(remote(site, md5=False), tmp_path, patience=QUICK)
    assert [wanted for _, wanted in site.requests] == ["", ""]


def test_a_spoilt_part_is_thrown_away_and_begun_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / "sounds.7z.part").write_bytes(b"x" * 100)
    with serving(site):
        assert fetch(remote(site), tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert [wanted for _, wanted in site.requests] == ["bytes=100-", ""]


def test_a_part_longer_than_the_file_is_begun_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / "sounds.7z.part").write_bytes(CONTENT + b"more")
    with serving(site):
        assert fetch(remote(site), tmp_path, patience=QUICK).read_bytes() == CONTENT


def test_another_content_than_the_published_one_is_refused(site: Site, tmp_path: Path) -> None:
    with serving(site), pytest.raises(DataError, match=r"has the md5 \w{32}, expected \w{32}"):
        fetch(remote(site, b"what was published"), tmp_path, patience=QUICK)
    assert names(tmp_path) == []


def test_where_a_sha256_is_published_it_decides(site: Site, tmp_path: Path) -> None:
    with serving(site):
        published = replace(remote(site, md5=False), sha256=hashlib.sha256(CONTENT).hexdigest())
        assert fetch(published, tmp_path, patience=QUICK).read_bytes() == CONTENT
        fetch(published, tmp_path, patience=QUICK)
        assert len(site.requests) == 1  # the second call found it intact
        site.files["sounds.7z"] = CONTENT[:-1] + b"!"
        with pytest.raises(DataError, match=r"has the sha256 \w{64}, expected \w{64}"):
            fetch(published, tmp_path / "anew", patience=QUICK)
    assert names(tmp_path / "anew") == []


def test_another_size_than_the_published_one_is_refused_before_it_is_loaded(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "sounds.7z.part").write_bytes(CONTENT[:100])
    with serving(site), pytest.raises(DataError, match=r"has 10,240 bytes, expected 10,241"):
        fetch(replace(remote(site), size_bytes=10_241), tmp_path, patience=QUICK)
    assert len(site.requests) == 1 and names(tmp_path) == []


def test_a_disk_that_fills_up_midway_says_how_much_is_still_needed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["sounds.7z"] = content = CONTENT * 300  # 3.07 MB
    path_open = Path.open

    class Full(io.FileIO):
        def write(self, block: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open_full(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        return Full(path, mode) if mode == "r+b" else path_open(path, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", open_full)
    with (
        serving(site),
        pytest.raises(DataError, match=r"No space left on device; another 3\.1 MB are needed"),
    ):
        fetch(remote(site, content), tmp_path, patience=QUICK)
    assert len(site.requests) == 1


def test_a_missing_file_is_an_error_at_once(site: Site, tmp_path: Path) -> None:
    site.files.clear()
    with (
        serving(site),
        pytest.raises(CannotFetchError, match=r"sounds\.7z: the server answers 404 Not Found"),
    ):
        fetch(remote(site), tmp_path, patience=QUICK)
    assert len(site.requests) == 1


def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.refuse_with = [503, 429]
    with serving(site):
        assert fetch(remote(site), tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert len(site.requests) == 3


def test_a_server_that_stays_busy_is_given_up(site: Site, tmp_path: Path) -> None:
    site.refuse_with = [503] * 9
    with serving(site), pytest.raises(CannotFetchError, match="503 Service Unavailable, 3 times in a row"):
        fetch(remote(site), tmp_path, patience=QUICK)
    assert len(site.requests) == 3


def test_no_space_is_seen_before_a_byte_is_written(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=len(CONTENT) - 1))
    with serving(site), pytest.raises(DataError, match=r"sounds\.7z needs 0\.0 MB and .* MB left"):
        fetch(remote(site), tmp_path, patience=QUICK)
    assert names(tmp_path) == []


def test_what_is_there_already_needs_no_space(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sounds.7z.part").write_bytes(CONTENT[:10_000])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=240))
    with serving(site):
        assert fetch(remote(site), tmp_path, patience=QUICK).read_bytes() == CONTENT


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_no_matter_of_the_network(site: Site, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with serving(site), pytest.raises(DataError, match="Permission denied") as error:
        fetch(remote(site), tmp_path, patience=QUICK)
    assert not isinstance(error.value, CannotFetchError)


def test_without_a_name_server_it_gives_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = []

    def offline(request: object, timeout: float) -> None:
        tries.append(request)
        raise urllib.request.URLError(socket.gaierror(-2, "Name or service not known"))  # type: ignore[attr-defined]

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(CannotFetchError, match="Name or service not known"):
        fetch(RemoteFile("a.csv", "https://example.invalid/a.csv"), tmp_path, patience=QUICK)
    assert len(tries) == 1


def test_a_refused_connection_is_tried_again(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody answers here
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a.csv"
        with pytest.raises(CannotFetchError, match="refused, 3 times in a row"):
            fetch(RemoteFile("a.csv", url), tmp_path, patience=QUICK)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/a", "a.csv"])
def test_only_http_is_downloaded(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only http:// and https://"):
        fetch(RemoteFile("a.csv", url), tmp_path)


def test_an_empty_file_is_never_intact(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    assert not is_intact(RemoteFile("a.csv", "http://x/a.csv"), tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(b"1")
    assert is_intact(RemoteFile("a.csv", "http://x/a.csv"), tmp_path / "a.csv")


def test_a_mirror_has_the_same_names() -> None:
    file = RemoteFile("a.csv", "https://zenodo.org/records/1/files/a.csv", "0" * 32)
    assert file.at("http://mirror/clotho/") == RemoteFile("a.csv", "http://mirror/clotho/a.csv", "0" * 32)
    assert file.at(None) is file
