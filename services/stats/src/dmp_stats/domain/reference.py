"""The reference table: what is known of users (plan, region, ...), in versions.

A table travels and is stored as chunks of up to CHUNK_USERS users, column by column. In memory it is a
`ReferenceSnapshot`: for each attribute one small number for each user. The users are numbered by a `UserIndex`, which
the sliding window uses too.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from dmp_stats.domain.user_index import UserIndex

CHUNK_USERS: Final = 20_000
LONGEST_USER_ID: Final = 255
LONGEST_NAME: Final = 64
LONGEST_VALUE: Final = 255
MOST_ATTRIBUTES: Final = 64
_USERS_A_STEP: Final = 1_000

ABSENT: Final = -1
"""The number that stands for "this user has no such attribute"."""
UNCHANGED: Final = -2
"""In a chunk that changes a table: this user's attribute stays as it is."""

Codes = npt.NDArray[np.int32]


class Chunk(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Some users of a table, or of a change of a table, as they are stored."""

    users: list[str]
    values: dict[str, list[str]]
    """For each attribute the values that these users have."""
    codes: dict[str, bytes]
    """For each attribute one little-endian int32 for each user: a position in the attribute's `values`, or ABSENT; in a
    change also UNCHANGED."""
    removed: list[str] = []
    """In a change, the users that leave the table."""


_MISSING: Final = object()
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Chunk)


def pack_chunk(
    users: Mapping[str, Mapping[str, str | None]], *, is_change: bool = False, removed: Sequence[str] = ()
) -> bytes:
    """Users and their attributes as a stored chunk.

    is_change: an attribute that a user does not name stays as it is, and one that is None is taken away. Else both mean
    that the user does not have it.
    """
    missing = UNCHANGED if is_change else ABSENT
    rows = list(users.values())
    values: dict[str, list[str]] = {}
    codes: dict[str, bytes] = {}
    for name in dict.fromkeys(chain.from_iterable(rows)):
        column = [row.get(name, _MISSING) for row in rows]
        numbered: dict[object, int] = dict.fromkeys(column, ABSENT)
        values[name] = [value for value in numbered if isinstance(value, str)]
        numbered.update((value, place) for place, value in enumerate(values[name]))
        numbered[_MISSING] = missing
        codes[name] = np.array(list(map(numbered.__getitem__, column)), "<i4").tobytes()
    chunk = Chunk(
        users=list(users),
        values=values,
        codes=codes,
        removed=list(removed),
    )
    return zlib.compress(_ENCODER.encode(chunk), 1)


def unpack_chunk(payload: bytes) -> Chunk:
    """The inverse of `pack_chunk`."""
    return _DECODER.decode(zlib.decompress(payload))


@dataclass(slots=True, kw_only=True)
class Attribute:
    """One attribute of all users."""

    values: list[str] = field(default_factory=list)
    """Every value that a user has or had."""
    places: dict[str, int] = field(default_factory=dict)
    """The position of each value in `values`."""
    codes: Codes = field(default_factory=lambda: np.zeros(0, np.int32))
    """By user number: the position of the user's value in `values`, or ABSENT."""

    def place(self, value: str) -> int:
        """The position of a value, which is added if it is new."""
        place = self.places.get(value)
        if place is None:
            place = self.places[value] = len(self.values)
            self.values.append(value)
        return place


class ReferenceSnapshot:
    """One version of the reference table, by user number.

    It is filled by `add` before anybody reads it. After that it changes only when users are numbered: it makes room for
    new numbers (`cover`) and follows a new numbering (`renumber`).
    """

    def __init__(self, *, generation: int) -> None:
        self.generation = generation
        self.attributes: dict[str, Attribute] = {}
        self.is_known = np.zeros(0, bool)

    def copy(self, generation: int) -> ReferenceSnapshot:
        """A copy of the table as another version, to be changed by `add`. Attributes that no user has are left out."""
        snapshot = ReferenceSnapshot(generation=generation)
        snapshot.is_known = self.is_known.copy()
        used = self.used_names()
        snapshot.attributes = {
            name: Attribute(values=list(a.values), places=dict(a.places), codes=a.codes.copy())
            for name, a in self.attributes.items()
            if name in used
        }
        return snapshot

    def used_names(self) -> frozenset[str]:
        """The attributes that at least one user has."""
        return frozenset(name for name, a in self.attributes.items() if bool((a.codes != ABSENT).any()))

    def cover(self, users: int) -> None:
        """Makes room for all user numbers below `users`. The table does not know the users of new numbers."""
        if users > len(self.is_known):
            room = max(users, len(self.is_known) * 5 // 4) - len(self.is_known)
            self.is_known = np.concatenate([self.is_known, np.zeros(room, bool)])
            for attribute in self.attributes.values():
                attribute.codes = np.concatenate([attribute.codes, np.full(room, ABSENT, np.int32)])

    def add(self, chunk: Chunk, user_index: UserIndex) -> Iterator[None]:
        """Applies a chunk in steps of a millisecond or two: adds or changes its users, takes out those that it removes.

        In a change, attributes that are UNCHANGED keep their value. Users that the index has not met are numbered.
        """
        parts: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(chunk.users), _USERS_A_STEP):
            parts.append(user_index.numbers(chunk.users[start : start + _USERS_A_STEP]))
            yield
        users = np.concatenate([np.zeros(0, np.int64), *parts])
        removed = user_index.numbers(chunk.removed)
        self.cover(len(user_index))
        for name, raw in chunk.codes.items():
            attribute = self.attributes.get(name)
            if attribute is None:
                attribute = self.attributes[name] = Attribute(codes=np.full(len(self.is_known), ABSENT, np.int32))
            # UNCHANGED is -2 and ABSENT is -1: as positions they count from the end, where these two values stand.
            places = np.array([*map(attribute.place, chunk.values[name]), UNCHANGED, ABSENT], np.int32)
            codes = places[np.frombuffer(raw, "<i4")]
            named = codes != UNCHANGED
            attribute.codes[users[named]] = codes[named]
            yield
        self.is_known[users] = True
        self.is_known[removed] = False
        for attribute in self.attributes.values():
            attribute.codes[removed] = ABSENT

    def users(self) -> int:
        """How many users the table has."""
        return int(np.count_nonzero(self.is_known))

    def of_user(self, user: int | None) -> dict[str, str] | None:
        """All attributes of a user, in order of name; None if the table does not know the user."""
        if user is None or user >= len(self.is_known) or not self.is_known[user]:
            return None
        codes = ((name, attribute, int(attribute.codes[user])) for name, attribute in sorted(self.attributes.items()))
        return {name: attribute.values[code] for name, attribute, code in codes if code != ABSENT}

    def listed(self, name: str) -> dict[str, int]:
        """The values of an attribute that at least one user has, with their positions."""
        attribute = self.attributes.get(name)
        if attribute is None:
            return {}
        used = np.bincount(attribute.codes[attribute.codes != ABSENT], minlength=len(attribute.values))
        return {value: place for place, value in enumerate(attribute.values) if used[place]}

    def chunks(self, user_index: UserIndex) -> Iterator[bytes]:
        """The whole table as stored chunks."""
        known = np.flatnonzero(self.is_known)
        for start in range(0, len(known), CHUNK_USERS):
            users = known[start : start + CHUNK_USERS]
            values: dict[str, list[str]] = {}
            codes: dict[str, bytes] = {}
            for name, attribute in self.attributes.items():
                used, places = np.unique(attribute.codes[users], return_inverse=True)
                # ABSENT sorts first: the places of real values then begin at 1.
                absent = int(used[0] == ABSENT)
                values[name] = [attribute.values[code] for code in used[absent:].tolist()]
                codes[name] = (places - absent).astype("<i4").tobytes()
            chunk = Chunk(users=user_index.names(users), values=values, codes=codes)
            yield zlib.compress(_ENCODER.encode(chunk), 1)

    def renumber(self, numbers: npt.NDArray[np.int64], users: int) -> None:
        """Follows the user index when it has numbered the users anew.

        numbers: the new number of each old one, -1 for users that are gone. users: how many are left.
        """
        self.cover(len(numbers))
        kept = numbers >= 0
        places = numbers[kept]
        is_known = np.zeros(users, bool)
        is_known[places] = self.is_known[: len(numbers)][kept]
        self.is_known = is_known
        for attribute in self.attributes.values():
            codes = np.full(users, ABSENT, np.int32)
            codes[places] = attribute.codes[: len(numbers)][kept]
            attribute.codes = codes
