"""What can be asked about events and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Unpack

from dmp_client import answers
from dmp_client.asking import Asking
from dmp_client.feed import PATIENCE_SECONDS
from dmp_client.questions import Moment, counts, publishing
from dmp_client.questions.publishing import Judgement
from dmp_client.verdicts import Verdict


class CountsQuestions(Asking):
    """Questions about events and counts. Each may raise NotFoundError, ConflictError, RefusedError and
    UnavailableError."""

    def publish(self, events: Sequence[bytes]) -> list[Verdict]:
        """Sends events that the caller keeps until they are answered: each as JSON with an id of its own.

        The verdicts are in their order. Nothing is spooled. It tries again, with the same bytes, until the client's
        timeout. Raises UnavailableError, and RefusedError (`http_status` 413: send fewer at a time).
        """
        return self._ask(publishing.publish(events))

    def judge(self, events: Sequence[bytes]) -> Judgement:
        """What would become of events, each as JSON and 1 MiB in all, if they were sent now. Nothing is stored."""
        return self._ask(publishing.judge(events))

    def event(self, event_id: str) -> answers.EventFate:
        """What became of one event."""
        return self._ask(counts.event(event_id))

    def stats(
        self,
        campaign_id: str,
        from_: Moment,
        to: Moment,
        **named: Unpack[counts.StatsOptions],
    ) -> answers.Stats:
        """A campaign's counts by minute, hour or day; `from_` and `to` both included. All pages are read.

        named: `granularity`, `tz`, `group_by`, `fill_zero`, `types`, `sources`, `creative_ids`; see `StatsQuery`.
        """
        asked = counts.StatsQuery(campaign_id=campaign_id, from_=from_, to=to, **named)
        pages = [self._ask(counts.stats(asked, None))]
        while pages[-1].next_page_token:
            pages.append(self._ask(counts.stats(asked, pages[-1].next_page_token)))
        return counts.together(pages)

    def campaigns(self, from_: Moment, to: Moment) -> Iterator[answers.Campaign]:
        """The campaigns that counted something in a range."""
        token: str | None = None
        while token != "":
            page = self._ask(counts.campaigns(from_, to, token))
            yield from page.items
            token = page.next_page_token

    def metrics(self, window: int = 300, *, group_by: str | Sequence[str] | None = None) -> answers.Metrics:
        """The last `window` seconds."""
        return self._ask(counts.metrics(window, group_by))

    def live(
        self, *, top: int = 10, seconds: int | None = None, patience: float = PATIENCE_SECONDS
    ) -> Iterator[answers.LiveSnapshot]:
        """What is going on, once a second: `seconds` snapshots, or without end.

        It goes on when the connection breaks; the `ts` of a snapshot shows what was missed. UnavailableError after
        `patience` seconds without one. top: how many campaigns each names.
        """
        return self._listen(lambda left: counts.live(top, left), messages=seconds, patience=patience)

    def put_reference(
        self, users: Mapping[str, Mapping[str, Any]], *, ts: Moment | None = None
    ) -> answers.ReferenceWritten:
        """Replaces the whole reference table. ts: its age, default now; an older one raises ConflictError."""
        return self._ask(counts.put_reference(users, datetime.now(UTC) if ts is None else ts))

    def patch_reference(
        self, users: Mapping[str, Mapping[str, Any] | None], *, ts: Moment | None = None
    ) -> answers.ReferenceWritten:
        """Changes the users that are named. An attribute that is None goes, and so does a user that is None."""
        return self._ask(counts.patch_reference(users, datetime.now(UTC) if ts is None else ts))

    def reference(self) -> answers.ReferenceState:
        """Which reference table is in force."""
        return self._ask(counts.reference())

    def reference_user(self, user_id: str) -> answers.ReferenceUser:
        """What the reference table knows of one user. Raises NotFoundError if it does not know them."""
        return self._ask(counts.reference_user(user_id))

    def audit(self, from_: Moment, to: Moment, *, campaign_id: str | None = None) -> answers.Audit:
        """Whether what was counted is what was logged. All pages are read."""
        pages = [self._ask(counts.audit(campaign_id, from_, to, None))]
        while pages[-1].next_page_token:
            pages.append(self._ask(counts.audit(campaign_id, from_, to, pages[-1].next_page_token)))
        return counts.whole_audit(pages)

    def repair(self, campaign_id: str, from_: Moment, to: Moment) -> answers.Repaired:
        """Recomputes from the log what an audit finds different. All pages are read."""
        pages = [self._ask(counts.repair(campaign_id, from_, to, None))]
        while pages[-1].next_page_token:
            pages.append(self._ask(counts.repair(campaign_id, from_, to, pages[-1].next_page_token)))
        return answers.Repaired(minutes=[minute for page in pages for minute in page.minutes])

    def actions(
        self,
        *,
        from_: Moment | None = None,
        to: Moment | None = None,
        kind: str | None = None,
        actor: str | None = None,
    ) -> Iterator[answers.Action]:
        """Who merged, erased, repaired or replaced what, and why: the newest first.

        from_, to: both included. kind: such as `merge_profiles`. actor: the name of a key. Pages are read as they are
        needed.
        """
        token: str | None = None
        while token != "":
            page = self._ask(counts.actions(from_, to, kind, actor, token))
            yield from page.items
            token = page.next_page_token

    def system_health(self) -> answers.SystemHealth:
        """Whether the whole system can do its work. Raises UnavailableError if not."""
        return self._ask(counts.system_health())
