"""A real cluster of Valkey: three nodes that share the slots, each with a replica; and what can happen to it.

It is made once for a session. Who breaks something waits for the end of it: `whole` returns when all is well again.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from dmp_stack.child import Child, ChildSpec
from dmp_stack.ports import reserve_port
from dmp_stack.programs import valkey_program
from tests.conditions import wait_until

_MASTERS = 3


@dataclass(slots=True)
class Node:
    """A Valkey that listens on a port: for the tests, a client of it alone."""

    port: int
    child: Child
    client: redis.Redis
    directory: Path

    def says(self, *command: object) -> Any:  # noqa: ANN401 -- whatever it says
        """What it answers."""
        return self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    def info(self, section: str) -> dict[str, Any]:
        """A section of INFO."""
        return dict(self.client.info(section))

    def calls(self, command: str) -> int:
        """How many calls of a command it has run since it was started."""
        return int(self.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])

    @property
    def slots(self) -> list[tuple[int, int, int]]:
        """Who has which slots, as it sees that: the first, the last, the port of their node; in order."""
        return sorted((first, last, int(master[1])) for first, last, master, *_ in self.says("CLUSTER", "SLOTS"))

    @property
    def works(self) -> bool:
        """Whether it answers, and sees a cluster in which everything has its place."""
        with contextlib.suppress(redis.RedisError):
            return b"cluster_state:ok" in self.says("CLUSTER", "INFO")
        return False

    def answers(self) -> bool:
        """Whether it answers anything but that it is loading."""
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Valkey will run: its directory and its ports, for clients and for other nodes."""

    directory: Path
    port: int
    bus_port: int


@contextlib.contextmanager
def new_place(directory: Path) -> Iterator[Place]:
    """An empty directory, and ports that are kept for whoever listens on them while the block runs."""
    directory.mkdir(mode=0o700, parents=True)
    with contextlib.closing(reserve_port("127.0.0.1")) as port, contextlib.closing(reserve_port("127.0.0.1")) as bus:
        yield Place(directory, port.port, bus.port)


@contextlib.contextmanager
def running_node(
    place: Place, environment: dict[str, str], *options: str, arguments: Sequence[str] = (), password: str = ""
) -> Iterator[Node]:
    """A Valkey that has been started, and runs while the block does. options: `name value`. password: of clients."""
    settings = [
        f"port {place.port}",
        "bind 127.0.0.1",
        f"dir {place.directory}",
        "save ''",
        "repl-diskless-sync-delay 0",
    ]
    settings += options
    settings += [f"requirepass {password}", f"masterauth {password}"] if password else []
    (place.directory / "valkey.conf").write_text("\n".join(settings) + "\n")
    child = Child(
        ChildSpec(
            name=f"valkey {place.port}",
            argv=(str(valkey_program()), str(place.directory / "valkey.conf"), *arguments),
            environment=environment,
            log_path=place.directory / "log",
        ),
        report=print,
    )
    child.start()
    try:
        with redis.Redis(port=place.port, password=password or None, socket_timeout=5) as client:
            yield Node(place.port, child, client, place.directory)
    finally:
        child.close(5)


@dataclass(slots=True)
class RunningCluster:
    """The nodes, in the order in which they were started: masters at first, then their replicas."""

    nodes: list[Node]

    @property
    def url(self) -> str:
        """As DMP_REDIS_URL names it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:_MASTERS])

    @property
    def masters(self) -> list[Node]:
        """The nodes that have slots now, in the order of these."""
        ports = dict.fromkeys(port for _, _, port in self._up().slots)
        return [node for port in ports for node in self.nodes if node.port == port]

    def owner(self, slot: int) -> Node:
        """The node that has a slot."""
        for first, last, port in self._up().slots:
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody has slot {slot}")

    def replica(self, master: Node) -> Node:
        """The replica of a master."""
        for node in self.nodes:
            if node is not master and node.answers():
                replication = node.info("replication")
                if replication["role"] == "slave" and replication["master_port"] == master.port:
                    return node
        raise AssertionError(f"{master.child.name} has no replica")

    def kill(self, node: Node) -> None:
        """Ends a node as `kill -9` does, with all its data; it stays away until `whole`."""
        node.child.stop(5, number=signal.SIGKILL)
        (node.directory / "dump.rdb").unlink(missing_ok=True)

    def take_over(self, replica: Node) -> None:
        """Makes a replica a master now, whoever agrees: what an election leads to, without its wait."""
        replica.says("CLUSTER", "FAILOVER", "TAKEOVER")
        wait_until(lambda: replica.info("replication")["role"] == "master", "a new master")

    @contextlib.contextmanager
    def moving(self, slot: int) -> Iterator[tuple[Node, Node]]:
        """A slot that is half moved while the block runs: its old and its new node. At the end it is moved."""
        old = self.owner(slot)
        new = next(node for node in self.masters if node is not old)
        old_id, new_id = (node.says("CLUSTER", "MYID") for node in (old, new))
        new.says("CLUSTER", "SETSLOT", slot, "IMPORTING", old_id)
        old.says("CLUSTER", "SETSLOT", slot, "MIGRATING", new_id)
        try:
            yield old, new
        finally:
            while keys := old.says("CLUSTER", "GETKEYSINSLOT", slot, 1000):
                old.says("MIGRATE", "127.0.0.1", new.port, "", 0, 5000, "REPLACE", "KEYS", *keys)
            for node in (new, old):
                node.says("CLUSTER", "SETSLOT", slot, "NODE", new_id)

    def empty(self) -> None:
        """Deletes all keys and scripts, and forgets what was called."""
        for node in self.masters:
            node.says("FLUSHALL")
            node.says("SCRIPT", "FLUSH")
            node.says("CONFIG", "RESETSTAT")

    def whole(self) -> None:
        """Starts what is away and returns when all nodes agree on who has which slots, and replicas follow these."""
        for node in self.nodes:
            node.child.resume()
            node.child.start()
        wait_until(self._is_whole, "a whole cluster")

    def _is_whole(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            views = {tuple(node.slots) for node in self.nodes}
            if len(views) != 1 or not all(node.works for node in self.nodes):
                return False
            (slots,) = views
            if sum(last - first + 1 for first, last, _ in slots) != REDIS_CLUSTER_HASH_SLOTS:
                return False
            masters = {port for _, _, port in slots}
            return all(_follows(node.info("replication"), node.port in masters) for node in self.nodes)
        return False

    def _up(self) -> Node:
        return next(node for node in self.nodes if node.child.pid is not None and node.answers())


def _follows(replication: dict[str, Any], is_master: bool) -> bool:
    """Whether a node is what others say it is, and its replica, or its master, is with it."""
    if is_master:
        return bool(replication["role"] == "master" and replication.get("slave0", {}).get("state") == "online")
    return bool(replication["role"] == "slave" and replication["master_link_status"] == "up")


_OF_A_CLUSTER = (
    "cluster-enabled yes",
    "cluster-node-timeout 15000",  # longer than a busy machine holds a node up: no node takes over by itself
    "cluster-replica-validity-factor 0",
    "repl-ping-replica-period 1",
)


@contextlib.contextmanager
def running_cluster(
    directory: Path, environment: dict[str, str], *options: str, masters: int, replicas: bool = False
) -> Iterator[RunningCluster]:
    """A cluster while the block runs. options: `name value`, of every node."""
    with contextlib.ExitStack() as stack:
        number = masters * (2 if replicas else 1)
        places = [stack.enter_context(new_place(directory / f"node-{index}")) for index in range(number)]
        nodes = []
        for index, place in enumerate(places):
            # As it would be after everybody has met everybody, which takes ten seconds.
            (place.directory / "nodes.conf").write_text(_known_nodes(places, masters, myself=index))
            bus = f"cluster-port {place.bus_port}"
            nodes.append(stack.enter_context(running_node(place, environment, *_OF_A_CLUSTER, bus, *options)))
        cluster = RunningCluster(nodes)
        wait_until(lambda: all(node.works for node in nodes), "a cluster that works")
        if replicas:
            cluster.whole()
        yield cluster


def _known_nodes(places: Sequence[Place], masters: int, *, myself: int) -> str:
    """What a node keeps of a cluster: each node's id, place, role, master and slots."""
    lines = []
    width = REDIS_CLUSTER_HASH_SLOTS // masters
    for index, place in enumerate(places):
        last = REDIS_CLUSTER_HASH_SLOTS - 1 if index == masters - 1 else (index + 1) * width - 1
        role, slots = ("master", f" {index * width}-{last}") if index < masters else ("slave", "")
        master = f"{index - masters + 1:040x}" if role == "slave" else "-"
        me = "myself," if index == myself else ""
        where = f"127.0.0.1:{place.port}@{place.bus_port}"
        lines.append(f"{index + 1:040x} {where} {me}{role} {master} 0 0 {index + 1} connected{slots}")
    return "\n".join([*lines, f"vars currentEpoch {len(places)} lastVoteEpoch 0", ""])


@pytest.fixture(scope="session")
def session_cluster(server_directory: Path, server_environment: dict[str, str]) -> Iterator[RunningCluster]:
    """One cluster for the whole session."""
    with running_cluster(server_directory / "cluster", server_environment, masters=_MASTERS, replicas=True) as cluster:
        yield cluster


@pytest.fixture
def redis_cluster(session_cluster: RunningCluster) -> Iterator[RunningCluster]:
    """The session's cluster, whole and empty; whole again at the end."""
    session_cluster.empty()
    yield session_cluster
    session_cluster.whole()
