"""What is published where: the archives and captions of public data sets of captioned sounds, with their md5.

Checked against the records' own pages and the lists in `aac-datasets`. Where no md5 stands here, the publisher
states none for a file that may still change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class RemoteFile:
    """One published file.

    Attributes:
        name: Its name on disk.
        url: Where it is.
        md5: Its digest in hexadecimal; empty where the publisher states none.
        sha256: The same with sha256; what counts where both stand.
        size_bytes: Its length; 0 where it is not known beforehand.
    """

    name: str
    url: str
    md5: str = ""
    sha256: str = ""
    size_bytes: int = 0

    @property
    def digest(self) -> tuple[str, str]:
        """The digest to check by: its kind and its hexadecimal digits, empty where none is known."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5)

    def at(self, mirror: str | None) -> RemoteFile:
        """The same file in another place: `mirror/name`; None leaves it where it is."""
        return self if mirror is None else replace(self, url=f"{mirror.rstrip('/')}/{self.name}")


@dataclass(frozen=True)
class ClothoSplit:
    """One split of Clotho.

    Attributes:
        audio: The 7z archive of its sounds.
        captions: `file_name,caption_1,...,caption_5`.
        metadata: Where each sound comes from; ISO-8859-1.
        num_clips: Sounds that the split has.
    """

    audio: RemoteFile
    captions: RemoteFile
    metadata: RemoteFile
    num_clips: int

    @property
    def files(self) -> tuple[RemoteFile, RemoteFile, RemoteFile]:
        """All that is published of it."""
        return self.audio, self.captions, self.metadata


@dataclass(frozen=True)
class ClothoRelease:
    """A version of Clotho.

    Attributes:
        page: Where a person can fetch the files.
        splits: Split -> its files.
        captions_per_clip: Captions of every clip.
    """

    page: str
    splits: Mapping[str, ClothoSplit]
    captions_per_clip: int = 5

    def files(self) -> Iterator[RemoteFile]:
        """Every file of every split."""
        for split in self.splits.values():
            yield from split.files


CLOTHO_PAGE = "https://zenodo.org/records/4783391"


def _clotho_split(name: str, num_clips: int, audio: str, captions: str, metadata: str) -> ClothoSplit:
    def file(what: str, suffix: str, md5: str) -> RemoteFile:
        full = f"clotho_{what}_{name}.{suffix}"
        return RemoteFile(full, f"{CLOTHO_PAGE}/files/{full}?download=1", md5)

    return ClothoSplit(
        file("audio", "7z", audio),
        file("captions", "csv", captions),
        file("metadata", "csv", metadata),
        num_clips,
    )


CLOTHO = ClothoRelease(
    CLOTHO_PAGE,
    {
        "development": _clotho_split(
            "development",
            3839,
            audio="c8b05bc7acdb13895bb3c6a29608667e",
            captions="d4090b39ce9f2491908eebf4d5b09bae",
            metadata="170d20935ecfdf161ce1bb154118cda5",
        ),
        "validation": _clotho_split(
            "validation",
            1045,
            audio="7dba730be08bada48bd15dc4e668df59",
            captions="5879e023032b22a2c930aaa0528bead4",
            metadata="2e010427c56b1ce6008b0f03f41048ce",
        ),
        "evaluation": _clotho_split(
            "evaluation",
            1045,
            audio="4569624ccadf96223f19cb59fe4f849f",
            captions="1b16b9e57cf7bdb7f13a13802aeb57e2",
            metadata="13946f054d4e1bf48079813aac61bf77",
        ),
    },
)
"""Clotho v2.1: some 6.5 GB of archives, 11 GB of 44.1 kHz WAV files."""

AUDIOCAPS_PAGE = "https://github.com/cdjkim/audiocaps/tree/master/dataset"
AUDIOCAPS = {
    split: RemoteFile(
        f"audiocaps_{theirs}.csv",
        f"https://raw.githubusercontent.com/cdjkim/audiocaps/master/dataset/{theirs}.csv",
    )
    for split, theirs in {"development": "train", "validation": "val", "evaluation": "test"}.items()
}
"""AudioCaps' captions: `audiocap_id,youtube_id,start_time,caption`. Its sounds are parts of YouTube videos."""

MACS_PAGE = "https://zenodo.org/records/5114771"
MACS_CAPTIONS = RemoteFile(
    "MACS.yaml", f"{MACS_PAGE}/files/MACS.yaml?download=1", "23fcb2ebd0b109094034ef9e87972256"
)
TAU_PAGE = "https://zenodo.org/records/2589280"
_TAU_MD5 = {
    1: "aca4ebfd9ed03d5f747d6ba8c24bc728",
    2: "c4f170408ce77c8c70c532bf268d7be0",
    3: "c7214a07211f10f3250290d05e72c37e",
    9: "3c32a693a6b111ffb957be3c1dd22e9b",
    10: "0ffbf60006da520cc761fb74c878b98b",
    11: "599055d93b4c11057c29be2df54538d4",
    12: "98b8d162ff3665695c4c910e6c372cc8",
    13: "a356c08b1a5a21d433eba37ef87587f4",
}
_TAU_NAME = "TAU-urban-acoustic-scenes-2019-development.audio.{}.zip"
MACS_AUDIO = tuple(
    RemoteFile(_TAU_NAME.format(number), f"{TAU_PAGE}/files/{_TAU_NAME.format(number)}?download=1", md5)
    for number, md5 in _TAU_MD5.items()
)
"""The archives of TAU Urban Acoustic Scenes 2019 that hold a sound of MACS; the other thirteen hold none."""

WAVCAPS_PAGE = "https://huggingface.co/datasets/cvssp/WavCaps"
_WAVCAPS_REVISION = "85a0c21e26fa7696a5a74ce54fada99a9b43c6de"  # a branch's files may change, these do not
WAVCAPS = {
    source: RemoteFile(name, f"{WAVCAPS_PAGE}/resolve/{_WAVCAPS_REVISION}/json_files/{source}/{name}")
    for source, name in {
        "AudioSet_SL": "as_final.json",
        "BBC_Sound_Effects": "bbc_final.json",
        "FreeSound": "fsd_final.json",
        "SoundBible": "sb_final.json",
    }.items()
}
"""WavCaps' captions by source. Its sounds are split zip archives of several hundred GB on the same page."""
