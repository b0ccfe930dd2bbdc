"""Brings batches of events to an answer: attempts with the same bytes, halves where a request is refused.

Over HTTP a batch is answered before the next is sent. On a stream a few are sent ahead of the answers to those before
them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from dmp_client.backoff import Circuit, RetryPolicy
from dmp_client.health import Counters
from dmp_client.http import NoReplyError, Reply, Request, refusal
from dmp_client.publishing import publishing, refuses_events
from dmp_client.spool import SpooledEvent
from dmp_client.verdicts import Verdict, VerdictKind, read_verdicts

Batch = Sequence[SpooledEvent]
Exchange = Callable[[Request, float | None], Reply]
"""Makes one attempt to send, which may take so many seconds. Raises NoReplyError."""
Begin = Callable[[Request], Callable[[float | None], Reply]]
"""Sends a request and returns what waits for its reply, so many seconds; replies come in the order of the requests."""
_SENT_AHEAD: Final = 4
"""So many requests have no answer at a time, where the transport can do that."""


class BatchDelivery(ABC):
    """The half of a delivery that talks to the transport; the other half has the queue and the thread."""

    def __init__(self, exchange: Exchange, begin: Begin | None, policy: RetryPolicy) -> None:
        """begin: None if the transport has one request at a time."""
        self._exchange = exchange
        self._begin_request = begin
        self._policy = policy
        self._attempt_seconds: float | None = None
        self.circuit, self.counters = Circuit(policy), Counters()

    @abstractmethod
    def _pause(self, seconds: float) -> bool:
        """Waits; false if it is time to end."""

    @abstractmethod
    def _settle(self, batch: Batch, verdicts: Sequence[Verdict]) -> None:
        """Forgets answered events, by identity, and tells what became of them."""

    @abstractmethod
    def _without_expired(self, batch: Batch) -> Batch:
        """The events that have not waited for too long; the others are settled."""

    @abstractmethod
    def _behind(self, seq: int, under_way: int) -> Batch:
        """The next events behind a seq, if they are worth a request by now; so many before them have no answer."""

    def _deliver(self, batch: Batch) -> bool:
        """Sends events until they are answered; false if it was told to end before."""
        batch = self._without_expired(batch)
        if not batch:
            return True
        request = publishing(batch)
        while True:
            reply = self._attempt(lambda: self._exchange(request, self._attempt_seconds))
            if self._is_settled(batch, reply):
                return True
            if reply is not None and refuses_events(reply.status):
                return self._split(batch, reply)
            if not self._pause_after(reply):
                return False

    def _deliver_ahead(self, first: Batch) -> bool:
        """Does the same for these events and, where the transport can, for those behind them without waiting."""
        if self._begin_request is None:
            return self._deliver(first)
        sent: deque[tuple[Batch, Callable[[float | None], Reply]]] = deque()
        left: list[tuple[Batch, Reply | None]] = []
        following, last = first, 0
        while following or sent:
            if following:
                last = following[-1].seq
                if batch := self._without_expired(following):
                    sent.append((batch, self._begin_request(publishing(batch))))
            else:
                batch, answer = sent.popleft()
                reply = self._attempt(partial(answer, None))
                if not self._is_settled(batch, reply):
                    left.append((batch, reply))
            room = len(sent) < _SENT_AHEAD and not left
            following = self._behind(last, sum(len(batch) for batch, _ in sent)) if room else ()
        return self._deliver_left(left)

    def _deliver_left(self, left: Sequence[tuple[Batch, Reply | None]]) -> bool:
        """Sends again, one after another, what was sent ahead and not taken: as it was, or in halves."""
        passing = [reply for _, reply in left if reply is None or not refuses_events(reply.status)]
        if passing and not self._pause_after(passing[0]):  # one failure, however many had been sent
            return False
        for batch, reply in left:
            refused = reply is not None and refuses_events(reply.status)
            if not (self._split(batch, reply) if reply is not None and refused else self._deliver(batch)):
                return False
        return True

    def _attempt(self, attempt: Callable[[], Reply]) -> Reply | None:
        self.counters.requests += 1
        try:
            return attempt()
        except NoReplyError as error:
            self.counters.last_error = str(error)
            return None

    def _is_settled(self, batch: Batch, reply: Reply | None) -> bool:
        """Whether the reply answers these events, which are forgotten then."""
        if reply is None:
            return False
        if reply.status not in (202, 422):
            if not refuses_events(reply.status):
                self.counters.last_error = str(refusal(reply))
            return False
        verdicts = read_verdicts(reply.body, [event.event_id for event in batch])
        if not verdicts:
            self.counters.last_error = "the answer is not one of DMP: is something else at this address?"
            return False
        self.circuit.succeeded()
        self._settle(batch, verdicts)
        return True

    def _split(self, batch: Batch, reply: Reply) -> bool:
        """Sends halves of a request that the server does not take as it is: it is too large, or one event spoils it."""
        if len(batch) == 1:
            errors = {"event": [str(refusal(reply))]}
            self._settle(batch, [Verdict(kind=VerdictKind.REJECTED, event_id=batch[0].event_id, errors=errors)])
            return True
        middle = len(batch) // 2
        return self._deliver(batch[:middle]) and self._deliver(batch[middle:])

    def _pause_after(self, reply: Reply | None) -> bool:
        """Waits after an attempt without an answer, as long as the server asks to; false if it is time to end."""
        self.circuit.failed()
        self.counters.failures += 1
        return self._pause(self._policy.pause(self.circuit.failures, None if reply is None else reply.retry_after))
