"""How results look, without a library: clocks, bars, names, formats."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace

import pytest
from rich.cells import cell_len

from soundseek.cli.output import (
    bar_strip,
    choose_format,
    clock,
    cut_to,
    hits_table,
    printable,
    say_if_nothing,
    short_path,
    show_hits,
    write,
    write_json_lines,
)
from soundseek.errors import UsageError
from soundseek.library.hits import Hit, Hits

HIT = Hit(
    path="/sounds/dog.ogg", start_s=5.0, end_s=15.0, score=0.25, moments=(0.0, 0.25, 0.5), moment_s=13.5
)


def test_times_read_like_a_player_shows_them() -> None:
    assert [clock(seconds) for seconds in (0, 9.96, 59.96, 60, 3599.99, 36_000)] == [
        "0:00", "0:10", "1:00", "1:00", "1:00:00", "10:00:00",
    ]  # fmt: skip


def test_bars_stay_within_their_range_and_their_columns() -> None:
    assert bar_strip([-9, 9], low=0, high=1) == "▁█"
    assert bar_strip([0.3, 0.3], low=0.3, high=0.3) == "▁▁"
    assert bar_strip([], low=0, high=1) == ""
    assert len(bar_strip([0.0] * 31, low=0, high=1, width=16)) == 16


def test_an_average_stands_for_the_moments_that_share_a_column() -> None:
    assert bar_strip([0.0, 1.0, 1.0, 1.0], low=0, high=1, width=2) == "▅█"


def test_a_file_name_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b]0;owned\x07\n.wav") == "a\\x1b]0;owned\\x07\\n.wav"
    assert printable("żółw 犬.wav") == "żółw 犬.wav"
    assert printable(os.fsdecode(b"caf\xe9.wav")) == "caf\\udce9.wav"


def test_a_long_path_keeps_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert short_path(os.path.join(tmp_path, "birds", "owl.wav")) == os.path.join("birds", "owl.wav")  # noqa: PTH118
    beside = f"{tmp_path}-old/owl.wav"  # begins like this folder and is not in it
    assert short_path(beside, width=500) == beside
    assert short_path("/far/away/birds/owl.wav", width=16) == "…/birds/owl.wav"
    assert short_path("/far/away/birds/owl.wav", width=15) == "…/birds/owl.wav"
    assert short_path("/far/away/birds/owl.wav", width=14) == "…/owl.wav"
    assert short_path("/far/away/birds/owl.wav", width=8) == "…owl.wav"
    assert short_path("/鳥/梟梟梟.wav", width=10) == "…梟梟.wav"  # these letters are two columns wide


def test_two_formats_at_once_are_wrong_usage() -> None:
    with pytest.raises(UsageError, match="--json and --m3u exclude each other"):
        choose_format(json=True, m3u=True)


def test_a_pipe_gets_json_and_a_terminal_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert choose_format(json=False) == "json"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert choose_format(json=False) == "table"
    assert choose_format(json=False, csv=True) == "csv"


def test_json_gives_a_name_that_is_no_utf_8_back_whole(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    name = b"caf\xe9 \xe7\x8a\xac.wav"
    write_json_lines([{"path": os.fsdecode(name)}])
    line = capfdbinary.readouterr().out
    assert line == '{"path": "caf\\udce9 犬.wav"}\n'.encode()
    assert os.fsencode(json.loads(line)["path"]) == name


def test_text_goes_out_as_utf_8_whatever_stdout_thinks(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write("▁█\n")
    assert capfdbinary.readouterr().out == "▁█\n".encode()


def test_json_names_the_words_only_if_asked(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    show_hits([HIT], None, "json")
    show_hits([HIT], [["dog"]], "json")
    plain, explained = map(json.loads, capfdbinary.readouterr().out.splitlines())
    assert list(plain)[:5] == ["path", "start_s", "end_s", "score", "moments"]
    assert explained == {**plain, "why": ["dog"]} and "why" not in plain


def test_a_table_shows_score_file_moment_bars_and_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    marked = Hit(path="/s/[red]x.wav", start_s=0.0, end_s=2.5, score=0.125, moments=(0.125,), moment_s=1.25)
    show_hits([HIT, marked], [["dog", "rain"], []], "table")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip(" ─")]
    assert lines[0] == ["score", "file", "moment", "why"]
    assert lines[1] == ["0.250", "/sounds/dog.ogg", "0:13.5", "▁▅█", "dog,", "rain"]
    assert lines[2] == ["0.125", "/s/[red]x.wav", "0:01.2", "▃"]


def table_lines(
    width: int, hits: list[Hit], why: list[str], capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
) -> list[str]:
    patch.setenv("COLUMNS", str(width))
    show_hits(hits, [[each] for each in why], "table")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    return lines[2:]


FAR = Hit(
    path="/samples/fire-and-weather/fire-roaring-1.ogg",
    start_s=3600.0,
    end_s=3610.0,
    score=-0.25,
    moments=tuple(step / 31 for step in range(31)),
    moment_s=3609.8,
)


def test_a_narrow_table_gives_up_bars_before_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (wide,) = table_lines(120, [FAR], ["rains, barks"], capsys, monkeypatch)
    assert wide.split()[1] == FAR.path and "▁▁▁▂▃▃▄▄▅▅▆▆▇▇██" in wide
    (narrow,) = table_lines(100, [FAR], ["rains, barks"], capsys, monkeypatch)
    assert narrow.split()[1] == FAR.path and "rains, barks" in narrow
    (eighty,) = table_lines(80, [FAR], ["like dog-barking-1"], capsys, monkeypatch)
    assert eighty.split()[1] == "…/fire-and-weather/fire-roaring-1.ogg" and "▁▂▃▄▅▆▇█" in eighty
    (less,) = table_lines(74, [FAR], ["like dog-barking-1"], capsys, monkeypatch)
    assert less.split()[1] == "…/fire-roaring-1.ogg" and "▁▂▃▄▅▆▇█" in less and "like dog-ba…" in less


def test_a_table_fits_a_terminal_however_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for width in (40, 60, 80, 120, 200):
        (line,) = table_lines(width, [FAR], ["rains, barks"], capsys, monkeypatch)
        assert "-0.250" in line and "g-1." in line  # the name keeps some letters


def test_a_table_says_how_sure_each_hit_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = [replace(FAR, match=0.9), replace(FAR, match=0.05)]
    for width in (60, 80, 120):
        sure, unsure = table_lines(width, hits, ["rains", "rains"], capsys, monkeypatch)
        assert sure.split()[1] == "sure" and unsure.split()[1] == "unlikely"


def test_a_query_that_nothing_answers_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    say_if_nothing(Hits([replace(FAR, match=0.04), replace(FAR, match=0.01)]), None, None)  # type: ignore[arg-type]
    assert capsys.readouterr().err.startswith("nothing here sounds like that")
    # What is a little likelier is there as often as not: it is not denied.
    for best in (0.06, 0.19):
        say_if_nothing(Hits([replace(FAR, match=best), replace(FAR, match=0.01)]), None, None)  # type: ignore[arg-type]
        assert capsys.readouterr().err.startswith("perhaps nothing here sounds like that")
    say_if_nothing(Hits([replace(FAR, match=0.21), replace(FAR, match=0.1)]), None, None)  # type: ignore[arg-type]
    say_if_nothing(Hits([FAR]), None, None)  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""


def test_an_example_that_nothing_is_like_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    say_if_nothing(Hits([FAR, HIT], nothing_alike=True), None, None)  # type: ignore[arg-type]
    best = f"{max(FAR.score, HIT.score):.2f}"
    assert capsys.readouterr().err.startswith(
        f"perhaps nothing here is like it (the best hit's cosine is {best}"
    )


def test_that_names_lift_hits_is_said_where_one_sounds_unlikely_and_stands_above_a_likelier(
    capsys: pytest.CaptureFixture[str],
) -> None:
    named, heard = replace(FAR, match=0.1, keywords=("dog",)), replace(FAR, match=0.7)
    for hits, is_said in (
        ([named, heard], True),
        ([heard, named], False),
        ([replace(named, keywords=()), heard], False),
        ([replace(named, match=0.3), heard], False),
        (
            [replace(named, score=FAR.score + 0.1), heard],
            False,
        ),  # it would be the first without its name, too
        ([replace(heard, match=0.5), named, heard], False),  # what is above the named one is what was heard
    ):
        say_if_nothing(Hits(hits), None, None)  # type: ignore[arg-type]
        told = "ranked by score and by words in names and tags (--keywords off: by the sound alone)\n"
        assert capsys.readouterr().err == told * is_said


def test_hits_that_only_their_names_have_found_are_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    named, other = replace(FAR, match=0.007, keywords=("dog",)), replace(FAR, match=0.1)
    say_if_nothing(Hits([named, other]), None, None)  # type: ignore[arg-type]
    assert capsys.readouterr().err == (
        "the first ones are found by words of their names or tags; by sound the best hit fits with a probability of "
        "10%\n"
    )
    say_if_nothing(Hits([other, named]), None, None)  # type: ignore[arg-type]
    assert capsys.readouterr().err.startswith("perhaps nothing here sounds like that")


def test_what_is_said_of_many_hits_compares_each_a_few_times() -> None:
    compared: list[float] = []

    class Match(float):
        def __gt__(self, other: float) -> bool:
            compared.append(other)
            return super().__gt__(other)

    hits = [
        replace(FAR, match=Match(0.7)),
        *(replace(FAR, match=Match(0.1), keywords=("dog",)) for _ in range(200)),
    ]
    say_if_nothing(Hits(hits), None, None)  # type: ignore[arg-type]
    assert 0 < len(compared) < 4 * len(hits)


def test_what_is_cut_ends_in_an_ellipsis_in_columns_of_the_terminal() -> None:
    assert cut_to("thunderstorm", 12) == "thunderstorm" and cut_to("thunderstorm", 9) == "thunders…"
    assert cut_to("犬の声が", 5) == "犬の…" and cut_to("犬の声が", 4) == "犬…" and cut_to("a, b", 3) == "a,…"


@pytest.mark.parametrize("width", [36, 44, 52, 60, 80, 100])
def test_no_line_of_a_table_is_wider_than_the_terminal_nor_cut_without_a_mark(width: int) -> None:
    twin = replace(
        HIT, path="/sounds/a folder/犬の声が聞こえる.ogg", also_at=("/sounds/b folder/犬の声が聞こえる.ogg",)
    )
    why = ["barking, thunderstorms", "犬の声が聞こえる, thunderstorms"]
    lines = [
        line.plain for line in hits_table([replace(HIT, match=0.9), replace(twin, match=0.1)], why, width)
    ]
    assert max(map(cell_len, lines)) <= width
    for line, reason in zip((lines[2], lines[3]), why, strict=True):
        shown = line.rstrip().split("  ")[-1].strip()
        assert (
            "why" not in lines[0] or shown == reason or (shown[-1] == "…" and reason.startswith(shown[:-1]))
        )
    assert "also at" in lines[4] and lines[4].rstrip().endswith(("ogg", "…"))
