"""The real gateway, and clients of it that are closed when the test ends."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from dmp_client import DeliveryOptions, DmpClient, RetryPolicy, Verdict
from dmp_stack.stack import Stack
from tests.clients.interposed import Interposed, interposed
from tests.clients.terminal import Shell, environment
from tests.clients.zygote import Zygote
from tests.conditions import wait_until

QUICK = RetryPolicy(first_seconds=0.02, most_seconds=0.2, circuit_seconds=0.2)


@pytest.fixture
def gateway_url(stack: Stack) -> str:
    """Where the gateway listens."""
    return stack.http_url.rstrip("/")


@pytest.fixture
def between(gateway_url: str) -> Iterator[Interposed]:
    """A server between client and gateway."""
    with interposed(gateway_url) as opened:
        yield opened


@pytest.fixture
def campaign() -> str:
    """A campaign that no other test uses."""
    return f"camp_{secrets.token_hex(6)}"


@pytest.fixture
def verdicts() -> list[Verdict]:
    """What the callback of `make_client` was told."""
    return []


@pytest.fixture
def make_client(tmp_path: Path, verdicts: list[Verdict]) -> Iterator[Callable[..., DmpClient]]:
    """Makes clients with a spool of the test's own and quick retries."""
    made: list[DmpClient] = []

    def make(url: str, **options: object) -> DmpClient:
        chosen: dict[str, Any] = {
            "spool": tmp_path / "events.spool",
            "source": "test",
            "retry": QUICK,
            "delivery": DeliveryOptions(linger_seconds=0.01),
            "on_verdict": verdicts.append,
            **options,
        }
        made.append(DmpClient(url, **chosen))
        return made[-1]

    yield make
    for client in made:
        client.close(0.1)


@pytest.fixture
def assert_counted(gateway_url: str) -> Callable[[str, int], None]:
    """Asserts that the gateway counts so many events of a campaign of today, as soon as all of them are applied.

    An event is durable when the client has its answer; it is counted then or, on a busy machine, soon after.
    """

    def count(campaign_id: str) -> int:
        now = datetime.now(UTC)
        query = {
            "campaign_id": campaign_id,
            "from": (now - timedelta(days=2)).isoformat(),
            "to": (now + timedelta(days=1)).isoformat(),
            "granularity": "day",
        }
        answer = httpx.get(f"{gateway_url}/stats", params=query, timeout=30.0, trust_env=False)
        assert answer.status_code == 200, answer.text
        return sum(point["events"] for point in answer.json()["series"])

    def check(campaign_id: str, events: int) -> None:
        wait_until(lambda: count(campaign_id) >= events, f"{events} events are counted")
        assert count(campaign_id) == events

    return check


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """A process that runs commands without starting Python for each."""
    directory = tmp_path_factory.mktemp("zygote")
    running = Zygote(directory, environment(directory, ""))
    yield running
    running.close()


@pytest.fixture
def shell(tmp_path: Path, gateway_url: str, zygote: Zygote) -> Shell:
    """`dmp` with a home of its own, for the running system."""
    home = tmp_path / "home"
    home.mkdir()
    return Shell(home, gateway_url, zygote)
