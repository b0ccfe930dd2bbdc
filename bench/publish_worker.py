"""`publish_worker.py TRANSPORT EVENTS URL CAMPAIGN`: sends events with the Python client and prints, as JSON, its cost.

Who tracks is one thread and those that send are others, so their time is that of the process without the first.
"""

from __future__ import annotations

import json
import sys
import time

from dmp_client import MEMORY, DmpClient

_PROPERTIES = {"page": "/shoes", "price": 59.9, "position": 3}


def main() -> None:
    """Tracks all events, waits until they are answered."""
    transport, events, url, campaign = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    client = DmpClient(url, source="bench", transport=transport, spool=MEMORY, spool_bytes=1 << 30)
    client.track("click", campaign_id=campaign, user_id="u_1")
    client.flush(30)  # connections, imports
    begun, used, mine = time.perf_counter(), time.process_time(), time.thread_time()
    for number in range(events):
        client.track("click", campaign_id=campaign, user_id=f"u_{number % 1000}", metadata=_PROPERTIES)
    answered = client.flush(200)
    seconds = time.perf_counter() - begun
    sending = (time.process_time() - used) - (time.thread_time() - mine)
    accepted = client.health().accepted - 1 if answered else 0
    client.close()
    print(json.dumps({"seconds": seconds, "client": sending, "accepted": accepted}), flush=True)


main()
