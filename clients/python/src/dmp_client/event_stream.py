"""One stream of events: bodies go out one after another, answers come back in the same order.

A stream that had nothing to send for a while ends, since each that is open takes a place at the service. So does one
that has lasted for some minutes. The next body opens another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Final

import grpc
import msgspec
from google.rpc import error_details_pb2, status_pb2

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from dmp_client.http import NoReplyError, Reply

_IDLE_SECONDS: Final = 10.0
_LONGEST_SECONDS: Final = 240.0
"""The gateway ends a stream after ten minutes, whatever is under way."""
_HTTP_STATUS: Final[Mapping[grpc.StatusCode, int]] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNIMPLEMENTED: 404,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
}
"""Other codes are no answer: the gateway or the way to it is away."""
_OF_ONE_BODY: Final = grpc.StatusCode.INVALID_ARGUMENT


class EventStream:
    """A stream that is open from now on. A thread of its own takes the answers."""

    def __init__(
        self, stub: IngestServiceStub, metadata: Sequence[tuple[str, str]], body: pb.PublishEventStreamJsonRequest
    ) -> None:
        """Sends a first body. Raises RuntimeError if Python starts no threads any more."""
        self.first: Future[Reply] = Future()
        """The answer to it, as `send` gives it."""
        self._lock = threading.Lock()
        self._bodies: SimpleQueue[pb.PublishEventStreamJsonRequest | None] = SimpleQueue()
        self._bodies.put(body)
        self._unanswered: deque[Future[Reply]] = deque((self.first,))
        self._takes_more = True
        self._until = time.monotonic() + _LONGEST_SECONDS
        self.has_failed = False
        """Whether it ended otherwise than by itself, for want of work."""
        self._call: Any = None
        self._begun = threading.Event()
        before = set(threading.enumerate())
        # First, for where no thread starts gRPC must not begin: it could not end either.
        threading.Thread(target=self._read, name="dmp-answers", daemon=True).start()
        try:
            self._call = stub.PublishEventStreamJson(self._requests(), metadata=tuple(metadata))
        finally:
            self._begun.set()
        self._threads = set(threading.enumerate()) - before

    def send(self, body: pb.PublishEventStreamJsonRequest) -> Future[Reply] | None:
        """Sends a body. The answer is a reply, or raises NoReplyError. None if this stream takes no more."""
        with self._lock:
            if not self._takes_more:
                return None
            answer: Future[Reply] = Future()
            self._unanswered.append(answer)
            self._bodies.put(body)
            return answer

    def cancel(self) -> None:
        """Ends it at once. What has no answer yet gets none."""
        with self._lock:
            self._takes_more = False
        self._bodies.put(None)
        if self._call is not None:
            self._call.cancel()

    def join(self, seconds: float) -> None:
        """Waits for the threads of a stream that was cancelled, gRPC's own too, but not for longer than this."""
        until = time.monotonic() + seconds
        for thread in self._threads - {threading.current_thread()}:
            thread.join(max(until - time.monotonic(), 0.0))

    def _requests(self) -> Iterator[pb.PublishEventStreamJsonRequest]:
        while True:
            try:
                body = self._bodies.get(timeout=_IDLE_SECONDS)
            except Empty:
                body = None
            if body is not None:
                yield body
            with self._lock:
                # Under the lock nobody puts one in between.
                if self._bodies.empty() and (body is None or time.monotonic() > self._until):
                    self._takes_more = False
                    return

    def _read(self) -> None:
        error: grpc.RpcError | None = None
        self._begun.wait()
        try:
            for answer in self._call or ():
                if not self._unanswered:
                    break  # nobody asked: whatever it is, it is not DMP
                self._unanswered.popleft().set_result(_reply(answer))
        except grpc.RpcError as broken:
            error = broken
        with self._lock:
            self._takes_more = False
            self.has_failed = error is not None or bool(self._unanswered)
        self.cancel()
        alone = len(self._unanswered) == 1
        while self._unanswered:
            _fail(self._unanswered.popleft(), error, alone=alone)


def _reply(answer: pb.PublishEventStreamJsonResponse) -> Reply:
    if not answer.HasField("error"):
        return Reply(status=answer.http_status, body=answer.body, headers={}, retry_after=None)
    body = _envelope("", answer.error.message)
    return Reply(status=answer.http_status, body=body, headers={}, retry_after=_retry_after(answer.error))


def _fail(unanswered: Future[Reply], error: Any, *, alone: bool) -> None:  # noqa: ANN401 - gRPC's errors are calls
    """Tells who waits for an answer that there is none, or what it is for every body of the stream."""
    code: grpc.StatusCode = grpc.StatusCode.OK if error is None else error.code()
    status = _HTTP_STATUS.get(code)
    if status is None or (code is _OF_ONE_BODY and not alone):  # whose body it was is found out one by one
        unanswered.set_exception(NoReplyError(f"no answer from the gateway ({code.name})", sent=True))
        return
    body = _envelope(code.name, str(error.details()))
    unanswered.set_result(Reply(status=status, body=body, headers={}, retry_after=_asked_to_wait(error)))


def _envelope(status: str, message: str) -> bytes:
    """The error as JSON would have brought it."""
    return msgspec.json.encode({"error": {"status": status, "message": message}})


def _asked_to_wait(error: Any) -> float | None:  # noqa: ANN401 - see above
    """The seconds that the service asks to wait in its status, or the gateway in a header."""
    said = dict((*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())))
    if "grpc-status-details-bin" in said:
        return _retry_after(status_pb2.Status.FromString(said["grpc-status-details-bin"]))
    header = str(said.get("retry-after", ""))
    return float(header) if header.isdecimal() else None


def _retry_after(status: status_pb2.Status) -> float | None:
    """The seconds that the service asks to wait."""
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(retry):
            return retry.retry_delay.ToNanoseconds() / 1e9
    return None
