"""What a server's databases and its Redis cost it: waiting, use, failures."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Final

from dmp_chassis.metrics import FAST_SECONDS, OTHER, Metrics, counter, gauge, histogram

_DEPENDENCIES: Final = ("postgres", "redis")
_POOLS: Final = {"pool": ("main", "batches", "delivery", "audit", OTHER)}

DATABASE_WAIT: Final = histogram(
    "dmp_database_connection_wait_seconds",
    "How long a transaction waited for a connection that answers its BEGIN; failures included.",
    unit="seconds",
    labels=_POOLS,
)
DATABASE_IN_USE: Final = gauge(
    "dmp_database_connections_in_use", "Connections that a transaction has now.", unit="connections", labels=_POOLS
)
DATABASE_MOST: Final = gauge(
    "dmp_database_connections_limit", "Connections that the pool may have.", unit="connections", labels=_POOLS
)
DATABASE_ERRORS: Final = counter(
    "dmp_database_errors_total",
    "Failures of the database: no connection in time, or a statement or commit that failed. Broken unique keys count.",
    unit="errors",
    labels={**_POOLS, "stage": ("connect", "statement")},
)
REDIS_CALLS: Final = histogram(
    "dmp_redis_call_duration_seconds",
    "How long Redis took to answer a command or a script; `failed`: no answer, an error, or given up. No pipelines.",
    unit="seconds",
    labels={
        "command": ("EVALSHA", "MGET", "PING", OTHER),
        "outcome": ("answered", "failed"),
    },
    buckets=FAST_SECONDS[:10],
)
DEPENDENCY_UP: Final = gauge(
    "dmp_dependency_up",
    "1 while what the server depends on answers; 0 after two failed looks, one a second.",
    unit="boolean",
    labels={"dependency": _DEPENDENCIES},
)
OF_DATABASE: Final = (DATABASE_WAIT, DATABASE_IN_USE, DATABASE_MOST, DATABASE_ERRORS)
OF_REDIS: Final = (REDIS_CALLS,)
OF_HEALTH: Final = (DEPENDENCY_UP,)


class PoolMetrics:
    """The figures of one pool of connections."""

    def __init__(self, metrics: Metrics, pool: str, *, limit: int, in_use: Callable[[], int]) -> None:
        self._metrics = metrics
        self._pool = pool
        metrics.declare(*OF_DATABASE)
        metrics.set(DATABASE_MOST, limit, pool)
        metrics.watch(DATABASE_IN_USE, in_use, pool)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Measures the wait for a connection. One that is given up by its caller is no failure of the database."""
        started = time.monotonic()
        try:
            yield
        except Exception:
            self._metrics.add(DATABASE_ERRORS, 1, self._pool, "connect")
            raise
        finally:
            self._metrics.observe(DATABASE_WAIT, time.monotonic() - started, self._pool)

    def failed(self) -> None:
        """Counts a statement or a commit that failed."""
        self._metrics.add(DATABASE_ERRORS, 1, self._pool, "statement")


def watch_dependencies(metrics: Metrics, names: Collection[str], is_up: Callable[[str], bool]) -> None:
    """Shows which of these a server can reach. Names of anything but stores are left out."""
    for name in names:
        if name in _DEPENDENCIES:
            metrics.watch(DEPENDENCY_UP, partial(is_up, name), name)
