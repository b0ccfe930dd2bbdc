"""Tells whether the whole system can do its work. Ingest is asked because it is the one service that talks to all
others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from dmp_ingest.domain.errors import UnhealthyError

_TIMEOUT_SECONDS: Final = 3.0
"""A service that is busy for a second still works: `/healthz` shall not take a system out of use for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The health of a system that can do its work."""

    degraded: list[str]
    """What is missing, although the work goes on."""


async def check_health(
    *, needed: Mapping[str, Callable[[], Awaitable[None]]], helpful: Mapping[str, Callable[[], Awaitable[None]]]
) -> Health:
    """Asks everything at once. Raises UnhealthyError if something needed does not answer in three
    seconds."""
    names = [*needed, *helpful]
    answers = await asyncio.gather(*(_answers(check) for check in (*needed.values(), *helpful.values())))
    missing = [name for name, answered in zip(names, answers, strict=True) if not answered]
    if stopped := [name for name in missing if name in needed]:
        raise UnhealthyError(missing=stopped)
    return Health(degraded=missing)


async def _answers(check: Callable[[], Awaitable[None]]) -> bool:
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await check()
    except Exception:  # noqa: BLE001  # any failure of a check means the same
        return False
    return True
