"""For each line of stdin, forks a process that tracks events until it is killed; then ends the line on stdout.

The line holds the process's id, and a dot for each event that was tracked. An event's id says its place.
Arguments: the gateway's address, a spool, a campaign, a transport.
"""

from __future__ import annotations

import os
import sys

from dmp_client import DeliveryOptions, DmpClient, RetryPolicy

url, spool, campaign, transport = sys.argv[1:]


def track_until_killed(line: str) -> None:
    """Never returns."""
    os.write(1, f"{os.getpid()} ".encode())
    dmp = DmpClient(
        url,
        spool=spool,
        source="test",
        transport=transport,
        delivery=DeliveryOptions(max_events=20, linger_seconds=0.002),
        retry=RetryPolicy(first_seconds=0.02, most_seconds=0.1),
    )
    number = 0
    while True:
        dmp.track("click", campaign_id=campaign, event_id=f"{campaign}-{line}-{number}")
        os.write(1, b".")
        number += 1


for asked in sys.stdin:
    child = os.fork()
    if child == 0:
        track_until_killed(asked.strip())
    os.waitpid(child, 0)
    os.write(1, b"\n")
