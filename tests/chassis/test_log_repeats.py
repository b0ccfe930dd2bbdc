"""Lines that repeat themselves: the first ones are written, the others are counted, and the number is told."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest

from dmp_chassis.log_repeats import RepeatingHandler, RepeatLimit


class Clock:
    """Seconds that only a test lets pass."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(
    message: str = "away", level: int = logging.WARNING, n: int = 0, extra: dict[str, Any] | None = None
) -> logging.LogRecord:
    """A line."""
    return logging.getLogger("a").makeRecord("a", level, "f.py", 1, message, (), None, "f", {"n": n, **(extra or {})})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written() -> list[logging.LogRecord]:
    return []


@pytest.fixture
def limit(clock: Clock, written: list[logging.LogRecord]) -> RepeatLimit:
    return RepeatLimit(written.append, clock=clock)


def numbers(written: list[logging.LogRecord]) -> list[tuple[object, object]]:
    return [(vars(each).get("n"), vars(each).get("repeated")) for each in written]


def test_five_lines_are_written_and_the_last_of_the_others_with_their_number(
    limit: RepeatLimit, clock: Clock, written: list[logging.LogRecord]
) -> None:
    assert [limit.handle(record(n=n)) for n in range(9)] == [False] * 5 + [True] * 4
    assert limit.flush() is True
    clock.now = 10.0
    assert limit.flush() is False
    assert numbers(written) == [*((n, None) for n in range(5)), (8, 4)]
    limit.handle(record(n=9))
    assert numbers(written)[6:] == [(9, None)]


def test_the_number_is_told_before_the_next_line_of_its_kind(
    limit: RepeatLimit, clock: Clock, written: list[logging.LogRecord]
) -> None:
    for n in range(6):
        limit.handle(record(n=n))
    clock.now = 11.0
    limit.handle(record(n=6))
    assert numbers(written)[5:] == [(5, 1), (6, None)]


@pytest.mark.parametrize("name", ["method", "reason", "code", "dependency"])
def test_lines_about_different_things_do_not_hide_each_other(
    name: str, limit: RepeatLimit, written: list[logging.LogRecord]
) -> None:
    one: dict[str, Any] = {name: "one"}
    another: dict[str, Any] = {name: "another"}
    for _ in range(6):
        limit.handle(record(extra=one))
    limit.handle(record(extra=another))
    limit.handle(record("another message", extra=one))
    limit.handle(record(level=logging.ERROR, extra=one))
    assert len(written) == 8


def test_debug_lines_are_always_written(limit: RepeatLimit, written: list[logging.LogRecord]) -> None:
    for _ in range(20):
        limit.handle(record(level=logging.DEBUG))
    assert len(written) == 20


def test_only_so_many_kinds_are_remembered_and_what_is_over_makes_room(
    limit: RepeatLimit, clock: Clock, written: list[logging.LogRecord]
) -> None:
    for n in range(300):
        limit.handle(record(f"kind {n}"))
    for _ in range(10):
        limit.handle(record("kind 299"))
    assert len(written) == 310, "one kind too many is not counted"
    clock.now = 10.0
    for _ in range(10):
        limit.handle(record("kind 299"))
    assert len(written) == 315


def test_what_was_left_out_is_told_when_the_process_ends() -> None:
    handler, stream = RepeatingHandler(), io.StringIO()
    handler.setStream(stream)
    handler.setFormatter(logging.Formatter("%(message)s %(repeated)s", defaults={"repeated": ""}))
    for _ in range(9):
        handler.handle(record())
    assert stream.getvalue() == "away \n" * 5
    handler.close()
    assert stream.getvalue() == "away \n" * 5 + "away 4\n"
