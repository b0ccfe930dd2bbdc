"""Claims on event ids in Redis: a quick answer to the question whether an event has been seen. They save work; the log
decides.

Keys in Redis (all owned by ingest, all kept for the configured window):

`dmp:{claim}:` + the log's 8-byte epoch + the event's 16-byte key, with one of these values:
- `p` + the token of a group + fingerprint: this group has claimed the id.
- `d` + fingerprint: the log has the event.
- `a` + fingerprint: the log has the event, and identity and stats have applied it.

`dmp:{claim}:group:` + the token of a group, with the value `d` or `a`: the same for all ids that the group has claimed.
While this key is absent, nothing is known of these ids: the group is being stored, or was lost with its process.

The epoch (`dmp_ingest.adapters.log_epoch`) is another one once the log may have lost events, by a restore for instance.
What was noted in another epoch is never found again, and expires (ADR 0013).

If all keys are lost, or Redis is away, ingest asks PostgreSQL about every event and is slower. So claims are neither
replicated nor written to an append-only file, which would double their cost (ADR 0005).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from dmp_chassis.breaker import Breaker

_LOG: Final = logging.getLogger(__name__)
_PREFIX: Final = b"dmp:{claim}:"
_GROUP_PREFIX: Final = b"dmp:{claim}:group:"
_TIMEOUT_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 1.0
_STORED_LENGTH: Final = 9
_CLAIMED_LENGTH: Final = 17
_STORED_KINDS: Final = (b"d", b"a")

# ARGV of the first two ends with the fingerprints, 8 bytes each, in the order of the keys.
# Most events are new: MSETEX claims 32 of them at once if all are, at 0.6 of the cost. Where one was seen, or the
# server does not know the command (before Redis 8.4 and Valkey 9.1), each is claimed by itself.
_CLAIM: Final = """
redis.set_repl(redis.REPL_NONE)
local mine, window, fingerprints, seen = 'p' .. ARGV[1], ARGV[2], ARGV[3], {}
for first = 1, #KEYS, 32 do
  local last, pairs = math.min(first + 31, #KEYS), {}
  for i = first, last do
    pairs[#pairs + 1] = KEYS[i]
    pairs[#pairs + 1] = mine .. string.sub(fingerprints, i * 8 - 7, i * 8)
  end
  local values = #pairs
  pairs[values + 1], pairs[values + 2], pairs[values + 3] = 'NX', 'PX', window
  if redis.pcall('MSETEX', last - first + 1, unpack(pairs)) ~= 1 then
    for i = first, last do
      local value = redis.call('SET', KEYS[i], pairs[(i - first) * 2 + 2], 'NX', 'GET', 'PX', window)
      if value then
        seen[#seen + 1] = i - 1
        seen[#seen + 1] = value
      end
    end
  end
end
return seen
"""
_SETTLE: Final = """
redis.set_repl(redis.REPL_NONE)
local kind, window, fingerprints = ARGV[1], ARGV[2], ARGV[3]
for i, key in ipairs(KEYS) do
  redis.call('SET', key, kind .. string.sub(fingerprints, i * 8 - 7, i * 8), 'PX', window)
end
"""
_SETTLE_GROUP: Final = """
redis.set_repl(redis.REPL_NONE)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
"""
_RELEASE: Final = """
redis.set_repl(redis.REPL_NONE)
local mine = 'p' .. ARGV[1]
for _, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  if value and string.sub(value, 1, #mine) == mine then redis.call('DEL', key) end
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What Redis knows of some events."""

    stored: dict[bytes, int] = field(default_factory=dict)
    """The events that the log is known to have: key and fingerprint."""
    in_doubt: list[bytes] = field(default_factory=list)
    """Those of them that identity and stats may not have applied yet."""
    all_decided: bool = True
    """Whether the caller holds the claim on every other event. If not, another group may be storing some of them, or
    Redis cannot tell: the log must be asked."""


class Claims:
    """The claims of one replica.

    If Redis fails or is slow it is not asked for a second; until then nothing is decided.
    """

    def __init__(self, redis: Redis, *, window_seconds: float) -> None:
        self._window_ms = str(round(window_seconds * 1000)).encode()
        self._claim = redis.register_script(_CLAIM)
        self._settle = redis.register_script(_SETTLE)
        self._release = redis.register_script(_RELEASE)
        self._settle_group = redis.register_script(_SETTLE_GROUP)
        self._redis = redis
        self._breaker = Breaker(pause_seconds=_PAUSE_SECONDS)

    async def claim(self, keys: Sequence[bytes], fingerprints: Sequence[int], *, token: bytes, epoch: bytes) -> Claimed:
        """Claims these events in one round trip, two if some were seen before. Never raises.

        What it says of stored events holds if the log is still in this epoch: ask after the call, not before.
        """
        names = _names(keys, epoch)
        seen = await self._call(self._claim, names, [token, self._window_ms, _packed(fingerprints)])
        if seen is None:
            return Claimed(all_decided=False)
        if not seen:
            return Claimed()
        kinds = await self._kinds_of_groups({value[1:9] for value in seen[1::2] if len(value) == _CLAIMED_LENGTH})
        stored: dict[bytes, int] = {}
        in_doubt: list[bytes] = []
        all_decided = True
        for position, value in zip(seen[::2], seen[1::2], strict=True):
            kind = value[:1]
            if len(value) == _CLAIMED_LENGTH:
                kind = kinds.get(value[1:9])
            elif len(value) != _STORED_LENGTH:
                kind = None
            if kind not in _STORED_KINDS:
                all_decided = False
                continue
            key = keys[position]
            stored[key] = int.from_bytes(value[-8:], "big", signed=True)
            if kind == b"d":
                in_doubt.append(key)
        return Claimed(stored=stored, in_doubt=in_doubt, all_decided=all_decided)

    async def settle_group(self, token: bytes, *, applied: bool) -> None:
        """Notes that the log has every event that was claimed with this token. Never raises.

        Call it after the commit, never before.
        """
        await self._call(self._settle_group, [_GROUP_PREFIX + token], [b"a" if applied else b"d", self._window_ms])

    async def settle(self, keys: Sequence[bytes], fingerprints: Sequence[int], *, applied: bool, epoch: bytes) -> None:
        """Notes that the log has these events, whoever claimed them. Never raises.

        Call it after their commit, never before, with the epoch that was known before it.
        """
        if keys:
            arguments = [b"a" if applied else b"d", self._window_ms, _packed(fingerprints)]
            await self._call(self._settle, _names(keys, epoch), arguments)

    async def release(self, keys: Sequence[bytes], *, token: bytes, epoch: bytes) -> None:
        """Gives up the claims that this token still holds on these events. Never raises."""
        await self._call(self._release, _names(keys, epoch), [token])

    async def _kinds_of_groups(self, tokens: Collection[bytes]) -> dict[bytes, bytes | None]:
        """What Redis has for the groups with these tokens: `d`, `a`, or None if it has nothing."""
        if not tokens:
            return {}
        ordered = list(tokens)
        kinds = await self._guarded(self._redis.mget([_GROUP_PREFIX + token for token in ordered]))
        return dict(zip(ordered, kinds, strict=True)) if kinds else {}

    async def _call(self, script: AsyncScript, names: Sequence[bytes], arguments: Sequence[bytes]) -> list[Any] | None:
        if self._breaker.is_open:
            return None
        return await self._guarded(script(keys=names, args=arguments))

    async def _guarded(self, call: Awaitable[list[Any] | None]) -> list[Any] | None:
        """The answer to a call. If it does not come in time: None, and Redis is not asked for a while."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                answer = await call
        except (RedisError, TimeoutError, OSError) as error:
            # A call that was under way may still succeed: that does not end the pause.
            self._breaker.failed()
            _LOG.warning("Redis is of no help at the moment", extra={"error": type(error).__name__})
            return None
        return answer or []


def _names(keys: Sequence[bytes], epoch: bytes) -> list[bytes]:
    """The names in Redis of the claims on these events."""
    prefix = _PREFIX + epoch
    return [prefix + key for key in keys]


def _packed(fingerprints: Sequence[int]) -> bytes:
    return b"".join([fingerprint.to_bytes(8, "big", signed=True) for fingerprint in fingerprints])
