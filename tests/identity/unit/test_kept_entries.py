"""A cache's entries: the latest ones stay, at least half of what fits, and never more than that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_identity.domain.kept_entries import KeptEntries, Room, size_of_key, size_of_number, size_of_pair


def table(entries: int, size: int = 1_000_000) -> KeptEntries[str, int]:
    return KeptEntries(Room(entries, size), len)


def kept(entries: KeptEntries[str, int], *keys: str) -> str:
    """Which of the keys have an entry. Asking with `get` would make them the latest."""
    return "".join(key for key in keys if key in entries.latest or key in entries._old)


def test_an_entry_is_found_until_another_takes_its_place() -> None:
    entries = table(10)
    entries.put("a", 1)
    entries.put("a", 2)
    assert (entries.get("a"), entries.get("b")) == (2, None)
    assert entries.latest == {"a": 2}


# Each case: how many entries and what size of keys fit; keys in the order in which they are put; those that are left.
LEFT: dict[str, tuple[int, int, str, str]] = {
    "half of them are young, then they are old": (4, 100, "abc", "abc"),
    "the third half drops the first": (4, 100, "abcd", "cd"),
    "the latest half is always there": (4, 100, "abcde", "cde"),
    "the size of keys counts, too": (100, 4, "abcd", "cd"),
    "an odd number is rounded down": (5, 100, "abcd", "cd"),
    "one that is put again is no new one": (4, 100, "aaab", "ab"),
    "one is always kept": (0, 100, "ab", "b"),
}


@pytest.mark.parametrize("case", LEFT)
def test_the_oldest_entries_are_dropped(case: str) -> None:
    fit, size, keys, left = LEFT[case]
    entries = table(fit, size)
    for key in keys:
        entries.put(key, 1)
    assert kept(entries, *sorted(set(keys))) == left


def test_an_entry_that_is_asked_for_stays() -> None:
    entries = table(4)
    entries.put("a", 1)
    entries.put("b", 2)
    for key in "cdefgh":
        assert entries.get("a") == 1
        entries.put(key, 3)
    assert entries.get("b") is None


def test_tables_that_share_a_room_grow_old_together() -> None:
    room = Room(4)
    one, other = KeptEntries[str, int](room, len), KeptEntries[str, int](room, len)
    one.put("a", 1)
    other.put("b", 1)
    assert (one.latest, other.latest) == ({}, {})
    assert (one.get("a"), other.get("b")) == (1, 1)


def test_what_was_cleared_gives_its_room_back() -> None:
    room = Room(6, 1_000)
    one, other = KeptEntries[str, int](room, len), KeptEntries[str, int](room, len)
    other.put("x", 1)
    for _ in range(10):
        one.put("a", 1)
        one.clear()
        assert one.get("a") is None
    assert other.latest == {"x": 1}


def test_what_was_cleared_gives_the_size_of_its_keys_back() -> None:
    entries = table(100, 8)
    for _ in range(10):
        entries.put("aaa", 1)
        entries.clear()
    entries.put("bbb", 1)
    assert entries.latest == {"bbb": 1}


def test_the_sizes_of_several_keys_are_given_back_together() -> None:
    room = Room(100, 20)
    other, one = KeptEntries[str, int](room, len), KeptEntries[str, int](room, len)
    for _ in range(10):
        for key in ("aa", "bbb"):
            one.put(key, 1)
        one.clear()
    other.put("c" * 9, 1)
    assert other.latest == {"c" * 9: 1}  # nine of ten that are half of the room
    one.put("d", 1)
    assert (other.latest, one.latest) == ({}, {})  # ten of ten


def test_what_grew_old_is_not_given_back() -> None:
    entries = table(100, 8)
    entries.put("aaaa", 1)  # half of the room: it is old now
    entries.clear()
    entries.put("bbb", 1)
    entries.clear()
    entries.put("ccc", 1)
    assert entries.latest == {"ccc": 1}
    entries.put("d", 1)
    assert entries.latest == {}


def test_old_entries_are_cleared_too_and_give_nothing_back_twice() -> None:
    entries = table(4)
    for key in "abc":
        entries.put(key, 1)
    entries.clear()
    assert kept(entries, "a", "b", "c") == ""
    entries.put("d", 1)
    entries.put("e", 1)
    assert entries.latest == {}


@given(st.lists(st.sampled_from("abcdefgh"), max_size=60), st.integers(2, 10))
def test_at_least_half_and_at_most_all_that_fit_are_there(keys: list[str], fit: int) -> None:
    entries = table(fit)
    for key in keys:
        entries.put(key, 1)
    there = kept(entries, *sorted(set(keys)))
    assert len(there) <= fit
    latest = list(dict.fromkeys(reversed(keys)))
    assert all(key in there for key in latest[: fit // 2])


def test_what_a_key_takes() -> None:
    text = "x" * 100
    assert size_of_key(("email", text)) == text.__sizeof__()
    assert size_of_pair((("email", text), ("phone", ""))) == text.__sizeof__() + "".__sizeof__()
    assert size_of_number(7) == 0
