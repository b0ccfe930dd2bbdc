"""Finds or makes the contact of an e-mail address and a phone number. Requests that come at the same time share one
transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_chassis.database import Database
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.domain.contacts import ContactAnswer
from dmp_identity.domain.errors import InvalidFieldsError, OverloadedError
from dmp_identity.domain.graph_memory import Expected, GraphMemory
from dmp_identity.domain.identify import ContactRequest
from dmp_identity.domain.reading import PolicyReader, Reading, Rule, Sighting
from dmp_identity.know_key_rules import as_stored
from dmp_identity.record_sightings import Recorded, in_graph_transaction, record_sightings

SOURCE: Final = "identify"
_GROUP: Final = 256
_LIMITS: Final = {"email": 320, "phoneNumber": 64}
_TYPES: Final = {"email": "email", "phoneNumber": "phone"}


class _Waiting(msgspec.Struct):
    request: ContactRequest
    answer: asyncio.Future[ContactAnswer]


def read_contact_request(reader: PolicyReader, values: dict[str, str]) -> ContactRequest:
    """The request of the values of `email` and `phoneNumber`, empty ones being absent.

    Raises InvalidFieldsError when a value is too long, holds what cannot be stored, or none is left.
    """
    problems: list[tuple[str, str]] = []
    readings: dict[str, Reading | None] = {}
    for field, limit in _LIMITS.items():
        text = values.get(field, "").strip()
        if len(text) > limit:
            problems.append((field, f"must have at most {limit} characters"))
        elif "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            problems.append((field, "must not have NUL characters or lone surrogates"))
        else:
            reading = readings[field] = reader.read(_TYPES[field], text)
            if reading is not None and reading.flaw is Rule.TOO_LONG:
                problems.append((field, f"must have at most {limit} characters in the form in which it is compared"))
    if not problems and not any(readings.values()):
        problems = [(field, "at least one of email and phoneNumber is required") for field in _LIMITS]
    if not problems and all(reading is None or reading.flaw is not None for reading in readings.values()):
        # Everybody who sends a placeholder would be one contact.
        problems = [
            (field, f"names nobody: set aside as {reading.flaw}")
            for field, reading in readings.items()
            if reading is not None and reading.flaw is not None
        ]
    if problems:
        raise InvalidFieldsError(problems)
    return ContactRequest(email=readings["email"], phone=readings["phoneNumber"])


class ContactIdentifier:
    """Answers requests in groups: whatever has come while a group was stored is the next group.

    `run` must be running. At most `queue_length` requests wait. Two groups are never under way at once in one
    process; other processes are held off by the graph's locks where it matters.
    """

    def __init__(
        self,
        database: Database,
        reader: PolicyReader,
        memory: GraphMemory,
        *,
        clock_us: Callable[[], int],
        wake: asyncio.Event,
        queue_length: int,
    ) -> None:
        self._database = database
        self._reader = reader
        self._memory = memory
        self._clock_us = clock_us
        self._wake = wake
        self._expected = Expected.NOTHING
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(queue_length)

    async def identify(self, request: ContactRequest) -> ContactAnswer:
        """The contact of the request, stored. Raises OverloadedError, and what the database raises."""
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise OverloadedError from None
        return await waiting.answer

    async def run(self) -> None:
        """Stores groups until cancelled."""
        while True:
            group = [await self._queue.get()]
            while len(group) < _GROUP and not self._queue.empty():
                group.append(self._queue.get_nowait())
            group = [waiting for waiting in group if not waiting.answer.done()]
            try:
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
            stored = await requests_as_stored(connection, self._reader, requests)
            recorded = await record_sightings(
                connection,
                self._reader,
                self._memory,
                [self._sighting(ref, request) for ref, request in zip(refs, stored, strict=True)],
                now_us=self._clock_us(),
                requests=stored,
                every_lock=every_lock,
                expected=self._expected,
            )
            await add_domain_events(connection, recorded.events)
            return recorded

        if not requests:
            return []
        recorded = await in_graph_transaction(self._database, unit)
        self._memory.remember(recorded.learned)
        self._expected = recorded.changed
        if recorded.events:
            self._wake.set()
        return recorded.contacts

    def _sighting(self, ref: str, request: ContactRequest) -> Sighting:
        readings = [reading for reading in (request.email, request.phone) if reading is not None]
        return self._reader.sighting(ref=ref, source=SOURCE, cause="contact", readings=readings)


async def requests_as_stored(
    connection: psycopg.AsyncConnection[Any], reader: PolicyReader, requests: Sequence[ContactRequest]
) -> Sequence[ContactRequest]:
    """The requests with the keys under which their values are stored."""
    if not reader.reads_several:
        return requests
    given = [
        [reading] if reading is not None else [] for request in requests for reading in (request.email, request.phone)
    ]
    found = [readings[0] if readings else None for readings in await as_stored(connection, reader, given)]
    return [ContactRequest(email=email, phone=phone) for email, phone in zip(found[::2], found[1::2], strict=True)]
