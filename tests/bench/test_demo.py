"""What `make demo` shows, on the real stack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from dmp_stack.demo import show
from dmp_stack.demo_client import DemoClient, DemoError
from dmp_stack.stack import Stack


@pytest.fixture
def client(stack: Stack) -> Iterator[DemoClient]:
    with DemoClient(stack.grpc_address) as client:
        yield client


def test_the_demo_shows_a_resolved_person_a_campaign_and_live_users(
    client: DemoClient, capsys: pytest.CaptureFixture[str]
) -> None:
    show(client, now=datetime.now(UTC))
    shown = capsys.readouterr().out
    totals = {name: int(count) for count, name in re.findall(r"(\d+) (accepted|duplicates|rejected)", shown)}
    assert totals["accepted"] > 3000
    assert totals["duplicates"] > 50
    assert 0 < totals["rejected"] < 50
    assert re.search(r"emails: \S+@example\.com", shown)
    kinds = set(re.findall(r"(emails|phones|wallet_addresses|user_ids): \S", shown))
    assert len(kinds) >= 2, "the person is known by strong identifiers of more than one kind"
    assert "exactly what was sent" in shown
    assert re.search(r"events_per_sec: (?!0\.0\b)\d+\.\d+", shown), "somebody is using the app right now"
    assert re.search(r"by_plan: .*\bfree [1-9]", shown)


def test_an_answer_that_should_not_be_ends_the_demo(client: DemoClient) -> None:
    with pytest.raises(DemoError, match="answered 404"):
        client.get("/users/user_0000000")
