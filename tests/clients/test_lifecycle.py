"""What a client opens is closed with it, whichever thread is doing what at that moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from dmp_client import MEMORY, AsyncDmpClient, ClosedError, DmpClient
from dmp_client.event_id import new_event_id
from tests.clients.interposed import Interposed
from tests.conditions import wait_until

Make = Callable[..., DmpClient]
AssertCounted = Callable[[str, int], None]


def connections(url: str) -> int:
    """How many connections this process has to an address."""
    port = urlsplit(url).port
    return sum(bool(one.raddr) and one.raddr.port == port for one in psutil.Process().net_connections("tcp"))


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Asserts that as many descriptors and threads are there after the block as before."""

    def opened() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    descriptors, threads = opened()
    yield
    wait_until(
        lambda: opened()[0] <= descriptors and opened()[1] <= threads,
        f"at most {descriptors} descriptors and {threads} threads",
    )


def test_a_question_after_the_end_is_refused_and_opens_nothing(make_client: Make, between: Interposed) -> None:
    client = make_client(between.url)
    client.system_health()
    assert connections(between.url) == 1
    client.close()
    with pytest.raises(ClosedError):
        client.system_health()
    assert connections(between.url) == 0


async def test_a_question_after_the_end_is_refused_on_asyncio_too(between: Interposed) -> None:
    async with AsyncDmpClient(between.url, spool=MEMORY) as client:
        await client.system_health()
    with pytest.raises(ClosedError):
        await client.system_health()
    assert connections(between.url) == 0


def test_a_question_under_way_is_answered_though_the_client_is_closed(make_client: Make, between: Interposed) -> None:
    between.open.clear()
    client = make_client(between.url)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(client.system_health) for _ in range(4)]
        wait_until(lambda: len(between.seen) == 4, "four questions are under way")
        client.close()
        between.open.set()
        assert all(one.result().ok for one in asked)
    assert connections(between.url) == 0


def test_threads_that_ask_first_at_one_moment_share_their_connections(make_client: Make, between: Interposed) -> None:
    for _ in range(20):
        client = make_client(between.url)
        together = threading.Barrier(4)

        def ask(client: DmpClient = client, together: threading.Barrier = together) -> None:
            together.wait()
            client.system_health()

        with ThreadPoolExecutor(4) as threads:
            for asked in [threads.submit(ask) for _ in range(4)]:
                asked.result()
        client.close()
        assert connections(between.url) == 0


def test_a_client_that_cannot_begin_leaves_nothing_open(tmp_path: Path) -> None:
    with nothing_left_open():
        client = DmpClient(
            "http://127.0.0.1:9", proxy="carrier-pigeon://roof", spool=tmp_path / "a.spool", source="test"
        )
        with pytest.raises(ValueError, match="carrier-pigeon"):
            client.track("click", campaign_id="c")
        client.close()


def test_clients_closed_while_others_track_leave_nothing_open(gateway_url: str, campaign: str) -> None:
    with nothing_left_open():
        for _ in range(40):
            client = DmpClient(gateway_url, spool=MEMORY, source="test")
            with ThreadPoolExecutor(2) as threads:
                tracked = threads.submit(client.track, "click", campaign_id=campaign)
                closed = [threads.submit(client.close, 5.0), threads.submit(client.close, 5.0)]
            assert tracked.exception() is None or isinstance(tracked.exception(), ClosedError)
            assert all(one.result() in (True, False) for one in closed)
            client.close()


def test_a_thousand_clients_leave_no_thread_and_no_descriptor(
    gateway_url: str, campaign: str, assert_counted: AssertCounted
) -> None:
    with nothing_left_open():
        for number in range(1000):
            with DmpClient(gateway_url, spool=MEMORY, source="test") as client:
                if number % 20 == 0:
                    client.track("click", campaign_id=campaign)
                else:
                    client.resume()
    assert_counted(campaign, 50)


def test_ids_of_a_child_are_not_those_of_its_parent() -> None:
    new_event_id(1)
    reading, writing = os.pipe()
    child = os.fork()
    ids = [new_event_id(1) for _ in range(300)]
    if child == 0:
        os.write(writing, "\n".join(ids).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as theirs:
        others = theirs.read().split("\n")
    assert os.waitpid(child, 0)[1] == 0
    assert len(set(ids) | set(others)) == 600
