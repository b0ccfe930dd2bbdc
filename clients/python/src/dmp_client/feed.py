"""Listens to a feed of server-sent events and goes on after it broke off."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from dmp_client.backoff import RetryPolicy
from dmp_client.errors import DmpError, UnavailableError
from dmp_client.http import PASSING_STATUSES, AsyncHttpTransport, HttpTransport, NoReplyError, Reply, refusal
from dmp_client.questions import Question

_Answer = TypeVar("_Answer")
SILENCE_SECONDS: Final = 15.0
"""A feed that sends something each second and is silent for so long is broken."""
PATIENCE_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Messages(Generic[_Answer]):
    """Puts the lines of a feed together: one message for each block of `data:` lines."""

    read: Callable[[bytes], _Answer]
    _data: list[str] = field(default_factory=list)

    def take(self, line: str) -> _Answer | None:
        """The message that this line ends, if it ends one."""
        if line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
            return None
        if line or not self._data:
            return None  # comments, and fields that are not used
        whole = "\n".join(self._data)
        self._data.clear()
        return self.read(whole.encode())


@dataclass(slots=True)
class _Listening(Generic[_Answer]):
    """What the attempts at one feed have in common.

    ask: the question for so many more messages, 0 for no end. left: how many are still wanted, None for no end.
    """

    ask: Callable[[int], Question[_Answer]]
    left: int | None
    policy: RetryPolicy
    patience: float
    failures: int = 0
    heard_at: float = field(default_factory=time.monotonic)

    def question(self) -> Question[_Answer]:
        return self.ask(self.left or 0)

    @property
    def is_done(self) -> bool:
        return self.left is not None and self.left <= 0

    def heard(self) -> None:
        """A message came."""
        self.failures = 0
        self.heard_at = time.monotonic()
        if self.left is not None:
            self.left -= 1

    def pause(self, refused: Reply | None, broken: NoReplyError | None) -> float:
        """Seconds until the next attempt. Raises what the caller gets if it is not worth making."""
        error: DmpError = UnavailableError(str(broken) if broken else "the live feed broke off")
        retry_after = None
        if refused is not None:
            error, retry_after = refusal(refused), refused.retry_after
            if refused.status not in PASSING_STATUSES:
                raise error
        self.failures += 1
        pause = self.policy.pause(self.failures, retry_after)
        if time.monotonic() + pause - self.heard_at > self.patience:
            raise error
        return pause


def listen(
    ask: Callable[[int], Question[_Answer]],
    transport: HttpTransport,
    policy: RetryPolicy,
    *,
    messages: int | None,
    patience: float,
) -> Iterator[_Answer]:
    """The messages of a feed, also over a gateway that restarts. Raises UnavailableError after `patience` seconds
    without any, RefusedError."""
    listening = _Listening(ask, messages, policy, patience)
    while not listening.is_done:
        question = listening.question()
        reading = _Messages(question.read)
        refused, broken = None, None
        try:
            with transport.stream(question.request, silence_seconds=SILENCE_SECONDS) as stream:
                refused = stream.refused
                for line in stream.lines:
                    message = reading.take(line)
                    if message is not None:
                        listening.heard()
                        yield message
        except NoReplyError as error:
            broken = error
        if not listening.is_done:
            time.sleep(listening.pause(refused, broken))  # before it connects again


async def listen_async(
    ask: Callable[[int], Question[_Answer]],
    transport: AsyncHttpTransport,
    policy: RetryPolicy,
    *,
    messages: int | None,
    patience: float,
) -> AsyncIterator[_Answer]:
    """The same for asyncio."""
    import asyncio  # who blocks needs none of it

    listening = _Listening(ask, messages, policy, patience)
    while not listening.is_done:
        question = listening.question()
        reading = _Messages(question.read)
        refused, broken = None, None
        try:
            async with transport.stream(question.request, silence_seconds=SILENCE_SECONDS) as stream:
                refused = stream.refused
                async for line in stream.lines:
                    message = reading.take(line)
                    if message is not None:
                        listening.heard()
                        yield message
        except NoReplyError as error:
            broken = error
        if not listening.is_done:
            await asyncio.sleep(listening.pause(refused, broken))
