"""Under which names claims stand in Redis, and so on which node of a cluster.

A script may touch keys of one slot only, and keys with the same text in braces, the hash tag, are in one slot. On one
server all claims have one tag. In a cluster they are spread over as many tags as there are values of the first bits of
an event's key, which is a hash. The tags are chosen so that they divide the slots evenly.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

TAGS_OF_A_CLUSTER: Final = 64
"""A power of two, at most 256. 16 nodes get four of them each, and a group of 4,000 events has some 60 for each tag."""

_Value = TypeVar("_Value")


class TagPart(msgspec.Struct, frozen=True, kw_only=True):
    """Those of some keys that belong to one tag."""

    tag: int
    """From 0 to the number of tags - 1."""
    names: Sequence[bytes]
    """The names in Redis, in the order of the keys."""
    positions: Sequence[int]
    """Where they are among all keys."""

    def of(self, values: Sequence[_Value]) -> Sequence[_Value]:
        """Those of some values, one for each of all keys, that belong to these."""
        return values if len(self.positions) == len(values) else [values[position] for position in self.positions]


class ClaimTags:
    """The names of claims and of groups, spread over so many tags."""

    def __init__(self, number: int) -> None:
        """number: a power of two from 1 to 256."""
        self.number = number
        self._shift = 8 - (number.bit_length() - 1)
        self._prefixes = [b"dmp:{%s}:" % tag for tag in _tags(number)]
        self._group_prefixes = [prefix + b"group:" for prefix in self._prefixes]

    def split(self, keys: Sequence[bytes], epoch: bytes) -> list[TagPart]:
        """The claims on these events, which are named in this epoch, by their tags."""
        return self._split(keys, [prefix + epoch for prefix in self._prefixes])

    def split_groups(self, tokens: Sequence[bytes]) -> list[TagPart]:
        """The markers of the groups with these tokens, by their tags."""
        return self._split(tokens, self._group_prefixes)

    def _split(self, keys: Sequence[bytes], prefixes: Sequence[bytes]) -> list[TagPart]:
        if self.number == 1:
            prefix = prefixes[0]
            return [TagPart(tag=0, names=[prefix + key for key in keys], positions=range(len(keys)))] if keys else []
        positions: dict[int, list[int]] = {}
        for position, key in enumerate(keys):
            positions.setdefault(key[0] >> self._shift, []).append(position)
        return [
            TagPart(tag=tag, names=[prefixes[tag] + keys[position] for position in where], positions=where)
            for tag, where in positions.items()
        ]


def _tags(number: int) -> list[bytes]:
    """The texts in the braces: `claim` alone, or one for each of so many equal parts of the slots."""
    if number == 1:
        return [b"claim"]
    width = REDIS_CLUSTER_HASH_SLOTS // number
    found: dict[int, bytes] = {}
    for attempt in itertools.count():
        tag = b"claim-%d" % attempt
        found.setdefault(key_slot(tag) // width, tag)
        if len(found) == number:
            return [found[part] for part in range(number)]
    raise AssertionError  # it counts for ever
