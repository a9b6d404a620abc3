"""Play, keys, regions, loop, loudness, spectrogram."""

from __future__ import annotations

import re
from typing import Any

import pytest
from page_server import keep_playing, pause, until, until_effects_ran, until_it_plays

PLAYER = "() => import('/page/js/player.js')"


def state(page: Any) -> dict[str, Any]:
    """The player, as the page's own module tells it."""
    return dict(
        page.evaluate(
            """async () => { const player = await import('/page/js/player.js');
            return { name: player.current.value?.name, time: player.time.value, heard: player.audio.currentTime,
                     region: player.region.value, loops: player.loops.value, error: player.playError.value }; }"""
        )
    )


def drag_region(page: Any, start: float, end: float) -> None:
    """Drag over parts 0 to 1 of the player's waveform."""
    page.wait_for_selector(".wave > div")
    box = page.locator(".wave").bounding_box()
    page.mouse.move(box["x"] + start * box["width"], box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + (start + end) / 2 * box["width"], box["y"] + 32, steps=4)
    page.mouse.move(box["x"] + end * box["width"], box["y"] + 34, steps=4)
    page.mouse.up()


def test_a_hit_is_heard_from_its_moment_and_the_time_moves(open_page: Any, rows: Any) -> None:
    page = open_page("?q=fire+crackling")
    names = rows(page)
    keep_playing(page)
    page.locator("#search-text").press("ArrowDown")
    heard_from = until_it_plays(page)
    first = state(page)
    assert first["name"] == names[0] and not first["error"]
    until(
        page,
        "(before) => import('/page/js/player.js').then(({ audio }) => audio.currentTime > before + 0.2)",
        heard_from,
    )
    moment = page.evaluate(
        "import('/page/js/state.js').then(({ results }) => results.value.hits[0].moment_s)"
    )
    assert heard_from >= max(0.0, moment - 0.7)
    pause(page)
    page.keyboard.press(" ")
    until(page, "import('/page/js/player.js').then(({ audio }) => !audio.paused)")


def test_a_click_on_a_waveform_plays_from_there(open_page: Any, rows: Any) -> None:
    page = open_page("?q=fire+roaring")
    row = rows(page).index("fire-roaring-1.ogg")
    wave = page.locator(f"[data-row='{row}'] .row-wave")
    box = wave.bounding_box()
    keep_playing(page)
    # At a sixteenth of the speed: a busy page hears late that the sound plays, and notes where it is by then.
    page.evaluate("import('/page/js/player.js').then(({ audio }) => { audio.defaultPlaybackRate = 1 / 16; })")
    wave.click(position={"x": box["width"] * 0.6, "y": 10})
    assert 5.5 < until_it_plays(page) < 6.5


def test_arrows_go_through_results_and_the_next_is_fetched_ahead(open_page: Any, rows: Any) -> None:
    page = open_page("?q=dog")
    names = rows(page)
    ids = page.evaluate(
        "import('/page/js/state.js').then(({ results }) => results.value.hits.map((hit) => hit.id))"
    )
    with page.expect_request(lambda one: "/audio/" in one.url and ids[1] in one.url):
        page.locator("#search-text").press("ArrowDown")
    until(page, "document.activeElement.dataset.row === '0'")
    page.keyboard.press("ArrowDown")
    until(page, "document.activeElement.dataset.row === '1'")
    until(
        page,
        "(name) => import('/page/js/player.js').then(({ current }) => current.value?.name === name)",
        names[1],
    )
    page.keyboard.press("End")
    until(page, "(last) => Number(document.activeElement.dataset.row) >= last", 50)
    page.keyboard.press("Home")
    until(page, "document.activeElement.dataset.row === '0'")
    page.keyboard.press("/")
    until(page, "document.activeElement.id === 'search-text'")
    page.keyboard.press("Escape")
    until(page, "document.activeElement.dataset.row === '0'")


def test_a_region_is_dragged_looped_and_searched_by(open_page: Any, rows: Any) -> None:
    page = open_page("?q=fire+roaring")
    row = rows(page).index("fire-roaring-1.ogg")
    keep_playing(page)
    page.locator(f"[data-row='{row}'] .play-button").click()
    until_it_plays(page)
    drag_region(page, 0.5, 0.6)
    until(page, "import('/page/js/player.js').then(({ region }) => region.value !== null)")
    region = state(page)["region"]
    assert abs(region["start_s"] - 5.0) < 0.15 and abs(region["end_s"] - 6.0) < 0.15
    page.keyboard.press("l")
    assert state(page)["loops"] is True
    page.evaluate("import('/page/js/player.js').then(({ audio }) => { audio.loop = false; })")
    until(page, "import('/page/js/player.js').then(({ audio }) => !audio.paused && audio.currentTime > 5.6)")
    until(page, "import('/page/js/player.js').then(({ audio }) => !audio.paused && audio.currentTime < 5.5)")
    with page.expect_request(re.compile("/api/v1/search$")) as asked:
        page.get_by_role("button", name="More like this region").click()
    (example,) = asked.value.post_data_json["like"]
    assert (
        abs(example["start_s"] - region["start_s"]) < 0.011
        and abs(example["end_s"] - region["end_s"]) < 0.011
    )
    assert "fire-roaring-1.ogg" not in rows(page)
    assert page.locator(".chip.like .chip-region").inner_text() == "0:05.0–0:06.0"


AXIS = """() => {
    const wave = document.querySelector('.wave > div');
    const left = wave.getBoundingClientRect().x;
    return [...wave.shadowRoot.querySelectorAll('[part~=timeline-notch-primary]')]
        .filter((one) => one.textContent).map((one) => [one.textContent, one.getBoundingClientRect().x - left]);
}"""


def test_the_axis_says_the_time_of_the_file_wherever_the_waveform_begins(open_page: Any, rows: Any) -> None:
    page = open_page("?q=fire+roaring")
    row = rows(page).index("fire-roaring-1.ogg")
    wave = page.locator(f"[data-row='{row}'] .row-wave")
    wave.click(position={"x": wave.bounding_box()["width"] * 0.7, "y": 10})
    page.keyboard.press(" ")
    page.wait_for_selector(".wave > div")
    page.get_by_label("Closer").click()
    until(page, "document.querySelector('.overview')")
    until_effects_ran(page)
    until(page, f"({AXIS})().length > 3")
    axis = page.evaluate(AXIS)
    assert not axis[0][0].startswith("0:00")
    for label, x in (axis[0], axis[len(axis) // 2]):
        page.locator(".wave").click(position={"x": x, "y": 20})
        minutes, seconds = label.split(":")
        assert abs(state(page)["time"] - 60 * int(minutes) - float(seconds)) < 0.06


def test_a_region_made_before_the_waveform_is_drawn_stays_as_it_is(open_page: Any, rows: Any) -> None:
    page = open_page("?name=fire-roaring")
    rows(page)
    held: list[Any] | None = []
    page.route(re.compile("/peaks"), lambda route: route.continue_() if held is None else held.append(route))
    with page.expect_request(re.compile("/peaks")):
        page.locator("#search-text").press("ArrowDown")
    until(page, "import('/page/js/player.js').then(({ current }) => current.value !== null)")
    region = {"start_s": 2, "end_s": 3}
    page.evaluate(
        "(region) => import('/page/js/player.js').then((player) => { player.region.value = region; })", region
    )
    waiting, held = held, None  # those of the waveform may be asked for only now
    for route in waiting:
        route.continue_()
    page.locator(".deck-wave :is([part^=region], [part^=marker])").first.wait_for(state="attached")
    assert state(page)["region"] == region


def test_a_region_dragged_while_the_sound_still_loads_does_not_stop_it(open_page: Any, rows: Any) -> None:
    page = open_page("?name=fire-roaring")
    rows(page)
    held: list[Any] = []
    is_held = True
    page.route("**/api/v1/audio/**", lambda route: held.append(route) if is_held else route.continue_())
    keep_playing(page)
    page.locator("[data-row='0'] .play-button").click()
    drag_region(page, 0.5, 0.6)
    until(page, "import('/page/js/player.js').then(({ region }) => region.value !== null)")
    assert held and state(page)["heard"] in (0, state(page)["region"]["start_s"])
    is_held = False
    for route in held:
        route.continue_()
    until_it_plays(page)
    until(page, "import('/page/js/player.js').then(({ audio }) => !audio.paused && audio.currentTime > 5.2)")


def test_a_region_can_be_made_by_keys_alone(open_page: Any, rows: Any) -> None:
    page = open_page("?name=fire-roaring")
    rows(page)
    keep_playing(page)
    page.locator("#search-text").press("ArrowDown")
    until_it_plays(page)
    pause(page)
    # Wherever it has come to: a region of two seconds needs room before the end of ten.
    page.evaluate("import('/page/js/player.js').then(({ seek }) => seek(3))")
    page.keyboard.press("i")
    start = state(page)["time"]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("o")
    region = state(page)["region"]
    assert abs(region["start_s"] - start) < 0.2 and abs(region["end_s"] - region["start_s"] - 2) < 0.2
    page.keyboard.press("Escape")
    assert state(page)["region"] is None


def test_quiet_and_loud_sounds_are_heard_equally_loud(open_page: Any, rows: Any) -> None:
    page = open_page("?q=dog")
    rows(page)
    gains = page.evaluate(
        """async () => {
            const { matchedGain } = await import('/page/js/peaks.js');
            const flat = (level) => ({ max: Array(100).fill(level), min: Array(100).fill(-level) });
            return [matchedGain(flat(0.5)), matchedGain(flat(0.05)), matchedGain(flat(0.001)), matchedGain(flat(0))];
        }"""
    )
    loud, quiet, silent, nothing = gains
    assert abs(quiet / loud - 10) < 0.01  # 20 dB apart, heard alike
    assert abs(silent - 10 ** (24 / 20)) < 0.01  # the most that it turns up
    assert nothing == 1
    assert loud * 0.5 <= 0.98
    keep_playing(page)
    page.locator("#search-text").press("ArrowDown")
    until(
        page, "import('/page/js/player.js').then((player) => player.isPlaying.value && player.gainDb() !== 0)"
    )
    page.keyboard.press("g")
    until(page, "import('/page/js/player.js').then((player) => player.gainDb() === 0)")


def test_the_clock_stands_at_the_end_of_a_sound_that_decodes_to_more(open_page: Any, rows: Any) -> None:
    page = open_page("?name=birds-singing")
    rows(page)
    keep_playing(page)
    page.locator("#search-text").press("ArrowDown")
    until_it_plays(page)
    told = page.evaluate(
        """import('/page/js/player.js').then(async ({ audio, current, time }) => {
            while (audio.currentTime < 0.1) await new Promise(requestAnimationFrame);
            current.value = { ...current.value, duration_s: 0.05 };
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            return time.value;
        })"""
    )
    assert told == 0.05


def test_the_spectrogram_is_drawn_on_demand(open_page: Any, rows: Any) -> None:
    page = open_page("?name=birds-singing")
    rows(page)
    keep_playing(page)
    page.locator("#search-text").press("ArrowDown")
    until_it_plays(page)
    pause(page)
    page.wait_for_selector(".wave > div")
    assert page.locator(".spectrogram").count() == 0
    page.keyboard.press("s")
    page.locator(".spectrogram").wait_for()
    page.locator(".spectrogram-state").wait_for(state="detached")
    until(  # it has more than twenty colours
        page,
        """() => {
            const drawn = [...document.querySelectorAll('.spectrogram-box canvas')].find((one) => one.width > 300);
            if (!drawn) return false;
            const data = drawn.getContext('2d').getImageData(0, 0, drawn.width, drawn.height).data;
            const shades = Array.from({ length: 2000 }, (_u, at) => data[4 * (at * 37 % (data.length / 4))]);
            return new Set(shades).size > 20;
        }""",
    )
    assert page.locator(".spectrogram").get_attribute("aria-label") == "Spectrogram from 0:00.0 to 0:05.0"
    # The same seconds stand at the same places as in the waveform, also those of a region.
    page.evaluate(
        "import('/page/js/player.js').then(({ region }) => { region.value = { start_s: 1, end_s: 2 }; })"
    )
    page.locator(".spectrogram-region").wait_for()
    wave, drawn, region = (
        page.locator(name).bounding_box() for name in (".wave", ".spectrogram-box", ".spectrogram-region")
    )
    assert (drawn["x"], drawn["width"]) == pytest.approx((wave["x"], wave["width"]), abs=1)
    assert (region["x"], region["width"]) == pytest.approx(
        (wave["x"] + wave["width"] / 5, wave["width"] / 5), abs=1
    )
    page.locator(".spectrogram-frame").click(position={"x": wave["width"] / 2, "y": 20})
    until(page, "import('/page/js/player.js').then(({ time }) => Math.abs(time.value - 2.5) < 0.1)")


def test_moments_are_drawn_in_colour_where_the_sound_matches(open_page: Any, rows: Any) -> None:
    page = open_page("?q=a+dog+barks")
    row = rows(page).index("dog-barking-1.ogg")
    page.wait_for_selector(f"[data-row='{row}'] .row-wave.drawn")
    until_effects_ran(page)
    warm = page.evaluate(
        """(row) => {
            const canvas = document.querySelector(`[data-row="${row}"] canvas`);
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            const warm = Array.from({ length: canvas.width }, () => 0);
            for (let at = 0; at < data.length; at += 4) {
                const x = (at / 4) % canvas.width;
                if (data[at + 3] > 200) warm[x] = Math.max(warm[x], data[at] - data[at + 2]);
            }
            return warm;
        }""",
        row,
    )
    hit = page.evaluate(f"import('/page/js/state.js').then(({{ results }}) => results.value.hits[{row}])")
    best = round(hit["moment_s"] / hit["duration_s"] * len(warm))
    coldest = hit["moments"].index(min(hit["moments"]))
    cold = round((coldest + 0.5) * hit["frame_s"] / hit["duration_s"] * len(warm))
    around = 4
    assert max(warm[best - around : best + around]) > 100
    assert max(warm[cold - around : cold + around]) < max(warm[best - around : best + around]) - 40
