"""Sounds in a bucket, of moto's S3 server: what a run fetches, knows again, keeps and names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from library import fakes
from library.stores import IDENTITY
from library.test_ray_workers import InlineCluster

from soundseek.errors import UsageError
from soundseek.library import remote, workers
from soundseek.library.folders import forget_folders, relocate_folder
from soundseek.library.index import IndexReport, update
from soundseek.library.paths import absolute, is_url
from soundseek.library.ray_workers import embed_on_cluster
from soundseek.library.store.sqlite import SqliteStore
from soundseek.library.workers import remove_copies_of

pytest.importorskip("s3fs", reason="needs s3fs: pip install 'soundseek[s3]'")
server = pytest.importorskip("moto.server", reason="needs moto's S3 server: pip install 'moto[server]'")

ROOT = "s3://sounds/sfx"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield f"http://127.0.0.1:{running.get_host_and_port()[1]}"
    running.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A file system with an empty bucket `sounds`."""
    import fsspec

    for name, value in {
        "ACCESS_KEY_ID": "key",
        "SECRET_ACCESS_KEY": "secret",
        "DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    files = fsspec.filesystem("s3")
    files.mkdir("sounds")
    yield files
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
        noted["fetched"].append(url.removeprefix(f"{ROOT}/"))
        return remote.fetched(url, tick)

    monkeypatch.setattr(workers, "fetched", fetched)
    yield noted
    assert not list(Path(tempfile.gettempdir()).glob(f"soundseek-fetched-{os.getpid()}-*"))


def put(bucket: Any, **texts: str) -> None:
    """Texts that stand for sounds, at names in which __ is a slash and _ a dot."""
    for name, text in texts.items():
        bucket.pipe_file(f"sounds/sfx/{name.replace('__', '/').replace('_', '.')}", text.encode())


def index(store: SqliteStore, *folders: str, **options: Any) -> IndexReport:
    return update(store, folders, fakes.load, extensions=frozenset({".wav"}), **options)


def names(store: SqliteStore) -> set[str]:
    return {path.removeprefix(f"{ROOT}/") for path in store.states(ROOT)}


def test_sounds_go_in_by_their_url_and_are_not_fetched_again(
    bucket: Any, store: SqliteStore, seen: dict[str, list[str]]
) -> None:
    put(
        bucket,
        a_wav="dog",
        **{"b c__d#é?_wav": "rain"},
        bad_wav="BAD header",
        notes_txt="x",
        _hidden__x_wav="hidden",
    )
    put(bucket, old__a_wav="out", _soundseekignore="old/")
    first = index(store, f"{ROOT}/")
    assert (first.added, first.failed, first.empty_folders) == (2, 1, ())
    assert names(store) == {"a.wav", "b c/d#é?.wav"} and set(store.roots()) == {ROOT}
    assert [(each.path, each.reason) for each in store.failures()] == [(f"{ROOT}/bad.wav", "header")]
    vectors = store.vectors(f"{ROOT}/a.wav")
    assert vectors is not None and vectors[1][0] == pytest.approx(fakes.content("dog"), abs=1e-3)
    assert sorted(seen["fetched"]) == ["a.wav", "b c/d#é?.wav", "bad.wav"]
    again = index(store)
    assert (again.unchanged, again.failed, again.newly_failed, len(seen["fetched"])) == (2, 1, 0, 3)


def test_another_content_of_the_same_size_in_the_same_second_is_seen(bucket: Any, store: SqliteStore) -> None:
    put(bucket, a_wav="dog")
    index(store, ROOT)
    put(bucket, a_wav="cat")
    assert index(store).changed == 1
    vectors = store.vectors(f"{ROOT}/a.wav")
    assert vectors is not None and vectors[1][0] == pytest.approx(fakes.content("cat"), abs=1e-3)


def test_what_is_renamed_is_fetched_and_not_embedded_and_what_is_removed_goes(
    bucket: Any, store: SqliteStore, seen: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, a_wav="dog", b_wav="rain")
    index(store, ROOT)
    bucket.mv("sounds/sfx/a.wav", "sounds/sfx/new/a.wav")
    bucket.rm("sounds/sfx/b.wav")
    monkeypatch.setattr(fakes, "embed", None)  # whoever embeds, fails
    report = index(store)
    assert (report.moved, report.removed, report.added, report.failed) == (1, 1, 0, 0)
    assert names(store) == {"new/a.wav"} and seen["fetched"][2:] == ["new/a.wav"]


def test_a_bucket_that_is_gone_or_refuses_is_kept_and_said(
    bucket: Any, store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, a_wav="dog", b_wav="rain")
    index(store, ROOT)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "copy.wav").write_text("dog")
    bucket.rm("sounds", recursive=True)
    report = index(store, str(tmp_path / "here"), ROOT)
    assert report.unreachable == {ROOT: "no such bucket, or nothing in it by that name"}
    assert (report.added, report.moved, report.missing, report.missing_folders) == (1, 0, 2, (ROOT,))
    assert names(store) == {"a.wav", "b.wav"}
    with pytest.raises(UsageError, match=r"s3://sounds/sfx cannot be scanned .*AWS_ENDPOINT_URL"):
        index(store, ROOT)

    def refused(url: str) -> tuple[Any, str]:
        raise RuntimeError("Unable to locate credentials")

    monkeypatch.setattr(remote, "_opened", refused)
    report = index(store)
    assert report.unreachable == {ROOT: "Unable to locate credentials"} and names(store) == {"a.wav", "b.wav"}


def test_a_file_that_cannot_be_fetched_is_named_keeps_its_vectors_and_is_tried_again(
    bucket: Any, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, a_wav="dog")
    index(store, ROOT)
    put(bucket, a_wav="a cat", b_wav="rain")
    with monkeypatch.context() as broken:

        def denied(url: str, tick: object) -> Any:
            raise PermissionError(13, "Access Denied")

        broken.setattr(workers, "fetched", denied)
        report = index(store)
    assert (report.added, report.changed, report.failed) == (0, 0, 2) and names(store) == {"a.wav"}
    assert {each.reason for each in store.failures()} == {"cannot be fetched: Access Denied"}
    report = index(store)
    assert (report.added, report.changed, report.failed, store.failures()) == (1, 1, 0, [])


def test_a_cluster_fetches_what_it_embeds(
    bucket: Any, store: SqliteStore, seen: dict[str, list[str]]
) -> None:
    put(bucket, a_wav="dog", b_wav="dog", c_wav="BAD end")

    class Cluster(InlineCluster):
        def outcome(self, task: int) -> Any:
            return workers.embed_job(fakes.load(), self.jobs[task], lambda _: None)

    def embed(jobs: Any, load: Any, *, workers: int, tell: Any) -> Any:
        return embed_on_cluster(jobs, load, cluster=Cluster, tell=tell)

    report = index(store, ROOT, embed=embed)
    assert (report.added, report.failed, sorted(seen["fetched"])) == (2, 1, ["a.wav", "b.wav", "c.wav"])
    hashes = {file.content_hash for file in store.files()}
    assert len(hashes) == 1 and store.twin(hashes.pop(), 1.0) is not None


def test_forget_and_relocate_take_urls(bucket: Any, store: SqliteStore, tmp_path: Path) -> None:
    put(bucket, a_wav="dog", sub__b_wav="rain")
    index(store, ROOT)
    assert forget_folders(store, [ROOT], missing_only=True) == 0
    here = tmp_path / "here"
    (here / "sub").mkdir(parents=True)
    (here / "a.wav").write_text("dog")
    (here / "sub" / "b.wav").write_text("rain")
    assert relocate_folder(store, ROOT, here) == 2 and names(store) == set()
    assert relocate_folder(store, here, ROOT) == 2 and names(store) == {"a.wav", "sub/b.wav"}
    with pytest.raises(UsageError, match=r"s3://nowhere cannot be listed \(no such bucket"):
        relocate_folder(store, ROOT, "s3://nowhere")
    assert forget_folders(store, [f"{ROOT}/sub/"]) == 1 and names(store) == {"a.wav"}


def test_copies_of_a_killed_process_are_removed(bucket: Any) -> None:
    put(bucket, a_wav="dog")
    with remote.fetched(f"{ROOT}/a.wav", lambda: None) as (copy, _):
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
