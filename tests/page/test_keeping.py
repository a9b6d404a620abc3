"""Favourites, collections, many at once, export, paths, dragging out."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from page_server import SAMPLES, until


def export(page: Any, choose: str, *steps: Any) -> Path:
    """Export what is chosen with `E`, and wait for the download."""
    page.keyboard.press("e")
    page.locator(".card", has=page.locator(f"input[value={choose}]")).click()
    for step in steps:
        step()
    with page.expect_download() as coming:
        page.locator("dialog button[type=submit]").click()
    page.locator("dialog").wait_for(state="detached")
    path = Path(coming.value.path())
    return path.rename(path.with_name(coming.value.suggested_filename))


def select_first(page: Any, count: int) -> None:
    page.locator("#search-text").press("ArrowDown")
    until(page, "document.activeElement.dataset.row === '0'")
    for row in range(1, count):
        page.keyboard.press("Shift+ArrowDown")
        until(page, "(row) => document.activeElement.dataset.row === row", str(row))
    until(page, "(count) => document.querySelectorAll('.hit[aria-selected=true]').length === count", count)


def test_favourites_are_kept(open_page: Any, rows: Any) -> None:
    page = open_page("?name=owl")
    rows(page)
    page.locator("#search-text").press("ArrowDown")
    until(page, "document.activeElement.dataset.row === '0'")
    page.keyboard.press("f")
    page.get_by_text("owl-hooting-1.ogg is a favourite").wait_for()
    page.get_by_role("button", name="Favourites").click()
    assert rows(page) == ["owl-hooting-1.ogg"]
    page.reload()
    assert rows(page) == ["owl-hooting-1.ogg"]
    page.get_by_label("No longer a favourite").click()
    page.get_by_text("owl-hooting-1.ogg is no longer a favourite").wait_for()
    page.reload()
    page.get_by_text("The collection is empty").wait_for()


def test_collections_are_made_filled_searched_renamed_and_removed(open_page: Any, rows: Any) -> None:
    page = open_page("?q=water")
    rows(page)
    select_first(page, 3)
    chosen = page.locator(".hit[aria-selected=true] .hit-name").all_text_contents()
    page.keyboard.press("a")
    page.get_by_label("Name of a new collection").fill("wet things")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Open", exact=True).click()
    assert rows(page) == chosen
    page.locator("#search-text").fill("thunder")
    until(page, "document.querySelectorAll('.hit .score-bar').length === 3")
    assert sorted(rows(page)) == sorted(chosen)
    page.get_by_label("Actions for wet things").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Name of the collection").fill("very wet things")
    page.keyboard.press("Enter")
    page.locator(".nav-name", has_text="very wet things").wait_for()
    page.get_by_label("Actions for very wet things").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.locator(".nav-name", has_text="very wet things").wait_for(state="detached")


def test_a_row_is_dropped_onto_a_collection(open_page: Any, rows: Any) -> None:
    page = open_page("?name=wolf")
    rows(page)
    page.get_by_label("New collection").click()
    page.get_by_label("Name of the new collection").fill("night")
    page.keyboard.press("Enter")
    target = page.locator(".nav-row", has_text="night")
    target.wait_for()
    page.locator("[data-row='0'] .cell-name").drag_to(target)
    until(page, "[...document.querySelectorAll('.nav-row')].some((row) => row.textContent === 'night1')")


def test_a_row_dragged_out_is_a_file(open_page: Any, rows: Any) -> None:
    page = open_page("?name=wolf")
    rows(page)
    carried = page.evaluate(
        """() => { const data = new DataTransfer();
        const start = new DragEvent('dragstart', { dataTransfer: data, bubbles: true });
        document.querySelector('[data-row="0"]').dispatchEvent(start);
        return { file: data.getData('DownloadURL'), text: data.getData('text/plain') }; }"""
    )
    media_type, name, address = carried["file"].split(":", 2)
    assert (media_type, name) == ("audio/ogg", "wolf-howling-1.ogg")
    assert carried["text"].endswith("samples/animals/wolf-howling-1.ogg")
    got = page.request.get(address)
    assert got.body() == (SAMPLES / "animals" / "wolf-howling-1.ogg").read_bytes()


def test_a_zip_of_the_selected_sounds_opens(open_page: Any, rows: Any) -> None:
    page = open_page("?q=dog")
    rows(page)
    select_first(page, 3)
    names = page.locator(".hit[aria-selected=true] .hit-name").all_text_contents()
    packed = export(page, "zip")
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        inside = {Path(name).name: archive.read(name) for name in archive.namelist()}
    for name in names:
        (original,) = SAMPLES.rglob(name)
        assert inside[name] == original.read_bytes()


def test_matching_stretches_are_cut_with_handles(open_page: Any, rows: Any) -> None:
    page = open_page("?name=fire-roaring")
    rows(page)
    page.locator("#search-text").press("ArrowDown")
    until(page, "import('/page/js/player.js').then(({ current }) => current.value !== null)")
    page.evaluate(
        "import('/page/js/player.js').then(({ region }) => { region.value = { start_s: 2, end_s: 3 }; })"
    )
    page.get_by_role("button", name="Cut the region out").wait_for()
    packed = export(
        page, "zip",
        lambda: page.get_by_label("Handle before, s").fill("0.25"),
        lambda: page.locator("dialog select").select_option("wav24"),
    )  # fmt: skip
    import soundfile

    with zipfile.ZipFile(packed) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".wav")]
        assert "fire-roaring-1" in name
        with soundfile.SoundFile(io.BytesIO(archive.read(name))) as sound:
            assert sound.subtype == "PCM_24"
            assert abs(len(sound) / sound.samplerate - 1.25) < 0.01


def test_lists_are_written_as_csv_and_json(open_page: Any, rows: Any) -> None:
    page = open_page("?q=dog")
    rows(page)
    select_first(page, 2)
    table = list(csv.DictReader(io.StringIO(export(page, "csv").read_text(encoding="utf-8-sig"))))
    assert [Path(row["path"]).name for row in table] == page.locator(
        ".hit[aria-selected=true] .hit-name"
    ).all_text_contents()
    shown = page.evaluate(
        "import('/page/js/state.js').then(({ results }) => results.value.hits.map((hit) => hit.keywords.join(' ')))"
    )
    assert [row["keywords"] for row in table] == shown[:2] and shown[0] == "dog"
    assert all(row["moment_s"] for row in table)
    label = export(page, "zip", lambda: page.get_by_label("Audacity", exact=True).check())
    with zipfile.ZipFile(label) as archive:
        labels = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".labels.txt")]
    scores = page.evaluate(
        "import('/page/js/state.js').then(({ results }) => results.value.hits.map((hit) => hit.score.toFixed(2)))"
    )
    assert sorted(each.strip().split("\t")[2] for each in labels) == sorted(
        f"dog {each}" for each in scores[:2]
    )
    hits = json.loads(export(page, "json").read_text(encoding="utf-8"))
    assert len(hits) == 2 or len(hits["items"]) == 2


def test_paths_are_copied(open_page: Any, rows: Any) -> None:
    page = open_page("?q=dog")
    rows(page)
    select_first(page, 2)
    page.keyboard.press("c")
    page.get_by_text("2 paths copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert [Path(path).name for path in copied] == page.locator(
        ".hit[aria-selected=true] .hit-name"
    ).all_text_contents()
    assert all(Path(path).is_file() for path in copied)


def test_rows_are_selected_with_the_mouse_and_all_at_once(open_page: Any, rows: Any) -> None:
    page = open_page("?q=dog")
    count = len(rows(page))
    page.locator("[data-row='1'] .cell-length").click()
    page.locator("[data-row='4'] .cell-length").click(modifiers=["Shift"])
    selected = "document.querySelectorAll('.hit[aria-selected=true]').length"
    until(page, f"{selected} === 4")
    page.locator("[data-row='2'] .cell-length").click(modifiers=["Control"])
    until(page, "document.querySelector('.results-bar.selecting .results-count')?.innerText === '3 selected'")
    page.keyboard.press("Control+a")
    until(page, f"(count) => {selected} >= count", count)
    page.keyboard.press("Escape")
    until(page, f"{selected} === 0")
