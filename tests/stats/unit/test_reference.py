"""The reference table in memory, against a dictionary of dictionaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_stats.domain.reference import CHUNK_USERS, ReferenceSnapshot, pack_chunk, unpack_chunk
from dmp_stats.domain.user_index import UserIndex
from tests.stats.service import QUICK

Table = dict[str, dict[str, str]]
Change = dict[str, dict[str, str | None]]

USERS = st.sampled_from(["u", "v", "w", "ü"])
NAMES = st.sampled_from(["plan", "region"])
TABLES = st.dictionaries(USERS, st.dictionaries(NAMES, st.sampled_from(["pro", "free", ""])))
CHANGES = st.dictionaries(USERS, st.dictionaries(NAMES, st.one_of(st.none(), st.sampled_from(["pro", "new"]))))


def filled(table: Table, users: UserIndex, *, generation: int = 1) -> ReferenceSnapshot:
    snapshot = ReferenceSnapshot(generation=generation)
    for _ in snapshot.add(unpack_chunk(pack_chunk(table)), users):
        pass
    return snapshot


def changed(snapshot: ReferenceSnapshot, change: Change, users: UserIndex, removed: list[str]) -> ReferenceSnapshot:
    following = snapshot.copy(snapshot.generation + 1)
    for _ in following.add(unpack_chunk(pack_chunk(change, is_change=True, removed=removed)), users):
        pass
    return following


def as_table(snapshot: ReferenceSnapshot, users: UserIndex) -> Table:
    return {user: of for user in users.everybody() if (of := snapshot.of_user(users.number(user))) is not None}


@given(TABLES)
@QUICK
def test_a_table_is_what_was_put_in(table: Table) -> None:
    users = UserIndex()
    users.numbers(["stranger"])
    snapshot = filled(table, users)
    assert as_table(snapshot, users) == table
    assert snapshot.users() == len(table)
    assert snapshot.generation == 1
    used = {name for row in table.values() for name in row}
    assert snapshot.used_names() == used
    for name in ("plan", "region"):
        assert set(snapshot.listed(name)) == {row[name] for row in table.values() if name in row}


@given(TABLES, CHANGES, st.lists(USERS, max_size=2, unique=True))
@QUICK
def test_a_change_is_that_of_a_dictionary(table: Table, change: Change, removed: list[str]) -> None:
    users = UserIndex()
    before = filled(table, users)
    after = changed(before, change, users, removed)
    expected = {user: dict(row) for user, row in table.items()}
    for user, row in change.items():
        mine = expected.setdefault(user, {})
        for name, value in row.items():
            mine.pop(name, None)
            if value is not None:
                mine[name] = value
    for user in removed:
        expected.pop(user, None)
    assert as_table(after, users) == expected
    assert after.generation == 2
    assert as_table(before, users) == table


@given(TABLES, CHANGES)
@QUICK
def test_a_table_is_the_same_after_it_was_stored(table: Table, change: Change) -> None:
    users = UserIndex()
    snapshot = changed(filled(table, users), change, users, [])
    others = UserIndex()
    others.numbers(["w", "stranger"])
    again = ReferenceSnapshot(generation=9)
    for payload in snapshot.chunks(users):
        for _ in again.add(unpack_chunk(payload), others):
            pass
    assert as_table(again, others) == as_table(snapshot, users)


def test_chunks_have_a_bounded_number_of_users() -> None:
    users = UserIndex()
    snapshot = filled({f"u{number}": {"plan": str(number % 3)} for number in range(CHUNK_USERS + 5)}, users)
    chunks = [unpack_chunk(payload) for payload in snapshot.chunks(users)]
    assert [len(chunk.users) for chunk in chunks] == [CHUNK_USERS, 5]
    assert chunks[1].values == {"plan": [str((CHUNK_USERS + n) % 3) for n in range(3)]} or len(chunks[1].values) == 1


def test_attributes_come_in_order_of_name_and_strangers_have_none() -> None:
    users = UserIndex()
    snapshot = filled({"u": {"z": "1", "a": "2"}}, users)
    assert list((snapshot.of_user(0) or {}).items()) == [("a", "2"), ("z", "1")]
    assert snapshot.of_user(None) is None
    assert snapshot.of_user(10_000) is None
    assert snapshot.listed("nothing") == {}


def test_an_attribute_that_nobody_has_any_more_leaves_with_the_next_version() -> None:
    users = UserIndex()
    before = filled({"u": {"plan": "pro", "region": "eu"}}, users)
    without = changed(before, {"u": {"plan": None}}, users, [])
    assert without.used_names() == {"region"}
    assert set(without.attributes) == {"plan", "region"}
    assert set(without.copy(3).attributes) == {"region"}


def test_a_copy_shares_nothing_with_its_original() -> None:
    users = UserIndex()
    before = filled({"u": {"plan": "pro"}}, users)
    changed(before, {"u": {"plan": "free"}, "v": {"plan": "new"}}, users, [])
    assert as_table(before, users) == {"u": {"plan": "pro"}}
    assert before.attributes["plan"].values == ["pro"]
    assert before.listed("plan") == {"pro": 0}


def test_room_for_new_numbers_knows_nobody_new() -> None:
    users = UserIndex()
    snapshot = filled({"u": {"plan": "pro"}}, users)
    snapshot.cover(1)
    assert len(snapshot.is_known) == 1
    snapshot.cover(3)
    assert len(snapshot.is_known) == len(snapshot.attributes["plan"].codes) >= 3
    assert (snapshot.users(), snapshot.of_user(2)) == (1, None)
    snapshot.cover(1_000)
    room = len(snapshot.is_known)
    snapshot.cover(room + 1)
    assert len(snapshot.is_known) == room * 5 // 4


@pytest.mark.parametrize("kept", [[True, False, True], [False, False, True], [True, True, True]])
def test_a_table_follows_a_new_numbering(kept: list[bool]) -> None:
    users = UserIndex()
    table: Table = {"u": {"plan": "pro"}, "v": {"plan": "free", "region": "eu"}, "w": {"region": "us"}}
    snapshot = filled(table, users)
    snapshot.cover(40)
    staying = [user for user, stays in zip(table, kept, strict=True) if stays]
    snapshot.renumber(users.keep(np.array(kept)), len(staying))
    assert as_table(snapshot, users) == {user: table[user] for user in staying}
    assert len(snapshot.is_known) == len(staying)


def test_a_new_numbering_may_come_in_any_order_and_takes_four_bytes_a_user() -> None:
    users = UserIndex()
    snapshot = filled({"u": {"plan": "pro"}, "v": {"plan": "free"}, "w": {}, "x": {"plan": "team"}}, users)
    snapshot.renumber(np.array([2, 0, -1, 3]), 5)
    found = [snapshot.of_user(number) for number in range(5)]
    assert found == [{"plan": "free"}, None, {"plan": "pro"}, {"plan": "team"}, None]
    snapshot.cover(6)
    assert snapshot.attributes["plan"].codes.dtype == np.int32


def test_large_chunks_are_applied_in_short_steps() -> None:
    users = UserIndex()
    snapshot = ReferenceSnapshot(generation=1)
    chunk = unpack_chunk(pack_chunk({f"u{number}": {"plan": "pro"} for number in range(2_500)}))
    assert sum(1 for _ in snapshot.add(chunk, users)) == 3 + 1
    assert snapshot.users() == 2_500
