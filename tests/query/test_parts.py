"""Which sentences name several sounds, and which sounds."""

from __future__ import annotations

import pytest

from soundseek.query.parts import MOST_PARTS, sentence_parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("A dog barks while rain falls", ("A dog barks", "rain falls")),
        ("a man is talking as a train passes.", ("a man is talking", "a train passes")),
        ("thunder and rain", ("thunder", "rain")),
        ("birds singing, dog barking", ("birds singing", "dog barking")),
        ("woman speaking with traffic in the background", ("woman speaking", "traffic")),
        ("a dog barks with birds singing", ("a dog barks", "birds singing")),
        ("footsteps followed by a door slam", ("footsteps", "a door slam")),
        ("an engine idles and a siren wails in the distance", ("an engine idles", "a siren wails")),
        ("glass breaking + alarm", ("glass breaking", "alarm")),
        ("rain, thunder and wind", ("rain", "thunder", "wind")),
        ("a dog barks while it rains", ("a dog barks", "it rains")),
        ("A car passes as it's raining heavily", ("A car passes", "it's raining heavily")),
        ("voices with background music", ("voices", "background music")),
        ("a man talking over light traffic", ("a man talking", "light traffic")),
        ("a chainsaw and screaming", ("a chainsaw", "screaming")),
        ("crickets chirping and screaming", ("crickets chirping", "screaming")),
        ("laughing and snare drum", ("laughing", "snare drum")),
        ("truck engine, then female laughter and talking", ("truck engine", "female laughter", "talking")),
        ("people talk and it is thundering", ("people talk", "it is thundering")),
    ],
)
def test_each_sound_of_a_sentence_is_a_part(text: str, parts: tuple[str, ...]) -> None:
    assert sentence_parts(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dog barking",
        "a door opens and closes",
        "Fridge door opening and closing",
        "birds chirp and tweet outdoors",
        "drum and bass music",
        "knocking on a door with a stick",
        "Vegetables are being peeled with short scraping strokes",
        "a clock ticks for a while",
        "loud and distant",
        "In this recording, a snare drum cracks suddenly.",
        "laughing and talking",
        "noise in the background",
        "a horse and cart",
        "a bell rings and it fades away",
        "a dog barking and growling",
        "woman crying and screaming",
        "rumbling and deep thunder",
        "a door opens and closing",
        "a hiss with background noise",
        "a car driving over gravel",
        "a guitar with reverb",
    ],
)
def test_one_sound_stays_whole(text: str) -> None:
    assert sentence_parts(text) == ()


def test_a_list_of_many_sounds_stays_whole() -> None:
    assert sentence_parts(", ".join(["rain", "wind", "thunder", "waves", "birds"][: MOST_PARTS + 1])) == ()
