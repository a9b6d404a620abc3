"""Themes, widths, accessibility: what is checked by axe-core, measured, and reached by keyboard alone."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from page_server import keep_playing, until, until_effects_ran, until_it_plays

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")


# What axe-core is asked by theme: both show the same elements with the same names, in other colours.
RUN_ONLY = {
    "dark": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    },
    "light": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}


def findings(page: Any, theme: str) -> list[str]:
    """What axe-core finds, and what is wrong with the headings."""
    # A transition of colours is no finding; endless animations (a spinner) do not count.
    page.wait_for_function(
        """() => document.getAnimations().every(
            (one) => one.playState !== 'running' || one.effect.getTiming().iterations === Infinity)"""
    )
    page.evaluate(AXE)
    answer = page.evaluate(
        "(runOnly) => axe.run(document, { resultTypes: ['violations'], runOnly })", RUN_ONLY[theme]
    )
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in answer["violations"]
        for node in one["nodes"]
    ] + _lost_headings(page)


def _lost_headings(page: Any) -> list[str]:
    """Where a page has not one heading of the first level, or leaves a level out."""
    levels = page.evaluate(
        """() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
        .filter((one) => one.checkVisibility()).map((one) => Number(one.tagName[1]))"""
    )
    skipped = [pair for pair in itertools.pairwise(levels) if pair[1] > pair[0] + 1]
    return [f"headings: {levels}"] if levels.count(1) != 1 or skipped else []


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_nothing_serious(open_page: Any, rows: Any, theme: str) -> None:
    page = open_page(color_scheme=theme)
    assert findings(page, theme) == [], "start"
    page.locator("#search-text").fill("dog -speech thunder ")
    rows(page)
    page.locator("#search-text").press("ArrowDown")
    page.wait_for_selector(".wave > div")
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    page.locator(".facts").wait_for()
    assert findings(page, theme) == [], "list, player, details"
    page.keyboard.press("?")
    page.locator("dialog").wait_for()
    assert findings(page, theme) == [], "keys"
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    page.keyboard.press("e")
    page.locator("dialog form").wait_for()
    assert findings(page, theme) == [], "export"
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    page.get_by_role("button", name="Duration").click()
    page.locator(".popover-panel").wait_for()
    assert findings(page, theme) == [], "filter"


def test_the_theme_is_chosen_and_remembered_without_a_flash(open_page: Any) -> None:
    page = open_page(color_scheme="dark")
    shade = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(shade)
    for _ in range(2):
        page.get_by_label(re.compile("^Theme: ")).click()
    until(page, "document.documentElement.dataset.theme === 'light'")
    until(page, f"(dark) => {shade} !== dark", dark)
    page.reload(wait_until="commit")
    page.wait_for_selector("body", state="attached")
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert page.evaluate("localStorage.getItem('soundseek.theme')") == "light"


def test_at_phone_width_nothing_sticks_out_and_everything_works(open_page: Any, rows: Any) -> None:
    page = open_page("?q=dog", width=375, height=812, has_touch=True, is_mobile=True)
    names = rows(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    wide = page.evaluate(
        """() => [...document.querySelectorAll('.top *, .results-bar *, .hit *, .main > *')]
        .filter((one) => one.getBoundingClientRect().right > 376 && one.checkVisibility() && !one.closest('.filters'))
        .map((one) => one.className)"""
    )
    assert wide == []
    keep_playing(page)
    page.locator("[data-row='1'] .play-button").tap()
    until_it_plays(page)
    assert page.locator(".deck-name").inner_text() == names[1]
    assert page.locator(".deck").bounding_box()["width"] == 375
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, input:not([type=file]), a')]
        .filter((one) => one.checkVisibility({ opacityProperty: true }))
        .map((one) => [one.getAttribute('aria-label') ?? one.textContent, one.getBoundingClientRect()])
        .filter(([, box]) => box.width > 1 && (box.width < 24 || box.height < 24)).map(([name]) => name)"""
    )
    assert [name for name in small if name and not name.startswith("Select ")] == []
    page.get_by_label("Library and collections").tap()
    page.get_by_role("button", name="Favourites").wait_for()
    page.keyboard.press("Escape")
    page.locator(".sidebar.open").wait_for(state="detached")


def test_on_a_huge_screen_the_page_grows(open_page: Any, rows: Any) -> None:
    sizes = []
    for width, height in ((1280, 800), (3840, 2160)):
        page = open_page("?q=dog", width=width, height=height)
        rows(page)
        sizes.append(
            page.evaluate("parseFloat(getComputedStyle(document.querySelector('.hit-name')).fontSize)")
        )
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert sizes[1] > 1.4 * sizes[0]


def test_nothing_moves_when_results_and_waveforms_come(open_page: Any, rows: Any, server: Any) -> None:
    page = open_page()
    page.goto("about:blank")
    page.add_init_script(
        """window.shifts = [];
        new PerformanceObserver((list) => {
            for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifts.push(one.value);
        }).observe({ type: 'layout-shift', buffered: true });"""
    )
    page.goto(f"{server.address}/?q=dog")
    rows(page)
    page.wait_for_selector(".row-wave.drawn")
    page.locator("[data-row='0'] .play-button").click()
    page.wait_for_selector(".wave > div")
    until(page, "document.querySelectorAll('.row-wave.drawn').length > 8")
    until_effects_ran(page)
    assert sum(page.evaluate("window.shifts")) < 0.02


def test_everything_of_a_row_is_reached_with_tab_alone(open_page: Any, rows: Any) -> None:
    page = open_page("?q=dog")
    rows(page)
    page.locator("#search-text").press("ArrowDown")
    until(page, "document.activeElement.dataset.row === '0'")
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    name = page.locator("[data-row='0'] .hit-name").inner_text()
    assert reached[1:] == [f"Select {name}", "Favourite", "More like this", f"Actions for {name}"]
    assert reached[0] in (f"Play {name}", f"Stop {name}")
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="More like this M").wait_for()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == "Add to the search as an example"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == f"Actions for {name}"
    page.locator("[data-row='4']").click()
    page.locator("[data-row='4'] [aria-label^='Actions']").click()
    page.get_by_role("menuitem").first.wait_for()
    hidden = page.evaluate(
        """() => [...document.querySelectorAll('[role=menuitem]')].filter((one) => {
            const { x, y, width, height } = one.getBoundingClientRect();
            return !one.contains(document.elementFromPoint(x + width / 2, y + height / 2));
        }).map((one) => one.textContent)"""
    )
    assert hidden == [], "the player or the end of the list covers them"


def test_single_letters_can_be_turned_off(open_page: Any, rows: Any) -> None:
    page = open_page("?q=dog")
    rows(page)
    page.locator("#search-text").press("ArrowDown")
    until(page, "document.activeElement.dataset.row === '0'")
    page.keyboard.press("?")
    page.get_by_label("Single letters are keys").uncheck()
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    until(page, "document.activeElement.dataset.row === '0'")
    page.keyboard.press("x")
    until_effects_ran(page)
    assert page.locator(".hit[aria-selected=true]").count() == 0
    page.keyboard.press("Shift+ArrowDown")
    until(page, "document.querySelectorAll('.hit[aria-selected=true]').length === 2")


def held_nodes(page: Any) -> int:
    """How many nodes the page keeps in memory, drawn or not."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    metrics = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    return int(next(one["value"] for one in metrics if one["name"] == "Nodes"))


def test_a_list_that_was_left_is_no_longer_in_memory(open_page: Any) -> None:
    page = open_page()
    at_first = held_nodes(page)
    page.get_by_role("button", name="All sounds").click()
    until(page, "document.querySelectorAll('.hit').length === 60")  # waiting for a selector would hold a row
    of_list = held_nodes(page) - at_first
    assert of_list > 2000
    page.locator(".brand").click()
    page.locator(".start").wait_for()
    left = of_list
    for _ in range(100):  # waveforms that were asked for hold their rows until they are there
        left = held_nodes(page) - at_first
        if left < of_list / 2:
            break
        page.wait_for_timeout(20)
    assert left < of_list / 2


def test_no_column_of_the_list_is_cut_off_at_any_width(open_page: Any) -> None:
    page = open_page("?q=dog", width=1440, height=900)
    until(page, "document.querySelectorAll('.hit').length > 10")
    overflow = "[document.querySelector('.results')].map((list) => list.scrollWidth - list.clientWidth)[0]"
    cut = {}
    for width in (*range(375, 1500, 75), 2500, 3840):
        page.set_viewport_size({"width": width, "height": 900})
        cut[width] = page.evaluate(overflow)
    page.locator(".segment", has_text="Map").click()
    until(page, "document.querySelector('.split .hit')")
    cut["beside the map"] = page.evaluate(overflow)
    assert not any(cut.values()), cut


def test_the_player_is_drawn_anew_for_another_width(open_page: Any, rows: Any) -> None:
    page = open_page("?q=fire+roaring", width=3840, height=1200)
    rows(page)
    page.locator("#search-text").press("ArrowDown")
    page.wait_for_selector(".wave > div")
    page.set_viewport_size({"width": 375, "height": 812})
    apart = """() => {
        const root = document.querySelector('.wave > div')?.shadowRoot;
        const labels = [...(root?.querySelectorAll('[part~=timeline-notch-primary]') ?? [])]
            .filter((one) => one.textContent);
        const boxes = labels.map((one) => {
            const range = document.createRange();
            range.selectNodeContents(one);
            return range.getBoundingClientRect();
        });
        return boxes.length > 1 && boxes.every((box, at) => !at || box.left > boxes[at - 1].right);
    }"""
    until(page, f"({apart})()")
