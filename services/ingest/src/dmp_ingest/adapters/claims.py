"""Claims on event ids in Redis: the quick answer to "has this event been seen?". A hint that saves work, never the
truth.

Keys: `dmp:{claim}:` and the event's 16-byte key, owned by ingest. Two kinds of values:
`p` + owner token + fingerprint, for 30 seconds: somebody is storing this event; says nothing about the outcome.
`d` or `a` + fingerprint, for the configured window: the log has the event (`a`: and everybody has applied it).
If all of it is lost, or Redis is away, ingest asks PostgreSQL about every event and is slower for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

_LOG: Final = logging.getLogger(__name__)
_PREFIX: Final = b"dmp:{claim}:"
_PENDING_MS: Final = 30_000
_TIMEOUT_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 1.0

_CLAIM: Final = """
local seen = {}
for i, key in ipairs(KEYS) do
  seen[i] = redis.call('SET', key, 'p' .. ARGV[1] .. ARGV[i + 2], 'NX', 'GET', 'PX', ARGV[2]) or ''
end
return seen
"""
_SETTLE: Final = """
for i, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[2] .. ARGV[i + 2], 'PX', ARGV[1])
end
"""
_RELEASE: Final = """
local mine = 'p' .. ARGV[1]
for _, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  if value and string.sub(value, 1, #mine) == mine then redis.call('DEL', key) end
end
"""


class ClaimState(Enum):
    """What Redis knows of an event."""

    WON = "nobody has been seen storing it: the caller now holds the claim"
    UNDECIDED = "somebody else is storing it, or Redis cannot tell: ask the log"
    STORED = "the log has it"
    APPLIED = "the log has it, and identity and stats have applied it"


@dataclass(frozen=True, slots=True)
class Claim:
    """The state of one event; `fingerprint` is that of the stored event if it is known to be stored, else 0."""

    state: ClaimState
    fingerprint: int = 0


_WON: Final = Claim(ClaimState.WON)
_UNDECIDED: Final = Claim(ClaimState.UNDECIDED)


class Claims:
    """Claims of one replica. Redis that fails or is slow is left alone for a second; meanwhile everything is
    undecided."""

    def __init__(self, redis: Redis, *, window_seconds: float) -> None:
        self._window_ms = str(round(window_seconds * 1000))
        self._claim = redis.register_script(_CLAIM)
        self._settle = redis.register_script(_SETTLE)
        self._release = redis.register_script(_RELEASE)
        self._away_until = 0.0

    async def claim(self, keys: Sequence[bytes], fingerprints: Sequence[int], *, token: bytes) -> list[Claim]:
        """Claims these events in one round trip; answers in their order. Never raises."""
        arguments: list[bytes | str] = [token, str(_PENDING_MS), *map(_packed, fingerprints)]
        seen = await self._call(self._claim, keys, arguments)
        if seen is None:
            return [_UNDECIDED] * len(keys)
        return [_WON if not value else _read(value) for value in seen]

    async def settle(self, keys: Sequence[bytes], fingerprints: Sequence[int], *, applied: bool) -> None:
        """Notes that the log has these events. To be called after the commit, never before. Never raises."""
        if keys:
            await self._call(
                self._settle, keys, [self._window_ms, "a" if applied else "d", *map(_packed, fingerprints)]
            )

    async def release(self, keys: Sequence[bytes], *, token: bytes) -> None:
        """Gives up the claims that this token still holds on these events. Never raises."""
        await self._call(self._release, keys, [token])

    async def _call(
        self, script: AsyncScript, keys: Sequence[bytes], arguments: Sequence[bytes | str]
    ) -> list[bytes] | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                answer: list[bytes] | None = await script(keys=[_PREFIX + key for key in keys], args=arguments)
        except (RedisError, TimeoutError, OSError) as error:
            self._away_until = time.monotonic() + _PAUSE_SECONDS
            _LOG.warning("Redis is of no help at the moment", extra={"error": type(error).__name__})
            return None
        return answer or []


def _packed(fingerprint: int) -> bytes:
    return fingerprint.to_bytes(8, "big", signed=True)


def _read(value: bytes) -> Claim:
    kind = value[:1]
    if kind not in (b"d", b"a") or len(value) != 9:
        return _UNDECIDED
    state = ClaimState.APPLIED if kind == b"a" else ClaimState.STORED
    return Claim(state, int.from_bytes(value[1:], "big", signed=True))
