"""A model that somebody published -> a model directory: fetched, built, exported, compared and put in place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
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


def get_published(
    model: PublishedModel,
    out: Path,
    *,
    source: Path | None = None,
    downloads: Path | None = None,
    precision: Precision = "fp32",
    audio_precision: Precision = "fp32",
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> PublishedOutcome:
    """Make the model directory of a published model, unless it is here already.

    Args:
        model: What is published.
        out: The model directory.
        source: A folder with the files, if they shall not be downloaded.
        downloads: Where downloads are kept; the user's cache folder by default.
        precision: Of the text network's matrices.
        audio_precision: Of the audio network's matrix products.
        report: Called with the progress of the download.
        say: Called with what begins after it.

    Raises:
        CannotFetchError: The hub cannot be reached, refuses, or does not have it.
        DataError: No space, or the files are not the published ones.
        ModelError: They are of another network, or the exported one disagrees with PyTorch's.
        UsageError: `out` holds something else.
    """
    refuse_other_folders(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    need_space(out.parent, 2 * model.size_bytes, model.name)
    if source is None:
        snapshot = fetch_sources(model.sources, (downloads or downloads_folder()) / model.name, report=report)
    else:
        snapshot = check_snapshot(model.sources, source)
    towers = BUILDERS[model.architecture](snapshot.folder)
    mark = weights_fingerprint(snapshot, towers.front_end, (precision, audio_precision))
    before = ModelConfig.read(out).fingerprint if (out / CONFIG_FILE).is_file() else ""
    if before == mark and _works(out):
        return "here"
    if say:
        say(
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
    export_towers(towers, out, card, precision=precision, audio_precision=audio_precision)
    return "replaced" if before else "made"


def get_from_hub(
    repo: str,
    revision: str,
    out: Path,
    *,
    source: Path | None = None,
    downloads: Path | None = None,
    precision: Precision = "fp32",
    audio_precision: Precision = "fp32",
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> PublishedOutcome:
    """Make a model directory of a repository: one that holds a model directory is copied, a `ClapModel` is built.

    The arguments are those of `get_published`.

    Raises:
        ModelError: The repository holds neither.
        CannotFetchError: See `get_published`; so are DataError and UsageError.
    """
    refuse_other_folders(out)
    there = sorted(p.name for p in source.iterdir()) if source else files_on_hub(repo, revision)
    ready = {CONFIG_FILE, AUDIO_FILE, TEXT_FILE, TOKENIZER_FILE}
    if ready <= set(there):
        names = sorted(MODEL_FILES & set(there))
        wanted = HubSource(repo, revision, tuple(HubFile(name) for name in names))
        folder = (downloads or downloads_folder()) / repo.replace("/", "--")
        snapshot = (
            check_snapshot((wanted,), source) if source else fetch_sources((wanted,), folder, report=report)
        )
        if not is_soundseek_model(snapshot.folder):
            raise ModelError(f"{repo} holds no model directory that this version of soundseek can read")
        return _take(snapshot.folder, names, out)
    if "preprocessor_config.json" not in there:
        raise ModelError(
            f"{repo} holds neither a soundseek model directory nor a ClapModel of transformers; it holds "
            f"{', '.join(there[:5])}. Any other network: docs/bring-your-own-model.md"
        )
    return get_published(
        PublishedModel(
            name=repo.rpartition("/")[2],
            architecture="clap",
            sources=(HubSource(repo, revision, (*CLAP_FILES, CLAP_WEIGHTS)),),
            license="",
            summary=f"A CLAP from {repo}.",
            credits=(f"{repo} on the model hub",),
            limits=(),
        ),
        out,
        source=source,
        downloads=downloads,
        precision=precision,
        audio_precision=audio_precision,
        report=report,
        say=say,
    )


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
    before = ModelConfig.read(out).fingerprint if (out / CONFIG_FILE).is_file() else ""
    if before == config.fingerprint and _works(out):
        return "here"
    with built_beside(out) as made:
        copy_files(folder, names, made)
        if not _works(made):
            raise ModelError(f"{folder} is a model directory whose networks cannot be run")
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
