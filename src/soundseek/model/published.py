"""Text-audio models that others publish on a model hub, and that `soundseek models get` turns into model directories.

Revisions and digests are those of the files as they were published; where a publisher has none, the hub's own digest of
the revision is compared.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Literal

HUB_PREFIX = "hf:"

Architecture = Literal["clap", "msclap"]


@dataclass(frozen=True)
class HubFile:
    """One file of a repository on the hub.

    Attributes:
        name: Its path there, and its name in a snapshot; of names joined by "|" the first that is there.
        sha256: Of its content; empty where only the hub tells.
        size_bytes: Its length; 0 where only the hub tells.
        is_optional: Whether it is taken only where it is there.
        git_sha1: Of its content as git names it, which is what the hub tells of a file that is not large.
    """

    name: str
    sha256: str = ""
    size_bytes: int = 0
    is_optional: bool = False
    git_sha1: str = ""

    def name_among(self, there: Container[str]) -> str | None:
        """The name by which it is there; None where it is not.

        >>> HubFile("model.safetensors|pytorch_model.bin").name_among({"pytorch_model.bin"})
        'pytorch_model.bin'
        """
        return next((each for each in self.name.split("|") if each in there), None)

    @property
    def names(self) -> str:
        """Its names as a message says them, "model.safetensors or pytorch_model.bin"."""
        return self.name.replace("|", " or ")


@dataclass(frozen=True)
class HubSource:
    """What is taken from one repository.

    Attributes:
        repo: "USER/REPO".
        revision: A commit, or a branch where no commit is pinned.
        files: What is needed.
    """

    repo: str
    revision: str
    files: tuple[HubFile, ...]


@dataclass(frozen=True)
class PublishedModel:
    """A model that somebody else trained.

    Attributes:
        name: What `soundseek models get` and `--model` take.
        architecture: How it is built.
        sources: What is downloaded; a snapshot has the files of all of them in one folder.
        license: Of the weights, as an SPDX expression.
        summary: One line.
        credits: Whose work it is.
        limits: What it is bad at, or what of it is not supported.
        scores: As published, "set metric" -> share in [0, 1].
        scores_source: Where they are published.
        download_bytes: About how much is downloaded.
        size_bytes: About how large the model directory is.
    """

    name: str
    architecture: Architecture
    sources: tuple[HubSource, ...]
    license: str
    summary: str
    credits: tuple[str, ...]
    limits: tuple[str, ...]
    scores: dict[str, float] = field(default_factory=dict)
    scores_source: str = ""
    download_bytes: int = 0
    size_bytes: int = 0


CLAP_FILES = (
    HubFile("config.json"),
    HubFile("preprocessor_config.json"),
    HubFile("tokenizer_config.json"),
    HubFile("tokenizer.json|vocab.json"),
    HubFile("vocab.json", is_optional=True),
    HubFile("merges.txt", is_optional=True),
)
"""What a `ClapModel` consists of on the hub, beside its weights."""

CLAP_WEIGHTS = HubFile("model.safetensors|pytorch_model.bin")

_WU = (
    "Yusong Wu, Ke Chen, Tianyu Zhang, Yuchen Hui, Taylor Berg-Kirkpatrick, Shlomo Dubnov: Large-scale Contrastive "
    "Language-Audio Pretraining with Feature Fusion and Keyword-to-Caption Augmentation, ICASSP 2023"
)
_ELIZALDE = (
    "Benjamin Elizalde, Soham Deshmukh, Huaming Wang: Natural Language Supervision for General-Purpose Audio "
    "Representations, ICASSP 2024"
)
_ENGLISH = "It reads English alone."
_SLOW = "It is a large network: indexing takes tens of times as long as with soundseek-small."
_LAION_README = "the checkpoints' list in github.com/LAION-AI/CLAP"


def _laion(repo: str, revision: str, sha256: str, size_bytes: int) -> tuple[HubSource, ...]:
    weights = HubFile("pytorch_model.bin", sha256, size_bytes)
    return (HubSource(repo, revision, (*CLAP_FILES, weights)),)


PUBLISHED = {
    model.name: model
    for model in (
        PublishedModel(
            name="laion-clap",
            architecture="clap",
            sources=_laion(
                "laion/clap-htsat-unfused",
                "8fa0f1c6d0433df6e97c127f64b2a1d6c0dcda8a",
                "1cd3c601bc4afe0fa87be3de4c13dd2cfadd249fac1e29acf74a9b296c3219bb",
                614_525_833,
            ),
            license="Apache-2.0",
            summary="LAION's CLAP: HTS-AT and RoBERTa, trained on 630,000 captioned sounds and AudioSet.",
            credits=(_WU,),
            limits=(_ENGLISH, _SLOW),
            scores={"ESC-50 acc": 0.9155},
            scores_source="pymill.com/docs/reproducibility/esc50, these very weights, zero-shot",
            download_bytes=618_000_000,
            size_bytes=618_000_000,
        ),
        PublishedModel(
            name="laion-clap-general",
            architecture="clap",
            sources=_laion(
                "laion/larger_clap_general",
                "ada0c23a36c4e8582805bb38fec3905903f18b41",
                "314eb00cce6ad68d25237b8446b659ccdb136ed4672c1bca470f142f72455026",
                776_444_665,
            ),
            license="Apache-2.0",
            summary="LAION's larger CLAP for sounds, music and speech.",
            credits=(_WU,),
            limits=(_ENGLISH, _SLOW),
            scores={"ESC-50 acc": 0.8998},
            scores_source=f"{_LAION_README}: music_speech_audioset_epoch_15, zero-shot",
            download_bytes=778_000_000,
            size_bytes=780_000_000,
        ),
        PublishedModel(
            name="laion-clap-music",
            architecture="clap",
            sources=_laion(
                "laion/larger_clap_music",
                "a0b4534a14f58e20944452dff00a22a06ce629d1",
                "5c289311f4a030d768af7ffbfdecd01b008aa64824211899a4e59f4f9d154fd1",
                0,
            ),
            license="Apache-2.0",
            summary="LAION's larger CLAP, trained on music beside sounds.",
            credits=(_WU,),
            limits=(
                _ENGLISH,
                _SLOW,
                "Users report that this conversion gives unrelated sentences nearly one vector; compare with "
                "laion-clap-general before you rely on it.",
            ),
            scores={"ESC-50 acc": 0.9014},
            scores_source=f"{_LAION_README}: music_audioset_epoch_15, zero-shot",
            download_bytes=778_000_000,
            size_bytes=780_000_000,
        ),
        PublishedModel(
            name="ms-clap-2023",
            architecture="msclap",
            sources=(
                HubSource(
                    "microsoft/msclap",
                    "main",
                    (
                        HubFile(
                            "CLAP_weights_2023.pth",
                            "2cef4016d47d00eb28d153d522f397222057f95000e9bad6b9583c631284a1e6",
                            689_950_036,
                        ),
                    ),
                ),
                HubSource(
                    "openai-community/gpt2",
                    "607a30d783dfa663caf39e06633721c8d4cfcd7e",
                    (HubFile("tokenizer.json"),),
                ),
            ),
            license="MIT",
            summary="Microsoft's CLAP of 2023: HTS-AT trained on 22 tasks, and GPT-2; 4.6 million captioned sounds.",
            credits=(_ELIZALDE,),
            limits=(
                _ENGLISH,
                _SLOW,
                "Its own code puts the channels of a stereo file one behind the other; here they are averaged.",
            ),
            scores={"ESC-50 acc": 0.939},
            scores_source="Elizalde et al. (arXiv:2309.05767), zero-shot",
            download_bytes=691_000_000,
            size_bytes=650_000_000,
        ),
    )
}
"""Name -> what is published."""
