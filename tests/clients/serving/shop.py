"""A site as its servers load it: each request tracks an event, and loading may track one before the server forks.

It answers with the process's id. SHOP_URL, SHOP_SPOOL, SHOP_CAMPAIGN say where to; SHOP_EARLY=1 tracks while loading.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable

from dmp_client import DmpClient

logging.basicConfig()
CAMPAIGN = os.environ["SHOP_CAMPAIGN"]
dmp = DmpClient(os.environ["SHOP_URL"], spool=os.environ["SHOP_SPOOL"], source="shop")
if os.environ["SHOP_EARLY"] == "1":
    dmp.track("view", campaign_id=CAMPAIGN)


def application(
    environ: dict[str, object], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """WSGI."""
    dmp.track("click", campaign_id=CAMPAIGN)
    start_response("200 OK", [("content-type", "text/plain")])
    return [str(os.getpid()).encode()]
