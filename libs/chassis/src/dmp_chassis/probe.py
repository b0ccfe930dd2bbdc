"""Asks a gRPC server for its health: `python -m dmp_chassis.probe host:port`, for images that hold no other client.

Exits with 0 if the server is SERVING, else with 1 and one line that says what it is instead. Where the environment
names a service's certificate, the command shows that one and expects the one of `--service`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

import grpc
from grpc_health.v1 import health_pb2

from dmp_chassis.certificates import CertificateFiles
from dmp_chassis.service_settings import read_certificates
from dmp_chassis.settings import EnvReader, SettingsError

_TIMEOUT_SECONDS: Final = 2.0


def probe(
    address: str,
    *,
    service: str = "",
    certificates: CertificateFiles | None = None,
    timeout_seconds: float = _TIMEOUT_SECONDS,
) -> str:
    """The status of the server at `address`: SERVING or NOT_SERVING, or the name of the error that it answers with.

    Without an answer within `timeout_seconds` it is DEADLINE_EXCEEDED; where nobody listens, or nobody who has the
    certificate of `service`, UNAVAILABLE. certificates: what to show; None asks without TLS. Raises
    CertificatesUnusableError.
    """
    with _channel(address, service, certificates) as channel:
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


def _channel(address: str, service: str, certificates: CertificateFiles | None) -> grpc.Channel:
    options = [("grpc.enable_http_proxy", 0)]
    if certificates is None:
        return grpc.insecure_channel(address, options)
    current = certificates.read()
    credentials = grpc.ssl_channel_credentials(current.authority, current.key, current.certificate)
    return grpc.secure_channel(address, credentials, [*options, ("grpc.ssl_target_name_override", service)])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command, with the arguments of the process by default."""
    parser = argparse.ArgumentParser(
        prog="python -m dmp_chassis.probe", description="Asks a gRPC server for its health"
    )
    parser.add_argument("address", metavar="host:port")
    parser.add_argument("--service", default="", help="whose certificate is expected, where there are certificates")
    given = parser.parse_args(arguments)
    env = EnvReader(os.environ)
    certificates = read_certificates(env)
    try:
        env.finish()
    except SettingsError as error:
        print(*error.problems, sep="\n")
        sys.exit(1)
    status = probe(given.address, service=given.service, certificates=certificates)
    if status != "SERVING":
        print(status)
        sys.exit(1)


if __name__ == "__main__":
    main()
