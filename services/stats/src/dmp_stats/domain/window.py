"""The sliding window: who was seen in which of the last seconds. It is enriched when it is read, by one version of the
reference table.

What is kept:
- for each event the number of its user (4 bytes) and the second of its minute (1 byte);
- for each user the last second in which the user was seen;
- a `WindowView`: the events added up by second and value of each attribute, as one version of the reference table sees
  them.

So a read adds up at most `retention` rows of each attribute and looks once at each user, however many events there are.
A new version of the table costs one pass over the events.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from dmp_stats.domain.cells import Ints
from dmp_stats.domain.reference import ReferenceSnapshot
from dmp_stats.domain.user_activity import UserActivity
from dmp_stats.domain.user_index import UserIndex
from dmp_stats.domain.window_view import WindowView, listed_counts

_NEVER: Final = -(2**62)
_ABSENT_USERS_SLACK: Final = 50_000
"""Users are numbered anew when the absent ones are more than this and half of all users."""
_EVENTS_A_STEP: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCounts:
    """The window in figures."""

    window_seconds: int
    events: int
    unknown: int
    """Events of users whom the reference table does not know."""
    unique_users: int
    """Users with an event, as far as the reference table knows them."""
    unknown_users: int
    """Users with an event whom it does not know."""
    generation: int
    """The version of the reference table that was used."""
    by: Mapping[str, Mapping[str, int]]
    """For each attribute the events by value. A user without the attribute is in none of them."""


class _Minute:
    """The events of one minute, in buffers that grow by half."""

    __slots__ = ("seconds", "size", "users")

    def __init__(self) -> None:
        self.size = 0
        self.seconds = np.zeros(16, np.uint8)
        self.users = np.zeros(16, np.int32)

    def append(self, seconds: Ints, users: Ints) -> None:
        end = self.size + len(seconds)
        if end > len(self.seconds):
            room = max(end, len(self.seconds) * 3 // 2)
            self.seconds = np.concatenate([self.seconds[: self.size], np.zeros(room - self.size, np.uint8)])
            self.users = np.concatenate([self.users[: self.size], np.zeros(room - self.size, np.int32)])
        self.seconds[self.size : end] = seconds
        self.users[self.size : end] = users
        self.size = end


class _Prepared:
    """A view that is being built, and how far it is."""

    __slots__ = ("has_all_minutes", "minutes", "view")

    def __init__(self, view: WindowView) -> None:
        self.view = view
        self.minutes: set[int] = set()
        """The minutes whose events it has, or is being given."""
        self.has_all_minutes = False


class Window:
    """The events of the last `retention` seconds, and events of the future, which count when their second comes."""

    def __init__(self, *, retention: int, now: int, names: Collection[str]) -> None:
        self.user_index = UserIndex()
        self.keeps_everybody = False
        """While this is true, users keep their numbers: somebody outside holds some."""
        self._retention = retention
        self._now = now
        self._minutes: dict[int, _Minute] = {}
        self._future: dict[int, list[Ints]] = {}
        self._last_seen = np.zeros(0, np.int64)
        self._always = frozenset(names)
        self._view = WindowView(ReferenceSnapshot(generation=0), self._always, retention)
        self._prepared: _Prepared | None = None

    @property
    def view(self) -> WindowView:
        """The view that reads use."""
        return self._view

    @property
    def is_preparing(self) -> bool:
        """True from the first step of `prepare` to `adopt` or `abandon`."""
        return self._prepared is not None

    @property
    def now(self) -> int:
        """The last second of the window."""
        return self._now

    @property
    def events(self) -> int:
        """How many events are kept, without those of the future."""
        return sum(minute.size for minute in self._minutes.values())

    def add(self, activity: UserActivity) -> None:
        """Adds events. A late event counts in its own second, a future one when that second comes.

        An event that is older than the window is dropped.
        """
        fresh = activity.seconds > self._now - self._retention
        if not fresh.any():
            return
        users = self.user_index.numbers(activity.user_ids)[activity.users]
        self._make_room()
        ahead = activity.seconds > self._now
        if ahead.any():
            self._keep_for_later(activity.seconds[ahead], users[ahead])
            fresh &= ~ahead
        self._insert(activity.seconds[fresh], users[fresh])

    def advance(self, now: int) -> None:
        """Moves the window's end to `now`; a clock that was set back does not move it."""
        if now <= self._now:
            return
        passed = np.arange(max(self._now + 1, now - self._retention + 1), now + 1, dtype=np.int64)
        for view in self._views():
            view.clear(passed % self._retention)
        minute_changed = now // 60 != self._now // 60
        self._now = now
        if minute_changed:
            for minute in [m for m in self._minutes if m * 60 + 59 <= now - self._retention]:
                del self._minutes[minute]
        for second in sorted(second for second in self._future if second <= now):
            for users in self._future.pop(second):
                if second > now - self._retention:
                    self._insert(np.full(len(users), second, np.int64), users)
        if minute_changed and self._prepared is None and not self.keeps_everybody:
            self._forget_absent_users()

    def restart(self, now: int) -> None:
        """Forgets all events and ends the window at `now`, whatever its end was; users and the table stay as they are.

        Not to be called between the steps of `prepare`.
        """
        self._now = now
        self._minutes.clear()
        self._future.clear()
        self._last_seen[:] = _NEVER
        self._view = WindowView(self._view.snapshot, self._view.names, self._retention)
        if self._prepared is not None:
            old = self._prepared.view
            self._prepared.view = WindowView(old.snapshot, old.names, self._retention)

    def counts(self, seconds: int, names: Collection[str]) -> WindowCounts:
        """The figures of the last so many seconds.

        names: the attributes to group by. One that the view has no ring for costs a pass over the events.
        """
        first = self._now - seconds + 1
        rows = np.arange(first, self._now + 1, dtype=np.int64) % self._retention
        snapshot = self._view.snapshot
        unknown, known = self._view.membership(rows)
        seen = self._last_seen[: len(self.user_index)] >= first
        unique_users = int(np.count_nonzero(seen & snapshot.is_known[: len(seen)]))
        by: dict[str, dict[str, int]] = {}
        for name in names:
            counts = self._view.counts(name, rows)
            if counts is None:
                counts = self._scan(name, first)
            by[name] = listed_counts(self._view.listed.get(name) or snapshot.listed(name), counts)
        return WindowCounts(
            window_seconds=seconds,
            events=unknown + known,
            unknown=unknown,
            unique_users=unique_users,
            unknown_users=int(np.count_nonzero(seen)) - unique_users,
            generation=snapshot.generation,
            by=by,
        )

    def prepare(self, snapshot: ReferenceSnapshot, names: Collection[str]) -> Iterator[None]:
        """Builds the view of another version of the table, or of more attributes, in steps; reads use the old view.

        Call `adopt` after the last step, or `abandon`.
        """
        snapshot.cover(max(len(self.user_index), len(self._last_seen)))
        prepared = self._prepared = _Prepared(WindowView(snapshot, self._always | frozenset(names), self._retention))
        while uncovered := self._minutes.keys() - prepared.minutes:
            number = max(uncovered)
            # `_insert` counts what is added to this minute from now on; here is counted what the minute has now.
            prepared.minutes.add(number)
            minute = self._minutes[number]
            size = minute.size
            for start in range(0, size, _EVENTS_A_STEP):
                seconds, users = _activity_of(number, minute, start, min(start + _EVENTS_A_STEP, size))
                fresh = seconds > self._now - self._retention
                prepared.view.add(seconds[fresh], users[fresh])
                yield
        prepared.has_all_minutes = True

    def is_prepared_for(self, generation: int) -> bool:
        """True if the prepared view shows that version and only waits to be adopted."""
        return self._prepared is not None and self._prepared.view.snapshot.generation == generation

    def adopt(self) -> None:
        """Reads use the prepared view from now on."""
        assert self._prepared is not None
        self._view, self._prepared = self._prepared.view, None

    def abandon(self) -> None:
        """Gives up the view that was being prepared."""
        self._prepared = None

    def _views(self) -> list[WindowView]:
        return [self._view] if self._prepared is None else [self._view, self._prepared.view]

    def _make_room(self) -> None:
        if len(self.user_index) > len(self._last_seen):
            room = max(len(self.user_index), len(self._last_seen) * 5 // 4) - len(self._last_seen)
            self._last_seen = np.concatenate([self._last_seen, np.full(room, _NEVER, np.int64)])
        for view in self._views():
            view.snapshot.cover(len(self._last_seen))

    def _insert(self, seconds: Ints, users: Ints) -> None:
        if len(seconds) == 0:
            return
        np.maximum.at(self._last_seen, users, seconds)
        self._view.add(seconds, users)
        numbers = seconds // 60
        for number in np.unique(numbers).tolist():
            chosen = numbers == number
            if number not in self._minutes:
                self._minutes[number] = _Minute()
            self._minutes[number].append(seconds[chosen] - number * 60, users[chosen])
            # If `prepare` has not come to this minute yet, it will count these events itself.
            prepared = self._prepared
            if prepared is not None and (prepared.has_all_minutes or number in prepared.minutes):
                prepared.view.add(seconds[chosen], users[chosen])

    def _keep_for_later(self, seconds: Ints, users: Ints) -> None:
        for second in np.unique(seconds).tolist():
            self._future.setdefault(second, []).append(users[seconds == second])

    def _scan(self, name: str, first: int) -> Ints:
        attribute = self._view.snapshot.attributes.get(name)
        if attribute is None:
            return np.zeros(0, np.int64)
        total = np.zeros(len(attribute.values) + 1, np.int64)
        for number, minute in self._minutes.items():
            if number * 60 + 59 >= first:
                seconds, users = _activity_of(number, minute, 0, minute.size)
                total += np.bincount(attribute.codes[users[seconds >= first]] + 1, minlength=len(total))
        return total[1:]

    def _forget_absent_users(self) -> None:
        self._make_room()
        users = len(self.user_index)
        kept = (self._last_seen[:users] > self._now - self._retention) | self._view.snapshot.is_known[:users]
        for waiting in self._future.values():
            for numbers in waiting:
                kept[numbers] = True
        if users - int(np.count_nonzero(kept)) <= _ABSENT_USERS_SLACK + users // 2:
            return
        for minute in self._minutes.values():
            kept[minute.users[: minute.size]] = True
        numbers = self.user_index.keep(kept)
        users = len(self.user_index)
        self._last_seen = self._last_seen[: len(numbers)][kept]
        self._view.snapshot.renumber(numbers, users)
        self._future = {second: [numbers[w] for w in waiting] for second, waiting in self._future.items()}
        for minute in self._minutes.values():
            minute.users[: minute.size] = numbers[minute.users[: minute.size]]


def _activity_of(number: int, minute: _Minute, start: int, end: int) -> tuple[Ints, Ints]:
    seconds = minute.seconds[start:end].astype(np.int64) + number * 60
    return seconds, minute.users[start:end].astype(np.int64)
