"""Claims on event ids in Redis: a quick answer to the question whether an event has been seen. They save work; the log
decides.

Keys in Redis (all owned by ingest, all kept for the configured window):

`dmp:{claim}:` + the log's 8-byte epoch + the event's 16-byte key, with one of these values:
- `p` + the token of a group + fingerprint: this group has claimed the id.
- `d` + fingerprint: the log has the event.
- `a` + fingerprint: the log has the event, and identity and stats have applied it.

`dmp:{claim}:group:` + the token of a group, with the value `d` or `a`: the same for all ids that the group has claimed.
While this key is absent, nothing is known of these ids: the group is being stored, or was lost with its process.

In a cluster there are 64 tags in the place of the one `{claim}` (`dmp_ingest.adapters.claim_tags`): an event's key says
under which one its claim stands, a group's token says it of the group. Each tag is asked by itself, all side by side.
What one tag does not say is not decided, whatever the others say (ADR 0018).

The epoch (`dmp_ingest.adapters.log_epoch`) is another one once the log may have lost events, by a restore for instance.
What was noted in another epoch is never found again, and expires (ADR 0013).

If all keys are lost, or Redis is away, ingest asks PostgreSQL about every event and is slower. So claims are neither
replicated nor written to an append-only file, which would double their cost (ADR 0005).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis.exceptions import NoScriptError, TryAgainError

from dmp_chassis.breaker import Breaker
from dmp_chassis.redis_client import RedisClient, run_each
from dmp_chassis.redis_cluster import ClusterClient, Command
from dmp_ingest.adapters.claim_tags import TAGS_OF_A_CLUSTER, ClaimTags, TagPart

_LOG: Final = logging.getLogger(__name__)
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


class _Script:
    """A script, called by its digest; with its text where a server does not know it, as after a failover."""

    def __init__(self, text: str) -> None:
        self._text = text.encode()
        self._digest = hashlib.sha1(self._text, usedforsecurity=False).hexdigest().encode()

    def call(self, names: Sequence[bytes], arguments: Sequence[bytes], *, by_text: bool = False) -> Command:
        """The command that runs it over these keys of one slot."""
        name, script = ("EVAL", self._text) if by_text else ("EVALSHA", self._digest)
        return Command(names[0], (name, script, len(names), *names, *arguments))


class Claims:
    """The claims of one replica.

    A tag whose node fails or is slow is not asked for a second; until then nothing is decided about its events.
    """

    def __init__(self, redis: RedisClient, *, window_seconds: float) -> None:
        self._window_ms = str(round(window_seconds * 1000)).encode()
        self._claim = _Script(_CLAIM)
        self._settle = _Script(_SETTLE)
        self._release = _Script(_RELEASE)
        self._settle_group = _Script(_SETTLE_GROUP)
        self._redis = redis
        self._tags = ClaimTags(TAGS_OF_A_CLUSTER if isinstance(redis, ClusterClient) else 1)
        self._breakers = [Breaker(pause_seconds=_PAUSE_SECONDS) for _ in range(self._tags.number)]

    async def claim(self, keys: Sequence[bytes], fingerprints: Sequence[int], *, token: bytes, epoch: bytes) -> Claimed:
        """Claims these events in one round trip, two if some were seen before. Never raises.

        What it says of stored events holds if the log is still in this epoch: ask after the call, not before.
        """
        parts = self._tags.split(keys, epoch)
        answers = await self._call(
            self._claim, parts, lambda part: [token, self._window_ms, _packed(part.of(fingerprints))]
        )
        all_decided = None not in answers
        seen = [
            (keys[part.positions[place]], value)
            for part, answer in zip(parts, answers, strict=True)
            if answer
            for place, value in zip(answer[::2], answer[1::2], strict=True)
        ]
        if not seen:
            return Claimed(all_decided=all_decided)
        kinds = await self._kinds_of_groups({value[1:9] for _, value in seen if len(value) == _CLAIMED_LENGTH})
        stored: dict[bytes, int] = {}
        in_doubt: list[bytes] = []
        for key, value in seen:
            kind: bytes | None = value[:1]
            if len(value) == _CLAIMED_LENGTH:
                kind = kinds.get(value[1:9])
            elif len(value) != _STORED_LENGTH:
                kind = None
            if kind not in _STORED_KINDS:
                all_decided = False
                continue
            stored[key] = int.from_bytes(value[-8:], "big", signed=True)
            if kind == b"d":
                in_doubt.append(key)
        return Claimed(stored=stored, in_doubt=in_doubt, all_decided=all_decided)

    async def settle_group(self, token: bytes, *, applied: bool) -> None:
        """Notes that the log has every event that was claimed with this token. Never raises.

        Call it after the commit, never before.
        """
        parts = self._tags.split_groups([token])
        await self._call(self._settle_group, parts, lambda _: [b"a" if applied else b"d", self._window_ms])

    async def settle(self, keys: Sequence[bytes], fingerprints: Sequence[int], *, applied: bool, epoch: bytes) -> None:
        """Notes that the log has these events, whoever claimed them. Never raises.

        Call it after their commit, never before, with the epoch that was known before it.
        """
        kind = b"a" if applied else b"d"
        await self._call(
            self._settle,
            self._tags.split(keys, epoch),
            lambda part: [kind, self._window_ms, _packed(part.of(fingerprints))],
        )

    async def release(self, keys: Sequence[bytes], *, token: bytes, epoch: bytes) -> None:
        """Gives up the claims that this token still holds on these events. Never raises."""
        await self._call(self._release, self._tags.split(keys, epoch), lambda _: [token])

    async def _kinds_of_groups(self, tokens: Collection[bytes]) -> dict[bytes, bytes | None]:
        """What Redis has for the groups with these tokens: `d`, `a`, or None if it has nothing."""
        ordered = list(tokens)
        parts = self._tags.split_groups(ordered)
        told = await self._run([Command(part.names[0], ("MGET", *part.names)) for part in parts])
        answers = self._understood(parts, told)
        return {
            token: kind
            for part, answer in zip(parts, answers, strict=True)
            for token, kind in zip(part.of(ordered), answer or [None] * len(part.names), strict=True)
        }

    async def _call(
        self, script: _Script, parts: Sequence[TagPart], arguments: Callable[[TagPart], Sequence[bytes]]
    ) -> list[list[Any] | None]:
        """What a script answers about each part, None where nobody knows."""
        asked = [part for part in parts if not self._breakers[part.tag].is_open]
        answers = await self._run([script.call(part.names, arguments(part)) for part in asked])
        unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            again = [script.call(asked[place].names, arguments(asked[place]), by_text=True) for place in unknown]
            for place, answer in zip(unknown, await self._run(again), strict=True):
                answers[place] = answer
        understood = self._understood(asked, answers)
        if len(asked) == len(parts):
            return understood
        of_tag = dict(zip([part.tag for part in asked], understood, strict=True))
        return [of_tag.get(part.tag) for part in parts]

    async def _run(self, commands: Sequence[Command]) -> list[Any]:
        """The answer or the exception for each command."""
        return await run_each(self._redis, commands, timeout_seconds=_TIMEOUT_SECONDS) if commands else []

    def _understood(self, parts: Sequence[TagPart], answers: Sequence[Any]) -> list[list[Any] | None]:
        """The answers, None in the place of exceptions. The tags of these get a pause."""
        failed = [place for place, answer in enumerate(answers) if isinstance(answer, Exception)]
        if not failed:
            return list(answers)
        for place in failed:
            # A call that was under way may still succeed: that does not end the pause.
            if not isinstance(answers[place], TryAgainError):  # whose slot is just being moved
                self._breakers[parts[place].tag].failed()
        kinds = sorted({type(answers[place]).__name__ for place in failed})
        _LOG.warning("Redis is of no help at the moment", extra={"error": ", ".join(kinds), "tags": len(failed)})
        return [None if isinstance(answer, Exception) else answer for answer in answers]


def _packed(fingerprints: Sequence[int]) -> bytes:
    return b"".join([fingerprint.to_bytes(8, "big", signed=True) for fingerprint in fingerprints])
