"""The reference table: what is known of users, in versions.

A table travels and is stored as chunks of up to CHUNK_USERS users, columnar. In memory it is a `Labels`: for each
attribute one small number for each user, where users are numbered by a `Roster` that the sliding window shares.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

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


class Roster:
    """Numbers users, from 0 on, in the order in which they are first met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []

    def __len__(self) -> int:
        return len(self._names)

    def numbers(self, user_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """The users' numbers; users not met before get new ones."""
        known, names = self._numbers, self._names
        found = list(map(known.get, user_ids))
        if None in found:
            missing = (user_id for user_id, number in zip(user_ids, found, strict=True) if number is None)
            new = dict(zip(dict.fromkeys(missing), count(len(names)), strict=False))
            known.update(new)
            names.extend(new)
            # A look into a dictionary of a million users costs several cache misses: one for each user is enough.
            found = [
                new[user_id] if number is None else number for user_id, number in zip(user_ids, found, strict=True)
            ]
        return np.array(found, np.int64)

    def names(self, numbers: npt.NDArray[np.int64]) -> list[str]:
        """The users of these numbers."""
        return [self._names[number] for number in numbers.tolist()]

    def number(self, user_id: str) -> int | None:
        """The user's number, None if it was never met."""
        return self._numbers.get(user_id)

    def rename(self, user_id: str, name: str) -> None:
        """The user, if there is one, has this name from now on, under the same number."""
        number = self._numbers.get(user_id)
        if number is not None:
            del self._numbers[user_id]
            self._names[number] = name
            self._numbers.setdefault(name, number)

    def everybody(self) -> list[str]:
        """All users, by number."""
        return list(self._names)

    def keep(self, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Forgets all users but these and numbers those anew, in the same order.

        Returns the new number of each old one, -1 if gone.
        """
        self._names = [name for name, stays in zip(self._names, kept.tolist(), strict=True) if stays]
        self._numbers = {name: number for number, name in enumerate(self._names)}
        return np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int64)


class Chunk(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Some users of a table.

    `codes` of an attribute: for each user a position in its `values` as little-endian int32, or ABSENT.

    In a change of a table UNCHANGED too, and `removed` users leave it.
    """

    users: list[str]
    values: dict[str, list[str]]
    codes: dict[str, bytes]
    removed: list[str] = []


_MISSING: Final = object()
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Chunk)


def pack_chunk(
    users: Mapping[str, Mapping[str, str | None]], *, is_change: bool = False, removed: Sequence[str] = ()
) -> bytes:
    """Users as a stored chunk. In a change, an attribute that a user does not name stays, and one that is None goes."""
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
    """One attribute of all users: `codes[user]` is a position in `values`, or ABSENT."""

    values: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    codes: Codes = field(default_factory=lambda: np.zeros(0, np.int32))

    def place(self, value: str) -> int:
        """The position of a value, which is added if it is new."""
        place = self.places.get(value)
        if place is None:
            place = self.places[value] = len(self.values)
            self.values.append(value)
        return place


class Labels:
    """One version of the reference table, by user number.

    Filled by `add` before it is used; after that it only grows with the roster.
    """

    def __init__(self, *, generation: int) -> None:
        self.generation = generation
        self.attributes: dict[str, Attribute] = {}
        self.is_known = np.zeros(0, bool)

    def copy(self, generation: int) -> Labels:
        """The same table as another version, to be changed by `add`; without attributes that no user has any more."""
        labels = Labels(generation=generation)
        labels.is_known = self.is_known.copy()
        used = self.used_names()
        labels.attributes = {
            name: Attribute(values=list(a.values), places=dict(a.places), codes=a.codes.copy())
            for name, a in self.attributes.items()
            if name in used
        }
        return labels

    def used_names(self) -> frozenset[str]:
        """The attributes that at least one user has."""
        return frozenset(name for name, a in self.attributes.items() if bool((a.codes != ABSENT).any()))

    def cover(self, users: int) -> None:
        """Makes room for user numbers below `users`; the table does not know the new ones."""
        if users > len(self.is_known):
            room = max(users, len(self.is_known) * 5 // 4) - len(self.is_known)
            self.is_known = np.concatenate([self.is_known, np.zeros(room, bool)])
            for attribute in self.attributes.values():
                attribute.codes = np.concatenate([attribute.codes, np.full(room, ABSENT, np.int32)])

    def add(self, chunk: Chunk, roster: Roster) -> Iterator[None]:
        """Adds or changes the chunk's users, and takes out those it removes, in steps of a millisecond or two."""
        parts: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(chunk.users), _USERS_A_STEP):
            parts.append(roster.numbers(chunk.users[start : start + _USERS_A_STEP]))
            yield
        users = np.concatenate([np.zeros(0, np.int64), *parts])
        removed = roster.numbers(chunk.removed)
        self.cover(len(roster))
        for name, raw in chunk.codes.items():
            attribute = self.attributes.get(name)
            if attribute is None:
                attribute = self.attributes[name] = Attribute(codes=np.full(len(self.is_known), ABSENT, np.int32))
            # UNCHANGED and ABSENT count from the end, where their equals stand.
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

    def chunks(self, roster: Roster) -> Iterator[bytes]:
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
            chunk = Chunk(users=roster.names(users), values=values, codes=codes)
            yield zlib.compress(_ENCODER.encode(chunk), 1)

    def renumber(self, numbers: npt.NDArray[np.int64], users: int) -> None:
        """Follows the roster when it numbers users anew: `numbers` by old number, -1 for users that are gone."""
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
