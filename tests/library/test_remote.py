"""Sounds in a bucket: what a run fetches, knows again, keeps and names.

The bucket is fsspec's in memory, and where they are installed one of moto's S3 server, read by s3fs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem
from library import fakes
from library.stores import IDENTITY
from library.test_ray_workers import InlineCluster

from soundseek.errors import UsageError
from soundseek.library import Library, remote, workers
from soundseek.library.folders import forget_folders, relocate_folder
from soundseek.library.index import IndexReport, update
from soundseek.library.paths import absolute, is_url
from soundseek.library.ray_workers import embed_on_cluster
from soundseek.library.store.sqlite import SqliteStore
from soundseek.library.watching import FolderWatch
from soundseek.library.workers import remove_copies_of


@dataclass(frozen=True)
class Bucket:
    """A bucket `sounds`, in which a folder `sfx` is indexed.

    Attributes:
        files: fsspec's file system.
        scheme: Of its URLs.
    """

    files: Any
    scheme: str

    @property
    def root(self) -> str:
        return f"{self.scheme}://sounds/sfx"

    def put(self, **texts: str) -> None:
        """Texts that stand for sounds, at names in which __ is a slash and _ a dot."""
        for name, text in texts.items():
            path = name.replace("__", "/").replace("_", ".")
            self.files.pipe_file(f"sounds/sfx/{path}", text.encode())

    def index(self, store: SqliteStore, *folders: str, **options: Any) -> IndexReport:
        return update(store, folders, fakes.load, extensions=frozenset({".wav"}), **options)

    def names(self, store: SqliteStore) -> set[str]:
        return {path.removeprefix(f"{self.root}/") for path in store.states(self.root)}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    pytest.importorskip("s3fs", reason="needs s3fs: pip install 'soundseek[s3]'")
    server = pytest.importorskip("moto.server", reason="needs moto's S3 server: pip install 'moto[server]'")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield f"http://127.0.0.1:{running.get_host_and_port()[1]}"
    running.stop()


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    if request.param == "s3":
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("endpoint"))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    files = fsspec.filesystem(request.param)
    files.mkdir("sounds")
    yield Bucket(files, request.param)
    files.invalidate_cache()
    if files.exists("sounds"):
        files.rm("sounds", recursive=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    yield opened
    opened.close()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[str]]]:
    """What was fetched; no copy of it is left behind."""
    noted: dict[str, list[str]] = {"fetched": []}

    def fetched(url: str, tick: Callable[[], None]) -> Any:
        noted["fetched"].append(url.partition("/sfx/")[2])
        return remote.fetched(url, tick)

    monkeypatch.setattr(workers, "fetched", fetched)
    yield noted
    assert not list(Path(tempfile.gettempdir()).glob(f"soundseek-fetched-{os.getpid()}-*"))


class GenericFiles(MemoryFileSystem):
    """Files that fsspec finds by listing each folder, one of which may refuse."""

    protocol = "generic"
    unlisted = ""
    find = AbstractFileSystem.find

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        if self._strip_protocol(path) == self.unlisted:
            raise OSError("the server is busy")
        return super().ls(path, detail=detail, **options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.removeprefix("generic://")))


def refuse(url: str) -> tuple[Any, str]:
    """What stands for `remote._opened` where the key is missing."""
    raise RuntimeError("Unable to locate credentials")


def test_sounds_go_in_by_their_url_and_are_not_fetched_again(
    bucket: Bucket, store: SqliteStore, seen: dict[str, list[str]]
) -> None:
    bucket.put(
        a_wav="dog",
        **{"b c__d#é?_wav": "rain"},
        bad_wav="BAD header",
        notes_txt="x",
        _hidden__x_wav="hidden",
    )
    bucket.put(old__a_wav="out", _soundseekignore="old/")
    first = bucket.index(store, f"{bucket.root}/")
    assert (first.added, first.failed, first.empty_folders) == (2, 1, ())
    assert bucket.names(store) == {"a.wav", "b c/d#é?.wav"} and set(store.roots()) == {bucket.root}
    assert [(each.path, each.reason) for each in store.failures()] == [(f"{bucket.root}/bad.wav", "header")]
    vectors = store.vectors(f"{bucket.root}/a.wav")
    assert vectors is not None and vectors[1][0] == pytest.approx(fakes.content("dog"), abs=1e-3)
    assert sorted(seen["fetched"]) == ["a.wav", "b c/d#é?.wav", "bad.wav"]
    again = bucket.index(store)
    assert (again.unchanged, again.failed, again.newly_failed, len(seen["fetched"])) == (2, 1, 0, 3)


def test_another_content_of_the_same_size_in_the_same_second_is_seen(
    bucket: Bucket, store: SqliteStore
) -> None:
    bucket.put(a_wav="dog")
    bucket.index(store, bucket.root)
    bucket.put(a_wav="cat")
    assert bucket.index(store).changed == 1
    vectors = store.vectors(f"{bucket.root}/a.wav")
    assert vectors is not None and vectors[1][0] == pytest.approx(fakes.content("cat"), abs=1e-3)


def test_what_is_renamed_is_fetched_and_not_embedded_and_what_is_removed_goes(
    bucket: Bucket, store: SqliteStore, seen: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(a_wav="dog", b_wav="rain")
    bucket.index(store, bucket.root)
    bucket.files.mv("sounds/sfx/a.wav", "sounds/sfx/new/a.wav")
    bucket.files.rm("sounds/sfx/b.wav")
    monkeypatch.setattr(fakes, "embed", None)  # whoever embeds, fails
    report = bucket.index(store)
    assert (report.moved, report.removed, report.added, report.failed) == (1, 1, 0, 0)
    assert bucket.names(store) == {"new/a.wav"} and seen["fetched"][2:] == ["new/a.wav"]


def test_a_bucket_that_is_gone_or_refuses_is_kept_and_said(
    bucket: Bucket, store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(a_wav="dog", b_wav="rain")
    bucket.index(store, bucket.root)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "copy.wav").write_text("dog")
    bucket.files.rm("sounds", recursive=True)
    report = bucket.index(store, str(tmp_path / "here"), bucket.root)
    assert report.unreachable == {bucket.root: "no such bucket, or nothing in it by that name"}
    assert (report.added, report.moved, report.missing, report.missing_folders) == (1, 0, 2, (bucket.root,))
    assert bucket.names(store) == {"a.wav", "b.wav"}
    with pytest.raises(UsageError, match=rf"{bucket.root} cannot be scanned .*AWS_ENDPOINT_URL"):
        bucket.index(store, bucket.root)

    monkeypatch.setattr(remote, "_opened", refuse)
    report = bucket.index(store)
    assert report.unreachable == {bucket.root: "Unable to locate credentials"} and bucket.names(store) == {
        "a.wav",
        "b.wav",
    }


def test_a_folder_that_cannot_be_listed_takes_no_sound_away(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("generic", GenericFiles, clobber=True)
    bucket = Bucket(fsspec.filesystem("generic"), "generic")
    monkeypatch.setattr(GenericFiles, "store", {})
    monkeypatch.setattr(GenericFiles, "pseudo_dirs", [""])
    bucket.put(a_wav="dog", sub__b_wav="rain", sub__deep__c_wav="cat")
    assert bucket.index(store, bucket.root).added == 3
    monkeypatch.setattr(GenericFiles, "unlisted", "/sounds/sfx/sub")
    bucket.put(new_wav="horn")
    report = bucket.index(store)
    told = [(each.path, each.reason) for each in store.failures()]
    assert told == [(bucket.root, "the folder cannot be read: the server is busy")] and report.removed == 0
    assert bucket.names(store) == {"a.wav", "sub/b.wav", "sub/deep/c.wav"}
    monkeypatch.setattr(GenericFiles, "unlisted", "")
    bucket.files.rm("sounds/sfx/sub/deep/c.wav")
    report = bucket.index(store)
    assert (report.added, report.removed, store.failures()) == (1, 1, [])


def test_a_file_that_cannot_be_fetched_is_named_keeps_its_vectors_and_is_tried_again(
    bucket: Bucket, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(a_wav="dog")
    bucket.index(store, bucket.root)
    bucket.put(a_wav="a cat", b_wav="rain")
    with monkeypatch.context() as broken:

        def denied(url: str, tick: object) -> Any:
            raise PermissionError(13, "Access Denied")

        broken.setattr(workers, "fetched", denied)
        report = bucket.index(store)
    assert (report.added, report.changed, report.failed) == (0, 0, 2) and bucket.names(store) == {"a.wav"}
    assert {each.reason for each in store.failures()} == {"cannot be fetched: Access Denied"}
    report = bucket.index(store)
    assert (report.added, report.changed, report.failed, store.failures()) == (1, 1, 0, [])


def test_a_cluster_fetches_what_it_embeds(
    bucket: Bucket, store: SqliteStore, seen: dict[str, list[str]]
) -> None:
    bucket.put(a_wav="dog", b_wav="dog", c_wav="BAD end")

    class Cluster(InlineCluster):
        def outcome(self, task: int) -> Any:
            return workers.embed_job(fakes.load(), self.jobs[task], lambda _: None)

    def embed(jobs: Any, load: Any, *, workers: int, tell: Any) -> Any:
        return embed_on_cluster(jobs, load, cluster=Cluster, tell=tell)

    report = bucket.index(store, bucket.root, embed=embed)
    assert (report.added, report.failed, sorted(seen["fetched"])) == (2, 1, ["a.wav", "b.wav", "c.wav"])
    hashes = {file.content_hash for file in store.files()}
    assert len(hashes) == 1 and store.twin(hashes.pop(), 1.0) is not None


def test_forget_and_relocate_take_urls(bucket: Bucket, store: SqliteStore, tmp_path: Path) -> None:
    bucket.put(a_wav="dog", sub__b_wav="rain")
    bucket.index(store, bucket.root)
    assert forget_folders(store, [bucket.root], missing_only=True) == 0
    here = tmp_path / "here"
    (here / "sub").mkdir(parents=True)
    (here / "a.wav").write_text("dog")
    (here / "sub" / "b.wav").write_text("rain")
    assert relocate_folder(store, bucket.root, here) == 2 and bucket.names(store) == set()
    assert relocate_folder(store, here, bucket.root) == 2 and bucket.names(store) == {"a.wav", "sub/b.wav"}
    with pytest.raises(UsageError, match=r"://nowhere (cannot be listed \(no such bucket|is not there)"):
        relocate_folder(store, bucket.root, f"{bucket.scheme}://nowhere")
    assert forget_folders(store, [f"{bucket.root}/sub/"]) == 1 and bucket.names(store) == {"a.wav"}


def test_a_bucket_is_followed_by_listing_it_again(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, lines = 0.0, list[str]()

    def after(waited_s: float) -> list[str]:
        nonlocal seconds
        seconds += waited_s
        lines.clear()
        assert watch.take(()) is False
        return [line.replace(f"{bucket.root}/", "") for line in lines]

    bucket.put(a_wav="dog", bad_wav="BAD no header")
    with Library.create(tmp_path / "library", model=fakes.FakeModel()) as library:  # type: ignore[arg-type]
        watch = FolderWatch(
            library,
            [],
            say=lines.append,
            index=lambda still_grows, _: library.index(bucket.root, still_grows=still_grows),
            rescan_s=300.0,
            clock=lambda: seconds,
        )
        # What is listed is whole, however fresh.
        assert after(0) == ["added    a.wav", "failed   bad.wav: no header"]
        bucket.put(b_wav="rain")
        bucket.files.rm("sounds/sfx/bad.wav")
        assert after(299) == [] and after(1) == ["added    b.wav"]
        with monkeypatch.context() as broken:
            broken.setattr(remote, "_opened", refuse)
            (line,) = after(300)
            assert line.startswith(f"waiting: {bucket.root} cannot be scanned (Unable to locate credentials)")
            assert after(29) == [] and after(2) == []  # asked again, and said once
        assert after(30) == [] and len(library.store.states(bucket.root)) == 2
        bucket.files.rm("sounds/sfx/a.wav")
        assert after(300) == ["gone     a.wav"]


def test_a_bucket_beside_folders_that_does_not_answer_and_comes_back_is_said(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, lines = 0.0, list[str]()
    bucket.put(a_wav="dog")
    (tmp_path / "here").mkdir()
    with Library.create(tmp_path / "library", model=fakes.FakeModel()) as library:  # type: ignore[arg-type]
        watch = FolderWatch(
            library,
            [str(tmp_path / "here")],
            say=lines.append,
            index=lambda still_grows, is_rescan: library.index(
                *([bucket.root] if is_rescan else []), tmp_path / "here", still_grows=still_grows
            ),
            clock=lambda: seconds,
        )
        watch.take(())
        seconds = 601.0
        with monkeypatch.context() as broken:
            broken.setattr(remote, "_opened", refuse)
            watch.take(())
        (tmp_path / "here" / "near.wav").write_text("rain")
        os.utime(tmp_path / "here" / "near.wav", (1, 1))
        for seconds in (700.0, 704.0):  # a run for what an event told of asks no bucket
            watch.take([str(tmp_path / "here" / "near.wav")] if seconds == 700.0 else ())
        seconds = 1202.0
        watch.take(())
    assert lines == [
        f"added    {bucket.root}/a.wav",
        f"absent   {bucket.root}: Unable to locate credentials; what the library has of it stays",
        f"added    {tmp_path}/here/near.wav",
        f"back     {bucket.root}",
    ]


def test_copies_of_a_killed_process_are_removed(bucket: Bucket) -> None:
    bucket.put(a_wav="dog")
    with remote.fetched(f"{bucket.root}/a.wav", lambda: None) as (copy, _):
        assert Path(copy).read_text() == "dog" and copy.endswith(".wav")
        remove_copies_of(os.getpid())
        assert not Path(copy).exists()


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "file:///tmp/x"])
def test_a_url_without_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="names no bucket"):
        absolute(url)


def test_urls_stay_and_other_paths_are_none() -> None:
    assert absolute("S3://Sounds/a/") == "s3://Sounds/a"
    assert is_url("s3://a/b") and not is_url("/s3://a") and not is_url("a:b/c")
