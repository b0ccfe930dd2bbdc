"""The server between client and gateway leaves nothing behind: what it left open would fail a later test."""

from __future__ import annotations

import threading

from dmp_client import MEMORY, DmpClient
from tests.clients.interposed import Interposed
from tests.conditions import wait_until


def test_closing_it_ends_every_request_that_it_passes_on(gateway_url: str, campaign: str) -> None:
    others = set(threading.enumerate())
    between = Interposed(gateway_url)
    between.open.clear()
    client = DmpClient(between.url, spool=MEMORY, source="test")
    client.track("click", campaign_id=campaign)
    wait_until(lambda: len(between.seen) == 1, "a request is about to be passed on")
    serving = [one for one in threading.enumerate() if one not in others and one.name != "dmp-delivery"]
    between.close()
    assert not [one for one in serving if one.is_alive()]
    assert between.answered == 1
    client.close(5)
