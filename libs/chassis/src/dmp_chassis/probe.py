"""Asks a gRPC server for its health: `python -m dmp_chassis.probe host:port`, for images that hold no other client.

Exits with 0 if the server is SERVING, else with 1 and one line that says what it is instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import grpc
from grpc_health.v1 import health_pb2

_TIMEOUT_SECONDS: Final = 2.0


def probe(address: str, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> str:
    """The status of the server at `address`: SERVING or NOT_SERVING, or the name of the error that it answers with.

    Without an answer within `timeout_seconds` it is DEADLINE_EXCEEDED; where nobody listens, UNAVAILABLE.
    """
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        ask: grpc.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]
        ask = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            response = ask(health_pb2.HealthCheckRequest(), timeout=timeout_seconds)
        except grpc.RpcError as error:
            return error.code().name
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command, with the arguments of the process by default."""
    parser = argparse.ArgumentParser(
        prog="python -m dmp_chassis.probe", description="Asks a gRPC server for its health"
    )
    parser.add_argument("address", metavar="host:port")
    status = probe(parser.parse_args(arguments).address)
    if status != "SERVING":
        print(status)
        sys.exit(1)


if __name__ == "__main__":
    main()
