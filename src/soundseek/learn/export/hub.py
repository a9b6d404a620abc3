"""Files of a model hub -> a folder, resumed where it stopped and verified; and a model directory -> the hub.

`huggingface_hub` does the talking: its environment variables (HF_ENDPOINT, HF_TOKEN, proxies) hold, and so does its
login. What it raises becomes one line that says what to do.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from soundseek._typing import Report
from soundseek.errors import DataError, ModelError, UsageError
from soundseek.learn.datasets.download import CannotFetchError, digest_of, need_space
from soundseek.learn.export.model_card import README_FILE
from soundseek.learn.export.replace import MODEL_FILES
from soundseek.model.config import ModelConfig
from soundseek.model.published import HubFile, HubSource

ENDPOINT_VARIABLE = "HF_ENDPOINT"
_LOGIN = "log in with: hf auth login (or set HF_TOKEN)"


@dataclass(frozen=True)
class HubSnapshot:
    """What was fetched.

    Attributes:
        folder: Where the files are.
        commits: Repository -> the commit that was taken.
        sha256: Name -> digest of each file that the hub or the pin knows one of.
    """

    folder: Path
    commits: dict[str, str]
    sha256: dict[str, str]


def hub_endpoint() -> str:
    """The hub that is asked."""
    return os.environ.get(ENDPOINT_VARIABLE, "https://huggingface.co").rstrip("/")


def fetch_sources(sources: Sequence[HubSource], folder: Path, *, report: Report | None = None) -> HubSnapshot:
    """The files of some repositories in one folder; those that are there and right are not loaded again.

    Args:
        sources: What is needed.
        folder: Where it goes. What has arrived of a stopped download is kept there, and goes on.
        report: Called with the progress of each file.

    Raises:
        CannotFetchError: The hub cannot be reached, refuses, or does not have it.
        DataError: No space, or what arrives is not what was published.
    """
    folder.mkdir(parents=True, exist_ok=True)
    commits, digests = {}, {}
    for source in sources:
        with _explained(source.repo, source.revision):
            info = HfApi(endpoint=hub_endpoint()).model_info(
                source.repo, revision=source.revision, files_metadata=True
            )
        known = {each.rfilename: each for each in info.siblings or ()}
        wanted = [
            (_chosen(file, known, source), file)
            for file in source.files
            if not file.is_optional or file.name in known
        ]
        commit = info.sha or source.revision
        missing = [name for name, _ in wanted if not (folder / name).is_file()]
        need_space(folder, sum(known[name].size or 0 for name in missing), source.repo)
        for name, file in wanted:
            lfs = known[name].lfs
            expected = file.sha256 or (lfs.sha256 if lfs else "")
            size_bytes = file.size_bytes or known[name].size or 0
            git_sha1 = "" if expected else known[name].blob_id or ""
            wanted_file = HubFile(name, expected, size_bytes, git_sha1=git_sha1)
            _fetch(source.repo, commit, wanted_file, folder, report)
            if expected:
                digests[name] = expected
        commits[source.repo] = commit
    return HubSnapshot(folder, commits, digests)


def check_snapshot(sources: Sequence[HubSource], folder: Path) -> HubSnapshot:
    """A snapshot that was brought by hand, with the pinned digests compared.

    Raises:
        UsageError: A file is missing.
        DataError: A file is not the published one.
    """
    digests = {}
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for source in sources:
        for file in source.files:
            name = file.name_among(there)
            if name is None and file.is_optional:
                continue
            if name is None:
                raise UsageError(
                    f"--from {folder} has no {file.names}; it takes a folder with the files of "
                    f"{hub_endpoint()}/{source.repo}/tree/{source.revision}"
                )
            if file.sha256:
                _verify(folder / name, HubFile(name, file.sha256, file.size_bytes), f"{source.repo}'s {name}")
                digests[name] = file.sha256
    return HubSnapshot(folder, {source.repo: source.revision for source in sources}, digests)


def files_on_hub(repo: str, revision: str) -> list[str]:
    """Names of the files in a repository.

    Raises:
        CannotFetchError: The hub cannot be reached, refuses, or does not have it.
    """
    with _explained(repo, revision):
        return HfApi(endpoint=hub_endpoint()).list_repo_files(repo, revision=revision)


def push_model(directory: Path, repo: str, *, private: bool = False) -> str:
    """Share a model directory on the hub; the address of what was made of it.

    Its files go there as they are, and its README with the header that the hub reads.

    Raises:
        ModelError: `directory` is no model directory.
        CannotFetchError: The hub cannot be reached, or refuses.
    """
    config = ModelConfig.read(directory)
    with tempfile.TemporaryDirectory() as scratch, _explained(repo, "main"):
        staged = Path(scratch)
        for name in sorted(MODEL_FILES):
            if (directory / name).is_file() and name != README_FILE:
                (staged / name).symlink_to((directory / name).resolve())
        readme = directory / README_FILE
        body = readme.read_text(encoding="utf-8") if readme.is_file() else f"# {config.name}\n"
        (staged / README_FILE).write_text(hub_header(config) + body, encoding="utf-8")
        api = HfApi(endpoint=hub_endpoint())
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo, folder_path=staged, commit_message=f"{config.name} {config.fingerprint}".strip()
        )
    return f"{hub_endpoint()}/{repo}"


def hub_header(config: ModelConfig) -> str:
    """The YAML block at the head of a card, by which the hub finds it."""
    licence = config.license.lower() if config.license in _HUB_LICENCES else "other"
    lines = ["---", "library_name: soundseek", "pipeline_tag: feature-extraction", f"license: {licence}"]
    if licence == "other":
        lines.append(f"license_name: {_slug(config.license) or 'unstated'}")
    lines += [
        "language: en",
        "tags:",
        "- soundseek",
        "- audio",
        "- text-to-audio-retrieval",
        "- onnx",
        "---",
        "",
        "",
    ]
    return "\n".join(lines)


_HUB_LICENCES = frozenset({"Apache-2.0", "MIT", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0"})


def _slug(text: str) -> str:
    return "-".join("".join(c.lower() if c.isalnum() else " " for c in text).split())


def _chosen(file: HubFile, known: dict[str, Any], source: HubSource) -> str:
    name = file.name_among(known)
    if name is None:
        raise CannotFetchError(f"{hub_endpoint()}/{source.repo} has no {file.names} at {source.revision}")
    return name


def _fetch(repo: str, commit: str, file: HubFile, folder: Path, report: Report | None) -> None:
    """One file, once more from its beginning if what arrives is damaged.

    Raises:
        CannotFetchError: See `fetch_sources`.
        DataError: See there.
    """
    for attempt in range(2):
        with _explained(repo, commit):
            path = Path(
                hf_hub_download(
                    repo,
                    file.name,
                    revision=commit,
                    local_dir=folder,
                    endpoint=hub_endpoint(),
                    force_download=attempt > 0,
                    tqdm_class=_bar(file.name, report),
                )
            )
        try:
            _verify(path, file, f"{repo}'s {file.name}")
        except DataError:
            path.unlink(missing_ok=True)
            if attempt:
                raise
        else:
            return


def _verify(path: Path, file: HubFile, what: str) -> None:
    """Raise a DataError unless a file has the length and the digests that are published."""

    def other(has: str, published: str) -> DataError:
        return DataError(
            f"{what} has {has}, published {published}: it is damaged or another version; try again"
        )

    size = path.stat().st_size
    if file.size_bytes and size != file.size_bytes:
        raise other(f"{size:,} bytes", f"are {file.size_bytes:,}")
    if file.sha256 and (found := digest_of(path, "sha256")) != file.sha256:
        raise other(f"the sha256 {found}", f"is {file.sha256}")
    if file.git_sha1 and (found := _git_sha1(path)) != file.git_sha1:
        raise other(f"git's digest {found}", f"is {file.git_sha1}")


def _git_sha1(path: Path) -> str:
    """The name that git gives a file's content: a sha1 over its length and itself."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def _explained(repo: str, revision: str) -> Iterator[None]:
    """What `huggingface_hub` raises, in one line with the next step.

    Raises:
        CannotFetchError: The hub cannot be reached, refuses, or does not have it.
        DataError: No space on the disk.
        UsageError: `repo` is no name of a repository.
    """
    place = f"{hub_endpoint()}/{repo}"
    try:
        yield
    except GatedRepoError as error:
        raise CannotFetchError(f"{place} is gated: accept its terms there, then {_LOGIN}") from error
    except RevisionNotFoundError as error:
        raise CannotFetchError(f"{place} has no revision {revision}") from error
    except RepositoryNotFoundError as error:
        raise CannotFetchError(f"{place} does not exist, or is private: {_LOGIN}") from error
    except LocalTokenNotFoundError as error:
        raise CannotFetchError(f"{hub_endpoint()} wants to know who you are: {_LOGIN}") from error
    except LocalEntryNotFoundError as error:  # what it raises where the hub did not answer at all
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            raise CannotFetchError(_refused(place, cause)) from error
        raise CannotFetchError(_unreachable(repo, cause or error)) from error
    except EntryNotFoundError as error:
        raise CannotFetchError(
            f"{place} has not all files that are needed at {revision}: {_first_line(error)}"
        ) from error
    except HfHubHTTPError as error:
        raise CannotFetchError(_refused(place, error)) from error
    except (HFValidationError, ValueError) as error:
        raise UsageError(f"{repo} is no USER/REPO on the hub: {_first_line(error)}") from error
    except OfflineModeIsEnabled as error:
        raise CannotFetchError(f"HF_HUB_OFFLINE is set, and {place} is needed; {_BY_HAND}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)) or "No space" in str(error):
            raise DataError(
                f"no space left for {repo}: {_first_line(error)}; free some, and run the same command again: it goes on"
            ) from error
        if "Consistency check failed" in str(error):
            raise DataError(
                f"{place} sent another number of bytes than it had promised; run the same command again: it goes on"
            ) from error
        raise CannotFetchError(_unreachable(repo, error)) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "requests"):
            raise CannotFetchError(_unreachable(repo, error)) from error
        raise


_BROKEN_OFF = ("RemoteProtocolError", "ReadError", "ReadTimeout", "ChunkedEncodingError")
"""What libraries of the web raise where a connection ends before all has come."""

_BY_HAND = "without internet, fetch its files elsewhere and give their folder: --from DIR"


def _refused(place: str, error: HfHubHTTPError) -> str:
    code = error.response.status_code
    if code in (401, 403):
        return f"{place} answers {code}: you may not read it; {_LOGIN}"
    return f"{place} answers {code}; try again later"


def _unreachable(repo: str, error: BaseException) -> str:
    if type(error).__name__ in _BROKEN_OFF:
        return (
            f"the download from {hub_endpoint()}/{repo} broke off again and again ({_first_line(error)}); "
            "run the same command again: it goes on"
        )
    return f"{hub_endpoint()} cannot be reached for {repo} ({_first_line(error)}); {_BY_HAND}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()


def _bar(name: str, report: Report | None) -> Any:
    """What `huggingface_hub` takes for a progress bar, and tells `report`."""

    class Bar:
        def __init__(self, *_: object, total: int | None = None, initial: int = 0, **__: object) -> None:
            self.total, self.n = total or 0, initial
            self.told: Callable[[str, int, int], None] | None = report

        def update(self, more: float | None = 1) -> None:
            self.n += int(more or 0)
            if self.told is not None:
                self.told(name, self.n, self.total)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing to close."""

        def close(self) -> None:
            """Nothing to close."""

        def refresh(self) -> None:
            """Nothing to draw."""

        def set_description(self, *_: object, **__: object) -> None:
            """The name is known."""

    return Bar


def copy_files(folder: Path, names: Sequence[str], out: Path) -> None:
    """Copy some files of a folder into another, which is made."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(folder / name, out / name)


def is_soundseek_model(folder: Path) -> bool:
    """Whether a snapshot is a model directory of soundseek's, and not a checkpoint to be made into one."""
    try:
        ModelConfig.read(folder)
    except ModelError:
        return False
    return True
