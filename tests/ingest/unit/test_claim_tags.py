"""The names of claims: which tag each has, and how evenly tags divide the slots of a cluster."""

from __future__ import annotations

import collections

import pytest
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from dmp_ingest.adapters.claim_tags import TAGS_OF_A_CLUSTER, ClaimTags

EPOCH = b"epoch-00"
KEYS = [bytes([first]) + bytes(15) for first in range(256)]


def test_on_one_server_all_claims_have_one_tag() -> None:
    (part,) = ClaimTags(1).split(KEYS, EPOCH)
    assert (part.tag, part.names[3]) == (0, b"dmp:{claim}:" + EPOCH + KEYS[3])
    assert part.of(KEYS) is KEYS
    (groups,) = ClaimTags(1).split_groups([b"token..."])
    assert groups.names == [b"dmp:{claim}:group:token..."]


@pytest.mark.parametrize("number", [2, TAGS_OF_A_CLUSTER, 256])
def test_the_first_bits_of_a_key_say_its_tag_and_all_of_a_tag_are_in_one_slot(number: int) -> None:
    parts = ClaimTags(number).split(KEYS, EPOCH)
    assert sorted(position for part in parts for position in part.positions) == list(range(256))
    assert [len(part.positions) for part in parts] == [256 // number] * number
    for part in parts:
        keys = part.of(KEYS)
        assert {key[0] * number // 256 for key in keys} == {part.tag}
        assert [name.endswith(EPOCH + key) for name, key in zip(part.names, keys, strict=True)] == [True] * len(keys)
        assert len({key_slot(name) for name in part.names}) == 1


@pytest.mark.parametrize("nodes", [3, 4, 8, 16])
def test_tags_divide_the_slots_evenly(nodes: int) -> None:
    parts = ClaimTags(TAGS_OF_A_CLUSTER).split(KEYS, EPOCH)
    of_node = collections.Counter(key_slot(part.names[0]) * nodes // REDIS_CLUSTER_HASH_SLOTS for part in parts)
    assert len(of_node) == nodes
    assert max(of_node.values()) - min(of_node.values()) <= 1


def test_the_marker_of_a_group_has_the_tag_of_its_token() -> None:
    tags = ClaimTags(TAGS_OF_A_CLUSTER)
    claims = {part.tag: key_slot(part.names[0]) for part in tags.split(KEYS, EPOCH)}
    for part in tags.split_groups([key[:8] for key in KEYS]):
        assert {key_slot(name) for name in part.names} == {claims[part.tag]}
        assert all(b":group:" in name for name in part.names)


def test_nothing_has_no_tag() -> None:
    for tags in (ClaimTags(1), ClaimTags(64)):
        assert (tags.split([], EPOCH), tags.split_groups([])) == ([], [])
