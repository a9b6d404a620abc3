"""The map: a point is played, a lasso becomes a list, hits glow."""

from __future__ import annotations

from typing import Any

import pytest
from page_server import WAIT_MS, keep_playing, until, until_effects_ran, until_it_plays


@pytest.fixture
def mapped(open_page: Any) -> Any:
    page = open_page("?view=map", color_scheme="dark")
    page.locator(".map-points").wait_for(timeout=4 * WAIT_MS)  # a process that lets all others go first
    until(page, "document.querySelectorAll('.legend li').length > 3")
    until_effects_ran(page)  # colours and states are set, and asked to be drawn
    return page


def place_of_a_point(page: Any) -> dict[str, float]:
    """Where on the screen a point was drawn: the first opaque pixel near the middle."""
    return dict(
        page.evaluate(
            """async () => {
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            const canvas = document.querySelector('.map-points');
            const gl = canvas.getContext('webgl2');
            const pixels = new Uint8Array(4 * canvas.width * canvas.height);
            gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
            const box = canvas.getBoundingClientRect();
            let best = null;
            for (let y = 0; y < canvas.height; y += 2) for (let x = 0; x < canvas.width; x += 2) {
                if (pixels[4 * (y * canvas.width + x) + 3] < 180) continue;
                const away = Math.hypot(x - canvas.width / 2, y - canvas.height / 2);
                if (!best || away < best.away) best = { away, x, y };
            }
            return { x: box.x + best.x * box.width / canvas.width,
                     y: box.y + (canvas.height - best.y) * box.height / canvas.height };
        }"""
        )
    )


def test_a_click_on_a_point_plays_it(mapped: Any) -> None:
    place = place_of_a_point(mapped)
    mapped.mouse.move(place["x"], place["y"])
    label = mapped.locator(".map-label")
    label.wait_for()
    named = label.inner_text()
    keep_playing(mapped)
    mapped.mouse.click(place["x"], place["y"])
    until_it_plays(mapped)
    assert mapped.locator(".deck-name").inner_text() == named


def test_a_lasso_becomes_a_list_that_can_be_heard(mapped: Any, rows: Any) -> None:
    box = mapped.locator(".map-points").bounding_box()
    mapped.get_by_label("Lasso: draw around sounds (or hold shift)").click()
    x, y, w, h = box["x"], box["y"], box["width"], box["height"]
    corners = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.25)]
    mapped.mouse.move(x + corners[0][0] * w, y + corners[0][1] * h)
    mapped.mouse.down()
    for across, down in corners[1:]:
        mapped.mouse.move(x + across * w, y + down * h, steps=5)
    mapped.mouse.up()
    names = rows(mapped)
    assert 10 < len(names) <= 104
    assert mapped.locator(".results-count").inner_text().startswith(f"{len(names)} sounds in the lasso")
    keep_playing(mapped)
    mapped.locator("[data-row='0']").click()
    until_it_plays(mapped)
    mapped.get_by_role("button", name="Leave the lasso").click()
    until(mapped, "document.querySelectorAll('.hit').length === 0")


def test_the_map_is_moved_by_keys(mapped: Any) -> None:
    before = place_of_a_point(mapped)
    mapped.locator(".map-points").focus()
    mapped.keyboard.press("+")
    mapped.keyboard.press("ArrowLeft")
    assert place_of_a_point(mapped) != before
    mapped.keyboard.press("0")
    assert place_of_a_point(mapped) == before
    mapped.keyboard.press("Enter")
    until(mapped, "import('/page/js/player.js').then(({ current }) => current.value !== null)")


def test_hits_of_a_search_glow(mapped: Any) -> None:
    count = """() => {
        const canvas = document.querySelector('.map-points');
        const gl = canvas.getContext('webgl2');
        const pixels = new Uint8Array(4 * canvas.width * canvas.height);
        gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
        let hot = 0;
        for (let at = 0; at < pixels.length; at += 4) {
            const [red, green, blue] = pixels.slice(at, at + 3);
            hot += red > 200 && green > 120 && green < 200 && blue < 90;
        }
        return hot;
    }"""
    assert mapped.evaluate(count) == 0
    mapped.locator("#search-text").fill("dog")
    mapped.locator(".map-state", has_text="glow").wait_for()
    until(mapped, f"({count})() > 50")


def test_colours_stand_for_folders_or_for_what_sounds_are(mapped: Any) -> None:
    folders = mapped.locator(".legend li").all_text_contents()
    mapped.locator(".legend .segment", has_text="Sound").click()
    mapped.get_by_role("list", name="Sounds by colour").wait_for()
    sounds = mapped.locator(".legend li").all_text_contents()
    assert sounds != folders and any(name.startswith("Animals") for name in sounds)
    mapped.locator(".legend-entry", has_text="Animals").click()
    until(mapped, "document.querySelectorAll('.legend-entry[aria-pressed=true]').length === 1")
    mapped.reload()  # the choice is remembered
    mapped.get_by_role("list", name="Sounds by colour").wait_for()
