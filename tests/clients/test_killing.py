"""`kill -9`, of the client and of the gateway: what was tracked is counted, and nothing is counted twice.

DMP_CHAOS_ROUNDS says how often, default 6; `make chaos` asks for more.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dmp_client import DmpClient, NotFoundError, Verdict, VerdictKind
from dmp_stack.programs import repository_root
from dmp_stack.stack import Stack

ROUNDS = int(os.environ.get("DMP_CHAOS_ROUNDS", "6"))
PROGRAM = Path(__file__).parent / "serving" / "killed.py"


@pytest.mark.parametrize("transport", ["json", "grpc"])
@pytest.mark.timeout(120 + 10 * ROUNDS)
def test_client_and_gateway_killed_in_turn(
    stack: Stack,
    gateway_url: str,
    campaign: str,
    assert_counted: Callable[[str, int], None],
    tmp_path: Path,
    transport: str,
) -> None:
    chance = random.Random(15)
    spool = tmp_path / "killed.spool"
    tracked: list[int] = []
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), gateway_url, str(spool), campaign, transport],
        env={**os.environ, "PYTHONPATH": str(repository_root() / "clients" / "python" / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(ROUNDS):
            print(number, file=process.stdin, flush=True)
            pid = ""
            while not pid.endswith(" "):
                pid += process.stdout.read(1)
            dots = process.stdout.read(chance.randrange(1, 300))
            if number % 2:
                stack.child("gateway").kill()
                dots += process.stdout.read(chance.randrange(1, 300))
            os.kill(int(pid), signal.SIGKILL)
            dots += process.stdout.readline()
            tracked.append(len(dots.strip()))
        process.stdin.close()
    verdicts: list[Verdict] = []
    with DmpClient(gateway_url, spool=spool, on_verdict=verdicts.append, transport=transport) as client:
        client.resume()
        assert client.flush(60)
        # The process may have died between keeping an event and saying so.
        unsaid = sum(is_known(client, f"{campaign}-{number}-{count}") for number, count in enumerate(tracked))
    assert {verdict.kind for verdict in verdicts} <= {VerdictKind.ACCEPTED, VerdictKind.DUPLICATE}
    assert_counted(campaign, sum(tracked) + unsaid)
    assert sum(tracked) > 100 * ROUNDS


def is_known(client: DmpClient, event_id: str) -> bool:
    """Whether the system has the event."""
    try:
        client.event(event_id)
    except NotFoundError:
        return False
    return True
