"""The stack's Valkey keeps its data across an orderly restart and a death."""

from __future__ import annotations

import redis

from dmp_stack.valkey import ValkeyServer
from tests.conditions import wait_until
from tests.stack.conftest import Keep


def test_what_it_holds_survives_a_restart(persistent_valkey: ValkeyServer, keep: Keep) -> None:
    persistent_valkey.prepare()
    child = keep(persistent_valkey.child_spec())
    persistent_valkey.wait_ready(child)
    with redis.Redis.from_url(persistent_valkey.url) as client:
        client.xadd("events", {"kind": "ProfileCreated"})
        assert child.stop(5)
        child.start()
        persistent_valkey.wait_ready(child)
        assert client.xlen("events") == 1


def test_it_comes_back_after_its_death(persistent_valkey: ValkeyServer, keep: Keep) -> None:
    persistent_valkey.prepare()
    child = keep(persistent_valkey.child_spec())
    persistent_valkey.wait_ready(child)
    child.kill()
    wait_until(lambda: child.starts > 1, "restarted")
    persistent_valkey.wait_ready(child)


def test_it_listens_on_no_network(persistent_valkey: ValkeyServer, keep: Keep) -> None:
    persistent_valkey.prepare()
    child = keep(persistent_valkey.child_spec())
    persistent_valkey.wait_ready(child)
    with redis.Redis.from_url(persistent_valkey.url) as client:
        assert client.config_get("port") == {"port": "0"}
