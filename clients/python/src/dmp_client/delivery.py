"""Sends what the spool holds until it was answered: one thread, started with the first event. Over HTTP there is one
request at a time; on a stream a few are sent ahead of the answers to those before them.

The same bytes are sent again until there is an answer; the server knows repeats by their ids. Only an answer removes an
event from the spool, so whatever dies when, each event is counted once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from dmp_client.backoff import RetryPolicy
from dmp_client.batch_delivery import BatchDelivery, Begin
from dmp_client.delivery_options import DeliveryOptions
from dmp_client.errors import ClosedError, SpoolError, SpoolFullError
from dmp_client.http import Reply, Request
from dmp_client.publishing import threads_do_not_run
from dmp_client.spool import MemorySpool, Spool, SpooledEvent
from dmp_client.verdicts import Verdict, VerdictKind, tell

_LOGGER: Final = logging.getLogger("dmp_client")
_INLINE_SECONDS: Final = 5.0
"""An attempt takes at most so long where no thread can send: somebody waits for it."""


class Delivery(BatchDelivery):
    """Events of one process on their way. Threads may share it.

    exchange: makes one attempt to send, which may take so many seconds; raises NoReplyError.
    begin: sends a request and returns what waits for its reply so long; replies come in order. None if that is one.
    on_verdict: called by the delivery's thread.
    """

    def __init__(
        self,
        spool: Spool,
        exchange: Callable[[Request, float | None], Reply],
        *,
        options: DeliveryOptions,
        policy: RetryPolicy,
        on_verdict: Callable[[Verdict], None] | None,
        begin: Begin | None = None,
    ) -> None:
        super().__init__(exchange, begin, policy)
        self._spool = spool
        self._options = options
        self._on_verdict = on_verdict
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._inline = threads_do_not_run()
        self._sending_inline = threading.RLock()  # a verdict's callback may track events
        self._not_before = 0.0
        self._unsent = spool.waiting()[0]
        self._flushes = 0
        self._stopping = self._has_ended = False
        self._then: Callable[[], None] | None = None

    # -- called by who tracks

    def begin(self) -> None:
        """Starts sending what the spool held before, if it held anything."""
        with self._changed:
            if self._unsent and self._thread is None and not self._stopping and not self._inline:
                self._start()

    def track(self, event_id: str, body: bytes) -> None:
        """Puts an event into the spool. Raises SpoolFullError, SpoolError, ClosedError."""
        with self._lock:
            if self._stopping:
                raise ClosedError("the client is closed")
            try:
                self._spool.append(event_id, body)
            except (SpoolFullError, SpoolError):
                self.counters.refused += 1
                raise
            self.counters.tracked += 1
            self._unsent += 1
            if self._thread is None and not self._inline:
                self._start()
            if self._unsent == 1 or self._unsent == self._options.max_events:
                self._changed.notify_all()
        if self._inline and not self._may_start():
            self._deliver_inline(_INLINE_SECONDS)

    def flush(self, timeout: float) -> bool:
        """Waits until all that is in the spool by now was answered; false if that took longer."""
        if threading.current_thread() is self._thread:
            return False  # a verdict's callback runs in the thread that would have to send
        ends = time.monotonic() + timeout
        if self._inline:
            self._not_before = 0.0
            return self._deliver_inline(timeout)
        with self._changed:
            last = self._spool.newest()
            self._flushes += 1
            self._changed.notify_all()
            try:
                while not self._answered(last):
                    left = ends - time.monotonic()
                    if left <= 0 or self._stopping:
                        return False
                    self._changed.wait(left)
            finally:
                self._flushes -= 1
            return True

    def stop(self, timeout: float, then: Callable[[], None]) -> None:
        """Ends the thread, for which it waits `timeout`; what has no answer stays in the spool.

        `then` is called when the thread has ended: by this call or, if a request is under way for longer, by the
        thread itself after it. Of several calls the first one's is called.
        """
        with self._changed:
            first, self._stopping = not self._stopping, True
            self._changed.notify_all()
            thread = self._thread
            runs = thread is not None and not self._has_ended
            if runs and first:
                self._then = then
        if not runs and first:
            then()
        elif thread is not None and thread is not threading.current_thread():
            thread.join(max(timeout, 0.0))

    def abandon(self) -> None:
        """After a fork, in the child: what a copy of the thread may still do touches nothing of the parent's."""
        self._stopping = True
        self._then = None
        self._spool = MemorySpool(max_bytes=0)

    @property
    def is_running(self) -> bool:
        """True if the thread lives, or none is needed."""
        return self._inline or (self._thread is not None and self._thread.is_alive()) or self._unsent == 0

    def oldest_waiting_seconds(self) -> tuple[int, float]:
        """How many events have no answer, and for how long the oldest has waited."""
        with self._changed:
            count, since = self._spool.waiting()
        return count, 0.0 if since is None else max(time.time() - since, 0.0)

    def _answered(self, seq: int) -> bool:
        oldest = self._spool.oldest()
        return oldest is None or oldest > seq

    def _start(self) -> None:
        """Starts the thread. Python starts none while it ends: then events are sent by who tracks them."""
        thread = threading.Thread(target=self._run, name="dmp-delivery", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._inline = True
            return
        self._thread = thread

    def _may_start(self) -> bool:
        """Starts the thread if it can run by now."""
        if threads_do_not_run():
            return False
        self._inline = False
        self.begin()
        return not self._inline

    # -- the thread

    def _run(self) -> None:
        try:
            self._deliver_until_stopped()
        finally:
            with self._changed:
                self._has_ended = True
                then = self._then
            if then is not None:
                then()

    def _deliver_until_stopped(self) -> None:
        while True:
            try:
                batch = self._next_batch()
                if batch is None:
                    return
                self._deliver_ahead(batch)
            except Exception:  # whatever it is, later events must not wait for ever
                _LOGGER.exception("delivering events failed; it goes on")
                self.counters.failures += 1
                if not self._pause(self._policy.pause(self.circuit.failures + 1)):
                    return

    def _next_batch(self) -> list[SpooledEvent] | None:
        """Waits until there are enough events, or they waited long enough; None when it is time to end."""
        options = self._options
        with self._changed:
            while self._unsent == 0:
                if self._stopping:
                    return None
                self._changed.wait()
            ends = time.monotonic() + options.linger_seconds
            while self._unsent < options.max_events and not self._flushes and not self._stopping:
                left = ends - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            if self._stopping:
                return None
            batch = self._waiting()
            if not batch:
                self._unsent = 0
            return batch

    def _settle(self, batch: Sequence[SpooledEvent], verdicts: Sequence[Verdict]) -> None:
        """Forgets answered events, by identity, and tells what became of them."""
        with self._changed:
            self._spool.remove([event.seq for event in batch])
            self._unsent = max(self._unsent - len(batch), 0)
            for verdict in verdicts:
                self.counters.note(verdict.kind)
            self._changed.notify_all()
        self._spool.tidy()
        if self._on_verdict is not None:
            self.counters.callback_errors += tell(self._on_verdict, verdicts)

    def _without_expired(self, batch: Sequence[SpooledEvent]) -> Sequence[SpooledEvent]:
        oldest = time.time() - self._options.max_age_seconds
        expired = [event for event in batch if event.tracked_at < oldest]
        if not expired:
            return batch
        self._settle(expired, [Verdict(kind=VerdictKind.EXPIRED, event_id=event.event_id) for event in expired])
        return [event for event in batch if event.tracked_at >= oldest]

    def _pause(self, seconds: float) -> bool:
        """Waits; false if it is time to end. Who tracks does not wait, but leaves the gateway alone for so long."""
        if self._inline:
            self._not_before = time.monotonic() + seconds
            return False
        ends = time.monotonic() + seconds
        with self._changed:
            while not self._stopping:
                left = ends - time.monotonic()
                if left <= 0:
                    return True
                self._changed.wait(left)
            return False

    def _deliver_inline(self, seconds: float) -> bool:
        """Sends what waits, in the caller's thread, one attempt for each request; false if something still waits."""
        with self._sending_inline:
            if time.monotonic() < self._not_before:
                return False
            self._attempt_seconds = min(max(seconds, 0.001), _INLINE_SECONDS)
            try:
                while batch := self._waiting():
                    if not self._deliver(batch):
                        return False
                return True
            finally:
                self._attempt_seconds = None

    def _waiting(self, behind: int = 0) -> list[SpooledEvent]:
        """As many events as one request may have, behind a seq."""
        with self._lock:
            options = self._options
            return self._spool.after(behind, most_events=options.max_events, most_bytes=options.max_bytes)

    def _behind(self, seq: int, under_way: int) -> Sequence[SpooledEvent]:
        with self._lock:
            waiting = self._unsent - under_way
            enough = waiting >= self._options.max_events or (waiting > 0 and self._flushes > 0)
            return self._waiting(seq) if enough and not self._stopping else []
