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
    commit_group: Any = importlib.import_module("dmp_ingest.commit_group")
    group_commit: Any = importlib.import_module("dmp_ingest.group_commit")

    store = commit_group._store

    async def crashing_store(missing: Any, **rest: Any) -> Any:
        unlucky = random.random() < 1 / 12
        if crash == "claimed" and unlucky:
            os._exit(1)
        if crash == "done_first":
            await _claims.settle([e.key for e in missing], [e.fingerprint for e in missing], applied=True)
            if unlucky:
                os._exit(1)
        stored = await store(missing, **rest)
        if crash == "committed" and unlucky:
            os._exit(1)
        return stored

    async def remembering_commit(events: Any, *, claims: Any, **rest: Any) -> Any:
        global _claims
        _claims = claims
        return await commit(events, claims=claims, **rest)

    commit = commit_group.commit_group
    commit_group._store = crashing_store
    group_commit.commit_group = remembering_commit


_claims: Any = None
if os.environ.get("DMP_CHAOS_CRASH") and os.environ.get("DMP_INGEST_LISTEN"):
    _break_ingest(os.environ["DMP_CHAOS_CRASH"])
