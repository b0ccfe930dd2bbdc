"""An ingest service whose handlers do nothing: the least that Envoy, grpc.aio and one Python process can do for a
request.

It speaks the product's protos, on the product's event loop, without interceptors: bytes of JSON in, bytes of JSON
out. Run as a child by `limits`; prints its port and ends when standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import uvloop
from google.api import httpbody_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from dmp.ingest.v1 import ingest_service_pb2 as pb

_ANSWER = (
    b'{"accepted":1,"duplicates":0,"rejected":0,"applied":true,"results":[{"event_id":"00000000-0000-4000-a000-000000000000",'
    b'"status":"success","duplicate":false,"message":"accepted","internal_user_id":"user_0123456789abcdefghijklmn"}]}'
)
Context = grpc.aio.ServicerContext[object, object]

_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


async def answer_json(request: pb.PublishEventsJsonRequest, context: Context) -> pb.PublishEventsJsonResponse:
    """The answer for one event, whatever was sent."""
    return pb.PublishEventsJsonResponse(body=httpbody_pb2.HttpBody(content_type="application/json", data=_ANSWER))


async def answer_typed(request: pb.PublishEventsRequest, context: Context) -> pb.PublishEventsResponse:
    """Accepts everything, in counts only."""
    return pb.PublishEventsResponse(accepted=len(request.events), applied=True)


async def serve() -> None:
    """Serves on a free loopback port until standard input ends."""
    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    )
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "PublishEventsJson": grpc.unary_unary_rpc_method_handler(
            answer_json,
            request_deserializer=pb.PublishEventsJsonRequest.FromString,
            response_serializer=pb.PublishEventsJsonResponse.SerializeToString,
        ),
        "PublishEvents": grpc.unary_unary_rpc_method_handler(
            answer_typed,
            request_deserializer=pb.PublishEventsRequest.FromString,
            response_serializer=pb.PublishEventsResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("dmp.ingest.v1.IngestService", handlers),))
    healthy = health.aio.HealthServicer()  # the gateway asks before it sends anything
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    uvloop.run(serve())
