"""The client for programs on asyncio. `track()` is no coroutine: it does not wait for the network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from dmp_client.asking import ask_async
from dmp_client.async_counts import AsyncCountsQuestions
from dmp_client.async_people import AsyncPeopleQuestions
from dmp_client.backoff import Circuit
from dmp_client.errors import ClosedError
from dmp_client.feed import listen_async
from dmp_client.http import AsyncHttpTransport, Connection
from dmp_client.questions import Question
from dmp_client.sending import Sending, SendingOptions, sending_options
from dmp_client.verdicts import Verdict

_Answer = TypeVar("_Answer")


class AsyncDmpClient(AsyncPeopleQuestions, AsyncCountsQuestions):
    """The same as DmpClient, with coroutines for everything that waits. Its parameters are explained there.

    Events are delivered by a thread of their own, so a busy event loop does not hold them up.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 30.0,
        connect_seconds: float = 3.0,
        proxy: str | None = None,
        on_verdict: Callable[[Verdict], None] | None = None,
        options: SendingOptions | None = None,
        **named: Any,  # noqa: ANN401 - the fields of SendingOptions
    ) -> None:
        options = sending_options(options, named)
        self._connection = Connection(
            url=url.rstrip("/"),
            api_key=api_key,
            timeout_seconds=timeout_seconds,
            connect_seconds=connect_seconds,
            proxy=proxy,
        )
        self._sending = Sending(self._connection, options, on_verdict)
        self.track = self._sending.track
        self.health = self._sending.health
        self.resume = self._sending.resume
        self._timeout_seconds = timeout_seconds
        self._retry = options.retry
        self._asking = Circuit(options.retry)
        self._transport: AsyncHttpTransport | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def flush(self, timeout: float = 30.0) -> bool:  # noqa: ASYNC109 - it bounds the waiting of a thread
        """Waits until all that was tracked before was answered; false if that took longer than `timeout` seconds."""
        return await asyncio.to_thread(self._sending.flush, timeout)

    async def close(self, timeout: float = 5.0) -> bool:  # noqa: ASYNC109 - it bounds the waiting of a thread
        """Flushes and lets go of everything; false if events are left. On disk they wait for the next process."""
        self._closed = True
        done = await asyncio.to_thread(self._sending.close, timeout)
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()
        return done

    async def _ask(self, question: Question[_Answer]) -> _Answer:
        return await ask_async(question, self._reader(), self._asking, self._retry, self._timeout_seconds)

    def _listen(
        self, asked: Callable[[int], Question[_Answer]], *, messages: int | None, patience: float
    ) -> AsyncIterator[_Answer]:
        return listen_async(asked, self._reader(), self._retry, messages=messages, patience=patience)

    def _reader(self) -> AsyncHttpTransport:
        if self._closed:
            raise ClosedError("the client is closed")
        if self._transport is None:
            self._transport = AsyncHttpTransport(self._connection)
        return self._transport
