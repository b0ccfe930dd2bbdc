"""A Redis Cluster: each command goes to the node that has the slot of its key.

redis-py's own client of clusters was tried and not taken: ADR 0018 says why. Connections, their pools, TLS, logins and
the protocol are redis-py's; here is only which node is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, ResponseError

from dmp_chassis.redis_address import Node
from dmp_chassis.redis_slots import SlotOwners
from dmp_chassis.tracing import REDIS, client_span

_MOST_ROUNDS: Final = 5
"""How often a command is sent at most: more redirections than that mean that nodes disagree."""


class Command(msgspec.Struct, frozen=True):
    """A command about keys of one slot."""

    key: bytes
    """One of its keys."""
    words: Sequence[Any]
    """Its name and its arguments."""


class _Sent(msgspec.Struct):
    """A command on its way. answer: what was answered at last, or an exception."""

    command: Command
    node: Node | None
    asking: bool = False
    answer: Any = None


class ClusterClient:
    """Speaks to the nodes of a cluster, over one pool of connections for each.

    A node that does not answer holds up only those commands that are for its slots.
    """

    def __init__(
        self,
        seeds: Sequence[Node],
        connect: Callable[[Node], Redis],
        measure: Callable[[Iterable[Command], float, str], None],
    ) -> None:
        """connect: makes a client of one node. measure: is told of commands that one node was sent at once, how many
        seconds its answer took, and `answered` or `failed`."""
        self._connect = connect
        self._measure = measure
        self._clients: dict[Node, Redis] = {}
        self._owners = SlotOwners(seeds, ask=self._ask_for_slots, changed=self._keep_only)

    async def run_each(self, commands: Sequence[Command], *, timeout_seconds: float | None = None) -> list[Any]:
        """For each command what Redis answered, or the exception: RedisError, TimeoutError, OSError. Raises none.

        Commands for one node are sent together, in order; nodes are asked side by side. Redirections are followed. A
        command is sent twice if its connection broke under it.
        """
        ends = None if timeout_seconds is None else asyncio.get_running_loop().time() + timeout_seconds
        try:
            async with asyncio.timeout_at(ends):
                await self._owners.known()
        except (RedisError, TimeoutError, OSError) as error:
            return [error] * len(commands)
        sent = [_Sent(command, self._owners.of(command.key)) for command in commands]
        to_send = sent
        for _ in range(_MOST_ROUNDS):
            parts: dict[Node, list[_Sent]] = {}
            for one in to_send:
                if one.node is None:
                    one.answer = ClusterDownError("no node has this slot")
                    self._owners.look_again()
                else:
                    parts.setdefault(one.node, []).append(one)
            sending = [self._send(node, part, ends) for node, part in parts.items()]
            await (sending[0] if len(sending) == 1 else asyncio.gather(*sending))
            to_send = [one for part in parts.values() for one in part if self._is_redirected(one)]
            if not to_send:
                break
        return [one.answer for one in sent]

    async def check(self) -> None:
        """Returns if every node that has slots answers and says that the cluster works, else raises."""
        await self._owners.known()
        nodes = self._owners.nodes
        states = await asyncio.gather(
            *(self._client(node).execute_command("CLUSTER", "INFO") for node in nodes),  # type: ignore[no-untyped-call]
            return_exceptions=True,
        )
        for state in states:
            if isinstance(state, BaseException) or b"cluster_state:ok" not in state:
                self._owners.look_again()
                raise state if isinstance(state, BaseException) else ClusterDownError("the cluster does not work")

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._owners.close()
        await self._keep_only(set())

    async def _send(self, node: Node, part: Sequence[_Sent], ends: float | None) -> None:
        """Sends a node its part of the commands and keeps its answers."""
        started, answered = time.monotonic(), False
        try:
            with client_span(str(part[0].command.words[0]), REDIS):
                async with asyncio.timeout_at(ends):
                    await _send_together(self._client(node), part)
            answered = True
        except (RedisError, TimeoutError, OSError) as error:
            for one in part:
                one.answer = error
        self._owners.heard(node, answered)
        outcome = "answered" if answered else "failed"
        self._measure((one.command for one in part), time.monotonic() - started, outcome)

    def _is_redirected(self, sent: _Sent) -> bool:
        """Whether a node sends us to another: to ask there once, or because it has the slot from now on."""
        error = sent.answer
        if isinstance(error, ClusterDownError):
            self._owners.look_again()
        if not isinstance(error, AskError):
            return False
        assert sent.node is not None
        sent.node = (error.host or sent.node[0], error.port)
        sent.asking = not isinstance(error, MovedError)
        if not sent.asking:
            self._owners.moved(error.slot_id, sent.node)
        return True

    def _client(self, node: Node) -> Redis:
        client = self._clients.get(node)
        if client is None:
            client = self._clients[node] = self._connect(node)
        return client

    async def _ask_for_slots(self, node: Node) -> Sequence[Sequence[Any]]:
        ranges: Sequence[Sequence[Any]]
        ranges = await self._client(node).execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
        return ranges

    async def _keep_only(self, nodes: set[Node]) -> None:
        """Closes the clients of all other nodes."""
        for node in self._clients.keys() - nodes:
            await self._clients.pop(node).aclose()


async def _send_together(client: Redis, part: Sequence[_Sent]) -> None:
    """Sends commands to one node in one round trip. Raises if not all were answered."""
    if len(part) == 1 and not part[0].asking:  # the usual case of a small group, at half the cost
        try:
            part[0].answer = await client.execute_command(*part[0].command.words)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            part[0].answer = error
        return
    async with client.pipeline(transaction=False) as pipeline:
        for one in part:
            if one.asking:  # counts for the one command that follows on the same connection
                pipeline.execute_command("ASKING")
            pipeline.execute_command(*one.command.words)
        answers = iter(await pipeline.execute(raise_on_error=False))
    for one in part:
        if one.asking:
            next(answers)
        one.answer = next(answers)
