"""Says a thing that happens again and again a few times, then how often."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

_PERIOD_SECONDS: Final = 10.0
_AT_ONCE: Final = 5
"""So many lines of one kind are written in a period; the others are counted."""
_MOST_KINDS: Final = 256
"""Kinds that are counted at a time. Lines of further kinds are written."""
_MOST_TEXT: Final = 200
_TELLING: Final = ("method", "reason", "code", "dependency")
"""Lines with one message are of different kinds if they differ in one of these."""

_Kind: TypeAlias = tuple[object, ...]


@dataclass(slots=True)
class _Period:
    since: float
    last: logging.LogRecord
    written: int = 1
    left_out: int = 0


class RepeatLimit:
    """Decides which lines are written, and adds one for those that were not.

    A kind is: who logs, the level, the message, the type of the exception, and `method`, `reason`, `code` and
    `dependency`. Debug lines are always written. When a period ends in which lines were left out, the last of them is
    written with their number in `repeated`. Call it under the lock of the handler.
    """

    def __init__(
        self, write: Callable[[logging.LogRecord], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._periods: dict[_Kind, _Period] = {}

    def handle(self, record: logging.LogRecord) -> bool:
        """Writes the line or counts it. Returns whether `flush` has something to say when the period is over."""
        if record.levelno < logging.INFO:
            self._write(record)
            return False
        now, kind = self._clock(), _kind(record)
        period = self._periods.get(kind)
        if period is not None and now - period.since >= _PERIOD_SECONDS:
            self._end(kind)
            period = None
        if period is None:
            if len(self._periods) >= _MOST_KINDS:
                self.flush()
            if len(self._periods) < _MOST_KINDS:
                self._periods[kind] = _Period(now, record)
            self._write(record)
            return False
        period.last = record
        if period.written < _AT_ONCE:
            period.written += 1
            self._write(record)
            return False
        period.left_out += 1
        return True

    def flush(self, *, all_of_them: bool = False) -> bool:
        """Ends the periods that are over, or all. Returns whether lines of others have been left out so far."""
        now = self._clock()
        for kind, period in list(self._periods.items()):
            if all_of_them or now - period.since >= _PERIOD_SECONDS:
                self._end(kind)
        return any(period.left_out for period in self._periods.values())

    def _end(self, kind: _Kind) -> None:
        period = self._periods.pop(kind)
        if period.left_out:
            period.last.__dict__["repeated"] = period.left_out
            self._write(period.last)


class RepeatingHandler(logging.StreamHandler):  # type: ignore[type-arg] # generic in the stubs only
    """Writes lines to a stream, as often as `RepeatLimit` says.

    A thread that sleeps is started when lines are first left out, and ends with the process: a number is told also if
    nothing is logged afterwards.
    """

    def __init__(self) -> None:
        super().__init__()
        self._limit = RepeatLimit(super().emit)
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the lock of the handler."""
        if self._limit.handle(record):
            self._tell_later()

    def close(self) -> None:
        """Tells what was left out."""
        with self._locked():
            if self._timer is not None:
                self._timer.cancel()
            self._limit.flush(all_of_them=True)
        super().close()

    def _tell_later(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(_PERIOD_SECONDS, self._tell)
            self._timer.daemon = True
            self._timer.start()

    def _tell(self) -> None:
        with self._locked():
            self._timer = None
            if self._limit.flush():
                self._tell_later()

    def _locked(self) -> threading.RLock:
        assert self.lock is not None
        return self.lock


def _kind(record: logging.LogRecord) -> _Kind:
    values = vars(record)
    error = record.exc_info[0] if record.exc_info else None
    telling = (str(values.get(name, ""))[:_MOST_TEXT] for name in _TELLING)
    return record.name, record.levelno, record.getMessage()[:_MOST_TEXT], error, *telling
