"""How sounds sound: what it adds to a hit, and what of it is kept in a model directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soundseek.errors import ModelError
from soundseek.model.manners import (
    MANNERS_FILE,
    InManners,
    MannerDirection,
    changed_places,
    in_manners,
    manner_among,
    places_up_to,
    read_manners,
    write_manners,
)

EAST, NORTH = np.float32([1, 0]), np.float32([0, 1])
MUFFLED = MannerDirection(NORTH, 0.0, 0.1)
PLAIN, DULL, DULLER = np.float32([1, 0]), np.float32([0.8, 0.6]), np.float32([0.6, 0.8])


def test_a_sound_gains_by_what_it_has_of_a_manner_beyond_others() -> None:
    wanted = in_manners(["muffled"], {"muffled": MUFFLED, "distant": MannerDirection(EAST, 0.0, 0.1)})
    assert wanted is not None and list(wanted.manners) == ["muffled"]
    bright, plain, little, dull = wanted.bonuses(np.stack([-DULL, PLAIN, DULL, DULLER]))
    assert bright == plain == 0 < little <= dull < 1


def test_two_manners_add_up() -> None:
    known = {"muffled": MUFFLED, "distant": MannerDirection(EAST, 0.0, 0.1)}
    each = [in_manners([name], known) for name in known]
    both = in_manners(list(known), known)
    assert both is not None
    for add in (InManners.bonuses, InManners.strengths):
        expected = sum(add(one, DULL[None]) for one in each if one is not None)
        np.testing.assert_allclose(add(both, DULL[None]), expected)


def test_where_hits_change_places_a_manner_counts_in_full_up_to_its_reach() -> None:
    manner = MannerDirection(NORTH, 0.0, 0.1, worth=0.05, reach=7.0)
    assert manner.standings(np.stack([PLAIN, DULL, -DULL])) == pytest.approx([0, 6, -6])
    wanted = in_manners(["muffled"], {"muffled": manner})
    assert wanted is not None
    # none; six deviations; seven of eight; three of six below the mean
    assert wanted.strengths(np.stack([PLAIN, DULL, DULLER, -DULL])) == pytest.approx([0, 0.3, 0.35, -0.15])


def test_what_a_manner_is_worth_is_limited_so_that_the_sound_decides() -> None:
    costly, cheap = (
        in_manners(["muffled"], {"muffled": MUFFLED._replace(worth=worth)}) for worth in (9.0, 0.0)
    )
    assert costly is not None and cheap is not None
    assert 0 < cheap.bonuses(DULL[None])[0] < costly.bonuses(DULL[None])[0] < 0.5
    assert 0 < cheap.strengths(DULL[None])[0] < costly.strengths(DULL[None])[0] < 2


def test_hits_of_a_group_stand_by_what_they_have_and_where_that_is_alike_as_before() -> None:
    assert changed_places([0.1, 0.3, 0.3, 0.2]) == [1, 2, 3, 0]
    assert changed_places([0.0] * 40) == list(range(40)) and changed_places([]) == []


def test_groups_that_change_places_are_the_first_ten_the_next_twenty_and_the_next_forty() -> None:
    assert [places_up_to(count) for count in (1, 10, 11, 30, 31, 71)] == [10, 10, 30, 30, 70, 150]


def test_what_a_store_proposes_leans_towards_the_manner() -> None:
    wanted = in_manners(["muffled"], {"muffled": MUFFLED})
    assert wanted is not None
    query = wanted.proposing(EAST)
    assert np.linalg.norm(query) == pytest.approx(1) and query @ DULL > query @ -DULL and query[0] > query[1]


def test_an_unknown_manner_changes_nothing() -> None:
    assert in_manners(["muffled"], {}) is None and in_manners([], {"muffled": MUFFLED}) is None


def test_a_manner_is_measured_by_varied_sounds() -> None:
    manner = manner_among(5 * NORTH, np.stack([DULL, DULLER, PLAIN]))
    np.testing.assert_allclose(manner.direction, NORTH)
    assert (manner.mean, manner.spread) == (
        pytest.approx(np.mean([0.6, 0.8, 0])),
        pytest.approx(np.std([0.6, 0.8, 0])),
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_manners(tmp_path, dim=2) == {}
    write_manners(tmp_path, {"muffled": MUFFLED, "distant": MannerDirection(-EAST, 0.25, 0.5, 0.125, 4.0)})
    found = read_manners(tmp_path, dim=2)
    assert sorted(found) == ["distant", "muffled"]
    np.testing.assert_array_equal(found["distant"].direction, -EAST)
    assert found["distant"][1:] == (0.25, 0.5, 0.125, 4.0)


def test_a_model_that_tells_no_manner_apart_is_read(tmp_path: Path) -> None:
    write_manners(tmp_path, {})
    assert (tmp_path / MANNERS_FILE).is_file() and read_manners(tmp_path, dim=2) == {}


def test_a_damaged_file_and_that_of_another_model_are_refused(tmp_path: Path) -> None:
    write_manners(tmp_path, {"muffled": MUFFLED})
    with pytest.raises(ModelError, match="of another model"):
        read_manners(tmp_path, dim=3)
    whole = (tmp_path / MANNERS_FILE).read_bytes()
    (tmp_path / MANNERS_FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="damaged"):
        read_manners(tmp_path, dim=2)


def test_manners_of_another_model_of_the_same_dimension_are_refused(tmp_path: Path) -> None:
    write_manners(tmp_path, {"muffled": MUFFLED}, heard_by="aaaaaaaaaaaa")
    assert read_manners(tmp_path, dim=2, hears_like="aaaaaaaaaaaa")
    with pytest.raises(ModelError, match=r"of the model a{12}, and this directory's is b{12}.*calibrate"):
        read_manners(tmp_path, dim=2, hears_like="bbbbbbbbbbbb")


def test_a_file_of_directions_alone_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / MANNERS_FILE, names=np.array(["muffled"]), directions=0.8 * NORTH[None])
    manner = read_manners(tmp_path, dim=2)["muffled"]
    np.testing.assert_allclose(manner.direction, NORTH)
    assert manner[1:3] == (0.0, pytest.approx(2**-0.5)) and manner.worth > 0 and manner.reach > 0
