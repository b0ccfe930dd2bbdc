"""A gRPC server between the client under test and the real gateway: it passes bodies on, or does what networks do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from urllib.parse import urlsplit

import grpc
from google.rpc import error_details_pb2

from dmp.ingest.v1.ingest_service_pb2 import PublishEventStreamJsonRequest as Request
from dmp.ingest.v1.ingest_service_pb2 import PublishEventStreamJsonResponse as Response
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

Behaviour = Callable[[Request], Response | grpc.StatusCode | None]
"""What to answer, or how to end the stream; None passes the body on."""


class InterposedStream:
    """Where the client connects. `seen` has every body in order, `streams` and `ended` count streams."""

    def __init__(self, gateway_url: str) -> None:
        self.behaviour: Behaviour = lambda _: None
        self.seen: list[bytes] = []
        self.streams = self.ended = 0
        self.open = threading.Event()
        self.open.set()
        self._channel = grpc.insecure_channel(urlsplit(gateway_url).netloc)
        self._gateway = IngestServiceStub(self._channel)
        self._server = grpc.server(ThreadPoolExecutor(8))
        method = grpc.stream_stream_rpc_method_handler(
            self._answers, request_deserializer=Request.FromString, response_serializer=Response.SerializeToString
        )
        handler = grpc.method_handlers_generic_handler(
            "dmp.ingest.v1.IngestService", {"PublishEventStreamJson": method}
        )
        self._server.add_generic_rpc_handlers((handler,))
        self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _answers(self, request_iterator: Iterator[Request], context: grpc.ServicerContext) -> Iterator[Response]:
        """Takes in whatever comes, and answers in order while it is open."""
        self.streams += 1
        bodies: SimpleQueue[Request | None] = SimpleQueue()

        def take_in() -> None:
            try:
                for request in request_iterator:
                    self.seen.append(request.body)
                    bodies.put(request)
            except grpc.RpcError:  # the client has gone away
                pass
            self.ended += 1
            bodies.put(None)

        threading.Thread(target=take_in, daemon=True).start()
        while (body := bodies.get()) is not None:
            self.open.wait(60)
            said = self.behaviour(body)
            if isinstance(said, grpc.StatusCode):
                context.abort(said, "said the server in between")
            yield self.pass_on(body) if said is None else said

    def pass_on(self, body: Request) -> Response:
        """What the gateway answers."""
        (answer,) = self._gateway.PublishEventStreamJson(iter([body]), timeout=30)
        return answer

    def close(self) -> None:
        """Ends it."""
        self.open.set()
        self._server.stop(0).wait()
        self._channel.close()


@contextmanager
def interposed_stream(gateway_url: str) -> Iterator[InterposedStream]:
    """One that runs while the block does."""
    between = InterposedStream(gateway_url)
    try:
        yield between
    finally:
        between.close()


def busy(http_status: int, seconds: float = 0.0) -> Response:
    """The answer to a body that could not be taken now: send it again after so long."""
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(round(seconds * 1000))
    answer = Response(http_status=http_status)
    answer.error.message = "not now"
    answer.error.details.add().Pack(retry)
    return answer
