"""The sliding window: who was seen in which of the last seconds, enriched by a version of the reference table when it
is read.

What is kept: every sighting as a user number (4 bytes) and a second of its minute (1 byte); for each user the last
second; and a `View` of one version of the reference table, in which events are already added up by second and value. So
a read adds up at most `retention` rows of each attribute and looks once at each user, however many events there are; a
new version costs one pass over the events.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from dmp_stats.domain.cells import Ints
from dmp_stats.domain.reference import Labels, Roster
from dmp_stats.domain.sightings import Sightings

MOST_LISTED_VALUES: Final = 1_000
_MOST_RING_VALUES: Final = 4_096
_NEVER: Final = -(2**62)
_ROSTER_SLACK: Final = 50_000
_EVENTS_A_STEP: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCounts:
    """The window in figures.

    `by`: for each attribute events by value; a user without the attribute is in none of them.
    """

    window_seconds: int
    events: int
    unknown: int
    unique_users: int
    unknown_users: int
    generation: int
    by: Mapping[str, Mapping[str, int]]


class _Minute:
    """The sightings of one minute, in buffers that grow by half."""

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


class View:
    """Events by second and value, as one version of the reference table sees them.

    A row of a ring is a second modulo its length. `listed`: for each attribute the values that some user has, with
    their columns.
    """

    def __init__(self, labels: Labels, names: Collection[str], retention: int) -> None:
        self.labels = labels
        self.names = frozenset(names)
        self.listed = {name: labels.listed(name) for name in self.names}
        self._retention = retention
        # Column 0 of an attribute is "has none". Column 0 of membership is "unknown".
        self._membership = np.zeros((retention, 2), np.int32)
        self._rings: dict[str, npt.NDArray[np.int32]] = {}
        for name in self.names:
            attribute = labels.attributes.get(name)
            if attribute is not None and len(attribute.values) <= _MOST_RING_VALUES:
                self._rings[name] = np.zeros((retention, len(attribute.values) + 1), np.int32)

    def add(self, seconds: Ints, users: Ints) -> None:
        """Counts sightings that lie in the window."""
        rows = seconds % self._retention
        _count(self._membership, rows, self.labels.is_known[users].astype(np.int64))
        for name, ring in self._rings.items():
            _count(ring, rows, self.labels.attributes[name].codes[users].astype(np.int64) + 1)

    def clear(self, rows: Ints) -> None:
        """Forgets seconds that have left the window."""
        self._membership[rows] = 0
        for ring in self._rings.values():
            ring[rows] = 0

    def membership(self, rows: Ints) -> tuple[int, int]:
        """Events of unknown and of known users in these rows."""
        unknown, known = self._membership[rows].sum(axis=0, dtype=np.int64).tolist()
        return unknown, known

    def counts(self, name: str, rows: Ints) -> Ints | None:
        """Events by position of the value, None if this attribute is not kept in a ring."""
        ring = self._rings.get(name)
        return None if ring is None else ring[rows].sum(axis=0, dtype=np.int64)[1:]


class Window:
    """The sightings of the last `retention` seconds and those of the future, which count when their second comes."""

    def __init__(self, *, retention: int, now: int, names: Collection[str]) -> None:
        self.roster = Roster()
        self.keeps_everybody = False
        """True while somebody outside holds user numbers: users are not numbered anew."""
        self._retention = retention
        self._now = now
        self._minutes: dict[int, _Minute] = {}
        self._future: dict[int, list[Ints]] = {}
        self._last_seen = np.zeros(0, np.int64)
        self._always = frozenset(names)
        self._view = View(Labels(generation=0), self._always, retention)
        self._next: View | None = None
        self._covered: set[int] = set()
        self._is_covered = False

    @property
    def view(self) -> View:
        """The view that reads use."""
        return self._view

    @property
    def is_preparing(self) -> bool:
        """True from the first step of `prepare` to `adopt` or `abandon`."""
        return self._next is not None

    @property
    def now(self) -> int:
        """The last second of the window."""
        return self._now

    @property
    def events(self) -> int:
        """How many sightings are kept, without those of the future."""
        return sum(minute.size for minute in self._minutes.values())

    def add(self, sightings: Sightings) -> None:
        """Adds sightings: late ones in their own second, future ones when it comes, older than the window never."""
        fresh = sightings.seconds > self._now - self._retention
        if not fresh.any():
            return
        users = self.roster.numbers(sightings.user_ids)[sightings.users]
        self._make_room()
        ahead = sightings.seconds > self._now
        if ahead.any():
            self._keep_for_later(sightings.seconds[ahead], users[ahead])
            fresh &= ~ahead
        self._insert(sightings.seconds[fresh], users[fresh])

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
        if minute_changed and self._next is None and not self.keeps_everybody:
            self._forget_absent_users()

    def restart(self, now: int) -> None:
        """Forgets all sightings and ends the window at `now`, whatever it was; users and versions stay as they are.

        Not to be called between the steps of `prepare`.
        """
        self._now = now
        self._minutes.clear()
        self._future.clear()
        self._last_seen[:] = _NEVER
        self._view = View(self._view.labels, self._view.names, self._retention)
        if self._next is not None:
            self._next = View(self._next.labels, self._next.names, self._retention)

    def counts(self, seconds: int, names: Collection[str]) -> WindowCounts:
        """The last so many seconds.

        names: attributes to group by; one that the view does not keep costs a pass over the events.
        """
        first = self._now - seconds + 1
        rows = np.arange(first, self._now + 1, dtype=np.int64) % self._retention
        labels = self._view.labels
        unknown, known = self._view.membership(rows)
        seen = self._last_seen[: len(self.roster)] >= first
        unique_users = int(np.count_nonzero(seen & labels.is_known[: len(seen)]))
        by: dict[str, dict[str, int]] = {}
        for name in names:
            counts = self._view.counts(name, rows)
            if counts is None:
                counts = self._scan(name, first)
            by[name] = _listed(self._view.listed.get(name) or labels.listed(name), counts)
        return WindowCounts(
            window_seconds=seconds,
            events=unknown + known,
            unknown=unknown,
            unique_users=unique_users,
            unknown_users=int(np.count_nonzero(seen)) - unique_users,
            generation=labels.generation,
            by=by,
        )

    def prepare(self, labels: Labels, names: Collection[str]) -> Iterator[None]:
        """Builds the view of another version, or of more attributes, in steps, while the old one stays in use.

        Then call `adopt`.
        """
        labels.cover(max(len(self.roster), len(self._last_seen)))
        self._next = View(labels, self._always | frozenset(names), self._retention)
        self._covered = set()
        self._is_covered = False
        while uncovered := self._minutes.keys() - self._covered:
            number = max(uncovered)
            # What is added to this minute from now on is counted at once: it lies behind what is counted here.
            self._covered.add(number)
            minute = self._minutes[number]
            size = minute.size
            for start in range(0, size, _EVENTS_A_STEP):
                seconds, users = _sightings_of(number, minute, start, min(start + _EVENTS_A_STEP, size))
                fresh = seconds > self._now - self._retention
                self._next.add(seconds[fresh], users[fresh])
                yield
        self._is_covered = True

    def is_prepared_for(self, generation: int) -> bool:
        """True if the prepared view shows that version and only waits to be adopted."""
        return self._next is not None and self._next.labels.generation == generation

    def adopt(self) -> None:
        """Reads use the prepared view from now on."""
        assert self._next is not None
        self._view, self._next = self._next, None

    def abandon(self) -> None:
        """Gives up the view that was being prepared."""
        self._next = None

    def _views(self) -> list[View]:
        return [self._view] if self._next is None else [self._view, self._next]

    def _make_room(self) -> None:
        if len(self.roster) > len(self._last_seen):
            room = max(len(self.roster), len(self._last_seen) * 5 // 4) - len(self._last_seen)
            self._last_seen = np.concatenate([self._last_seen, np.full(room, _NEVER, np.int64)])
        for view in self._views():
            view.labels.cover(len(self._last_seen))

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
            # A minute that the preparation has not come to yet is counted when it does.
            if self._next is not None and (self._is_covered or number in self._covered):
                self._next.add(seconds[chosen], users[chosen])

    def _keep_for_later(self, seconds: Ints, users: Ints) -> None:
        for second in np.unique(seconds).tolist():
            self._future.setdefault(second, []).append(users[seconds == second])

    def _scan(self, name: str, first: int) -> Ints:
        attribute = self._view.labels.attributes.get(name)
        if attribute is None:
            return np.zeros(0, np.int64)
        total = np.zeros(len(attribute.values) + 1, np.int64)
        for number, minute in self._minutes.items():
            if number * 60 + 59 >= first:
                seconds, users = _sightings_of(number, minute, 0, minute.size)
                total += np.bincount(attribute.codes[users[seconds >= first]] + 1, minlength=len(total))
        return total[1:]

    def _forget_absent_users(self) -> None:
        self._make_room()
        users = len(self.roster)
        kept = (self._last_seen[:users] > self._now - self._retention) | self._view.labels.is_known[:users]
        for waiting in self._future.values():
            for numbers in waiting:
                kept[numbers] = True
        if users - int(np.count_nonzero(kept)) <= _ROSTER_SLACK + users // 2:
            return
        for minute in self._minutes.values():
            kept[minute.users[: minute.size]] = True
        numbers = self.roster.keep(kept)
        users = len(self.roster)
        self._last_seen = self._last_seen[: len(numbers)][kept]
        self._view.labels.renumber(numbers, users)
        self._future = {second: [numbers[w] for w in waiting] for second, waiting in self._future.items()}
        for minute in self._minutes.values():
            minute.users[: minute.size] = numbers[minute.users[: minute.size]]


def _sightings_of(number: int, minute: _Minute, start: int, end: int) -> tuple[Ints, Ints]:
    seconds = minute.seconds[start:end].astype(np.int64) + number * 60
    return seconds, minute.users[start:end].astype(np.int64)


def _count(ring: npt.NDArray[np.int32], rows: Ints, columns: Ints) -> None:
    places = rows * ring.shape[1] + columns
    if len(places) * 4 > ring.size:
        ring += np.bincount(places, minlength=ring.size).reshape(ring.shape).astype(np.int32)
    else:
        np.add.at(ring.reshape(-1), places, np.int32(1))


def _listed(values: Mapping[str, int], counts: Ints) -> dict[str, int]:
    """Counts by value, in order of value; of more than MOST_LISTED_VALUES those with most events, then those known for
    longer.

    values: each value's position in `counts`, in ascending order. With very many values the work is in numpy: each
    user may have a value of its own.
    """
    if len(values) <= MOST_LISTED_VALUES:
        return {value: int(counts[values[value]]) for value in sorted(values)}
    counted = counts[np.fromiter(values.values(), np.int64, len(values))]
    most = np.argsort(-counted, kind="stable")[:MOST_LISTED_VALUES].tolist()
    names = list(values)
    return {names[index]: int(counted[index]) for index in sorted(most, key=names.__getitem__)}
