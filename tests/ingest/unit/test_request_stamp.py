"""Ids of events without one: the same at each try of a request, others for each request."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_ingest.domain.event_key import event_key
from dmp_ingest.domain.request_stamp import RequestStamp, read_stamp, stamped_event_id

REQUEST = "0b0f4c5e-7a57-4b0a-9d5e-0f2f6f1c9a10"
NOW_MS = 1_795_000_000_123


def stamp(number: str = REQUEST, at: int = NOW_MS) -> RequestStamp:
    read = read_stamp(f"{number} {at}")
    assert read is not None
    return read


def test_each_try_of_a_request_makes_the_same_ids() -> None:
    assert [stamped_event_id(stamp(), index) for index in range(50)] == [
        stamped_event_id(stamp(), index) for index in range(50)
    ]


@given(st.uuids(version=4), st.integers(min_value=10**12, max_value=10**13 - 1), st.integers(0, 9_999))
def test_an_id_is_a_uuid_version_7_of_the_stamps_time(number: uuid.UUID, at: int, index: int) -> None:
    made = uuid.UUID(stamped_event_id(stamp(str(number), at), index))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == at


@given(st.uuids(version=4), st.integers(1, 9_999))
def test_ids_of_one_request_differ_and_count_up_by_position(number: uuid.UUID, index: int) -> None:
    """From one position to the next the number grows by one, but once, where it has no more bits."""
    before, after = (uuid.UUID(stamped_event_id(stamp(str(number)), position)).int for position in (index - 1, index))
    assert after != before
    without_fixed_bits = [(value >> 64 & 0xFFF) << 62 | value & (1 << 62) - 1 for value in (before, after)]
    assert (without_fixed_bits[1] - without_fixed_bits[0]) % (1 << 74) == 1


def test_ids_of_two_requests_differ_by_every_random_bit() -> None:
    """Each bit of the stamp but those that a random UUID has fixed, and those beyond the 74 that fit, is in the ids."""
    base = uuid.UUID(REQUEST).int
    free = [*range(62), *range(80, 92)]
    made = {stamped_event_id(stamp(str(uuid.UUID(int=base ^ 1 << bit))), 0) for bit in free}
    assert len(made | {stamped_event_id(stamp(), 0)}) == len(free) + 1


def test_an_id_is_its_own_key() -> None:
    """In the log's index, ids that are made one after another are neighbours."""
    made = stamped_event_id(stamp(), 7)
    assert event_key(made) == uuid.UUID(made).bytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        REQUEST,
        f"{REQUEST} ",
        f"{REQUEST} {NOW_MS}0",
        f"{REQUEST} {NOW_MS} ",
        f"{REQUEST} 179500000012\u0663",
        f"{REQUEST.upper()} {NOW_MS}",
        f"{REQUEST[:-1]} {NOW_MS}",
        f"- {NOW_MS}",
        f"{REQUEST}\n{NOW_MS}",
    ],
)
def test_anything_else_is_no_stamp(text: str) -> None:
    assert read_stamp(text) is None
