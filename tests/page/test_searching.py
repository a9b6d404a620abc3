"""Words, examples, negatives, weights, filters, the address; nothing found, errors, no server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from page.test_looks import findings
from page_server import SAMPLES, WAIT_MS, Server, until

from soundseek.model.match import match_word


def search_request(page: Any, act: Any) -> dict[str, Any]:
    """What the page asks the server when something is done."""
    with page.expect_request(re.compile("/api/v1/search$")) as asked:
        act()
    return dict(asked.value.post_data_json)


def test_results_come_while_typing_and_the_address_says_what_was_typed(open_page: Any, rows: Any) -> None:
    page = open_page()
    assert page.evaluate("document.activeElement.id") == "search-text"
    assert not page.locator(".search-key").is_visible()  # no key is needed to go where one is
    assert re.search(r"104 sounds, \d+ minutes\. Browse", page.locator(".start-facts").inner_text())
    page.keyboard.type("a dog barks", delay=15)
    until(page, "document.querySelectorAll('.hit').length > 10")
    until(page, "location.search === '?q=a+dog+barks'")
    assert "dog-barking-1.ogg" in rows(page)[:2]
    assert page.locator(".results-count").inner_text().startswith("104 sounds")


@pytest.mark.parametrize(("theme", "width"), [("dark", 375), ("light", 1280)])
def test_a_hit_says_in_a_word_how_well_it_fits(open_page: Any, rows: Any, theme: str, width: int) -> None:
    page = open_page("?q=helicopter", color_scheme=theme, width=width)
    rows(page)
    row = page.locator("[data-row='0']")
    match = page.evaluate("import('/page/js/state.js').then(({ results }) => results.value.hits[0].match)")
    assert row.locator(".score-word").inner_text() == match_word(match)
    assert f", {match_word(match)}, " in str(row.get_attribute("aria-label"))
    part = row.locator(".score-bar").evaluate("(bar) => Number(bar.style.getPropertyValue('--part'))")
    assert part == pytest.approx(max(0.02, match))  # the best hit is not full by being the best
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert findings(page, theme) == []
    levels = [0.0, 0.19, 0.2, 0.49, 0.5, 0.79, 0.8, 1.0]
    words = "(all) => import('/page/js/format.js').then(({ matchWord }) => all.map(matchWord))"
    assert page.evaluate(words, levels) == [match_word(level) for level in levels]


def test_an_older_request_is_cancelled_by_a_newer_one(open_page: Any) -> None:
    page = open_page("?q=dog")
    page.wait_for_selector(".hit")
    page.evaluate(
        """() => {
            const ask = fetch; window.aborted = 0; window.asked = 0;
            window.fetch = (address, how) => {
                if (String(address).endsWith('/search')) {
                    window.asked += 1;
                    how.signal.addEventListener('abort', () => (window.aborted += 1));
                    return new Promise((_answer, no) =>
                        how.signal.addEventListener('abort', () => no(how.signal.reason)));
                }
                return ask(address, how);
            };
        }"""
    )
    field = page.locator("#search-text")
    field.fill("rain")
    until(page, "window.asked === 1")
    field.fill("rain on")
    until(page, "window.asked === 2 && window.aborted === 1")


def test_a_letter_is_searched_for_at_once_unless_a_search_is_under_way(open_page: Any) -> None:
    page = open_page("?q=do")
    page.wait_for_selector(".hit")
    page.evaluate(
        """() => {
            const ask = fetch, wait = setTimeout; window.pauses = []; window.asked = 0;
            window.setTimeout = (what, ms, ...more) => { window.pauses.push(ms); return wait(what, ms, ...more); };
            window.fetch = async (address, how) => {
                if (String(address).endsWith('/search')) {
                    window.asked += 1;
                    await new Promise((go) => { window.letGo = go; });
                }
                return ask(address, how);
            };
        }"""
    )

    def waits_after(letter: str) -> bool:
        page.evaluate("() => { window.pauses = []; }")
        page.locator("#search-text").press_sequentially(letter)
        return 40 in page.evaluate("window.pauses")

    assert not waits_after("g")
    until(page, "window.asked === 1")
    assert waits_after("s")  # the search for "dog" is under way
    until(page, "window.asked === 2")
    page.evaluate("() => window.letGo()")
    until(page, "!document.querySelector('.results.stale')")
    assert not waits_after(" ")


def test_back_and_forward_bring_back_whole_queries(open_page: Any, rows: Any) -> None:
    page = open_page("?q=thunder")
    thunder = rows(page)
    page.locator("#search-text").fill("birds singing")
    page.locator("#search-text").press("Enter")
    until(page, "location.search === '?q=birds+singing'")
    until(page, "document.querySelector('.hit-name')?.textContent.startsWith('bird')")
    page.go_back()
    until(page, "(name) => document.querySelector('.hit-name')?.textContent === name", thunder[0])
    typed = "(text) => document.querySelector('#search-text').value === text"
    until(page, typed, "thunder")
    page.go_forward()
    until(page, "document.querySelector('.hit-name')?.textContent.startsWith('bird')")
    until(page, typed, "birds singing")


def test_a_link_holds_the_whole_query(open_page: Any, rows: Any, server: Server) -> None:
    page = open_page()
    item = page.evaluate(
        "() => fetch('/api/v1/items?k=1&where=' + encodeURIComponent('name ~ owl')).then((one) => one.json())"
    )["items"][0]
    link = f"?q=bird&weight=0.5&like={item['id']}@0-1*0.7~owl&not=speech*0.5&duration=1..9&format=ogg&per=segment"
    asked = search_request(page, lambda: page.goto(f"{server.address}/{link}"))
    assert asked == {
        "text": "bird", "text_weight": 0.5, "like": [{"id": item["id"], "start_s": 0, "end_s": 1, "weight": 0.7}],
        "not": [{"text": "speech", "weight": 0.5}], "filters": {"duration_s": {"min": 1, "max": 9}, "format": ["ogg"]},
        "per": "segment", "k": 60,
    }  # fmt: skip
    rows(page)
    assert page.locator(".chip").count() == 2
    assert page.locator(".weight output").all_inner_texts() == ["0.5", "0.7", "0.5"]


def test_a_word_behind_a_minus_is_kept_out(open_page: Any) -> None:
    page = open_page()
    asked = search_request(page, lambda: page.locator("#search-text").fill('water -speech -"car horn" '))
    assert asked["text"] == "water"
    assert [part["text"] for part in asked["not"]] == ["speech", "car horn"]
    assert page.locator(".chip.not .chip-name").all_inner_texts() == ["speech", "car horn"]
    asked = search_request(page, lambda: page.get_by_label("Remove: not speech").click())
    assert [part["text"] for part in asked["not"]] == ["car horn"]


@pytest.mark.parametrize("address", ["?q=-thunder", "?not=thunder"])
def test_a_query_that_only_keeps_out_is_answered_and_says_so(open_page: Any, rows: Any, address: str) -> None:
    page = open_page(address)
    assert len(rows(page)) > 10
    assert page.locator(".chip.not .chip-name").all_inner_texts() == ["thunder"]
    (said,) = page.locator(".notice").all_inner_texts()
    assert "is kept out and nothing asked for" in said and "thunder" in said
    assert page.title() == "Sounds for: anything but thunder · soundseek"


def test_an_exclusion_alone_is_searched_for_while_it_is_typed_and_when_it_is_done(
    open_page: Any, rows: Any
) -> None:
    page = open_page()
    field = page.locator("#search-text")
    assert search_request(page, lambda: field.fill("-thunder"))["text"] == "-thunder"
    assert len(rows(page)) > 10
    asked = search_request(page, lambda: field.press("Enter"))
    assert asked["text"] == '-"thunder"' and "not" not in asked
    page.locator(".chip.not").wait_for()
    page.wait_for_selector(".hit")
    page.get_by_label("Remove: not thunder").click()
    page.wait_for_selector(".start")
    field.fill("-")  # nothing yet
    page.wait_for_selector(".start")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("rain without thunder", "Searched for “rain”, not “thunder”; you typed “rain without thunder”."),
        (
            "Regen ohne Donner",
            "Searched for “rain falling”, not “thunder rumbling”; you typed “Regen ohne Donner”.",
        ),
        ("no dogs", "Searched for anything but “dogs”; you typed “no dogs”."),
    ],
)
def test_what_a_text_keeps_out_is_said_in_one_line(open_page: Any, typed: str, said: str) -> None:
    page = open_page(f"?q={typed.replace(' ', '+')}")
    page.locator(".notice").first.wait_for()
    lines = [line for line in page.locator(".notice").all_inner_texts() if "you typed" in line]
    assert len(lines) == 1 and said in lines[0]


def test_a_mistyped_word_to_keep_out_says_what_was_kept_out(open_page: Any) -> None:
    page = open_page("?q=rain&not=thnuder")
    page.locator(".notice").wait_for()
    assert "Kept out thunder; you typed “thnuder”." in page.locator(".notice").inner_text()


def test_weights_are_set_with_sliders(open_page: Any) -> None:
    page = open_page("?q=water&not=speech")
    page.wait_for_selector(".hit")
    slider = page.locator(".weight.not input")
    slider.focus()
    asked = search_request(page, lambda: slider.press("ArrowLeft"))
    assert asked["not"] == [{"text": "speech", "weight": 0.9}]
    assert page.locator(".weight.not output").inner_text() == "0.9"


def test_a_mistyped_word_says_what_was_searched_for(open_page: Any) -> None:
    page = open_page("?q=thnuder")
    notice = page.locator(".notice")
    notice.wait_for()
    assert "Searched for thunder; you typed “thnuder”." in notice.inner_text()
    asked = search_request(page, lambda: page.get_by_role("button", name="Search as typed").click())
    assert asked["as_typed"] is True
    notice.wait_for(state="detached")


def test_a_mood_says_the_sounds_that_have_it(open_page: Any) -> None:
    page = open_page("?q=creepy")
    notice = page.locator(".notice")
    notice.wait_for()
    said = (
        "Searched for eerie music or monster growling or ghost wailing or wolf howling; you typed “creepy”."
    )
    assert said in notice.inner_text()


def test_a_manner_says_what_stands_first(open_page: Any) -> None:
    page = open_page("?q=distant+dog+barking")
    notice = page.locator(".notice")
    notice.wait_for()
    assert "Searched for dog barking, distant first; you typed “distant dog barking”." in notice.inner_text()


def test_a_query_that_nothing_answers_says_so_before_it_lists_the_nearest(open_page: Any, rows: Any) -> None:
    page = open_page("?q=church+organ")
    assert rows(page)
    assert "Nothing here sounds like that: the best hit fits with" in page.locator(".verdict").inner_text()
    page.locator("#search-text").fill("a dog barks")
    page.locator(".verdict").wait_for(state="detached")
    assert rows(page)
    assert "fits with a probability of" in (
        page.locator("[data-row='0'] .cell-score").get_attribute("title") or ""
    )


def test_a_dropped_file_becomes_an_example(open_page: Any, rows: Any) -> None:
    page = open_page()
    sound = (SAMPLES / "animals" / "owl-hooting-1.ogg").read_bytes()
    page.evaluate(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], 'my owl.ogg', { type: 'audio/ogg' }));
            window.drag = (name, place) => document.querySelector(place)
                .dispatchEvent(new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true }));
            window.drag('dragenter', 'body');
            window.drag('dragover', 'body');
        }""",
        list(sound),
    )
    page.locator(".drop-zone.like").wait_for()
    page.evaluate("window.drag('drop', '.drop-zone.like')")
    assert page.locator(".chip.like .chip-name").inner_text() == "my owl.ogg"
    assert rows(page)[0] == "owl-hooting-1.ogg"
    assert page.locator(".drop-zone").count() == 0


def test_the_microphone_becomes_an_example(open_page: Any, rows: Any) -> None:
    page = open_page()
    page.get_by_label("Search by a sound from the microphone").click()
    until(page, "/0:(0[1-9]|[1-3])/.test(document.querySelector('.recording-state')?.textContent)")
    page.get_by_label("Stop recording and search").click()
    page.locator(".chip.like").wait_for()
    assert page.locator(".chip.like .chip-name").inner_text().startswith("recorded ")
    assert len(rows(page)) > 10


def test_filters_narrow_the_list_and_say_what_they_let_through(open_page: Any, rows: Any) -> None:
    page = open_page("?q=water")
    everything = rows(page)
    page.get_by_role("button", name="Duration").click()
    page.get_by_role("button", name="One-shots").click()
    until(page, "location.search.includes('duration=..2')")
    until(page, "(before) => document.querySelectorAll('.hit').length < before", len(everything))
    lengths = page.locator(".hit .cell-length").all_text_contents()
    assert lengths and all(float(text.split()[0]) <= 2.05 for text in lengths)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Name", exact=True).click()
    page.get_by_label("The file name contains").fill("splash")
    page.keyboard.press("Enter")
    until(
        page,
        "[...document.querySelectorAll('.hit-name')].every((name) => name.textContent.includes('splash'))",
    )
    page.get_by_role("button", name="Clear filters").click()
    until(page, "(all) => document.querySelectorAll('.hit').length === all", len(everything))


def test_filters_alone_list_files(open_page: Any, rows: Any) -> None:
    page = open_page("?name=dog")
    assert rows(page) == ["dog-barking-1.ogg"]
    assert page.locator(".cell-score .score-bar").count() == 0


def test_a_filter_that_cannot_be_understood_says_why(open_page: Any) -> None:
    page = open_page("?q=rain&where=wobble+%3E+3", expect="422")
    page.locator(".state[role=alert]").wait_for()
    said = page.locator(".state p").inner_text()
    assert said.startswith("where knows no field 'wobble'")


def test_a_search_inside_results_asks_only_them(open_page: Any, rows: Any) -> None:
    page = open_page("?q=animal&duration=..3")
    outer = rows(page)
    page.get_by_role("button", name="Search inside").click()
    page.locator("#search-text").fill("dog")
    until(page, "location.search.includes('q=dog') && location.search.includes('within=')")
    until(page, "document.querySelector('.hit-name')?.textContent.startsWith('dog')")
    assert sorted(rows(page)) == sorted(outer)
    assert page.locator(".chip.scope").inner_text().replace("\n", " ").startswith("Inside animal")


def test_nothing_found_is_said_and_leads_on(open_page: Any) -> None:
    page = open_page("?q=rain&name=no+such+name")
    page.get_by_role("heading", name="No sound passes the filters").wait_for()
    page.get_by_role("button", name="Clear the filters").click()
    page.wait_for_selector(".hit")


def test_a_condition_that_is_wrong_is_told_and_can_be_taken_back(open_page: Any, rows: Any) -> None:
    page = open_page("?q=dog", expect="422")
    rows(page)
    page.locator(".pill-button", has_text="Where").click()
    page.get_by_label("A condition").fill("duration << 3")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="The query cannot be understood").wait_for()
    assert "where duration" in page.locator(".state p").inner_text()
    # What stood in the list before is neither counted nor exported.
    assert page.locator(".results-count").inner_text() == ""
    assert page.get_by_role("button", name="Export", exact=True).count() == 0
    page.get_by_role("button", name="Clear the filters").click()
    assert rows(page)


def test_without_a_server_the_page_says_so_and_goes_on_by_itself(open_page: Any, server: Server) -> None:
    page = open_page("?q=rain", expect="Failed to load resource|ERR_")
    page.wait_for_selector(".hit")
    server.stop()
    try:
        page.locator("#search-text").fill("thunder")
        page.locator(".offline").wait_for()
        page.get_by_role("heading", name="Not connected").wait_for()
        assert page.locator(".state > .icon use").evaluate("(icon) => icon.getBBox().width") > 5  # is drawn
    finally:
        server.start_again()
    page.locator(".offline").wait_for(state="detached", timeout=2 * WAIT_MS)
    page.wait_for_selector(".hit")


def test_window_scores_come_to_one_file_after_the_other(open_page: Any, rows: Any, server: Any) -> None:
    """The server's model has moments of its own: its answers are changed to those of one that has none."""
    page = open_page()
    asked: list[str] = []

    def without_moments(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "has_moments": False})

    def with_windows(route: Any) -> None:
        request = route.request.post_data_json
        answer = route.fetch()
        body = answer.json()
        if request.get("windows"):
            asked.extend(request["within"])
            for hit in body["hits"]:
                hit.update(moments=[0.1, 0.9], moment_s=1.25, frame_s=1.0, window_s=2.0)
        route.fulfill(response=answer, json=body)

    page.route("**/api/v1/library", without_moments)
    page.route("**/api/v1/search", with_windows)
    page.goto(f"{server.address}/?q=dog&name=dog")
    names = rows(page)
    assert asked == []
    page.get_by_role("button", name="Window scores").click()
    until(
        page,
        "[...document.querySelectorAll('.hit .cell-moment')].every((one) => one.textContent === '0:01.3')",
    )
    assert "windows=1" in page.url and rows(page) == names
    hits = page.evaluate(
        "import('/page/js/state.js').then(({ results }) => results.value.hits.map((hit) => hit.id))"
    )
    assert asked == hits, "from the top of the list, each file once"
    page.locator("[data-row='0'] .play-button").click()
    page.wait_for_selector(".wave > div")
    page.get_by_role("button", name="Window scores").click()
    until(page, "!location.search.includes('windows')")
    assert rows(page) == names


def test_a_line_says_from_where_on_every_hit_is_unlikely(open_page: Any, rows: Any) -> None:
    page = open_page("?q=helicopter")
    rows(page)
    show = """async (levels) => {
      const { results } = await import('/page/js/state.js');
      const hits = results.value.hits.slice(0, levels.length).map((hit, at) => ({ ...hit, match: levels[at] }));
      results.value = { ...results.value, hits, nextOffset: null };
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      return [...document.querySelectorAll('#results .hit, #results .unlikely-row')].map((row) => row.classList[0]);
    }"""
    assert page.evaluate(show, [0.9, 0.1, 0.3, 0.1]) == ["hit", "hit", "hit", "unlikely-row", "hit"]
    assert page.locator(".unlikely-row").inner_text() == "unlikely from here on"
    counted = """() => {
      const grid = document.getElementById('results');
      const indices = [...grid.querySelectorAll('[role=row]')].map((row) => Number(row.ariaRowIndex));
      return [indices, Number(grid.ariaRowCount)];
    }"""
    assert page.evaluate(counted) == [[1, 2, 3, 4, 5, 6], 6]
    page.route("**/api/v1/search*", lambda route: None)  # more hits are asked for and do not come
    page.evaluate("""async () => {
      const { results } = await import('/page/js/state.js');
      results.value = { ...results.value, nextOffset: 4 };
    }""")
    page.wait_for_selector(".more-row")
    assert page.evaluate(counted) == [[1, 2, 3, 4, 5, 6, 7], -1]  # how many there are is not known yet
    assert page.evaluate(show, [0.9, 0.3]) == ["hit"] * 2 and page.evaluate(show, [0.1, 0.1]) == ["hit"] * 2


def test_a_sound_that_stays_in_the_list_keeps_its_row_where_another_goes(open_page: Any, rows: Any) -> None:
    page = open_page("?q=helicopter")
    names = rows(page)
    kept = page.evaluate(
        """async () => {
      const { results } = await import('/page/js/state.js');
      const before = [...document.querySelectorAll('#results .hit')];
      results.value = { ...results.value, hits: results.value.hits.slice(1) };
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      return [...document.querySelectorAll('#results .hit')].filter((row, at) => row === before[at + 1]).length;
    }"""
    )
    assert kept == len(names) - 1
