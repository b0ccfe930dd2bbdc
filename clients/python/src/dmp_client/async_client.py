"""The client for programs on asyncio. `track()` is no coroutine: it does not wait for the network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from dmp_client import answers, questions
from dmp_client.asking import ask_async
from dmp_client.backoff import Circuit
from dmp_client.http import AsyncHttpTransport, Connection
from dmp_client.questions import Moment, Question
from dmp_client.sending import Sending, SendingOptions, sending_options
from dmp_client.verdicts import Verdict

_Answer = TypeVar("_Answer")


class AsyncDmpClient:
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- people

    async def identify(self, *, email: str | None = None, phone_number: str | int | None = None) -> answers.Contact:
        """The contact of an e-mail, a phone number or both, made or extended if it has to be."""
        return await self._ask(questions.identify(email, phone_number))

    async def user(
        self, internal_user_id: str, *, page_size: int | None = None, page_token: str | None = None
    ) -> answers.User:
        """A person with one page of the timeline. An id that was merged answers with the survivor."""
        return await self._ask(questions.user(internal_user_id, page_size=page_size, page_token=page_token))

    async def timeline(
        self, internal_user_id: str, *, page_size: int | None = None
    ) -> AsyncIterator[answers.TimelineEntry]:
        """All events of a person, in time order, page by page."""
        token: str | None = None
        while token != "":
            page = await self.user(internal_user_id, page_size=page_size, page_token=token)
            for entry in page.events:
                yield entry
            token = page.next_page_token

    async def match(self, identifier: str, value: str) -> answers.Match:
        """Whose an identifier is, and how it was read. Raises NotFoundError if it is nobody's."""
        return await self._ask(questions.match(identifier, value))

    async def explain(self, from_: str, to: str) -> answers.Explanation:
        """Why two ids, or identifiers as `type:value`, are one person, or why not."""
        return await self._ask(questions.explain(from_, to))

    async def merge(self, internal_user_ids: Sequence[str], reason: str = "") -> answers.Merged:
        """Makes people one; the oldest survives."""
        return await self._ask(questions.merge(internal_user_ids, reason))

    async def undo(self, merge_id: str, reason: str) -> answers.Undone:
        """Takes a merge back and keeps the people apart from now on."""
        return await self._ask(questions.undo(merge_id, reason))

    async def keep_apart(self, internal_user_ids: Sequence[str], reason: str) -> answers.NeverMerge:
        """Two people who must never become one."""
        return await self._ask(questions.keep_apart(internal_user_ids, reason))

    async def history(self, internal_user_id: str) -> answers.History:
        """Who was merged with a person, when and why."""
        return await self._ask(questions.history(internal_user_id))

    async def review(
        self, *, rule: str | None = None, internal_user_id: str | None = None
    ) -> AsyncIterator[answers.Refusal]:
        """Evidence that was not followed, newest first."""
        token: str | None = None
        while token != "":
            page = await self._ask(questions.review(rule, internal_user_id, token))
            for entry in page.items:
                yield entry
            token = page.next_page_token

    async def erase(self, internal_user_id: str, *, dry_run: bool = False) -> answers.Erasure:
        """Erases a person for good. dry_run: only says what would be erased."""
        return await self._ask(questions.erase(internal_user_id, dry_run=dry_run))

    async def erasure(self, erasure_id: str) -> answers.Erasure:
        """How far an erasure is."""
        return await self._ask(questions.erasure(erasure_id))

    # -- events and counts

    async def event(self, event_id: str) -> answers.EventFate:
        """What became of one event."""
        return await self._ask(questions.event(event_id))

    async def stats(
        self,
        campaign_id: str,
        from_: Moment,
        to: Moment,
        *,
        granularity: str = "minute",
        tz: str | None = None,
        group_by: str | None = None,
        fill_zero: bool = False,
    ) -> answers.Stats:
        """A campaign's counts by minute, hour or day; `from_` and `to` both included. All pages are read."""
        whole: answers.Stats | None = None
        token: str | None = None
        points: list[answers.StatsPoint] = []
        while token != "":
            whole = await self._ask(
                questions.stats(
                    campaign_id,
                    from_,
                    to,
                    granularity=granularity,
                    tz=tz,
                    group_by=group_by,
                    fill_zero=fill_zero,
                    page_token=token,
                )
            )
            points.extend(whole.series)
            token = whole.next_page_token
        assert whole is not None
        return msgspec.structs.replace(whole, series=points)

    async def campaigns(self, from_: Moment, to: Moment) -> AsyncIterator[answers.Campaign]:
        """The campaigns that counted something in a range."""
        token: str | None = None
        while token != "":
            page = await self._ask(questions.campaigns(from_, to, token))
            for entry in page.items:
                yield entry
            token = page.next_page_token

    async def metrics(self, window: int = 300, *, group_by: str | None = None) -> answers.Metrics:
        """The last `window` seconds."""
        return await self._ask(questions.metrics(window, group_by))

    async def put_reference(
        self, users: Mapping[str, Mapping[str, Any]], *, ts: Moment | None = None
    ) -> answers.ReferenceWritten:
        """Replaces the whole reference table. ts: its age, default now; an older one raises ConflictError."""
        return await self._ask(questions.put_reference(users, datetime.now(UTC) if ts is None else ts))

    async def reference(self) -> answers.ReferenceState:
        """Which reference table is in force."""
        return await self._ask(questions.reference())

    async def audit(self, from_: Moment, to: Moment, *, campaign_id: str | None = None) -> answers.Audit:
        """Whether what was counted is what was logged."""
        return await self._ask(questions.audit(campaign_id, from_, to))

    async def system_health(self) -> answers.SystemHealth:
        """Whether the whole system can do its work. Raises UnavailableError if not."""
        return await self._ask(questions.system_health())

    # -- how

    async def flush(self, timeout: float = 30.0) -> bool:  # noqa: ASYNC109 - it bounds the waiting of a thread
        """Waits until all that was tracked before was answered; false if that took longer than `timeout` seconds."""
        return await asyncio.to_thread(self._sending.flush, timeout)

    async def close(self, timeout: float = 5.0) -> bool:  # noqa: ASYNC109 - it bounds the waiting of a thread
        """Flushes and lets go of everything; false if events are left. On disk they wait for the next process."""
        done = await asyncio.to_thread(self._sending.close, timeout)
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()
        return done

    async def _ask(self, question: Question[_Answer]) -> _Answer:
        if self._transport is None:
            self._transport = AsyncHttpTransport(self._connection)
        return await ask_async(question, self._transport, self._asking, self._retry, self._timeout_seconds)
