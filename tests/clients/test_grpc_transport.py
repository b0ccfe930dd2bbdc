"""Events over gRPC: the same verdicts as over JSON, and a channel of its own for each process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from dmp_client import DmpClient, Verdict, VerdictKind
from dmp_stack.programs import repository_root

Make = Callable[..., DmpClient]
AssertCounted = Callable[[str, int], None]


def test_events_are_counted_and_their_verdicts_told(
    make_client: Make, gateway_url: str, campaign: str, assert_counted: AssertCounted, verdicts: list[Verdict]
) -> None:
    client = make_client(gateway_url, transport="grpc")
    accepted = [client.track("click", campaign_id=campaign) for _ in range(700)]
    client.track("click", campaign_id=campaign, event_id=accepted[0], occurred_at="2026-01-01T00:00:00Z")
    rejected = client.track("nonsense", campaign_id=campaign)
    assert client.flush(20)
    assert_counted(campaign, 700)
    assert [v.kind for v in verdicts if v.event_id == accepted[0]] == [VerdictKind.ACCEPTED, VerdictKind.CONFLICT]
    assert next(v for v in verdicts if v.event_id == rejected).errors["type"]
    assert client.health().failures == 0


def test_a_request_in_which_nothing_is_valid_is_answered(
    make_client: Make, gateway_url: str, verdicts: list[Verdict]
) -> None:
    client = make_client(gateway_url, transport="grpc")
    client.track("nonsense", campaign_id="c")
    assert client.flush(20)
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.REJECTED]


def test_a_gateway_that_is_away_costs_time_and_no_event(make_client: Make) -> None:
    client = make_client("http://127.0.0.1:9", transport="grpc")
    client.track("click", campaign_id="c")
    assert not client.flush(1)
    assert client.health().waiting == 1
    assert "UNAVAILABLE" in client.health().last_error


FORKING = """
import os, sys
from dmp_client import DmpClient
url, campaign, spool = sys.argv[1:]
client = DmpClient(url, transport="grpc", source="fork", spool=spool)
client.track("click", campaign_id=campaign)
assert client.flush(20)
child = os.fork()
for _ in range(5):
    client.track("click", campaign_id=campaign)
done = client.flush(20)
client.close()
if child == 0:
    os._exit(0 if done else 1)
assert done
assert os.waitpid(child, 0)[1] == 0
"""


def test_parent_and_child_of_a_fork_have_channels_of_their_own(
    gateway_url: str, campaign: str, assert_counted: AssertCounted, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING, gateway_url, campaign, str(tmp_path / "fork.spool")],
        env={**os.environ, "PYTHONPATH": str(repository_root() / "clients" / "python" / "src")},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert_counted(campaign, 11)
