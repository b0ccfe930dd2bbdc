"""Asks a question until it is answered, as long as asking again is safe and there is time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from dmp_client.backoff import Circuit, RetryPolicy
from dmp_client.errors import DmpError, UnavailableError
from dmp_client.http import PASSING_STATUSES, AsyncHttpTransport, HttpTransport, NoReplyError, Reply, Request, refusal
from dmp_client.questions import Question

_Answer = TypeVar("_Answer")
_MAYBE_DONE = frozenset({408, 500, 502, 504})
"""Statuses after which what was asked may have been done."""


@dataclass(slots=True)
class _Attempts:
    """What the attempts at one question have in common."""

    request: Request
    circuit: Circuit
    policy: RetryPolicy
    deadline: float
    failures: int = 0
    error: DmpError | None = None

    def begin(self) -> float:
        """Seconds that the next attempt may take. Raises UnavailableError if none is worth making."""
        if self.circuit.is_open:
            raise self.error or UnavailableError(
                "the gateway did not answer several times in a row; it is left alone for a few seconds"
            )
        return max(self.deadline - time.monotonic(), 0.001)

    def after(self, outcome: Reply | NoReplyError) -> float | None:
        """None when the reply is final; else how long to wait before the next attempt. Raises what the caller gets."""
        if isinstance(outcome, Reply):
            if outcome.status not in PASSING_STATUSES:
                self.circuit.succeeded()
                if outcome.status >= 400 and outcome.status not in self.request.also_answers:
                    raise refusal(outcome)
                return None
            error, retry_after = refusal(outcome), outcome.retry_after
            safe = self.request.repeatable or outcome.status not in _MAYBE_DONE
        else:
            error, retry_after = UnavailableError(str(outcome)), None
            safe = self.request.repeatable or not outcome.sent
        self.failures += 1
        self.error = error
        self.circuit.failed()
        pause = self.policy.pause(self.failures, retry_after)
        if not safe or time.monotonic() + pause >= self.deadline:
            raise error
        return pause


def ask(
    question: Question[_Answer], transport: HttpTransport, circuit: Circuit, policy: RetryPolicy, timeout: float
) -> _Answer:
    """The answer. Raises RefusedError and its kinds, UnavailableError."""
    attempts = _Attempts(question.request, circuit, policy, time.monotonic() + timeout)
    while True:
        seconds = attempts.begin()
        outcome: Reply | NoReplyError
        try:
            outcome = transport.exchange(question.request, timeout_seconds=seconds)
        except NoReplyError as error:
            outcome = error
        pause = attempts.after(outcome)
        if pause is None:
            assert isinstance(outcome, Reply)
            return question.read(outcome.body)
        time.sleep(pause)  # before the same question is asked again


async def ask_async(
    question: Question[_Answer],
    transport: AsyncHttpTransport,
    circuit: Circuit,
    policy: RetryPolicy,
    timeout: float,  # noqa: ASYNC109 - a deadline for all attempts together
) -> _Answer:
    """The same for asyncio."""
    import asyncio  # who blocks needs none of it

    attempts = _Attempts(question.request, circuit, policy, time.monotonic() + timeout)
    while True:
        seconds = attempts.begin()
        outcome: Reply | NoReplyError
        try:
            outcome = await transport.exchange(question.request, timeout_seconds=seconds)
        except NoReplyError as error:
            outcome = error
        pause = attempts.after(outcome)
        if pause is None:
            assert isinstance(outcome, Reply)
            return question.read(outcome.body)
        await asyncio.sleep(pause)


class Asking(ABC):
    """What questions need of a client that blocks."""

    @abstractmethod
    def _ask(self, question: Question[_Answer]) -> _Answer:
        """The answer. Raises RefusedError and its kinds, UnavailableError, ClosedError."""

    @abstractmethod
    def _listen(
        self, asked: Callable[[int], Question[_Answer]], *, messages: int | None, patience: float
    ) -> Iterator[_Answer]:
        """The answers of a feed, one after the other; raises the same."""


class AsyncAsking(ABC):
    """The same for asyncio."""

    @abstractmethod
    async def _ask(self, question: Question[_Answer]) -> _Answer:
        """The answer. Raises RefusedError and its kinds, UnavailableError, ClosedError."""

    @abstractmethod
    def _listen(
        self, asked: Callable[[int], Question[_Answer]], *, messages: int | None, patience: float
    ) -> AsyncIterator[_Answer]:
        """The answers of a feed, one after the other; raises the same."""
