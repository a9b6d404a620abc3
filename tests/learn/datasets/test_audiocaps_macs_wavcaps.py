"""AudioCaps, MACS and WavCaps from their published captions and a folder of sounds to Clotho's layout."""

from __future__ import annotations

import csv
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tones import write_tone
from web_server import Site, serving

from soundseek.errors import DataError, UsageError
from soundseek.learn.datasets import sources
from soundseek.learn.datasets.audiocaps_macs_wavcaps import (
    obtain_audiocaps,
    obtain_macs,
    obtain_wavcaps,
    read_audiocaps,
    read_macs,
    read_wavcaps,
)
from soundseek.learn.datasets.download import Patience
from soundseek.learn.datasets.layout import read_split

QUICK = Patience(attempts=1, wait_s=0.0, timeout_s=60.0)
NOWHERE = "http://127.0.0.1:9"


def put(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


def tones(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_tone(folder / name, frequency_hz=200.0 + 50 * number, duration_s=0.1)
    return folder


def written(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


HEADER = "audiocap_id,youtube_id,start_time,caption\n"
AUDIOCAPS = {
    "audiocaps_train.csv": HEADER + "1,-abc,30,A dog\n2,gone,0,A cat\n",
    "audiocaps_val.csv": HEADER + "3,vvv,10,Rain\n4,vvv,10,It rains\n",
    "audiocaps_test.csv": HEADER + "5,ttt,0,Wind\n6,uuu,7,Bell\n",
}


def test_audiocaps_is_matched_by_name_and_gathers_the_captions_of_a_clip(tmp_path: Path) -> None:
    audio = tones(tmp_path / "mine", "Y-abc.wav", "val/vvv_10.wav", "ttt_0_10.wav", "x/uuu_7000_17000.wav")
    data = tmp_path / "data"
    put(data / "downloads", AUDIOCAPS)
    laid = obtain_audiocaps(data, audio, mirror=NOWHERE, patience=QUICK)
    assert [(each.split, each.clips, each.missing) for each in laid] == [
        ("development", 1, ("gone_0",)),
        ("validation", 1, ()),
        ("evaluation", 2, ()),
    ]
    (clip,) = read_split(data, "validation")
    assert (clip.path.name, clip.captions) == ("vvv_10.wav", ("Rain", "It rains"))
    assert written(data / "metadata_development.csv")[1:] == [["-abc_30.wav", "-abc"]]
    assert clip.path.samefile(audio / "val" / "vvv_10.wav")


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    audio, data = tones(tmp_path / "mine", "vvv_10.wav"), tmp_path / "data"
    put(data / "downloads", AUDIOCAPS)
    first = obtain_audiocaps(data, audio, mirror=NOWHERE, patience=QUICK)
    assert obtain_audiocaps(data, audio, mirror=NOWHERE, patience=QUICK) == first
    assert [path.name for path in (data / "validation").iterdir()] == ["vvv_10.wav"]


def test_on_another_disk_sounds_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    audio, data = tones(tmp_path / "mine", "vvv_10.wav"), tmp_path / "data"
    put(data / "downloads", AUDIOCAPS)
    obtain_audiocaps(data, audio, mirror=NOWHERE, patience=QUICK)
    copy = data / "validation" / "vvv_10.wav"
    assert copy.read_bytes() == (audio / "vvv_10.wav").read_bytes() and copy.stat().st_nlink == 1


def test_audiocaps_without_sounds_fetches_the_captions_and_says_what_is_lacking(tmp_path: Path) -> None:
    site = Site({name: content.encode() for name, content in AUDIOCAPS.items()})
    with (
        serving(site),
        pytest.raises(UsageError, match=r"no sounds .* give the folder .* with --audio FOLDER"),
    ):
        obtain_audiocaps(tmp_path, None, mirror=site.url, patience=QUICK)
    assert sorted(path.name for path in (tmp_path / "downloads").iterdir()) == sorted(AUDIOCAPS)


def test_without_internet_the_files_to_fetch_are_named(tmp_path: Path) -> None:
    put(tmp_path / "downloads", {"audiocaps_val.csv": AUDIOCAPS["audiocaps_val.csv"]})
    with pytest.raises(DataError) as error:
        obtain_audiocaps(tmp_path, None, mirror=NOWHERE, patience=QUICK)
    message = str(error.value)
    assert "fetch audiocaps_train.csv, audiocaps_test.csv by hand from https://github.com/" in message
    assert f"put them into {tmp_path / 'downloads'}" in message


@pytest.mark.parametrize(("folder", "what"), [("empty", "holds no sound"), ("nowhere", "is no folder")])
def test_a_folder_without_sounds_is_refused(tmp_path: Path, folder: str, what: str) -> None:
    (tmp_path / "empty").mkdir()
    put(tmp_path / "downloads", AUDIOCAPS)
    with pytest.raises(UsageError, match=f"--audio .*{folder} {what}"):
        obtain_audiocaps(tmp_path, tmp_path / folder, mirror=NOWHERE, patience=QUICK)


def wavcaps(*clips: tuple[str, str]) -> str:
    return json.dumps({"data": [{"id": name, "caption": text, "duration": 1.0} for name, text in clips]})


def test_wavcaps_numbers_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    audio = tones(tmp_path / "mine", "FreeSound/17.flac.wav", "FreeSound/17.wav", "SoundBible/17.wav")
    data = tmp_path / "data"
    put(
        data / "downloads",
        {"fsd_final.json": wavcaps(("17", "Rain")), "sb_final.json": wavcaps(("17", "Bell"))},
    )
    (laid,) = obtain_wavcaps(data, audio, parts=["FreeSound", "SoundBible"], mirror=NOWHERE, patience=QUICK)
    assert laid.clips == 2
    clips = {clip.path.name: clip for clip in read_split(data, "development")}
    assert clips["FreeSound-17.wav"].captions == ("Rain",)
    assert clips["SoundBible-17.wav"].path.samefile(audio / "SoundBible" / "17.wav")


def test_recordings_that_clotho_is_tested_on_are_left_out(tmp_path: Path) -> None:
    clotho = tmp_path / "clotho"
    put(
        clotho,
        {
            "metadata_development.csv": "file_name,sound_id\na.wav,1\n",
            "metadata_validation.csv": "file_name,sound_id\nb.wav,2\n",
            "metadata_evaluation.csv": "file_name,sound_id\nc.wav,3\n",
        },
    )
    audio = tones(
        tmp_path / "mine", *(f"{part}/{n}.wav" for part in ("FreeSound", "SoundBible") for n in "123")
    )
    data = tmp_path / "data"
    three = wavcaps(("1", "x"), ("2", "x"), ("3", "x"))
    put(data / "downloads", {"fsd_final.json": three, "sb_final.json": three})
    (laid,) = obtain_wavcaps(
        data, audio, parts=["FreeSound", "SoundBible"], without=[clotho], mirror=NOWHERE, patience=QUICK
    )
    assert (laid.clips, laid.left_out) == (4, 2)
    names = [clip.path.name for clip in read_split(data, "development")]
    assert names == ["FreeSound-1.wav", "SoundBible-1.wav", "SoundBible-2.wav", "SoundBible-3.wav"]
    with pytest.raises(UsageError, match="has no metadata"):
        obtain_wavcaps(data, audio, parts=["SoundBible"], without=[audio], mirror=NOWHERE, patience=QUICK)


def test_audioset_ids_are_those_of_audiocaps(tmp_path: Path) -> None:
    put(tmp_path, {"as_final.json": wavcaps(("Y-abc.wav", "Rain"))})
    (clip,) = read_wavcaps(tmp_path / "as_final.json", "AudioSet_SL")
    assert (clip.sound_id, clip.spellings) == ("-abc", ("Y-abc",))


def test_an_unknown_part_of_wavcaps_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="no part 'Freesound'; it has AudioSet_SL, BBC_Sound_Effects, FreeSound"
    ):
        obtain_wavcaps(tmp_path, None, parts=["Freesound"], mirror=NOWHERE)


MACS = """files:
- filename: airport-lisbon-1000-40000-a.wav
  annotations:
  - {annotator_id: 1, sentence: 'people talk', tags: [a]}
  - {annotator_id: 2, sentence: ' steps: many ', tags: [b]}
- filename: bus-paris-7-2-a.wav
  annotations:
  - {annotator_id: 1, sentence: an engine, tags: [c]}
"""


@pytest.fixture
def macs(monkeypatch: pytest.MonkeyPatch) -> None:
    """MACS with the captions above and two archives, without the real digests."""
    monkeypatch.setattr(sources, "MACS_CAPTIONS", replace(sources.MACS_CAPTIONS, md5=""))
    monkeypatch.setattr(sources, "MACS_AUDIO", [replace(file, md5="") for file in sources.MACS_AUDIO[:2]])


def zipped(path: Path, *sounds: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for sound in sounds:
            archive.write(sound, f"TAU/audio/{sound.name}")
    return path.read_bytes()


def test_macs_takes_from_the_archives_what_it_has_captions_of(tmp_path: Path, macs: None) -> None:
    audio = tones(tmp_path, "airport-lisbon-1000-40000-a.wav", "bus-paris-7-2-a.wav", "park-x-1-1-a.wav")
    first, second = sources.MACS_AUDIO
    site = Site(
        {
            "MACS.yaml": MACS.encode(),
            first.name: zipped(tmp_path / "1.zip", audio / "bus-paris-7-2-a.wav", audio / "park-x-1-1-a.wav"),
            second.name: zipped(tmp_path / "2.zip", audio / "airport-lisbon-1000-40000-a.wav"),
        }
    )
    data = tmp_path / "data"
    with serving(site):
        (laid,) = obtain_macs(data, None, mirror=site.url, patience=QUICK)
        before = len(site.requests)
        assert obtain_macs(data, None, mirror=site.url, patience=QUICK) == [laid]
        assert len(site.requests) == before
    assert (laid.clips, laid.missing) == (2, ())
    clips = read_split(data, "development")
    assert [clip.captions for clip in clips] == [("people talk", "steps: many"), ("an engine",)]
    assert sorted(path.name for path in (data / "development").iterdir()) == sorted(
        c.path.name for c in clips
    )
    assert not (data / "downloads" / "unpacking").exists()


def test_macs_takes_a_folder_of_its_sounds(tmp_path: Path, macs: None) -> None:
    audio, data = tones(tmp_path / "tau", "audio/bus-paris-7-2-a.wav"), tmp_path / "data"
    put(data / "downloads", {"MACS.yaml": MACS})
    (laid,) = obtain_macs(data, audio, mirror=NOWHERE, patience=QUICK)
    assert (laid.clips, laid.missing) == (1, ("airport-lisbon-1000-40000-a",))
    assert written(data / "metadata_development.csv")[1:] == [["bus-paris-7-2-a.wav", "bus-paris-7"]]


def test_a_damaged_zip_is_named(tmp_path: Path, macs: None) -> None:
    data = tmp_path / "data"
    put(data / "downloads", {"MACS.yaml": MACS, **{file.name: "no zip" for file in sources.MACS_AUDIO}})
    with pytest.raises(DataError, match=r"audio\.1\.zip is damaged .* remove it"):
        obtain_macs(data, None, mirror=NOWHERE, patience=QUICK)


def test_files_of_another_form_are_named(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"a.csv": "id,caption\n", "b.csv": HEADER + "1,v,soon,x\n", "c.json": "[]", "d.yaml": "a: 1"},
    )
    with pytest.raises(DataError, match=r"a\.csv, line 1: expected audiocap_id"):
        read_audiocaps(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"b\.csv, line 2: start_time"):
        read_audiocaps(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"c\.json: expected"):
        read_wavcaps(tmp_path / "c.json", "FreeSound")
    with pytest.raises(DataError, match=r"d\.yaml: expected files"):
        read_macs(tmp_path / "d.yaml")


def test_what_is_no_caption_of_wavcaps_is_none_or_named(tmp_path: Path) -> None:
    clips = '{"id": "17.flac", "caption": NaN}, {"id": "18", "caption": "\\u200b "}, '
    clips += '{"id": "19.WAV", "caption": " Rain\\n"}'
    put(
        tmp_path,
        {"c.json": f'{{"data": [{clips}]}}', "n.json": '{"data": [{"id": "1", "caption": ["a", "b"]}]}'},
    )
    found = read_wavcaps(tmp_path / "c.json", "FreeSound")
    assert [(source.spellings, source.captions) for source in found] == [
        (("17",), ()), (("18",), ()), (("19",), ("Rain",))
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"n\.json: .*a caption is no text: \['a', 'b'\]"):
        read_wavcaps(tmp_path / "n.json", "FreeSound")


def test_a_caption_of_audiocaps_that_is_broken_over_lines_is_read_whole(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "train.csv": HEADER + "39899,IAosP90cdsE,30,an engine chugging loudly with muffled\n"
            "speech in the background\n\n"
            '8000,other,0,"a bell, then\n1 more"\n'
            "7994,2Cnv0FADwfo,30,an animal is gurgling in water.\na dog is whimpering\n\n"
        },
    )
    assert {clip.name: clip.captions for clip in read_audiocaps(tmp_path / "train.csv")} == {
        "IAosP90cdsE_30": ("an engine chugging loudly with muffled speech in the background",),
        "other_0": ("a bell, then\n1 more",),
        "2Cnv0FADwfo_30": ("an animal is gurgling in water. a dog is whimpering",),
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,-abc,30\n", "line 2: 3 cells, and the header has 4"),
        (
            "2,x,30,broken\nover two\n1,-abc,30,A dog barks, then a car\n",
            "line 4: 5 cells, and the header has 4",
        ),
        ('1,-abc,30,"A dog\n2,IAos,30,A cat\n4,2Cn,30,"Rain"\n', "line 2: a double quote opens a cell"),
        ("1,-abc,,A dog\n", "line 2: start_time = '' is no number of seconds"),
        ("1,-abc,inf,A dog\n", "line 2: start_time = 'inf' is no number of seconds"),
    ],
)
def test_rows_of_audiocaps_that_could_be_misread_are_named(tmp_path: Path, rows: str, message: str) -> None:
    put(tmp_path, {"train.csv": HEADER + rows})
    with pytest.raises(DataError, match=message):
        read_audiocaps(tmp_path / "train.csv")


def test_clips_without_a_caption_are_left_out_and_counted(tmp_path: Path) -> None:
    audio, data = (
        tones(tmp_path / "mine", "SoundBible/7.flac", "SoundBible/8.flac", "SoundBible/9.flac"),
        tmp_path / "data",
    )
    clips = [{"id": "7", "caption": 'A "loud", dog'}, {"id": 8, "caption": None}, {"id": "9", "caption": " "}]
    put(data / "downloads", {"sb_final.json": json.dumps({"data": clips})})
    (laid,) = obtain_wavcaps(data, audio, parts=["SoundBible"], mirror=NOWHERE, patience=QUICK)
    assert (laid.clips, laid.without_caption, laid.missing) == (1, 2, ())
    assert written(data / "captions_development.csv")[1:] == [["SoundBible-7.flac", 'A "loud", dog']]


def test_a_clip_without_an_id_or_a_file_name_is_named(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"c.json": '{"data": [{"id": null, "caption": "x"}]}', "d.yaml": "files: [{filename: null}]"},
    )
    with pytest.raises(DataError, match=r"c\.json: .*has no id"):
        read_wavcaps(tmp_path / "c.json", "FreeSound")
    with pytest.raises(DataError, match=r"d\.yaml: expected files"):
        read_macs(tmp_path / "d.yaml")
