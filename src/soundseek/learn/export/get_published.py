"""A model that somebody published -> a model directory: fetched, built, exported, compared and put in place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from soundseek._typing import Report
from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError, UsageError
from soundseek.learn.datasets.download import digest_of, need_space
from soundseek.learn.export.assemble import downloads_folder
from soundseek.learn.export.clap import clap_towers
from soundseek.learn.export.export import Precision
from soundseek.learn.export.hub import (
    HubSnapshot,
    check_snapshot,
    copy_files,
    fetch_sources,
    files_on_hub,
    is_soundseek_model,
)
from soundseek.learn.export.msclap import msclap_towers
from soundseek.learn.export.replace import MODEL_FILES, built_beside, refuse_other_folders
from soundseek.learn.export.towers import CardFacts, Towers, export_towers
from soundseek.model.config import AUDIO_FILE, CONFIG_FILE, TEXT_FILE, TOKENIZER_FILE, ModelConfig
from soundseek.model.model import Model
from soundseek.model.published import CLAP_FILES, CLAP_WEIGHTS, HubFile, HubSource, PublishedModel

BUILDERS: dict[str, Callable[[Path], Towers]] = {"clap": clap_towers, "msclap": msclap_towers}
_REVISION = "1"  # part of the fingerprint: raise it where the same weights give other vectors

PublishedOutcome = Literal["made", "replaced", "here"]


@dataclass(frozen=True)
class GetOptions:
    """How a model is fetched and exported.

    Attributes:
        source: A folder with the files, if they shall not be downloaded.
        downloads: Where downloads are kept; the user's cache folder by default.
        precision: Of the text network's matrices.
        audio_precision: Of the audio network's matrix products.
        report: Called with the progress of the download.
        say: Called with what begins after it.
    """

    source: Path | None = None
    downloads: Path | None = None
    precision: Precision = "fp32"
    audio_precision: Precision = "fp32"
    report: Report | None = None
    say: Callable[[str], None] | None = None

    def snapshot(self, sources: Sequence[HubSource], name: str) -> HubSnapshot:
        """The files of some repositories, out of `source` or downloaded into a folder of that name.

        Raises:
            CannotFetchError: See `fetch_sources`.
            DataError: See `fetch_sources` and `check_snapshot`.
            UsageError: `source` lacks a file.
        """
        if self.source is not None:
            return check_snapshot(sources, self.source)
        return fetch_sources(sources, (self.downloads or downloads_folder()) / name, report=self.report)


def get_published(model: PublishedModel, out: Path, options: GetOptions | None = None) -> PublishedOutcome:
    """Make the model directory of a published model, unless it is here already.

    Args:
        model: What is published.
        out: The model directory.
        options: How; see there.

    Raises:
        CannotFetchError: The hub cannot be reached, refuses, or does not have it.
        DataError: No space, or the files are not the published ones.
        ModelError: They are of another network, or the exported one disagrees with PyTorch's.
        UsageError: `out` holds something else.
    """
    options = options or GetOptions()
    refuse_other_folders(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    need_space(out.parent, 2 * model.size_bytes, model.name)
    snapshot = options.snapshot(model.sources, model.name)
    towers = BUILDERS[model.architecture](snapshot.folder)
    precisions = options.precision, options.audio_precision
    mark = weights_fingerprint(snapshot, towers.front_end, precisions)
    outcome = _outcome_in(out, mark)
    if outcome == "here":
        return outcome
    if options.say:
        options.say(
            f"exporting {model.name}: some minutes, and about {max(1.0, 3 * model.size_bytes / 1e9):.1f} GB of memory"
        )
    facts = {"made from": ", ".join(f"{repo} at {commit}" for repo, commit in snapshot.commits.items())}
    if model.scores_source:
        facts["scores from"] = model.scores_source
    card = CardFacts(
        name=model.name,
        license=model.license,
        summary=model.summary,
        credits=model.credits,
        limits=model.limits,
        scores=model.scores,
        training=facts,
        fingerprint=mark,
    )
    export_towers(towers, out, card, precision=options.precision, audio_precision=options.audio_precision)
    return outcome


def get_from_hub(repo: str, revision: str, out: Path, options: GetOptions | None = None) -> PublishedOutcome:
    """Make a model directory of a repository: one that holds a model directory is copied, a `ClapModel` is built.

    Args:
        repo: "USER/REPO".
        revision: A commit, a branch or a tag.
        out: The model directory.
        options: How; see there.

    Raises:
        ModelError: The repository holds neither.
        CannotFetchError: See `get_published`; so are DataError and UsageError.
    """
    options = options or GetOptions()
    refuse_other_folders(out)
    source = options.source
    there = sorted(p.name for p in source.iterdir()) if source else files_on_hub(repo, revision)
    ready = {CONFIG_FILE, AUDIO_FILE, TEXT_FILE, TOKENIZER_FILE}
    if ready <= set(there):
        names = sorted(MODEL_FILES & set(there))
        wanted = HubSource(repo, revision, tuple(HubFile(name) for name in names))
        snapshot = options.snapshot((wanted,), repo.replace("/", "--"))
        if not is_soundseek_model(snapshot.folder):
            raise ModelError(f"{repo} holds no model directory that this version of soundseek can read")
        return _take(snapshot.folder, names, out)
    if "preprocessor_config.json" not in there:
        raise ModelError(
            f"{repo} holds neither a soundseek model directory nor a ClapModel of transformers; it holds "
            f"{', '.join(there[:5])}. Any other network: docs/bring-your-own-model.md"
        )
    clap = PublishedModel(
        name=repo.rpartition("/")[2],
        architecture="clap",
        sources=(HubSource(repo, revision, (*CLAP_FILES, CLAP_WEIGHTS)),),
        license="",
        summary=f"A CLAP from {repo}.",
        credits=(f"{repo} on the model hub",),
        limits=(),
    )
    return get_published(clap, out, options)


def weights_fingerprint(
    snapshot: HubSnapshot, front_end: FrontEndConfig, precisions: tuple[Precision, Precision]
) -> str:
    """Twelve hex digits over what vectors depend on; exported files have other bytes on each machine.

    Raises:
        UsageError: The snapshot has no weights.
    """
    digest = hashlib.sha256()
    weights = [path for path in sorted(snapshot.folder.iterdir()) if path.suffix in _WEIGHTS]
    if not weights:
        raise UsageError(f"{snapshot.folder} has no weights ({', '.join(sorted(_WEIGHTS))})")
    for path in weights:
        known = snapshot.sha256.get(path.name)
        digest.update(bytes.fromhex(known or digest_of(path, "sha256")))
    digest.update(front_end.model_dump_json(exclude_none=True).encode())
    digest.update(json.dumps([_REVISION, *precisions]).encode())
    return digest.hexdigest()[:12]


_WEIGHTS = frozenset({".safetensors", ".bin", ".pth", ".pt"})


def _take(folder: Path, names: list[str], out: Path) -> PublishedOutcome:
    config = ModelConfig.read(folder)
    outcome = _outcome_in(out, config.fingerprint)
    if outcome == "here":
        return outcome
    with built_beside(out) as made:
        copy_files(folder, names, made)
        if not _works(made):
            raise ModelError(f"{folder} is a model directory whose networks cannot be run")
    return outcome


def _outcome_in(out: Path, fingerprint: str) -> PublishedOutcome:
    """What becomes of a place that gets the model of this fingerprint; "here" where that model works there already."""
    before = ModelConfig.read(out).fingerprint if (out / CONFIG_FILE).is_file() else ""
    if before == fingerprint and _works(out):
        return "here"
    return "replaced" if before else "made"


def _works(directory: Path) -> bool:
    """Whether a model directory turns a sentence and half a second of noise into vectors."""
    import numpy as np

    try:
        model = Model(directory)
        noise = np.random.default_rng(0).standard_normal(model.front_end.sample_rate_hz // 2) / 10
        model.embed_text("rain")
        model.embed_audio((noise.astype(np.float32), model.front_end.sample_rate_hz))
    except Exception:  # ONNX Runtime's errors share no public base
        return False
    return True
