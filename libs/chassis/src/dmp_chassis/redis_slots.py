"""Which node of a Redis Cluster has which slot, as its nodes say it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ClusterDownError, RedisError

from dmp_chassis.redis_address import Node

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 0.1


class SlotOwners:
    """What is known of it. Any node is asked at first, and again, beside everything else, after signs of a change."""

    def __init__(
        self,
        seeds: Sequence[Node],
        *,
        ask: Callable[[Node], Awaitable[Sequence[Sequence[Any]]]],
        changed: Callable[[set[Node]], Awaitable[None]],
    ) -> None:
        """ask: what a node answers to CLUSTER SLOTS. changed: is told of all nodes after each answer."""
        self._seeds = frozenset(seeds)
        self._members = set(seeds)
        self._ask = ask
        self._changed = changed
        self._owners: list[Node | None] = []
        self._silent: set[Node] = set()
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -_PAUSE_SECONDS

    @property
    def nodes(self) -> set[Node]:
        """Those that have slots."""
        return {node for node in self._owners if node is not None}

    async def known(self) -> None:
        """Returns once it is known which node has which slot; raises ClusterDownError if no node says so."""
        if not self._owners:
            self.look_again()
            if self._looking is not None:
                await asyncio.shield(self._looking)  # others wait for it, too
        if not self._owners:
            raise ClusterDownError("no node of the cluster answers")

    def of(self, key: bytes) -> Node | None:
        """The node that has the slot of a key, None if no node has it."""
        return self._owners[key_slot(key)]

    def moved(self, slot: int, node: Node) -> None:
        """A node has said that a slot is there now; perhaps it is not the only one."""
        self._owners[slot] = node
        self.look_again()

    def heard(self, node: Node, answered: bool) -> None:
        """A node has answered, or has not: it is then asked last, and others may have its slots."""
        if answered:
            self._silent.discard(node)
        else:
            self._silent.add(node)
            self.look_again()

    def look_again(self) -> None:
        """Finds out, beside all else, who has which slot, unless that is under way; later if it was just done."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Looks no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look(self) -> None:
        await asyncio.sleep(self._looked_at + _PAUSE_SECONDS - time.monotonic())
        masters, others = list(self.nodes), list(self._members)
        random.shuffle(masters)
        random.shuffle(others)  # replicas know it as well, and may be the ones that are left
        for node in sorted(dict.fromkeys([*masters, *others]), key=self._silent.__contains__):
            try:
                ranges = await self._ask(node)
            except (RedisError, TimeoutError, OSError) as error:
                self._silent.add(node)
                _LOG.debug("a node does not say who has which slot", extra={"error": type(error).__name__})
            else:
                self._silent.discard(node)
                await self._take(ranges, node)
                break
        self._looked_at = time.monotonic()

    async def _take(self, ranges: Sequence[Sequence[Any]], told_by: Node) -> None:
        """Learns from an answer: first slot, last slot, the node that has them, its replicas."""
        owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        members = set(self._seeds)
        for first, last, *servers in ranges:
            # A node that does not know its own address leaves it out: it is where it was asked.
            nodes = [(_text(host) or told_by[0], int(port)) for host, port, *_ in servers]
            owners[first : last + 1] = nodes[:1] * (last + 1 - first)
            members.update(nodes)
        self._owners = owners
        self._members = members
        self._silent &= members
        await self._changed(members)


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
