"""Duplicates, words for sounds, a sound that is taught, several libraries: each walked through as a user does."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from page.test_looks import findings
from page_server import SAMPLES, WAIT_MS, Server, keep_playing, need_a_browser, until

from soundseek.library import Library


@pytest.fixture(scope="module")
def server(indexed: Path, sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of samples/ with a quieter copy of one sound and a part of another."""
    need_a_browser()
    library = Path(shutil.copytree(indexed, tmp_path_factory.mktemp("copy") / "library"))
    more = sounds / "more"
    more.mkdir()
    for name, source, first_s, last_s in (
        ("wolf.flac", "wolf-howling-1.ogg", 0.0, 9.0), ("owl.wav", "owl-hooting-1.ogg", 0.4, 1.1),
    ):  # fmt: skip
        samples, rate_hz = soundfile.read(SAMPLES / "animals" / source)
        soundfile.write(more / name, 0.4 * samples[int(first_s * rate_hz) : int(last_s * rate_hz)], rate_hz)
    with Library.open(library, create=False) as opened:
        opened.index(more)
    birds = tmp_path_factory.mktemp("birds") / "Birds"
    samples, rate_hz = soundfile.read(SAMPLES / "animals" / "owl-hooting-1.ogg")
    soundfile.write(birds.parent / "barn owl.wav", samples[::-1], rate_hz)
    with Library.create(birds) as opened:
        opened.index(birds.parent / "barn owl.wav")
    running = Server(library, sounds, birds)
    yield running
    running.stop()
    shutil.rmtree(more)


def test_duplicates_are_found_heard_chosen_and_never_deleted(open_page: Any, sounds: Path) -> None:
    page = open_page("?view=duplicates", color_scheme="dark")
    page.get_by_text("What is there more than once?").wait_for()
    page.get_by_role("button", name="Find duplicates").click()
    page.locator(".group-head").first.wait_for(timeout=4 * WAIT_MS)  # a process that lets all others go first
    until(page, "document.querySelectorAll('.group-head').length === 2")
    assert page.locator(".results-count").inner_text() == "2 recordings more than once, 2 further files"
    told = dict(zip(
        page.locator(".hit-name").all_text_contents(), page.locator(".hit-named").all_text_contents(), strict=True
    ))  # fmt: skip
    others = sorted(name for name, note in told.items() if note != "the longest")
    assert len(others) == 2 and others[0] == "owl.wav"
    assert told[others[1]].startswith("the same recording as wolf")
    assert told["owl.wav"].startswith("inside owl-hooting-1.ogg, 0:00.4 to 0:01.1")
    longer = "{of: '/sounds/owl.wav', score: 0.9, surety: 'sure', start_s: -3, end_s: 9}"
    assert page.evaluate(
        "import('/page/js/duplicates.js').then(({ noteOf }) => ['contains', 'overlap'].map((kind) => "
        f"noteOf({{ ...{longer}, kind }}, false)))"
    ) == ["holds all of owl.wav and more (0.90)", "has a stretch of owl.wav, not all of it, and more (0.90)"]
    assert page.evaluate(
        "import('/page/js/duplicates.js').then(({ isSpare }) => "
        "['identical', 'copy', 'part', 'contains', 'overlap'].map((kind) => isSpare({ kind })))"
    ) == [True, True, True, False, False]  # whoever deletes what is selected loses nothing
    assert findings(page, "dark") == []
    page.get_by_role("button", name="Select the others", exact=True).click()
    assert page.locator(".results-count").inner_text() == "2 selected"
    chosen = page.locator(".hit[aria-selected=true] .hit-name").all_text_contents()
    assert sorted(chosen) == others
    page.keyboard.press("c")
    page.get_by_text("2 paths copied").wait_for()
    page.keyboard.press("Escape")
    keep_playing(page)
    page.get_by_role("button", name="Play wolf.flac", exact=True).click()
    heard = "import('/page/js/player.js').then(({ audio, current }) => !audio.paused && current.value.name)"
    until(page, f"{heard}.then((name) => name === 'wolf.flac')")
    page.set_viewport_size({"width": 375, "height": 812})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.set_viewport_size({"width": 1280, "height": 800})
    page.locator("#search-text").fill("rain")
    page.locator(".score-bar").first.wait_for()  # a search leaves the duplicates
    page.go_back()
    page.locator(".group-head").first.wait_for()
    assert (sounds / "more" / "wolf.flac").is_file()


def test_a_sound_is_said_in_words_which_are_searched_for_and_written_down(open_page: Any, rows: Any) -> None:
    page = open_page("?name=wolf", color_scheme="dark")
    rows(page)
    page.locator("#search-text").press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator(".details .label-words button").first.wait_for()
    shown = [int(part.removesuffix(" %")) for part in page.locator(".label-words .number").all_inner_texts()]
    assert shown == sorted(shown, reverse=True)
    page.keyboard.press("w")
    page.locator(".label-row button").first.wait_for()
    assert findings(page, "dark") == []
    page.locator("dialog select").select_option("ucs")
    word = page.locator(".label-row button", has_text=": ").first.locator("span").nth(1).inner_text()
    assert re.fullmatch(r"[A-Z][a-z &]+: [a-z &]+", word), "UCS writes DOORS WOOD"
    page.locator("dialog select").select_option("own")
    page.get_by_label("My words, one a line").last.fill("a wolf howls\nrain on a window")
    until(page, "document.querySelector('.label-row button')?.textContent.includes('wolf')")
    with page.expect_download() as coming:
        page.locator("dialog").get_by_role("button", name="CSV", exact=True).click()
    table = list(csv.DictReader(io.StringIO(Path(coming.value.path()).read_text())))
    assert [row["label"] for row in table] == ["a wolf howls", "rain on a window"]
    page.locator(".label-row button").first.click()
    until(page, "document.getElementById('search-text').value === 'a wolf howls'")


def test_marks_teach_a_sound_that_is_a_part_of_the_query(open_page: Any, rows: Any) -> None:
    page = open_page("?q=an+animal", color_scheme="dark")
    names = rows(page)
    page.locator("#search-text").press("ArrowDown")
    until(page, "document.activeElement.dataset.row === '0'")
    page.keyboard.press("y")
    page.get_by_label("What it is called").fill("my beasts")
    page.keyboard.press("Enter")
    page.locator("[data-row='0'] .mark.right[aria-pressed=true]").wait_for()
    page.locator("[data-row='1'] .mark.wrong").click()
    page.locator("[data-row='1'] .mark.wrong[aria-pressed=true]").wait_for()
    assert findings(page, "dark") == []
    before = page.evaluate(SCORES)
    page.get_by_role("button", name="Use").click()
    until(page, f"async (before) => JSON.stringify(await ({SCORES})()) !== JSON.stringify(before)", before)
    assert "taught=my+beasts" in page.url and names[0] in rows(page)
    page.reload()
    page.locator(".nav-name", has_text="my beasts").wait_for()
    page.locator("#search-text").fill("")
    until(page, "document.querySelectorAll('.hit').length > 3")
    assert rows(page)[0] == names[0]  # by the marks alone
    page.get_by_label("Actions for my beasts").click()
    page.get_by_role("menuitem", name="Forget").click()
    page.locator(".nav-name", has_text="my beasts").wait_for(state="detached")


def test_a_mark_that_asks_for_the_name_leaves_the_keyboard_on_its_row(open_page: Any, rows: Any) -> None:
    page = open_page("?q=knock")
    rows(page)
    page.locator("#search-text").press("ArrowDown")
    until(page, "document.activeElement.dataset.row === '0'")
    page.keyboard.press("u")
    page.get_by_label("What it is called").fill("knocks of mine")
    page.keyboard.press("Enter")
    page.locator(".hit.current .mark.wrong[aria-pressed=true]").wait_for()
    rows(page)
    until(page, "document.activeElement.matches('.hit.current[data-row=\"0\"]')")
    wrong = page.locator("[data-row='0'] .hit-name").inner_text()
    page.keyboard.press("ArrowDown")
    until(page, "document.activeElement.dataset.row === '1'")
    page.keyboard.press("y")
    page.locator("[data-row='1'] .mark.right[aria-pressed=true]").wait_for()
    assert page.locator(".hit", has=page.locator(".mark.wrong[aria-pressed=true]")).locator(
        ".hit-name"
    ).all_text_contents() == [wrong]
    page.get_by_role("button", name="Use 2 marks", exact=True).wait_for()
    page.keyboard.press("u")  # another mind: still two marks
    page.locator("[data-row='1'] .mark.wrong[aria-pressed=true]").wait_for()
    page.get_by_text("wrong for “knocks of mine”").wait_for()
    assert page.get_by_role("button", name="Use 2 marks", exact=True).is_visible()
    assert page.locator(".toast").count() == 1
    page.get_by_label("Actions for knocks of mine").click()
    page.get_by_role("menuitem", name="Forget").click()
    page.locator(".nav-name", has_text="knocks of mine").wait_for(state="detached")


SCORES = "async () => (await import('/page/js/state.js')).results.value.hits.map((hit) => hit.score)"


def test_several_libraries_are_searched_as_one_list_and_kept_as_a_set(open_page: Any, rows: Any) -> None:
    page = open_page("?q=an+owl+hoots", color_scheme="dark")
    rows(page)
    page.get_by_label("Birds", exact=True).check()
    found = page.locator(".hit", has=page.locator(".hit-library", has_text="Birds"))
    found.first.wait_for()
    until(page, "document.querySelector('.nav-count').textContent === '107'")
    assert page.locator(".library-facts strong").inner_text() == "library + Birds"
    assert "107 sounds" in page.locator(".library-facts").inner_text()
    page.locator(".segment", has_text="Map").click()
    page.locator(".map-state", has_text="The map is of library alone.").wait_for()
    page.locator(".segment", has_text="List").click()
    page.get_by_label("Keep this choice as a set").click()
    page.get_by_label("Name of the set").fill("everything")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="everything", exact=True).wait_for()
    assert findings(page, "dark") == []
    keep_playing(page)
    found.first.locator(".play-button").click()
    until(page, "import('/page/js/player.js').then(({ audio }) => audio.src.includes('/libraries/birds/'))")
    until(page, "import('/page/js/player.js').then(({ audio }) => audio.currentTime > 0)")
    page.keyboard.press("f")
    page.get_by_text("is a favourite").first.wait_for()
    page.get_by_label("Birds", exact=True).uncheck()
    page.locator(".hit-library").first.wait_for(state="detached")
    page.get_by_role("button", name="everything", exact=True).click()
    found.first.wait_for()


INTO_BOTH = """async () => {
  const api = await import("/page/js/api.js");
  const libraries = (await api.capabilities()).libraries.map((one) => one.address);
  const { hits } = await api.search({ text: "an owl hoots", k: 50, libraries });
  const collection = await api.createCollection("several"), taught = await api.createTaught("several");
  const said = [];
  for (const isOwn of [true, false]) {
    const { id } = hits.find((one) => (one.library === "/") === isOwn);
    const keep = () => api.addToCollection(collection.id, [{ id }]);
    const mark = () => api.addMarks(taught.id, [{ id, is_right: true }]);
    for (const act of [keep, mark]) said.push(await act().then(() => "done", (problem) => problem.message));
  }
  await api.deleteCollection(collection.id);
  await api.deleteTaught(taught.id);
  return said;
}"""


def test_a_sound_of_this_library_is_kept_and_marked_though_several_are_searched(open_page: Any) -> None:
    own, marked, *of_others = open_page("?q=an+owl+hoots").evaluate(INTO_BOTH)
    assert (own, marked) == ("done", "done")
    assert len(of_others) == 2 and all("A sound of another library" in each for each in of_others)
