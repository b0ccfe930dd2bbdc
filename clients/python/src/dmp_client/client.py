"""The client for programs that block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from dmp_client import answers, questions
from dmp_client.asking import ask
from dmp_client.backoff import Circuit, RetryPolicy
from dmp_client.http import Connection, HttpTransport
from dmp_client.questions import Moment, Question
from dmp_client.sending import Sending, SendingOptions, sending_options
from dmp_client.verdicts import Verdict

_Answer = TypeVar("_Answer")


class DmpClient(Sending):
    """Sends events and asks questions. One for each process is enough; threads may share it.

    url: of the gateway. api_key: None where none is asked for.
    timeout_seconds: for one exchange; questions are asked again until then if that is safe.
    proxy: its URL; None takes that of the environment.
    on_verdict: called with each event's verdict by the delivery's thread; what it raises is logged and counted.
    options: of spool and delivery, see `SendingOptions`; or give single ones by name: `spool=…`, `source=…`.

    Questions raise NotFoundError, ConflictError, NotAllowedError, RefusedError, UnavailableError.
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
        connection = Connection(
            url=url.rstrip("/"),
            api_key=api_key,
            timeout_seconds=timeout_seconds,
            connect_seconds=connect_seconds,
            proxy=proxy,
        )
        super().__init__(connection, options, on_verdict)
        self._timeout_seconds = timeout_seconds
        self._retry: RetryPolicy = options.retry
        self._asking = Circuit(options.retry)
        self._reader: tuple[int, HttpTransport] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- people

    def identify(self, *, email: str | None = None, phone_number: str | int | None = None) -> answers.Contact:
        """The contact of an e-mail, a phone number or both, made or extended if it has to be."""
        return self._ask(questions.identify(email, phone_number))

    def user(
        self, internal_user_id: str, *, page_size: int | None = None, page_token: str | None = None
    ) -> answers.User:
        """A person with one page of the timeline. An id that was merged answers with the survivor."""
        return self._ask(questions.user(internal_user_id, page_size=page_size, page_token=page_token))

    def timeline(self, internal_user_id: str, *, page_size: int | None = None) -> Iterator[answers.TimelineEntry]:
        """All events of a person, in time order, page by page."""
        token: str | None = None
        while token != "":
            page = self.user(internal_user_id, page_size=page_size, page_token=token)
            yield from page.events
            token = page.next_page_token

    def match(self, identifier: str, value: str) -> answers.Match:
        """Whose an identifier is, and how it was read. Raises NotFoundError if it is nobody's."""
        return self._ask(questions.match(identifier, value))

    def explain(self, from_: str, to: str) -> answers.Explanation:
        """Why two ids, or identifiers as `type:value`, are one person, or why not."""
        return self._ask(questions.explain(from_, to))

    def merge(self, internal_user_ids: Sequence[str], reason: str = "") -> answers.Merged:
        """Makes people one; the oldest survives."""
        return self._ask(questions.merge(internal_user_ids, reason))

    def undo(self, merge_id: str, reason: str) -> answers.Undone:
        """Takes a merge back and keeps the people apart from now on."""
        return self._ask(questions.undo(merge_id, reason))

    def keep_apart(self, internal_user_ids: Sequence[str], reason: str) -> answers.NeverMerge:
        """Two people who must never become one."""
        return self._ask(questions.keep_apart(internal_user_ids, reason))

    def history(self, internal_user_id: str) -> answers.History:
        """Who was merged with a person, when and why."""
        return self._ask(questions.history(internal_user_id))

    def review(self, *, rule: str | None = None, internal_user_id: str | None = None) -> Iterator[answers.Refusal]:
        """Evidence that was not followed, newest first."""
        token: str | None = None
        while token != "":
            page = self._ask(questions.review(rule, internal_user_id, token))
            yield from page.items
            token = page.next_page_token

    def erase(self, internal_user_id: str, *, dry_run: bool = False) -> answers.Erasure:
        """Erases a person for good. dry_run: only says what would be erased."""
        return self._ask(questions.erase(internal_user_id, dry_run=dry_run))

    def erasure(self, erasure_id: str) -> answers.Erasure:
        """How far an erasure is."""
        return self._ask(questions.erasure(erasure_id))

    # -- events and counts

    def event(self, event_id: str) -> answers.EventFate:
        """What became of one event."""
        return self._ask(questions.event(event_id))

    def stats(
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
            whole = self._ask(
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

    def campaigns(self, from_: Moment, to: Moment) -> Iterator[answers.Campaign]:
        """The campaigns that counted something in a range."""
        token: str | None = None
        while token != "":
            page = self._ask(questions.campaigns(from_, to, token))
            yield from page.items
            token = page.next_page_token

    def metrics(self, window: int = 300, *, group_by: str | None = None) -> answers.Metrics:
        """The last `window` seconds."""
        return self._ask(questions.metrics(window, group_by))

    def put_reference(
        self, users: Mapping[str, Mapping[str, Any]], *, ts: Moment | None = None
    ) -> answers.ReferenceWritten:
        """Replaces the whole reference table. ts: its age, default now; an older one raises ConflictError."""
        return self._ask(questions.put_reference(users, datetime.now(UTC) if ts is None else ts))

    def reference(self) -> answers.ReferenceState:
        """Which reference table is in force."""
        return self._ask(questions.reference())

    def audit(self, from_: Moment, to: Moment, *, campaign_id: str | None = None) -> answers.Audit:
        """Whether what was counted is what was logged."""
        return self._ask(questions.audit(campaign_id, from_, to))

    def system_health(self) -> answers.SystemHealth:
        """Whether the whole system can do its work. Raises UnavailableError if not."""
        return self._ask(questions.system_health())

    # -- how

    def flush(self, timeout: float = 30.0) -> bool:
        """Waits until all that was tracked before was answered; false if that took longer than `timeout` seconds."""
        return super().flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Flushes and lets go of everything; false if events are left. On disk they wait for the next process."""
        done = super().close(timeout)
        reader, self._reader = self._reader, None
        if reader is not None and reader[0] == os.getpid():
            reader[1].close()
        return done

    def _ask(self, question: Question[_Answer]) -> _Answer:
        reader = self._reader
        if reader is None or reader[0] != os.getpid():
            reader = self._reader = (os.getpid(), HttpTransport(self._connection))
        return ask(question, reader[1], self._asking, self._retry, self._timeout_seconds)
