"""Reads the stream of domain events from a cursor, and knows when entries went before they were read.

An entry's id alone cannot tell that: the one before it may have been dropped. So a cursor also says how many entries
the stream had had up to it, which Redis counts (`entries-added`), and the two together show how many are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from redis import Redis, ResponseError

from dmp_cli.failures import CommandError

STREAM: Final = "dmp:{domain-events}"


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the stream: the id of the last entry that was read, and how many there had been up to it."""

    entry: str = "0-0"
    count: int = 0


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that happened. id: the same if it was published twice. payload: JSON."""

    id: str
    kind: str
    occurred_at: str
    payload: msgspec.Raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Entries that went before they were read. lost: how many, None if the stream itself was lost."""

    lost: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What follows a cursor: a gap, if there is one, then events. after: the cursor behind them."""

    gap: Gap | None
    events: list[DomainEvent]
    after: Cursor


@dataclass(frozen=True, slots=True)
class EventStream:
    """The stream in a Redis. What it raises is a `redis.RedisError`, or CommandError for entries that are none."""

    redis: Redis
    name: str = STREAM

    def beginning(self) -> Cursor:
        """Before the oldest entry that is still there."""
        state = self._state()
        return Cursor(count=state["entries-added"] - state["length"]) if state else Cursor()

    def end(self) -> Cursor:
        """Behind the last entry."""
        state = self._state()
        return Cursor(entry=state["last-generated-id"], count=state["entries-added"]) if state else Cursor()

    def read(self, cursor: Cursor, limit: int) -> Piece:
        """What follows a cursor, up to `limit` entries, as one moment of the stream shows it."""
        with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.xinfo_stream(self.name)
            pipeline.xread({self.name: cursor.entry}, count=limit)
            pipeline.xread({self.name: "0-0"}, count=limit)
            state, after, beginning = pipeline.execute(raise_on_error=False)
        if _is_absent(state):
            return _anew([]) if cursor.count else Piece(gap=None, events=[], after=cursor)
        for answer in (state, after, beginning):
            if isinstance(answer, Exception):
                raise answer
        gone = state["entries-added"] - state["length"]
        if _order(state["last-generated-id"]) < _order(cursor.entry) or state["entries-added"] < cursor.count:
            return _anew(_entries(beginning))
        oldest = state["first-entry"]
        if oldest is not None and _order(oldest[0]) <= _order(cursor.entry):
            return _piece(None, _entries(after), cursor)
        if gone < cursor.count and oldest is not None:
            return _anew(_entries(beginning))  # what is counted up to the cursor is there, and the cursor is not
        lost = gone - cursor.count
        return _piece(Gap(lost=lost) if lost else None, _entries(after), Cursor(entry=cursor.entry, count=gone))

    def wait(self, cursor: Cursor, seconds: float) -> None:
        """Returns when there is an entry behind a cursor, at the latest after so many seconds."""
        self.redis.xread({self.name: cursor.entry}, count=1, block=max(int(seconds * 1000), 1))

    def _state(self) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = self.redis.xinfo_stream(self.name)
        except ResponseError as error:
            if _is_absent(error):
                return None
            raise
        return state


def _is_absent(answer: object) -> bool:
    """Whether there is no stream yet; a node of a cluster that has not its slot says something else."""
    return isinstance(answer, ResponseError) and "no such key" in str(answer)


def _anew(entries: list[tuple[str, dict[str, str]]]) -> Piece:
    """The stream was lost and begins again."""
    return _piece(Gap(lost=None), entries, Cursor())


def _piece(gap: Gap | None, entries: list[tuple[str, dict[str, str]]], before: Cursor) -> Piece:
    last = entries[-1][0] if entries else before.entry
    return Piece(gap=gap, events=list(_events(entries)), after=Cursor(entry=last, count=before.count + len(entries)))


def _events(entries: list[tuple[str, dict[str, str]]]) -> Iterator[DomainEvent]:
    for entry, fields in entries:
        try:
            payload = msgspec.json.decode(fields["payload"], type=msgspec.Raw)
            yield DomainEvent(id=fields["id"], kind=fields["kind"], occurred_at=fields["occurred_at"], payload=payload)
        except (KeyError, msgspec.DecodeError):
            raise CommandError(
                f"entry {entry} of the stream is no domain event", hint="Is --stream the right one?"
            ) from None


def _entries(answer: Any) -> list[tuple[str, dict[str, str]]]:  # noqa: ANN401 - what XREAD says
    return answer[0][1] if answer else []


def _order(entry: str) -> tuple[int, int]:
    """Ids in the order of the stream."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)
