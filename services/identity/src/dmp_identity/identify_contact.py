"""Finds or makes the contact of an e-mail address and a phone number. Requests that come at the same time share one
transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

from dmp_chassis import tracing
from dmp_chassis.database import Database
from dmp_chassis.uuid7 import uuid7_text
from dmp_chassis.violations import Violation, Violations
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.decide_plan import Observed
from dmp_identity.domain.contacts import ContactAnswer
from dmp_identity.domain.errors import OverloadedError
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identify import ContactRequest
from dmp_identity.domain.locks_needed import LocksNeeded
from dmp_identity.domain.parsed_identifier import Observation, ParsedIdentifier
from dmp_identity.domain.refusal_reason import RefusalReason
from dmp_identity.graph_transaction import in_graph_transaction
from dmp_identity.know_key_rules import as_stored
from dmp_identity.record_observations import Recorded, record_observations

if TYPE_CHECKING:
    from opentelemetry.trace import Span

SOURCE: Final = "identify"
_GROUP: Final = 256
_LIMITS: Final = {"email": 320, "phoneNumber": 64}
_TYPES: Final = {"email": "email", "phoneNumber": "phone"}
_EITHER: Final = (("email", "phoneNumber"), ("phoneNumber", "email"))


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: ContactRequest
    answer: asyncio.Future[ContactAnswer]
    span: Span | None


def read_contact_request(parser: IdentifierParser, values: dict[str, str]) -> ContactRequest:
    """The request of the values of `email` and `phoneNumber`, empty ones being absent.

    Raises InvalidArgument when a value is too long, holds what cannot be stored, or none is left.
    """
    problems = Violations()
    identifiers: dict[str, ParsedIdentifier | None] = {}
    for field, limit in _LIMITS.items():
        text = values.get(field, "").strip()
        if len(text) > limit:
            problems.add(field, f"must have at most {limit} characters")
        elif "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            problems.add(field, "must not have NUL characters or lone surrogates")
        else:
            parsed = identifiers[field] = parser.parse(_TYPES[field], text)
            if parsed is not None and parsed.refusal_reason is RefusalReason.TOO_LONG:
                problems.add(field, f"must have at most {limit} characters in the form in which it is compared")
    if not problems and not any(identifiers.values()):
        problems.extend(Violation(field, f"is required unless {other} is given") for field, other in _EITHER)
    if not problems and all(parsed is None or parsed.refusal_reason is not None for parsed in identifiers.values()):
        # Everybody who sends a placeholder would be one contact.
        problems.extend(
            Violation(field, f"names nobody: set aside as {parsed.refusal_reason}")
            for field, parsed in identifiers.items()
            if parsed is not None and parsed.refusal_reason is not None
        )
    problems.check()
    return ContactRequest(email=identifiers["email"], phone=identifiers["phoneNumber"])


class ContactIdentifier:
    """Answers requests in groups: whatever has come while a group was stored is the next group.

    `run` must be running. At most `queue_length` requests wait. Two groups are never under way at once in one
    process; other processes are held off by the graph's locks where it matters.
    """

    def __init__(
        self,
        database: Database,
        parser: IdentifierParser,
        cache: GraphCache,
        *,
        clock_us: Callable[[], int],
        wake: asyncio.Event,
        queue_length: int,
    ) -> None:
        self._database = database
        self._parser = parser
        self._cache = cache
        self._clock_us = clock_us
        self._wake = wake
        self._expected = LocksNeeded.NONE
        self.recorded: Callable[[Recorded], None] = lambda _: None
        """Called with what was committed."""
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(queue_length)

    async def identify(self, request: ContactRequest) -> ContactAnswer:
        """The contact of the request, stored. Raises OverloadedError, and what the database raises."""
        waiting = _Waiting(request, asyncio.get_running_loop().create_future(), tracing.current())
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise OverloadedError from None
        return await waiting.answer

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return self._queue.qsize()

    async def run(self) -> None:
        """Stores groups until cancelled."""
        while True:
            group = [await self._queue.get()]
            while len(group) < _GROUP and not self._queue.empty():
                group.append(self._queue.get_nowait())
            group = [waiting for waiting in group if not waiting.answer.done()]
            try:
                with tracing.joined_span("contacts", [waiting.span for waiting in group]):
                    answers = await self._store([waiting.request for waiting in group])
            except asyncio.CancelledError:
                for waiting in group:
                    waiting.answer.cancel()
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, the callers get an answer
                for waiting in group:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
            else:
                for waiting, answer in zip(group, answers, strict=True):
                    if not waiting.answer.done():
                        waiting.answer.set_result(answer)

    async def _store(self, requests: Sequence[ContactRequest]) -> list[ContactAnswer]:
        refs = [uuid7_text() for _ in requests]

        async def unit(connection: psycopg.AsyncConnection[Any], every_lock: bool) -> Recorded:
            stored = await requests_as_stored(connection, self._parser, requests)
            now_us = self._clock_us()
            observed = Observed(
                observations=[self._observation(ref, request) for ref, request in zip(refs, stored, strict=True)],
                now_us=now_us,
                requests=stored,
            )
            recorded = await record_observations(
                connection,
                self._parser,
                self._cache,
                observed,
                LocksNeeded.EVERY if every_lock else self._expected,
            )
            await add_domain_events(connection, recorded.events)
            return recorded

        if not requests:
            return []
        recorded = await in_graph_transaction(self._database, unit)
        self._cache.remember(recorded.learned)
        self._expected = recorded.locks_needed
        if recorded.events:
            self._wake.set()
        self.recorded(recorded)
        return recorded.contacts

    def _observation(self, ref: str, request: ContactRequest) -> Observation:
        identifiers = [parsed for parsed in (request.email, request.phone) if parsed is not None]
        return self._parser.observation(ref=ref, source=SOURCE, cause="contact", identifiers=identifiers)


async def requests_as_stored(
    connection: psycopg.AsyncConnection[Any], parser: IdentifierParser, requests: Sequence[ContactRequest]
) -> Sequence[ContactRequest]:
    """The requests with the keys under which their values are stored."""
    if not parser.other_rules_in_use:
        return requests
    given = [
        [parsed] if parsed is not None else [] for request in requests for parsed in (request.email, request.phone)
    ]
    found = [identifiers[0] if identifiers else None for identifiers in await as_stored(connection, parser, given)]
    return [ContactRequest(email=email, phone=phone) for email, phone in zip(found[::2], found[1::2], strict=True)]
