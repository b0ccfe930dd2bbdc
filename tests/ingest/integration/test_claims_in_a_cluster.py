"""Claims in a real cluster whose slots move, whose nodes are away and whose replicas know less than masters did."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.crc import key_slot

from dmp_chassis.redis_client import open_redis
from dmp_ingest.adapters.claim_cache import Claimed, Claims
from dmp_ingest.adapters.claim_tags import TAGS_OF_A_CLUSTER, ClaimTags
from tests.conditions import eventually, wait_until
from tests.redis_cluster import RunningCluster

KEYS = [bytes([first]) + bytes([number]) * 15 for number in range(3) for first in range(0, 256, 4)]
"""Three for each of the 64 tags."""
PRINTS = list(range(len(KEYS)))
OURS, THEIRS, OTHERS = b"\x11ours...", b"\x77theirs.", b"\xf0others."
EPOCH = b"epoch-00"


@pytest.fixture
async def claims(redis_cluster: RunningCluster) -> AsyncIterator[Claims]:
    client = open_redis(redis_cluster.url, client_name="test")
    yield Claims(client, window_seconds=60)
    await client.aclose()


def slot(key: bytes) -> int:
    """Where the claim on an event is."""
    return key_slot(ClaimTags(TAGS_OF_A_CLUSTER).split([key], EPOCH)[0].names[0])


async def test_claims_are_spread_over_all_nodes(claims: Claims, redis_cluster: RunningCluster) -> None:
    assert await claims.claim(KEYS, PRINTS, token=OURS, epoch=EPOCH) == Claimed()
    await claims.settle_group(OURS, applied=True)
    sizes = [node.says("DBSIZE") for node in redis_cluster.masters]
    assert sum(sizes) == len(KEYS) + 1
    assert min(sizes) > len(KEYS) / 4
    again = await claims.claim(KEYS, PRINTS, token=THEIRS, epoch=EPOCH)
    assert again == Claimed(stored=dict(zip(KEYS, PRINTS, strict=True)))


async def test_while_a_slot_moves_its_claims_are_followed_or_not_decided(
    claims: Claims, redis_cluster: RunningCluster
) -> None:
    old, new, later = KEYS[0], KEYS[64], KEYS[128]
    await claims.claim([old], [1], token=OURS, epoch=EPOCH)
    await claims.settle_group(OURS, applied=True)
    with redis_cluster.moving(slot(old)):
        # The new node has what is new, the old one what has not moved.
        assert await claims.claim([new], [2], token=THEIRS, epoch=EPOCH) == Claimed()
        await claims.settle([new], [2], applied=True, epoch=EPOCH)
        assert (await claims.claim([new], [0], token=OTHERS, epoch=EPOCH)).stored == {new: 2}
        assert (await claims.claim([old], [0], token=OTHERS, epoch=EPOCH)).stored == {old: 1}
        # Of several some are here and some are there: no node can say. The others of the group are decided.
        assert await claims.claim([old, new, KEYS[1]], [0, 0, 3], token=OTHERS, epoch=EPOCH) == Claimed(
            all_decided=False
        )
    # Nobody was given a pause for it.
    assert await claims.claim([old, new, later], [0, 0, 0], token=OURS, epoch=EPOCH) == Claimed(stored={old: 1, new: 2})


async def test_a_node_that_is_away_leaves_only_its_own_claims_undecided(
    claims: Claims, redis_cluster: RunningCluster
) -> None:
    await claims.claim(KEYS[:64], PRINTS[:64], token=THEIRS, epoch=EPOCH)
    await claims.settle(KEYS[:64], PRINTS[:64], applied=True, epoch=EPOCH)
    away = redis_cluster.masters[0]
    here = {key for key in KEYS[:64] if redis_cluster.owner(slot(key)) is not away}
    away.child.pause()
    claimed = await claims.claim(KEYS, PRINTS, token=OURS, epoch=EPOCH)
    assert (set(claimed.stored), claimed.all_decided) == (here, False)
    away.child.resume()

    async def decides() -> bool:
        return (await claims.claim(KEYS[:64], PRINTS[:64], token=OTHERS, epoch=EPOCH)).all_decided

    await eventually(decides)


async def test_a_replica_that_knows_less_says_less_and_nothing_wrong(
    claims: Claims, redis_cluster: RunningCluster
) -> None:
    stored, lost, given_up = KEYS[:64], KEYS[64:128], KEYS[128:]
    await claims.claim(stored, PRINTS[:64], token=THEIRS, epoch=EPOCH)
    await claims.settle_group(THEIRS, applied=True)
    await claims.claim(given_up, PRINTS[128:], token=OTHERS, epoch=EPOCH)
    masters = redis_cluster.masters
    replicas = [redis_cluster.replica(master) for master in masters]
    for replica in replicas:  # it begins with a copy of all that its master has, and then is told nothing about claims
        redis_cluster.kill(replica)
    redis_cluster.whole()
    await claims.claim(lost, PRINTS[64:128], token=OURS, epoch=EPOCH)
    await claims.settle_group(OURS, applied=True)
    await claims.release(given_up, token=OTHERS, epoch=EPOCH)
    for master, replica in zip(masters, replicas, strict=True):
        redis_cluster.kill(master)
        redis_cluster.take_over(replica)
    sizes = sum(replica.says("DBSIZE") for replica in replicas)
    assert sizes == len(stored) + 1 + len(given_up)

    # The log has `stored` and `lost`, it does not have `given_up`.
    async def found_again() -> bool:
        return (await claims.claim(stored, PRINTS[:64], token=b"\x01again..", epoch=EPOCH)).all_decided

    await eventually(found_again)
    claimed = await claims.claim(KEYS, PRINTS, token=b"\x01again..", epoch=EPOCH)
    assert claimed.stored == dict(zip(stored, PRINTS[:64], strict=True))
    assert not claimed.all_decided
    # Those that it never heard of are claimed anew: the unique key of the log finds that they are there.
    wait_until(lambda: sum(node.says("DBSIZE") for node in replicas) == len(KEYS) + 1, "claims on all of them")
