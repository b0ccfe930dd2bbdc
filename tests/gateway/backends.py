"""Servers that stand behind the gateway under test: they have every RPC and say what a test wants them to say."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from dmp.identity.v1 import identity_service_pb2
from dmp.ingest.v1 import ingest_service_pb2
from dmp.stats.v1 import stats_service_pb2
from dmp_stack.ports import PortReservation, reserve_port

Answer: TypeAlias = Callable[[Any, grpc.ServicerContext], Any]

SERVICES = [
    service
    for module in (ingest_service_pb2, identity_service_pb2, stats_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]

_NO_DEADLINE_SECONDS = 1e6
"""What the server library says of a call without a deadline is at least this."""

_LARGEST_MESSAGE = 80 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that a server got. `request` is None for a stream; `seconds_left` is infinite without a deadline."""

    method: str
    request: Any
    metadata: Mapping[str, str | bytes]
    seconds_left: float


class Backend:
    """One server. It answers every RPC with an empty message until a test gives it something better to say."""

    def __init__(self, certificate: Path | None = None) -> None:
        """certificate: the folder of the one that it shows, to those only who have one of the same authority."""
        self._certificate = certificate
        self._reservation: PortReservation = reserve_port("127.0.0.1")
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._answers: dict[str, Answer] = {}
        self._server: grpc.Server | None = None
        self._health = health.HealthServicer()

    @property
    def port(self) -> int:
        return self._reservation.port

    @property
    def calls(self) -> list[Call]:
        """All calls since the last reset, in order."""
        with self._lock:
            return list(self._calls)

    def only_call(self) -> Call:
        """The one call since the last reset."""
        (call,) = self.calls
        return call

    def answer(self, method: str, answer: Answer) -> None:
        """From now on `method` (its bare name) is answered by `answer(request, context)`."""
        self._answers[method] = answer

    def reset(self) -> None:
        """Forgets calls and answers."""
        with self._lock:
            self._calls.clear()
        self._answers.clear()

    def start(self) -> None:
        """Listens, on the same port each time."""
        # As the services have it: the gateway pings.
        pinged = [("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_ping_strikes", 0)]
        self._server = grpc.server(
            ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", _LARGEST_MESSAGE), *pinged]
        )
        for service in SERVICES:
            handlers = {method.name: self._handler(method) for method in service.methods}
            generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.set_serving(True)
        address = f"127.0.0.1:{self.port}"
        if self._certificate is None:
            self._server.add_insecure_port(address)
        else:
            key, shown, believed = ((self._certificate / f"{name}.pem").read_bytes() for name in ("key", "cert", "ca"))
            credentials = grpc.ssl_server_credentials([(key, shown)], believed, require_client_auth=True)
            self._server.add_secure_port(address, credentials)
        self._server.start()

    def stop(self) -> None:
        """Ends at once, calls included."""
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None

    def close(self) -> None:
        """Stops for good."""
        self.stop()
        self._reservation.close()

    def set_serving(self, serving: bool) -> None:
        """What the server says about its health."""
        state = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        self._health.set("", state)

    def _handler(self, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
        empty = GetMessageClass(method.output_type)

        def respond(request: object, context: grpc.ServicerContext) -> object:
            seconds = context.time_remaining()
            with self._lock:
                self._calls.append(
                    Call(
                        method=method.name,
                        request=request if isinstance(request, Message) else None,
                        metadata=dict(context.invocation_metadata()),
                        seconds_left=seconds if seconds < _NO_DEADLINE_SECONDS else math.inf,
                    )
                )
            answer = self._answers.get(method.name)
            if answer is not None:
                return answer(request, context)
            return iter([empty()]) if method.server_streaming else empty()

        make: Any = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[method.client_streaming, method.server_streaming]
        handler: grpc.RpcMethodHandler[Any, Any] = make(
            respond,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=empty.SerializeToString,
        )
        return handler


def failing(
    code: grpc.StatusCode,
    message: str,
    *details: Message,
    initial_metadata: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """An answer that ends the call with a rich status."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)

    def fail(request: object, context: grpc.ServicerContext) -> None:
        if initial_metadata:
            context.send_initial_metadata(initial_metadata)
        context.abort_with_status(rpc_status.to_status(status))

    return fail
