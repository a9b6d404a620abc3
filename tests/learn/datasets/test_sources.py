"""What is published where, as far as it can be checked without the internet."""

from __future__ import annotations

import re

from soundseek.learn.datasets import sources


def every_file() -> list[sources.RemoteFile]:
    other = [
        *sources.AUDIOCAPS.values(),
        sources.MACS_CAPTIONS,
        *sources.MACS_AUDIO,
        *sources.WAVCAPS.values(),
    ]
    return [*sources.CLOTHO.files(), *other]


def test_every_url_is_https_and_ends_with_a_file() -> None:
    for file in every_file():
        assert re.fullmatch(r"https://[\w./-]+\.(7z|csv|zip|yaml|json)(\?download=1)?", file.url), file


def test_names_and_digests_are_unique() -> None:
    files = every_file()
    assert len({file.name for file in files}) == len(files)
    digests = [file.md5 for file in files if file.md5]
    assert len(set(digests)) == len(digests)
    assert all(re.fullmatch(r"[0-9a-f]{32}", digest) for digest in digests)


def test_all_of_zenodo_has_a_digest() -> None:
    assert all(file.md5 for file in every_file() if "zenodo.org" in file.url)


def test_clotho_has_the_three_splits_of_the_paper() -> None:
    assert {split: files.num_clips for split, files in sources.CLOTHO.splits.items()} == {
        "development": 3839,
        "validation": 1045,
        "evaluation": 1045,
    }
    evaluation = sources.CLOTHO.splits["evaluation"]
    assert (
        evaluation.audio.url
        == "https://zenodo.org/records/4783391/files/clotho_audio_evaluation.7z?download=1"
    )
    assert evaluation.audio.md5 == "4569624ccadf96223f19cb59fe4f849f"
    assert evaluation.captions.md5 == "1b16b9e57cf7bdb7f13a13802aeb57e2"
