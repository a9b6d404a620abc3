"""`soundseek search` and `similar` from end to end on a toy model: hits, and every format of them."""

from __future__ import annotations

import csv
import io
import itertools
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from cli.answers import records

from soundseek.library import Library
from soundseek.model.registry import load_model

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def test_a_search_in_a_pipe_prints_json_lines(soundseek: Run, filled: Path, sounds: Path) -> None:
    run = soundseek("search", "a high tone", "-k", "3", "--library", filled)
    assert (run.returncode, run.stderr) == (0, b"")
    hits = records(run.stdout)
    assert len(hits) == 3
    for hit in hits:
        assert list(hit)[:5] == ["path", "start_s", "end_s", "score", "moments"]
        assert Path(hit["path"]).parent == sounds
        assert max(hit["moments"]) > hit["score"] > min(hit["moments"]) - 0.2
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


def test_words_need_no_quotes(soundseek: Run, filled: Path) -> None:
    loose = soundseek("search", "a", "high", "tone", "--library", filled).stdout
    assert loose and loose == soundseek("search", "a high tone", "--library", filled).stdout


def test_descriptions_in_quotes_of_their_own_are_sounds_of_one_recording(
    soundseek: Run, filled: Path
) -> None:
    both = soundseek("search", "a high tone", "a low hum", "--library", filled)
    assert both.returncode == 0
    assert both.stderr == b'sounds with all of "a high tone", "a low hum"; for each of them search once\n'
    found = records(both.stdout)
    assert {(hit.pop("query"), hit.pop("typed")) for hit in found} == {
        ("a high tone and a low hum", "a high tone, a low hum")
    }
    assert found == records(soundseek("search", "a high tone and a low hum", "--library", filled).stdout)


def test_each_description_in_quotes_is_read_by_itself(soundseek: Run, filled: Path) -> None:
    run = soundseek("search", "wind without thunder", "perro ladrando", "--library", filled)
    assert run.returncode == 0, run.stderr.decode()
    told = run.stderr.decode()
    assert told.startswith('sounds with all of "wind without thunder", "perro ladrando"; for each of them')
    assert 'searched for "wind", not "thunder" (typed "wind without thunder")' in told
    assert 'searched for "dog barking" (typed "perro ladrando")' in told
    first = records(run.stdout)[0]
    assert first["query"] == "wind and dog barking" and first["not"] == ["thunder"]
    assert first["typed"] == "wind without thunder, perro ladrando"


def test_a_description_that_only_excludes_is_no_query_that_asks_for_nothing(
    soundseek: Run, filled: Path
) -> None:
    run = soundseek("search", "a high tone", "no music", "--library", filled)
    assert b"nothing asked for" not in run.stderr and b"sounds with all of" not in run.stderr
    assert b'searched for anything but "music" (typed "no music")' in run.stderr
    assert {(hit["query"], *hit["not"]) for hit in records(run.stdout)} == {("a high tone", "music")}
    nothing = soundseek("search", "no music", "no talking", "--library", filled)
    assert nothing.stderr.count(b"nothing asked for") == 1
    assert b'only "music" and "talking" are kept out' in nothing.stderr


def test_one_description_in_quotes_belongs_to_the_words_beside_it(soundseek: Run, filled: Path) -> None:
    quoted = soundseek("search", "a high tone", "nearby", "--library", filled)
    assert quoted.stdout == soundseek("search", "a high tone nearby", "--library", filled).stdout
    assert b"sounds with all of" not in quoted.stderr


def test_a_query_that_only_excludes_says_that_it_asks_for_nothing(soundseek: Run, filled: Path) -> None:
    run = soundseek("search", "-tone", "--library", filled)
    assert run.returncode == 0 and records(run.stdout)
    assert b'only "tone" is kept out and nothing asked for: what is least like it comes first' in run.stderr
    assert b"nothing asked for" not in soundseek("search", "hum -tone", "--library", filled).stderr


def test_a_library_remembers_its_model(soundseek: Run, filled: Path) -> None:
    run = soundseek("search", "tone", "--library", filled, SOUNDSEEK_MODEL="")
    assert run.returncode == 0, run.stderr.decode()
    assert run.stdout


def test_segments_lists_the_events_of_a_long_file(soundseek: Run, filled: Path) -> None:
    hits = records(
        soundseek("search", "tone", "--segments", "--where", "duration > 20", "--library", filled).stdout
    )
    times = sorted((hit["start_s"], hit["end_s"]) for hit in hits)
    assert times[0][0] >= 0 and times[-1][1] <= 22.0
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(times))  # no window repeats another
    for hit in hits:
        assert hit["start_s"] <= hit["moment_s"] <= hit["end_s"]


def test_similar_finds_the_same_sound_under_another_name(soundseek: Run, filled: Path, sounds: Path) -> None:
    outside = sounds.parent / "outside.wav"
    shutil.copy(sounds / "tone3.wav", outside)
    hits = records(soundseek("similar", outside, "-k", "2", "--library", filled).stdout)
    assert Path(hits[0]["path"]).name == "tone3.wav" and hits[0]["score"] > 0.99


def test_an_example_and_a_negative_change_the_answer(soundseek: Run, filled: Path, sounds: Path) -> None:
    plain = soundseek("search", "tone", "--library", filled).stdout
    like = soundseek("search", "tone", "--like", sounds / "tone5.wav", "--library", filled).stdout
    without = soundseek("search", "tone", "--not", "low hum", "--library", filled).stdout
    assert len({plain, like, without}) == 3
    assert soundseek("search", "--like", sounds / "tone5.wav", "--library", filled).returncode == 0


def test_a_table_says_which_words_carried_a_hit(soundseek: Run, filled: Path) -> None:
    run = soundseek("search", "a quiet tone", "--table", "-k", "7", "--library", filled)
    header, *rows = [line.split() for line in run.stdout.decode().splitlines() if line.strip(" ─")]
    assert header == ["score", "file", "moment", "why"]
    assert len(rows) == 7
    assert any({"quiet", "quiet,", "tone", "tone,"} & set(row) for row in rows)


def test_the_documented_keys_are_those_that_are_printed(soundseek: Run, filled: Path, sounds: Path) -> None:
    part = (Path(__file__).parents[2] / "docs" / "index.md").read_text().split("## Output for programs")[1]
    hits, explained = (
        [key for row in re.findall(r"^\| (`.*?) \|", table, re.M) for key in re.findall(r"`(\w+)`", row)]
        for table in part.split("## ")[0].split("`explain` has these")
    )
    hits.remove("match")  # the toy model does not say how sure it is
    hits.remove("clock")  # and no file when it was recorded
    hits.remove("library")
    (found,) = records(soundseek("search", "tone", "--why", "-k", "1", "--library", filled).stdout)
    assert list(found) == hits
    plain = [key for key in hits[:-1] if key != "keywords"]
    for command in (["search", "tone", "--keywords", "off"], ["similar", sounds / "tone1.wav"]):
        assert list(records(soundseek(*command, "-k", "1", "--library", filled).stdout)[0]) == plain
    (told,) = records(soundseek("explain", sounds / "long.wav", "tone").stdout)
    assert sorted(told) == sorted([*plain, *explained])
    assert set(told["words"][0]) == {"word", "without", "contribution"}
    assert set(told["segments"][0]) == {"start_s", "end_s", "score"}


def test_why_in_json_is_a_list_of_words(soundseek: Run, filled: Path) -> None:
    hits = records(soundseek("search", "a quiet tone", "--why", "--library", filled).stdout)
    assert all(set(hit["why"]) <= {"quiet", "tone"} for hit in hits)
    assert any(hit["why"] for hit in hits)


def test_csv_and_playlist_have_the_same_hits(soundseek: Run, filled: Path) -> None:
    table = soundseek("search", "tone", "--csv", "--library", filled).stdout.decode().splitlines()
    playlist = soundseek("search", "tone", "--m3u", "--library", filled).stdout.decode().splitlines()
    paths = [line.split(",")[2] for line in table[1:]]
    assert paths and paths == [line for line in playlist if not line.startswith("#")]


def test_the_documented_columns_are_those_of_the_csv(soundseek: Run, filled: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "index.md").read_text()
    (told,) = [part for part in page.split("\n\n") if part.startswith("`--csv` is for spreadsheets")]
    run = soundseek("search", "tone", "--csv", "--why", "--library", filled)
    assert run.stdout.decode().splitlines()[0].split(",") == re.findall(r"`(\w+)`", told)


def test_no_cell_of_a_table_for_spreadsheets_is_a_formula(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("=1+1.wav", "@SUM(A1).wav", "-2.wav", "+2.wav"):
        shutil.copy(sounds / "tone1.wav", folder / name)
    soundseek("index", folder, "--library", tmp_path / "library")
    for asked in (["search", "=1+1 @SUM tone", "--why"], ["similar", sounds / "tone2.wav"]):
        run = soundseek(*asked, "--duplicates", "show", "--csv", "--library", tmp_path / "library")
        header, *rows = csv.reader(io.StringIO(run.stdout.decode()))
        assert len(rows) == 4 and ("why" in header) == ("--why" in asked)
        texts = [row[header.index(name)] for row in rows for name in ("path", "format")]
        texts += [row[header.index("why")] for row in rows if "why" in header]
        assert not any(text.startswith(tuple("=+-@\t\r")) for text in texts)


def test_no_hit_says_why_on_stderr(
    soundseek: Run, filled: Path, tmp_path: Path, model_directory: Path
) -> None:
    run = soundseek("search", "tone", "--where", "duration > 1h", "--library", filled)
    assert (run.returncode, run.stdout) == (0, b"")
    assert run.stderr == (
        b"nothing found: none of the library's 7 sounds fulfils --where 'duration > 1h'; "
        b"the lengths in it: 2 s to 22 s\n"
    )
    Library.create(tmp_path / "library", model=load_model(model_directory)).close()
    told = soundseek("search", "tone", "--table", "--library", tmp_path / "library")
    assert told.stdout == b""
    assert b"holds no sounds; fill it with: soundseek index FOLDER --library" in told.stderr


def test_an_example_that_is_the_only_sound_has_no_likeness(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    soundseek("index", sounds / "tone1.wav", "--library", tmp_path / "library")
    run = soundseek("similar", sounds / "tone1.wav", "--library", tmp_path / "library")
    assert run.stderr == b"nothing found: the example is the only sound in the library\n"


def test_words_that_are_asked_for_and_kept_out_are_named(soundseek: Run, filled: Path) -> None:
    both = soundseek("search", "low tone", "--not", "Low  tone", "--library", filled)
    assert both.returncode == 0 and b'"Low  tone" is asked for and kept out at once' in both.stderr
    other = soundseek("search", "low tone", "--not", "high tone", "--library", filled)
    assert b"kept out" not in other.stderr
