"""Breaks ingest on purpose, in the processes of one test only: they have this folder on their PYTHONPATH.

DMP_CHAOS_CRASH=claimed     the process dies after it has claimed ids and before it commits
DMP_CHAOS_CRASH=committed   the process dies after the commit and before anybody hears of it
DMP_CHAOS_CRASH=done_first  the wrong order: ids are marked as stored before the commit, and the process dies in between

Every twelfth group with something new dies this way.
"""

# ruff: noqa: ANN401  # it stands in front of functions whatever their signature

from __future__ import annotations

import importlib
import os
import random
from typing import Any


def _break_ingest(crash: str) -> None:
    store_group: Any = importlib.import_module("dmp_ingest.store_group")
    commit_groups: Any = importlib.import_module("dmp_ingest.commit_groups")

    append = store_group._append

    async def crashing_append(missing: Any, *args: Any, **rest: Any) -> Any:
        unlucky = bool(missing) and random.random() < 1 / 12
        if crash == "claimed" and unlucky:
            os._exit(1)
        if crash == "done_first":
            keys, fingerprints = [e.key for e in missing], [e.fingerprint for e in missing]
            epoch = await _stores.epoch.known()
            await _stores.claims.settle(keys, fingerprints, applied=True, epoch=epoch)
            if unlucky:
                os._exit(1)
        appended = await append(missing, *args, **rest)
        if crash == "committed" and unlucky:
            os._exit(1)
        return appended

    async def remembering_store(events: Any, *, stores: Any, **rest: Any) -> Any:
        global _stores
        _stores = stores
        return await store(events, stores=stores, **rest)

    store = store_group.store_group
    store_group._append = crashing_append
    commit_groups.store_group = remembering_store


_stores: Any = None
if os.environ.get("DMP_CHAOS_CRASH") and os.environ.get("DMP_INGEST_LISTEN"):
    _break_ingest(os.environ["DMP_CHAOS_CRASH"])
