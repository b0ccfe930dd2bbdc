"""The one rule for times: what is read, to which microsecond, and what is said of the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_chassis.instants import (
    EARLIEST_US,
    LATEST_US,
    OUT_OF_RANGE,
    WRONG_FORM,
    _remembered_us,
    format_instant,
    instant_from_us,
    instant_problem,
    instant_us,
    parse_instant,
    read_instant_us,
    timestamp_us,
)

AT = datetime(2026, 2, 10, 21, 10, tzinfo=UTC)
READ = {
    "2026-02-10T21:10:00Z": AT,
    "2026-02-10T21:10:00z": AT,
    "2026-02-10t21:10:00Z": AT,
    "2026-02-10 21:10:00Z": AT,
    "2026-02-10 21:10:00+00:00": AT,
    "2026-02-10T21:10:00-00:00": AT,
    "2026-02-10T22:10:00+01:00": AT,
    "2026-02-10T22:10:00+0100": AT,
    "2026-02-10T15:40:00-05:30": AT,
    "2026-02-11T21:09:00+23:59": AT,
    "2026-02-10T21:10:00.5Z": AT + timedelta(microseconds=500_000),
    "2026-02-10T21:10:59.9999999Z": AT + timedelta(microseconds=59_999_999),
    "2026-02-10T21:10:59.999999999999999999+00:00": AT + timedelta(microseconds=59_999_999),
    "2026-02-10T21:10:00.000000999Z": AT,
    "2026-02-10T21:10:00.0000019Z": AT + timedelta(microseconds=1),
    "2024-02-29T23:59:59Z": datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC),
    "0002-01-01T00:00:00Z": datetime(2, 1, 1, tzinfo=UTC),
    "9997-12-31T23:59:59.999999Z": datetime(9997, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "1969-12-31T23:59:59.25Z": datetime(1969, 12, 31, 23, 59, 59, 250_000, tzinfo=UTC),
}
REFUSED = {
    "": "",
    "now": "",
    "x" * 10_000: "",
    "2026-02-10": "the time of day is missing",
    "2026-02-10T21:10:00": "Z or an offset is missing",
    "2026-02-10 21:10:00": "Z or an offset is missing",
    "2026-02-10T21:10Z": "its seconds are missing",
    "2026-02-10T21:10": "its seconds are missing",
    "20260210T211000Z": "its dashes and colons are missing",
    "2026-02-10T211000Z": "its dashes and colons are missing",
    "2026-W07-2T21:10:00Z": "it is a week date",
    "2026W072T211000Z": "it is a week date",
    "2026-041T21:10:00Z": "it is an ordinal date",
    "2026-02-10T24:00:00Z": "there is no hour 24; midnight is 00:00:00 of the next day",
    "2026-02-10T23:59:60Z": "there is no second 60",
    "2026-02-10T23:59:60.5+01:00": "there is no second 60",
    "2026-02-10T23:59:61Z": "there is no such date or time",
    "2026-02-30T00:00:00Z": "there is no such date or time",
    "2026-13-01T00:00:00Z": "there is no such date or time",
    "2026-02-10T25:00:00Z": "there is no such date or time",
    "2026-02-10T21:60:00Z": "there is no such date or time",
    "2026-02-10T21:10:00+24:00": "there is no such date or time",
    "2026-02-10T21:10:00+01:60": "there is no such date or time",
    "0000-01-01T00:00:00Z": "there is no such date or time",
    "2026-02-10T21:10:00+01": "an offset is written as +01:00",
    "2026-02-10T21:10:00,5Z": "a fraction is written with a point",
    "2026-02-10T21:10:00 00:00": "its offset has no sign; the + of an offset is written %2B in a URL",
    "2026-02-10T21:10:00.25 0100": "its offset has no sign; the + of an offset is written %2B in a URL",
    "1770757800": "it is a number",
    "1770757800000": "it is a number; milliseconds?",
    "2026-02-10T21:10:00.Z": "",
    "2026-02-10T21:10:00ZZ": "",
    "2026-02-10_21:10:00Z": "",
    " 2026-02-10T21:10:00Z": "",
    "2026-02-10T21:10:00Z\n": "",
    "\u0662\u0660\u0662\u0666-02-10T21:10:00Z": "",
    "2026-02-10T21:10:\u0660\u0660Z": "",
    "2026-02-10T21:10:00.\u0665Z": "",
    "99999-01-01T00:00:00Z": "",
}


@pytest.mark.parametrize("text", READ)
def test_rfc_3339_is_read_to_the_microsecond_and_cut_below(text: str) -> None:
    assert parse_instant(text) == READ[text]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:40]))
def test_everything_else_is_refused_with_a_sentence(text: str) -> None:
    assert read_instant_us(text) is None
    assert instant_problem(text) == (f"{WRONG_FORM}: {REFUSED[text]}" if REFUSED[text] else WRONG_FORM)


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+10:00",
        "0001-12-31T23:59:59.999999Z",
        "0002-01-01T00:00:00+00:01",
        "9997-12-31T23:59:59-00:01",
        "9998-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-10:00",
    ],
)
def test_the_ends_of_the_calendar_are_out_of_range(text: str) -> None:
    assert read_instant_us(text) is None
    assert instant_problem(text) == OUT_OF_RANGE


@given(
    at_us=st.integers(EARLIEST_US, LATEST_US),
    offset_minutes=st.integers(-1439, 1439),
    separator=st.sampled_from("Tt "),
    more_digits=st.text("0123456789", max_size=5),
)
def test_every_spelling_of_one_time_is_that_time(
    at_us: int, offset_minutes: int, separator: str, more_digits: str
) -> None:
    at = instant_from_us(at_us)
    assert instant_us(at) == at_us
    try:
        local = at.astimezone(timezone(timedelta(minutes=offset_minutes)))
    except OverflowError:
        return
    text = local.isoformat(sep=separator, timespec="microseconds")
    assert read_instant_us(f"{text[:-6]}{more_digits}{text[-6:]}") == at_us
    assert read_instant_us(format_instant(at)) == at_us


@given(st.text("0123456789-:.TtZzW+ ", max_size=40))
def test_what_is_read_is_what_the_standard_library_reads(text: str) -> None:
    at = parse_instant(text)
    if at is not None:
        assert datetime.fromisoformat(text.replace("z", "Z")) == at


@pytest.mark.parametrize(
    ("seconds", "nanos", "expected"),
    [
        (0, 0, 0),
        (59, 999_999_999, 59_999_999),
        (-1, 999, -1_000_000),
        (0, -1, None),
        (0, 1_000_000_000, None),
        (0, 2**31 - 1, None),
        (2**63 - 1, 0, None),
        (-(2**63), 0, None),
        (LATEST_US // 1_000_000 + 1, 0, None),
    ],
)
def test_a_timestamp_message_is_cut_like_text(seconds: int, nanos: int, expected: int | None) -> None:
    assert timestamp_us(seconds, nanos) == expected


def test_no_text_of_any_length_is_remembered() -> None:
    """What is remembered of times is bounded in bytes, not only in entries."""
    before = _remembered_us.cache_info().currsize
    assert read_instant_us(f"2026-02-10T21:10:00.{'1' * 100_000}Z") is not None
    assert _remembered_us.cache_info().currsize == before


def test_a_fraction_is_written_only_if_there_is_one() -> None:
    assert format_instant(AT) == "2026-02-10T21:10:00Z"
    assert format_instant(AT + timedelta(microseconds=500_000)) == "2026-02-10T21:10:00.5Z"
